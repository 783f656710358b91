"""Plants: examples of known truth and their innocent twins, written by a lens and hidden among the rows by the host."""

from dataclasses import dataclass, field

NOTHING = 0
"""The answer about a row of which a lens has nothing to say."""

MOST_ROWS = 5_000
"""Rows that the plants of one lens may take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What a lens may write its plants from: `texts` of the batch, cut, that nobody trains on where there are such, and a `seed`
    that it is never told again."""

    texts: tuple[str, ...]
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A planted example: its copies, as many as its dose, and the `answer` that a lens which sees gives about each."""

    texts: tuple[str, ...]
    answer: int = 1

    @property
    def dose(self) -> int:
        """How often it occurs."""
        return len(self.texts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plants:
    """What a lens plants: `examples`, and `twins` that look like them and are innocent, one row each. Nothing where there is no
    room for it."""

    examples: tuple[Example, ...] = ()
    twins: tuple[str, ...] = ()
    innocent: int = field(default=NOTHING)
    """The answer about an innocent row."""
