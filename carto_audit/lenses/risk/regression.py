"""Regression: a logistic one with a penalty, by Newton's steps, and how well it ranks rows of groups that it did not see."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import rankdata

PENALTY = 1.0
"""On the square of each weight of a standardized feature: half a row's worth of evidence for none."""

FOLDS = 5

DRAWS = 200
"""Of a bootstrap over groups."""

_STEPS, _DONE = 50, 1e-8
_MOST = 4.0  # deviations; a value beyond says no more

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Index = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class RiskModel:
    """Weights (F,) of standardized features, and the `bias`."""

    centre: Floats
    scale: Floats
    weights: Floats
    bias: float

    def standardized(self, values: Floats) -> Floats:
        """Features (N, F) in deviations from the rows that it was fitted on."""
        return np.clip((values - self.centre) / self.scale, -_MOST, _MOST)

    def risk(self, values: Floats) -> Floats:
        """How likely each row (N, F) is to be flagged, (N,)."""
        risk: Floats = expit(self.standardized(values) @ self.weights + self.bias)
        return risk


def fit_risk(values: Floats, flagged: Flags) -> RiskModel:
    """The model of rows (N, F) of which some are flagged and some are not."""
    centre, scale = values.mean(0), values.std(0)
    blank = RiskModel(centre=centre, scale=np.where(scale > 0, scale, 1.0), weights=np.zeros(values.shape[1]), bias=0.0)
    design = np.hstack([blank.standardized(values), np.ones((len(values), 1))])  # (N, F + 1)
    penalty = np.append(np.full(values.shape[1], PENALTY), 1e-6)
    share = np.clip(flagged.mean(), 1e-6, 1 - 1e-6)
    theta = np.append(np.zeros(values.shape[1]), np.log(share / (1 - share)))
    loss = _loss(theta, design, flagged, penalty)
    for _ in range(_STEPS):
        risk = expit(design @ theta)
        gradient = design.T @ (risk - flagged) + penalty * theta
        curvature = (design * (risk * (1 - risk))[:, None]).T @ design + np.diag(penalty)
        step, length = np.linalg.solve(curvature, gradient), 1.0
        while (tried := _loss(theta - length * step, design, flagged, penalty)) > loss and length > _DONE:
            length /= 2
        theta, gained, loss = theta - length * step, loss - tried, tried
        if gained < _DONE * (1 + loss):
            break
    return RiskModel(centre=centre, scale=blank.scale, weights=theta[:-1], bias=float(theta[-1]))


def _loss(theta: Floats, design: Floats, flagged: Flags, penalty: Floats) -> float:
    margin = design @ theta
    return float(np.logaddexp(0, margin).sum() - margin[flagged].sum() + 0.5 * (penalty * theta**2).sum())


def risk_out_of_group(values: Floats, flagged: Flags, group: Index, seed: int) -> Floats:
    """For each row (N,) how likely it is to be flagged, by a model of the rows of other groups."""
    fold, risk = folds_of(flagged, group, seed), np.empty(len(values))
    for k in range(FOLDS):
        out = fold == k
        if out.any():
            risk[out] = _fitted_or_share(values[~out], flagged[~out], values[out])
    return risk


def _fitted_or_share(values: Floats, flagged: Flags, asked: Floats) -> Floats:
    """Where all rows are alike, their share is all that can be said."""
    if not len(flagged) or flagged.all() or not flagged.any():
        return np.full(len(asked), float(flagged.mean()) if len(flagged) else 0.0)
    return fit_risk(values, flagged).risk(asked)


def folds_of(flagged: Flags, group: Index, seed: int) -> Index:
    """Folds (N,) that no group spans, groups with flagged rows dealt out evenly."""
    _, member = np.unique(group, return_inverse=True)
    any_flagged = np.bincount(member, weights=flagged) > 0
    order = np.lexsort((np.random.default_rng(seed).permutation(len(any_flagged)), ~any_flagged))
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = np.arange(len(order)) % FOLDS
    return fold[member]


def rank_share(risk: Floats, flagged: Flags) -> float:
    """How often a flagged row has the higher risk than one that is not (AUC), ties counted half."""
    ranks, n = rankdata(risk), int(flagged.sum())
    return float((ranks[flagged].sum() - n * (n + 1) / 2) / (n * (len(risk) - n)))


def resampled(
    risk: Floats, flagged: Flags, tokens: Floats, group: Index, seed: int, draws: int = DRAWS
) -> tuple[Floats, Floats]:
    """What rows (N,) would say had other groups been drawn, (draws,) each: the AUC, and the flagged tokens as a multiple of those
    that were predicted. Draws without a flagged row or without another are made again."""
    rng = np.random.default_rng(seed)
    _, member = np.unique(group, return_inverse=True)
    _, level = np.unique(risk, return_inverse=True)
    groups, levels = int(member.max()) + 1, int(level.max()) + 1
    ranks, ratios = np.empty(draws), np.empty(draws)
    done = 0
    while done < draws:
        weight = rng.multinomial(groups, np.full(groups, 1 / groups))[member].astype(np.float64)
        bad = np.bincount(level, weights=weight * flagged, minlength=levels)
        good = np.bincount(level, weights=weight * ~flagged, minlength=levels)
        if bad.any() and good.any():
            ranks[done] = (bad * (np.cumsum(good) - good / 2)).sum() / (bad.sum() * good.sum())
            ratios[done] = (weight * tokens * flagged).sum() / (weight * tokens * risk).sum()
            done += 1
    return ranks, ratios
