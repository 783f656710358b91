"""Baselines: every published statistic of a loss trace, and plain counts of copies, computed so that audits can compare."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.thresholds import Epsilon
from carto_audit.traces.trace import Trace

NEAR_COPY_WEIGHT = 0.6
"""A near copy adds about this much of a copy to what a model memorizes (Mosaic Memory, arXiv 2405.15523: 0.60 to 0.65
with every tenth word changed)."""

DELTAS = (0.05, 0.1, 0.2, 0.4)
"""Margins of the sweep that tests how stable forget events are, in nats per token."""

EPSILONS: Mapping[str, Epsilon] = {
    "forget_absolute": Epsilon(absolute=3.0),
    "forget_relative": Epsilon(relative=0.1),
    "forget_held_out": Epsilon(held_out_percentile=25),
}
"""The three ways to say when a loss counts as learned, each at a usual value."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaStep:
    """One margin of the sweep: the share of samples with any forget event, and how many of them (Jaccard) are the same
    as at the margin before, None for the first or where neither has any."""

    delta: float
    forgetting_share: float
    agreement: float | None


def trace_baselines(trace: Trace, burn_in: float) -> dict[str, Floats]:
    """Every statistic, (N,), higher = more memorized as published; NaN where a sample was not trained on.

    Forget events: GenDataCarto (arXiv 2509.00083). LT-IQR: Pollock et al. (arXiv 2411.05743). Cumulative loss and learn
    time: Ravikumar et al. (ICML 2025). Drop, rebound and low final loss need no source.
    """
    losses = trace.train.astype(np.float64)
    lowest = np.minimum.accumulate(losses, axis=0)
    quartiles = np.percentile(losses, [25, 75], axis=0)
    return {
        **{name: forget_scores(trace.train, epsilon_levels(trace, epsilon)) for name, epsilon in EPSILONS.items()},
        "lt_iqr": quartiles[1] - quartiles[0],
        "drop": losses[: math.ceil(burn_in)].max(axis=0) - losses[-2:].min(axis=0),
        "learn_time": learn_time(losses, epsilon_levels(trace, EPSILONS["forget_held_out"])),
        "rebound": (losses[1:] - lowest[:-1]).max(axis=0) if len(losses) > 1 else np.full(losses.shape[1], np.nan),
        "cumulative_loss": losses.sum(axis=0),
        "low_final_loss": -losses[-1],
    }


def copy_baselines(exact_copies: NDArray[np.int64], cluster_size: NDArray[np.int64]) -> dict[str, Floats]:
    """Counts of copies, (N,), from how many samples are equal to each and how many are equal or nearly so."""
    return {
        "near_duplicate_count": cluster_size.astype(np.float64),
        "mosaic_count": exact_copies + NEAR_COPY_WEIGHT * (cluster_size - exact_copies),
    }


def learn_time(losses: Floats, levels: NDArray[np.floating]) -> Floats:
    """The first epoch, counted from 1, after which the loss stays below the level; T + 1 if it never does. (T, N) -> (N,)."""
    below = losses < levels
    stays = np.logical_and.accumulate(below[::-1], axis=0).sum(axis=0)
    known = np.isfinite(losses).all(axis=0) & np.isfinite(levels)
    return np.where(known, len(losses) + 1.0 - stays, np.nan)


def epsilon_levels(trace: Trace, epsilon: Epsilon) -> Floats:
    """The level below which a sample's loss counts as learned, (N,): one for all (absolute, or a percentile of the
    out-of-fold losses), or each sample's own minimum plus a margin."""
    n = trace.train.shape[1]
    if epsilon.absolute is not None:
        return np.full(n, epsilon.absolute)
    if epsilon.held_out_percentile is not None:
        late = trace.late.loss_out
        unseen = late[:, np.isfinite(late).all(axis=0)]
        return np.full(n, np.percentile(unseen, epsilon.held_out_percentile) if unseen.size else np.nan)
    lowest: Floats = trace.train.min(axis=0).astype(np.float64)
    return lowest + float(epsilon.relative or 0.0)


def forget_scores(losses: NDArray[np.floating], levels: NDArray[np.floating]) -> Floats:
    """Share of the T - 1 transitions with a forget event: below the level at t, above it at t + 1. (T, N) -> (N,)."""
    if len(losses) < 2:
        return np.full(losses.shape[1], np.nan)
    events = (losses[:-1] < levels) & (losses[1:] > levels)
    known = np.isfinite(losses).all(axis=0) & np.isfinite(levels)
    return np.where(known, events.mean(axis=0), np.nan)


def delta_sweep(trace: Trace) -> tuple[DeltaStep, ...]:
    """How far the set of samples with forget events depends on the margin delta of a relative epsilon."""
    steps: list[DeltaStep] = []
    before: NDArray[np.bool_] | None = None
    for delta in DELTAS:
        scores = forget_scores(trace.train, epsilon_levels(trace, Epsilon(relative=delta)))
        forgetting = scores[np.isfinite(scores)] > 0
        either = 0 if before is None else int((before | forgetting).sum())
        agreement = float((before & forgetting).sum() / either) if before is not None and either else None
        share = float(forgetting.mean()) if len(forgetting) else 0.0
        steps.append(DeltaStep(delta=delta, forgetting_share=share, agreement=agreement))
        before = forgetting
    return tuple(steps)
