"""Apart: a function of somebody else's in a process of its own, with so much time, so much memory, and nothing to print to."""

import multiprocessing
import os
import pickle
import resource
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar, cast

from carto_audit.engines.setting_file import read_setting, write_setting
from carto_audit.engines.started import follow_parent, starting

Setting = TypeVar("Setting")
Result = TypeVar("Result")


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
        with starting():
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
    follow_parent(lifeline)
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
