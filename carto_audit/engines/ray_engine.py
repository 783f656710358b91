"""The Ray engine: a shard is a task of Ray Core, in a cluster of this machine or in one that already runs.

Ray itself begins nothing again: `in_order` does, so that a lost worker is counted and a shard that ends its worker is named.
"""

import os
import signal
import socket
import sys
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from carto_audit import __version__
from carto_audit.engines.telling import telling
from carto_audit.runtime.errors import AuditError, option
from carto_audit.runtime.resume import own_code
from carto_audit.text.untrusted import safe_inline

CONNECT_SECONDS = 10
"""Within which a cluster has to answer."""

_LOST = ("LocalRayletDiedError", "NodeDiedError", "ObjectLostError", "OutOfMemoryError", "WorkerCrashedError")
"""Errors of Ray's that say so of a worker, or of the machine that it was on."""


class LostTaskError(Exception):
    """The worker of a task is gone, or the machine that it was on."""


@contextmanager
def connected(address: str | None, workers: int | None) -> Iterator[None]:
    """Ray is there in this block; where it was before it stays. Without an address a cluster of `workers` cores is started on
    this machine, and ended. Raises AuditError in one line where there is none at the address, or none can be started."""
    import ray

    if ray.is_initialized():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as place:
        _start(address, workers, place)
        try:
            yield
        finally:
            ray.shutdown()


def _start(address: str | None, workers: int | None, place: str) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
    where = f"the Ray cluster at {safe_inline(address, 160)}" if address else "a Ray cluster on this machine"
    try:
        with _handlers_kept():
            if address is None:
                cores = workers or os.cpu_count() or 1
                ray.init("local", num_cpus=cores, include_dashboard=False, _temp_dir=place, **quiet)
            else:
                _check_answers(address)
                ray.init(address, **quiet)
    except Exception as error:  # Ray raises of every kind: ConnectionError, RuntimeError, TimeoutError, ValueError
        said = safe_inline(str(error).strip().split("\n")[0], 200)
        raise AuditError(f"{option('engine', 'ray')}: {where} does not answer: {said}") from error


def _check_answers(address: str) -> None:
    """Where an address names a host and a port, that these can be reached: Ray itself takes minutes to give up."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray would answer SIGTERM in its own way."""
    ours = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items() if ours else ():
            signal.signal(number, handler)


def cores() -> int:
    """Of the cluster that is connected."""
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What all tasks of a stage share. `things` is the function and the setting, which a worker gets once; `folder` is where the
    workers must find what the driver left, `versions` what they must have installed."""

    key: str
    things: list[Any]
    folder: str | None
    versions: dict[str, str]


@contextmanager
def tasks(function: Callable[[Any, Any], Any], setting: Any, seats: int, folder: Path | None) -> Iterator["Tasks"]:
    """A crew of Ray tasks for `in_order`, as long as the block lasts; none keeps running."""
    import ray

    with tempfile.TemporaryDirectory(dir=folder, prefix="shared-") as place:
        shared = str(Path(place).resolve()) if folder else None
        things = [ray.put(function), ray.put(setting)]
        crew = Tasks(_Order(key=uuid.uuid4().hex, things=things, folder=shared, versions=versions_here()), seats)
        try:
            yield crew
        finally:
            crew.stop()


class Tasks:
    """Tasks of Ray, as many at once as there are seats."""

    lost: type[Exception] = LostTaskError

    def __init__(self, order: _Order, seats: int) -> None:
        import ray

        self.order = ray.put(order)
        self.task = ray.remote(num_cpus=1, max_retries=0)(_work)
        self.references: list[Any] = [None] * seats
        self.heard: deque[tuple[int, float]] = deque()

    def begin(self, seat: int, shard: Any) -> "Future[Any]":
        """Gives Ray a shard."""
        answer: Future[Any] = Future()
        reference = self.references[seat] = self.task.remote(self.order, shard)
        reference.future().add_done_callback(lambda done: self._pass_on(seat, done, answer))
        return answer

    def told(self) -> Iterator[tuple[int, float]]:
        """What tasks told, each when it ended."""
        while self.heard:
            yield self.heard.popleft()

    def stop(self) -> None:
        """Ends the tasks, whatever they are doing."""
        import ray

        for reference in filter(None, self.references):
            with suppress(ray.exceptions.RayError, ValueError):
                ray.cancel(reference, force=True)
        self.references = []

    def _pass_on(self, seat: int, done: "Future[Any]", answer: "Future[Any]") -> None:
        """Called by a thread of Ray's: what became of a task, in our words."""
        error = done.exception()
        if error is None:
            result, failure, amount = done.result()
            self.heard.append((seat, amount))
            if failure is None:
                answer.set_result(result)
            else:
                answer.set_exception(failure)
        elif type(error).__name__ in _LOST:
            answer.set_exception(LostTaskError(str(error)))
        else:
            answer.set_exception(_in_one_line(error))


def _in_one_line(error: BaseException) -> AuditError:
    """What Ray says of a task that it could not run: mostly that a worker lacks a module."""
    said = str(error).strip().split("\n")[-1]
    return AuditError(
        f"a Ray worker cannot do its work: {safe_inline(said, 300)}; install carto-audit alike everywhere"
    )


def versions_here() -> dict[str, str]:
    """Of what decides about the bytes that a worker computes."""
    return {
        "carto-audit": f"{__version__} ({own_code()[:12]})",
        "Python": sys.version.split()[0],
        "torch": version("torch"),
    }


_held: dict[str, tuple[Any, Any]] = {}
"""In a worker: the function and the setting of the stage that it works for."""


def _work(order: _Order, shard: Any) -> tuple[Any, Exception | None, float]:
    """In a worker: the result of a shard, what was raised instead, and how much was told."""
    told: list[float] = []
    try:
        function, setting = _held.get(order.key) or _take(order)
        with telling(told.append):
            return function(setting, shard), None, sum(told)
    except Exception as error:
        return None, error, sum(told)


def _take(order: _Order) -> tuple[Any, Any]:
    """A worker's first act for a stage. Raises AuditError in one line where it would do other work than the driver, or cannot."""
    ours = versions_here()
    for name, wanted in order.versions.items():
        if ours[name] != wanted:
            raise AuditError(
                f"a Ray worker on {socket.gethostname()} has {name} {ours[name]}, and this machine {wanted}; install the same"
            )
    if order.folder is not None and not Path(order.folder).is_dir():
        raise AuditError(
            f"a Ray worker on {socket.gethostname()} does not find {safe_inline(order.folder, 160)}; {option('out')} must lie on "
            "storage that all machines of the cluster share, at the same path"
        )
    import ray

    _held.clear()
    function, setting = ray.get(order.things)
    _held[order.key] = function, setting
    return function, setting
