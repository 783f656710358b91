"""The command that lays audits side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from carto_audit.cli.ledger.book import check_page
from carto_audit.runtime.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from carto_audit.ledger.compare import Side


@click.command()
@click.argument("audits", nargs=-1, required=True, metavar="A [B]...")
@click.option(
    "--ledger",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A, B are vendors in it: their last audits.",
)
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Compare this metric; may be repeated.")
@click.option(
    "--html", "page", type=click.Path(path_type=Path), metavar="PAGE", help="Write a page too, with the maps."
)
def compare(audits: tuple[str, ...], path: Path | None, metrics: tuple[str, ...], page: Path | None) -> int:
    """Lay two or more audits side by side: verdicts, masses, what came and what went.

    A and B are folders of finished audits, each compared with the first. With --ledger they are vendors, whose last audits are
    taken; one vendor alone is compared with its batch before. The interval of a difference is made of the two intervals (MOVER:
    Zou and Donner 2008, Newcombe 1998). Exits with 0 whatever the verdicts are.

    \b
    Examples:
      carto-audit compare audits/may audits/june
      carto-audit compare audits/acme audits/globex audits/initech --html vendors.html
      carto-audit compare acme globex --ledger audits.ledger
      carto-audit compare acme --ledger audits.ledger --metric memorized.token_share
    """
    from carto_audit.ledger.compare import METHOD, compare_sides, confidence, folder_sides, notes, vendor_sides
    from carto_audit.ledger.compare_table import metric_table, side_table
    from carto_audit.report.formats.terminal import open_console, tame

    folders = [] if path is not None else [Path(name) for name in audits]
    check_page(page, path, folders)
    sides = vendor_sides(path, audits) if path is not None else folder_sides(folders)
    rows = compare_sides(sides, metrics)
    console = open_console()
    console.print(side_table(sides, plain="utf" not in console.encoding.lower()))
    console.print(metric_table(rows, sides))
    for note in notes(sides):
        click.echo(tame(note, 400))
    click.echo(f"{METHOD} Here that is {100 * confidence(sides):g} %.")
    _show_changes(sides, console)
    if page is not None:
        from carto_audit.ledger.pages.compare_page import render_comparison
        from carto_audit.runtime.files import write_text

        write_text(page, render_comparison(sides, rows))
        click.echo(f"Page: {tame(str(page), 400)}")
    return ExitCode.ACCEPTED


def _show_changes(sides: Sequence["Side"], console: "Console") -> None:
    """Rows and benchmark items that came or went, where the audits' folders are at hand."""
    from carto_audit.ledger.compare_table import change_lines, example_table
    from carto_audit.report.formats.terminal import tame

    first = sides[0]
    for side in sides[1:]:
        if first.folder is None or side.folder is None:
            click.echo(
                "A ledger holds figures, no rows: name the audits' folders to see rows, benchmark items and maps"
            )
            return
        from carto_audit.ledger.row_changes import item_changes, row_changes

        rows = row_changes(first.folder, side.folder)
        for line in change_lines(side.title, first.title, rows, item_changes(first.folder, side.folder)):
            click.echo(tame(line, 1000))
        if rows and rows.appeared.rows:
            click.echo(f"The most memorized rows only in {tame(side.title, 60)}:")
            console.print(example_table(rows.appeared))
