"""Columns: how much text each column of a delivery holds, and how much of it no stage reads."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from carto_audit.data.formats.turns import strings
from carto_audit.data.values import holds_text, plainly, values_of

LONGEST_LABEL, LONGEST_LABELS = 120, 480
"""Bytes of an id, an address or a source, and of all that a row has of them. A longer value of a column that is not read is text
that went unread, and so is everything in a row that has more."""

NUMBER_BYTES, FEWEST_KINDS, NO_TOKEN = 8, 17, -100
"""Bytes that a whole number in a column that is not read counts for, where a value holds so many different ones that they may be
the tokens of a text. No such value is as short as a label. Masks, tags and grades are of fewer kinds; positions and times rise;
vectors have numbers below 0, of which only NO_TOKEN stands among tokens."""

_LARGEST = 1e300  # an integer of JSON may be larger than any float

WORDS_OF_A_NAME = 6
"""Of a column, from which on its name is text."""

LONGEST_NAME = 40
"""Characters of a name inside a value; a longer one is counted as text."""

LEAST_BESIDE = 16
"""Bytes of what a row without any text says beside it, from which on it is compared: less is an id."""

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

    def add(self, columns: Mapping[str, Lengths]) -> Lengths | int:
        """Counts some rows: the bytes of text in each cell of their columns, (N,) each. Their sum, (N,), or 0 without columns."""
        if not columns:
            return 0
        whole: Lengths = np.sum(list(columns.values()), axis=0)
        for name, length in columns.items():
            self.total[name] = self.total.get(name, 0) + int(length.sum())
            long = (whole > LONGEST_LABELS) | (length > LONGEST_LABEL)
            self.long[name] = self.long.get(name, 0) + int(length[long].sum())
        return whole

    def add_rows(self, rows: Iterable[Mapping[str, int]]) -> Lengths:
        """The same of rows with columns of their own: bytes by name, a mapping a row. Their sums, (N,)."""
        sums = []
        for row in rows:
            whole = sum(row.values())
            for name, length in row.items():
                long = whole > LONGEST_LABELS or length > LONGEST_LABEL
                self.total[name] = self.total.get(name, 0) + length
                self.long[name] = self.long.get(name, 0) + (length if long else 0)
            sums.append(whole)
        return np.array(sums, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that is not read: its bytes of text, and those that are more than labels."""

    name: str
    n_bytes: int
    unread_bytes: int


def text_bytes(column: pa.Array) -> Lengths:
    """The bytes of text in each cell of a column, (N,)."""
    column = plainly(column)
    if pa.types.is_null(column.type):
        return np.zeros(len(column), np.int64)
    if _is_list_of_numbers(column.type):
        return _number_bytes(column)
    if not holds_text(column.type):
        return cell_bytes(values_of(column))
    length = pc.fill_null(pc.binary_length(column.cast(pa.large_binary())), 0)
    found: Lengths = length.to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def cell_bytes(values: Iterable[object]) -> Lengths:
    """`said_bytes` of each value, (N,)."""
    return np.array([said_bytes(value) for value in values], np.int64)


def said_bytes(value: object) -> int:
    """The bytes of all strings inside a value, and NUMBER_BYTES for each number that may be text."""
    if isinstance(value, str) and value.isascii():
        return len(value)
    if value is None or isinstance(value, int | float):
        return 0
    said = sum(len(text.encode("utf-8", "surrogatepass")) for text in (*strings(value), *_spoken_names(value)))
    return said + NUMBER_BYTES * _encoded(value)


def _is_list_of_numbers(kind: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    numbers = (pa.types.is_integer, pa.types.is_floating)
    return any(test(kind) for test in lists) and any(test(kind.value_type) for test in numbers)


def _number_bytes(column: pa.Array) -> Lengths:
    """As `cell_bytes` of lists of numbers, without a Python object for each of them."""
    lists = column.cast(pa.large_list(pa.float64()), safe=False)
    flat, ends = lists.flatten(), np.cumsum(pc.fill_null(pc.list_value_length(lists), 0).to_numpy())
    values = pc.fill_null(flat, math.nan).to_numpy(zero_copy_only=False)
    found: Lengths = np.zeros(len(column), np.int64)
    for row, (start, end) in enumerate(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)):
        if end - start >= FEWEST_KINDS:
            found[row] = NUMBER_BYTES * _count_encoded(values[start:end])
    return found


def _count_encoded(values: NDArray[np.float64]) -> int:
    """How many of some numbers may be text as a tokenizer writes it: whole ones of FEWEST_KINDS or more, in no order."""
    whole = values[np.isfinite(values) & (values == np.floor(values))]
    tokens = whole[whole != NO_TOKEN]
    rises = bool((np.diff(whole) >= 0).all())
    is_text = len(np.unique(tokens)) >= FEWEST_KINDS and not rises and not (tokens < 0).any()
    return len(whole) if is_text else 0


def _encoded(value: object) -> int:
    numbers = list(_numbers(value))
    return _count_encoded(np.array(numbers)) if len(numbers) >= FEWEST_KINDS else 0


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield min(max(value, -_LARGEST), _LARGEST)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _numbers(item)


def said_in(value: object) -> bytes | None:
    """All that is said inside a value, names that are no identifiers included; None where nothing is."""
    said = [value] if isinstance(value, str) else [*strings(value), *_spoken_names(value)]
    return "\n".join(said).encode("utf-8", "surrogatepass") or None


def cell_texts(column: pa.Array) -> pa.LargeBinaryArray:
    """What each cell of a column says, (N,), null where nothing."""
    column = plainly(column)
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), pa.large_binary())
    if holds_text(column.type):
        said = column.cast(pa.large_binary())
        return pc.if_else(pc.equal(pc.binary_length(said), 0), None, said)
    if _is_list_of_numbers(column.type):
        return pa.nulls(len(column), pa.large_binary())
    return pa.array([said_in(value) for value in values_of(column)], pa.large_binary())


def in_one(cells: Sequence[pa.LargeBinaryArray]) -> pa.LargeBinaryArray:
    """The cells of each row, a line each; empty where none says anything."""
    said = zip(
        *(column.to_pylist() for column in cells), strict=True
    )  # Arrow's own join loses rows that are null in all columns
    return pa.array([b"\n".join(filter(None, row)) for row in said], pa.large_binary())


def spoken_name(name: str) -> bytes:
    """A column's name where it says more than a name: WORDS_OF_A_NAME words, or more than LONGEST_NAME characters; else empty."""
    is_text = len(name) > LONGEST_NAME or name.count(" ") >= WORDS_OF_A_NAME - 1
    return name.encode("utf-8", "surrogatepass") if is_text else b""


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
