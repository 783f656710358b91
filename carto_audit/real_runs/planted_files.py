"""Planted files: one file of a batch with control rows between its own. Lines are copied; what was written is read again."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.curation.csv_records import NotSoundError, split_records, written_record
from carto_audit.curation.division import OURS, Part, divided_suffix, is_plain_csv, is_plain_lines, row_bytes
from carto_audit.curation.table_files import opened_plain, opened_table
from carto_audit.data.formats.json_rows import JSON_TEXT, LONGEST_LINE
from carto_audit.data.formats.opened import AS_FOUND, Reading
from carto_audit.data.readers import format_of, name_of, raw_lines, read_records, read_schema
from carto_audit.runtime.errors import AuditError
from carto_audit.text.untrusted import safe_inline

Advance = Callable[[float], None]
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changes in a file: which of its rows are `removed`, (rows,), and before which of them each new row stands, (new,) in
    ascending order. The new rows are `lines` where the file is copied as lines, else `records` of its schema."""

    removed: NDArray[np.bool_]
    before: NDArray[np.int64]
    lines: Sequence[bytes] = ()
    records: Any = None

    def places(self) -> NDArray[np.int64]:
        """The row that each new row is in the planted file, (new,)."""
        kept: NDArray[np.int64] = np.concatenate([[0], np.cumsum(~self.removed)])
        return kept[self.before] + np.arange(len(self.before))

    def is_new(self) -> NDArray[np.bool_]:
        """Which rows of the planted file are new, (rows of it,)."""
        new = np.zeros(int((~self.removed).sum()) + len(self.before), dtype=bool)
        new[self.places()] = True
        return new


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedFile:
    """A file as it was written: whether every delivered row was copied byte for byte, whether it is of another format now, and
    its columns that are JSON text now, as no single type holds their values."""

    copied: bool
    converted: bool
    json_columns: tuple[str, ...] = ()


def planted_suffix(path: Path, reading: Reading) -> str:
    """How a planted file ends: as the file does, or `.parquet` where it is written in a way in which none is written here."""
    return divided_suffix(path, reading)


def write_planted(path: Path, reading: Reading, changes: Changes, place: Path, advance: Advance) -> PlantedFile:
    """Writes the planted file. Raises AuditError where the file has not the rows that were read before, or where what was
    written, read again, is not what was meant; OSError on a full disk."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if is_plain_lines(path, reading):
        _write_lines(path, changes, place, advance)
        return PlantedFile(copied=True, converted=False)
    schema = read_schema(path, reading)
    copied = is_plain_csv(path, reading)
    if copied:
        try:
            _write_records(path, reading, schema, changes, place)
            advance(len(changes.removed))
        except NotSoundError:
            copied = False
    if not copied:
        _write_table(path, reading, schema, changes, place, advance)
    named = tuple(one.name for one in schema if one.metadata and JSON_TEXT in one.metadata)
    return PlantedFile(copied=copied, converted=format_of(place) != format_of(path), json_columns=named)


def _write_lines(path: Path, changes: Changes, place: Path, advance: Advance) -> None:
    """JSON lines: each is copied, new ones end as the first does."""
    meant, ending = Part(), _ending(next(raw_lines(path), b""))
    with opened_plain(place) as write:
        for line, new in _woven(path, raw_lines(path), changes, changes.lines):
            whole = line + ending if new else line
            write(whole)
            meant.add(whole)
            advance(not new)
    if not Part.of(raw_lines(place)).is_like(meant):
        raise _not_as_meant(path)


def _write_records(path: Path, reading: Reading, schema: pa.Schema, changes: Changes, place: Path) -> None:
    """CSV: each record is copied. Raises NotSoundError unless the file, read again, holds the same values."""
    records = split_records(raw_lines(path, blank=True), LONGEST_LINE)
    header = next(records)
    columns = [column.to_pylist() for column in changes.records.columns]
    new = [written_record(["" if value is None else value for value in row]) for row in zip(*columns, strict=True)]
    try:
        with opened_plain(place) as write:
            write(header)
            for record, is_new in _woven(path, records, changes, new):
                write(record[:-1] + _ending(header) if is_new else record)
    except AuditError as error:  # more or fewer records than rows
        raise NotSoundError from error
    if not _as_meant(path, reading, schema, changes, place):
        raise NotSoundError


def _write_table(
    path: Path, reading: Reading, schema: pa.Schema, changes: Changes, place: Path, advance: Advance
) -> None:
    """Tables: rows keep their values and columns their types."""
    new, start = changes.records, 0
    try:
        with opened_table(place, path, schema) as write:
            for records in read_records(path, schema, reading):
                pieces = [records.slice(0, 0), new.slice(0, 0), *_pieces(records, new, start, changes)]
                same = [pa.record_batch(piece.columns, schema=schema) for piece in pieces]
                for joined in pa.Table.from_batches(same, schema).unify_dictionaries().combine_chunks().to_batches():
                    write(joined)
                start += records.num_rows
                advance(records.num_rows)
    except (pa.ArrowException, IndexError) as error:
        detail = safe_inline(str(error), 120)
        raise AuditError(
            f"{name_of(path)}: cannot be written with control rows in it: {detail}; deliver Parquet"
        ) from error
    if start != len(changes.removed) or not _as_meant(path, reading, schema, changes, place):
        raise _not_as_meant(path)


def _pieces(records: pa.RecordBatch, new: pa.RecordBatch, start: int, changes: Changes) -> Iterator[pa.RecordBatch]:
    """Slices of the records from row `start` on, and of the new rows before them, in the order of the planted file."""
    stop = start + records.num_rows
    cuts = {start, stop, *(start + np.flatnonzero(changes.removed[start:stop])).tolist()}
    cuts |= {place + 1 for place in cuts if place < stop} | set(changes.before[_between(changes, start, stop)].tolist())
    ordered = sorted(cut for cut in cuts if start <= cut <= stop)
    for first, last in pairwise(ordered):
        span = _between(changes, first, first + 1)
        if span.stop > span.start:
            yield new.slice(span.start, span.stop - span.start)
        if not changes.removed[first]:
            yield records.slice(first - start, last - first)


def _between(changes: Changes, first: int, last: int) -> slice:
    """The new rows that stand before rows [first, last)."""
    return slice(*np.searchsorted(changes.before, [first, last]).tolist())


def _woven(path: Path, rows: Iterable[Row], changes: Changes, new: Sequence[Row]) -> Iterator[tuple[Row, bool]]:
    """The rows of the planted file, and whether each is new. Raises AuditError unless there are as many rows as before."""
    count = added = 0
    for count, row in enumerate(rows, start=1):
        if count > len(changes.removed):
            raise _other_rows(path)
        while added < len(new) and changes.before[added] == count - 1:
            yield new[added], True
            added += 1
        if not changes.removed[count - 1]:
            yield row, False
    if count != len(changes.removed):
        raise _other_rows(path)


def _as_meant(path: Path, reading: Reading, schema: pa.Schema, changes: Changes, place: Path) -> bool:
    """Whether the planted file, read again, is the delivered rows that stay with the new ones between."""
    delivered = (data for batch in read_records(path, schema, reading) for data in row_bytes(batch, schema))
    woven = _woven(path, delivered, changes, list(row_bytes(changes.records, schema)))
    again = read_records(place, schema, OURS if format_of(place) == "csv" else AS_FOUND)
    found = Part.of(data for batch in again for data in row_bytes(batch, schema))
    return found.is_like(Part.of(data for data, _ in woven))


def _ending(line: bytes) -> bytes:
    return b"\r\n" if line.endswith(b"\r\n") else b"\n"


def _other_rows(path: Path) -> AuditError:
    return AuditError(f"{name_of(path)}: the files changed while they were read; run again")


def _not_as_meant(path: Path) -> AuditError:
    return AuditError(f"{name_of(path)}: what was written does not hold the rows that were read; nothing was planted")
