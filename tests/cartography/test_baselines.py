"""Published statistics of a loss trace, on traces written by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.cartography.baselines import (
    DELTAS,
    NEAR_COPY_WEIGHT,
    copy_baselines,
    delta_sweep,
    epsilon_levels,
    forget_scores,
    learn_time,
    trace_baselines,
)
from carto_audit.cartography.thresholds import Epsilon
from tests.support.tiny import make_trace

NAMES = {
    "forget_absolute",
    "forget_relative",
    "forget_held_out",
    "lt_iqr",
    "drop",
    "learn_time",
    "rebound",
    "cumulative_loss",
    "low_final_loss",
}


def statistic(name, *columns, burn_in=2, loss_out=None):
    """One statistic of samples given as lists of losses over epochs."""
    trace = make_trace(np.array(columns, float).T, loss_out=loss_out)
    return trace_baselines(trace, burn_in)[name].tolist()


def test_a_forget_event_is_a_rise_from_below_to_above():
    falls_rises_stays = np.array([[5, 5, 1], [1, 1, 1], [5, 1, 1], [1, 1, 1], [5, 1, 1]], float)
    assert forget_scores(falls_rises_stays, np.full(3, 2.0)).tolist() == [0.5, 0.0, 0.0]


def test_a_loss_on_the_level_is_neither_below_nor_above():
    assert forget_scores(np.array([[2.0], [3.0], [1.0], [2.0]]), np.array([2.0])).tolist() == [0.0]


def test_the_forget_score_reaches_at_most_half_of_its_transitions():
    seesaw = np.array([[1], [5]] * 8, float)
    assert forget_scores(seesaw, np.array([2.0])).tolist() == [8 / 15]


@given(st.lists(st.integers(0, 4), min_size=2, max_size=12), st.integers(0, 4))
def test_forget_events_agree_with_a_plain_loop(losses, level):
    events = sum(a < level < b for a, b in zip(losses, losses[1:], strict=False))
    score = forget_scores(np.array(losses, float)[:, None], np.array([float(level)]))
    assert score.tolist() == [events / (len(losses) - 1)]


def test_epsilon_is_absolute_relative_or_of_unseen_losses():
    trace = make_trace([[4, 3], [2, 3]], loss_out=[[1.0, 3.0]])
    assert epsilon_levels(trace, Epsilon(absolute=1.5)).tolist() == [1.5, 1.5]
    assert epsilon_levels(trace, Epsilon(relative=0.5)).tolist() == [2.5, 3.5]
    assert epsilon_levels(trace, Epsilon(held_out_percentile=50)).tolist() == [2.0, 2.0]


def test_without_an_unseen_level_the_forget_score_is_unknown_not_zero():
    trace = make_trace([[4, 3], [2, 3]], loss_out=[[np.nan, np.nan]])
    levels = epsilon_levels(trace, Epsilon(held_out_percentile=50))
    assert np.isnan(forget_scores(trace.train, levels)).all()


def test_forget_events_are_counted_with_each_of_three_epsilons():
    trace = [5.0, 2.9, 3.1, 1.0, 1.05, 1.2]
    low = [[0.5, 0.5]]
    assert statistic("forget_absolute", trace, trace, loss_out=low) == pytest.approx([0.2, 0.2])  # 2.9 to 3.1
    assert statistic("forget_relative", trace, trace, loss_out=low) == pytest.approx([0.2, 0.2])  # 1.05 to 1.2
    assert statistic("forget_held_out", trace, trace, loss_out=low) == [0.0, 0.0]  # never below 0.5
    assert statistic("forget_held_out", trace, trace, loss_out=[[3, 3]]) == pytest.approx([0.2, 0.2])


def test_the_spread_of_the_trace_is_its_interquartile_range():
    assert statistic("lt_iqr", [0, 1, 2, 3, 4], [2, 2, 2, 2, 2]) == [2.0, 0.0]


def test_the_drop_is_from_the_worst_early_loss_to_the_best_of_the_last_two():
    assert statistic("drop", [4, 9, 3, 2, 1.5], [4, 5, 9, 1, 2], burn_in=2) == [7.5, 4.0]


def test_the_rebound_is_the_largest_rise_above_what_was_reached():
    assert statistic("rebound", [5, 2, 4, 1, 2], [5, 4, 3, 2, 1]) == [2.0, -1.0]


def test_the_cumulative_loss_adds_and_a_low_final_loss_ranks_high():
    assert statistic("cumulative_loss", [3, 2, 1], [1, 1, 1]) == [6.0, 3.0]
    assert statistic("low_final_loss", [3, 2, 1], [1, 1, 4]) == [-1.0, -4.0]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=10))
def test_the_learn_time_is_the_first_epoch_from_which_the_loss_stays_below(losses):
    stays = [t for t in range(1, len(losses) + 1) if all(loss < 2 for loss in losses[t - 1 :])]
    expected = min(stays, default=len(losses) + 1)
    assert learn_time(np.array(losses, float)[:, None], np.array([2.0])).tolist() == [expected]


def test_every_statistic_is_unknown_for_a_sample_that_was_not_trained_on():
    with np.errstate(all="ignore"):
        trace = make_trace([[4, np.nan], [2, np.nan], [1, np.nan]], loss_out=[[3.0, np.nan]])
        found = trace_baselines(trace, 1)
    assert set(found) == NAMES
    for name, values in found.items():
        assert np.isfinite(values[0]), name
        assert np.isnan(values[1]), name


def test_a_trace_of_one_epoch_has_no_rebound_and_no_forgetting():
    found = trace_baselines(make_trace([[4.0, 2.0]]), 1)
    assert np.isnan(found["rebound"]).all()
    assert np.isnan(found["forget_absolute"]).all()


def test_the_sweep_says_which_share_forgets_and_how_stable_that_set_is():
    """Rises of 0.07, 0.15, 0.3 and 0 above the own minimum: each larger margin loses one sample."""
    columns = [[2.0, 1.0, 1.0 + rise, 1.0] for rise in (0.07, 0.15, 0.3, 0.0)]
    steps = delta_sweep(make_trace(np.array(columns).T))
    assert [step.delta for step in steps] == list(DELTAS)
    assert [step.forgetting_share for step in steps] == [0.75, 0.5, 0.25, 0.0]
    assert [step.agreement for step in steps] == [None, pytest.approx(2 / 3), 0.5, 0.0]


def test_where_nothing_is_ever_forgotten_the_sweep_claims_no_agreement():
    steps = delta_sweep(make_trace([[3.0, 2.0], [2.0, 1.0], [1.0, 0.5]]))
    assert [(step.forgetting_share, step.agreement) for step in steps] == [(0.0, None)] * len(DELTAS)
    unknown = delta_sweep(make_trace([[np.nan], [np.nan]]))
    assert {step.forgetting_share for step in unknown} == {0.0}


def test_a_near_copy_counts_for_part_of_a_copy():
    counts = copy_baselines(np.array([1, 3, 1]), np.array([1, 3, 5]))
    assert counts["near_duplicate_count"].tolist() == [1.0, 3.0, 5.0]
    assert counts["mosaic_count"].tolist() == [1.0, 3.0, 1 + 4 * NEAR_COPY_WEIGHT]
