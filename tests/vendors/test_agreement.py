"""The tests count what flatters a batch and nothing else; their power is what simulation says."""

import numpy as np
import pytest

from carto_audit.vendors import agreement
from carto_audit.vendors.agreement import (
    Sides,
    compare_sides,
    power_of,
    power_of_check,
    power_to_matter,
    rows_needed,
    understated,
)


def sides(rows=400, flagged=40, **changed):
    """Two audits that agree; `changed` replaces arrays of theirs."""
    flags = np.arange(rows) < flagged
    score = np.where(flags, 0.6, 0.0)
    same = {"their_flags": flags, "their_memorization": score, "their_trained": np.ones(rows, dtype=bool)}
    return Sides(our_flags=flags, our_memorization=score, **{**same, **changed})


def failing(found):
    return [test.name for test in found if test.failed]


def test_two_audits_that_agree_pass():
    found = compare_sides(sides(), whole=True)
    assert [test.name for test in found] == ["hidden_flags", "lowered_scores", "left_out"]
    assert failing(found) == []
    assert understated(found) == 0


def test_half_of_the_flags_hidden_are_found_with_bounds_around_the_truth():
    flags = np.arange(400) < 20
    found = compare_sides(sides(their_flags=flags), whole=True)
    assert "hidden_flags" in failing(found)
    test = found[0]
    assert (test.seen, test.among) == (20, 40)
    assert test.at_least < test.share < test.at_most
    assert 0.1 < understated(found) < 0.5


def test_more_flags_than_ours_are_no_offence():
    assert failing(compare_sides(sides(their_flags=np.arange(400) < 200), whole=True)) == []


def test_as_many_misses_as_honest_audits_have_are_no_offence():
    missed = round(40 * agreement.HONEST_MISSES)
    flags = (np.arange(400) < 40) & (np.arange(400) >= missed)
    assert failing(compare_sides(sides(their_flags=flags), whole=True)) == []


@pytest.mark.parametrize(("by", "caught"), [(0.2, True), (0.02, False), (-0.2, False)])
def test_scores_that_are_lowered_by_more_than_seeds_differ_are_found(by, caught):
    score = np.where(np.arange(400) < 40, 0.6, 0.0)
    found = compare_sides(sides(their_memorization=np.maximum(0, score - by)), whole=True)
    assert ("lowered_scores" in failing(found)) == caught


def test_flagged_rows_that_were_left_out_are_found_unless_the_vendor_trained_on_a_sample():
    trained = np.arange(400) >= 12
    changed = {
        "their_trained": trained,
        "their_flags": trained & (np.arange(400) < 40),
        "their_memorization": np.where(trained, np.where(np.arange(400) < 40, 0.6, 0.0), np.nan),
    }
    assert failing(compare_sides(sides(**changed), whole=True)) == ["left_out"]
    assert failing(compare_sides(sides(**changed), whole=False)) == []


def test_rows_held_out_at_random_are_no_offence():
    trained = np.arange(400) % 20 != 7
    changed = {"their_trained": trained, "their_memorization": np.where(trained, 0.6, np.nan)}
    found = compare_sides(sides(**changed), whole=True)
    assert "left_out" not in failing(found)


def test_nothing_to_compare_fails_nothing():
    nobody = np.zeros(400, dtype=bool)
    found = compare_sides(sides(their_trained=nobody, their_memorization=np.full(400, np.nan)), whole=False)
    assert failing(found) == []
    assert found[0].among == 0


def test_the_power_is_what_simulation_says():
    rng, flagged, hidden = np.random.default_rng(0), 30, 9
    honest = rng.binomial(flagged - hidden, agreement.USUAL_MISSES, 4000)
    caught = (hidden + honest >= agreement.least_misses(flagged)).mean()
    assert power_of(flagged, hidden) == pytest.approx(caught, abs=0.03)


def test_an_honest_vendor_fails_no_more_often_than_the_level_allows():
    for flagged in (5, 20, 100):
        assert agreement.binom.sf(
            agreement.least_misses(flagged) - 1, flagged, agreement.HONEST_MISSES
        ) <= agreement.LEVEL * (1 + 1e-9)


def test_hiding_that_does_not_matter_costs_no_power_and_hiding_that_does_needs_it():
    assert power_to_matter(flagged=0, rows=1000) == 1
    assert power_to_matter(flagged=9, rows=1000) == 1
    assert power_to_matter(flagged=40, rows=1000) > 0.95
    assert power_to_matter(flagged=6, rows=100) == power_of(6, 5)


def test_a_sample_that_leaves_our_flags_out_is_no_check():
    few = np.arange(400) >= 30
    left_out = sides(their_trained=few, their_flags=few & (np.arange(400) < 40))
    assert power_of_check(left_out, whole=False) == 0
    assert power_of_check(left_out, whole=True) == power_to_matter(10, 400) > 0.3
    assert power_of_check(sides(), whole=False) == power_of_check(sides(), whole=True) > 0.95


def test_the_sizes_that_catch_hidden_flags_grow_as_flags_get_rare():
    assert rows_needed(0.05, 0.5) <= 400
    assert rows_needed(0.02, 0.5) <= 1000
    assert rows_needed(0.02, 0.3) > rows_needed(0.05, 0.3) > rows_needed(0.05, 0.5)
