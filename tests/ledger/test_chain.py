import json
import sqlite3
from contextlib import closing

import pytest

from bench.vendors.made_up import made_up, made_up_fingerprints
from carto_audit.ledger.chain import check_chain, require_intact
from carto_audit.ledger.entry import body_hash, canonical
from carto_audit.ledger.store import SCHEMA, enter, open_ledger, read_rows
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.deliveries import as_version_1


def tamper(path, *statements, given=()):
    """Changes rows behind the back of the triggers, and puts these back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = [name for name, sql in SCHEMA.items() if sql.startswith("CREATE TRIGGER")]
        for name in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement, given)
        for name in triggers:
            connection.execute(SCHEMA[name])


def test_a_ledger_that_nobody_touched_is_intact(book):
    found = check_chain(book)
    assert (found.entries, found.head.number, found.problems) == (8, 8, ())
    require_intact(book)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "UPDATE entries SET body = replace(body, 'accepted', 'rejected') WHERE number = 3",
            'entry 3 ("acme") was changed',
        ),
        (
            "UPDATE entries SET status = 'accepted_' WHERE number = 3",
            'entry 3 ("acme") was changed or moved: its content says otherwise on status',
        ),
        (
            "UPDATE entries SET vendor = 'hooli' WHERE number = 4",
            'entry 4 ("hooli") was changed or moved: its content says otherwise on vendor',
        ),
        ("UPDATE entries SET hash = replace(hash, substr(hash, 1, 8), '00000000') WHERE number = 5", "entry 5"),
        ("DELETE FROM entries WHERE number = 4", "entry 4 is missing"),
        ("DELETE FROM entries WHERE number IN (3, 4, 5)", "entries 3 to 5 are missing"),
        ("DELETE FROM entries WHERE number = 1", "entry 1 is missing"),
    ],
)
def test_a_row_that_was_changed_or_removed_is_named(book, statement, words):
    tamper(book, statement)
    problems = check_chain(book).problems
    assert words in problems[0]
    with pytest.raises(AuditError, match="tampered with: "):
        require_intact(book)


def test_rows_in_another_order_are_named(book):
    tamper(
        book,
        "UPDATE entries SET number = 100 WHERE number = 3",
        "UPDATE entries SET number = 3 WHERE number = 4",
        "UPDATE entries SET number = 4 WHERE number = 100",
    )
    problems = check_chain(book).problems
    assert any("entry 3" in p and "moved" in p and "number" in p for p in problems)
    assert any("entry 4" in p and "moved" in p for p in problems)


def test_a_removed_row_whose_followers_moved_up_is_named(book):
    tamper(book, "DELETE FROM entries WHERE number = 4", "UPDATE entries SET number = number - 1 WHERE number > 4")
    assert 'entry 4 ("acme") was changed or moved' in check_chain(book).problems[0]


def test_a_row_that_was_hashed_anew_no_longer_carries_the_next(book):
    with closing(sqlite3.connect(book)) as connection:
        (body,) = connection.execute("SELECT body FROM entries WHERE number = 5").fetchone()
    changed = canonical(json.loads(body) | {"tool": "9.9"})
    with closing(sqlite3.connect(book, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER entries_hold")
        connection.execute("UPDATE entries SET body = ?, hash = ? WHERE number = 5", (changed, body_hash(changed)))
        connection.execute(SCHEMA["entries_hold"])
    (problem,) = check_chain(book).problems
    assert 'entry 6 ("globex") does not follow on entry 5' in problem


def test_a_cut_end_shows_against_a_head_that_was_kept(book):
    kept = str(check_chain(book).head)
    enter(book, list(made_up(2, vendors=("acme",), first=30)))
    assert check_chain(book, kept).problems == ()
    tamper(book, "DELETE FROM entries WHERE number > 7")
    assert check_chain(book).problems == ()
    (problem,) = check_chain(book, kept).problems
    assert "entries were cut off its end" in problem
    (problem,) = check_chain(book, kept.partition(":")[2]).problems
    assert "is not in it" in problem


def test_a_head_at_another_place_is_named(book):
    digest = check_chain(book).head.hash
    (problem,) = check_chain(book, f"7:{digest}").problems
    assert problem == "the head that you kept as entry 7 stands at 8"


@pytest.mark.parametrize("head", ["", "abc", "x" * 64, f"eight:{'a' * 64}", f"8:{'A' * 64}", "\x1b[31m"])
def test_what_is_no_head_is_a_usage_error(book, head):
    with pytest.raises(UsageError, match="is no head of a ledger") as refused:
        check_chain(book, head)
    assert "\x1b" not in str(refused.value)


@pytest.fixture
def printed(tmp_path):
    """A ledger of six audits, of which the accepted ones have fingerprints, and the numbers of these."""
    path = tmp_path / "printed.ledger"
    drafts = list(made_up(6))
    for draft in drafts:
        enter(path, [draft], made_up_fingerprints(draft, 30))
    return path, [k for k, draft in enumerate(drafts, 1) if draft["verdict"]["status"] == "accepted"]


def test_fingerprints_are_bound_by_their_entries(printed):
    path, accepted = printed
    found = check_chain(path)
    assert (found.entries, found.problems, found.without) == (6, (), ())
    assert len(accepted) > 3
    require_intact(path)


@pytest.mark.parametrize(
    ("statement", "words", "counted"),
    [
        ("UPDATE passages SET fingerprint = fingerprint + 1 WHERE entry = {0}", "fingerprints of entry {0} were changed", False),
        ("UPDATE passages SET rows = rows + 1 WHERE entry = {0}", "fingerprints of entry {0} were changed", False),
        ("UPDATE passages SET boilerplate = 1 WHERE entry = {0}", "fingerprints of entry {0} were changed", False),
        ("DELETE FROM passages WHERE entry = {0}", "entry {0} has 30 fingerprints, and 0 stand there", True),
        ("DELETE FROM passages WHERE entry = {0} AND fingerprint < 0", "entry {0} has 30 fingerprints, and", True),
        ("UPDATE passages SET entry = {1} WHERE entry = {0}", "entry {0} has 30 fingerprints, and 0 stand there", False),
        ("INSERT INTO passages VALUES (1, 99, 1, 0)", "1 fingerprints of entry 99 stand there, which has none", True),
        ("INSERT INTO passages VALUES (1, {0}, 1, 0)", "entry {0} has 30 fingerprints, and 31 stand there", True),
    ],
)  # fmt: skip
def test_fingerprints_that_were_changed_moved_or_removed_are_named(printed, statement, words, counted):
    path, (one, other, *_) = printed
    tamper(path, statement.format(one, other))
    problems = check_chain(path).problems
    assert any(words.format(one, other) in problem for problem in problems)
    if counted:  # before an audit they are counted only
        with pytest.raises(AuditError, match=r"tampered with: its entries have .* fingerprints, and .* stand there"):
            require_intact(path)
    else:
        require_intact(path)


def test_a_ledger_that_was_made_one_of_version_1_again_has_lost_its_fingerprints(printed):
    path, (one, *_) = printed
    as_version_1(path)
    assert f"entry {one} has 30 fingerprints, and 0 stand there" in check_chain(path).problems
    with pytest.raises(AuditError, match="tampered with: its entries have"):
        require_intact(path)


def test_accepted_entries_without_fingerprints_are_named(book):
    found = check_chain(book)
    with open_ledger(book) as connection:
        accepted = [row.number for row in read_rows(connection) if row.status.startswith("accepted")]
    assert found.without == tuple(accepted)
    assert len(accepted) > 3
