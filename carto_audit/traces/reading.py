"""Reading a run's trace: every visit once, of all ranks and starts of the run. What is torn or forged ends in one line."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import reason
from carto_audit.text.untrusted import safe_inline
from carto_audit.traces.keys import SampleKeys
from carto_audit.traces.parts import (
    Closing,
    FileName,
    Losses,
    Opening,
    named_files,
    read_closing,
    read_opening,
    read_part,
)
from carto_audit.traces.visits import NO_LOSS, VisitRows, join_visits

MOST_EPOCHS = 10_000
"""Of a trace. More would be no epochs, and the matrix would not fit into memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visits:
    """All visits of a run by step, then rank, then as logged, and how the run logged them.

    `opening` is what the first rank said at the last start. `superseded` visits were left out: they were logged after a
    checkpoint from which the run later continued. `dropped_batches` and `dropped_visits` never reached the disk.
    `missing_steps` counts, over the ranks, the steps without any visit; it is None where only a share of the samples is logged.
    `closed` says whether every rank came to its end.
    """

    rows: VisitRows
    opening: Opening
    generations: int
    superseded: int
    dropped_batches: int
    dropped_visits: int
    missing_steps: int | None
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstVisits:
    """The matrix of a run: for S samples, in order of their keys, and E epochs the first visit of an epoch.

    `loss` (S, E) in nats per token is NaN where a sample was not visited in an epoch; `visit` (S, E) is its place in the rows,
    -1 there.
    """

    key: NDArray[np.uint64]
    loss: NDArray[np.float32]
    visit: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What one rank left of one generation."""

    opening: Opening
    rows: VisitRows
    losses: Losses
    closed: bool


def read_visits(folder: str | Path, keys: SampleKeys, *, tokenizer: str | None = None) -> Visits:
    """All visits of a trace. Raises AuditError in one line for what is no trace, is incomplete, was written with another key, is
    not as it was written, or comes of another tokenizer than the one with the fingerprint `tokenizer`."""
    folder = Path(folder)
    shown = safe_inline(str(folder), 160)
    try:
        names = named_files(folder)
    except OSError as error:
        raise AuditError(f"{shown}: no trace of a run: {reason(error)}") from error
    told = [_read_rank(folder, keys, files) for files in _by_rank(names)]
    if not told:
        raise AuditError(f"{shown}: no trace of a run: it holds no file of one")
    _check_identity(shown, told, tokenizer)
    kept = _history(shown, told)
    rows = join_visits([part for part, _ in kept])
    if not len(rows):
        raise AuditError(f"{shown}: the trace has no visit")
    rows = rows.select(np.lexsort((rows.rank, rows.step)))
    last = [rank for rank in told if rank.opening.generation == told[-1].opening.generation]
    return Visits(
        rows=rows,
        opening=last[0].opening,
        generations=len({rank.opening.generation for rank in told}),
        superseded=sum(len(rank.rows) for rank in told) - len(rows),
        dropped_batches=sum(rank.losses.dropped_batches for rank in told),
        dropped_visits=sum(rank.losses.dropped_visits for rank in told),
        missing_steps=_missing_steps(kept) if last[0].opening.share == 1 else None,
        closed=all(rank.closed for rank in last),
    )


def first_visits(visits: Visits) -> FirstVisits:
    """The first visit to every sample in every epoch. Raises AuditError for more epochs than a run has."""
    rows = visits.rows
    epochs = int(rows.epoch.max()) + 1
    if epochs > MOST_EPOCHS:
        raise AuditError(f"the trace counts {epochs:,} epochs; at most {MOST_EPOCHS:,} make a matrix")
    key, sample = np.unique(rows.key, return_inverse=True)
    cell = sample * epochs + rows.epoch
    cells, first = np.unique(cell, return_index=True)  # rows are in order of their steps
    visit = np.full(len(key) * epochs, -1, np.int64)
    visit[cells] = first
    loss = np.where(visit < 0, np.float32(np.nan), rows.loss[visit]).astype(np.float32)
    return FirstVisits(key=key, loss=loss.reshape(-1, epochs), visit=visit.reshape(-1, epochs))


def _by_rank(names: Sequence[FileName]) -> list[list[FileName]]:
    groups: dict[tuple[int, int], list[FileName]] = defaultdict(list)
    for name in names:
        groups[name.generation, name.rank].append(name)
    return list(groups.values())


def _read_rank(folder: Path, keys: SampleKeys, files: list[FileName]) -> _Told:
    """All that a rank wrote in one generation. Raises AuditError where a file is missing, twice there or not as written."""
    where = f"{safe_inline(str(folder), 160)}: rank {files[0].rank}, generation {files[0].generation}"
    openings, closings, parts = ([name for name in files if name.kind == kind] for kind in ("open", "close", "visits"))
    if len(openings) != 1 or len(closings) > 1:
        raise AuditError(f"{where}: {len(openings)} opening notes and {len(closings)} closing ones; it has one of each")
    opening = read_opening(folder, keys, openings[0])
    closing = read_closing(folder, keys, opening, closings[0]) if closings else None
    _check_numbers(where, [name.part or 0 for name in parts], closing)
    read = [read_part(folder, keys, opening, name) for name in parts]
    for (rows, _), name in zip(read, parts, strict=True):
        _check_rows(f"{where}, part {name.part}", rows, opening)
    rows = join_visits([part for part, _ in read])
    losses = max(
        (part for _, part in read), key=lambda part: part.dropped_batches + part.dropped_visits, default=Losses()
    )
    if closing:
        losses = Losses(dropped_batches=closing.dropped_batches, dropped_visits=closing.dropped_visits)
    return _Told(opening=opening, rows=rows, losses=losses, closed=closing is not None)


def _check_numbers(where: str, numbers: list[int], closing: Closing | None) -> None:
    expected = closing.parts if closing else len(numbers)
    missing = sorted(set(range(max([expected, *(number + 1 for number in numbers)]))) - set(numbers))
    if missing:
        raise AuditError(f"{where}: part {missing[0]} is missing")
    if len(numbers) != expected:
        raise AuditError(f"{where}: {len(numbers)} parts where there should be {expected}")


def _check_rows(where: str, rows: VisitRows, opening: Opening) -> None:
    """Raises AuditError where visits cannot be what a run made of samples."""
    sizes = np.diff(rows.offsets)
    problems = {
        "a loss that is no number: the run diverged there": ~np.isfinite(rows.loss),
        "a negative loss": rows.loss < 0,
        "a visit without tokens": (rows.tokens < 1) | (rows.tokens > rows.length),
        "a negative epoch": rows.epoch < 0,
        f"a step before {opening.resumed_at}, from which it continues": rows.step < opening.resumed_at,
        "token losses that are not as many as tokens": (sizes > 0) & (sizes != rows.length),
    }
    for problem, found in problems.items():
        if found.any():
            first = int(np.flatnonzero(found)[0])
            raise AuditError(f"{where}: {problem} (step {rows.step[first]}; {int(found.sum())} of {len(rows)} visits)")
    scored = np.add.reduceat(np.append(rows.steps != NO_LOSS, False), rows.offsets[:-1]) if len(rows) else np.zeros(0)
    if (scored[sizes > 0] != rows.tokens[sizes > 0]).any():
        raise AuditError(f"{where}: token losses that are not as many as were scored")


def _check_identity(shown: str, told: Sequence[_Told], tokenizer: str | None) -> None:
    identities = {rank.opening.identity for rank in told}
    if len(identities) > 1:
        raise AuditError(f"{shown}: holds files of {len(identities)} runs, or of one that was logged in several ways")
    found = told[0].opening.tokenizer
    if tokenizer is not None and found != tokenizer:
        named = safe_inline(found, 40) or "none that was named"
        raise AuditError(
            f"{shown}: the run's tokenizer is {named}, not {safe_inline(tokenizer, 40)}: its keys say nothing here"
        )


def _history(shown: str, told: Sequence[_Told]) -> list[tuple[VisitRows, range]]:
    """What each rank of each generation contributed to the run as it ended, and the steps of which it was to log them: the last
    generation, before it the one that it continued, and so on. That is the last one that had come as far as the checkpoint, else
    the one that had come farthest. Raises AuditError where a rank of one of them is missing."""
    generations: dict[int, list[_Told]] = defaultdict(list)
    for rank in told:
        generations[rank.opening.generation].append(rank)
    number, kept = max(generations), []
    end = 1 + _last_step(generations[number])
    while True:
        ranks = generations[number]
        start = ranks[0].opening.resumed_at
        if start < end:
            _check_ranks(f"{shown}: generation {number}", ranks)
            kept += [(rank.rows.select(rank.rows.step < end), range(start, end)) for rank in ranks]
        end = min(start, end)
        before = [other for other in generations if other < number and generations[other][0].opening.resumed_at < end]
        if not before:
            return kept
        number = max(before, key=lambda other: (min(1 + _last_step(generations[other]), end), other))


def _last_step(ranks: Sequence[_Told]) -> int:
    """The last step of which any rank logged a visit; the one before the first where none did."""
    return max(int(rank.rows.step.max()) if len(rank.rows) else rank.opening.resumed_at - 1 for rank in ranks)


def _check_ranks(where: str, ranks: Sequence[_Told]) -> None:
    worlds = {(rank.opening.world, rank.opening.resumed_at) for rank in ranks}
    if len(worlds) > 1:
        raise AuditError(f"{where}: its ranks disagree on how many they are or where they continued")
    missing = sorted(set(range(ranks[0].opening.world)) - {rank.opening.rank for rank in ranks})
    if missing:
        raise AuditError(f"{where}: rank {missing[0]} of {ranks[0].opening.world} is missing")


def _missing_steps(kept: Sequence[tuple[VisitRows, range]]) -> int:
    return sum(len(steps) - len(np.unique(rows.step)) for rows, steps in kept)
