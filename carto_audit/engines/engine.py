"""The engine: the one seam between a stage and who works on its shards: this process, others beside it, or those of Ray.

An engine is given four things: a function, a setting, shards, and how a shard is called. All pickle, a call depends on nothing
else, and results come back in the order of the shards: what an audit finds does not depend on its engine.
"""

import importlib.util
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from carto_audit.engines.in_order import in_order
from carto_audit.engines.local_engine import processes
from carto_audit.engines.telling import telling
from carto_audit.runtime.errors import UsageError, option
from carto_audit.text.untrusted import safe_inline

EngineName = Literal["local", "ray", "in-process"]

MOST_WORKERS = 4096

PARALLEL_BYTES = 32 << 20
"""A smaller batch is done before workers have started: each takes 0.7 s of CPU to load, one core reads 8 to 40 MB/s."""

MOST_FED = 16
"""The batch is read by one process, at some 200 MB/s of text: it cannot keep more workers busy."""

Setting = TypeVar("Setting")
Shard = TypeVar("Shard")
Result = TypeVar("Result")


@dataclass(slots=True)
class Tally:
    """The most workers that a stage had, and how many shards were begun again because the worker that held one was lost."""

    workers: int = 1
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Who works on shards. `local` is as many processes of this machine as there are `workers`, where one is this process itself;
    None are as many as a stage thinks best. `ray` is a Ray cluster at an `address`, None starts one on this machine; `in-process`
    is this process, whatever is asked. `note` hears, in a line, when a worker was lost."""

    name: EngineName = "local"
    workers: int | None = None
    address: str | None = None
    note: Callable[[str], None] = field(default=lambda line: None, compare=False)
    tally: Tally = field(default_factory=Tally, compare=False)

    def here(self) -> "Engine":
        """This process, for what cannot go elsewhere; it counts together with this engine."""
        return replace(self, name="in-process")

    @contextmanager
    def open(self) -> Iterator[None]:
        """Inside this block Ray is there; stages of other engines need no block. UsageError and AuditError in one line where it
        cannot be."""
        if self.name != "ray":
            yield
            return
        from carto_audit.engines.ray_engine import connected

        with connected(self.address, self.workers):
            yield

    def map_shards(
        self,
        function: Callable[[Setting, Shard], Result],
        setting: Setting,
        shards: Iterable[Shard],
        *,
        usual: int,
        named: Callable[[Shard], str],
        folder: Path | None = None,
        advance: Callable[[float], None] = lambda amount: None,
    ) -> Generator[Result, None, None]:
        """`function(setting, shard)` of every shard, in their order, from so many workers as the engine has, or else from as many
        as the stage finds `usual`.

        Shards are drawn as they are worked on, so that an endless stream of them fits. `setting` lies in a file in `folder` while
        it is needed; `named` says in an error which shard it was; `advance` hears what `function` tells by `tell_progress`. A
        shard whose worker is lost is begun again. Raises AuditError when that happens to one too often, and whatever `function`
        raises; nothing keeps running.
        """
        count = self._count(usual, shards)
        self.tally.workers = max(self.tally.workers, count)
        if self.name == "in-process" or (self.name == "local" and count == 1):
            yield from _map_here(function, setting, shards, advance)
        elif self.name == "local":
            with processes(function, setting, count, folder) as crew:
                yield from in_order(crew, count, shards, named, advance, self._lost)
        else:
            from carto_audit.engines.ray_engine import tasks

            with self.open(), tasks(function, setting, count, folder) as ray_crew:
                yield from in_order(ray_crew, count, shards, named, advance, self._lost)

    def _count(self, usual: int, shards: Iterable[Any]) -> int:
        """The workers for these shards."""
        if self.name == "in-process":
            return 1
        count = self.workers or usual
        if self.name == "ray" and self.workers is None:
            from carto_audit.engines.ray_engine import cores

            with self.open():
                count = cores()
        return min(count, max(1, len(shards))) if isinstance(shards, Sized) else count

    def _lost(self, name: str) -> None:
        self.tally.retries += 1
        self.note(f"a worker process ended while it worked on {name}; another one works on that again")


LOCAL = Engine()


def choose_workers(n_bytes: int) -> int:
    """What is usual to read so much text: one process for a batch that is done in a second or two, else one per core, as far as
    they can be fed."""
    return 1 if n_bytes < PARALLEL_BYTES else min(os.cpu_count() or 1, MOST_FED)


def check_engine(name: str, workers: int | None, address: str | None) -> None:
    """Raises UsageError in one line for an engine that there is not, and for what does not go with one."""
    if name not in get_args(EngineName):
        raise UsageError(f"{option('engine', safe_inline(str(name), 40))}: one of {', '.join(get_args(EngineName))}")
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int)):
        raise UsageError(f"{option('workers', safe_inline(str(workers), 40))}: a whole number")
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        raise UsageError(f"{option('workers', workers)}: a whole number, from 1 to {MOST_WORKERS:,}")
    if address is not None and (name != "ray" or not isinstance(address, str)):
        raise UsageError(f"{option('address')}: of a Ray cluster, a str; it goes with {option('engine', 'ray')}")
    if name == "ray" and importlib.util.find_spec("ray") is None:
        raise UsageError(f"{option('engine', 'ray')}: Ray is not installed; pip install 'carto-audit[ray]'")


def _map_here(
    function: Callable[[Setting, Shard], Result],
    setting: Setting,
    shards: Iterable[Shard],
    advance: Callable[[float], None],
) -> Generator[Result, None, None]:
    for shard in shards:
        with telling(advance):
            result = function(setting, shard)
        yield result
