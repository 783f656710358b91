"""In order: shards are drawn a few ahead, worked on by a crew, and their results returned in their order, whatever ends first.

A shard is held by one worker at a time, and a worker holds one shard, so that a worker which ends tells which shard it was.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from carto_audit.runtime.errors import AuditError

AHEAD = 2
"""Shards in hand for each worker: one that it works on, and the next."""

RETRIES = 2
"""How often a shard is begun again after the worker that held it was lost."""

_LISTEN_SECONDS = 0.1  # how long progress may go untold


class Crew(Protocol):
    """Workers, by the number of their seat. A future ends in `lost` where the worker is gone, and what it had done of its shard
    with it, except for what the shard's function keeps."""

    lost: type[Exception]

    def begin(self, seat: int, shard: Any) -> "Future[Any]":
        """Has the worker in a seat work on a shard; a new one where there is none, or none any more."""

    def told(self) -> Iterator[tuple[int, float]]:
        """What workers told of their work since the last time, each with its seat."""


@dataclass(slots=True)
class _Job:
    """A shard that is in hand: with a `future` someone works on it."""

    shard: Any
    seat: int = -1
    future: "Future[Any] | None" = None
    is_done: bool = False
    losses: int = 0
    told: float = 0.0


def in_order(
    crew: Crew,
    seats: int,
    shards: Iterable[Any],
    named: Callable[[Any], str],
    advance: Callable[[float], None],
    lost: Callable[[str], None],
) -> Generator[Any, None, None]:
    """The result of every shard, in their order. `advance` hears what is told of the work, and `lost` the name of a shard whose
    worker was lost and which is begun again; after RETRIES times AuditError names it. Raises what the shard's function raised.
    """
    yield from _Line(crew, seats, named, advance, lost).results(iter(shards))


class _Line:
    """The shards in hand, those that come first in front."""

    def __init__(
        self,
        crew: Crew,
        seats: int,
        named: Callable[[Any], str],
        advance: Callable[[float], None],
        lost: Callable[[str], None],
    ) -> None:
        self.crew, self.named, self.advance, self.lost = crew, named, advance, lost
        self.most = AHEAD * seats
        self.free = list(range(seats))
        self.jobs: deque[_Job] = deque()

    @property
    def running(self) -> dict["Future[Any]", _Job]:
        return {job.future: job for job in self.jobs if job.future is not None and not job.is_done}

    def results(self, shards: Iterator[Any]) -> Generator[Any, None, None]:
        """The result of every shard, in their order; shards are drawn as there is room for them in the line."""
        more = True
        while more or self.jobs:
            self.settle()
            self.begin()
            if self.jobs and self.jobs[0].is_done:
                done = self.jobs.popleft().future
                assert done is not None  # what is done was begun
                yield done.result()
            elif more and len(self.jobs) < self.most:
                before = len(self.jobs)
                self.jobs.extend(map(_Job, islice(shards, 1)))
                more = len(self.jobs) > before
            elif self.jobs:
                wait_for(list(self.running), _LISTEN_SECONDS, FIRST_COMPLETED)

    def begin(self) -> None:
        """Gives every free worker the next shard that nobody works on."""
        for job in self.jobs:
            if job.future is None and self.free:
                job.seat = self.free.pop()
                job.future = self.crew.begin(job.seat, job.shard)

    def settle(self) -> None:
        """Takes note of what was told, and of what ended."""
        ended = [(future, job) for future, job in self.running.items() if future.done()]
        at = {job.seat: job for job in self.running.values()}
        for seat, amount in self.crew.told():
            self.advance(amount)
            if seat in at:
                at[seat].told += amount
        for future, job in ended:
            self.free.append(job.seat)
            if isinstance(future.exception(), self.crew.lost):
                self.lose(job)
            else:
                job.is_done = True

    def lose(self, job: _Job) -> None:
        """Puts a shard back whose worker is gone, unless that happened too often."""
        self.advance(-job.told)
        job.future, job.losses, job.told = None, job.losses + 1, 0.0
        name = self.named(job.shard)
        if job.losses > RETRIES:
            raise AuditError(
                f"{name}: a worker process ended each of the {job.losses} times that one worked on this (out of memory?); run "
                "the same command again to continue where it stopped"
            )
        self.lost(name)
