"""Estimates: a value and its 95 % interval, from planted secrets or from seeds. What cannot be bounded has no interval."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from carto_audit.cartography.detection_power import wilson

RESAMPLES = 2000
"""Draws of a bootstrap; the ends of a 95 % interval then move by about 0.02 standard errors of a draw."""

_Z = 1.959964
_NOTHING = 1e-9  # a sum of leaked shares below which nothing leaked, and nothing can be divided by it

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A value with the ends of its 95 % interval, None where one observation gives no interval."""

    value: float
    low: float | None
    high: float | None

    def facts(self) -> dict[str, Any]:
        """Plain JSON."""
        return self._asdict()


def rate(values: ArrayLike, unit: ArrayLike, seed: int) -> Estimate | None:
    """The share that `values` (n,), bools or numbers in 0..1, amount to; None without any.

    The interval is a bootstrap over units (n,), which are what was drawn independently: a secret of a seed, not its
    copies. It is never narrower than Wilson's for so many units, so that few secrets prove little.
    """
    sums, sizes = _by_unit(values, unit)
    if not len(sums):
        return None
    value = float(sums.sum() / sizes.sum())
    low, high = _resampled(sums, sizes, seed)
    wide = wilson(min(1.0, max(0.0, value)), len(sums))
    return Estimate(value, min(low, wide[0], value), max(high, wide[1], value))


def paired_difference(control: ArrayLike, treated: ArrayLike, unit: ArrayLike, seed: int) -> Estimate | None:
    """By how much `control` exceeds `treated` on the same secrets, all (n,) in 0..1; None without any.

    The interval is a bootstrap over units (n,), but never narrower than the adjusted Wald interval of Bonett and Price
    (2012) for paired shares: three secrets that all differ are no proof.
    """
    difference = np.asarray(control, dtype=np.float64) - np.asarray(treated, dtype=np.float64)
    sums, sizes = _by_unit(difference, unit)
    if not len(sums):
        return None
    value = float(sums.sum() / sizes.sum())
    low, high = _resampled(sums, sizes, seed)
    wide = _bonett_price(sums / sizes)
    return Estimate(value, max(-1.0, min(low, wide[0], value)), min(1.0, max(high, wide[1], value)))


def reduction(untreated: ArrayLike, treated: ArrayLike, unit: ArrayLike, seed: int) -> Estimate | None:
    """The share of the untreated leakage that the treatment removes, 1 - treated / untreated, from values (n,) in 0..1 of
    the same secrets; below 0 where the treatment makes it worse. None where nothing leaks untreated.

    The interval is a bootstrap over units (n,); its low end is no better than what remains at the high end of Wilson's
    interval for the treated arm, so that no few secrets show 100 %.
    """
    before, sizes = _by_unit(untreated, unit)
    after, _ = _by_unit(treated, unit)
    if not len(before) or before.sum() <= _NOTHING:
        return None
    value = float(1 - after.sum() / before.sum())
    drawn = _draws(len(before), seed)
    left, leaked = after[drawn].sum(1), before[drawn].sum(1)
    ratios = 1 - left[leaked > _NOTHING] / leaked[leaked > _NOTHING]
    low, high = (float(end) for end in np.percentile(ratios, [2.5, 97.5]))
    share = float(after.sum() / sizes.sum())
    least = 1 - wilson(min(1.0, max(0.0, share)), len(before))[1] / float(before.sum() / sizes.sum())
    return Estimate(value, min(low, least, value), max(high, value))


def mean_interval(values: ArrayLike) -> Estimate | None:
    """The mean over seeds (n,), with Student's t interval; None without any, or where one of them is not finite.

    One seed has a value and no interval: `low` and `high` are None, and no rule of a policy can pass on it.
    """
    seen = np.asarray(values, dtype=np.float64)
    if not seen.size or not np.isfinite(seen).all():
        return None
    value = float(seen.mean())
    if seen.size == 1:
        return Estimate(value, None, None)
    half = float(stdtrit(seen.size - 1, 0.975) * seen.std(ddof=1) / math.sqrt(seen.size))
    return Estimate(value, value - half, value + half)


def _by_unit(values: ArrayLike, unit: ArrayLike) -> tuple[Floats, Floats]:
    """Sum and number of the values of each unit: (units,) each."""
    seen = np.asarray(values, dtype=np.float64)
    _, member = np.unique(np.asarray(unit), return_inverse=True)
    return np.bincount(member, seen).astype(np.float64), np.bincount(member).astype(np.float64)


def _draws(units: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, 0xE5]).integers(0, units, (RESAMPLES, units))


def _resampled(sums: Floats, sizes: Floats, seed: int) -> tuple[float, float]:
    drawn = _draws(len(sums), seed)
    low, high = np.percentile(sums[drawn].sum(1) / sizes[drawn].sum(1), [2.5, 97.5])
    return float(low), float(high)


def _bonett_price(differences: Floats) -> tuple[float, float]:
    """Their interval for a difference of paired shares: one more pair that differs is added on either side."""
    n = len(differences) + 2
    more, less = ((np.maximum(sign * differences, 0).sum() + 1) / n for sign in (1, -1))
    middle = float(more - less)
    half = _Z * math.sqrt(float(more + less - middle**2) / n)
    return middle - half, middle + half
