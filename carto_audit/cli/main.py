"""The commands. Each parses, calls the library, shows, and returns an exit code; one boundary turns errors into codes."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carto_audit import __version__
from carto_audit.cli.apply import apply
from carto_audit.cli.benchmarks import benchmarks
from carto_audit.cli.card import card
from carto_audit.cli.completion import completion
from carto_audit.cli.policy import policy
from carto_audit.cli.proof import attest, verify
from carto_audit.cli.redteam import redteam
from carto_audit.cli.report import EXCERPTS, check_formats, format_option, report, show_audit
from carto_audit.report.formats.targets import Target, stale_files
from carto_audit.runtime.errors import AuditError, CartoError, ExitCode, UsageError
from carto_audit.runtime.files import reason
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.untrusted import safe_inline

if TYPE_CHECKING:
    from carto_audit.artifacts.audit_record import Record
    from carto_audit.artifacts.redteam_record import RedteamRecord
    from carto_audit.artifacts.report_facts import ReportFacts
    from carto_audit.benchmarks.registry import Registry
    from carto_audit.pipeline.result import AuditResult

WORK_FOLDER = ".work"
"""Inside the audit's folder: what a killed run needs to continue. Removed when the audit is complete."""

FAIL_ON = ("reject", "warn", "never")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="carto-audit")
def cli() -> None:
    """Audits text before it enters a language model's training corpus.

    Trains two small proxy models on a batch, places every sample on the map of difficulty by memorization, looks for
    benchmark items and duplicates, holds the figures against a risk policy, and ends with a verdict.

    \b
    Exit codes: 0 accepted · 1 rejected · 2 usage error or invalid policy · 3 incomplete or inconclusive
                4 internal error · 130 interrupted
    """


cli.add_command(benchmarks)
cli.add_command(apply)
cli.add_command(redteam)
cli.add_command(attest)
cli.add_command(verify)
cli.add_command(card)
cli.add_command(report)
cli.add_command(policy)
cli.add_command(completion)


@cli.command()
@click.argument("batch", nargs=-1, required=True, metavar="BATCH...")
@click.option("--policy", default="default", show_default=True, metavar="NAME|FILE", help="Risk policy.")
@click.option("--benchmark", multiple=True, metavar="SOURCE", help="Evaluation set to look for; may be repeated.")
@click.option(
    "--registry",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where names of benchmarks are listed; alone, all of them.  [default: benchmarks.yaml]",
)
@click.option("--out", type=click.Path(path_type=Path), help="Where the audit goes.  [default: ./<batch>-audit]")
@click.option("--text-column", metavar="NAME", help="Column with the text.  [default: text, content, …]")
@click.option("--id-column", metavar="NAME", help="Column with unique ids.  [default: file and row number]")
@click.option(
    "--proxy", metavar="NAME|FOLDER", help="nano, small, base, or a transformers checkpoint.  [default: by size]"
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True)
@click.option("--epochs", type=click.IntRange(2, 1000), help="Passes over the batch.  [default: 8]")
@click.option("--folds", type=click.IntRange(1, 2), default=2, show_default=True, help="1: the paper's single proxy.")
@click.option(
    "--max-tokens", type=click.IntRange(1), help="Train on a sample of about so many tokens.  [default: by device]"
)
@click.option(
    "--repeats",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Pairs of proxies; scores are averaged.",
)
@click.option("--reference", metavar="FILE", help="Trusted text that a policy may measure the batch against.")
@click.option(
    "--baseline", type=click.Path(path_type=Path), metavar="AUDIT_DIR", help="AuditResult of the last accepted batch."
)
@click.option(
    "--redteam", type=click.Path(path_type=Path), metavar="FILE|FOLDER", help="What a red team measured on this batch."
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option("--fail-on", type=click.Choice(FAIL_ON), default="reject", show_default=True, help="What exits with 1.")
@format_option
@click.option(
    "--excerpts",
    type=click.Choice(EXCERPTS),
    default="redacted",
    show_default=True,
    help="How much text the report quotes.",
)
@click.option("--quiet", is_flag=True, help="No progress; the verdict and the report's path.")
def ingest(
    batch: tuple[str, ...],
    policy: str,
    benchmark: tuple[str, ...],
    registry: Path | None,
    out: Path | None,
    baseline: Path | None,
    redteam: Path | None,
    fail_on: str,
    targets: tuple[Target, ...],
    excerpts: str,
    quiet: bool,
    **run: Any,
) -> int:
    """AuditResult a batch and exit by the verdict.

    BATCH is one or more Parquet, JSONL (plain, .gz, .zst), CSV or Arrow files, folders or globs of them.

    SOURCE is a name of the registry, a Parquet, JSONL, CSV or Arrow file, a data set folder, hf:OWNER/NAME@REVISION on the
    hub, or an index that `carto-audit benchmarks build` made, which saves the time to measure what it can find.

    FORMAT is what CI shows besides: github prints annotations and fills the step summary, sarif, junit and gitlab are files
    in the audit's folder or at =PATH. json and markdown go to the standard output in place of the summary, or to =PATH.

    \b
    Examples:
      carto-audit ingest vendor_batch.parquet --benchmark gsm8k_test.parquet
      carto-audit ingest shards/ --policy regulated-health --benchmark mmlu.jsonl --out audits/may
      carto-audit ingest batch.parquet --benchmark gsm8k --benchmark mmlu --registry benchmarks.yaml
      carto-audit ingest "data/*.jsonl.gz" --policy exploratory --max-tokens 500000
      carto-audit ingest batch.parquet --proxy ./last-checkpoint --policy strict --benchmark evals.parquet
      carto-audit ingest batch.parquet --policy ours.yaml --reference trusted.parquet --repeats 3
      carto-audit ingest batch.parquet --benchmark gsm8k --format github --format sarif=results/audit.sarif
      carto-audit ingest june.parquet --policy ours.yaml --baseline audits/may
      carto-audit ingest june.parquet --policy ours.yaml --redteam june-redteam
    """
    from carto_audit.artifacts.audit_record import read_baseline
    from carto_audit.artifacts.redteam_record import read_redteam, redteam_file
    from carto_audit.benchmarks.registry import REGISTRY, find_registry
    from carto_audit.data.readers import batch_name
    from carto_audit.gate.required_benchmarks import demanded_names
    from carto_audit.gate.verdict import exit_code
    from carto_audit.policy.model import load_policy

    chosen = load_policy(policy)
    folder = out or Path(f"{batch_name(batch[0])}-audit")
    accepted = read_baseline(baseline) if baseline else None
    attacked = read_redteam(redteam) if redteam else None
    listed = find_registry(registry) if benchmark or registry or chosen.demanded else None
    sources = benchmark or tuple(listed.entries if listed and registry else ())
    known, where = (listed.entries, listed.path) if listed else (None, Path(REGISTRY))
    sources = tuple(dict.fromkeys([*sources, *demanded_names(chosen, known, where)]))
    given = [
        policy,
        *sources,
        *([str(registry)] if registry else []),
        *([run["reference"]] if run["reference"] else []),
        *([str(path) for path in baseline.iterdir()] if baseline else []),
        *([str(redteam_file(redteam))] if redteam else []),
    ]
    check_formats(targets, folder, [*_files(batch), *(Path(name) for name in given)])
    if excerpts == "full":
        click.echo(
            "Warning: --excerpts full quotes secrets and personal data as they are; do not publish it.", err=True
        )
    audit = _audit(
        batch, chosen, sources, folder, run, listed, targets, accepted, attacked, excerpts=excerpts, quiet=quiet
    )
    return exit_code(audit.verdict, fail_on)  # type: ignore[arg-type]


@cli.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Where it all goes."
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
def demo(out: Path, seed: int) -> int:
    """Build a vendor batch with planted risks, audit it, and compare what was planted with what was found.

    Works offline: the text comes from the Python installation itself. The batch is meant to be rejected, so a
    rejection exits with 0 here.

    \b
    Example:
      carto-audit demo --out demo
    """
    from carto_audit.data import demo_batch as scenario
    from carto_audit.policy.model import load_policy

    click.echo("Building a vendor batch from the Python standard library, with planted risks …", err=True)
    path = scenario.write_demo(out, seed)
    folder = out / f"{path.stem}-audit"
    audit = _audit([str(path)], load_policy("default"), [str(out / scenario.BENCHMARK)], folder, {"seed": seed})
    _show_planted(out, folder)
    return ExitCode.ACCEPTED if audit.verdict.status == "rejected" else int(audit.verdict.exit_code)


def _audit(
    batch: Sequence[str],
    policy: Any,
    benchmark: Sequence[str],
    folder: Path,
    run: dict[str, Any],
    registry: "Registry | None" = None,
    targets: Sequence[Target] = (),
    baseline: "Record | None" = None,
    redteam: "RedteamRecord | None" = None,
    *,
    excerpts: str = "redacted",
    quiet: bool = False,
) -> "AuditResult":
    """Runs an audit, writes its files, removes its work folder and shows the summary."""
    from carto_audit.pipeline.outputs import open_folder
    from carto_audit.report.formats.terminal import RichProgress, open_console

    _check_apart([*batch, *([run["reference"]] if run.get("reference") else [])], folder)
    _check_writable(folder)
    open_folder(folder)
    for stale in stale_files(targets, folder):
        stale.unlink(missing_ok=True)
    progress = SILENT if quiet else RichProgress(open_console(stderr=True))
    audit, facts = _run(batch, policy, benchmark, folder, run, registry, baseline, redteam, progress, excerpts)
    show_audit(facts, folder, targets, quiet=quiet)
    return audit


def _run(
    batch: Sequence[str],
    policy: Any,
    benchmark: Sequence[str],
    folder: Path,
    run: dict[str, Any],
    registry: "Registry | None",
    baseline: "Record | None",
    redteam: "RedteamRecord | None",
    progress: Progress,
    excerpts: str,
) -> tuple["AuditResult", "ReportFacts"]:
    from carto_audit.data.batch import read_texts
    from carto_audit.pipeline.facts import report_facts, wanted_texts
    from carto_audit.pipeline.options import AuditOptions
    from carto_audit.pipeline.outputs import write_outputs
    from carto_audit.pipeline.run import run_audit
    from carto_audit.runtime.resume import remove_runs

    work = folder / WORK_FOLDER
    options: AuditOptions = AuditOptions(**{name: value for name, value in run.items() if value is not None})
    audit = run_audit(
        batch,
        policy=policy,
        work=work,
        benchmarks=benchmark,
        registry=registry,
        options=options,
        baseline=baseline,
        redteam=redteam,
        progress=progress,
    )
    facts = report_facts(audit, read_texts(audit.batch, wanted_texts(audit)), excerpts)  # type: ignore[arg-type]
    write_outputs(audit, facts, folder)
    remove_runs(work)
    return audit, facts


def _check_writable(folder: Path) -> None:
    """Fails before the training, not after it."""
    where = safe_inline(str(folder), 160)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AuditError(f"{where}: cannot be written: {error.strerror}; choose another --out") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise AuditError(f"{where}: cannot be written: permission denied; choose another --out")


def _check_apart(batch: Sequence[str], folder: Path) -> None:
    """The input is never written to, not even when it bears the name of one of our files."""
    from carto_audit.artifacts.file_list import ENVELOPE, OUTPUTS
    from carto_audit.data.readers import name_of

    if any(Path(given).is_dir() and Path(given).resolve() == folder.resolve() for given in batch):
        where = safe_inline(str(folder), 160)
        raise UsageError(
            f"{where}: the batch lies there, and the audit's files would be read as part of it; choose another --out"
        )
    ours = {(folder / name).resolve() for name in (*OUTPUTS, ENVELOPE)}
    for path in _files(batch):
        if path.resolve() in ours:
            raise UsageError(f"{name_of(path)}: the audit would overwrite this input; choose another --out")


def _files(batch: Sequence[str]) -> Sequence[Path]:
    """The files that the batch's paths, folders and globs name."""
    from carto_audit.data.readers import expand_paths

    return expand_paths(batch)


def _show_planted(out: Path, folder: Path) -> None:
    import pyarrow.parquet as pq

    from carto_audit.data import demo_batch as scenario
    from carto_audit.report.formats.terminal import open_console, planted_table

    scores = pq.read_table(folder / "scores.parquet")
    truth = scenario.read_truth(out)
    rows = [
        (kind.title, len(truth[name]), scenario.count_found(scores, truth[name], name), kind.found_when)
        for name, kind in scenario.KINDS.items()
    ]
    planted_table(rows, open_console())


def run(command: Callable[[], Any]) -> int:
    """Runs a command and turns every way it can end into an exit code. Errors are one line each, on stderr."""
    try:
        return int(command() or ExitCode.ACCEPTED)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted. Run the same command again to continue where it stopped.", err=True)
        return ExitCode.INTERRUPTED
    except CartoError as error:
        click.echo(f"Error: {error.for_command_line()}", err=True)
        return error.exit_code
    except OSError as error:
        where = safe_inline(str(error.filename or ""), 160)
        click.echo(f"Error: {where + ': ' if where else ''}{reason(error)}", err=True)
        return ExitCode.INCOMPLETE
    except MemoryError:
        click.echo("Error: out of memory; audit fewer files at once, or split very long samples", err=True)
        return ExitCode.INCOMPLETE
    except Exception as error:
        return _internal(error)


def _internal(error: Exception) -> int:
    """A defect of ours: say where, in one line, without repeating text that a vendor may have chosen."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    click.echo(f"Internal error: {type(error).__name__} at {where}: {safe_inline(str(error), 200)}", err=True)
    click.echo("This is a defect of carto-audit. CARTO_AUDIT_TRACEBACK=1 shows where it happened.", err=True)
    if os.environ.get("CARTO_AUDIT_TRACEBACK") == "1":
        traceback.print_exception(error)
    return ExitCode.INTERNAL


def main() -> None:
    """The console script."""
    sys.exit(run(lambda: cli.main(standalone_mode=False)))
