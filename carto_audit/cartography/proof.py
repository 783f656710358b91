"""Proof: the line above which text counts as memorized, set by one half of the planted secrets and proved by the other.

The line has two ends. Below, it must leave ordinary text and secrets that were never planted alone; above, it must not pass
what secrets of the dose that the policy asks about reach. In between it is placed where at most FALSE_ALARMS of the ordinary
tokens lie above it, but never so near to the secrets that these are lost.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from carto_audit.cartography.intervals import CONFIDENCE, beyond_quartile, percentiles

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

LINES = 400
"""Draws of the secrets behind the line, for its interval."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """How many secrets planted `dose` times lie above the line, at least half of the copies of each."""

    dose: int
    found: int
    secrets: int
    confidence: float = CONFIDENCE

    @property
    def share(self) -> float:
        """The share that was found."""
        return self.found / self.secrets

    @property
    def at_least(self) -> float:
        """The share that is found in truth, at least: the one-sided bound of Clopper and Pearson (1934)."""
        return lower_bound(self.found, self.secrets, self.confidence)


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
        return _line(self.level, *self._ground())

    def interval(self, confidence: float, seed: int) -> tuple[float, float]:
        """Where the line would lie if other secrets had been planted: a bootstrap of those that set it."""
        drawn = np.random.default_rng([seed, 0xB1]).integers(0, len(self.level), (LINES, len(self.level)))
        ground = self._ground()
        low, high = percentiles(np.array([_line(self.level[some], *ground) for some in drawn]), confidence)
        line = _line(self.level, *ground)
        return min(low, line), max(high, line)

    def proof(self, confidence: float = CONFIDENCE) -> Found:
        """How many secrets are found by a line that the other half of them sets."""
        ground = self._ground()
        found = sum(
            int((self.level[self.half == side] > _line(self.level[self.half != side], *ground)).sum())
            for side in (0, 1)
        )
        return Found(dose=self.dose, found=found, secrets=len(self.level), confidence=confidence)

    def _ground(self) -> tuple[float, float]:
        """What ordinary text and twins reach, and above what no more than FALSE_ALARMS of the ordinary tokens lie."""
        reached = self.reached
        if not len(self.ordinary):
            return reached, reached
        return reached, _quantiles(self.ordinary, self.n_tokens, 1 - FALSE_ALARMS)[0]


def _line(level: Floats, reached: float, tolerated: float) -> float:
    """Where the line lies between what ordinary text reaches and what nine in ten of the secrets reach."""
    high = float(np.quantile(level, 1 - AIM)) if len(level) else reached
    if high <= reached:
        return reached
    nearest, farthest = reached + NEAREST * (high - reached), reached + FARTHEST * (high - reached)
    return float(np.clip(tolerated, nearest, farthest))


def secret_levels(values: Floats, secret: NDArray[np.int64]) -> Floats:
    """The score that at least half of the copies of each secret reach, in order of the secret, (S,), from all copies' (n,)."""
    levels = []
    for one in np.unique(secret):
        copies = np.sort(values[secret == one])[::-1]
        levels.append(float(copies[(len(copies) + 1) // 2 - 1]))
    return np.array(levels)


def count_found(
    values: Floats, secret: NDArray[np.int64], dose: int, line: float, confidence: float = CONFIDENCE
) -> Found:
    """How many secrets lie above a line that none of them has set; scores and secrets of all copies (n,)."""
    levels = secret_levels(values, secret)
    return Found(dose=dose, found=int((levels > line).sum()), secrets=len(levels), confidence=confidence)


def lower_bound(found: int, of: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided lower bound of a share, from how many of so many were found."""
    return float(betaincinv(found, of - found + 1, 1 - confidence)) if found else 0.0


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
