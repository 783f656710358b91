import os
import random
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bench.vendors.made_up import made_up, made_up_fingerprints
from carto_audit.artifacts.earlier_audits import Fingerprints
from carto_audit.ledger import store
from carto_audit.ledger.chain import check_chain
from carto_audit.ledger.history import trends
from carto_audit.ledger.local_disk import is_local_disk
from carto_audit.ledger.store import enter, open_ledger, read_entry, read_head, read_rows
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.deliveries import as_version_1


def rows_of(path):
    with open_ledger(path) as connection:
        return list(read_rows(connection))


def test_an_audit_stands_as_it_was_entered(tmp_path):
    (draft,) = made_up(1)
    (entered,) = enter(tmp_path / "a", [draft])
    (row,) = rows_of(tmp_path / "a")
    entry = read_entry(row, "a")
    assert (entered.number, entered.known, entered.of_vendor) == (1, False, 1)
    assert entered.head.hash == row.hash
    assert entry.metrics == {name: tuple(ends) for name, ends in draft["metrics"].items()}
    assert (entry.vendor, entry.batch.sha256, entry.policy.name) == ("acme", draft["batch"]["sha256"], "default")


def test_the_same_audit_is_entered_once_and_named(tmp_path, book):
    (first,) = made_up(1, vendors=("acme", "globex"))
    before = rows_of(book)
    (entered,) = enter(book, [first])
    assert (entered.number, entered.known, entered.head.number) == (1, True, 8)
    assert rows_of(book) == before
    with pytest.raises(UsageError, match='as entry 1, of vendor "acme"'):
        enter(book, [first | {"vendor": "globex"}])


def test_of_several_audits_all_are_entered_or_none(book):
    drafts = list(made_up(3, vendors=("acme",), first=20))
    drafts[2] = drafts[2] | {"audit": drafts[2]["audit"], "padding": "x" * (5 << 20)}
    with pytest.raises(AuditError, match="too large to be entered"):
        enter(book, drafts)
    assert len(rows_of(book)) == 8


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET vendor = 'other' WHERE number = 3",
        "DELETE FROM entries WHERE number = 8",
        "INSERT INTO entries VALUES (10, 'a', 'b', 'c', 'd', 'e', 'f', 'g')",
        "INSERT OR REPLACE INTO entries VALUES (8, 'a', 'b', 'c', 'd', 'e', 'f', 'g')",
        "INSERT OR REPLACE INTO entries SELECT 9, hash, 'b', vendor, audit, batch, status, body FROM entries WHERE number = 8",
    ],
)
def test_a_row_is_never_changed_removed_or_put_out_of_order(book, statement):
    with closing(sqlite3.connect(book)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)


def test_the_tables_are_strict(book):
    other = "INSERT INTO entries SELECT 9, hash, 'b', x'00', 'c', batch, status, body FROM entries WHERE number = 8"
    with closing(sqlite3.connect(book)) as connection, pytest.raises(sqlite3.IntegrityError, match="cannot store BLOB"):
        connection.execute(other)


def link(path):
    path.symlink_to("elsewhere")


def table_of_another(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE people (name TEXT)")


def newer(path):
    enter(path, list(made_up(1)))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 3")


def with_a_trigger_more(path):
    enter(path, list(made_up(1)))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TRIGGER mine AFTER INSERT ON entries BEGIN SELECT 1; END")


def with_a_trigger_less(path):
    enter(path, list(made_up(1)))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER entries_stay")


def with_another_table(path):
    enter(path, list(made_up(1)))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE entries ADD COLUMN note TEXT")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (with_a_trigger_more, '"mine" of its tables and triggers was added'),
        (with_a_trigger_less, '"entries_stay" of its tables and triggers is missing'),
    ],
)
def test_triggers_that_are_not_ours_are_named_and_nothing_is_entered(tmp_path, make, words):
    make(tmp_path / "it")
    assert check_chain(tmp_path / "it").problems == (words,)
    with pytest.raises(AuditError, match=f"tampered with: {words}"):
        enter(tmp_path / "it", list(made_up(1, first=99)))


def test_who_reads_leaves_nothing_beside_the_ledger_and_cannot_write(book):
    with open_ledger(book) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM entries")
    assert [path.name for path in book.parent.iterdir()] == [book.name]


def damaged(path):
    enter(path, list(made_up(20)))
    with path.open("r+b") as stream:
        stream.seek(4096)
        stream.write(b"\xff" * 40_000)


def with_a_pipe_beside(path):
    enter(path, list(made_up(1)))
    os.mkfifo(f"{path}-journal")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_text("not a database at all, but a text"), "it is no SQLite file"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + b"\0" * 2000), ""),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.mkdir(), "not a regular file"),
        (link, "a link"),
        (table_of_another, "a SQLite file of another program"),
        (newer, "a ledger of version 3"),
        (with_another_table, "tampered with: its table of entries is missing or was changed"),
        (damaged, ""),
        (with_a_pipe_beside, "not a regular file"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_ledger_ends_in_one_line(tmp_path, make, words):
    path = tmp_path / "it"
    make(path)
    for act in (lambda: check_chain(path), lambda: enter(path, list(made_up(1, first=99)))):
        with pytest.raises(AuditError) as refused:
            act()
        assert str(refused.value).startswith(f"{path}: ")
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)


def test_who_reads_makes_no_file(tmp_path):
    with pytest.raises(UsageError, match="no such ledger"), open_ledger(tmp_path / "none"):
        pass
    with pytest.raises(UsageError, match="no such folder"):
        enter(tmp_path / "none" / "it", list(made_up(1)))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_a_killed_writer_left_empty_is_begun_anew(tmp_path):
    (tmp_path / "it").touch()
    with pytest.raises(AuditError, match="nothing has been entered"), open_ledger(tmp_path / "it"):
        pass
    enter(tmp_path / "it", list(made_up(1)))
    assert check_chain(tmp_path / "it").entries == 1


def test_names_of_any_bytes_are_opened(tmp_path):
    path = tmp_path / "a?mode=memory#%41 \udcff.ledger"
    enter(path, list(made_up(1)))
    assert path.exists()
    assert check_chain(path).entries == 1


def journal_of(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA journal_mode").fetchone()[0]


def test_a_ledger_on_a_disk_of_this_machine_has_a_write_ahead_log(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "is_local_disk", lambda path: True)
    enter(tmp_path / "it", list(made_up(1)))
    assert journal_of(tmp_path / "it") == "wal"


def test_elsewhere_it_has_none_also_where_it_had_one_before(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "is_local_disk", lambda path: False)
    enter(tmp_path / "new", list(made_up(1)))
    assert journal_of(tmp_path / "new") == "delete"
    monkeypatch.setattr(store, "is_local_disk", lambda path: True)
    enter(tmp_path / "moved", list(made_up(1)))
    monkeypatch.setattr(store, "is_local_disk", lambda path: False)
    enter(tmp_path / "moved", list(made_up(1, first=5)))
    assert journal_of(tmp_path / "moved") == "delete"
    assert check_chain(tmp_path / "moved").entries == 2


def test_where_a_write_ahead_log_fails_the_ledger_does_without(tmp_path, monkeypatch):
    """SQLite's own file system that locks by files has no shared memory, as a network has none."""
    connect = sqlite3.connect
    monkeypatch.setattr(store, "is_local_disk", lambda path: True)
    monkeypatch.setattr(sqlite3, "connect", lambda place, **given: connect(f"{place}&vfs=unix-dotfile", **given))
    enter(tmp_path / "it", list(made_up(2)))
    assert check_chain(tmp_path / "it").problems == ()
    monkeypatch.undo()
    assert journal_of(tmp_path / "it") == "delete"


def test_what_is_not_known_to_be_local_counts_as_a_network(tmp_path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr("carto_audit.ledger.local_disk._MOUNTS", mounts)
    inside = tmp_path / "a share"
    inside.mkdir()
    mounts.write_text("1 0 8:1 / / rw - ext4 /dev/x rw\n")
    assert is_local_disk(inside / "it")
    named = str(inside).replace(" ", "\\040")
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/x rw\n2 1 0:9 / {named} rw,x - nfs4 server:/x rw\n")
    assert not is_local_disk(inside / "it")
    assert is_local_disk(tmp_path / "it")
    mounts.unlink()
    assert not is_local_disk(inside / "it")


def test_a_second_writer_waits_and_then_gives_up_in_one_line(book, monkeypatch):
    monkeypatch.setattr(store, "PATIENCE", 0.05)
    with closing(sqlite3.connect(book, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(AuditError, match=r"another process holds it .*; run again"):
            enter(book, list(made_up(1, first=50)))
        connection.execute("ROLLBACK")
    enter(book, list(made_up(1, first=50)))


def test_a_full_disk_ends_in_one_line_and_leaves_the_ledger_as_it_was(book):
    """The largest file that the process may write stands in for the disk."""
    before = rows_of(book)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (book.stat().st_size + 30_000, hard))
    try:
        with pytest.raises(AuditError, match="cannot be written"):
            enter(book, list(made_up(50, first=50)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert rows_of(book) == before
    assert check_chain(book).problems == ()


def test_a_file_that_may_not_be_written_is_named(book, monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda place, **given: connect(place.replace("rwc", "ro"), **given))
    with pytest.raises(AuditError, match="cannot be written: it is read-only"):
        enter(book, list(made_up(1, first=50)))


WRITER = """
import sys
from pathlib import Path
from bench.vendors.made_up import made_up
from carto_audit.ledger.store import enter
for draft in made_up(int(sys.argv[3]), vendors=(sys.argv[2],), first=int(sys.argv[4])):
    enter(Path(sys.argv[1]), [draft])
"""


def test_two_processes_that_begin_a_ledger_at_once_lose_nothing(tmp_path):
    path = tmp_path / "it"
    begun = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, name, "15", first])
        for name, first in (("acme", "0"), ("globex", "100"))
    ]
    assert [one.wait(timeout=60) for one in begun] == [0, 0]
    found = check_chain(path)
    assert (found.entries, found.problems) == (30, ())


def test_a_changed_entry_is_not_shown(book):
    with closing(sqlite3.connect(book, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER entries_hold")
        connection.execute("UPDATE entries SET body = replace(body, 'ana', 'eve'), status = 'accepted'")
        connection.execute("UPDATE entries SET body = body || ' ' WHERE number = 2")
        connection.execute(store.SCHEMA["entries_hold"])
    (row,) = [row for row in rows_of(book) if row.number == 2]
    with pytest.raises(AuditError, match=r"entry 2 was changed; `carto-audit ledger verify`"):
        read_entry(row, "it")


def test_the_head_of_an_empty_ledger_is_number_zero(tmp_path):
    with open_ledger(tmp_path / "it", write=True) as connection:
        assert read_head(connection).number == 0
    assert check_chain(tmp_path / "it", f"0:{'0' * 64}").problems == ()


@pytest.mark.parametrize("seed", range(3))
def test_any_damage_ends_in_one_line_or_is_told(tmp_path, seed):
    luck, path = random.Random(seed), tmp_path / "it"
    enter(path, list(made_up(12)))
    whole, said = path.read_bytes(), []
    for _ in range(25):
        for leftover in tmp_path.glob("it*"):
            leftover.unlink()
        changed = bytearray(whole)
        for _ in range(luck.choice((1, 5, 50))):
            changed[luck.randrange(len(changed) if luck.random() < 0.5 else 4096)] = luck.randrange(256)
        path.write_bytes(changed[: luck.choice((len(changed), luck.randrange(len(changed))))])
        for act in (lambda: check_chain(path), lambda: trends(path), lambda: enter(path, list(made_up(1, first=99)))):
            try:
                act()
            except (AuditError, UsageError) as refused:
                said.append(str(refused))
    assert said
    assert not any("\n" in one for one in said)


def version_of(path):
    with open_ledger(path) as connection:
        return store.read_version(connection)


def test_a_ledger_of_version_1_is_read_as_it_is_and_gets_the_table_with_the_next_entry(book):
    as_version_1(book)
    bodies = [row.body for row in rows_of(book)]
    assert (version_of(book), check_chain(book).problems) == (1, ())
    assert trends(book).entries == 8
    (draft,) = made_up(1, vendors=("acme",), first=40)
    enter(book, [draft], made_up_fingerprints(draft, 20))
    found = check_chain(book)
    assert (version_of(book), found.problems, found.entries) == (2, (), 9)
    assert [row.body for row in rows_of(book)][:8] == bodies
    assert 9 not in found.without
    assert len(found.without) > 3


def test_a_ledger_of_version_1_that_was_tampered_with_is_not_made_a_new_one(book):
    as_version_1(book)
    with closing(sqlite3.connect(book, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER entries_hold")
    with pytest.raises(AuditError, match='tampered with: "entries_hold" of its tables and triggers is missing'):
        enter(book, list(made_up(1, first=40)))
    with open_ledger(book, inspect=True) as connection:
        assert store.read_version(connection) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE passages SET rows = 9",
        "DELETE FROM passages",
        "INSERT INTO passages VALUES (1, 1, 1, 0)",
        "INSERT OR REPLACE INTO passages SELECT fingerprint, 2, 7, 0 FROM passages WHERE entry = 2",
    ],
)
def test_fingerprints_are_never_changed_or_added_later(tmp_path, statement):
    drafts = list(made_up(2))
    enter(tmp_path / "it", drafts, made_up_fingerprints(drafts[0], 5) | made_up_fingerprints(drafts[1], 5))
    with closing(sqlite3.connect(tmp_path / "it")) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)


def test_an_audit_is_entered_with_its_fingerprints_or_not_at_all(book):
    drafts = list(made_up(2, vendors=("acme",), first=40))
    (kept,) = made_up_fingerprints(drafts[1], 5).values()
    twice = Fingerprints(about=kept.about, rows=[*kept.rows, kept.rows[0]])
    with pytest.raises(AuditError, match="fingerprints belong to the last entry"):
        enter(book, drafts, {drafts[1]["audit"]: twice})
    assert len(rows_of(book)) == 8
    assert check_chain(book).problems == ()


def test_what_another_process_removes_beside_the_ledger_meanwhile_is_no_error(book, monkeypatch):
    lstat = Path.lstat

    def gone(path):
        if path.name.endswith("-shm"):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return lstat(path)

    book.with_name(f"{book.name}-shm").touch()
    monkeypatch.setattr(Path, "lstat", gone)
    enter(book, list(made_up(1, first=50)))
    assert len(rows_of(book)) == 9
