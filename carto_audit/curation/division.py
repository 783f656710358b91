"""Division: one file between two of its own format. Lines are copied, tables keep their schema; both are read again."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.curation.csv_records import NotSoundError, split_records, with_field
from carto_audit.curation.sample_weights import WEIGHT
from carto_audit.curation.table_files import opened_plain, opened_table
from carto_audit.data.formats.json_rows import JSON_TEXT, LONGEST_LINE
from carto_audit.data.formats.opened import AS_FOUND, Reading, compression_of
from carto_audit.data.readers import (
    column_types,
    format_of,
    how_written,
    is_lines,
    name_of,
    raw_lines,
    read_records,
    read_schema,
)
from carto_audit.data.values import UNDECODABLE
from carto_audit.runtime.errors import AuditError, UsageError

REASON = "carto_audit_reason"

Advance = Callable[[float], None]
Places = tuple[Path, Path]
"""The kept part and the removed one, in this order, wherever there are two of anything."""

_MODULUS = 1 << 128

OURS = Reading(encoding="utf-8", csv_delimiter=",", csv_quote='"', csv_escape="none", csv_header="yes")
"""How CSV is written here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What becomes of the rows of one file: arrays of (rows,). `weight` is 0 where a row is removed, for the `reason`."""

    weight: NDArray[np.float64]
    reason: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.weight)

    def removed(self, row: int) -> bool:
        return bool(self.weight[row] == 0)


@dataclass(slots=True)
class Part:
    """Some rows as they were read or written: how many, the sum of their digests, and a digest of all in their order."""

    rows: int = 0
    digest: int = 0
    in_order: Any = field(default_factory=hashlib.sha256)

    def add(self, row: bytes) -> None:
        found = hashlib.blake2b(row, digest_size=16).digest()
        self.rows += 1
        self.digest = (self.digest + int.from_bytes(found)) % _MODULUS
        self.in_order.update(found)

    @classmethod
    def of(cls, rows: Iterable[bytes]) -> "Part":
        part = cls()
        for row in rows:
            part.add(row)
        return part

    def is_like(self, other: "Part") -> bool:
        """Whether both are the same rows in the same order."""
        return bool(self.in_order.digest() == other.in_order.digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """One file divided: its rows that were kept and those that were removed, as they were delivered."""

    kept: Part
    removed: Part
    copied: bool
    """Whether every row was copied byte for byte."""
    json_columns: tuple[str, ...] = ()
    """Columns that are JSON text now, as no single type holds their values."""

    @property
    def rows(self) -> int:
        return self.kept.rows + self.removed.rows

    @property
    def digest(self) -> int:
        return (self.kept.digest + self.removed.digest) % _MODULUS


def divided_suffix(path: Path, reading: Reading) -> str:
    """How the parts of a file end: as the file does, or `.parquet` where it is written in a way in which none is written here."""
    if format_of(path) in ("parquet", "arrow") or is_plain_lines(path, reading) or is_plain_csv(path, reading):
        return "".join(path.suffixes[-2 if compression_of(path) else -1 :])
    return ".parquet"


def is_plain_lines(path: Path, reading: Reading) -> bool:
    return is_lines(path, reading) and not how_written(path, reading)


def is_plain_csv(path: Path, reading: Reading) -> bool:
    return format_of(path) == "csv" and not how_written(path, reading)


def check_columns(path: Path, reading: Reading, columns: Iterable[str]) -> None:
    """Raises UsageError for a column of ours that a file has already. Lines of JSON, which are copied, may have a weight."""
    check_reason(path, columns)
    if WEIGHT in columns and not is_plain_lines(path, reading):
        raise _taken(path, WEIGHT)


def check_reason(path: Path, columns: Iterable[str]) -> None:
    """Raises UsageError where the reason of ours stands in a file already, which no format may have."""
    if REASON in columns:
        raise _taken(path, REASON)


def _taken(path: Path, name: str) -> UsageError:
    return UsageError(f'{name_of(path)}: has a column "{name}" already; rename it, then audit the batch again')


def divide(path: Path, reading: Reading, choice: Choice, places: Places, advance: Advance) -> Division:
    """Divides a file. Raises AuditError where it has not the rows that were audited, or where the two parts, read again, are not
    what was read; OSError on a full disk."""
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
    if is_plain_lines(path, reading):
        return _divide_lines(path, choice, places, advance)
    if is_plain_csv(path, reading):
        try:
            return _divide_records(path, reading, choice, places, advance)
        except NotSoundError:
            return _divide_table(path, reading, choice, places, advance)
    return _divide_table(path, reading, choice, places, advance)


def _divide_lines(path: Path, choice: Choice, places: Places, advance: Advance) -> Division:
    """JSON lines: each is copied, one that is removed with the reason as its last key."""
    read, written = (Part(), Part()), (Part(), Part())
    with ExitStack() as stack:
        writers = [stack.enter_context(opened_plain(place)) for place in places]
        for row, line in enumerate(_counted(path, raw_lines(path), choice)):
            part = choice.removed(row)
            data = _with_reason(line, choice.reason[row]) if part else line
            writers[part](data)
            read[part].add(line)
            written[part].add(data)
            advance(1)
    _compare(path, written, [Part.of(raw_lines(place)) for place in places])
    return Division(kept=read[0], removed=read[1], copied=True)


def _with_reason(line: bytes, reason: str) -> bytes:
    """A JSON object with one more key; what is no object stands in one as text."""
    text = line.strip()
    added = f"{json.dumps(REASON)}: {json.dumps(reason)}}}".encode()
    if not text.endswith(b"}"):
        whole = json.dumps(text.decode("utf-8", "surrogateescape"))
        return f'{{"carto_audit_line": {whole}, '.encode() + added + b"\n"
    end = line.rindex(b"}")
    before = line[:end].rstrip()
    return before + (b"" if before.endswith(b"{") else b", ") + added + line[end + 1 :]


def _divide_records(path: Path, reading: Reading, choice: Choice, places: Places, advance: Advance) -> Division:
    """CSV: each record is copied, one field longer. Raises NotSoundError unless the parts, read again, hold the same values."""
    schema = read_schema(path, reading)
    check_columns(path, reading, schema.names)
    records = split_records(raw_lines(path, blank=True), LONGEST_LINE)
    header, rows = next(records), 0
    with ExitStack() as stack:
        writers = [stack.enter_context(opened_plain(place)) for place in places]
        for write, name in zip(writers, (WEIGHT, REASON), strict=True):
            write(with_field(header, name))
        for rows, record in enumerate(records, start=1):
            if rows > len(choice):
                raise NotSoundError
            row = rows - 1
            added = choice.reason[row] if choice.removed(row) else repr(float(choice.weight[row]))
            writers[choice.removed(row)](with_field(record, added))
    if rows != len(choice):
        raise NotSoundError
    read, row = (Part(), Part()), 0
    for batch in read_records(path, schema, reading):
        for data in row_bytes(batch, schema):
            read[choice.removed(row)].add(data)
            row += 1
        advance(batch.num_rows)
    if not all(one.is_like(other) for one, other in zip(read, _read_again(places, schema), strict=True)):
        raise NotSoundError
    return Division(kept=read[0], removed=read[1], copied=True)


def _divide_table(path: Path, reading: Reading, choice: Choice, places: Places, advance: Advance) -> Division:
    """Tables: rows keep their values and columns their types; one column is added."""
    schema = read_schema(path, reading)
    check_columns(path, reading, schema.names)
    read, start = (Part(), Part()), 0
    fields, values = (pa.field(WEIGHT, pa.float64()), pa.field(REASON, pa.string())), (choice.weight, choice.reason)
    with ExitStack() as stack:
        writers = [
            stack.enter_context(opened_table(place, path, schema.append(added)))
            for place, added in zip(places, fields, strict=True)
        ]
        for records in read_records(path, schema, reading):
            span = slice(start, start + records.num_rows)
            removed = choice.weight[span] == 0
            start += records.num_rows
            if start > len(choice):
                break
            for part, chosen in enumerate((~removed, removed)):
                if chosen.any():
                    some = _chosen(records, chosen)
                    added = pa.array(values[part][span][chosen].tolist(), fields[part].type)
                    writers[part](pa.record_batch([*some.columns, added], schema=schema.append(fields[part])))
                    for data in row_bytes(some, schema):
                        read[part].add(data)
            advance(records.num_rows)
    if start != len(choice):
        raise _other_rows(path)
    _compare(path, read, _read_again(places, schema))
    names = tuple(one.name for one in schema if one.metadata and JSON_TEXT in one.metadata)
    return Division(kept=read[0], removed=read[1], copied=False, json_columns=names)


def _chosen(records: pa.RecordBatch, chosen: NDArray[np.bool_]) -> pa.RecordBatch:
    """Some rows, at least one. Where pyarrow cannot take from a type, as from Polars' categories, the runs of them are joined."""
    try:
        return records.filter(pa.array(chosen))
    except pa.ArrowNotImplementedError:
        edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False)).reshape(-1, 2).tolist()
        return pa.concat_batches([records.slice(first, end - first) for first, end in edges])


def _read_again(places: Places, schema: pa.Schema) -> list[Part]:
    """What was written, less the column that was added."""
    parts = []
    for place in places:
        reading = OURS if format_of(place) == "csv" else AS_FOUND
        added = pa.field(list(column_types(place, reading))[-1], pa.large_binary())
        batches = read_records(place, schema.append(added), reading)
        parts.append(Part.of(data for batch in batches for data in row_bytes(batch, schema)))
    return parts


def row_bytes(batch: pa.RecordBatch, schema: pa.Schema) -> Iterator[bytes]:
    """The values of each row in the columns of a schema, which come first."""
    columns = [_values(column) for column in batch.columns[: len(schema)]]
    for row in zip(*columns, strict=True):
        yield repr(row).encode("utf-8", "surrogatepass")


def _values(column: pa.Array) -> list[Any]:
    """With strings as bytes, since Arrow takes it on trust that a string column holds UTF-8."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        column = column.cast(pa.large_binary())
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):  # somewhere inside, text is not UTF-8 or a time is beyond Python's
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return UNDECODABLE


def _counted(path: Path, lines: Iterable[bytes], choice: Choice) -> Iterator[bytes]:
    """The lines. Raises AuditError unless there are as many as rows that were audited."""
    rows = 0
    for rows, line in enumerate(lines, start=1):
        if rows > len(choice):
            raise _other_rows(path)
        yield line
    if rows != len(choice):
        raise _other_rows(path)


def _other_rows(path: Path) -> AuditError:
    return AuditError(f"{name_of(path)}: the files changed while they were read; run again")


def _compare(path: Path, written: Iterable[Part], again: Iterable[Part]) -> None:
    if not all(one.is_like(other) for one, other in zip(written, again, strict=True)):
        raise AuditError(f"{name_of(path)}: the two parts do not add up to what was read; nothing was written")
