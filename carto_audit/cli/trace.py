"""The commands about the losses of a real run: read checkpoints over its planted batch, and score its trace."""

from pathlib import Path
from typing import Any

import click

from carto_audit.runtime.errors import ExitCode
from carto_audit.text.untrusted import safe_inline

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
    from carto_audit.real_runs.scoring.read_checkpoints import read_checkpoints
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


@click.command()
@click.argument("trace", type=FOLDER)
@click.argument("planted", type=FOLDER)
@click.option("--policy", default="default", show_default=True, metavar="NAME|FILE", help="Risk policy.")
@click.option("--tokenizer", type=FOLDER, metavar="FOLDER", help="The run's tokenizer.  [default: that of `plant`]")
@click.option("--base", type=FOLDER, metavar="FILE", help="Reading of the checkpoint before the run: what is unseen.")
@click.option(
    "--late", type=FOLDER, metavar="FILE", help="Reading of the last checkpoint, and of an early one before it."
)
@click.option("--benchmark", multiple=True, metavar="SOURCE", help="Evaluation set to look for; may be repeated.")
@click.option("--registry", type=FOLDER, metavar="FILE", help="List of benchmarks.  [default: benchmarks.yaml]")
@click.option("--out", type=FOLDER, help="Where scores and verdict go.  [default: ./<trace>-score]")
@click.option("--quiet", is_flag=True, help="Show only the verdict and the folder.")
def score(
    trace: Path,
    planted: Path,
    policy: str,
    out: Path | None,
    benchmark: tuple[str, ...],
    registry: Path | None,
    quiet: bool,
    **run: Any,
) -> int:
    """Score the trace of a real run, and exit by the verdict.

    TRACE is the folder that LossLogger wrote, PLANTED the one that `carto-audit plant` made. What the run lost on a row between
    its first visit (or, with --base, the checkpoint before the run) and its end, less what it lost on rows that it never saw, is
    what it keeps of that row. The map, the proof on planted secrets and the policy's rules are those of `carto-audit ingest`.

    Twins and held-out rows are in no trace: only readings know them (`carto-audit trace read`), and without them no line can be
    drawn and nothing is accepted. Nothing is where no secret of the policy's dose was planted.

    \b
    Examples:
      carto-audit score losses planted --late late.parquet --benchmark gsm8k_test.parquet
      carto-audit score losses planted --base base.parquet --late last.parquet --policy ours.yaml
    """
    from carto_audit.api import resolve_benchmarks
    from carto_audit.policy.model import load_policy
    from carto_audit.real_runs.scoring.score import score_into
    from carto_audit.report.formats.terminal import RichProgress, open_console
    from carto_audit.runtime.progress import SILENT

    chosen = load_policy(policy)
    sources, listed = resolve_benchmarks(chosen, benchmark, registry)
    folder = out or Path(f"{trace.resolve().name}-score")
    progress = SILENT if quiet else RichProgress(open_console(stderr=True))
    facts = score_into(
        trace, planted, folder, policy=chosen, benchmarks=sources, registry=listed, progress=progress, **run
    )
    if not quiet:
        _show(facts)
    for warning in facts["warnings"]:
        click.echo(f"Warning: {safe_inline(warning, 400)}", err=True)
    click.echo(f"{facts['verdict']['status']}: {safe_inline(str(folder), 400)}")
    return int(facts["verdict"]["exit_code"])


def _show(facts: dict[str, Any]) -> None:
    """The run, what can be seen in it, and the rules that do not hold, on one screen."""
    from rich.text import Text

    from carto_audit.policy.values import finding_words
    from carto_audit.report.formats.terminal import empty_table, open_console

    run, detection = facts["run"], facts["detection"]
    found = run["identified"]
    click.echo(
        f"A real run of {run['epochs']} epochs and {run['steps']:,} steps: {found['found']:,} of {found['rows']:,} rows stand in "
        "its trace"
    )
    drift = run["drift"]
    click.echo(f"Unseen: {run['unseen']}; learned: {run['learned']}; drift by {drift['rows']:,} {drift['told_by']}")
    table = empty_table("secrets planted", "secrets", "AUC, rows", "AUC, twins", "recall in 2 %", "above the line")
    above = {str(one["dose"]): f"{one['found']} of {one['secrets']}" for one in detection["found"]}
    for dose, one in detection["sight"].items():
        twins = "-" if one["auc_twins"] is None else f"{one['auc_twins']:.3f}"
        cells = (f"{one['auc_ordinary']:.3f}", twins, f"{one['recall_at_2pct']:.2f}", above.get(dose, "-"))
        table.add_row(*(Text(cell) for cell in (f"x{dose}", f"{one['secrets']}", *cells)))
    open_console().print(table)
    for name in ("twins", "held_out"):
        one = detection[name]
        if one["above"] is not None:
            click.echo(f"{name.replace('_', '-')}: {one['above']} of {one['measured']} above the line")
    for finding in facts["findings"]:
        if finding["outcome"] != "passed":
            words = finding_words(
                finding["metric"], finding["observed"], finding["bound"], finding["limit"], finding["estimate"]
            )
            click.echo(f"{safe_inline(finding['rule'], 80)}: {finding['outcome'].replace('_', ' ')}, {words}")
