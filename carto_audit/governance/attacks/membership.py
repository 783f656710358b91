"""Membership: how well it can be told which texts a proxy was trained on. Any score here is higher for a member."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from carto_audit.cartography.detection_power import beaten_share
from carto_audit.cartography.intervals import Estimate, percentile_estimate
from carto_audit.traces.trace import TokenStatistics

LOWEST_SHARE = 0.2
"""Min-K%: the share of a text's tokens, the least likely ones, that decide."""

FPRS = (0.01, 0.001)
"""False positive rates at which members are counted."""

RESAMPLES, _BLOCK = 1000, 1 << 22
"""Bootstrap resamples, and how many drawn scores are held at once."""

PENALTIES, PARTS = (0.001, 0.01, 0.1, 1.0), 5
"""What the learned attack chooses its L2 penalty per sample from, by cross-validation in so many parts."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ids = NDArray[np.int64]


Readings = Sequence[TokenStatistics]


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """How well one score tells members from held-out texts: the AUC, and the share of members above the score that 1 % and
    0.1 % of the held-out texts exceed, None where these are too few to say."""

    auc: Estimate
    tpr_at_1pct_fpr: Estimate | None
    tpr_at_01pct_fpr: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A learned attack: logistic regression on standardised features."""

    mean: Floats
    scale: Floats
    weights: Floats
    bias: float

    def score(self, features: Floats) -> Floats:
        """The log odds that each text is a member, (n,), from features (n, F)."""
        odds: Floats = (features - self.mean) / self.scale @ self.weights + self.bias
        return odds


def neighbours(ids: Ids, unigram: Floats, count: int, rate: float, rng: np.random.Generator) -> list[Ids]:
    """So many copies of a text in which a share `rate` of the tokens, one at least, is drawn anew from `unigram` (V,),
    frequencies that need not sum to 1."""
    changes = min(len(ids), max(1, round(rate * len(ids))))
    copies = [ids.copy() for _ in range(count)]
    for copy in copies:
        copy[rng.choice(len(ids), changes, replace=False)] = rng.choice(
            len(unigram), changes, p=unigram / unigram.sum()
        )
    return copies


def membership_scores(
    target: Readings, reference: Readings, zlib_bytes: NDArray[np.integer], neighbour_loss: Floats
) -> dict[str, Floats]:
    """Every score of n texts, (n,) by name, from what the attacked proxy and one that never read them make of the tokens.

    `zlib_bytes` (n,) is the compressed size of what was read of each text, `neighbour_loss` (n,) the mean loss of its
    neighbours in nats per token. LOSS (Yeom et al. 2018, arXiv 1709.01604); zlib (Carlini et al. 2021, arXiv 2012.07805); Min-K %
    (Shi et al. 2023, arXiv 2310.16789); Min-K %++ (Zhang et al. 2024, arXiv 2404.02936); reference (Carlini et al. 2021);
    neighbourhood (Mattern et al. 2023, arXiv 2305.18462); EZ (arXiv 2601.12104).
    """
    loss, expected = (np.array([text.loss.mean() for text in side]) for side in (target, reference))
    total = np.array([text.loss.sum() for text in target])
    return {
        "loss": -loss,
        "zlib": -total / zlib_bytes,
        "min_k": np.array([_lowest(-text.loss) for text in target]),
        "min_k_plus_plus": np.array([_lowest(text.z) for text in target]),
        "reference": expected - loss,
        "neighbourhood": neighbour_loss - loss,
        "ez": np.array([_error_shift(*pair) for pair in zip(target, reference, strict=True)]),
    }


def _lowest(values: Floats) -> float:
    """Mean of the lowest share of a text's values, one at least."""
    return float(np.sort(values)[: max(1, int(LOWEST_SHARE * len(values)))].mean())


def _error_shift(target: TokenStatistics, reference: TokenStatistics) -> float:
    """Of how far the log probabilities of mistaken tokens lie apart, the share by which the target's are the higher.

    It ranks as the published ratio of up to down does, and stays finite; 0.5 where there is nothing to compare. Mistaken is what
    either proxy gets wrong: of a text that the target knows by heart, it alone leaves a token or none, and chance decides.
    """
    shift = (reference.loss - target.loss)[(target.right == 0) | (reference.right == 0)]
    apart = float(np.abs(shift).sum())
    return float(shift[shift > 0].sum()) / apart if apart > 0 else 0.5


def learned_features(target: Readings, reference: Readings) -> Floats:
    """What the learned attack looks at, (n, 60): mean, standard deviation, minimum and 10th percentile over a text's tokens of
    five statistics under the target, under the reference, and of their differences.

    A light form of LT-MIA ("Learning the Signature of Memorization"), which feeds 154 values of each token to a transformer.
    """
    rows = []
    for ours, theirs in zip(target, reference, strict=True):
        two = np.stack([_channels(ours), _channels(theirs)])  # (2, 5, T)
        channels = np.concatenate([two[0], two[1], two[0] - two[1]])  # (15, T)
        pooled = [channels.mean(1), channels.std(1), channels.min(1), np.percentile(channels, 10, axis=1)]
        rows.append(np.concatenate(pooled))
    return np.array(rows).reshape(-1, 60)


def _channels(text: TokenStatistics) -> Floats:
    return np.stack([text.loss, text.z, text.right, text.log_rank, text.margin])


def fit_attack(features: Floats, member: Bools, seed: int) -> Attack:
    """The attack that tells members from others by their features (n, F); both sides weigh alike, however many they are.

    Train it where the truth is known and use it elsewhere: on texts that it has seen it says nothing about the proxy. The
    seed divides the samples when the penalty is chosen.
    """
    mean, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 1e-9, spread, 1.0)
    standard = (features - mean) / scale
    part = np.random.default_rng([seed, 0x17]).permutation(len(member)) % PARTS
    errors = [sum(_held_out_error(standard, member, part == k, penalty) for k in range(PARTS)) for penalty in PENALTIES]
    weights, bias = _fit(standard, member, PENALTIES[int(np.argmin(errors))])
    return Attack(mean=mean, scale=scale, weights=weights, bias=bias)


def _held_out_error(features: Floats, member: Bools, held_out: Bools, penalty: float) -> float:
    """Log loss of a fit on samples that it was not fitted to."""
    weights, bias = _fit(features[~held_out], member[~held_out], penalty)
    odds = features[held_out] @ weights + bias
    return float(np.logaddexp(0, np.where(member[held_out], -odds, odds)).sum())


def _fit(features: Floats, member: Bools, penalty: float) -> tuple[Floats, float]:
    """Weights (F,) and bias of L2-penalised logistic regression."""
    share = np.where(member, member.mean(), 1 - member.mean())
    importance = 0.5 / (share * len(member))  # sums to 1, half on either side

    def objective(point: Floats) -> tuple[float, Floats]:
        odds = features @ point[:-1] + point[-1]
        loss = float(
            importance @ np.logaddexp(0, np.where(member, -odds, odds)) + penalty / 2 * point[:-1] @ point[:-1]
        )
        pull = importance * (expit(odds) - member)
        return loss, np.append(features.T @ pull + penalty * point[:-1], pull.sum())

    found: Floats = minimize(objective, np.zeros(features.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return found[:-1], float(found[-1])


def measure_membership(scores: Floats, member: Bools, seed: int) -> Membership | None:
    """How well scores (n,) tell members from the rest, which must be held-out texts of the same kind. NaNs are left out; None
    when one side is empty.

    Intervals are 95 % percentile bootstraps over texts of both sides; Wilson's where every resample says the same.
    """
    known = np.isfinite(scores)
    inside, outside = scores[known & member], scores[known & ~member]
    if not len(inside) or not len(outside):
        return None
    auc, rates = _resampled(inside, outside, np.random.default_rng([seed, 0xAC]))
    tpr = [
        percentile_estimate(rate, drawn, len(inside))
        if (rate := true_positive_rate(inside, outside, fpr)) is not None
        else None
        for fpr, drawn in zip(FPRS, rates, strict=True)
    ]
    return Membership(
        auc=percentile_estimate(float(beaten_share(outside, inside).mean()), auc, min(len(inside), len(outside))),
        tpr_at_1pct_fpr=tpr[0],
        tpr_at_01pct_fpr=tpr[1],
    )


def true_positive_rate(inside: Floats, outside: Floats, fpr: float) -> float | None:
    """The share of members above a score that at most a share `fpr` of the others exceed; None with fewer than 1 / fpr others."""
    allowed = _allowed(len(outside), fpr)
    return float((inside > np.sort(outside)[-1 - allowed]).mean()) if allowed else None


def _allowed(others: int, fpr: float) -> int:
    """How many others may lie above the threshold."""
    return int(others * fpr + 1e-9)


def _resampled(inside: Floats, outside: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The AUC of every resample, (RESAMPLES,), and its true positive rate at each of FPRS, (2, RESAMPLES)."""
    levels, place = np.unique(np.concatenate([inside, outside]), return_inverse=True)
    ours, theirs = place[: len(inside)], place[len(inside) :]
    together = max(1, _BLOCK // len(place))
    blocks = [
        _measure(*(_redraw(side, len(levels), min(together, RESAMPLES - first), rng) for side in (ours, theirs)))
        for first in range(0, RESAMPLES, together)
    ]
    found = np.concatenate(blocks, axis=1)
    return found[0], found[1:]


def _redraw(place: Ids, levels: int, resamples: int, rng: np.random.Generator) -> Ids:
    """How many of the drawn scores have each level, (resamples, levels)."""
    drawn = place[rng.integers(0, len(place), (resamples, len(place)))] + levels * np.arange(resamples)[:, None]
    counts: Ids = np.bincount(drawn.ravel(), minlength=resamples * levels).reshape(resamples, levels)
    return counts


def _measure(ours: Ids, theirs: Ids) -> Floats:
    """AUC and true positive rates, (3, resamples), from counts by ascending level, (resamples, levels) of either side."""
    n_ours, n_theirs = int(ours[0].sum()), int(theirs[0].sum())
    upto = theirs.cumsum(axis=1)
    auc = (ours * (upto - theirs / 2)).sum(axis=1) / (n_ours * n_theirs)
    above_ours, above_theirs = n_ours - ours.cumsum(axis=1), n_theirs - upto
    rates = []
    for fpr in FPRS:
        threshold = (above_theirs <= _allowed(n_theirs, fpr)).argmax(axis=1)
        rates.append(above_ours[np.arange(len(ours)), threshold] / n_ours)
    return np.stack([auc, *rates])
