"""Scores per sample, from losses alone: how hard, how memorized, and where."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.baselines import epsilon_levels, forget_scores
from carto_audit.cartography.spans import DOUBT, Spans, find_spans
from carto_audit.cartography.thresholds import Epsilon
from carto_audit.traces.trace import TokenLosses, Trace, running_mean

SCORES = ("memorized", "memorized_span_share", "memorized_share", "forget_score")
"""Every memorization score that a policy may choose, the default first."""

NORMAL_999 = 3.090 / 0.6745
"""From median to 99.9th percentile, in steps from median to upper quartile, for a normal distribution."""

LEAST_ORDINARY = 50
"""Samples; of fewer, nobody can say what is ordinary, and no single window stands out."""

HIGHEST_ORDINARY = 0.9
"""A share that ordinary text is never supposed to reach."""

_AVERAGED = ("difficulty", "forget_score", "memorized_share", "loss_in", "loss_out", "never_learned")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """One value per sample, (N,), NaN where a sample was not trained on. `span_first` and `span_last` are the token
    positions, inside the sample, of the window behind `memorized`, and `span_copies` the number of trained samples that
    hold it; -1 where there is none. `never_learned` is the share of runs in which the loss stayed above epsilon.
    """

    difficulty: NDArray[np.float64]
    forget_score: NDArray[np.float64]
    memorized_share: NDArray[np.float64]
    memorized_span_share: NDArray[np.float64]
    memorized: NDArray[np.float64]
    span_first: NDArray[np.int64]
    span_last: NDArray[np.int64]
    span_copies: NDArray[np.int64]
    loss_in: NDArray[np.float64]
    loss_out: NDArray[np.float64]
    never_learned: NDArray[np.float64]

    def memorization(self, name: str) -> NDArray[np.float64]:
        """The score that a policy chose as the map's axis."""
        values: NDArray[np.float64] = getattr(self, name)
        return values

    def selectable(self) -> Mapping[str, NDArray[np.float64]]:
        """Every memorization score by name."""
        return {name: self.memorization(name) for name in SCORES}

    def select(self, samples: slice | NDArray[np.int64] | NDArray[np.bool_]) -> "Scores":
        """The same scores for some samples only."""
        return Scores(**{name: getattr(self, name)[samples] for name in self.__dataclass_fields__})


def score(trace: Trace, tokens: TokenLosses, epsilon: Epsilon, burn_in_share: float) -> Scores:
    """All scores of a trace. Formulas: GenDataCarto (arXiv 2509.00083) for difficulty and forget score, cross-fitted
    shares of the loss (1 - in / out) for the others; `memorized` is the pooled share of `spans`, or that of a single
    window which stands out by itself."""
    late = trace.late
    loss_in, loss_out = (x.mean(axis=0, dtype=np.float64) for x in (late.loss_in, late.loss_out))
    levels = epsilon_levels(trace, epsilon)
    return Scores(
        difficulty=difficulty(trace, burn_in_share),
        forget_score=forget_scores(trace.train, levels),
        memorized_share=1 - loss_in / loss_out,
        **_span_scores(tokens, np.isfinite(loss_out)),
        loss_in=loss_in,
        loss_out=loss_out,
        never_learned=np.logical_not((trace.train < levels).any(axis=0)).astype(np.float64),
    )


def _span_scores(tokens: TokenLosses, known: NDArray[np.bool_]) -> dict[str, Any]:
    spans = find_spans(tokens)
    alone = stand_out(spans)
    single = alone > spans.pooled
    return {
        "memorized_span_share": np.where(known, spans.share, np.nan),
        "memorized": np.where(known, np.where(single, alone, spans.pooled), np.nan),
        "span_first": np.where(known, np.where(single, spans.single_first, spans.first), -1),
        "span_last": np.where(known, np.where(single, spans.single_last, spans.last), -1),
        "span_copies": np.where(known, np.where(single, spans.single_copies, spans.copies), -1),
    }


def stand_out(spans: Spans) -> NDArray[np.float64]:
    """What the best single window of each sample says where no other sample need confirm it, (N,), -inf where nothing.

    Up to what ordinary text of its length reaches, a single window's share is shrunk as `pooled` is; what lies above is
    stretched so that a share of 1 stays 1.
    """
    reached = _ordinary_reach(spans)
    if not np.isfinite(reached).all():
        return np.full(len(reached), -np.inf)
    shrunk = spans.usual + (reached - spans.usual) / (1 + DOUBT)
    stretched: NDArray[np.float64] = shrunk + (spans.single - reached) * (1 - shrunk) / (1 - reached)
    return np.where(spans.single > reached, stretched, -np.inf)


def _ordinary_reach(spans: Spans) -> NDArray[np.float64]:
    """The 99.9th percentile of the best single share of ordinary text, (N,), by how many windows a sample has: the best of
    many is higher. Ordinary text is that whose best window occurs once. A line over the logarithm of the windows, and
    the quartiles of what it leaves, so that a quarter of these samples may be memorized without hiding one another."""
    windows = np.log(np.maximum(spans.windows, 1))
    ordinary = (spans.copies == 1) & np.isfinite(spans.single)
    if ordinary.sum() < LEAST_ORDINARY:
        return np.full(len(windows), np.inf)
    slope, level = np.polyfit(windows[ordinary], spans.single[ordinary], 1) if np.ptp(windows[ordinary]) else (0.0, 0.0)
    left = spans.single[ordinary] - level - slope * windows[ordinary]
    middle, upper = np.percentile(left, [50, 75])
    reached = level + slope * windows + middle + NORMAL_999 * (upper - middle)
    capped: NDArray[np.float64] = np.minimum(reached, HIGHEST_ORDINARY)
    return capped


def add_run(mean: Scores | None, fresh: Scores, runs: int) -> Scores:
    """The mean over `runs` runs, from the mean over all but the last and the last one's scores; spans are the last one's."""
    if mean is None:
        return fresh
    blended: dict[str, Any] = {
        name: running_mean(getattr(mean, name), getattr(fresh, name), runs) for name in _AVERAGED
    }
    return replace(fresh, **blended)


def with_spans_of(scores: Scores, tokens: TokenLosses) -> Scores:
    """The scores with everything that is read off spans taken from other token losses: those averaged over runs."""
    return replace(scores, **_span_scores(tokens, np.isfinite(scores.loss_out)))


def burn_in_epochs(epochs: int, burn_in_share: float) -> int:
    """T_e: the first epochs, over which difficulty is averaged; at least one."""
    return max(1, round(burn_in_share * epochs))


def difficulty(trace: Trace, burn_in_share: float) -> NDArray[np.float64]:
    """Mean training loss over the burn-in epochs, (N,), nats per token."""
    early = trace.train[: burn_in_epochs(trace.epochs, burn_in_share)]
    mean: NDArray[np.float64] = early.mean(axis=0, dtype=np.float64)
    return mean
