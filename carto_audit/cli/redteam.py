"""The command that measures whether acting on the map helps."""

from pathlib import Path
from typing import Any

import click

from carto_audit.cli.config import check_apart
from carto_audit.cli.reading import engine_options, reading_options
from carto_audit.runtime.remote.fetched import local_inputs
from carto_audit.text.untrusted import safe_inline


@click.command()
@click.argument("batch", nargs=-1, required=True, metavar="BATCH...")
@click.option("--policy", default="default", show_default=True, metavar="NAME|FILE", help="Whose interventions to try.")
@click.option("--quick", is_flag=True, help="One seed and fewer arms: a quarter of an hour on two cores.")
@click.option("--seeds", type=click.IntRange(1, 20), help="How many times to repeat it all.  [default: 3; quick: 1]")
@click.option(
    "--level",
    "levels",
    multiple=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of the tokens to prune; may be repeated.  [default: 0.01 0.02 0.05 0.1 0.2; quick: 0.05 0.1]",
)
@click.option(
    "--score",
    "scores",
    multiple=True,
    metavar="NAME",
    help="What ranks the rows, besides the policy's score; may be repeated: forget_score, memorized_share, …",
)
@click.option(
    "--max-perplexity-increase",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="What the pick may cost.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Where the result goes.  [default: ./<batch>-redteam]")
@click.option("--text-column", metavar="NAME", help="Column with the text.  [default: text, content, …]")
@click.option("--id-column", metavar="NAME", help="Column with unique ids.  [default: file and row number]")
@reading_options
@click.option(
    "--proxy", metavar="NAME|FOLDER", help="nano, small, base, or a transformers checkpoint.  [default: by size]"
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True)
@engine_options
@click.option(
    "--epochs",
    type=click.IntRange(2, 1000),
    help="Passes of a retraining over the batch.  [default: by room for secrets]",
)
@click.option(
    "--max-tokens", type=click.IntRange(1), help="Train on a sample of about this many tokens.  [default: by device]"
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option("--quiet", is_flag=True, help="Show only the result's path.")
def redteam(
    batch: tuple[str, ...],
    policy: str,
    quick: bool,
    seeds: int | None,
    levels: tuple[float, ...],
    scores: tuple[str, ...],
    max_perplexity_increase: float,
    out: Path | None,
    epochs: int | None,
    quiet: bool,
    **run: Any,
) -> int:
    """Measure whether acting on the map makes a model leak less, and what that costs.

    Secrets are planted in the batch, which is then audited, treated in several ways, and trained on from scratch, once per way:
    pruned by the map, at random, by deduplication, down-weighted, and as the policy says. Every model is attacked, and its
    perplexity measured on text that none of them read. The audit does not know what was planted.

    \b
    Examples:
      carto-audit redteam vendor_batch.parquet --quick
      carto-audit redteam shards/ --policy regulated-health --seeds 5 --out redteam/may
      carto-audit redteam batch.parquet --level 0.02 --level 0.05 --score forget_score
    """
    check_apart(click.get_current_context().obj, batch)
    from carto_audit import api
    from carto_audit.data.shards import batch_name
    from carto_audit.governance.report.summary import show_redteam
    from carto_audit.pipeline.options import AuditOptions
    from carto_audit.report.formats.terminal import RichProgress, open_console
    from carto_audit.runtime.progress import SILENT

    local_inputs(batch)  # a URI that cannot be fetched is refused before anything is made
    folder = out or Path(f"{batch_name(batch[0])}-redteam")
    found = api.redteam(
        batch,
        policy=policy,
        quick=quick,
        seeds=seeds,
        levels=levels,
        scores=scores,
        max_perplexity_increase=max_perplexity_increase,
        epochs=epochs,
        out=folder,
        options=AuditOptions(**{name: value for name, value in run.items() if value is not None}),
        progress=SILENT if quiet else RichProgress(open_console(stderr=True)),
    )
    if quiet:
        click.echo(safe_inline(str(folder / "redteam.html"), 400))
    else:
        show_redteam(found.facts, folder, open_console())
    return found.exit_code
