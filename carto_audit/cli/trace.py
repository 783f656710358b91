"""The commands about the losses of a real run: read checkpoints over its planted batch, and score its trace."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carto_audit.cli.report import EXCERPTS, FAIL_ON, check_formats, format_option, show_audit
from carto_audit.report.formats.targets import Target
from carto_audit.runtime.errors import ExitCode
from carto_audit.text.untrusted import safe_inline

if TYPE_CHECKING:
    from carto_audit.artifacts.real_run_facts import RealRunFacts

FOLDER = click.Path(path_type=Path)


@click.group()
def trace() -> None:
    """Read what checkpoints of a real run make of its planted batch.

    Logging the losses of the run itself takes some lines in its own script: docs/real_runs.md.
    """


@trace.command("read")
@click.argument("checkpoints", nargs=-1, required=True, type=FOLDER, metavar="CHECKPOINT...")
@click.argument("planted", type=FOLDER)
@click.option("--out", type=FOLDER, help="The file that is written.  [default: ./<last checkpoint>-readings.parquet]")
@click.option(
    "--tokenizer", type=FOLDER, metavar="FOLDER", help="The run's tokenizer.  [default: of the first checkpoint]"
)
@click.option(
    "--trace", "logged", type=FOLDER, metavar="TRACE", help="Read rows as the run with this trace reads them."
)
@click.option("--max-length", type=click.IntRange(16, 1 << 30), help="Tokens after which a sample is cut.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True)
@click.option("--quiet", is_flag=True, help="Show only the file's path.")
def read(
    checkpoints: tuple[Path, ...], planted: Path, out: Path | None, logged: Path | None, quiet: bool, **run: Any
) -> int:
    """Read the token losses of checkpoints on a planted batch, its twins and its held-out rows.

    CHECKPOINT is a local folder of transformers with a causal language model; nothing is fetched, and none of its code is run.
    Several, given in the order of the run, become one file. PLANTED is the folder that `carto-audit plant` made.

    The file is for `carto-audit score`: of the checkpoint before the run for --base, of an early one and the last for --late. A
    killed reading goes on where it was.

    \b
    Examples:
      carto-audit trace read ./checkpoint-0 planted --out base.parquet
      carto-audit trace read run/checkpoint-500 run/checkpoint-4000 planted --trace losses --out late.parquet
    """
    from carto_audit.real_runs.reading.read_checkpoints import read_checkpoints
    from carto_audit.report.formats.terminal import RichProgress, open_console
    from carto_audit.runtime.progress import SILENT

    target = out or Path(f"{checkpoints[-1].resolve().name}-readings.parquet")
    progress = SILENT if quiet else RichProgress(open_console(stderr=True))
    facts = read_checkpoints(checkpoints, planted, target, trace=logged, progress=progress, **run)
    if not quiet:
        cut = f", cut at {facts['longest']:,} tokens" if facts["longest"] else ""
        click.echo(
            f"{len(facts['checkpoints'])} checkpoints read over {facts['samples']:,} samples, {facts['tokens']:,} tokens, "
            f"{facts['way']}{cut}; {facts['twins']:,} twins and {facts['held_out']:,} held-out rows among them"
        )
    click.echo(safe_inline(str(target), 400))
    return ExitCode.ACCEPTED


@trace.command("proxies")
@click.argument("planted", type=FOLDER)
@click.option(
    "--out", type=FOLDER, default=Path("proxies.parquet"), show_default=True, help="The file that is written."
)
@click.option("--tokenizer", type=FOLDER, required=True, metavar="FOLDER", help="The run's tokenizer.")
@click.option(
    "--trace", "logged", type=FOLDER, metavar="TRACE", help="Read rows as the run with this trace reads them."
)
@click.option("--max-length", type=click.IntRange(16, 1 << 30), help="Tokens after which a sample is cut.")
@click.option("--epochs", type=click.IntRange(2, 1000), default=8, show_default=True, help="Of each proxy's training.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True)
@click.option("--quiet", is_flag=True, help="Show only the file's path.")
def proxies(planted: Path, out: Path, logged: Path | None, quiet: bool, **run: Any) -> int:
    """Train two proxies on a planted batch and read what each makes of the rows that it never read.

    The proxies are those of `carto-audit ingest`, in the run's own tokens; all rows are trained on. The file is for `carto-audit
    score --base`: it tells better than a first visit what a row costs a model that has not read it, for the price of an audit. A
    killed training goes on where it was.

    \b
    Example:
      carto-audit trace proxies planted --tokenizer ./checkpoint --trace losses --out proxies.parquet
    """
    from carto_audit.real_runs.reading.read_checkpoints import read_proxies
    from carto_audit.report.formats.terminal import RichProgress, open_console
    from carto_audit.runtime.progress import SILENT

    progress = SILENT if quiet else RichProgress(open_console(stderr=True))
    facts = read_proxies(planted, out, trace=logged, progress=progress, **run)
    if not quiet:
        parameters = facts["checkpoints"][0]["parameters"]
        click.echo(
            f"Two proxies of {parameters:,} parameters read {facts['samples']:,} samples, {facts['tokens']:,} tokens"
        )
    click.echo(safe_inline(str(out), 400))
    return ExitCode.ACCEPTED


@click.command()
@click.argument("trace", type=FOLDER)
@click.argument("planted", type=FOLDER)
@click.option("--policy", default="default", show_default=True, metavar="NAME|FILE", help="Risk policy.")
@click.option("--tokenizer", type=FOLDER, metavar="FOLDER", help="The run's tokenizer.  [default: that of `plant`]")
@click.option(
    "--base",
    type=FOLDER,
    metavar="FILE",
    help="Reading of proxies, or of the checkpoint before the run: what is unseen.",
)
@click.option(
    "--late", type=FOLDER, metavar="FILE", help="Reading of the last checkpoint, and of an early one before it."
)
@click.option("--benchmark", multiple=True, metavar="SOURCE", help="Evaluation set to look for; may be repeated.")
@click.option("--registry", type=FOLDER, metavar="FILE", help="List of benchmarks.  [default: benchmarks.yaml]")
@click.option("--out", type=FOLDER, help="Where report, scores and verdict go.  [default: ./<trace>-score]")
@click.option(
    "--fail-on", type=click.Choice(FAIL_ON), default="reject", show_default=True, help="Which verdicts exit with 1."
)
@format_option
@click.option(
    "--excerpts", type=click.Choice(EXCERPTS), default="redacted", show_default=True, help="How much text is quoted."
)
@click.option("--quiet", is_flag=True, help="Show only the verdict, what was not read, and the report's path.")
def score(
    trace: Path,
    planted: Path,
    out: Path | None,
    fail_on: str,
    targets: tuple[Target, ...],
    benchmark: tuple[str, ...],
    quiet: bool,
    **asked: Any,
) -> int:
    """Score the trace of a real run, and exit by the verdict.

    TRACE is the folder that LossLogger wrote, PLANTED the one that `carto-audit plant` made. What the run lost on a row between
    its first visit (or, with --base, the checkpoint before the run) and its end, less what it lost on rows that it never saw, is
    what it keeps of that row. The map, the proof on planted secrets, the policy's rules and the report are those of
    `carto-audit ingest`, and the folder serves every command that takes an audit.

    Twins and held-out rows are in no trace: only readings know them (`carto-audit trace read`), and without them no line can be
    drawn and nothing is accepted. Nothing is where no secret of the policy's dose was planted.

    \b
    Examples:
      carto-audit score losses planted --late late.parquet --benchmark gsm8k_test.parquet
      carto-audit score losses planted --base base.parquet --late last.parquet --policy ours.yaml
    """
    from carto_audit.artifacts.audit_folder import open_audit_folder
    from carto_audit.artifacts.file_list import VERDICT
    from carto_audit.gate.verdict import exit_code, read_verdict
    from carto_audit.real_runs.scoring.score import Asked, score_into
    from carto_audit.report.formats.terminal import RichProgress, open_console
    from carto_audit.runtime.progress import SILENT

    folder = out or Path(f"{trace.resolve().name}-score")
    run = Asked(trace=trace, planted=planted, benchmarks=benchmark, **asked)
    given = [planted / "batch", *(Path(source) for source in benchmark)]
    check_formats(targets, folder, [*given, *(asked[name] for name in ("base", "late") if asked[name])])
    facts = score_into(run, folder, SILENT if quiet else RichProgress(open_console(stderr=True)))
    show_audit(facts, folder, targets, quiet=quiet, call=run.call(folder))
    if not quiet and not any(target.claims_stdout for target in targets):
        _show(facts["real_run"])
    return exit_code(read_verdict(open_audit_folder(folder).document(VERDICT)), fail_on)  # type: ignore[arg-type]


def _show(run: "RealRunFacts") -> None:
    """The run, and how well it was seen."""
    from rich.text import Text

    from carto_audit.report.batch_words import run_sentences
    from carto_audit.report.formats.terminal import empty_table, open_console

    for sentence in run_sentences(run):
        click.echo(safe_inline(sentence, 600))
    table = empty_table("secrets planted", "secrets", "AUC, rows", "AUC, twins", "recall in 2 %")
    for dose, one in run["sight"].items():
        twins = "-" if one["auc_twins"] is None else f"{one['auc_twins']:.3f}"
        cells = (f"x{dose}", f"{one['secrets']}", f"{one['auc_ordinary']:.3f}", twins, f"{one['recall_at_2pct']:.2f}")
        table.add_row(*map(Text, cells))
    open_console().print(table)
