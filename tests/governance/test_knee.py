from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from carto_audit.cartography.intervals import Estimate
from carto_audit.governance.knee import Point, find_knee, has_nothing_to_reduce, pick

BEATS = Estimate(0.5, 0.3, 0.7)
AS_GOOD = Estimate(0.01, -0.05, 0.07)


def points(*places, beats=BEATS):
    """The untreated arm at leakage 1 and no change, and levels at (leakage, change of perplexity)."""
    levels = [
        Point(arm=i, leakage=leakage, perplexity_change=change, beats_random=beats, pruned_tokens=100.0 * i)
        for i, (leakage, change) in enumerate(places, 1)
    ]
    return levels, Point(arm=0, leakage=1.0, perplexity_change=0.0)


CURVE = [(0.9, 0.001), (0.2, 0.004), (0.1, 0.03), (0.05, 0.09)]


def test_the_knee_is_where_less_leakage_begins_to_cost():
    found = find_knee(*points(*CURVE))
    assert found.arm == 2
    assert "at least 30.0 %" in found.reason
    assert "(0.56 of the unit square)" in found.reason


def test_the_distance_is_the_one_to_the_chord_by_hand():
    levels, untreated = points((0.25, 0.25), (0.0, 1.0))
    assert "(0.35 of the unit square)" in find_knee(levels, untreated).reason  # 0.5 / sqrt 2


def test_a_random_control_that_is_as_good_leaves_no_knee():
    found = find_knee(*points(*CURVE, beats=AS_GOOD))
    assert found.arm is None
    assert found.reason.startswith("no knee: the level at the bend does no better than random pruning (it leaks 1.0 %")
    touching = find_knee(*points(*CURVE, beats=Estimate(0.1, 0.0, 0.2)))
    assert touching.arm is None


def test_without_a_random_control_there_is_no_knee():
    assert "no random control" in find_knee(*points(*CURVE, beats=None)).reason
    assert find_knee(*points(*CURVE, beats=Estimate(0.5, None, None))).arm is None


def test_a_level_that_outdoes_all_others_is_the_choice_and_no_trade_off():
    found = find_knee(*points((0.5, 0.01), (0.0, -0.02), (0.1, 0.04)))
    assert found.arm == 2
    assert "no trade-off was seen" in found.reason
    assert find_knee(*points((0.5, 0.01), (0.0, -0.02), beats=AS_GOOD)).arm is None


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([], "0 of 0 levels could be measured"),
        ([(0.1, 0.01)], "1 of 1 levels could be measured"),
        ([(0.1, 0.01), (0.0, np.nan)], "1 of 2 levels could be measured"),
        ([(0.1, 0.01), (0.0, np.inf), (np.nan, 0.1)], "1 of 3 levels could be measured"),
        ([(1.0, 0.0), (1.0, 0.0)], "all levels leak and cost the same as no treatment"),
        ([(1.0, -0.01), (1.0, 0.2)], "no level leaks less than the untreated batch"),
        ([(0.1, 0.01), (0.2, 0.02)], "only two arms are not outdone"),
        ([(0.5, 0.5), (0.0, 1.0)], "an even or falling rate"),
        ([(0.9, 0.5), (0.0, 0.6)], "an even or falling rate"),
    ],
)
def test_where_there_is_no_knee_one_sentence_says_why(places, words):
    found = find_knee(*points(*places))
    assert found.arm is None
    assert found.reason.startswith("no knee: ")
    assert words in found.reason
    assert "\n" not in found.reason


def test_a_bend_at_the_untreated_batch_is_no_recommendation():
    levels, untreated = points((2.0, -0.5), (0.9, 1.0))
    assert "the bend lies at the untreated batch" in find_knee(levels, untreated).reason


def test_a_batch_that_leaks_nothing_has_nothing_to_reduce():
    levels, untreated = points(*CURVE)
    for leakage in (0.0, 0.04):
        assert "nothing to reduce" in find_knee(levels, replace(untreated, leakage=leakage)).reason


@pytest.mark.parametrize(
    ("untreated", "nothing"),
    [
        (None, True),
        (Estimate(0.0, 0.0, 0.1), True),
        (Estimate(0.04, 0.01, 0.1), True),
        (Estimate(0.2, 0.0, 0.5), True),
        (Estimate(0.2, None, None), True),
        (Estimate(0.05, 0.01, 0.1), False),
        (Estimate(0.9, 0.8, 0.95), False),
    ],
)
def test_a_proxy_that_learned_few_secrets_can_show_no_reduction(untreated, nothing):
    assert has_nothing_to_reduce(untreated) == nothing


def test_a_diverged_untreated_run_is_no_yardstick():
    levels, untreated = points(*CURVE)
    assert "the untreated run diverged" in find_knee(levels, replace(untreated, perplexity_change=np.nan)).reason


places = st.lists(st.tuples(st.integers(0, 20), st.integers(-20, 20)), max_size=8)


@given(places)
def test_a_knee_leaks_less_than_no_treatment_and_is_never_dominated(grid):
    levels, untreated = points(*((leakage / 20, change) for leakage, change in grid))
    found = find_knee(levels, untreated)
    if found.arm is not None:
        knee = levels[found.arm - 1]
        assert knee.leakage < untreated.leakage
        assert not any(other.dominates(knee) for other in (*levels, untreated))


@given(places, st.sampled_from([0.001, 0.5, 3.0, 1000.0]), st.integers(-50, 50))
def test_the_unit_and_the_origin_of_perplexity_do_not_move_the_knee(grid, scale, shift):
    levels, untreated = points(*((leakage / 20, change) for leakage, change in grid))
    moved = [
        replace(point, perplexity_change=scale * (point.perplexity_change + shift)) for point in (*levels, untreated)
    ]
    assert find_knee(moved[:-1], moved[-1]) == find_knee(levels, untreated)


@given(places)
def test_no_knee_is_named_where_chance_does_as_well(grid):
    levels, untreated = points(*((leakage / 20, change) for leakage, change in grid), beats=AS_GOOD)
    assert find_knee(levels, untreated).arm is None


@given(places, st.sampled_from([np.nan, np.inf]))
def test_a_diverged_level_neither_wins_nor_moves_the_knee(grid, broken):
    levels, untreated = points(*((leakage / 20, change) for leakage, change in grid))
    diverged = Point(arm=99, leakage=0.0, perplexity_change=broken, beats_random=BEATS)
    assert find_knee([*levels, diverged], untreated).arm == find_knee(levels, untreated).arm
    assert pick([*levels, diverged], 0.5).arm != 99


@given(places, st.integers(0, 5))
def test_what_another_level_outdoes_does_not_move_the_knee(grid, at):
    levels, untreated = points(*((leakage / 20, change) for leakage, change in grid))
    assume(len([p for p in levels if p.is_measured]) > max(1, at))
    worse = replace(levels[at], arm=99, leakage=levels[at].leakage + 0.5, perplexity_change=30.0)
    assert find_knee([*levels, worse], untreated).arm == find_knee(levels, untreated).arm


# The policy's pick


def test_the_pick_leaks_least_within_the_limit():
    levels, untreated = points(*CURVE)
    assert pick([untreated, *levels], 0.01).arm == 2
    assert pick([untreated, *levels], 0.03).arm == 3  # a value on the limit is within it
    assert pick([untreated, *levels], 0.0).arm == 0


def test_of_picks_that_leak_alike_the_cheaper_wins_and_then_the_smaller():
    dear = Point(arm=0, leakage=0.1, perplexity_change=0.009, pruned_tokens=10)
    cheap = Point(arm=1, leakage=0.1, perplexity_change=-0.001, pruned_tokens=500)
    small = replace(cheap, arm=2, pruned_tokens=100)
    assert pick([dear, cheap, small], 0.01).arm == 2
    assert pick([dear, cheap], 0.01).arm == 1


def test_the_pick_says_where_its_interval_passes_the_limit():
    point = Point(arm=4, leakage=0.02, perplexity_change=0.004, perplexity_high=0.013)
    assert "the interval reaches +1.30 %, so the limit may be exceeded" in pick([point], 0.01).reason
    assert "interval" not in pick([replace(point, perplexity_high=0.009)], 0.01).reason
    assert "has no interval" in pick([replace(point, perplexity_high=None)], 0.01).reason


def test_where_every_arm_costs_too_much_nothing_is_picked():
    levels, _ = points((0.1, 0.02), (0.0, 0.05))
    found = pick(levels, 0.01)
    assert (found.arm, found.reason) == (None, "no arm stays within 1.0 % more perplexity")


@given(places, st.integers(-20, 20))
def test_no_arm_within_the_limit_leaks_less_than_the_pick(grid, limit):
    levels, untreated = points(*((leakage / 20, change) for leakage, change in grid))
    found = pick([untreated, *levels], limit)
    within = [point for point in (untreated, *levels) if point.perplexity_change <= limit]
    assert (found.arm is None) == (not within)
    if within:
        assert {untreated.arm: untreated, **{level.arm: level for level in levels}}[found.arm].leakage == min(
            point.leakage for point in within
        )


def test_an_arm_that_leaves_secrets_at_full_exposure_is_never_picked():
    """It recites nothing and knows everything: a longer look would find the secrets."""
    hiding = Point(arm=1, leakage=0.0, perplexity_change=0.0, exposed=True)
    honest = Point(arm=2, leakage=0.3, perplexity_change=0.002)
    assert pick([hiding, honest], 0.01).arm == 2
    alone = pick([hiding], 0.01)
    assert alone.arm is None
    assert alone.reason == "every arm within 1.0 % more perplexity leaves the secrets at full exposure"
