"""The command that shows how a vendor's batches went over time."""

from pathlib import Path

import click

from carto_audit.cli.ledger.book import check_page
from carto_audit.runtime.errors import ExitCode


@click.command()
@click.option("--ledger", "path", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The ledger.")
@click.option("--vendor", metavar="NAME", help="Only this vendor, in full.  [default: a line for each]")
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME", help="Show this metric; may be repeated.  [default: masses]"
)
@click.option("--last", type=click.IntRange(1, 1000), default=30, show_default=True, help="Audits of each vendor.")
@click.option("--html", "page", type=click.Path(path_type=Path), metavar="PAGE", help="Write a page with trends too.")
def history(path: Path, vendor: str | None, metrics: tuple[str, ...], last: int, page: Path | None) -> int:
    """Show how the batches of each vendor went: verdicts and masses over time, newest last.

    Entries that are shown are held against their hashes; `carto-audit ledger verify` reads the whole chain.

    \b
    Examples:
      carto-audit history --ledger audits.ledger
      carto-audit history --ledger audits.ledger --vendor acme --html acme.html
      carto-audit history --ledger audits.ledger --vendor acme --metric ledger.cusum --metric batch.tokens
    """
    from carto_audit.ledger.history import trends
    from carto_audit.ledger.history_table import history_tables
    from carto_audit.report.formats.terminal import open_console, tame

    check_page(page, path)
    found = trends(path, vendor=vendor, metrics=metrics, last=last)
    console = open_console()
    counted = f"{found.entries:,} {'audit' if found.entries == 1 else 'audits'} in {tame(str(path), 400)}"
    one = f"; {tame(found.vendors[0].vendor, 80)}: {found.vendors[0].audits:,}" if len(found.vendors) == 1 else ""
    click.echo(counted + one)
    for table in history_tables(found, plain="utf" not in console.encoding.lower()):
        console.print(table)
    if found.left_out:
        click.echo(f"and {found.left_out:,} more vendors whose last audit is older; name one with --vendor")
    if page is not None:
        from carto_audit.ledger.pages.history_page import render_history
        from carto_audit.runtime.files import write_text

        write_text(page, render_history(found, path.name))
        click.echo(f"Page: {tame(str(page), 400)}")
    return ExitCode.ACCEPTED
