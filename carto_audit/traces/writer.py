"""The writer: a thread that makes visits of batches and writes them. What it cannot take or write is dropped and counted."""

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from carto_audit.runtime.errors import CartoError
from carto_audit.runtime.files import reason
from carto_audit.text.untrusted import safe_inline
from carto_audit.traces.host_copies import Later
from carto_audit.traces.keys import SampleKeys
from carto_audit.traces.parts import Closing, Losses, Opening, remove_leftovers, write_note, write_part
from carto_audit.traces.visits import LoggedBatch, Shares, VisitRows, join_visits, visits_of

MOST_WAITING = 4_000_000
"""Tokens of batches that wait for the writer, at most: about 85 MB. A batch beyond them is dropped."""

GATHERED = 65_536
"""Tokens of batches that are turned into visits at once, about: what each call of NumPy costs is shared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingBatch:
    """A batch whose arrays may still be under way from the device."""

    tokens: Later
    losses: Later
    segments: Later
    scored: Later | None
    step: int
    epoch: int
    size: int

    def arrived(self) -> LoggedBatch:
        """The batch on the host, flat. Waits for the device."""
        losses = self.losses().reshape(-1)
        scored = np.isfinite(losses) if self.scored is None else self.scored().reshape(-1).astype(np.bool_)
        return LoggedBatch(
            tokens=self.tokens().reshape(-1),
            losses=losses,
            segments=self.segments().reshape(-1),
            scored=scored,
            step=self.step,
            epoch=self.epoch,
        )


@dataclass(slots=True)
class _Request:
    """To write what there is, and perhaps to end."""

    closing: bool
    done: threading.Event = field(default_factory=threading.Event)


class Writer:
    """Takes batches from a training step, which never waits for it."""

    def __init__(self, folder: Path, keys: SampleKeys, opening: Opening, part_visits: int) -> None:
        self._folder, self._keys, self._opening, self._part_visits = folder, keys, opening, part_visits
        self._shares = Shares(share=opening.share, token_share=opening.token_share)
        self._queue: queue.SimpleQueue[WaitingBatch | _Request] = queue.SimpleQueue()
        self._lock, self._waiting = threading.Lock(), 0
        self._gathered: list[WaitingBatch] = []
        self._gathered_tokens = 0
        self._rows: list[VisitRows] = []
        self._opened, self._part, self._visits = False, 0, 0
        self._full, self._broken, self._unwritten = 0, 0, 0
        self.problem: str | None = None
        self._thread = threading.Thread(target=self._run, name="carto-audit losses", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> Losses:
        """What was dropped so far."""
        return Losses(dropped_batches=self._full + self._broken, dropped_visits=self._unwritten)

    def put(self, batch: WaitingBatch) -> None:
        """Hands a batch over, or drops it where too much is waiting already. Takes microseconds."""
        with self._lock:
            if self._waiting + batch.size > MOST_WAITING:
                self._full += 1
                return
            self._waiting += batch.size
        self._queue.put(batch)

    def flush(self, seconds: float, *, closing: bool = False) -> bool:
        """Has all that was handed over written, and waits for it, so many seconds at most. True where it is on disk."""
        if not self._thread.is_alive():
            return False
        unwritten = self.dropped
        request = _Request(closing)
        self._queue.put(request)
        return request.done.wait(seconds) and self.dropped == unwritten

    def _run(self) -> None:
        self._write()
        while True:
            item = self._queue.get()
            if isinstance(item, WaitingBatch):
                self._take(item)
                continue
            self._write()
            if item.closing:
                self._close()
            item.done.set()
            if item.closing:
                return

    def _take(self, batch: WaitingBatch) -> None:
        self._gathered.append(batch)
        self._gathered_tokens += batch.size
        if self._gathered_tokens >= GATHERED:
            self._digest()
        if sum(map(len, self._rows)) >= self._part_visits:
            self._write()

    def _digest(self) -> None:
        """Makes visits of the batches gathered so far; one that cannot be read does not take the others with it."""
        batches, size = self._gathered, self._gathered_tokens
        self._gathered, self._gathered_tokens = [], 0
        try:
            self._rows.append(self._visits_of(batches))
        except Exception:
            for batch in batches:
                try:
                    self._rows.append(self._visits_of([batch]))
                except Exception as error:  # a training run is worth more than its trace
                    self._broken += 1
                    self._note(error)
        with self._lock:
            self._waiting -= size

    def _visits_of(self, batches: Sequence[WaitingBatch]) -> VisitRows:
        return visits_of([batch.arrived() for batch in batches], self._keys, self._shares, self._opening.rank)

    def _write(self) -> None:
        self._digest()
        rows, self._rows = join_visits(self._rows), []
        try:
            self._open()
            if len(rows):
                write_part(self._folder, self._keys, self._opening, self._part, rows, self.dropped)
        except Exception as error:  # a full disk, a folder that is gone
            self._unwritten += len(rows)
            self._note(error)
        else:
            self._part += bool(len(rows))
            self._visits += len(rows)

    def _open(self) -> None:
        if not self._opened:
            remove_leftovers(self._folder, self._opening.rank)
            write_note(self._folder, self._keys, self._opening, self._opening)
            self._opened = True

    def _close(self) -> None:
        dropped = self.dropped
        closing = Closing(
            parts=self._part,
            visits=self._visits,
            dropped_batches=dropped.dropped_batches,
            dropped_visits=dropped.dropped_visits,
        )
        try:
            self._open()
            write_note(self._folder, self._keys, self._opening, closing)
        except Exception as error:
            self._note(error)

    def _note(self, error: Exception) -> None:
        if self.problem is None:
            told = reason(error) if isinstance(error, OSError) else str(error)
            known = isinstance(error, CartoError | OSError)
            self.problem = safe_inline(told if known else f"{type(error).__name__}: {told}", 200)
