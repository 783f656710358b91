"""The command that plants controls in the batch of a real run."""

from pathlib import Path
from typing import Any

import click

from carto_audit.cli.config import check_apart
from carto_audit.cli.reading import reading_options
from carto_audit.controls.run_choices import MOST_SHARE, PACKINGS
from carto_audit.data.layouts import LAYOUT_NAMES
from carto_audit.runtime.errors import ExitCode
from carto_audit.runtime.remote.fetched import local_inputs
from carto_audit.text.untrusted import safe_inline


def _doses(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """Numbers with commas between them."""
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not all(part.isdecimal() and len(part) < 6 for part in parts):
        raise click.BadParameter(f"{safe_inline(value, 40)} is no list of whole numbers, such as 1,4,16", ctx, param)
    return tuple(map(int, parts))


@click.command()
@click.argument("batch", nargs=-1, required=True, metavar="BATCH...")
@click.option("--out", type=click.Path(path_type=Path), help="Where it all goes.  [default: ./<batch>-planted]")
@click.option("--policy", default="default", show_default=True, metavar="NAME|FILE", help="Whose dose is planted.")
@click.option(
    "--doses",
    callback=_doses,
    default="1,4,16",
    show_default=True,
    metavar="N,N",
    help="How often secrets are planted, besides the policy's dose.",
)
@click.option(
    "--share",
    type=click.FloatRange(0, MOST_SHARE, min_open=True),
    help="Of the tokens, what controls may take; above 0.01 also where it proves little.  [default: 0.01]",
)
@click.option(
    "--hold-out",
    type=click.IntRange(0, 1_000_000),
    metavar="ROWS",
    help="Rows that nobody trains on, to see drift.  [default: 1 % of the rows, 50 to 2000]",
)
@click.option("--tokenizer", metavar="FOLDER", help="The run's tokenizer: says before the run which controls survive.")
@click.option("--max-length", type=click.IntRange(1, 1 << 30), help="Tokens after which the run cuts a sample.")
@click.option(
    "--packing",
    type=click.Choice(PACKINGS),
    default="none",
    show_default=True,
    help="How the run packs samples; `wrapped` cuts them anywhere.",
)
@click.option(
    "--loss-on",
    type=click.Choice(["all", "completions"]),
    default="all",
    show_default=True,
    help="What of a sample the run takes a loss of.",
)
@click.option("--text-column", metavar="NAME", help="Column with the text, or several: A,B.  [default: by layout]")
@click.option("--layout", type=click.Choice(LAYOUT_NAMES), help="Where the text lies, where it is not found by itself.")
@click.option("--id-column", metavar="NAME", help="Column with unique ids, of which controls get new ones.")
@reading_options
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), help="Plant the same again; whoever knows it knows the secrets."
)
@click.option("--quiet", is_flag=True, help="Show only the planted batch's path, and warnings.")
def plant(batch: tuple[str, ...], out: Path | None, policy: str, quiet: bool, **run: Any) -> int:
    """Plant controls in the batch of a real run, before it begins.

    Secrets of several kinds are planted 1, 4 and 16 times and as often as the policy asks, between the rows of the batch and in
    its own formats; twins of them are never planted. Some rows are taken out: those that are held out, and those of which
    secrets are made. NOBODY TRAINS ON THESE ROWS; all of them stand in controls.parquet.

    Train on DIR/batch. Keep controls.parquet and trace.key from everyone who trains; plant.json commits you to them.

    \b
    Examples:
      carto-audit plant vendor_batch.parquet --out planted
      carto-audit plant chats.jsonl --out planted --tokenizer ./checkpoint --max-length 1024 --loss-on completions
      carto-audit plant shards/ --out planted --tokenizer ./checkpoint --max-length 2048 --packing bfd
      carto-audit plant small.jsonl --out planted --share 0.05 --doses 4 --hold-out 100
    """
    check_apart(click.get_current_context().obj, batch)
    from carto_audit import api
    from carto_audit.data.shards import batch_name
    from carto_audit.real_runs.options import PlantOptions
    from carto_audit.report.formats.terminal import RichProgress, open_console
    from carto_audit.runtime.progress import SILENT

    local_inputs(batch)  # a URI that cannot be fetched is refused before anything is made
    folder = out or Path(f"{batch_name(batch[0])}-planted")
    options = PlantOptions(**{name: value for name, value in run.items() if value is not None})
    progress = SILENT if quiet else RichProgress(open_console(stderr=True))
    planted = api.plant(batch, out=folder, policy=policy, options=options, progress=progress)
    for warning in planted.facts["warnings"]:
        click.echo(f"Warning: {safe_inline(warning, 400)}", err=True)
    if quiet:
        click.echo(safe_inline(str(planted.batch), 400))
    else:
        _show(planted.facts, folder)
    return ExitCode.ACCEPTED


def _show(facts: dict[str, Any], folder: Path) -> None:
    """What was planted, on one screen."""
    from carto_audit.text.numbers import percent

    tokens, where = facts["tokens"], safe_inline(str(folder), 400)
    rows = sum(file["planted_rows"] for file in facts["files"])
    about = "" if tokens["exact"] else "about "
    click.echo(
        f"{rows:,} control rows in {facts['planted']['rows']:,}, {percent(tokens['share'])} of {about}{tokens['total']:,} "
        f"tokens; {facts['twins']:,} twins are not planted"
    )
    held_out, lent = facts["held_out_rows"], facts["lent_rows"]
    click.echo(
        f"Nobody trains on {held_out + lent:,} of {facts['batch']['rows']:,} rows: {held_out:,} are held out, and secrets are "
        f"made of {lent:,}"
    )
    _show_secrets(facts)
    for file in facts["files"]:
        if file["converted"]:
            click.echo(f"  note: {file['delivered']}: written as Parquet, as none is written here in its own way")
        if file["json_columns"]:
            named = ", ".join(file["json_columns"][:6])
            click.echo(f"  note: {file['delivered']}: kept as JSON text, as no single type holds them: {named}")
    click.echo(f"Train on: {where}/{facts['planted']['folder']}")
    click.echo(
        f"Keep to yourself: {where}/{facts['controls']['file']}   {where}/{facts['key']}   give away: {where}/plant.json"
    )


def _show_secrets(facts: dict[str, Any]) -> None:
    """Secrets by kind and dose: those that survive, of those that were planted."""
    from rich.text import Text

    from carto_audit.report.formats.terminal import empty_table, open_console

    doses, looked = facts["doses"], facts["preflight"] is not None
    table = empty_table("surviving secrets" if looked else "secrets", *(f"x{dose}" for dose in doses), "lost to")
    for kind in dict.fromkeys(one["kind"] for one in facts["secrets"]):
        cells, lost = [], set()
        for dose in doses:
            same = [one for one in facts["secrets"] if (one["kind"], one["dose"]) == (kind, dose)]
            planted, left = sum(one["secrets"] for one in same), sum(one["surviving"] or 0 for one in same)
            lost |= {reason for one in same for reason in one["lost_to"]}
            cells.append(f"{left} of {planted}" if looked else f"{planted}")
        table.add_row(*(Text(cell) for cell in (kind, *cells, ", ".join(sorted(lost)))))
    open_console().print(table)
