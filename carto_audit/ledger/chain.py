"""The chain: every entry held against its own hash, its columns and the entry before it. What does not hold is named."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from carto_audit.ledger.entry import GENESIS, body_hash, parse_entry
from carto_audit.ledger.store import Head, Row, differing, open_ledger, read_head, read_rows, schema_problems
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.text.untrusted import safe_inline

MOST_PROBLEMS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainCheck:
    """What was found: the last entry, how many there are, and what does not hold, in words."""

    head: Head
    entries: int
    problems: tuple[str, ...]


def check_chain(path: Path, kept: str | None = None) -> ChainCheck:
    """Reads a whole ledger. `kept` is a head that was written down, `NUMBER:HASH` or the hash alone: it must still be in it.

    Raises UsageError where `kept` is no head, AuditError where the file cannot be read or is no ledger."""
    number, digest = _kept(kept) if kept is not None else (None, "")
    with open_ledger(path, inspect=True) as connection:
        rows = list(read_rows(connection))
        problems = [*_damage(connection), *schema_problems(connection), *find_problems(rows)]
        head = read_head(connection)
    if kept is not None:
        problems += _missing(rows, number, digest)
    return ChainCheck(head=head, entries=len(rows), problems=tuple(problems))


def require_intact(path: Path) -> None:
    """Raises AuditError in one line where a ledger does not hold: nothing is concluded from it, and nothing added."""
    problems = check_chain(path).problems
    if problems:
        shown = safe_inline(str(path), 160)
        more = f" and {len(problems) - 1:,} more" if len(problems) > 1 else ""
        raise AuditError(f"{shown}: tampered with: {problems[0]}{more}; see `carto-audit ledger verify`")


def find_problems(rows: list[Row]) -> Iterator[str]:
    """What does not hold of the rows of a ledger, in the order of the chain."""
    last, digest = 0, GENESIS
    for row in rows:
        what = f'entry {row.number} ("{safe_inline(row.vendor, 40)}")'
        if row.number != last + 1:
            gone = f"entry {last + 1} is" if row.number == last + 2 else f"entries {last + 1} to {row.number - 1} are"
            yield f"{gone} missing"
        if body_hash(row.body) != row.hash:
            yield f"{what} was changed: its content is not that of its hash"
        else:
            yield from _contradictions(row, what)
        if row.prev != digest and row.number == last + 1:
            before = f"entry {last}" if last else "the beginning"
            yield f"{what} does not follow on {before}: one of the two was changed, removed or moved"
        last, digest = row.number, row.hash


def _contradictions(row: Row, what: str) -> Iterator[str]:
    """What an entry that is as its hash says holds against its own row."""
    try:
        wrong = differing(row, parse_entry(row.body))
    except AuditError as error:
        yield f"{what}: {error}"
        return
    if wrong:
        yield f"{what} was changed or moved: its content says otherwise on {', '.join(wrong)}"


def _damage(connection: sqlite3.Connection) -> Iterator[str]:
    """What SQLite itself finds wrong with the file."""
    for (found,) in connection.execute("PRAGMA quick_check(5)"):
        if found != "ok":
            yield f"SQLite finds the file damaged: {safe_inline(found, 120)}"


def _kept(text: str) -> tuple[int | None, str]:
    number, _, digest = text.rpartition(":")
    fit = len(digest) == 64 and not set(digest) - set("0123456789abcdef") and (not number or number.isdecimal())
    if not fit:
        shown = safe_inline(text, 80)
        raise UsageError(f'"{shown}" is no head of a ledger; it is NUMBER:HASH, or the 64 digits of the hash')
    return (int(number) if number else None), digest


def _missing(rows: list[Row], number: int | None, digest: str) -> Iterator[str]:
    if digest == GENESIS:
        return
    place = next((row.number for row in rows if row.hash == digest), None)
    if place is None:
        yield f"the head that you kept, {digest[:12]}…, is not in it: entries were cut off its end, or all was written anew"
    elif number is not None and place != number:
        yield f"the head that you kept as entry {number} stands at {place}"
