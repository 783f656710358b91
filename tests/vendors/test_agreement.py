"""The tests count what flatters a batch and nothing else; their power is what simulation says."""

import numpy as np
import pytest

from carto_audit.vendors import agreement
from carto_audit.vendors.agreement import (
    Sides,
    compare_sides,
    explained_lowering,
    hidden_mass,
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
    losses = {"our_loss": np.full(rows, 3.0), "their_loss": np.full(rows, 3.0)}
    both = {**losses, "n_tokens": np.full(rows, 30), "our_flags": flags, "our_memorization": score}
    return Sides(**{**both, **same, **changed})


def failing(found):
    return [test.name for test in found if test.failed]


def test_two_audits_that_agree_pass():
    found = compare_sides(sides(), whole=True)
    assert [test.name for test in found] == [
        "hidden_flags",
        "hidden_mass",
        "lowered_scores",
        "fallen_ranks",
        "left_out",
    ]
    assert {test.name for test in found} | {"recomputed_losses"} == set(agreement.LEVELS)
    assert sum(agreement.LEVELS.values()) == pytest.approx(0.01)
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


def scored(by, spread=0.03):
    """Scores of theirs that are lower by so much, on the average."""
    score, noise = sides().our_memorization, np.random.default_rng(3).normal(0, spread, 400)
    return np.where(np.arange(400) < 40, np.maximum(0, score - by + noise - noise[:40].mean()), 0.0)


@pytest.mark.parametrize(("by", "caught"), [(0.15, True), (0.04, False), (-0.2, False)])
def test_scores_that_are_lowered_by_more_than_seeds_differ_are_found(by, caught):
    found = compare_sides(sides(their_memorization=scored(by)), whole=True)
    assert ("lowered_scores" in failing(found)) == caught
    (test,) = (one for one in found if one.name == "lowered_scores")
    if caught:
        assert 0.05 < test.at_least < test.share < test.at_most < 0.3
        assert test.share == pytest.approx((by - agreement.HONEST_LOWERING) / 0.6, abs=0.01)


def test_what_a_proxy_that_learned_less_explains_is_no_offence():
    losses = {"our_loss": np.full(400, 3.0), "their_loss": np.full(400, 3.3)}
    lowered = sides(their_memorization=scored(0.11))
    assert "lowered_scores" in failing(compare_sides(lowered, whole=True))
    assert explained_lowering(sides(**losses)) == pytest.approx(0.3 * agreement.LEARNED)
    assert failing(compare_sides(sides(their_memorization=scored(0.11), **losses), whole=True)) == []


@pytest.mark.parametrize(("theirs", "explained"), [(13.0, 1), (-7.0, -1), (np.nan, 0)])
def test_losses_explain_only_so_much_and_missing_ones_nothing(theirs, explained):
    found = explained_lowering(sides(their_loss=np.full(400, theirs)))
    assert found == explained * agreement.MOST_LEARNED


def test_the_loss_of_flagged_rows_explains_nothing():
    raised = np.where(np.arange(400) < 40, 9.0, 3.0)
    assert explained_lowering(sides(their_loss=raised)) == 0


def test_a_mean_of_few_rows_says_nothing():
    few = sides(flagged=5, their_memorization=np.zeros(400))
    (test,) = (one for one in compare_sides(few, whole=True) if one.name == "lowered_scores")
    assert not test.failed


def test_scores_that_fall_below_those_of_ordinary_rows_are_found_though_flags_stay():
    flagged = np.arange(400) < 40
    ours = sides().our_memorization
    theirs = np.where(flagged, 0.0, 0.3 * (np.arange(400) < 160))
    changed = {"their_memorization": np.where(np.arange(400) < 20, theirs, ours)}
    found = {test.name: test for test in compare_sides(sides(their_flags=flagged, **changed), whole=True)}
    assert found["fallen_ranks"].seen == 20
    assert found["fallen_ranks"].failed
    assert not found["hidden_flags"].failed


def test_whoever_hides_the_long_rows_is_told_by_their_mass():
    n_tokens = np.where(np.arange(40) < 5, 2000, 20)
    hidden = np.arange(40) < 5
    changed = {"n_tokens": np.concatenate([n_tokens, np.full(360, 30)]), "their_flags": np.arange(400) >= 5}
    found = {test.name: test for test in compare_sides(sides(**changed), whole=True)}
    assert not found["hidden_flags"].failed
    mass = found["hidden_mass"]
    assert mass.failed
    assert (mass.seen, mass.among) == (10_000, 10_700)
    assert 0 < mass.at_least < mass.share < mass.at_most
    assert not hidden_mass(n_tokens, ~hidden & (np.arange(40) < 9)).failed


def test_the_test_of_a_mass_fails_an_honest_vendor_no_more_often_than_its_level():
    rng, n_tokens = np.random.default_rng(1), np.random.default_rng(2).integers(5, 400, 30)
    drawn = [hidden_mass(n_tokens, rng.random(30) < agreement.HONEST_MISSES) for _ in range(60)]
    assert sum(one.failed for one in drawn) <= 1
    assert all(one.at_least <= one.share <= one.at_most for one in drawn)
    assert len({one.chance for one in drawn}) > 20


def test_the_test_of_a_mass_is_that_of_rows_where_all_rows_are_alike():
    hidden = np.arange(40) < 9
    mass = hidden_mass(np.full(40, 7), hidden)
    rows = next(test for test in compare_sides(sides(their_flags=np.arange(400) >= 9), whole=True))
    assert mass.chance == pytest.approx(rows.chance, abs=0.01)
    assert mass.at_least == pytest.approx(rows.at_least, abs=0.03)


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
        ) <= agreement.LEVELS["hidden_flags"] * (1 + 1e-9)


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
