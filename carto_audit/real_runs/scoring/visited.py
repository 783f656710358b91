"""Visited samples: which rows of a planted batch a trace is about, and what the run's first and late visits made of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.real_runs.reading.planted_run import PlantedRun
from carto_audit.real_runs.reading.run_samples import Pieces, RunSamples, cut
from carto_audit.runtime.errors import AuditError
from carto_audit.traces.reading import FirstVisits, Visits, first_visits
from carto_audit.traces.trace import LATE_EPOCHS

LEAST_IDENTIFIED = 0.99
"""Of the rows of a batch: with fewer, nobody knows what the run trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """How many rows were expected in the trace, and of how many it knows the whole, in `split` pieces or only a `truncated`
    beginning; `missing_copies` of controls are not in it."""

    rows: int
    found: int
    split: int
    truncated: int
    missing_copies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Visited:
    """What a trace says about the N samples of a planted batch, over E epochs.

    `known` (N,) are the samples that stand in it, `step` (N,) is that of the first visit, -1 without one; `train` (E, N) is
    the loss of the first visit of each epoch in nats per token, NaN where there is none. `first` and `late` are losses of the
    tokens of all samples, aligned with their ids, of the first visit and the mean of the late epochs, NaN where they were not
    kept; `seen` are tokens that stand in the trace. `kept` says whether the token losses of all visits were kept.
    """

    known: NDArray[np.bool_]
    step: NDArray[np.int64]
    train: NDArray[np.float32]
    first: NDArray[np.float32]
    late: NDArray[np.float32]
    seen: NDArray[np.bool_]
    kept: bool
    identified: Identified


def identify(planted: PlantedRun, samples: RunSamples, visits: Visits) -> Visited:
    """Finds the samples in a trace. Raises AuditError where fewer than LEAST_IDENTIFIED of the rows stand in it."""
    matrix = first_visits(visits)
    n, longest = len(planted.batch), int(visits.rows.length.max())
    pieces = cut(samples, longest)
    keys = planted.keys.keys_of_runs(samples.ids, pieces.bounds)
    place = np.minimum(np.searchsorted(matrix.key, keys), len(matrix.key) - 1)
    found = (matrix.key[place] == keys) & (pieces.owner < n)
    head = np.append(True, pieces.owner[1:] != pieces.owner[:-1])[: len(pieces)]
    known = np.zeros(n, dtype=bool)
    known[pieces.owner[head & found]] = True
    found &= np.append(known, np.zeros(len(samples) - n, dtype=bool))[pieces.owner]
    identified = _count(planted, samples, pieces, found, known)
    visit = matrix.visit[place]  # (P, E)
    first, late, seen = _token_losses(visits, samples, pieces, found, visit)
    return Visited(
        known=known,
        step=_first_steps(visits, pieces, found & head, visit, n),
        train=_train(visits, matrix, pieces, found, place, n),
        first=first,
        late=late,
        seen=seen,
        kept=visits.opening.token_share == 1,
        identified=identified,
    )


def _count(
    planted: PlantedRun, samples: RunSamples, pieces: Pieces, found: NDArray[np.bool_], known: NDArray[np.bool_]
) -> Identified:
    n = len(planted.batch)
    whole = np.bincount(pieces.owner, minlength=len(samples))[:n]
    there = np.bincount(pieces.owner[found], minlength=len(samples))[:n]
    expected = planted.batch.trainable & (samples.n_tokens[:n] > 1)
    rows, good = int(expected.sum()), int((expected & known).sum())
    if good < LEAST_IDENTIFIED * rows:
        raise AuditError(
            f"only {good:,} of {rows:,} rows of the planted batch stand in the trace, and a score takes {LEAST_IDENTIFIED:.0%}: "
            "the run trained on other rows, dropped or changed some, or cut them in several lengths"
        )
    return Identified(
        rows=rows,
        found=good,
        split=int((known & (whole > 1) & (there > 1)).sum()),
        truncated=int((known & (whole > 1) & (there == 1)).sum()),
        missing_copies=int((planted.is_copy & ~known).sum()),
    )


def _first_steps(
    visits: Visits, pieces: Pieces, heads: NDArray[np.bool_], visit: NDArray[np.int64], n: int
) -> NDArray[np.int64]:
    step = np.full(n, -1, np.int64)
    at = visit[heads]
    earliest = at[np.arange(len(at)), (at >= 0).argmax(axis=1)]
    step[pieces.owner[heads]] = visits.rows.step[earliest]
    return step


def _train(
    visits: Visits,
    matrix: FirstVisits,
    pieces: Pieces,
    found: NDArray[np.bool_],
    place: NDArray[np.int64],
    n: int,
) -> NDArray[np.float32]:
    """The mean loss of each sample in each epoch, over the tokens of its pieces, (E, N)."""
    epochs = matrix.loss.shape[1]
    total, tokens = np.zeros((epochs, n)), np.zeros((epochs, n))
    owner, at = pieces.owner[found], place[found]
    for epoch in range(epochs):
        visit = matrix.visit[at, epoch]
        there = visit >= 0
        count = visits.rows.tokens[visit[there]].astype(np.float64)
        np.add.at(tokens[epoch], owner[there], count)
        np.add.at(total[epoch], owner[there], count * matrix.loss[at[there], epoch])
    return np.where(tokens > 0, total / np.maximum(tokens, 1), np.nan).astype(np.float32)


def _token_losses(
    visits: Visits, samples: RunSamples, pieces: Pieces, found: NDArray[np.bool_], visit: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Of the first visit and of the late epochs, and which tokens stand in the trace: (tokens,) each."""
    first, late = (np.full(len(samples.ids), np.nan, np.float32) for _ in range(2))
    seen = np.zeros(len(samples.ids), dtype=bool)
    for piece in np.flatnonzero(found).tolist():
        begin, end = int(pieces.bounds[piece]), int(pieces.bounds[piece + 1])
        seen[begin:end] = True
        visited = visit[piece][visit[piece] >= 0]
        again = visited[1:][-LATE_EPOCHS:]
        earliest = visits.rows.token_losses(int(visited[0]))
        if len(earliest) == end - begin:
            first[begin:end] = earliest
        kept = [losses for one in again.tolist() if len(losses := visits.rows.token_losses(one)) == end - begin]
        if kept:
            late[begin:end] = np.mean(kept, axis=0)
    return first, late, seen
