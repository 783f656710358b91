"""The loss logger: every sample's loss as a training run computes it, for any loop. It never stops or slows a step."""

import atexit
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.files import reason, writing
from carto_audit.text.untrusted import safe_inline
from carto_audit.traces.host_copies import copy_later
from carto_audit.traces.keys import SampleKeys
from carto_audit.traces.parts import FileName, Losses, Opening, named_files, read_opening
from carto_audit.traces.visits import is_keys
from carto_audit.traces.writer import WaitingBatch, Writer

PART_VISITS = 50_000
"""Visits of a part that is written without being asked for: about a megabyte. Checkpoints write what there is."""

FLUSH_SECONDS = 120.0
"""How long a checkpoint waits for the disk, at most."""


class LossLogger:
    """Writes what a run makes of its samples into a folder: parts and notes of this rank and of this start of the run.

    `keys` tell samples by their tokens. Of all samples the share `share` is logged, and of the share `token_share` the loss of
    every token; both are chosen by key, the same ones in every epoch and on every rank. `tokenizer` is its fingerprint, `run` any
    name of the run: a folder holds the trace of one. Where several ranks write (`world`), every start of the run gives them all
    the same new number `generation`; a single rank finds it by itself.

    Raises UsageError for options that make no sense and for a folder with another run's trace, AuditError where it cannot be
    written. After that, neither a full disk nor a slow one raises anything: see `dropped` and `problem`.
    """

    def __init__(
        self,
        folder: str | Path,
        keys: SampleKeys,
        *,
        rank: int = 0,
        world: int = 1,
        generation: int | None = None,
        share: float = 1.0,
        token_share: float = 0.05,
        tokenizer: str = "",
        run: str = "",
        part_visits: int = PART_VISITS,
    ) -> None:
        if not (0 < share <= 1 and 0 <= token_share <= 1):
            raise UsageError(f"share {share} and token_share {token_share} are shares of all samples, from 0 to 1")
        if not 0 <= rank < world:
            raise UsageError(f"rank {rank} of {world}: ranks count from 0")
        if generation is None and world > 1:
            raise UsageError(
                "several ranks have to agree on the generation: give all of them the same number, a higher one at every start; "
                "open_logger of carto_audit.real_runs.integrations.ranks does"
            )
        self._folder, self._keys, self._part_visits = Path(folder), keys, part_visits
        with writing(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = next_generation(self._folder) if generation is None else generation
        self._opening = Opening(
            key_id=keys.key_id,
            run=run,
            tokenizer=tokenizer,
            share=float(share),
            token_share=float(token_share),
            world=world,
            generation=number,
            rank=rank,
            resumed_at=0,
        )
        _check_same_run(self._folder, keys, self._opening)
        self._resumed_at: int | None = None
        self._writer: Writer | None = None
        self._closed, self._process = False, os.getpid()

    @property
    def dropped(self) -> Losses:
        """How many batches and visits were dropped so far."""
        return self._writer.dropped if self._writer else Losses()

    @property
    def problem(self) -> str | None:
        """Why something was dropped first, in one line; None where the disk and the queue took everything."""
        return self._writer.problem if self._writer else None

    def resume(self, step: int) -> None:
        """Says that the run continues from a checkpoint with so many completed steps: what was logged of this step or later ones
        before is superseded. Without it, the first batch that is logged says so. Raises UsageError once something is logged."""
        if self._writer:
            raise UsageError("resume comes before the first batch that is logged")
        self._resumed_at = int(step)

    def log(
        self, tokens: Any, token_losses: Any, segments: Any = None, mask: Any = None, *, step: int, epoch: float
    ) -> None:
        """Logs what a forward pass computed, and returns at once. For NumPy arrays and for tensors of torch on any device.

        `tokens` are token ids (B, T) or (N,); or the keys of samples as uint64, one for each segment, which segments then number.
        `token_losses`, of the ids' shape, are in nats, each at the token that was *predicted*; `mask` marks those that count (all
        that are finite, where there is none). `segments` say which sample a token belongs to, any number for each, -1 for
        padding; where there are none, every row is a sample. `step` is how many optimizer steps were completed before, `epoch`
        counts from 0 and may be a fraction. Raises UsageError for shapes that do not agree.
        """
        if self._closed:
            raise UsageError("this logger is closed; make another one, with a new generation")
        if segments is None:
            segments = _rows_as_segments(token_losses)
        size = _checked_size(tokens, token_losses, segments, mask)
        writer = self._writer or self._start(int(step))
        if step < self._opening.resumed_at:
            raise UsageError(f"step {step} comes before step {self._opening.resumed_at}, from which this run continues")
        writer.put(
            WaitingBatch(
                tokens=copy_later(tokens),
                losses=copy_later(token_losses),
                segments=copy_later(segments),
                scored=None if mask is None else copy_later(mask),
                step=int(step),
                epoch=int(epoch),
                size=size,
            )
        )

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Waits until all that was logged is on disk. To be called, by every rank, before a checkpoint is written, so that a run
        that resumes from it has lost no step. False where it took longer or something had to be dropped."""
        return self._writer is None or self._writer.flush(seconds)

    def close(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Writes the rest and what was dropped, and ends the thread. Like `flush` otherwise; a second call does nothing."""
        first, self._closed = not self._closed, True
        if not first or self._writer is None or self._process != os.getpid():
            return True
        atexit.unregister(self.close)
        return self._writer.flush(seconds, closing=True)

    def _start(self, step: int) -> Writer:
        resumed_at = step if self._resumed_at is None else self._resumed_at
        self._opening = replace(self._opening, resumed_at=resumed_at)
        self._writer = Writer(self._folder, self._keys, self._opening, self._part_visits)
        atexit.register(self.close)
        return self._writer


def next_generation(folder: str | Path) -> int:
    """The number of the start of a run that is about to log into a folder: one more than any there. Raises AuditError."""
    return 1 + max((name.generation for name in _listed(Path(folder))), default=-1)


def _check_same_run(folder: Path, keys: SampleKeys, opening: Opening) -> None:
    """Raises UsageError where a folder holds the trace of another run, or this one is logged differently."""
    openings = [name for name in _listed(folder) if name.kind == "open"]
    if not openings:
        return
    try:
        found = read_opening(folder, keys, openings[-1])
    except AuditError as error:
        raise UsageError(f"{error}; choose another folder, or give the key of the trace") from error
    for name in ("run", "tokenizer", "share", "token_share"):
        was, now = getattr(found, name), getattr(opening, name)
        if was != now:
            shown = f"{safe_inline(str(was), 60) or 'none'}, not {safe_inline(str(now), 60) or 'none'}"
            raise UsageError(
                f"{safe_inline(str(folder), 160)}: holds a trace with {name} {shown}; choose another folder"
            )


def _listed(folder: Path) -> list[FileName]:
    try:
        return named_files(folder) if folder.exists() else []
    except OSError as error:
        raise AuditError(f"{safe_inline(str(folder), 160)}: cannot be listed: {reason(error)}") from error


def _rows_as_segments(losses: Any) -> NDArray[np.int64]:
    if len(losses.shape) != 2:
        raise UsageError("without segments, token losses have a row for each sample")
    return np.repeat(np.arange(losses.shape[0]), losses.shape[1])


def _checked_size(tokens: Any, losses: Any, segments: Any, mask: Any) -> int:
    """How many positions there are. Raises UsageError where the arrays do not have as many."""
    size = int(math.prod(losses.shape))
    beside = {"segments": segments, "mask": mask, "tokens": None if is_keys(tokens) else tokens}
    for name, array in beside.items():
        if array is not None and math.prod(array.shape) != size:
            raise UsageError(f"{name} of shape {tuple(array.shape)} beside token losses of shape {tuple(losses.shape)}")
    return size
