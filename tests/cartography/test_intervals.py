from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from carto_audit.cartography.intervals import mean_interval, paired_difference, rate, reduction, sampled_share, wilson

shares = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 9)), min_size=1, max_size=40)


@given(shares, st.integers(0, 5))
def test_every_value_lies_in_its_interval_and_the_interval_in_its_range(rows, seed):
    one, other, unit = (list(column) for column in zip(*rows, strict=True))
    found = [(rate(one, unit, seed), 0, 1), (paired_difference(one, other, unit, seed), -1, 1)]
    if reduction(one, other, unit, seed) is not None:
        found.append((reduction(one, other, unit, seed), -np.inf, 1))
    for estimate, least, most in found:
        value, low, high = astuple(estimate)
        assert least - 1e-12 <= low <= value <= high <= most + 1e-12


def test_a_rate_is_no_surer_than_its_secrets_however_many_rows_they_have():
    values, unit = [1] * 400, [0, 1, 2, 3] * 100
    value, low, high = astuple(rate(values, unit, 0))
    assert (value, high) == (1, 1)
    assert low == pytest.approx(wilson(1, 4)[0])
    spread = rate([1, 0] * 200, np.repeat(np.arange(4), 100), 0)
    assert spread.low <= wilson(0.5, 4)[0] < 0.2


def test_copies_of_one_secret_weigh_by_their_number():
    assert rate([1, 1, 1, 0], [0, 0, 0, 1], 0).value == 0.75


def test_pairing_sees_what_the_two_shares_alone_do_not():
    rng = np.random.default_rng(1)
    control = rng.random(200) < 0.5
    treated = control & (rng.random(200) < 0.8)
    value, low, _ = astuple(paired_difference(control, treated, np.arange(200), 0))
    assert value == pytest.approx(control.mean() - treated.mean())
    apart = wilson(control.mean(), 200)[0] - wilson(treated.mean(), 200)[1]
    assert apart < 0 < low


@pytest.mark.parametrize(("secrets", "proven"), [(1, False), (2, False), (3, False), (8, True)])
def test_few_secrets_prove_nothing_though_all_of_them_differ(secrets, proven):
    found = paired_difference([1] * secrets, [0] * secrets, range(secrets), 0)
    assert found.value == 1
    assert (found.low > 0) == proven


def test_arms_that_leak_alike_do_not_differ():
    leaked = np.arange(60) % 2
    value, low, high = astuple(paired_difference(leaked, leaked, np.arange(60), 0))
    assert low < value == 0 < high


def test_the_interval_of_a_difference_covers_it_19_times_of_20():
    rng, hits = np.random.default_rng(3), 0
    for trial in range(300):
        control = rng.random(40) < 0.6
        treated = rng.random(40) < np.where(control, 0.5, 0.2)
        found = paired_difference(control, treated, np.arange(40), trial)
        hits += found.low <= 0.6 - (0.6 * 0.5 + 0.4 * 0.2) <= found.high
    assert hits >= 278  # 285 expected; fewer than 278 happen once in 25 if it covers 95 %


def test_a_reduction_is_the_share_of_what_leaked_before():
    before, after = [1] * 80 + [0] * 20, [1] * 20 + [0] * 80
    value, low, high = astuple(reduction(before, after, range(100), 0))
    assert value == 0.75
    assert 0.6 < low < 0.7
    assert 0.8 < high < 0.9


def test_a_whole_reduction_is_bounded_by_how_few_secrets_showed_it():
    value, low, high = astuple(reduction([1] * 10, [0] * 10, range(10), 0))
    assert (value, high) == (1, 1)
    assert low == pytest.approx(1 - wilson(0, 10)[1])


def test_a_treatment_that_makes_it_worse_reduces_less_than_nothing():
    assert reduction([1, 0, 0, 0], [1, 1, 0, 0], range(4), 0).value == -1


def test_nothing_leaked_is_nothing_reduced():
    assert reduction([0, 0], [0, 0], [0, 1], 0) is None
    assert reduction([1e-300, 0], [1, 0], [0, 1], 0) is None


def test_nothing_measured_has_no_estimate():
    nothing = np.empty(0)
    assert rate(nothing, nothing, 0) is None
    assert paired_difference(nothing, nothing, nothing, 0) is None
    assert reduction(nothing, nothing, nothing, 0) is None
    assert mean_interval(nothing) is None
    assert mean_interval([1.0, np.nan]) is None
    assert mean_interval([1.0, np.inf]) is None


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).random(50)
    assert rate(values, np.arange(50), 7) == rate(values, np.arange(50), 7)


def test_the_mean_of_seeds_has_student_s_interval():
    seen = [0.012, 0.004, 0.007]
    found = mean_interval(seen)
    low, high = stats.t.interval(0.95, 2, np.mean(seen), stats.sem(seen))
    assert astuple(found) == pytest.approx((np.mean(seen), low, high))


def test_one_seed_has_a_value_and_no_interval():
    assert mean_interval([0.25]).facts() == {"value": 0.25, "low": None, "high": None}


def test_a_sample_may_lie_inside_by_a_part():
    """Halves of all samples are a surer half than the whole of every second one."""
    ones, alone = np.ones(400, np.int64), np.repeat(np.arange(40), 10)
    parts = sampled_share(0.5, np.full(400, 0.5), ones, alone, unseen=0.9, seed=0)
    whole = sampled_share(0.5, np.arange(400) < 200, ones, alone, unseen=0.9, seed=0)
    assert whole[0] < parts[0] < 0.5 < parts[1] < whole[1]
    assert sampled_share(0.5, np.full(400, 0.5), ones, alone, unseen=0.0, seed=0) == (0.5, 0.5)
