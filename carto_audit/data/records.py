"""Records: the whole rows of a shard, every column as it was delivered, in the order in which `shards` reads the texts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq

from carto_audit.data.readers import CSV_BLOCK, READ_ERRORS, ROWS_PER_READ, format_of, json_rows, open_arrow, unreadable

JSON_TEXT = b"carto_audit.json"
"""Field metadata of a column of JSON text: values of several kinds that no single Arrow type holds."""


def read_schema(path: Path) -> pa.Schema:
    """The columns of `read_records`. For CSV and JSONL this costs a pass over the file. AuditError when unreadable."""
    readers = {"parquet": pq.read_schema, "arrow": _arrow_schema, "csv": _csv_schema, "jsonl": _json_schema}
    try:
        return readers[str(format_of(path))](path)
    except READ_ERRORS as error:
        raise unreadable(path, error) from error


def read_records(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """All rows of one shard, at most ROWS_PER_READ at once; `schema` is that of `read_schema`.

    A CSV file's fields stay the text that they are, bytes where they are not UTF-8. A JSONL column is of one Arrow type
    where its values have one; others are JSON text, marked by JSON_TEXT. AuditError when unreadable.
    """
    readers = {"parquet": _parquet_records, "arrow": _arrow_records, "csv": _csv_records, "jsonl": _json_records}
    try:
        for batch in readers[str(format_of(path))](path, schema):
            for start in range(0, batch.num_rows, ROWS_PER_READ):
                yield batch.slice(start, ROWS_PER_READ)
    except READ_ERRORS as error:
        raise unreadable(path, error) from error


def _parquet_records(path: Path, _: pa.Schema) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as shard:
        yield from shard.iter_batches(batch_size=ROWS_PER_READ, use_threads=False)


def _arrow_schema(path: Path) -> pa.Schema:
    return open_arrow(path).schema


def _arrow_records(path: Path, _: pa.Schema) -> Iterator[pa.RecordBatch]:
    reader = open_arrow(path)
    if isinstance(reader, pa_ipc.RecordBatchFileReader):
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
        yield from reader


def _csv_schema(path: Path) -> pa.Schema:
    with pa_csv.open_csv(path, read_options=pa_csv.ReadOptions(block_size=CSV_BLOCK, use_threads=False)) as reader:
        names = reader.schema.names
    bare = pa.schema([(name, pa.large_binary()) for name in names])
    valid = dict.fromkeys(names, True)
    for batch in _csv_records(path, bare):
        for name in names:
            valid[name] = valid[name] and _is_text(batch[name])
    return pa.schema([(name, pa.large_string() if valid[name] else pa.large_binary()) for name in names])


def _is_text(column: pa.LargeBinaryArray) -> bool:
    try:
        column.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _csv_records(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    with pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(block_size=CSV_BLOCK, use_threads=False),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types={field.name: field.type for field in schema}, check_utf8=False, strings_can_be_null=False
        ),
    ) as reader:
        yield from reader


def _json_schema(path: Path) -> pa.Schema:
    """One Arrow type per key where there is one; keys in the order in which they first occur."""
    kinds: dict[str, pa.DataType | None] = {}
    for rows in _json_chunks(path):
        for name in dict.fromkeys(name for row in rows for name in row):
            kinds[name] = _common(kinds.get(name, pa.null()), _kind([row.get(name) for row in rows]))
    return pa.schema([_json_field(name, kind) for name, kind in kinds.items()])


def _json_field(name: str, kind: pa.DataType | None) -> pa.Field:
    if kind is None or _is_hollow(kind):
        return pa.field(name, pa.large_string(), metadata={JSON_TEXT: b"1"})
    return pa.field(name, kind)


def _kind(values: list[Any]) -> pa.DataType | None:
    """The Arrow type of these values, None where they have none in common."""
    try:
        return pa.array(values).type
    except (pa.ArrowException, OverflowError, UnicodeError):
        return None


def _common(a: pa.DataType | None, b: pa.DataType | None) -> pa.DataType | None:
    if a is None or b is None:
        return None
    try:
        schemas = [pa.schema([("x", kind)]) for kind in (a, b)]
        return pa.unify_schemas(schemas, promote_options="permissive").field("x").type
    except pa.ArrowException:
        return None


def _is_hollow(kind: pa.DataType) -> bool:
    """Whether an object without any key lies inside, which Parquet has no type for."""
    if pa.types.is_struct(kind):
        return kind.num_fields == 0 or any(_is_hollow(field.type) for field in kind)
    return pa.types.is_list(kind) and _is_hollow(kind.value_type)


def _json_chunks(path: Path) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for row in json_rows(path):
        rows.append(row)
        if len(rows) == ROWS_PER_READ:
            yield rows
            rows = []
    if rows:
        yield rows


def _json_records(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for rows in _json_chunks(path):
        yield pa.record_batch([_json_column(rows, field) for field in schema], schema=schema)


def _json_column(rows: list[dict[str, Any]], field: pa.Field) -> pa.Array:
    if field.metadata and JSON_TEXT in field.metadata:
        return pa.array([json.dumps(row[field.name]) if field.name in row else None for row in rows], field.type)
    return pa.array([row.get(field.name) for row in rows], field.type)
