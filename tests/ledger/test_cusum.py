import math

import pytest

from carto_audit.ledger.cusum import LEAST_ERROR, K, Reading, cusum, deviations, reading
from carto_audit.policy.metrics import Measurement


def readings(*values, error=0.01):
    return [Reading(value=value, error=error) for value in values]


def test_a_reading_has_the_standard_error_of_its_interval():
    measured = Measurement(value=0.05, low=0.05 - 1.959964 * 0.004, high=0.05 + 1.959964 * 0.004)
    assert reading(measured, 0.95).error == pytest.approx(0.004, rel=1e-5)
    assert reading(Measurement.exact(0.05), 0.95).error == LEAST_ERROR


def test_the_reference_alone_has_no_statistic():
    assert cusum(readings(0.01, 0.02, 0.03)) is None
    assert cusum(readings(0.01)) is None
    assert cusum([]) is None


def test_the_sum_is_page_s_by_hand():
    error = 0.01
    scale = math.hypot(error, error / math.sqrt(3))
    first, second = 0.05 / scale, 0.02 / scale
    given = readings(0.10, 0.11, 0.09, 0.15, 0.12, 0.0)
    assert deviations(given) == pytest.approx([first, second, -0.1 / scale])
    assert cusum(given[:4]) == pytest.approx(first - K)
    assert cusum(given[:5]) == pytest.approx(first + second - 2 * K)
    assert cusum(given) == 0.0


def test_a_slow_rise_below_every_limit_is_told_from_luck():
    steady = readings(*[0.030 + 0.004 * (-1) ** k for k in range(13)], error=0.005)
    creeping = readings(*[0.030 + 0.004 * (-1) ** k + 0.002 * k for k in range(13)], error=0.005)
    assert cusum(steady) < 3
    assert cusum(creeping) > 5
