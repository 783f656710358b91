"""The commands about a ledger itself: enter an audit that was made before, and verify the chain."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from carto_audit.runtime.errors import ExitCode, UsageError
from carto_audit.text.untrusted import safe_inline

if TYPE_CHECKING:
    from carto_audit.ledger.store import Entered


_MOST_NUMBERS = 10
"""Entries that are named in one line."""


@click.group()
def ledger() -> None:
    """Keep every audit of a team in one file, as a chain in which a change shows."""


@ledger.command()
@click.argument("audit_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--ledger", "path", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The ledger.")
@click.option("--vendor", required=True, metavar="NAME", help="Whose batch was audited.")
def add(audit_dir: Path, path: Path, vendor: str) -> int:
    """Enter an audit that was made before.

    Its files are held against its statement first. A ledger that is not there is made; an audit that stands there already is
    named and left as it is. The batch is not at hand, so no fingerprints of its passages are kept, and later deliveries are not
    compared with it.

    \b
    Examples:
      carto-audit ledger add vendor_batch-audit --ledger audits.ledger --vendor acme
    """
    from carto_audit.ledger.vendor_ledger import enter_audit

    show_entered(enter_audit(audit_dir, path, vendor), path)
    return ExitCode.ACCEPTED


@ledger.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--head", metavar="NUMBER:HASH", help="The head that was kept elsewhere; it must still be in the chain.")
def verify(file: Path, head: str | None) -> int:
    """Read a ledger from its first entry to its last, fingerprints included, and name what was changed, removed or moved.

    A chain cannot tell that its end was cut off, or that all of it was written anew: keep the head that is printed where
    whoever writes to the ledger cannot, and name it with --head.

    \b
    Exit codes: 0 it holds · 1 something was changed · 2 usage error · 3 it could not be read

    \b
    Examples:
      carto-audit ledger verify audits.ledger
      carto-audit ledger verify audits.ledger --head 12:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    """
    from carto_audit.ledger.chain import MOST_PROBLEMS, check_chain
    from carto_audit.report.formats.terminal import tame

    found = check_chain(file, head)
    shown, count = tame(str(file), 400), f"{found.entries:,} {'entry' if found.entries == 1 else 'entries'}"
    if not found.problems:
        click.echo(f"INTACT: {shown}: {count}, each follows on the one before")
        click.echo(f"Head: {found.head}")
        if found.without:
            click.echo(f"Not compared with later deliveries: {_numbers(found.without)}, entered without fingerprints")
        if head is None:
            click.echo("Not shown: that its end was not cut off; keep the head elsewhere and name it with --head")
        return ExitCode.ACCEPTED
    click.echo(f"TAMPERED WITH: {shown}: {count}")
    for problem in found.problems[:MOST_PROBLEMS]:
        click.echo(f"  ! {tame(problem, 400)}")
    if len(found.problems) > MOST_PROBLEMS:
        click.echo(f"  ! and {len(found.problems) - MOST_PROBLEMS:,} more")
    return ExitCode.REJECTED


def _numbers(entries: Sequence[int]) -> str:
    """`entry 3`, `3 entries (1, 4, 7)`."""
    if len(entries) == 1:
        return f"entry {entries[0]:,}"
    more = ", …" if len(entries) > _MOST_NUMBERS else ""
    return f"{len(entries):,} entries ({', '.join(f'{number}' for number in entries[:_MOST_NUMBERS])}{more})"


def check_page(page: Path | None, ledger: Path | None, audits: Sequence[Path] = ()) -> None:
    """Refuses a page that would take the place of the ledger or of a file of an audit."""
    if page is None:
        return
    place = page.resolve()
    if ledger is not None and place.name.startswith(ledger.resolve().name) and place.parent == ledger.resolve().parent:
        raise UsageError(f"--html {safe_inline(str(page), 160)}: the ledger lies there; choose another file")
    if any(place.is_relative_to(folder.resolve()) for folder in audits):
        raise UsageError(
            f"--html {safe_inline(str(page), 160)}: an audit lies there, whose files stay; choose another file"
        )


def show_entered(entered: "Entered", path: Path) -> None:
    """Where an audit stands, on stderr: the standard output belongs to the verdict."""
    from carto_audit.report.formats.terminal import tame

    where, vendor = tame(str(path), 400), tame(entered.vendor, 80)
    place = "stands there already as" if entered.known else "is"
    first = f", the first of {vendor}" if entered.of_vendor == 1 else f", number {entered.of_vendor:,} of {vendor}"
    rest = "" if entered.known else first
    click.echo(f"Ledger: {where}: the audit {place} entry {entered.number:,}{rest}", err=True)
    click.echo(f"Head: {entered.head} (keep it elsewhere; it shows when entries are cut off)", err=True)
