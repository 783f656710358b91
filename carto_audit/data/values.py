"""Values: the rows of a file as Python values, whatever its format, and which columns may hold text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from carto_audit.data.formats.json_values import RepeatedKeys
from carto_audit.data.formats.opened import AS_FOUND, Reading
from carto_audit.data.readers import column_types, one_line, read_columns, read_json, read_records, reads_json

UNDECODABLE = "\udcff"
"""Stands for a value that cannot be read: no valid text, so that its row is skipped and counted."""


def read_values(path: Path, columns: list[str], reading: Reading = AS_FOUND) -> Iterator[list[dict[str, Any]]]:
    """All rows as Python values (`decoded`), at most ROWS_PER_READ at once, of some columns, RepeatedKeys as they are. AuditError
    when unreadable."""
    if reads_json(path):
        for rows in read_json(path, reading):
            yield [row if isinstance(row, RepeatedKeys) else {name: row.get(name) for name in columns} for row in rows]
        return
    for batch in read_columns(path, columns, reading):
        with one_line(path):
            yield decoded(batch.select(columns))


def read_rows_whole(path: Path, reading: Reading = AS_FOUND) -> Iterator[list[dict[str, Any]]]:
    """All rows as Python values, every column. What a CSV file calls "007" stays "007". AuditError when unreadable, and
    where a column with a name occurs twice."""
    if reads_json(path):
        yield from read_json(path, reading)
        return
    as_bytes = pa.schema([(name, pa.large_binary()) for name in column_types(path, reading)])
    for batch in read_records(path, as_bytes, reading):
        with one_line(path):
            for name in filter(None, batch.schema.names):
                batch.column(name)
            yield decoded(batch)


def first_rows(path: Path, count: int, reading: Reading = AS_FOUND) -> list[dict[str, Any]]:
    """The first rows of a file, every column; 0 stands for what can be no text. AuditError when unreadable."""
    columns = column_types(path, reading)
    kept = [name for name, kind in columns.items() if may_hold_text(kind)]
    found: list[dict[str, Any]] = []
    for rows in read_json(path, reading) if reads_json(path) else read_values(path, kept, reading):
        found += rows
        if len(found) >= count:
            break
    if reads_json(path):
        return found[:count]
    return [{name: row.get(name, 0) for name in columns} for row in found[:count]]


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


def may_hold_bytes(kind: pa.DataType) -> bool:
    """Whether text may be in a column of this type, of whatever make: in bytes of one length, or under a name of its own too."""
    if pa.types.is_dictionary(kind):
        return may_hold_bytes(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return may_hold_bytes(kind.storage_type)
    return may_hold_text(kind) or pa.types.is_fixed_size_binary(kind)


def spelled_out(column: pa.Array) -> pa.Array:
    """The same values without a dictionary. Its views, as Polars writes them, become text and bytes, which pyarrow can take."""
    if not pa.types.is_dictionary(column.type):
        return column
    plain = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    if column.type.value_type in plain:
        words = column.dictionary.cast(plain[column.type.value_type])
        column = pa.DictionaryArray.from_arrays(column.indices, words)
    return column.dictionary_decode()


def plainly(column: pa.Array) -> pa.Array:
    """The same values without dictionary and extension type, bytes of one length as bytes."""
    if isinstance(column, pa.ExtensionArray):
        return plainly(column.storage)
    if pa.types.is_dictionary(column.type):
        return plainly(spelled_out(column))
    return column.cast(pa.large_binary()) if pa.types.is_fixed_size_binary(column.type) else column


def decoded(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows as Python values: bytes are text, with surrogates where they are not UTF-8."""
    if not batch.num_columns:
        return [{} for _ in range(batch.num_rows)]
    columns = [values_of(column) for column in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def values_of(column: pa.Array) -> list[Any]:
    """A column as Python values. Times and dates, which may lie beyond Python's, are numbers."""
    column = spelled_out(column)
    if holds_text(column.type) and not pa.types.is_null(column.type):
        found = column.cast(pa.large_binary()).to_pylist()
        return [value if value is None else value.decode("utf-8", "surrogateescape") for value in found]
    try:
        return list(column.cast(_timeless(column.type)).to_pylist())
    except (ValueError, ArithmeticError, LookupError, pa.ArrowException):  # somewhere inside, text is not UTF-8
        pass
    try:
        return list(_as_bytes(column).to_pylist())
    except (ValueError, ArithmeticError, LookupError, NotImplementedError, pa.ArrowException):
        return [_value(scalar) for scalar in column]


def _as_bytes(column: pa.Array) -> pa.Array:
    """The same values with bytes for strings at any depth, numbers for times, and a name of its own for each field."""
    kind = column.type
    if pa.types.is_struct(kind):
        names = [
            field.name if kind.get_field_index(field.name) >= 0 else f"{field.name} {k}" for k, field in enumerate(kind)
        ]
        parts = [_as_bytes(part) for part in column.flatten()]
        return pa.StructArray.from_arrays(parts, names=names, mask=column.is_null()) if parts else column
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = pc.if_else(pa.array([*column.is_null().to_pylist(), False]), None, column.offsets).cast(pa.int64())
        return pa.LargeListArray.from_arrays(offsets, _as_bytes(column.values))
    if holds_text(kind) and not pa.types.is_dictionary(kind):
        return column.cast(pa.large_binary())
    return column.cast(_timeless(kind))


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, ArithmeticError, LookupError, pa.ArrowException):
        return UNDECODABLE


def _timeless(kind: pa.DataType) -> pa.DataType:
    """The type with numbers in place of times, dates and durations."""
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_timeless(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_timeless(kind.key_type), _timeless(kind.item_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_timeless(kind.value_type), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(_timeless(kind.value_type))
    if pa.types.is_list(kind):
        return pa.list_(_timeless(kind.value_type))
    if pa.types.is_dictionary(kind):
        return _timeless(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _timeless(kind.storage_type)
    if pa.types.is_date32(kind) or pa.types.is_time32(kind):
        return pa.int32()
    return pa.int64() if pa.types.is_temporal(kind) and not pa.types.is_interval(kind) else kind
