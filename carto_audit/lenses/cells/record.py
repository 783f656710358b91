"""Record: a row of a table where it stands in a text, with the places of its cells. Never the text itself."""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Encoding = Literal["json", "html", "markdown", "key_value", "sentences", "lines", "csv"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
"""How a table may be written down, six as in Tab-MIA (arXiv 2507.17259), and CSV."""

_TYPED = re.compile(r"[\d@]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell from character `start` up to `end`, and the name of its column, which is a vendor's text."""

    start: int
    end: int
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A row of a table, from character `start` up to `end`, its markup included."""

    encoding: Encoding
    start: int
    end: int
    cells: tuple[Cell, ...]


def is_typed(value: str) -> bool:
    """Whether a cell holds what prose seldom consists of: a digit, or the sign of an e-mail address."""
    return _TYPED.search(value) is not None


def numbered(place: int) -> str:
    """The name of a column that has none, counted from 0."""
    return f"column {place + 1}"


def stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The same place without the white space at its ends."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())


def named(places: Iterable[tuple[int, int]], names: tuple[str, ...] = ()) -> tuple[Cell, ...]:
    """Cells at these places in the order of their columns; empty ones are left out."""
    return tuple(
        Cell(start=start, end=end, column=names[k] if k < len(names) and names[k] else numbered(k))
        for k, (start, end) in enumerate(places)
        if start < end
    )


def covered(records: Iterable[Record]) -> list[tuple[int, int]]:
    """The places of the records, joined where they overlap, in order."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted((record.start, record.end) for record in records):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def overlaps(places: list[tuple[int, int]], start: int, end: int) -> bool:
    """Whether [start, end) meets one of these places, as `covered` gives them."""
    k = bisect_right(places, (start, end)) - 1
    return (k >= 0 and places[k][1] > start) or (k + 1 < len(places) and places[k + 1][0] < end)
