"""The commands. Each parses, calls the library, shows, and returns an exit code; one boundary turns errors into codes."""

import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from carto_audit import __version__
from carto_audit.cli.apply import apply
from carto_audit.cli.benchmarks import benchmarks
from carto_audit.cli.completion import completion
from carto_audit.cli.config import check_apart, read_config, shown_config
from carto_audit.cli.finished.card import card
from carto_audit.cli.finished.proof import attest, verify
from carto_audit.cli.finished.reply import reply
from carto_audit.cli.finished.show import show
from carto_audit.cli.finished.summarize import summarize, vendor_files, vendor_options
from carto_audit.cli.ledger.book import ledger as ledger_commands
from carto_audit.cli.ledger.book import show_entered
from carto_audit.cli.ledger.compare import compare
from carto_audit.cli.ledger.history import history
from carto_audit.cli.lenses import lens_option, lenses
from carto_audit.cli.plant import plant
from carto_audit.cli.policy import policy
from carto_audit.cli.reading import engine_options, reading_options
from carto_audit.cli.redteam import redteam
from carto_audit.cli.report import EXCERPTS, FAIL_ON, check_formats, format_option, report, show_audit
from carto_audit.cli.trace import score, trace
from carto_audit.data.layouts import LAYOUT_NAMES
from carto_audit.report.formats.targets import Target, stale_files
from carto_audit.runtime.errors import CartoError, ExitCode
from carto_audit.runtime.files import reason
from carto_audit.runtime.lock import LOCK, locked
from carto_audit.runtime.progress import SILENT
from carto_audit.runtime.remote.fetched import local_inputs
from carto_audit.text.untrusted import safe_inline

if TYPE_CHECKING:
    from carto_audit.gate.verdict import Verdict


def _repeats(ctx: click.Context, param: click.Parameter, value: str) -> int | None:
    """A number of pairs of proxies, None for `auto`."""
    if value == "auto":
        return None
    if not value.isdecimal():
        raise click.BadParameter(f"{safe_inline(value, 40)} is neither auto nor a whole number", ctx, param)
    number: int = click.IntRange(1, 100).convert(int(value), param, ctx)
    return number


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="carto-audit")
@click.pass_context
def cli(context: click.Context) -> None:
    """Audits text before it enters a language model's training corpus.

    Trains two small proxy models on a batch, places every sample on the map of difficulty by memorization, looks for
    benchmark items and duplicates, holds the figures against a risk policy, and ends with a verdict.

    \b
    Exit codes: 0 accepted · 1 rejected · 2 usage error or invalid policy · 3 incomplete or inconclusive
                4 internal error · 130 interrupted

    Flags that a team repeats for ingest, redteam and plant stand in carto-audit.toml in the working folder.
    """
    context.obj = read_config(Path(), cli)
    context.default_map = dict(context.obj.defaults) if context.obj else None


cli.add_command(benchmarks)
cli.add_command(apply)
cli.add_command(redteam)
cli.add_command(plant)
cli.add_command(trace)
cli.add_command(score)
cli.add_command(attest)
cli.add_command(verify)
cli.add_command(summarize)
cli.add_command(card)
cli.add_command(report)
cli.add_command(show)
cli.add_command(reply)
cli.add_command(policy)
cli.add_command(lenses)
cli.add_command(ledger_commands)
cli.add_command(history)
cli.add_command(compare)
cli.add_command(completion)


@cli.command()
@click.argument("batch", nargs=-1, metavar="BATCH...")
@click.option("--policy", default="default", show_default=True, metavar="NAME|FILE", help="Risk policy.")
@click.option("--benchmark", multiple=True, metavar="SOURCE", help="Evaluation set to look for; may be repeated.")
@click.option(
    "--registry",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="List of benchmarks; if given without --benchmark, all in it.  [default: benchmarks.yaml]",
)
@click.option("--out", type=click.Path(path_type=Path), help="Where the audit goes.  [default: ./<batch>-audit]")
@click.option("--text-column", metavar="NAME", help="Column with the text, or several: A,B.  [default: by layout]")
@click.option("--layout", type=click.Choice(LAYOUT_NAMES), help="Where the text lies, where it is not found by itself.")
@click.option(
    "--loss-on",
    type=click.Choice(["all", "completions"]),
    help="Draw the map of what trainers learn of a sample, such as completions.  [default: all, or as the policy says]",
)
@click.option("--strict-input", is_flag=True, help="Refuse a batch with a data file that is not read.")
@click.option("--id-column", metavar="NAME", help="Column with unique ids.  [default: file and row number]")
@reading_options
@click.option(
    "--proxy", metavar="NAME|FOLDER", help="nano, small, base, or a transformers checkpoint.  [default: by size]"
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True)
@engine_options
@click.option("--epochs", type=click.IntRange(2, 1000), help="Passes over the batch.  [default: 8]")
@click.option("--folds", type=click.IntRange(1, 2), default=2, show_default=True, help="1: the paper's single proxy.")
@click.option(
    "--max-tokens", type=click.IntRange(1), help="Train on a sample of about this many tokens.  [default: by device]"
)
@click.option(
    "--repeats",
    callback=_repeats,
    default="auto",
    show_default=True,
    metavar="auto|N",
    help="Pairs of proxies, whose scores are averaged; auto: a second one where it may change the verdict.",
)
@click.option("--reference", metavar="FILE", help="Trusted text that a policy may measure the batch against.")
@click.option(
    "--baseline", type=click.Path(path_type=Path), metavar="AUDIT_DIR", help="Audit of the last accepted batch."
)
@click.option(
    "--baseline-key",
    type=click.Path(path_type=Path),
    metavar="PUBLIC_KEY",
    help="Whoever holds its private half must have signed the baseline.",
)
@click.option(
    "--redteam", type=click.Path(path_type=Path), metavar="FILE|FOLDER", help="What a red team measured on this batch."
)
@click.option("--decisions", metavar="FILE", help="What people decided about single rows and benchmark items.")
@lens_option
@vendor_options
@click.option(
    "--ledger",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Enter the audit in this ledger, under --vendor, and look for copies of earlier deliveries.",
)
@click.option("--vendor", metavar="NAME", help="Whose batch it is; its last accepted one in a ledger is the baseline.")
@click.option(
    "--sampling-key",
    metavar="FILE",
    help="Secret bytes that decide which rows are drawn.  [default: random, for one audit]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    help="Seed of the training; without a key also of the draw, which a vendor can then rehearse.",
)
@click.option(
    "--fail-on", type=click.Choice(FAIL_ON), default="reject", show_default=True, help="Which verdicts exit with 1."
)
@format_option
@click.option(
    "--excerpts",
    type=click.Choice(EXCERPTS),
    default="redacted",
    show_default=True,
    help="How much text the report quotes. `redacted` masks secrets and numbers, not the names of persons.",
)
@click.option("--quiet", is_flag=True, help="Show only the verdict, what was not read, and the report's path.")
@click.option("--show-config", is_flag=True, help="Show every flag's value and where it comes from, and exit.")
@click.pass_context
def ingest(
    context: click.Context,
    /,
    batch: tuple[str, ...],
    policy: str,
    benchmark: tuple[str, ...],
    registry: Path | None,
    out: Path | None,
    baseline: Path | None,
    baseline_key: Path | None,
    redteam: Path | None,
    ledger: Path | None,
    vendor: str | None,
    fail_on: str,
    targets: tuple[Target, ...],
    excerpts: str,
    quiet: bool,
    show_config: bool,
    **run: Any,
) -> int:
    """Audit a batch and exit by the verdict.

    BATCH is one or more Parquet, JSONL, JSON, CSV, TSV or Arrow files, folders or globs of them; text may be compressed. Files,
    folders and globs of s3://, gs://, abfss:// and hf://datasets/OWNER/NAME@REVISION are fetched once and kept in a spool.

    SOURCE is a name of the registry, a file of such a format, a data set folder, hf:OWNER/NAME@REVISION on the
    hub, or an index that `carto-audit benchmarks build` made, which saves the time to measure what it can find.

    FORMAT shows the verdict in CI too: github prints annotations and fills the step summary, sarif, junit and gitlab are
    files in the audit's folder or at =PATH. json and markdown go to the standard output in place of the summary, or to =PATH.

    \b
    Examples:
      carto-audit ingest vendor_batch.parquet --benchmark gsm8k_test.parquet
      carto-audit ingest shards/ --policy regulated-health --benchmark mmlu.jsonl --out audits/may
      carto-audit ingest "s3://vendor/june/*.parquet" --benchmark gsm8k --registry benchmarks.yaml
      carto-audit ingest "data/*.jsonl.gz" --policy exploratory --max-tokens 500000
      carto-audit ingest batch.parquet --proxy ./last-checkpoint --policy strict --benchmark evals.parquet
      carto-audit ingest batch.parquet --policy ours.yaml --reference trusted.parquet --repeats 3
      carto-audit ingest batch.parquet --benchmark gsm8k --format github --format sarif=results/audit.sarif
      carto-audit ingest june.parquet --policy ours.yaml --baseline audits/may --redteam june-redteam
      carto-audit ingest shards/ --policy ours.yaml --benchmark gsm8k --decisions decisions.yaml
      carto-audit ingest june.parquet --policy ours.yaml --ledger audits.ledger --vendor acme
      carto-audit ingest june.parquet --policy strict --benchmark evals.parquet --sampling-key ~/.config/sampling.key
      carto-audit ingest june.parquet --policy vendor --vendor-summary june-summary --vendor-key vendor.key.pub
    """
    if show_config:
        click.echo("\n".join(shown_config(context, context.obj)))
        return ExitCode.ACCEPTED
    if not batch:
        raise click.UsageError("Missing argument 'BATCH...'.", context)
    check_apart(context.obj, batch)
    from carto_audit.artifacts.redteam_record import read_redteam, redteam_file
    from carto_audit.attestation.baseline import trusted_baseline
    from carto_audit.data.shards import batch_name, expand_paths
    from carto_audit.gate.verdict import exit_code
    from carto_audit.ledger.vendor_ledger import check_named
    from carto_audit.pipeline.judge import resolve_benchmarks
    from carto_audit.policy.model import load_policy

    trusted_baseline(baseline, baseline_key)  # refused before anything is computed, like the rest
    check_named(ledger, vendor)
    if redteam:
        read_redteam(redteam)
    folder = out or Path(f"{batch_name(batch[0])}-audit")
    sources, _ = resolve_benchmarks(load_policy(policy), benchmark, registry)
    given = [
        policy,
        *sources,
        *([str(registry)] if registry else []),
        *(run[name] for name in ("reference", "sampling_key", "decisions") if run[name]),
        *(str(path) for path in vendor_files(run["vendor_summary"], run["vendor_salt"], run["vendor_key"])),
        *([str(path) for path in baseline.iterdir()] if baseline else []),
        *([str(redteam_file(redteam))] if redteam else []),
        *([str(ledger), f"{ledger}.key"] if ledger else []),
    ]
    check_formats(targets, folder, [*expand_paths(local_inputs(batch)), *(Path(name) for name in given)])
    if excerpts == "full":
        click.echo(
            "Warning: --excerpts full quotes secrets and personal data as they are; do not publish it.", err=True
        )
    verdict = _audit(
        batch,
        folder,
        targets,
        run,
        quiet=quiet,
        policy=policy,
        benchmarks=benchmark,
        registry=registry,
        baseline=baseline,
        baseline_key=baseline_key,
        redteam=redteam,
        ledger=ledger,
        vendor=vendor,
        excerpts=excerpts,
        config=context.obj.sha256 if context.obj else None,
    )
    return exit_code(verdict, fail_on)  # type: ignore[arg-type]


@cli.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Where it goes.")
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

    click.echo("Building a vendor batch from the Python standard library, with planted risks …", err=True)
    path = scenario.write_demo(out, seed)
    folder = out / f"{path.stem}-audit"
    run = {"seed": seed, "repeats": 1, "lens": scenario.LOOKING}
    verdict = _audit([str(path)], folder, (), run, benchmarks=[str(out / scenario.BENCHMARK)])
    _show_planted(out, folder)
    return ExitCode.ACCEPTED if verdict.status == "rejected" else int(verdict.exit_code)


def _audit(
    batch: Sequence[str],
    folder: Path,
    targets: Sequence[Target],
    run: dict[str, Any],
    *,
    quiet: bool = False,
    **asked: Any,
) -> "Verdict":
    """Runs an audit into `folder` and shows the summary. What an earlier audit left in the formats' files is removed first."""
    from carto_audit import api
    from carto_audit.artifacts.audit_call import call_of
    from carto_audit.pipeline.options import AuditOptions
    from carto_audit.pipeline.outputs import prepare_folder
    from carto_audit.report.formats.terminal import RichProgress, open_console

    options = AuditOptions(**{name: value for name, value in run.items() if value is not None})
    prepare_folder(folder, [*local_inputs(batch), *([options.reference] if options.reference else [])])
    with locked(folder / LOCK):
        for stale in stale_files(targets, folder):
            stale.unlink(missing_ok=True)
    progress = SILENT if quiet else RichProgress(open_console(stderr=True))
    audit = api.audit(batch, out=folder, options=options, progress=progress, **asked)
    call = call_of(batch, out=folder, options=options, **asked)
    show_audit(audit.report.facts, folder, targets, quiet=quiet, call=call)
    if audit.entered:
        show_entered(audit.entered, asked["ledger"])
    return audit.verdict


def _show_planted(out: Path, folder: Path) -> None:
    from carto_audit.data import demo_batch as scenario
    from carto_audit.report.formats.terminal import open_console, planted_table

    found = scenario.by_kind(scenario.read_truth(out), scenario.read_found(folder))
    rows = [
        (kind.title, len(found[name]), scenario.count_flagged(found[name], name), kind.expected, kind.by)
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


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """The console script. SIGTERM, which a scheduler sends, ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # in the C locale a stream holds ASCII only
    sys.exit(run(lambda: cli.main(standalone_mode=False)))
