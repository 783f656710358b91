"""A started process: it runs no script of the caller's again, hears no signal of its own, and ends with its parent."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from types import ModuleType


@contextmanager
def starting() -> Iterator[None]:
    """Processes are started in this block: they do not run the caller's script again, which without a guard would start the same
    work once more, and never hear Ctrl-C."""
    with defer_signals():
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


def follow_parent(lifeline: Connection) -> None:
    """A started process's first act. Signals are the parent's business; when the parent is gone, or done, its pipe closes, also
    while this process still loads what it works with."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """Ends this process once the parent is gone, which has to be within two seconds. Of 18 runs killed with SIGKILL while they
    loaded, trained or searched, on two busy cores, the last worker was gone after 0.08 to 0.39 s, once 0.95 s."""
    lifeline.poll(None)
    os._exit(1)
