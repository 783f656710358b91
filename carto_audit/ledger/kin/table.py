"""The table of fingerprints in a ledger's file: an index by fingerprint, and a digest that the entry's hash covers."""

import hashlib
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence

SCHEME = 1
"""How fingerprints are made. Those of another scheme are not compared."""

SCHEMA = {
    "passages": """CREATE TABLE passages (
  fingerprint INTEGER NOT NULL,
  entry INTEGER NOT NULL,
  rows INTEGER NOT NULL CHECK (rows > 0),
  boilerplate INTEGER NOT NULL CHECK (boilerplate IN (0, 1)),
  PRIMARY KEY (fingerprint, entry)
) STRICT, WITHOUT ROWID""",
    "passages_follow": """CREATE TRIGGER passages_follow BEFORE INSERT ON passages
WHEN NEW.entry IS NOT (SELECT max(number) FROM entries)
  OR EXISTS (SELECT 1 FROM passages WHERE fingerprint = NEW.fingerprint AND entry = NEW.entry)
BEGIN SELECT RAISE(ABORT, 'fingerprints belong to the last entry'); END""",
    "passages_stay": """CREATE TRIGGER passages_stay BEFORE DELETE ON passages
BEGIN SELECT RAISE(ABORT, 'a fingerprint is never removed'); END""",
    "passages_hold": """CREATE TRIGGER passages_hold BEFORE UPDATE ON passages
BEGIN SELECT RAISE(ABORT, 'a fingerprint is never changed'); END""",
}
"""What a ledger of version 2 holds besides its entries."""

_AT_ONCE = 500  # values in one question; SQLite allows 999 everywhere
_BLOCK = 1 << 16  # rows that are read at once
_ROW = struct.Struct("<qqq")


def digest_of(rows: Iterable[tuple[int, int, int]]) -> str:
    """Hex sha256 of fingerprints in ascending order, each with its rows and whether it is boilerplate."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(_ROW.pack(*row))
    return digest.hexdigest()


def write_rows(connection: sqlite3.Connection, entry: int, rows: Iterable[tuple[int, int, int]]) -> None:
    """Adds the fingerprints of the last entry."""
    connection.executemany(
        "INSERT INTO passages (fingerprint, entry, rows, boilerplate) VALUES (?, ?, ?, ?)",
        ((fingerprint, entry, count, common) for fingerprint, count, common in rows),
    )


def find_rows(connection: sqlite3.Connection, fingerprints: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
    """(fingerprint, entry, rows, boilerplate) of each of these that stands there: by the index, however large the table is."""
    for start in range(0, len(fingerprints), _AT_ONCE):
        asked = fingerprints[start : start + _AT_ONCE]
        marks = ",".join("?" * len(asked))
        columns = "fingerprint, entry, rows, boilerplate"
        yield from connection.execute(f"SELECT {columns} FROM passages WHERE fingerprint IN ({marks})", asked)


def count_rows(connection: sqlite3.Connection) -> int:
    """How many fingerprints there are."""
    (count,) = connection.execute("SELECT count(*) FROM passages").fetchone()
    return int(count)


def has_rows(connection: sqlite3.Connection) -> bool:
    """Whether there is any fingerprint."""
    return connection.execute("SELECT 1 FROM passages LIMIT 1").fetchone() is not None


def digests(connection: sqlite3.Connection) -> dict[int, tuple[int, str]]:
    """Of each entry how many fingerprints there are and their digest: one pass over the table, in the order of its index.

    Raises ValueError, TypeError or OverflowError where a damaged file holds what is no whole number."""
    import numpy as np  # who only enters or looks up does without

    counts: dict[int, int] = {}
    begun: dict[int, hashlib._Hash] = {}
    rows = connection.execute("SELECT entry, fingerprint, rows, boilerplate FROM passages ORDER BY fingerprint, entry")
    while block := rows.fetchmany(_BLOCK):
        table = np.array(block, dtype="<i8")
        table = table[np.argsort(table[:, 0], kind="stable")]
        entries, begins = np.unique(table[:, 0], return_index=True)
        for entry, part in zip(entries.tolist(), np.split(table[:, 1:], begins[1:]), strict=True):
            counts[entry] = counts.get(entry, 0) + len(part)
            begun.setdefault(entry, hashlib.sha256()).update(part.tobytes())
    return {entry: (counts[entry], digest.hexdigest()) for entry, digest in begun.items()}
