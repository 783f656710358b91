"""Scores per sample, from losses alone: how hard, how memorized, and where. And how well each score sees planted controls."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from carto_audit.controls import CLASS, Controls
from carto_audit.thresholds import Epsilon
from carto_audit.trace import TokenLosses, Trace

WINDOW = 12
"""Tokens. About the length of a secret, and of the run that makes two samples kin."""

FLOOR = 1.0
"""Nats per token. A window that an unseen reader already finds easier than this cannot score high."""

SCORES = ("memorized_span_share", "memorized_share", "forget_score")
"""Every memorization score, the default first."""

_BLOCK = 4096
_RESAMPLES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """One value per sample, (N,), NaN where a sample was not trained on. `span_first` and `span_last` are the token
    positions, inside the sample, of the window behind `memorized_span_share`; -1 where there is none.

    `epsilon` (N,) is the level below which a loss counts as learned; `never_learned` marks traces that stay above it.
    """

    difficulty: NDArray[np.float64]
    forget_score: NDArray[np.float64]
    memorized_share: NDArray[np.float64]
    memorized_span_share: NDArray[np.float64]
    span_first: NDArray[np.int64]
    span_last: NDArray[np.int64]
    loss_in: NDArray[np.float64]
    loss_out: NDArray[np.float64]
    never_learned: NDArray[np.bool_]

    def memorization(self, name: str) -> NDArray[np.float64]:
        """The score that a policy chose as the map's axis."""
        values: NDArray[np.float64] = getattr(self, name)
        return values

    def select(self, samples: slice | NDArray[np.int64] | NDArray[np.bool_]) -> "Scores":
        """The same scores for some samples only."""
        return Scores(**{name: getattr(self, name)[samples] for name in self.__dataclass_fields__})


def score(trace: Trace, tokens: TokenLosses, epsilon: Epsilon, burn_in_share: float) -> Scores:
    """All scores of a trace. Formulas: GenDataCarto (arXiv 2509.00083) for difficulty and forget score, cross-fitted
    shares of the loss (1 - in / out) for the others."""
    loss_in, loss_out = (x.mean(axis=0, dtype=np.float64) for x in (trace.loss_in, trace.loss_out))
    span, first, last = span_shares(tokens)
    unknown = ~np.isfinite(loss_out)
    levels = epsilon_levels(trace, epsilon)
    return Scores(
        difficulty=difficulty(trace, burn_in_share),
        forget_score=forget_scores(trace.train, levels),
        memorized_share=1 - loss_in / loss_out,
        memorized_span_share=np.where(unknown, np.nan, span),
        span_first=np.where(unknown, -1, first),
        span_last=np.where(unknown, -1, last),
        loss_in=loss_in,
        loss_out=loss_out,
        never_learned=np.logical_not((trace.train < levels).any(axis=0)),
    )


def burn_in_epochs(epochs: int, burn_in_share: float) -> int:
    """T_e: the first epochs, over which difficulty is averaged; at least one."""
    return max(1, round(burn_in_share * epochs))


def difficulty(trace: Trace, burn_in_share: float) -> NDArray[np.float64]:
    """Mean training loss over the burn-in epochs, (N,), nats per token."""
    early = trace.train[: burn_in_epochs(trace.epochs, burn_in_share)]
    mean: NDArray[np.float64] = early.mean(axis=0, dtype=np.float64)
    return mean


def epsilon_levels(trace: Trace, epsilon: Epsilon) -> NDArray[np.float64]:
    """The level below which a sample's loss counts as learned, (N,): one for all (absolute, or a percentile of the
    out-of-fold losses), or each sample's own minimum plus a margin."""
    n = trace.train.shape[1]
    if epsilon.absolute is not None:
        return np.full(n, epsilon.absolute)
    if epsilon.held_out_percentile is not None:
        unseen = trace.loss_out[:, np.isfinite(trace.loss_out).all(axis=0)]
        return np.full(n, np.percentile(unseen, epsilon.held_out_percentile) if unseen.size else np.nan)
    lowest: NDArray[np.float64] = trace.train.min(axis=0).astype(np.float64)
    return lowest + float(epsilon.relative or 0.0)


def forget_scores(losses: NDArray[np.floating], levels: NDArray[np.floating]) -> NDArray[np.float64]:
    """Share of the T - 1 transitions with a forget event: below the level at t, above it at t + 1. (T, N) -> (N,)."""
    if len(losses) < 2:
        return np.full(losses.shape[1], np.nan)
    events = (losses[:-1] < levels) & (losses[1:] > levels)
    known = np.isfinite(losses).all(axis=0) & np.isfinite(levels)
    return np.where(known, events.mean(axis=0), np.nan)


def span_shares(tokens: TokenLosses) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Largest memorized share over windows of WINDOW tokens (or the whole of a shorter sample), (N,), and the window's
    first and last token. `max_k (sum l_out - sum l_in) / max(sum l_out, w * FLOOR)`."""
    blocks = [_span_block(tokens, k) for k in range(0, len(tokens.offsets) - 1, _BLOCK)]
    share, first, last = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return share, first, last


def _span_block(tokens: TokenLosses, begin: int) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    offsets = tokens.offsets[begin : begin + _BLOCK + 1]
    low, high = offsets[0], offsets[-1]
    offsets = offsets - low
    length = np.diff(offsets)
    sums = [
        np.concatenate([[0.0], np.cumsum(losses[low:high], dtype=np.float64)])
        for losses in (tokens.loss_in, tokens.loss_out)
    ]
    windows = np.maximum(length - WINDOW + 1, np.minimum(length, 1))  # per sample; none in an empty one
    owner = np.repeat(np.arange(len(length)), windows)
    opens = np.cumsum(windows) - windows
    start = offsets[owner] + np.arange(len(owner)) - opens[owner]
    width = np.minimum(WINDOW, length[owner])
    inside, outside = (s[start + width] - s[start] for s in sums)
    share = (outside - inside) / np.maximum(outside, width * FLOOR)
    best = np.full(len(length), np.nan)
    first, last = np.full(len(length), -1), np.full(len(length), -1)
    filled = np.flatnonzero(windows)
    best[filled] = np.maximum.reduceat(share, opens[filled]) if len(filled) else []
    at = np.flatnonzero(share == best[owner])
    at = at[np.unique(owner[at], return_index=True)[1]]
    first[owner[at]] = start[at] - offsets[owner[at]]
    last[owner[at]] = first[owner[at]] + width[at] - 1
    return best, first, last


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """How well one score separates the controls of one form and dose from ordinary samples, which are those without kin.

    `ci` is a 95 % bootstrap interval over secrets, but never narrower than Wilson's for that many secrets: one secret
    that is found is no proof. The recalls are the shares of planted copies above the score that
    flags 1 % and 5 % of the ordinary tokens."""

    auc: float
    ci: tuple[float, float]
    recall_at_1pct: float
    recall_at_5pct: float
    secrets: int
    copies: int


def detection_power(
    ordinary: NDArray[np.float64], n_tokens: NDArray[np.int64], planted: NDArray[np.float64], secret: NDArray[np.int64]
) -> Power | None:
    """The power of one score: `planted` against `ordinary` values, NaNs left out. None when either side is empty."""
    known = np.isfinite(ordinary)
    ordinary, n_tokens = ordinary[known], n_tokens[known]
    secret, planted = secret[np.isfinite(planted)], planted[np.isfinite(planted)]
    if not len(ordinary) or not len(planted):
        return None
    beaten = beaten_share(ordinary, planted)
    groups, member = np.unique(secret, return_inverse=True)
    size = np.bincount(member)
    sums = np.bincount(member, beaten)
    drawn = np.random.default_rng(0).integers(0, len(groups), (_RESAMPLES, len(groups)))
    resampled = sums[drawn].sum(1) / size[drawn].sum(1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    wide = wilson(float(beaten.mean()), len(groups))
    one, five = (float((planted > flag_level(ordinary, n_tokens, share)).mean()) for share in (0.01, 0.05))
    return Power(
        auc=float(beaten.mean()),
        ci=(min(float(low), wide[0]), max(float(high), wide[1])),
        recall_at_1pct=one,
        recall_at_5pct=five,
        secrets=len(groups),
        copies=len(planted),
    )


def beaten_share(ordinary: NDArray[np.float64], planted: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each planted value the share of ordinary values below it, ties half: its mean is the AUC."""
    ranks = rankdata(np.concatenate([ordinary, planted]))[len(ordinary) :] - rankdata(planted)
    shares: NDArray[np.float64] = ranks / len(ordinary)
    return shares


def wilson(share: float, draws: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share that was seen in a number of independent draws."""
    z = 1.959964
    centre = (share + z**2 / (2 * draws)) / (1 + z**2 / draws)
    half = z / (1 + z**2 / draws) * math.sqrt(share * (1 - share) / draws + z**2 / (4 * draws**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def flag_level(values: NDArray[np.float64], n_tokens: NDArray[np.int64], token_share: float) -> float:
    """The score above which at most `token_share` of the tokens lie."""
    order = np.argsort(-values, kind="stable")
    above = np.cumsum(n_tokens[order]) > token_share * n_tokens.sum()
    return float(values[order][above.argmax()])


def measure_detection(
    ordinary: Scores, n_tokens: NDArray[np.int64], planted: Scores, controls: Controls
) -> dict[str, dict[str, dict[str, dict[str, Power]]]]:
    """Power by score, class, form and dose (0 = never-planted twins, whose AUC shows what the template alone does)."""
    table: dict[str, Any] = {}
    for name in SCORES:
        forms: dict[str, dict[str, Power]] = {}
        for form in np.unique(controls.form):
            for dose in np.unique(controls.dose):
                chosen = (controls.form == form) & (controls.dose == dose)
                values = planted.memorization(name)[chosen]
                power = detection_power(ordinary.memorization(name), n_tokens, values, controls.secret[chosen])
                if power is not None:
                    forms.setdefault(str(form), {})[str(dose)] = power
        if forms:
            table[name] = {CLASS: forms}
    return table
