"""What was found of tables in a batch: which cells may be asked for, how much of each row is table, what columns are called.

Cells that tell nothing of anybody are left out: short ones, long ones, which are text, words such as `true`, and what stands in
many different rows of its column.
"""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from carto_audit.lenses.cells.find import find_records
from carto_audit.lenses.cells.record import Encoding, Record, covered
from carto_audit.lenses.values.value import Value
from carto_audit.text.redaction import labelled_spans
from carto_audit.text.untrusted import safe_inline

SHORTEST, LONGEST = 4, 200
"""Characters of a cell that is asked for."""

MANY, MANY_SHARE = 5, 0.01
"""Different records, and the share of its column's, in which a value stands that tells nothing: both are reached."""

MOST_COLUMNS, LEAST_CELLS, NAME = 24, 3, 40
"""Columns that are named, cells that such a one has, and characters of its name; all others are OTHER."""

OTHER = "other columns"

_SAY_NOTHING = frozenset({"true", "false", "null", "none", "nan", "n/a", "unknown", "undefined"})
_KEPT = 32
"""Different records of a value that are told apart; later ones count each time."""


@dataclass(slots=True)
class _Seen:
    """One value: its column, and in how many different records it stands."""

    column: str
    records: int = 0
    known: set[bytes] = field(default_factory=set)

    def add(self, record: bytes) -> None:
        if record not in self.known:
            self.records += 1
            if len(self.known) < _KEPT:
                self.known.add(record)


@dataclass(slots=True)
class FoundCells:
    """Called once for each text, in order. Of each text `share`, how much of it is table, and `encoding`, that of most of its
    records, None where there is none; of each place `place_encoding`."""

    share: list[float] = field(default_factory=list)
    encoding: list[Encoding | None] = field(default_factory=list)
    place_encoding: list[Encoding] = field(default_factory=list)
    _values: dict[str, _Seen] = field(default_factory=dict)
    _cells: Counter[str] = field(default_factory=Counter)

    def find(self, text: str) -> list[Value]:
        """The cells of a text that are asked for."""
        records = find_records(text)
        self.share.append(sum(end - start for start, end in covered(records)) / max(1, len(text)))
        most = Counter(record.encoding for record in records).most_common(1)
        self.encoding.append(most[0][0] if most else None)
        return [value for record in records for value in self._of(record, text)]

    def _of(self, record: Record, text: str) -> list[Value]:
        said = [text[cell.start : cell.end] for cell in record.cells]
        digest = blake2b("\x00".join(said).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        values = []
        for cell, written in zip(record.cells, said, strict=True):
            column = safe_inline(cell.column, NAME).casefold() or OTHER
            self._cells[column] += 1
            if not SHORTEST <= len(written) <= LONGEST or written.casefold() in _SAY_NOTHING:
                continue
            self._values.setdefault(written, _Seen(column=column)).add(digest)
            self.place_encoding.append(record.encoding)
            values.append(Value(start=cell.start, end=cell.end, label=column))
        return values

    def frequent(self) -> NDArray[np.bool_]:
        """Which values stand in many different records, in order of their first places."""
        return np.array(
            [one.records >= max(MANY, MANY_SHARE * self._cells[one.column]) for one in self._values.values()],
            dtype=bool,
        )

    def shown(self) -> dict[str, str]:
        """Of each column what it is called: by its name where it is one of those with the most cells, and where no detector takes
        the name itself for personal data or a secret."""
        most = sorted(self._cells.items(), key=lambda one: (-one[1], one[0]))
        plain = [name for name, count in most[: 4 * MOST_COLUMNS] if count >= LEAST_CELLS and not labelled_spans(name)]
        named = set(plain[:MOST_COLUMNS])
        return {name: name if name in named else OTHER for name in self._cells}
