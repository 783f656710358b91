"""Store: one SQLite file that many processes write to at once. A row follows on the last one and is never changed or removed."""

import os
import sqlite3
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote_from_bytes

from carto_audit.artifacts.earlier_audits import Fingerprints
from carto_audit.ledger.entry import GENESIS, LARGEST_BODY, Draft, Entry, body_hash, chained, parse_entry
from carto_audit.ledger.kin import table
from carto_audit.ledger.local_disk import is_local_disk
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.files import open_regular, reason
from carto_audit.text.untrusted import safe_inline

APPLICATION_ID, VERSION = 0x6361724C, 2
"""How SQLite's own header says what the file is, and which version of these tables it holds: 1 had no fingerprints."""

PATIENCE = 30.0
"""Seconds that a writer waits for another one. An entry takes milliseconds."""

_MAGIC = b"SQLite format 3\0"
_LEAST_SQLITE = (3, 37, 0)

TABLE = """CREATE TABLE entries (
  number INTEGER PRIMARY KEY CHECK (number > 0),
  prev TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  vendor TEXT NOT NULL,
  audit TEXT NOT NULL UNIQUE,
  batch TEXT NOT NULL,
  status TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT"""

_ENTRIES = {
    "entries": TABLE,
    "entries_of_vendor": "CREATE INDEX entries_of_vendor ON entries (vendor, number, batch)",
    "entries_of_batch": "CREATE INDEX entries_of_batch ON entries (batch, vendor, number)",
    "entries_follow": f"""CREATE TRIGGER entries_follow BEFORE INSERT ON entries
WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM entries)
  OR NEW.prev IS NOT (SELECT coalesce((SELECT hash FROM entries ORDER BY number DESC LIMIT 1), '{GENESIS}'))
  OR EXISTS (SELECT 1 FROM entries WHERE audit = NEW.audit OR hash = NEW.hash)
BEGIN SELECT RAISE(ABORT, 'an entry follows on the last one'); END""",
    "entries_stay": """CREATE TRIGGER entries_stay BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'an entry is never removed'); END""",
    "entries_hold": """CREATE TRIGGER entries_hold BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'an entry is never changed'); END""",
}

SCHEMA = {**_ENTRIES, **table.SCHEMA}
"""All that the file may hold: a trigger or a view that a stranger put in would run when an entry is made."""

_SCHEMAS = {1: _ENTRIES, VERSION: SCHEMA}


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The last entry: its number, 0 in an empty ledger, and its hash. Kept elsewhere, it shows when entries are cut off."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entered:
    """What became of a draft: its number, whether it stood there before, how many its vendor has, and the last entry."""

    number: int
    head: Head
    vendor: str
    known: bool
    of_vendor: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row as it lies in the file."""

    number: int
    prev: str
    hash: str
    vendor: str
    audit: str
    batch: str
    status: str
    body: str


COLUMNS = "number, prev, hash, vendor, audit, batch, status, body"


@contextmanager
def open_ledger(path: Path, *, write: bool = False, inspect: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection to a ledger, inside one transaction; a file that is not there is made by who writes, and one of version 1
    gets the table that it lacks. Who inspects it gets one whose triggers and indexes were changed, too.

    Raises UsageError where there is none to read, AuditError in one line for what is no ledger, cannot be written, or is held by
    another process for more than PATIENCE seconds."""
    shown = safe_inline(str(path), 160)
    if sqlite3.sqlite_version_info < _LEAST_SQLITE:
        raise AuditError(f"{shown}: a ledger needs SQLite 3.37, this Python has {sqlite3.sqlite_version}")
    size = _checked(path, shown)
    if size is None and not write:
        raise UsageError(f"{shown}: no such ledger; `carto-audit ledger add` makes one of an audit")
    if size is None and not path.parent.is_dir():
        raise UsageError(f"{shown}: no such folder")
    with _told(shown), closing(_connected(path, write)) as connection:
        if write:
            _prepare(connection, path)
            connection.execute("BEGIN IMMEDIATE")
            _create(connection)
        else:
            connection.execute("BEGIN")
        _check_kind(connection, shown)
        for problem in [] if inspect else schema_problems(connection):
            raise AuditError(f"{shown}: tampered with: {problem}")
        if write:
            _migrate(connection)
        try:
            yield connection
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def enter(path: Path, drafts: Sequence[Draft], fingerprints: Mapping[str, Fingerprints] | None = None) -> list[Entered]:
    """Appends audits, all of them or none, and returns when they are on the disk. One that stands there already is left alone.
    `fingerprints` are of the batches, by audit; an audit without any can be entered too.

    Raises UsageError where it stands there under another vendor, AuditError where it cannot be written."""
    with open_ledger(path, write=True) as connection:
        known, shown = fingerprints or {}, safe_inline(str(path), 160)
        return [_enter(connection, draft, known.get(draft["audit"]), shown) for draft in drafts]


def read_head(connection: sqlite3.Connection) -> Head:
    """The last entry."""
    row = connection.execute("SELECT number, hash FROM entries ORDER BY number DESC LIMIT 1").fetchone()
    return Head(number=row[0], hash=str(row[1])) if row else Head(number=0, hash=GENESIS)


def read_rows(connection: sqlite3.Connection, where: str = "", given: tuple[object, ...] = ()) -> Iterator[Row]:
    """Rows in the order of the chain. `where` is ours, never from outside."""
    columns = COLUMNS.split(", ")[1:]
    for number, *values in connection.execute(f"SELECT {COLUMNS} FROM entries {where} ORDER BY number", given):
        yield Row(
            number=number, **dict(zip(columns, map(str, values), strict=True))
        )  # in a damaged file any type stands anywhere


def read_entry(row: Row, shown: str) -> Entry:
    """The entry of a row, held against its own hash and its columns. Raises AuditError where it was changed."""
    what = f"{shown}: entry {row.number}"
    if body_hash(row.body) != row.hash:
        raise AuditError(f"{what} was changed; `carto-audit ledger verify` says what else")
    try:
        entry = parse_entry(row.body)
    except AuditError as error:
        raise AuditError(f"{what}: {error}") from error
    if differing(row, entry):
        raise AuditError(f"{what} was changed; `carto-audit ledger verify` says what else")
    return entry


def differing(row: Row, entry: Entry) -> list[str]:
    """The columns that say otherwise than the entry itself, whose hash covers it."""
    said = {
        "number": entry.number,
        "prev": entry.prev,
        "vendor": entry.vendor,
        "audit": entry.audit,
        "batch": entry.batch.sha256,
        "status": entry.verdict.status,
    }
    return [name for name, value in said.items() if getattr(row, name) != value]


def _enter(connection: sqlite3.Connection, draft: Draft, kept: Fingerprints | None, shown: str) -> Entered:
    vendor = draft["vendor"]
    found = connection.execute("SELECT number, vendor FROM entries WHERE audit = ?", (draft["audit"],)).fetchone()
    if found and found[1] != vendor:
        other = safe_inline(found[1], 80)
        raise UsageError(f'{shown}: this audit stands there as entry {found[0]}, of vendor "{other}"; name that one')
    head = read_head(connection) if found else _append(connection, draft, kept, shown)
    (count,) = connection.execute("SELECT count(*) FROM entries WHERE vendor = ?", (vendor,)).fetchone()
    number = found[0] if found else head.number
    return Entered(number=number, head=head, vendor=vendor, known=found is not None, of_vendor=count)


def _append(connection: sqlite3.Connection, draft: Draft, kept: Fingerprints | None, shown: str) -> Head:
    last = read_head(connection)
    draft = {**draft, "sketch": dict(kept.about)} if kept is not None else draft
    body = chained(draft, last.number + 1, last.hash, datetime.now(UTC).isoformat(timespec="seconds"))
    if len(body.encode()) > LARGEST_BODY:
        raise AuditError(f"{shown}: the audit is too large to be entered: more than {LARGEST_BODY >> 20} MB")
    head = Head(number=last.number + 1, hash=body_hash(body))
    said = (draft["vendor"], draft["audit"], draft["batch"]["sha256"], draft["verdict"]["status"])
    row = (head.number, last.hash, head.hash, *said, body)
    connection.execute(f"INSERT INTO entries ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    table.write_rows(connection, head.number, kept.rows if kept is not None else ())
    return head


def _checked(path: Path, shown: str) -> int | None:
    """The size of the file, None where there is none. Raises AuditError for what SQLite must not open."""
    for beside in ("", "-journal", "-wal", "-shm"):
        place = path.with_name(path.name + beside)
        with suppress(FileNotFoundError):  # another process may remove what lies beside the ledger
            if stat.S_ISREG(place.lstat().st_mode):
                continue
            what = f"a link at {safe_inline(place.name, 80)}" if place.is_symlink() else "not a regular file"
            raise AuditError(f"{shown}: {what}; name the ledger itself")
    if not path.exists():
        return None
    try:
        with open_regular(path, follow=False) as stream:
            head = stream.read(len(_MAGIC))
            size = os.fstat(stream.fileno()).st_size
    except OSError as error:
        raise AuditError(f"{shown}: cannot be read: {reason(error)}") from error
    if size and head != _MAGIC:
        raise AuditError(f"{shown}: not a ledger: it is no SQLite file")
    return size


def _connected(path: Path, write: bool) -> sqlite3.Connection:
    """Opens the file by its full name, which may hold any byte. Who only reads opens it as a writer does, where the system lets
    them: no other can remove what WAL leaves beside the file."""
    place = f"file:{quote_from_bytes(os.fsencode(path.absolute()))}?mode={'rwc' if write else 'rw'}"
    connection = sqlite3.connect(place, timeout=PATIENCE, isolation_level=None, uri=True)
    try:
        connection.execute("PRAGMA schema_version").fetchone()  # the first look into the file
    except sqlite3.OperationalError as error:
        connection.close()
        if write or error.sqlite_errorname != "SQLITE_CANTOPEN" or path.with_name(path.name + "-wal").exists():
            raise
        # a ledger in WAL mode in a folder that cannot be written, where nobody else can write either
        connection = sqlite3.connect(f"{place}&immutable=1", isolation_level=None, uri=True)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * LARGEST_BODY)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")  # what is no UTF-8 fits no hash
    connection.execute(f"PRAGMA query_only = {'OFF' if write else 'ON'}")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """WAL on a disk of this machine, where it works; elsewhere the journal that every file system can hold. WAL over a network
    loses entries, since its index is shared memory."""
    connection.execute("PRAGMA synchronous = FULL")
    (fresh,) = connection.execute("SELECT count(*) = 0 FROM sqlite_schema").fetchone()
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    local = is_local_disk(path)
    if fresh and local and mode != "wal":
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
    elif mode == "wal" and not local:
        with suppress(sqlite3.OperationalError):  # somebody reads it: another time
            connection.execute("PRAGMA journal_mode = DELETE")


def _create(connection: sqlite3.Connection) -> None:
    """Makes the tables in a file that holds nothing at all."""
    known = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    stamps = (
        connection.execute("PRAGMA application_id").fetchone() + connection.execute("PRAGMA user_version").fetchone()
    )
    if known == (0,) and stamps == (0, 0):
        for sql in SCHEMA.values():
            connection.execute(sql)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def read_version(connection: sqlite3.Connection) -> int:
    """Which version of the tables a ledger holds."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _migrate(connection: sqlite3.Connection) -> None:
    """Gives a ledger of version 1, which holds as it is, the table of fingerprints. Its entries stay without any."""
    if read_version(connection) < VERSION:
        for sql in table.SCHEMA.values():
            connection.execute(sql)
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _check_kind(connection: sqlite3.Connection, shown: str) -> None:
    """Raises AuditError for another program's file, a later version's, or one whose table is not the one that we made."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    version = read_version(connection)
    if not application and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
        raise AuditError(f"{shown}: empty: nothing has been entered in it yet")
    if application != APPLICATION_ID:
        raise AuditError(f"{shown}: not a ledger: a SQLite file of another program")
    if version not in _SCHEMAS:
        raise AuditError(
            f"{shown}: a ledger of version {version}, this carto-audit reads versions 1 to {VERSION}; use a newer one"
        )
    if connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'entries'").fetchone() != (TABLE,):
        raise AuditError(f"{shown}: tampered with: its table of entries is missing or was changed")


def schema_problems(connection: sqlite3.Connection) -> list[str]:
    """Triggers, indexes and tables that are missing, changed, or not ours."""
    expected = _SCHEMAS[read_version(connection)]
    held = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
    found = dict(connection.execute(held).fetchall())
    problems = []
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            change = "is missing" if name not in found else "was changed" if name in expected else "was added"
            problems.append(f'"{safe_inline(name, 60)}" of its tables and triggers {change}')
    return problems


@contextmanager
def _told(shown: str) -> Iterator[None]:
    """SQLite's errors in one line each."""
    try:
        yield
    except UnicodeDecodeError as error:  # a message of SQLite that quotes the file
        raise AuditError(f"{shown}: {_REASONS['SQLITE_CORRUPT']}") from error
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        words = next((words for start, words in _REASONS.items() if name.startswith(start)), "")
        raise AuditError(f"{shown}: {words or f'cannot be used: {safe_inline(str(error), 120)}'}") from error


_REASONS = {
    "SQLITE_FULL": "cannot be written: the disk is full; free some space and run again",
    "SQLITE_READONLY": "cannot be written: it is read-only",
    "SQLITE_CANTOPEN": "cannot be opened: permission denied, or its folder cannot be written",
    "SQLITE_BUSY": f"another process holds it for more than {PATIENCE:.0f} seconds; run again",
    "SQLITE_NOTADB": "not a ledger: it is no SQLite file",
    "SQLITE_CORRUPT": "damaged: SQLite cannot read it; restore a copy",
    "SQLITE_IOERR": "cannot be written or read: the disk failed or is full; free some space and run again",
}
