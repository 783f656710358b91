"""The map: two axes, two thresholds, four quadrants, and the mass in each. A sample on a threshold is below it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.controls import Controls
from carto_audit.scores import Scores, wilson
from carto_audit.thresholds import QUADRANTS, Threshold

UNMAPPED = -1

_NULL_PERCENTILE = 99
_NONE = np.empty(0)
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A threshold as drawn: its value on the axis, the rule that set it in words, and the share of tokens above it."""

    value: float
    words: str
    flagged_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DataMap:
    """`quadrant` (N,) holds codes into QUADRANTS, UNMAPPED where a sample was not trained on. `memorization` names the
    score of the vertical axis."""

    score: str
    quadrant: NDArray[np.int8]
    difficulty: Line
    memorization: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Mass:
    """What lies in one part of the map: rows and tokens, their shares, and the 95 % interval of the shares when the map
    was estimated from a sample (equal to the share when it was not)."""

    rows: int
    tokens: int
    row_share: float
    token_share: float
    row_interval: tuple[float, float]
    token_interval: tuple[float, float]


def draw_map(
    scores: Scores,
    n_tokens: NDArray[np.int64],
    score: str,
    rules: tuple[Threshold, Threshold],
    planted: Scores,
    controls: Controls,
) -> DataMap | None:
    """Sets the thresholds of difficulty and memorization by their `rules`, and partitions the samples.

    None when a threshold cannot be set: the score was not measured, or no control of the demanded dose was planted.
    """
    hard, memorized = scores.difficulty, scores.memorization(score)
    known = controls.dose == (rules[1].control_dose or -1)
    values = planted.memorization(score)
    d_line = _line(hard, n_tokens, cut(rules[0], hard))
    m_line = _line(memorized, n_tokens, cut(rules[1], memorized, values[known], values[controls.dose == 0]))
    if d_line is None or m_line is None:
        return None
    quadrant = partition(hard, memorized, d_line.value, m_line.value)
    return DataMap(score=score, quadrant=quadrant, difficulty=d_line, memorization=m_line)


def cut(
    rule: Threshold, values: NDArray[np.float64], dose: NDArray[np.float64] = _NONE, null: NDArray[np.float64] = _NONE
) -> tuple[float, str] | None:
    """The threshold on an axis, and in words what set it. None when nothing was measured to set it by.

    `control_dose`: the median of `dose`, the scores of the controls planted so often, or the 99th percentile of `null`,
    those of the never-planted ones, where that is higher.
    """
    values, dose, null = (x[np.isfinite(x)] for x in (values, dose, null))
    if rule.absolute is not None:
        return rule.absolute, "fixed by the policy"
    if rule.percentile is not None:
        words = f"percentile {rule.percentile:g} of this batch, so a fixed share lies above"
        return (float(np.percentile(values, rule.percentile)), words) if len(values) else None
    if not len(dose) or not len(null):
        return None
    median, highest_null = float(np.median(dose)), float(np.percentile(null, _NULL_PERCENTILE))
    times = "once" if rule.control_dose == 1 else f"{rule.control_dose} times"
    if median >= highest_null:
        return median, f"median of secrets planted {times}"
    return highest_null, f"99th percentile of never-planted secrets; those planted {times} lie lower"


def partition(
    difficulty: NDArray[np.float64], memorization: NDArray[np.float64], tau_d: float, tau_m: float
) -> NDArray[np.int8]:
    """Codes into QUADRANTS, (N,), by the paper's rules: d > tau_d is hard (bit 0), m > tau_m is memorized (bit 1)."""
    codes = (difficulty > tau_d).astype(np.int8) + 2 * (memorization > tau_m).astype(np.int8)
    known = np.isfinite(difficulty) & np.isfinite(memorization)
    return np.where(known, codes, UNMAPPED).astype(np.int8)


def _line(values: NDArray[np.float64], n_tokens: NDArray[np.int64], cut: tuple[float, str] | None) -> Line | None:
    known = np.isfinite(values)
    if cut is None or not known.any():
        return None
    flagged = n_tokens[known & (values > cut[0])].sum() / max(1, n_tokens[known].sum())
    return Line(value=cut[0], words=cut[1], flagged_share=float(flagged))


def masses(
    quadrant: NDArray[np.int8], n_tokens: NDArray[np.int64], group: NDArray[np.int64], *, whole: bool, seed: int
) -> dict[str, Mass]:
    """The mass of each quadrant, and of `memorized` (both above the memorization threshold).

    Shares are of the mapped samples. Unless they are the `whole` of what can be mapped, intervals come from resampling
    kinship groups.
    """
    codes = {name: (code,) for code, name in enumerate(QUADRANTS)} | {"memorized": (2, 3)}
    mapped = quadrant != UNMAPPED
    tokens, kin = n_tokens[mapped], np.unique(group[mapped], return_inverse=True)[1]
    return {
        name: _mass(np.isin(quadrant[mapped], wanted), tokens, None if whole else kin, seed)
        for name, wanted in codes.items()
    }


def _mass(inside: NDArray[np.bool_], n_tokens: NDArray[np.int64], group: NDArray[np.int64] | None, seed: int) -> Mass:
    rows, tokens = int(inside.sum()), int(n_tokens[inside].sum())
    row_share, token_share = rows / max(1, len(inside)), tokens / max(1, int(n_tokens.sum()))
    ones = np.ones(len(inside), np.int64)
    return Mass(
        rows=rows,
        tokens=tokens,
        row_share=row_share,
        token_share=token_share,
        row_interval=(row_share, row_share) if group is None else _interval(inside, ones, group, seed),
        token_interval=(token_share, token_share) if group is None else _interval(inside, n_tokens, group, seed),
    )


def _interval(
    inside: NDArray[np.bool_], weight: NDArray[np.int64], group: NDArray[np.int64], seed: int
) -> tuple[float, float]:
    """95 % interval of a weighted share: whole groups resampled (Poisson bootstrap), but never narrower than Wilson's
    for as many independent draws as the groups are worth, so that nothing seen is not nothing there."""
    hit, total = np.bincount(group, weight * inside), np.bincount(group, weight)
    if not total.sum():
        return 0.0, 1.0
    rng = np.random.default_rng([seed, 0xB0])
    times = (rng.poisson(1.0, len(total)) for _ in range(_RESAMPLES))
    shares = [float(t @ hit) / max(1.0, float(t @ total)) for t in times]
    low, high = np.percentile(shares, [2.5, 97.5])
    draws = float(total.sum()) ** 2 / float((total.astype(np.float64) ** 2).sum())
    wide = wilson(float(hit.sum() / total.sum()), draws)
    return min(float(low), wide[0]), max(float(high), wide[1])
