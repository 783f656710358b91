"""Telling: how a function says, while it works on a shard, how much of that is done; whoever runs it decides who hears it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_teller: list[Callable[[float], None]] = [lambda amount: None]


def tell_progress(amount: float) -> None:
    """Called by a function while it works on a shard: so much more of it is done. Heard by who waits for the shard, in this
    process or in another."""
    _teller[-1](amount)


@contextmanager
def telling(advance: Callable[[float], None]) -> Iterator[None]:
    """What is told inside this block, `advance` hears."""
    _teller.append(advance)
    try:
        yield
    finally:
        _teller.pop()
