"""Intervals: a value and the ends of its 95 % interval, over what was drawn independently. What cannot be bounded has none."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

RESAMPLES = 2000
"""Draws of a bootstrap; the ends of a 95 % interval then move by about 0.02 standard errors of a draw."""

_GROUP_RESAMPLES, _SHARE_RESAMPLES = 200, 1000
CONFIDENCE = 0.95
_Z = 1.959964
_QUARTILE = 0.6745
_NOTHING = 1e-9  # a sum of leaked shares below which nothing leaked, and nothing can be divided by it

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the ends of its 95 % interval, None where one observation gives no interval."""

    value: float
    low: float | None
    high: float | None

    def facts(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def beyond_quartile(median: float, upper_quartile: float, deviations: float) -> float:
    """What lies so many standard deviations above the median of a normal distribution, read off its quartile: a quarter of the
    values may be outliers without moving it."""
    return median + deviations / _QUARTILE * (upper_quartile - median)


def wilson(share: float, draws: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's interval of a share that was seen in a number of independent draws."""
    z = deviations(confidence)
    centre = (share + z**2 / (2 * draws)) / (1 + z**2 / draws)
    half = z / (1 + z**2 / draws) * math.sqrt(share * (1 - share) / draws + z**2 / (4 * draws**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def deviations(confidence: float) -> float:
    """How many standard deviations a two-sided interval of a normal distribution reaches to either side."""
    return float(ndtri((1 + confidence) / 2))


def percentiles(values: Floats, confidence: float) -> tuple[float, float]:
    """The ends between which this share of the values lies, half of the rest on either side."""
    low, high = np.percentile(values, [50 * (1 - confidence), 50 * (1 + confidence)]).tolist()
    return low, high


def around(share: float, spread: float) -> tuple[float, float]:
    """What lies `spread` times the root of share (1 - share) below and above a share."""
    half = spread * math.sqrt(share * (1 - share))
    return share - half, share + half


def combined(value: float, *intervals: tuple[float, float]) -> tuple[float, float]:
    """The interval of a share that is uncertain for several independent reasons, from one interval for each: what they add
    below and above the value, as the root of the sum of squares."""
    below, above = (
        math.hypot(*(max(0.0, sign * (end[k] - value)) for end in intervals)) for sign, k in ((-1, 0), (1, 1))
    )
    return max(0.0, value - below), min(1.0, value + above)


def percentile_estimate(value: float, resampled: Floats, draws: int) -> Estimate:
    """A value with the ends of its bootstrap, (resamples,); Wilson's for so many draws where every resample says the same."""
    low, high = np.percentile(resampled, [2.5, 97.5]).tolist()
    if low == high:
        low, high = wilson(value, draws)
    return Estimate(value, min(low, value), max(high, value))


def mean_over_groups(values: Floats, member: NDArray[np.int64], groups: int) -> tuple[float, float]:
    """95 % interval of the mean of values (n,), of which `member` (n,) says to which of the groups each belongs: a bootstrap
    over whole groups, but never narrower than Wilson's for so many of them."""
    size, sums = np.bincount(member), np.bincount(member, values)
    drawn = np.random.default_rng(0).integers(0, groups, (_GROUP_RESAMPLES, groups))
    low, high = np.percentile(sums[drawn].sum(1) / size[drawn].sum(1), [2.5, 97.5])
    wide = wilson(float(values.mean()), groups)
    return min(float(low), wide[0]), max(float(high), wide[1])


def sampled_share(
    share: float,
    inside: NDArray[np.bool_] | NDArray[np.float64],
    weight: NDArray[np.int64] | NDArray[np.float64],
    group: NDArray[np.int64],
    unseen: float,
    seed: int,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Interval of a weighted share, of which a part `unseen`, 0..1, of the whole was not looked at. `inside`
    (n,) may be a part of each, 0..1.

    Whole groups resampled (Poisson bootstrap), but never narrower than Wilson's for as many independent draws as the
    groups are worth, so that nothing seen is not nothing there; both ends drawn towards the share by the root of `unseen`
    (finite population correction), and never beyond what would hold if none or all of the unseen part were inside.
    """
    if not unseen:
        return share, share
    hit, total = np.bincount(group, weight * inside), np.bincount(group, weight)
    if not total.sum():
        return 0.0, 1.0
    rng = np.random.default_rng([seed, 0xB0])
    times = (rng.poisson(1.0, len(total)) for _ in range(_SHARE_RESAMPLES))
    shares = [float(t @ hit) / max(1.0, float(t @ total)) for t in times]
    low, high = percentiles(np.array(shares), confidence)
    draws = float(total.sum()) ** 2 / float((total.astype(np.float64) ** 2).sum())
    wide = wilson(share, draws, confidence)
    low, high = min(low, wide[0]), max(high, wide[1])
    width, least = math.sqrt(unseen), share * (1 - unseen)
    return max(least, share - width * (share - low)), min(least + unseen, share + width * (high - share))


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
