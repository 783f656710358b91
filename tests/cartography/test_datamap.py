from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.cartography.datamap import Cut, DataMap, Line, Yardstick, cut, draw_map, masses, partition
from carto_audit.cartography.quadrants import QUADRANT_NAMES, UNMAPPED
from carto_audit.cartography.thresholds import Threshold
from tests.support.tiny import make_line_controls, make_scores

BY_PERCENTILE = Threshold(percentile=75)


@pytest.mark.parametrize(
    ("d", "m", "name"),
    [
        (1, 0.1, "stable_easy"),
        (3, 0.1, "ambiguous_hard"),
        (1, 0.9, "hotspot_memorized"),
        (3, 0.9, "noisy_outlier"),
        (2, 0.5, "stable_easy"),  # on both thresholds
        (2.001, 0.5, "ambiguous_hard"),
        (2, 0.501, "hotspot_memorized"),
    ],
)
def test_each_sample_lands_in_the_papers_quadrant(d, m, name):
    assert partition(np.array([d]), np.array([m]), 2.0, 0.5).tolist() == [QUADRANT_NAMES.index(name)]


def test_an_unscored_sample_is_on_no_quadrant():
    assert partition(np.array([np.nan, 1.0]), np.array([0.1, np.nan]), 2.0, 0.5).tolist() == [UNMAPPED, UNMAPPED]


def test_a_threshold_is_cut_in_each_of_four_ways():
    values = np.arange(101.0)
    controls = make_line_controls([0.6] * 10, twins=[0.2])
    by = Yardstick(controls=controls, reference=np.array([1.0, 2.0, np.nan, 3.0]))
    assert cut(BY_PERCENTILE, "percentile", values, by)[0] == 75
    assert cut(Threshold(absolute=0.3), "absolute", values, by) == (0.3, "fixed by the policy")
    words = "exceeded by nine in ten secrets planted 4 times"
    assert cut(Threshold(control_dose=4), "control_dose", values, by) == (controls.line, words)
    assert 0.2 < controls.line < 0.6
    rule = Threshold(reference_percentile=50)
    assert cut(rule, "reference_percentile", values, by) == (2.0, "percentile 50 of the trusted reference")


def test_a_percentile_leaves_unknown_values_out():
    assert cut(Threshold(percentile=100), "percentile", np.array([1.0, np.nan, 3.0]), Yardstick())[0] == 3.0


def test_secrets_below_what_others_reach_are_replaced_by_the_99th_percentile_of_these():
    by = Yardstick(controls=replace(make_line_controls([0.3], twins=np.linspace(0, 1, 101)), dose=1))
    value, words = cut(Threshold(control_dose=1), "control_dose", np.array([]), by)
    assert value == pytest.approx(0.99)
    assert words.startswith("what ordinary text reaches; fewer than nine in ten")
    assert words.endswith("nine in ten secrets planted once exceed it")


@pytest.mark.parametrize(
    ("rule", "by"),
    [
        (Threshold(control_dose=4), Yardstick()),
        (Threshold(reference_percentile=95), Yardstick()),
        (Threshold(reference_percentile=95), Yardstick(reference=np.array([np.nan]))),
    ],
)
def test_what_was_not_measured_sets_no_threshold(rule, by):
    assert cut(rule, rule.ways[0], np.arange(5.0), by) is None


CONTROLS = make_line_controls([0.8] * 10)


def drawn(difficulty, memorization, rules, controls=CONTROLS, tokens=None, reference=None):
    return draw_map(
        make_scores(difficulty, memorization),
        np.full(len(difficulty), 10) if tokens is None else np.array(tokens),
        "memorized",
        rules,
        controls,
        reference,
    )


def test_without_controls_of_the_dose_there_is_no_map():
    rules = (BY_PERCENTILE, Threshold(control_dose=4))
    assert drawn([1, 2], [0.1, 0.2], rules, controls=None) is None
    assert drawn([1, 2], [0.1, 0.2], (BY_PERCENTILE, Threshold(absolute=0.3)), controls=None) is not None


def test_of_two_ways_one_that_cannot_be_set_leaves_no_map():
    """The stricter of two must not silently become the only one."""
    both = Threshold(control_dose=4, percentile=50)
    assert drawn([1, 2], [0.1, 0.2], (BY_PERCENTILE, both), controls=None) is None


def test_the_map_says_what_each_threshold_flags():
    rules = (Threshold(percentile=50), Threshold(control_dose=4))
    found = drawn([1, 2, 3, 4], [0.1, 0.2, 0.9, 0.1], rules, tokens=[10, 10, 10, 70])
    assert found.score == "memorized"
    assert found.memorization.value == CONTROLS.line
    assert found.memorization.drawn.flagged_share == pytest.approx(0.1)
    assert "secrets planted 4 times" in found.memorization.drawn.words
    assert found.difficulty.drawn.flagged_share == pytest.approx(0.8)
    assert "fixed share" in found.difficulty.drawn.words
    assert [QUADRANT_NAMES[q] for q in found.quadrant] == [
        "stable_easy",
        "stable_easy",
        "noisy_outlier",
        "ambiguous_hard",
    ]


@pytest.mark.parametrize(
    ("rule", "fixed"),
    [
        (Threshold(percentile=50), True),
        (Threshold(absolute=0.3), False),
        (Threshold(control_dose=4), False),
        (Threshold(reference_percentile=50), False),
    ],
)
def test_only_a_percentile_of_the_batch_flags_a_fixed_share(rule, fixed):
    trusted = make_scores([1, 2, 3], [0.1, 0.2, 0.3])
    found = drawn([1, 2, 3, 4], [0.1, 0.2, 0.9, 0.1], (BY_PERCENTILE, rule), reference=trusted)
    assert [c.fixed_share for c in found.memorization.cuts] == [fixed]
    assert found.difficulty.drawn.fixed_share


@pytest.mark.parametrize(
    ("percentile", "way", "value"), [(50, "percentile", 0.15), (100, "control_dose", CONTROLS.line)]
)
def test_of_a_dose_and_a_percentile_the_stricter_holds_and_both_are_reported(percentile, way, value):
    rule = Threshold(control_dose=4, percentile=percentile)
    found = drawn([1, 2, 3, 4], [0.1, 0.1, 0.2, 0.9], (BY_PERCENTILE, rule)).memorization
    assert (found.drawn.way, found.value) == (way, pytest.approx(value))
    assert [c.way for c in found.cuts] == ["percentile", "control_dose"]
    assert found.value == min(c.value for c in found.cuts)
    assert {c.flagged_share for c in found.cuts} == ({0.5, 0.25} if percentile == 50 else {0.0, 0.25})
    assert found.drawn.fixed_share == (way == "percentile")


def test_a_trusted_reference_sets_the_line_and_lies_on_no_quadrant():
    trusted = make_scores([10, 20, 30], [0.2, 0.4, 0.6])
    rules = (Threshold(reference_percentile=0), Threshold(reference_percentile=50))
    found = drawn([1, 11, 1, 11], [0.1, 0.1, 0.5, 0.5], rules, reference=trusted)
    assert (found.difficulty.value, found.memorization.value) == (10.0, 0.4)
    assert found.quadrant.tolist() == [0, 1, 2, 3]


def test_samples_that_were_not_trained_on_move_no_line():
    rules = (BY_PERCENTILE, Threshold(percentile=50))
    alone = drawn([1, 2, 3, 4], [0.1, 0.2, 0.9, 0.1], rules)
    among = drawn([1, 2, 3, 4, np.nan], [0.1, 0.2, 0.9, 0.1, np.nan], rules, tokens=[10, 10, 10, 10, 900])
    assert among.memorization == alone.memorization
    assert among.quadrant.tolist() == [*alone.quadrant.tolist(), UNMAPPED]


def map_of(quadrant, low=None, high=None):
    """A map with these quadrants, and with others where its line lies at either end of its interval."""
    cut = Cut(way="absolute", value=0.5, words="0.5", flagged_share=0.0, fixed_share=False)
    line = Line(cuts=(cut,), interval=(0.4, 0.6))
    codes = [np.array(quadrant if q is None else q, np.int8) for q in (quadrant, low, high)]
    at_ends = (codes[1], codes[2])
    return DataMap(score="memorized", quadrant=codes[0], at_ends=at_ends, difficulty=line, memorization=line)


def mass_of(quadrant, tokens=None, group=None, mappable=None, part="hotspot_memorized"):
    """The mass of one part; without `mappable` every mappable token is on the map."""
    quadrant = np.array(quadrant, np.int8)
    tokens = np.full(len(quadrant), 7) if tokens is None else np.array(tokens)
    group = np.arange(len(quadrant)) if group is None else group
    known = int(tokens[quadrant >= 0].sum()) if mappable is None else mappable
    return masses(map_of(quadrant), tokens, group, known, seed=0)[part]


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=40))
def test_quadrant_shares_add_up_to_the_mapped_tokens(codes):
    quadrant = np.array(codes, np.int8)
    tokens = np.arange(1, len(codes) + 1)
    found = masses(map_of(quadrant), tokens, np.arange(len(codes)), int(tokens.sum()), seed=0)
    assert sum(found[q].tokens for q in QUADRANT_NAMES) == tokens[quadrant >= 0].sum()
    total = sum(found[q].token_share for q in QUADRANT_NAMES)
    assert total == pytest.approx(1.0 if (quadrant >= 0).any() else 0.0)
    assert found["memorized"].tokens == found["hotspot_memorized"].tokens + found["noisy_outlier"].tokens


def test_where_the_line_may_lie_elsewhere_a_mass_is_an_interval_though_every_row_is_on_the_map():
    drawn = map_of([2] * 10 + [0] * 90, low=[2] * 14 + [0] * 86, high=[2] * 7 + [0] * 93)
    found = masses(drawn, np.full(100, 7), np.arange(100), 700, seed=0)
    assert found["hotspot_memorized"].token_interval == pytest.approx((0.07, 0.14))
    assert found["hotspot_memorized"].row_interval == pytest.approx((0.07, 0.14))
    assert found["stable_easy"].token_interval == pytest.approx((0.86, 0.93))
    assert found["noisy_outlier"].token_interval == (0.0, 0.0)


def test_with_another_seed_a_mass_may_be_another():
    found = masses(map_of([2] * 10 + [0] * 90), np.full(100, 7), np.arange(100), 700, seed=0, spread=0.1)
    assert found["memorized"].token_interval == pytest.approx((0.07, 0.13))
    assert found["stable_easy"].token_interval == pytest.approx((0.87, 0.93))
    assert found["noisy_outlier"].token_interval == (0.0, 0.0)


def test_reasons_for_an_interval_add_up_like_independent_ones():
    drawn = map_of([2] * 10 + [0] * 90, low=[2] * 13 + [0] * 87, high=[2] * 7 + [0] * 93)
    found = masses(drawn, np.full(100, 7), np.arange(100), 700, seed=0, spread=4 / 30)
    assert found["memorized"].token_interval == pytest.approx((0.05, 0.15))


def test_a_line_that_secrets_set_has_an_interval_and_one_that_is_fixed_has_none():
    loose = make_line_controls([0.3, *[0.4] * 3, 0.5, 0.6, *[0.7] * 15])
    by_dose = drawn([1] * 9, [0.1] * 9, (BY_PERCENTILE, Threshold(control_dose=4)), controls=loose)
    low, high = by_dose.memorization.interval
    assert low < by_dose.memorization.value < high
    fixed = drawn([1] * 9, [0.1] * 9, (BY_PERCENTILE, Threshold(absolute=0.3)), controls=loose)
    assert fixed.memorization.interval == (0.3, 0.3)
    both = Threshold(control_dose=4, percentile=20)  # the stricter holds
    at = drawn([1] * 9, [0.1] * 9, (BY_PERCENTILE, both), controls=loose).memorization
    assert at.interval == (at.value, at.value)


def test_the_map_at_either_end_flags_what_lies_between():
    loose = make_line_controls([0.3, *[0.4] * 3, 0.5, 0.6, *[0.7] * 15])
    rules = (Threshold(absolute=2), Threshold(control_dose=4))
    low, high = loose.interval(0.95, 0)
    found = drawn([1] * 3, [low - 0.01, (low + loose.line) / 2, (loose.line + high) / 2], rules, controls=loose)
    assert found.quadrant.tolist() == [0, 0, 2]
    assert [codes.tolist() for codes in found.at_ends] == [[0, 2, 2], [0, 0, 0]]


def test_a_share_of_the_whole_batch_is_exact_and_one_of_a_sample_is_an_interval():
    quadrant = [2] * 10 + [0] * 90
    whole = mass_of(quadrant)
    assert whole.token_interval == whole.row_interval == (0.1, 0.1)
    estimate = mass_of([*quadrant, *[UNMAPPED] * 100], mappable=1400)
    low, high = estimate.token_interval
    assert estimate.token_share == pytest.approx(0.1)
    assert 0.03 < low < 0.1 < high < 0.2


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=40), st.lists(st.floats(1, 50), min_size=2, max_size=5))
def test_the_interval_narrows_as_the_sample_nears_the_whole(codes, factors):
    known = 7 * len(codes)
    intervals = [mass_of(codes, mappable=round(known * f)).token_interval for f in [1.0, *sorted(factors)]]
    share = intervals[0][0]
    assert intervals[0] == (share, share)
    for (low, high), (lower, higher) in zip(intervals, intervals[1:], strict=False):
        assert lower <= low + 1e-12
        assert higher >= high - 1e-12
    for low, high in intervals:
        assert -1e-9 <= low <= share <= high <= 1 + 1e-9


def test_the_width_of_an_interval_goes_with_the_root_of_what_was_not_seen():
    quadrant = [2] * 10 + [0] * 90
    highest = {part: mass_of(quadrant, mappable=round(700 / (1 - part))).token_interval[1] for part in (0.25, 0.96)}
    assert (highest[0.25] - 0.1) / (highest[0.96] - 0.1) == pytest.approx(np.sqrt(0.25 / 0.96), rel=0.02)


def test_an_interval_ends_where_all_that_was_not_seen_is_counted():
    group = np.repeat([0, 1], 49)  # two draws: Wilson's interval alone would reach far
    quadrant, tokens = np.zeros(98, np.int8), np.full(98, 7)
    found = masses(map_of(quadrant), tokens, group, mappable=700, seed=0)
    assert found["hotspot_memorized"].token_interval == (0.0, pytest.approx(0.02))
    assert found["stable_easy"].token_interval == (pytest.approx(0.98), 1.0)


def test_the_interval_is_wider_when_the_flagged_samples_are_kin():
    quadrant = [2] * 10 + [0] * 90 + [UNMAPPED]
    alone = mass_of(quadrant, mappable=70_000, part="memorized").token_interval
    kin = np.arange(101)
    kin[:10] = 0
    together = mass_of(quadrant, group=kin, mappable=70_000, part="memorized").token_interval
    assert together[1] - together[0] > 1.5 * (alone[1] - alone[0])


def test_nothing_seen_in_a_sample_is_not_nothing_there():
    found = mass_of([0] * 20 + [UNMAPPED] * 980, mappable=7000)
    assert found.token_share == 0
    assert found.token_interval[1] > 0.1


def test_an_over_long_sample_does_not_make_a_whole_map_an_estimate():
    """Its tokens are not mappable, so they are not missing."""
    found = mass_of([2, 0, 0, 0, UNMAPPED], tokens=[5, 5, 5, 5, 900], mappable=20)
    assert found.token_interval == (0.25, 0.25)


def test_where_nothing_is_mapped_the_share_is_unknown():
    assert mass_of([UNMAPPED] * 3, mappable=21).token_interval == (0.0, 1.0)
