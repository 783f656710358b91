"""Apart: the part of the host that runs in a lens's own process. It knows nothing that the lens may not know."""

import importlib
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carto_audit.lenses.answers import Lens, LensResult, Looked
from carto_audit.lenses.declared.spec import Need
from carto_audit.lenses.plants import Plants, Room
from carto_audit.lenses.view import LensView, Offered
from carto_audit.runtime.strict_model import Strict

Ask = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """Which lens, and with which options."""

    load: str
    options: Strict
    needs: tuple[Need, ...]
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """What is left of a view and of a lens's answers once the plants are gone."""

    offered: Offered
    looked: Looked


def plant_apart(setting: tuple[Task, Room], ask: Ask) -> Plants:
    """What the lens plants."""
    task, room = setting
    return load_lens(task.load).plant(room, task.options)


def look_apart(setting: tuple[Task, Offered], ask: Ask) -> tuple[LensResult, int]:
    """What the lens says in sum, and the most bytes that its process held. `ask` gives the texts in chunks, and takes the
    answers about rows, of which it gives back what is left without the plants."""
    task, offered = setting
    lens = load_lens(task.load)
    looked = lens.look(LensView(offered, task.needs, task.seed, ask), task.options)
    left: Left = ask(("looked", looked))
    result = lens.sum_up(LensView(left.offered, task.needs, task.seed), left.looked, task.options)
    return result, _peak_bytes()


def _peak_bytes() -> int:
    """The most bytes that this process held. The kernel's own count, where there is one: `getrusage` begins with what the parent
    held when it started this process."""
    status = Path("/proc/self/status")
    for line in status.read_text(encoding="utf-8").splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    unit = 1 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def load_lens(load: str) -> Lens:
    """The lens that a declaration names as `module:attribute`."""
    module, _, name = load.partition(":")
    made: Lens = getattr(importlib.import_module(module), name)()
    return made
