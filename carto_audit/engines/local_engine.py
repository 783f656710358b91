"""The local engine: a process for each worker on this machine. What all of them need is in memory once: a file that they map.

Each process is a pool by itself: a pool of several is broken as a whole by one that ends, and cannot tell which shard it held.
"""

import multiprocessing
import pickle
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from carto_audit.engines.setting_file import read_setting, write_setting
from carto_audit.engines.started import follow_parent, starting
from carto_audit.engines.telling import telling


@contextmanager
def processes(
    function: Callable[[Any, Any], Any], setting: Any, seats: int, folder: Path | None
) -> Iterator["Processes"]:
    """A crew of processes for `in_order`, as long as the block lasts; nothing keeps running. `setting` lies in a file in `folder`
    meanwhile."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="setting-") as place:
        path = Path(place) / "setting"
        write_setting(path, setting)
        crew = Processes(function, path, seats)
        try:
            yield crew
            crew.dismiss()
        finally:
            crew.stop()


@dataclass(slots=True)
class _Worker:
    """A pool of one process, the pipe by which that tells how far it is, and the shard that it was given last. Our end of `tells`
    is closed once the process runs, so that nobody waits for one that is gone."""

    pool: ProcessPoolExecutor
    hears: Connection
    tells: Connection
    last: "Future[Any] | None" = None

    @property
    def is_lost(self) -> bool:
        return self.last is not None and self.last.done() and isinstance(self.last.exception(), BrokenProcessPool)

    def give(self, shard: Any) -> "Future[Any]":
        """Raises BrokenProcessPool where the process is gone."""
        with starting():  # the process may start here
            self.last = self.pool.submit(_work, shard)
        self.tells.close()
        return self.last


class Processes:
    """Processes, each started when it is first needed, and anew after one was lost."""

    lost: type[Exception] = BrokenProcessPool

    def __init__(self, function: Callable[[Any, Any], Any], path: Path, seats: int) -> None:
        self.function, self.path = pickle.dumps(function), path
        self.context = multiprocessing.get_context("spawn")
        self.lifeline, self.ours = self.context.Pipe(duplex=False)
        self.workers: list[_Worker | None] = [None] * seats

    def begin(self, seat: int, shard: Any) -> "Future[Any]":
        """Sends a shard to the process in a seat."""
        worker = self.workers[seat]
        if worker is None or worker.is_lost:
            return self._replace(seat).give(shard)
        try:
            return worker.give(shard)
        except BrokenProcessPool:  # it ended while it had nothing to do
            return self._replace(seat).give(shard)

    def told(self) -> Iterator[tuple[int, float]]:
        """What the processes told since the last time."""
        for seat, worker in enumerate(self.workers):
            yield from ((seat, amount) for amount in (_heard(worker.hears) if worker else ()))

    def dismiss(self) -> None:
        """Ends the processes, which have nothing left to do."""
        for worker in filter(None, self.workers):
            worker.pool.shutdown()

    def stop(self) -> None:
        """Ends the processes, whatever they are doing."""
        self.ours.close()
        for seat in range(len(self.workers)):
            self._let_go(seat)
        self.lifeline.close()

    def _replace(self, seat: int) -> _Worker:
        """A new process in a seat, which starts with its first shard."""
        self._let_go(seat)
        hears, tells = self.context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(1, self.context, _begin, (self.lifeline, tells, self.function, self.path))
        worker = self.workers[seat] = _Worker(pool, hears, tells)
        return worker

    def _let_go(self, seat: int) -> None:
        worker, self.workers[seat] = self.workers[seat], None
        if worker is not None:
            worker.pool.shutdown(cancel_futures=True)
            worker.hears.close()
            worker.tells.close()


def _heard(connection: Connection) -> Iterator[float]:
    try:
        while connection.poll():
            yield connection.recv()
    except (EOFError, OSError):  # whoever told is gone
        return


_task: list[Any] = []


def _begin(lifeline: Connection, tells: Connection, function: bytes, path: Path) -> None:
    """A worker's first act."""
    follow_parent(lifeline)
    _task[:] = pickle.loads(function), read_setting(path), tells


def _work(shard: Any) -> Any:
    function, setting, tells = _task
    with telling(tells.send):
        return function(setting, shard)
