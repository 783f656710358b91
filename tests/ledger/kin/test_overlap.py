import numpy as np
import pytest

from carto_audit.ledger.kin.picking import GUARANTEED
from carto_audit.policy.metrics import CROSS_BATCH, SPLIT
from tests.support.audits import sentences
from tests.support.deliveries import Shelf, delivered

SECRET = sentences(1, seed=99, words=GUARANTEED)[0]


def own(seed, row, words=20):
    """Words that no other row has."""
    return " ".join(f"w{seed}x{row}x{k}" for k in range(words))


def with_secret(seed, times, count=20):
    """Rows of their own, some of which hold the secret between other words."""
    return [f"{own(seed, k)} {SECRET if k < times else ''} {own(seed, k + count)}" for k in range(count)]


def month(number, times):
    return delivered(with_secret(number, times), f"{number:064}")


def test_copies_split_over_deliveries_are_found_in_other_surroundings():
    shelf = Shelf()
    for number in range(3):
        found, facts, _ = shelf.compare(month(number, 1))
        assert facts["rows"] == (1 if number else 0)
        assert facts["at_dose"]["passages"] == found[SPLIT].value == 0
        shelf.put(month(number, 1))
    found, facts, _ = shelf.compare(month(3, 1))
    at_dose = facts["at_dose"]
    assert (at_dose["passages"], at_dose["rows"], at_dose["deliveries"], at_dose["split_passages"]) == (1, 1, 4, 1)
    assert (facts["rows"], facts["own_rows"], facts["most_rows"], facts["compared"]) == (1, 1, 4, 3)
    assert facts["examples"] == [{"row": 0, "most_rows": 4, "deliveries": 4, "entry": 3}]
    assert sorted((one["entry"], one["rows"], one["day"]) for one in facts["earlier"]) == [
        (1, 1, "2026-01-01"),
        (2, 1, "2026-01-02"),
        (3, 1, "2026-01-03"),
    ]
    assert 0 < found[SPLIT].value <= found[CROSS_BATCH].value < 0.03


def test_two_and_two_copies_reach_the_dose_together():
    shelf = Shelf()
    shelf.put(month(0, 2))
    found, facts, _ = shelf.compare(month(1, 2))
    assert (facts["most_rows"], facts["at_dose"]["rows"], facts["at_dose"]["deliveries"]) == (4, 2, 2)
    assert found[SPLIT].value > 0
    # What one delivery alone holds often enough was for its own audit to see.
    shelf.put(month(2, 4))
    found, facts, _ = shelf.compare(month(3, 1))
    assert (facts["at_dose"]["split_passages"], found[SPLIT].value) == (0, 0)
    assert facts["at_dose"]["passages"] == 1


def test_a_replayed_delivery_is_all_copies_and_a_new_one_none():
    texts, shelf = sentences(40, seed=1, words=50), Shelf()
    shelf.put(delivered(texts, "1" * 64))
    found, facts, _ = shelf.compare(delivered(texts[::-1] + texts[:3], "2" * 64))
    assert found[CROSS_BATCH].value > 0.8  # the ends of a row are seldom covered
    assert facts["rows"] == 43
    found, facts, _ = shelf.compare(delivered(sentences(40, seed=2, words=50), "3" * 64))
    assert (found[CROSS_BATCH].value, facts["rows"], facts["most_rows"], facts["examples"]) == (0, 0, 0, [])


def test_the_same_batch_again_is_no_copy_of_itself_and_counts_once():
    batch, shelf = month(0, 1), Shelf()
    shelf.put(batch)
    shelf.put(batch)
    found, facts, _ = shelf.compare(batch)
    assert (found[CROSS_BATCH].value, facts["compared"], facts["rows"]) == (0, 0, 0)
    _, facts, _ = shelf.compare(month(1, 1))
    assert (facts["compared"], facts["most_rows"]) == (1, 2)
    assert facts["earlier"] == [{"entry": 2, "day": "2026-01-02", "same_vendor": True, "rows": 1}]


def test_boilerplate_of_either_delivery_is_left_out():
    header, shelf = sentences(1, seed=50, words=40)[0], Shelf()

    def forms(seed, times):
        texts = [f"{header if k < times else ''} {own(seed, k)}" for k in range(80)]
        return delivered(texts, f"{seed:064}", cap=32)

    shelf.put(forms(1, 3))
    found, facts, _ = shelf.compare(forms(2, 60))  # boilerplate here
    assert (found[CROSS_BATCH].value, facts["rows"], facts["at_dose"]["passages"]) == (0, 0, 0)
    assert facts["boilerplate_passages"] > 0
    shelf.put(forms(3, 60))
    found, facts, _ = shelf.compare(forms(4, 3))  # and there
    assert (found[CROSS_BATCH].value, facts["rows"]) == (0, 0)
    assert facts["boilerplate_passages"] > 0


def test_passages_of_other_vendors_count_and_are_told_apart():
    shelf = Shelf()
    shelf.put(month(0, 3), same_vendor=False)
    _, facts, _ = shelf.compare(month(1, 2))
    assert (facts["rows"], facts["own_rows"], facts["own_token_share"]) == (2, 0, 0)
    assert facts["token_share"] > 0
    assert [one["same_vendor"] for one in facts["earlier"]] == [False]


def test_a_sample_of_the_passages_bounds_the_share_from_both_sides():
    texts, shelf = sentences(200, seed=1, words=60), Shelf()
    shelf.put(delivered(texts, "1" * 64), most=300)
    half = delivered(texts[:100] + sentences(100, seed=2, words=60), "2" * 64)
    found, facts, sketch = shelf.compare(half)
    assert sketch.rate == 1
    assert facts["lowest_sampling_rate"] < 0.25
    copies = found[CROSS_BATCH]
    assert copies.low == copies.value < 0.2
    assert copies.high == pytest.approx(0.45, abs=0.1)  # half, but for the ends of the rows


def test_nothing_is_measured_where_no_accepted_delivery_can_be_compared():
    found, facts, _ = Shelf().compare(month(0, 1), others={"entered without fingerprints": 2})
    assert found == {}
    assert (facts["compared"], facts["not_compared"]) == (0, {"entered without fingerprints": 2})
    assert Shelf().compare(month(0, 1))[0][CROSS_BATCH].value == 0
    shelf = Shelf()
    shelf.put(month(1, 1))
    assert shelf.compare(month(0, 1), others={"entered without fingerprints": 2})[0][CROSS_BATCH].value > 0


def test_tokens_are_those_of_the_words_that_are_shared():
    text, shelf = " ".join(f"w{k}" for k in range(100)), Shelf()
    shelf.put(delivered([" ".join(text.split()[:50])], "1" * 64))
    found, _, sketch = shelf.compare(delivered([text], "2" * 64))
    assert sketch.words.tolist() == [100]
    assert found[CROSS_BATCH].value == pytest.approx(0.5, abs=0.08)
    assert found[CROSS_BATCH].value <= 0.5


def test_a_delivery_without_words_is_held_against_others():
    shelf = Shelf()
    shelf.put(month(0, 1))
    found, facts, _ = shelf.compare(delivered(["", "…"], "4" * 64))
    assert (found[CROSS_BATCH].value, facts["rows"]) == (0, 0)
    assert np.isfinite(found[CROSS_BATCH].high)
