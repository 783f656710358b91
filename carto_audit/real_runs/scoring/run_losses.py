"""Run losses: what a real run makes of its samples, unseen and learned, as the trace that an audit of proxies would leave.

Out of sample is the first visit, or the checkpoint from which the run began; learned are the late visits, or the last checkpoint.
Both are told at the level of the end: what the run learned in general, its drift, is taken off the first."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.scores import burn_in_epochs
from carto_audit.real_runs.reading.planted_run import PlantedRun
from carto_audit.real_runs.reading.readings import PROXIES, Readings
from carto_audit.real_runs.reading.run_samples import RunSamples
from carto_audit.real_runs.scoring.first_copies import first_copies
from carto_audit.real_runs.scoring.visited import Visited
from carto_audit.runtime.errors import AuditError
from carto_audit.traces.trace import LATE_EPOCHS, TokenLosses, Trace

LEAST_HELD_OUT = 10
"""Rows, of fewer of which nobody can tell the drift."""

STEP_BINS, BIN_ROWS = 20, 20
"""Of the first visits, into how many stretches of steps they are cut at most, and how many rows each has at least."""

LOWEST = 0.01
"""Nats: what is left at least of a token's unseen loss when the drift is taken off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where losses come from: readings of the checkpoint before the run, and of a later one or several, None without."""

    base: Readings | None
    late: Readings | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Losses of all tokens of the S samples in nats, unseen and learned, NaN where one is not known. The drift is not taken off
    yet. `reader` (tokens,) is the sample at whose visit a token was unseen, None where each is its own. `out` and `into` say in
    words what they are."""

    unseen: NDArray[np.float32]
    learned: NDArray[np.float32]
    reader: NDArray[np.int64] | None
    out: str
    into: str

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Tokens of which both are known."""
        both: NDArray[np.bool_] = np.isfinite(self.unseen) & np.isfinite(self.learned)
        return both


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What the run learned in general: `nats` (S,) per token to take off each sample's unseen loss, `words` how it was told,
    and the number of `rows` that told it."""

    nats: NDArray[np.float64]
    words: str
    rows: int
    held_out: bool


def pair_losses(planted: PlantedRun, samples: RunSamples, visited: Visited, sources: Sources) -> Pair:
    """What is known of each token. Raises AuditError where nothing out of sample or nothing late is known."""
    n, total = len(planted.batch), len(samples.ids)
    inside = np.zeros(total, dtype=bool)
    inside[: samples.offsets[n]] = True
    trained = np.where(inside, visited.seen, True)
    if sources.base is None and not visited.kept:
        raise AuditError(
            "the trace keeps the token losses of a part of the samples: log with token_share=1.0, or give what the starting "
            "checkpoint makes of them with --base (carto-audit trace read)"
        )
    if sources.late is None and not (visited.kept and len(visited.train) > 1):
        why = "the run has one epoch" if visited.kept else "the trace keeps the token losses of a part of the samples"
        raise AuditError(f"{why}: give what the last checkpoint makes of them with --late (carto-audit trace read)")
    learned, reader = sources.late.nats(-1) if sources.late else visited.late, None
    if sources.base is not None:
        unseen = sources.base.nats(0)
        out = PROXIES if sources.base.of_proxies else "the checkpoint before the run"
    else:
        unseen, out = visited.first, "the first visit"
        if sources.late is not None and len(sources.late.steps) > 1:
            unseen = np.where(inside, unseen, sources.late.nats(0))  # of rows that are never visited
        if len(visited.train) == 1:
            unseen, reader, out = _of_first_copies(samples, visited, unseen)
    if visited.kept:  # what no loss was taken of was not trained on
        trained &= ~inside | np.isfinite(visited.first)
    late = min(LATE_EPOCHS, len(visited.train) - 1)
    return Pair(
        unseen=np.where(trained, unseen, np.nan).astype(np.float32),
        learned=np.where(trained, learned, np.nan).astype(np.float32),
        out=out,
        reader=reader,
        into="the last checkpoint" if sources.late else f"the visits of the last {late} epochs",
    )


def _of_first_copies(
    samples: RunSamples, visited: Visited, unseen: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int64], str]:
    """In a run of one epoch: the losses of each token at the first visit of any row with the same words around it, the sample
    that was visited, and what that is called."""
    step = np.full(len(samples), -1, np.int64)
    step[: len(visited.step)] = visited.step
    place = first_copies(samples, step)
    place = np.where(np.isfinite(unseen[place]), place, np.arange(len(place)))
    owner = np.repeat(np.arange(len(samples)), samples.n_tokens)
    return unseen[place], owner[place], "the first visit of any copy"


def tell_drift(
    planted: PlantedRun,
    samples: RunSamples,
    visited: Visited,
    sources: Sources,
    pair: Pair,
    alone: NDArray[np.bool_],
) -> Drift:
    """The drift of each sample. `alone` (N,) are delivered rows that share no run of tokens with others: without held-out
    rows, the drift is what the run learned of these, which is more than it learned in general."""
    n, s = len(planted.batch), len(samples)
    held = np.arange(s - len(planted.held_out), s)
    nats = np.zeros(s)
    usable = sources.late is not None and len(held) >= LEAST_HELD_OUT
    if usable and sources.late is not None:
        end = _mean(sources.late.nats(-1), samples, held)
        if sources.base is not None:
            nats[:] = _mean(sources.base.nats(0), samples, held) - end
            return Drift(nats=nats, words="rows held out, read before and after", rows=len(held), held_out=True)
        nats[n:] = _mean(sources.late.nats(0), samples, held) - end
        told = alone & visited.known
        nats[:n] = _by_step(_means(pair.unseen, samples)[:n], visited.step, told) - end
        words = "rows held out, read at the end, against rows at their first visit around the same step"
        return Drift(nats=nats, words=words, rows=len(held), held_out=True)
    told = alone & visited.known
    unseen, learned = (_means(values, samples)[:n] for values in (pair.unseen, pair.learned))
    nats[:n] = _by_step(unseen - learned, visited.step, told)
    words = "rows that share nothing with others, which the run has learned too: no held-out row was read"
    return Drift(nats=nats, words=words, rows=int(told.sum()), held_out=False)


def _means(values: NDArray[np.float32], samples: RunSamples) -> NDArray[np.float64]:
    """The mean of each sample over its tokens that are known, (S,), NaN where none is."""
    known = np.isfinite(values)
    running = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0), dtype=np.float64)])
    count = np.concatenate([[0], np.cumsum(known)])
    total, tokens = (np.diff(one[samples.offsets]) for one in (running, count))
    return np.where(tokens > 0, total / np.maximum(tokens, 1), np.nan)


def _mean(values: NDArray[np.float32], samples: RunSamples, chosen: NDArray[np.int64]) -> float:
    """The mean over all tokens of some samples."""
    spans = [values[samples.offsets[k] : samples.offsets[k + 1]] for k in chosen.tolist()]
    return float(np.nanmean(np.concatenate(spans)))


def _by_step(values: NDArray[np.float64], step: NDArray[np.int64], told: NDArray[np.bool_]) -> NDArray[np.float64]:
    """At each sample's step what the mean of the told ones around it is, (N,). Raises AuditError where nobody tells it."""
    rows = np.flatnonzero(told & np.isfinite(values) & (step >= 0))
    if len(rows) < BIN_ROWS:
        raise AuditError(
            f"only {len(rows)} rows share nothing with others, and the drift of a run is told by {BIN_ROWS}"
        )
    rows = rows[np.argsort(step[rows], kind="stable")]
    bins = np.array_split(rows, min(STEP_BINS, len(rows) // BIN_ROWS))
    places = [float(step[one].mean()) for one in bins]
    means = [float(values[one].mean()) for one in bins]
    return np.interp(step, places, means)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLosses:
    """Losses of M traced samples, in the order that they were asked for, as an audit has them; `position` is the place of each
    token in its sample."""

    trace: Trace
    tokens: TokenLosses
    position: NDArray[np.int64]


def kept_tokens(
    samples: RunSamples, pair: Pair, order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The tokens of some samples of which both losses are known, as places in the flat ids, and where each sample begins among
    them, (M + 1,). A number of -1 stands for a sample without tokens."""
    empty = np.zeros(0, np.int64)
    kept = pair.kept
    parts = [
        samples.offsets[k] + np.flatnonzero(kept[samples.offsets[k] : samples.offsets[k + 1]]) if k >= 0 else empty
        for k in order.tolist()
    ]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return np.concatenate([empty, *parts]).astype(np.int64), offsets


def run_losses(
    samples: RunSamples,
    visited: Visited,
    pair: Pair,
    drift: Drift,
    order: NDArray[np.int64],
    rows: NDArray[np.int64],
    burn_in_share: float,
) -> RunLosses:
    """The losses of the samples `order` (M,), -1 for one without tokens; `rows` (M,) are their places in the planted batch, -1
    for what was never visited."""
    places, offsets = kept_tokens(samples, pair, order)
    owner = np.repeat(np.maximum(order, 0), np.diff(offsets))
    reader = owner if pair.reader is None else pair.reader[places]
    unseen = np.maximum(pair.unseen[places] - drift.nats[reader], LOWEST).astype(np.float32)
    learned = pair.learned[places]
    epochs = len(visited.train)
    late = list(range(epochs + 1 - min(LATE_EPOCHS, epochs), epochs + 1))
    out, into = (_row_means(values, offsets) for values in (unseen, learned))
    train = np.where((rows >= 0) & np.isfinite(out), _filled(visited.train)[:, np.maximum(rows, 0)], np.nan)
    trace = Trace(
        train=train.astype(np.float32),
        loss_in=np.stack([out, *([into] * len(late))]).astype(
            np.float32
        ),  # at the end of the burn-in nothing was learned by heart
        loss_out=np.stack([out] * (1 + len(late))).astype(np.float32),
        logged=(burn_in_epochs(epochs, burn_in_share), *late),
    )
    return RunLosses(
        trace=trace,
        tokens=TokenLosses(ids=samples.ids[places], loss_in=learned, loss_out=unseen, offsets=offsets),
        position=places - samples.offsets[owner],
    )


def _row_means(values: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    running = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    count = np.diff(offsets)
    return np.where(count > 0, np.diff(running[offsets]) / np.maximum(count, 1), np.nan)


def _filled(train: NDArray[np.float32]) -> NDArray[np.float32]:
    """The losses with an epoch that left a sample out told by the one before, or after where there is none, (E, N)."""
    filled = train.copy()
    for steps in (range(1, len(filled)), range(len(filled) - 2, -1, -1)):
        for epoch in steps:
            beside = filled[epoch - 1] if steps.step > 0 else filled[epoch + 1]
            filled[epoch] = np.where(np.isnan(filled[epoch]), beside, filled[epoch])
    return filled
