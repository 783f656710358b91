"""Values: the rows of a file as Python values, whatever its format, and which columns may hold text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from carto_audit.data.readers import column_types, json_chunks, one_line, read_columns, reads_json

UNDECODABLE = "\udcff"
"""Stands for a value that cannot be read: no valid text, so that its row is skipped and counted."""


def read_values(path: Path, columns: list[str] | None) -> Iterator[list[dict[str, Any]]]:
    """All rows as Python values, at most ROWS_PER_READ at once: of some columns, or of all that may hold text (`decoded`).
    AuditError when unreadable."""
    if reads_json(path):
        with one_line(path):
            for rows in json_chunks(path, None):
                yield rows if columns is None else [{name: row.get(name) for name in columns} for row in rows]
        return
    kept = [name for name, kind in column_types(path).items() if may_hold_text(kind)] if columns is None else columns
    for batch in read_columns(path, kept):
        with one_line(path):
            yield decoded(batch.select(kept))


def first_rows(path: Path, count: int) -> list[dict[str, Any]]:
    """The first rows of a file, every column; 0 stands for what can be no text. AuditError when unreadable."""
    found: list[dict[str, Any]] = []
    for rows in read_values(path, None):
        found += rows
        if len(found) >= count:
            break
    if reads_json(path):
        return found[:count]
    names = column_types(path)
    return [{name: row.get(name, 0) for name in names} for row in found[:count]]


def holds_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds strings or bytes, or nothing."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_null,
    )
    return any(test(kind) for test in tests)


def may_hold_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds strings, or lists or objects in which there may be some."""
    return holds_text(kind) or pa.types.is_nested(kind)


def decoded(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows as Python values: bytes are text, with surrogates where they are not UTF-8."""
    if not batch.num_columns:
        return [{} for _ in range(batch.num_rows)]
    columns = [_values(column) for column in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if holds_text(column.type) and not pa.types.is_null(column.type):
        found = column.cast(pa.large_binary()).to_pylist()
        return [value if value is None else value.decode("utf-8", "surrogateescape") for value in found]
    try:
        return list(column.to_pylist())
    except ValueError:  # somewhere inside, text is not UTF-8 or a time is beyond Python's
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except ValueError:
        return UNDECODABLE
