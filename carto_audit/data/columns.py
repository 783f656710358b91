"""Columns: how much text each column of a delivery holds, and how much of it no stage reads."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from carto_audit.data.formats.turns import strings
from carto_audit.data.values import holds_text, values_of

LONGEST_LABEL, LONGEST_LABELS = 120, 480
"""Bytes of an id, an address or a source, and of all that a row has of them. A longer value of a column that is not read is text
that went unread, and so is everything in a row that has more."""

LONGEST_NAME = 40
"""Characters of a name inside a value; a longer one is counted as text."""

MAIN_SHARE = 0.9
"""Of the bytes of a delivery, from which on files with the same columns are what was delivered, and others are beside it."""

Lengths = NDArray[np.int64]


@dataclass(slots=True)
class Census:
    """Bytes of text by column, as they are counted: all of them, and those that are more than labels."""

    total: dict[str, int] = field(default_factory=dict)
    long: dict[str, int] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    """Columns in which no text can be."""

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that no stage reads, whatever they hold."""
        return tuple(dict.fromkeys([*self.total, *sorted(self.silent)]))

    def add(self, columns: Mapping[str, Lengths]) -> None:
        """Counts some rows: the bytes of text in each cell of their columns, (N,) each."""
        if not columns:
            return
        crowded = np.sum(list(columns.values()), axis=0) > LONGEST_LABELS
        for name, length in columns.items():
            self.total[name] = self.total.get(name, 0) + int(length.sum())
            self.long[name] = self.long.get(name, 0) + int(length[crowded | (length > LONGEST_LABEL)].sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that is not read: its bytes of text, and those that are more than labels."""

    name: str
    n_bytes: int
    unread_bytes: int


def text_bytes(column: pa.Array) -> Lengths:
    """The bytes of text in each cell of a column, (N,)."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return np.zeros(len(column), np.int64)
    if not holds_text(column.type):
        return cell_bytes(values_of(column))
    length = pc.fill_null(pc.binary_length(column.cast(pa.large_binary())), 0)
    found: Lengths = length.to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def cell_bytes(values: Iterable[object]) -> Lengths:
    """The bytes of all strings inside each value, (N,)."""
    return np.array([_length(value) for value in values], np.int64)


def _length(value: object) -> int:
    if isinstance(value, str) and value.isascii():
        return len(value)
    if value is None or isinstance(value, int | float):
        return 0
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in (*strings(value), *_spoken_names(value)))


def _spoken_names(value: object) -> Iterator[str]:
    """The names inside a value that are no identifiers: of several words, or longer than LONGEST_NAME."""
    if isinstance(value, Mapping):
        yield from (name for name in map(str, value) if " " in name or len(name) > LONGEST_NAME)
        value = value.values()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for item in value:
            yield from _spoken_names(item)


def unread_columns(census: Census) -> tuple[Column, ...]:
    """Every counted column that holds any text, the largest first."""
    found = [
        Column(name=name, n_bytes=total, unread_bytes=census.long[name])
        for name, total in census.total.items()
        if total
    ]
    return tuple(sorted(found, key=lambda column: (-column.n_bytes, column.name)))


def files_apart(columns: Sequence[Collection[str] | None], sizes: Sequence[int]) -> frozenset[int]:
    """The files of a delivery that are of another kind: they share no column with those that have MAIN_SHARE of the bytes.
    Files that share one, through others too, are of one kind; those without columns, or whose columns nobody knows, are of every
    kind. Empty where no kind has so many."""
    kinds: list[tuple[set[str], set[int]]] = []
    for place, names in enumerate(columns):
        if not names:
            continue
        same = [kind for kind in kinds if not kind[0].isdisjoint(names)]
        merged = (
            {name for kind in same for name in kind[0]} | set(names),
            {one for kind in same for one in kind[1]} | {place},
        )
        kinds = [kind for kind in kinds if kind not in same] + [merged]
    weights = [sum(sizes[place] for place in places) for _, places in kinds]
    if len(kinds) < 2 or max(weights) < MAIN_SHARE * sum(weights):
        return frozenset()
    main = kinds[weights.index(max(weights))][1]
    return frozenset(place for _, places in kinds for place in places if place not in main)
