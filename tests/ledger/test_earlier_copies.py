"""A delivery beside the fingerprints that a ledger keeps: which deliveries count, and what cannot be compared."""

import random
import sqlite3
from contextlib import closing

import pytest

from bench.vendors.made_up import made_up_audit
from carto_audit.ledger.chain import check_chain
from carto_audit.ledger.earlier_copies import OTHER_KEY, OTHER_SCHEME, WITHOUT
from carto_audit.ledger.kin.secret import key_path
from carto_audit.ledger.store import enter
from carto_audit.ledger.vendor_ledger import check_apart, open_vendor
from carto_audit.policy.metrics import CROSS_BATCH
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.audits import sentences
from tests.support.deliveries import delivered

DRAWN = {}
TEXTS = sentences(20, seed=4, words=40)


@pytest.fixture
def team(tmp_path):
    """Functions on a ledger: one that opens it for a vendor, and one that enters a delivery with a verdict."""
    path = tmp_path / "team.ledger"

    def opened(vendor="acme"):
        return open_vendor(path, vendor, DRAWN)

    def entered(batch, status="accepted", vendor="acme", keep=True):
        number = check_chain(path).entries if path.exists() else 0
        draft = made_up_audit(number, vendor, random.Random(number))
        draft["verdict"]["status"], draft["batch"]["sha256"] = status, batch.batch_sha256
        found = opened(vendor).copies(batch)
        enter(path, [draft], {draft["audit"]: found.fingerprints} if keep else {})
        return found

    return path, opened, entered


def test_a_delivery_of_another_vendor_counts_and_is_found_by_the_index(team):
    path, opened, entered = team
    entered(delivered(TEXTS, "1" * 64), vendor="globex")
    entered(delivered(sentences(20, seed=5), "2" * 64))
    found = opened().copies(delivered([*TEXTS[:5], *sentences(5, seed=6)], "3" * 64))
    facts = found.facts
    assert (facts["rows"], facts["own_rows"], facts["compared"], facts["not_compared"]) == (5, 0, 2, {})
    assert found.measurements[CROSS_BATCH].value == pytest.approx(facts["token_share"])
    assert [(one["entry"], one["same_vendor"]) for one in facts["earlier"]] == [(1, False)]
    with closing(sqlite3.connect(path)) as connection:
        plan = connection.execute("EXPLAIN QUERY PLAN SELECT * FROM passages WHERE fingerprint IN (1, 2)").fetchall()
    assert "SEARCH passages USING PRIMARY KEY" in plan[0][-1]


@pytest.mark.parametrize("status", ["rejected", "inconclusive"])
def test_a_delivery_that_was_not_accepted_and_is_sent_again_is_no_copy(team, status):
    _, opened, entered = team
    entered(delivered(TEXTS, "1" * 64), status=status)
    corrected = delivered([*TEXTS[:18], "another row"], "2" * 64)
    found = opened().copies(corrected)
    assert (found.facts["rows"], found.facts["compared"], found.facts["not_compared"]) == (0, 0, {})
    assert found.measurements[CROSS_BATCH].value == 0
    entered(corrected)  # that one was taken, so whoever sends it a third time repeats it
    assert opened().copies(delivered(TEXTS[:10], "3" * 64)).facts["rows"] == 10


def test_a_batch_that_was_accepted_in_one_of_its_audits_counts(team):
    _, opened, entered = team
    entered(delivered(TEXTS, "1" * 64))
    entered(delivered(TEXTS, "1" * 64), status="rejected", keep=False)
    assert opened().copies(delivered(TEXTS, "2" * 64)).facts["rows"] == 20
    assert opened().copies(delivered(TEXTS, "1" * 64)).facts["rows"] == 0


def test_entries_without_fingerprints_are_counted_and_measure_nothing_alone(team):
    path, opened, entered = team
    entered(delivered(TEXTS, "1" * 64), keep=False)
    found = opened().copies(delivered(TEXTS, "2" * 64))
    assert (found.measurements, found.facts["not_compared"]) == ({}, {WITHOUT: 1})
    entered(delivered(sentences(9, seed=8), "3" * 64))
    found = opened().copies(delivered(TEXTS, "2" * 64))
    assert (found.measurements[CROSS_BATCH].value, found.facts["not_compared"]) == (0, {WITHOUT: 1})
    # The same batch with fingerprints from another audit is compared.
    entered(delivered(TEXTS, "1" * 64))
    assert opened().copies(delivered(TEXTS, "2" * 64)).facts["not_compared"] == {}
    assert check_chain(path).without == (1,)


def test_a_lost_key_ends_in_one_line_and_another_one_is_named(team):
    path, opened, entered = team
    entered(delivered(TEXTS, "1" * 64))
    key_path(path).unlink()
    with pytest.raises(AuditError, match="the key of the ledger's fingerprints is missing") as refused:
        opened()
    assert "\n" not in str(refused.value)
    key_path(path).write_bytes(b"n" * 32)
    found = opened().copies(delivered(TEXTS, "2" * 64))
    assert (found.measurements, found.facts["not_compared"], found.facts["rows"]) == ({}, {OTHER_KEY: 1}, 0)


def test_another_scheme_is_not_compared(team, monkeypatch):
    _, opened, entered = team
    entered(delivered(TEXTS, "1" * 64))
    monkeypatch.setattr("carto_audit.ledger.earlier_copies.SCHEME", 2)
    assert opened().copies(delivered(TEXTS, "2" * 64)).facts["not_compared"] == {OTHER_SCHEME: 1}


def test_the_ledger_holds_no_word_and_the_key_lies_apart(team, tmp_path):
    path, _, entered = team
    entered(delivered(["a very secret sentence of at least so many words that it is kept as a passage"], "1" * 64))
    data = path.read_bytes()
    assert b"secret" not in data
    assert key_path(path).read_bytes() not in data
    with pytest.raises(UsageError, match="the key of the ledger lies where the batch is read"):
        check_apart(path, None, [key_path(path)])
    inside = tmp_path / "out"
    inside.mkdir()
    key_path(path).rename(inside / "k")
    key_path(path).symlink_to(inside / "k")
    with pytest.raises(UsageError, match="the key of the ledger lies in the folder that others will receive"):
        check_apart(path, inside, [])
