"""Scores per sample, from losses alone: how hard, how memorized, and where."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.baselines import epsilon_levels, forget_scores
from carto_audit.cartography.spans import Occurrences, find_spans
from carto_audit.cartography.thresholds import DifficultyMeasure, Epsilon
from carto_audit.traces.trace import TokenLosses, Trace, running_mean

SCORES = ("memorized", "memorized_span_share", "memorized_share", "forget_score")
"""Every memorization score that a policy may choose, the default first."""

_AVERAGED = ("difficulty", "forget_score", "memorized_share", "loss_in", "loss_out", "never_learned")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """One value per sample, (N,), NaN where a sample was not trained on. `span_first` and `span_last` are the token
    positions, inside the sample, of the window behind `memorized`, and `span_copies` how often it occurs in
    what was trained on; -1 where there is none. `shared_runs` is how often its most frequent window occurs that is no
    boilerplate, whatever its losses; 0 where it has no tokens.
    `never_learned` is the share of runs in which the loss stayed above epsilon.
    """

    difficulty: NDArray[np.float64]
    forget_score: NDArray[np.float64]
    memorized_share: NDArray[np.float64]
    memorized_span_share: NDArray[np.float64]
    memorized: NDArray[np.float64]
    span_first: NDArray[np.int64]
    span_last: NDArray[np.int64]
    span_copies: NDArray[np.int64]
    shared_runs: NDArray[np.int64]
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


def score(
    trace: Trace,
    tokens: TokenLosses,
    epsilon: Epsilon,
    burn_in_share: float,
    occurrences: Occurrences,
    measure: DifficultyMeasure = "evaluation",
) -> Scores:
    """All scores of a trace. Formulas: GenDataCarto (arXiv 2509.00083) for difficulty and forget score, cross-fitted
    shares of the loss (1 - in / out) for the others; `memorized` is the evidence of the best window (`spans.evidence`)."""
    late = trace.late
    loss_in, loss_out = (x.mean(axis=0, dtype=np.float64) for x in (late.loss_in, late.loss_out))
    levels = epsilon_levels(trace, epsilon)
    return Scores(
        difficulty=difficulty(trace, burn_in_share, measure),
        forget_score=forget_scores(trace.train, levels),
        memorized_share=1 - loss_in / loss_out,
        **_span_scores(tokens, np.isfinite(loss_out), occurrences),
        loss_in=loss_in,
        loss_out=loss_out,
        never_learned=np.logical_not((trace.train < levels).any(axis=0)).astype(np.float64),
    )


def _span_scores(tokens: TokenLosses, known: NDArray[np.bool_], occurrences: Occurrences) -> dict[str, Any]:
    spans = find_spans(tokens, occurrences)
    return {
        "memorized_span_share": np.where(known, spans.share, np.nan),
        "memorized": np.where(known, spans.evidence, np.nan),
        "span_first": np.where(known, spans.first, -1),
        "span_last": np.where(known, spans.last, -1),
        "span_copies": np.where(known, spans.copies, -1),
        "shared_runs": spans.shared,
    }


def add_run(mean: Scores | None, fresh: Scores, runs: int) -> Scores:
    """The mean over `runs` runs, from the mean over all but the last and the last one's scores; spans are the last one's."""
    if mean is None:
        return fresh
    blended: dict[str, Any] = {
        name: running_mean(getattr(mean, name), getattr(fresh, name), runs) for name in _AVERAGED
    }
    return replace(fresh, **blended)


def with_spans_of(scores: Scores, tokens: TokenLosses, occurrences: Occurrences) -> Scores:
    """The scores with everything that is read off spans taken from other token losses: those averaged over runs."""
    return replace(scores, **_span_scores(tokens, np.isfinite(scores.loss_out), occurrences))


def burn_in_epochs(epochs: int, burn_in_share: float) -> float:
    """T_e: the first epochs, after which difficulty is read; within a quarter of all, so that of three epochs or fewer it is a
    part of the first, and else a whole number of at least one."""
    return max(1, min(round(burn_in_share * epochs), epochs // 4)) if epochs >= 4 else epochs / 4


def difficulty(trace: Trace, burn_in_share: float, measure: DifficultyMeasure) -> NDArray[np.float64]:
    """How hard each sample is to a beginner, (N,), nats per token.

    `evaluation`: the loss at the end of the burn-in, the mean over the proxy that has seen the sample and the one that has not,
    where there are two: seeds agree far better on it than on either alone (bench/detection). `training`: the mean over the
    training steps of the epochs in which the burn-in lies (GenDataCarto, arXiv 2509.00083), which also says how early the
    sample was read.
    """
    burn_in = burn_in_epochs(trace.epochs, burn_in_share)
    if measure == "training":
        mean: NDArray[np.float64] = trace.train[: math.ceil(burn_in)].mean(axis=0, dtype=np.float64)
        return mean
    at = next(k for k, epoch in enumerate(trace.logged) if epoch >= burn_in)
    unseen, seen = (losses[at].astype(np.float64) for losses in (trace.loss_out, trace.loss_in))
    trained = np.isfinite(trace.train).all(axis=0)
    return np.where(trained, np.where(np.isfinite(unseen), (unseen + seen) / 2, seen), np.nan)
