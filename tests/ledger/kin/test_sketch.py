import numpy as np
import pytest

from carto_audit.ledger.kin import sketch as sketches
from carto_audit.ledger.kin.picking import GUARANTEED
from carto_audit.ledger.kin.secret import LedgerKey
from carto_audit.ledger.kin.sketch import make_sketch
from carto_audit.ledger.kin.table import digest_of
from tests.support.audits import sentences
from tests.support.deliveries import KEY, delivered


def test_rows_are_counted_with_exact_copies_and_boilerplate_without():
    text, other = sentences(2, words=40)
    copies = make_sketch(delivered([text] * 50 + [other]), KEY)
    assert sorted(set(copies.rows.tolist())) == [1, 50]
    assert not copies.boilerplate.any()
    endings = sentences(50, seed=3, words=12)
    forms = make_sketch(delivered([f"{text} {ending}" for ending in endings], cap=32), KEY)
    common = forms.rows == 50
    assert common.any()
    assert (forms.boilerplate == common).all()
    assert make_sketch(delivered([f"{text} {ending}" for ending in endings], cap=50), KEY).boilerplate.sum() == 0


def test_where_there_are_too_many_those_with_the_lowest_numbers_stay(monkeypatch):
    texts = sentences(300, words=60)
    whole = make_sketch(delivered(texts), KEY)
    assert whole.rate == 1
    monkeypatch.setattr(sketches, "_PENDING", 500)  # the bound falls again and again
    few = make_sketch(delivered(texts), KEY, most=400)
    assert len(few.fingerprint) == 400
    assert 400 / len(whole.fingerprint) < few.rate < 0.4
    assert set(few.fingerprint.tolist()) < set(whole.fingerprint.tolist())
    at_once = make_sketch(delivered(texts, chunk=300), KEY, most=400)
    assert np.array_equal(few.fingerprint, at_once.fingerprint)
    assert np.array_equal(few.of, at_once.of)
    fewer = make_sketch(delivered(texts), KEY, most=100)
    assert set(fewer.fingerprint.tolist()) < set(few.fingerprint.tolist())


def test_the_rate_is_the_chance_that_a_passage_is_found():
    texts = sentences(800, words=GUARANTEED)
    sketch = make_sketch(delivered(texts), KEY, most=200)
    assert len(np.unique(sketch.sample)) == 200
    assert sketch.rate == pytest.approx(200 / 800, abs=0.05)  # three standard errors
    keys = make_sketch(delivered([f"key {k:032x}" for k in range(10**20, 10**20 + 800)]), KEY, most=200)
    assert keys.rate < 200 / 800  # keys are seen rather more often


def test_another_key_shares_nothing_and_the_entry_says_which(tmp_path):
    batch = delivered(sentences(30))
    one, other = make_sketch(batch, KEY), make_sketch(batch, LedgerKey(b"x" * 32))
    assert not set(one.fingerprint.tolist()) & set(other.fingerprint.tolist())
    kept = one.kept(KEY, 32)
    assert kept.about["key"] == KEY.commitment
    assert "k" * 32 not in str(kept) + repr(KEY)
    assert kept.about["sha256"] == digest_of(kept.rows)
    assert kept.about["fingerprints"] == len(kept.rows) == len(one.fingerprint)
    assert list(kept.rows) == sorted(kept.rows)


def test_a_delivery_without_words_has_none():
    empty = make_sketch(delivered(["", "…", "two words"]), KEY)
    assert (len(empty.fingerprint), empty.rate) == (0, 1)
    assert empty.kept(KEY, 32).rows == []
