"""Columns: how much text each column of a delivery holds, and how much of it no stage reads."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from carto_audit.data.readers import holds_text
from carto_audit.data.turns import strings

LONGEST_LABEL = 120
"""Bytes of an id, an address or a source; a longer value of a column that is not read is text that went unread."""


@dataclass(slots=True)
class Census:
    """Bytes of text by column, as they are counted: all of them, and those in values that are longer than a label."""

    total: dict[str, int] = field(default_factory=dict)
    long: dict[str, int] = field(default_factory=dict)

    def add_column(self, name: str, column: pa.Array) -> None:
        """Counts a column's values, (N,)."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_null(column.type):
            self._add(name, 0, 0)
        elif holds_text(column.type):
            length = pc.binary_length(column.cast(pa.large_binary()))
            self._add(
                name, pc.sum(length).as_py() or 0, pc.sum(length.filter(pc.greater(length, LONGEST_LABEL))).as_py() or 0
            )
        else:
            self.add_values(name, column.to_pylist())

    def add_values(self, name: str, values: Iterable[object]) -> None:
        """Counts the strings inside some values."""
        lengths = [len(text.encode("utf-8", "surrogatepass")) for value in values for text in strings(value)]
        self._add(name, sum(lengths), sum(length for length in lengths if length > LONGEST_LABEL))

    def _add(self, name: str, total: int, long: int) -> None:
        self.total[name] = self.total.get(name, 0) + total
        self.long[name] = self.long.get(name, 0) + long


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that is not read: its bytes of text, and those in values longer than a label."""

    name: str
    n_bytes: int
    unread_bytes: int


def unread_columns(census: Census) -> tuple[Column, ...]:
    """Every counted column that holds any text, the largest first."""
    found = [
        Column(name=name, n_bytes=total, unread_bytes=census.long[name])
        for name, total in census.total.items()
        if total
    ]
    return tuple(sorted(found, key=lambda column: (-column.n_bytes, column.name)))
