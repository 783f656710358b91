"""Proof: the line above which text counts as memorized, set by one half of the planted secrets and proved by the other.

The line has two ends. Below, it must leave ordinary text and secrets that were never planted alone; above, it must not pass
what secrets of the dose that the policy asks about reach. In between it is placed where at most FALSE_ALARMS of the ordinary
tokens lie above it, but never so near to the secrets that these are lost.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from carto_audit.cartography.intervals import beyond_quartile

FALSE_ALARMS = 0.01
"""Of the ordinary tokens and of the never-planted secrets, what may lie above the line."""

AIM = 0.9
"""Of the planted secrets, what should lie above the line."""

NEAREST, FARTHEST = 0.5, 0.7
"""Where the line lies on the way from what ordinary text reaches to what secrets reach. Chosen on two corpora of four
(bench/detection)."""

UPPER_PERCENTILE = 2.326
"""Standard deviations from median to 99th percentile, for a normal distribution."""

LEAST_ORDINARY = 50
"""Samples, of fewer of which nobody can say what is ordinary."""

CONFIDENCE = 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How many secrets planted `dose` times lie above the line, at least half of the copies of each."""

    dose: int
    found: int
    secrets: int

    @property
    def share(self) -> float:
        """The share that was found."""
        return self.found / self.secrets

    @property
    def at_least(self) -> float:
        """The share that is found in truth, at least: the one-sided 95 % bound of Clopper and Pearson (1934)."""
        return lower_bound(self.found, self.secrets)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineControls:
    """What a line is set by. `level` (S,) is what half of the copies of each secret of the dose reach, and `half` (S,) on
    which side of the proof it stands; `ordinary` (N,) are the scores of ordinary samples of `n_tokens` (N,) each, `twins`
    those of never-planted secrets."""

    dose: int
    level: Floats
    half: NDArray[np.int8]
    ordinary: Floats
    n_tokens: NDArray[np.int64]
    twins: Floats

    @property
    def reached(self) -> float:
        """What ordinary text and twins reach: the higher of their 99th percentiles. That of ordinary text is read off its
        quartiles, so that a fifth of the batch may be memorized without hiding the rest."""
        return max(_upper(self.ordinary, self.n_tokens), float(np.percentile(self.twins, 100 * (1 - FALSE_ALARMS))))

    @property
    def line(self) -> float:
        """The line, set by all secrets."""
        return self._line(self.level)

    def proof(self) -> Found:
        """How many secrets are found by a line that the other half of them sets."""
        found = sum(
            int((self.level[self.half == side] > self._line(self.level[self.half != side])).sum()) for side in (0, 1)
        )
        return Found(dose=self.dose, found=found, secrets=len(self.level))

    def _line(self, level: Floats) -> float:
        low = self.reached
        if not len(level):
            return low
        high = float(np.quantile(level, 1 - AIM))
        if high <= low:
            return low
        tolerated = _quantiles(self.ordinary, self.n_tokens, 1 - FALSE_ALARMS)[0] if len(self.ordinary) else low
        nearest, farthest = low + NEAREST * (high - low), low + FARTHEST * (high - low)
        return float(np.clip(tolerated, nearest, farthest))


def secret_levels(values: Floats, secret: NDArray[np.int64]) -> Floats:
    """The score that at least half of the copies of each secret reach, in order of the secret, (S,), from all copies' (n,)."""
    levels = []
    for one in np.unique(secret):
        copies = np.sort(values[secret == one])[::-1]
        levels.append(float(copies[(len(copies) + 1) // 2 - 1]))
    return np.array(levels)


def count_found(values: Floats, secret: NDArray[np.int64], dose: int, line: float) -> Found:
    """How many secrets lie above a line that none of them has set; scores and secrets of all copies (n,)."""
    levels = secret_levels(values, secret)
    return Found(dose=dose, found=int((levels > line).sum()), secrets=len(levels))


def lower_bound(found: int, of: int) -> float:
    """The one-sided 95 % lower bound of a share, from how many of so many were found."""
    return float(betaincinv(found, of - found + 1, 1 - CONFIDENCE)) if found else 0.0


def _upper(values: Floats, n_tokens: NDArray[np.int64]) -> float:
    if not len(values):
        return 0.0
    if len(values) < LEAST_ORDINARY:
        return float(values.max())
    middle, upper = _quantiles(values, n_tokens, 0.5, 0.75)
    return min(1.0, beyond_quartile(middle, upper, UPPER_PERCENTILE))


def _quantiles(values: Floats, n_tokens: NDArray[np.int64], *shares: float) -> list[float]:
    """The values below which such shares of the tokens lie."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(n_tokens[order]) / n_tokens.sum()
    at = np.minimum(np.searchsorted(below, shares), len(values) - 1)
    return [float(value) for value in values[order][at]]
