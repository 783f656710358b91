"""The chain: every entry held against its own hash, its columns and the entry before it. What does not hold is named."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from carto_audit.artifacts.audit_record import ACCEPTED
from carto_audit.ledger.entry import GENESIS, EnteredSketch, body_hash, parse_entry
from carto_audit.ledger.kin.table import count_rows, digests
from carto_audit.ledger.store import (
    SCHEMA,
    Head,
    Row,
    differing,
    open_ledger,
    read_head,
    read_rows,
    schema_problems,
)
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.text.untrusted import safe_inline

MOST_PROBLEMS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainCheck:
    """What was found: the last entry, how many there are, which accepted ones have no fingerprints, and what does not hold, in
    words."""

    head: Head
    entries: int
    without: tuple[int, ...]
    problems: tuple[str, ...]


def check_chain(path: Path, kept: str | None = None, *, whole: bool = True) -> ChainCheck:
    """Reads a whole ledger. `kept` is a head that was written down, `NUMBER:HASH` or the hash alone: it must still be in it.
    Unless it is `whole`, fingerprints are counted and not read.

    Raises UsageError where `kept` is no head, AuditError where the file cannot be read or is no ledger."""
    number, digest = _kept(kept) if kept is not None else (None, "")
    with open_ledger(path, inspect=True) as connection:
        rows = list(read_rows(connection))
        problems = [*_damage(connection), *schema_problems(connection), *find_problems(rows)]
        sketches = _sketches(rows)
        problems += _fingerprint_problems(connection, sketches, whole)
        head = read_head(connection)
    if kept is not None:
        problems += _missing(rows, number, digest)
    without = tuple(row.number for row in rows if row.status in ACCEPTED and sketches.get(row.number) is None)
    return ChainCheck(head=head, entries=len(rows), without=without, problems=tuple(problems))


def require_intact(path: Path) -> None:
    """Raises AuditError in one line where a ledger does not hold: nothing is concluded from it, and nothing added. Fingerprints
    are only counted: there may be many millions."""
    problems = check_chain(path, whole=False).problems
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


def _sketches(rows: list[Row]) -> dict[int, EnteredSketch | None]:
    """What the entries that are as their hashes say tell of their fingerprints, by number."""
    found: dict[int, EnteredSketch | None] = {}
    for row in rows:
        if body_hash(row.body) == row.hash:
            with suppress(ValueError, AttributeError):  # no entry at all, which is named elsewhere
                kept = json.loads(row.body).get("sketch")
                found[row.number] = None if kept is None else EnteredSketch.model_validate(kept)
    return found


def _fingerprint_problems(
    connection: sqlite3.Connection, sketches: dict[int, EnteredSketch | None], whole: bool
) -> Iterator[str]:
    """What does not hold of the fingerprints that the entries speak of."""
    said = {number: one for number, one in sketches.items() if one is not None}
    kept = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'passages' AND sql = ?"
    there = connection.execute(kept, (SCHEMA["passages"],)).fetchone() is not None
    if not whole:
        expected, found = sum(one.fingerprints for one in said.values()), count_rows(connection) if there else 0
        if expected != found:
            yield f"its entries have {expected:,} fingerprints, and {found:,} stand there"
        return
    try:
        read = digests(connection) if there else {}
    except (ValueError, TypeError, OverflowError):
        yield "its fingerprints cannot be read"
        return
    for number in sorted(said.keys() | read.keys()):
        count, digest = read.get(number, (0, said[number].sha256 if number in said else ""))
        if number not in said:
            yield f"{count:,} fingerprints of entry {number} stand there, which has none"
        elif count != said[number].fingerprints:
            yield f"entry {number} has {said[number].fingerprints:,} fingerprints, and {count:,} stand there"
        elif digest != said[number].sha256:
            yield f"fingerprints of entry {number} were changed: they are not those of its digest"


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
