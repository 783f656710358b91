"""The engine: processes that share out the shards of a batch. What all of them need is in memory once: a file that they map.

`map_shards` is the whole seam. An engine that runs on many machines takes its place by doing the same with the same four
things: `function`, `setting` and each shard pickle, a call depends on nothing else, and results come back in the order
of the shards.
"""

import mmap
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import writing

AHEAD = 2
"""Shards in hand for each worker: one that it works on, and the next."""

_LISTEN_SECONDS = 0.1  # how long progress may go untold

_ALIGNED = 64  # bytes, so that arrays in the file begin where processors like it

Setting = TypeVar("Setting")
Shard = TypeVar("Shard")
Result = TypeVar("Result")


def map_shards(
    function: Callable[[Setting, Shard], Result],
    setting: Setting,
    shards: Iterable[Shard],
    workers: int,
    folder: Path | None = None,
    advance: Callable[[float], None] = lambda amount: None,
) -> Generator[Result, None, None]:
    """`function(setting, shard)` of every shard, in their order, from so many processes; one works in this process.

    `setting` lies in a file in `folder` while it is needed. Shards are drawn as they are worked on, so that an endless
    stream of them fits. `advance` hears what `function` tells by `tell_progress`. Raises AuditError when a worker dies, and
    whatever `function` raises; nothing keeps running.
    """
    if workers == 1:
        for shard in shards:
            with _telling(advance):
                result = function(setting, shard)
            yield result
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix="setting-") as place:
        path = Path(place) / "setting"
        write_setting(path, setting)
        yield from _map_in_processes(function, path, shards, workers, advance)


class ApartError(Exception):
    """Why a function that ran apart gave no answer, in the words that it left; they may be anybody's."""


def run_apart(
    function: Callable[[Setting, Callable[[Any], Any]], Result],
    setting: Setting,
    seconds: float,
    folder: Path | None = None,
    answer: Callable[[Any], Any] = lambda question: None,
    most_bytes: int | None = None,
) -> Result:
    """`function(setting, ask)` in a process of its own, which may print nothing; `ask(question)` gets there what
    `answer(question)` returns here. Where the system can hold a process to `most_bytes` of memory of its own, it does.

    Raises ApartError whatever goes wrong in it, and when it takes more than `seconds`; whatever `answer` raises. The process is
    gone then.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=folder, prefix="setting-") as place:
        path = Path(place) / "setting"
        write_setting(path, setting)
        (ours, theirs), (lifeline, held) = context.Pipe(), context.Pipe(duplex=False)
        process = context.Process(target=_run_apart, args=(theirs, lifeline, pickle.dumps(function), path, most_bytes))
        with defer_signals(), _hidden_script():
            process.start()
        theirs.close()
        lifeline.close()
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            return cast(Result, _converse(ours, answer))
        except (EOFError, OSError) as error:
            ended = f"it took longer than {seconds:g} s" if late.is_set() else "its process ended (out of memory?)"
            raise ApartError(ended) from error
        finally:
            timer.cancel()
            process.kill()
            process.join()
            ours.close()
            held.close()


def _converse(connection: Connection, answer: Callable[[Any], Any]) -> Any:
    """Answers what is asked until there is a result."""
    while True:
        try:
            kind, value = connection.recv()
        except (EOFError, OSError):
            raise
        except Exception as error:  # what was sent cannot be read here
            raise ApartError(f"{type(error).__name__}: {error}") from error
        if kind == "done":
            return value
        if kind == "failed":
            raise ApartError(str(value))
        reply = answer(value)
        connection.send(reply)


def _run_apart(
    connection: Connection, lifeline: Connection, function: bytes, path: Path, most_bytes: int | None
) -> None:
    """The life of a process that runs a function apart."""
    if most_bytes is not None:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)

    def ask(question: Any) -> Any:
        connection.send(("ask", question))
        return connection.recv()

    try:
        connection.send(("done", pickle.loads(function)(read_setting(path), ask)))
    except BaseException as error:  # whoever wrote the function
        connection.send(("failed", f"{type(error).__name__}: {error}"))


def tell_progress(amount: float) -> None:
    """Called by a function while it works on a shard: so much more of it is done. Heard by `map_shards` of its process or of
    the parent's."""
    _teller[-1](amount)


def _map_in_processes(
    function: Callable[[Setting, Shard], Result],
    path: Path,
    shards: Iterable[Shard],
    workers: int,
    advance: Callable[[float], None],
) -> Generator[Result, None, None]:
    context = multiprocessing.get_context("spawn")
    lifeline, ours = context.Pipe(duplex=False)
    told = context.SimpleQueue()
    pool = ProcessPoolExecutor(workers, context, _begin, (lifeline, told, pickle.dumps(function), path))
    waiting: deque[Future[Result]] = deque()

    def next_result() -> Result:
        while not waiting[0].done():
            wait_for([waiting[0]], _LISTEN_SECONDS)
            _listen(told, advance)
        return waiting.popleft().result()

    try:
        for shard in shards:
            with defer_signals(), _hidden_script():  # a worker may start here
                waiting.append(pool.submit(_work, shard))
            if len(waiting) == AHEAD * workers:
                yield next_result()
        while waiting:
            yield next_result()
        pool.shutdown()
        _listen(told, advance)
    except BrokenProcessPool as error:
        raise AuditError(
            "a worker process ended before its work was done (out of memory?); run the same command again to continue "
            "where it stopped"
        ) from error
    finally:
        ours.close()  # whatever a worker is doing, it stops
        pool.shutdown(cancel_futures=True)
        lifeline.close()
        told.close()


def _listen(told: "SimpleQueue[float]", advance: Callable[[float], None]) -> None:
    """Passes on what the workers told since the last time."""
    while not told.empty():
        advance(told.get())


@contextmanager
def _telling(advance: Callable[[float], None]) -> Iterator[None]:
    _teller.append(advance)
    try:
        yield
    finally:
        _teller.pop()


@contextmanager
def _hidden_script() -> Iterator[None]:
    """Processes started here do not run the caller's script again: without a guard it would start the same work once more."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@contextmanager
def defer_signals() -> Iterator[None]:
    """Processes started here never hear Ctrl-C, nor does SIGTERM end the block: the parent answers both after this block."""
    if threading.current_thread() is not threading.main_thread():  # no other is interrupted, and none may arrange this
        yield
        return
    resource_tracker.ensure_running()  # which every process needs, and whose start would lift the mask
    heard: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, frame: heard.append(number)) for number in numbers]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which children inherit
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    if heard:
        signal.raise_signal(heard[0])


_task: list[Any] = []
_teller: list[Callable[[float], None]] = [lambda amount: None]


def _begin(lifeline: Connection, told: "SimpleQueue[float]", function: bytes, path: Path) -> None:
    """A worker's first act. Signals are the parent's business; when the parent is gone, or done, its pipe closes, also while
    the worker still loads what `function` needs."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    _teller.append(told.put)
    _task[:] = pickle.loads(function), read_setting(path)


def _end_with(lifeline: Connection) -> None:
    """Ends this process once the parent is gone, which has to be within two seconds. Of 18 runs killed with SIGKILL while they
    loaded, trained or searched, on two busy cores, the last worker was gone after 0.08 to 0.39 s, once 0.95 s."""
    lifeline.poll(None)
    os._exit(1)


def _work(shard: Any) -> Any:
    function, setting = _task
    return function(setting, shard)


def write_setting(path: Path, setting: Any) -> None:
    """Pickles any value, its arrays behind it where they can be mapped. Raises AuditError on a full disk."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(setting, protocol=5, buffer_callback=buffers.append)
    arrays = [buffer.raw() for buffer in buffers]
    with writing(path), path.open("wb") as stream:
        pickle.dump((head, [array.nbytes for array in arrays]), stream)
        for array in arrays:
            stream.write(bytes(-stream.tell() % _ALIGNED))
            stream.write(array)


def read_setting(path: Path) -> Any:
    """What `write_setting` wrote in this run; its arrays cannot be written to, and all readers share their memory."""
    with path.open("rb") as stream:
        head, sizes = pickle.load(stream)
        place = stream.tell()
        mapped = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    arrays = []
    for size in sizes:
        place += -place % _ALIGNED
        arrays.append(mapped[place : place + size])
        place += size
    return pickle.loads(head, buffers=arrays)
