"""Where the line of the map lies between ordinary text and planted secrets, and how many secrets it is proved to find."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from carto_audit.cartography.proof import (
    AIM,
    FALSE_ALARMS,
    FARTHEST,
    LEAST_ORDINARY,
    NEAREST,
    UPPER_PERCENTILE,
    Found,
    count_found,
    lower_bound,
    secret_levels,
)
from tests.support.tiny import make_line_controls

USUAL = np.linspace(0.0, 0.1, 200)
"""What ordinary text scores."""

REACHED = 0.05 + 0.025 * UPPER_PERCENTILE / 0.6745
"""The 99th percentile of ordinary text, read off the quartiles of USUAL."""

shares = st.integers(0, 100).map(lambda percent: percent / 100)
levels = st.lists(shares, min_size=1, max_size=40)


@given(levels, st.lists(shares, max_size=80), st.lists(shares, min_size=1, max_size=20))
def test_the_line_lies_between_what_ordinary_text_reaches_and_what_nine_in_ten_secrets_reach(level, ordinary, twins):
    controls = make_line_controls(level, ordinary, twins)
    high = np.quantile(level, 1 - AIM)
    if high > controls.reached:
        way = (controls.line - controls.reached) / (high - controls.reached)
        assert NEAREST - 1e-6 <= way <= FARTHEST + 1e-6
        assert np.mean(np.array(level) > controls.line) >= AIM - 1 / len(level)
    else:
        assert controls.line == controls.reached
    assert 0 <= controls.proof().found <= controls.proof().secrets == len(level)


def test_where_secrets_reach_no_further_than_ordinary_text_the_line_is_what_that_reaches_and_few_are_found():
    weak = [*[0.05] * 28, 0.2, 0.2]
    controls = make_line_controls(weak, USUAL)
    assert controls.line == controls.reached == pytest.approx(REACHED, abs=1e-3)
    assert controls.proof() == Found(dose=4, found=2, secrets=30)


def test_where_secrets_reach_no_further_than_twins_the_line_is_what_these_reach():
    twins = np.linspace(0, 0.6, 101)
    controls = make_line_controls([0.5] * 30, USUAL, twins)
    assert controls.line == pytest.approx(np.percentile(twins, 99))
    assert controls.proof().found == 0


def test_where_secrets_stand_out_all_are_found_and_no_ordinary_text_is():
    controls = make_line_controls([0.9] * 30, USUAL)
    assert USUAL.max() < controls.line < 0.9
    assert controls.proof() == Found(dose=4, found=30, secrets=30)
    assert controls.proof().at_least > 0.9


def test_one_secret_in_ten_may_lie_low_without_drawing_the_line_down():
    lowest = make_line_controls([*[0.9] * 27, 0.0, 0.0, 0.0], USUAL)
    assert lowest.line > 0.3
    assert make_line_controls([*[0.9] * 26, *[0.0] * 4], USUAL).line == pytest.approx(lowest.reached)


def test_at_most_one_ordinary_token_in_a_hundred_lies_above_the_line_where_there_is_room():
    """Some ordinary text scores more than half way to the secrets: the line goes further up than it else would."""
    tail = np.linspace(0.6, 0.7, 6)
    ordinary, tokens = np.concatenate([USUAL[:194], tail]), np.full(200, 10)
    controls = make_line_controls([1.0] * 30, ordinary, tokens=tokens)
    nearest = controls.reached + NEAREST * (1 - controls.reached)
    assert tokens[ordinary > nearest].sum() > FALSE_ALARMS * tokens.sum()
    assert tokens[ordinary > controls.line].sum() <= FALSE_ALARMS * tokens.sum()
    assert controls.line in tail  # and no higher than that takes
    heavy = np.where(ordinary > 0.69, 100, 10)
    assert make_line_controls([1.0] * 30, ordinary, tokens=heavy).line > controls.line  # it is tokens that count


def test_where_there_is_no_room_the_secrets_are_kept_and_ordinary_text_lies_above_the_line():
    ordinary = np.concatenate([USUAL[:194], np.full(6, 0.95)])
    controls = make_line_controls([1.0] * 30, ordinary)
    assert controls.line == pytest.approx(controls.reached + FARTHEST * (1 - controls.reached))
    assert controls.proof().found == 30
    assert np.mean(ordinary > controls.line) > FALSE_ALARMS


@pytest.mark.parametrize("memorized", [1, 20, 50])
def test_a_quarter_of_the_ordinary_samples_may_be_memorized_without_hiding_the_rest(memorized):
    usual = USUAL[: 200 - memorized]
    clean, mixed = (make_line_controls([0.9] * 30, x) for x in (usual, [*usual, *[1.0] * memorized]))
    assert clean.reached <= mixed.reached < clean.reached + 0.05
    assert mixed.line < 0.9
    assert mixed.proof().found == 30


def test_a_quarter_is_counted_in_tokens():
    values = [*[0.05] * 99, 1.0]
    assert make_line_controls([0.9], values, tokens=[10] * 99 + [300]).reached == pytest.approx(0.05)
    assert make_line_controls([0.9], values, tokens=[10] * 99 + [400]).reached == 1.0


def test_of_few_ordinary_samples_the_highest_is_what_they_reach():
    few = [*[0.0] * (LEAST_ORDINARY - 2), 0.7]
    assert make_line_controls([0.9], few).reached == 0.7
    assert make_line_controls([0.9], [*few, 0.0]).reached == 0.0


def test_without_ordinary_samples_the_twins_alone_hold_the_line_up():
    controls = make_line_controls([0.9] * 4, [], twins=[0.2])
    assert controls.reached == 0.2
    assert 0.2 < controls.line < 0.9


def test_the_proof_of_a_half_is_by_the_line_of_the_other_half():
    """Half of the secrets score little: by a line of their own they would be found, by that of the strong ones they are not."""
    level, half = [*[0.9] * 10, *[0.3] * 10], [0] * 10 + [1] * 10
    controls = make_line_controls(level, USUAL, half=half)
    assert min(level) > controls.line
    assert controls.proof() == Found(dose=4, found=10, secrets=20)
    assert make_line_controls(level[10:], USUAL).proof().found == 10


@given(levels, levels, st.lists(shares, min_size=1, max_size=60))
def test_a_half_is_judged_by_no_level_of_its_own(one, other, ordinary):
    half = [0] * len(one) + [1] * len(other)
    by_one, by_other = (make_line_controls(level, ordinary).line for level in (one, other))
    expected = sum(x > by_other for x in one) + sum(x > by_one for x in other)
    assert make_line_controls([*one, *other], ordinary, half=half).proof().found == expected


def test_a_single_secret_is_judged_by_what_ordinary_text_reaches():
    assert make_line_controls([0.9], USUAL).proof() == Found(dose=4, found=1, secrets=1)
    assert make_line_controls([0.1], USUAL).proof().found == 0


@pytest.mark.parametrize(("copies", "least"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (8, 4)])
def test_a_secret_is_found_where_at_least_half_of_its_copies_lie_above_the_line(copies, least):
    for above in range(copies + 1):
        values = np.array([0.9] * above + [0.1] * (copies - above))[::-1]
        found = count_found(values, np.full(copies, 7), copies, 0.5)
        assert found == Found(dose=copies, found=int(above >= least), secrets=1), above


def test_the_level_of_each_secret_is_its_own_in_order_of_the_secret():
    values, secret = np.array([0.1, 0.8, 0.6, 0.2, 0.7, 0.9]), np.array([5, 2, 5, 5, 2, 9])
    assert secret_levels(values, secret).tolist() == [0.8, 0.2, 0.9]
    assert count_found(values, secret, 3, 0.2) == Found(dose=3, found=2, secrets=3)  # on the line is not above it
    assert count_found(values, secret, 3, 0.2).share == pytest.approx(2 / 3)


def test_the_line_may_lie_where_other_secrets_would_have_set_it():
    even, loose = (make_line_controls(level, USUAL) for level in ([0.8] * 20, [*[0.4] * 4, *[0.8] * 16]))
    assert even.interval(0.95, 0) == (even.line, even.line)
    low, high = loose.interval(0.95, 0)
    assert low == loose.line  # two of twenty in most draws
    assert high == even.line  # none in some
    assert loose.interval(0.2, 0)[1] < high


def test_the_more_looks_the_lower_the_bound_of_each():
    assert lower_bound(28, 30, 0.975) < lower_bound(28, 30)
    controls = make_line_controls([0.9] * 30, USUAL)
    assert controls.proof(0.975).at_least == lower_bound(30, 30, 0.975)


def test_the_lower_bound_of_a_share_says_what_is_found_in_truth_at_least():
    assert lower_bound(28, 30) == pytest.approx(0.80, abs=0.005)
    assert lower_bound(30, 30) == pytest.approx(0.905, abs=0.001)
    assert lower_bound(0, 10) == 0
    assert Found(dose=4, found=28, secrets=30).at_least == lower_bound(28, 30)


@given(st.integers(1, 60), st.integers(0, 60))
def test_at_the_lower_bound_so_many_are_found_once_in_twenty_times(found, missed):
    bound = lower_bound(found, found + missed)
    assert bound < found / (found + missed)
    assert stats.binom.sf(found - 1, found + missed, bound) == pytest.approx(0.05)
