"""Columnar files: Parquet and Arrow, whose columns have types of their own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq

from carto_audit.data.formats.arrow_messages import check_whole, expanded_sizes
from carto_audit.data.formats.opened import bytes_of
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import shown_path
from carto_audit.runtime.sealed_path import identity_of, meter, open_bytes

ROWS_PER_READ = 1024
"""Rows decoded at once: small enough that a thousand samples of a megabyte each still fit."""

LARGEST_READ = 8 << 30
"""Bytes that rows decoded at once may have where each is as long as can be: Parquet says a value once for many rows. An Arrow
record batch, which is expanded whole, may say no more of itself."""


def array_bytes(column: pa.Array) -> int:
    """Bytes of its values, of which a dictionary has each only once."""
    return int(column.indices.nbytes if pa.types.is_dictionary(column.type) else column.nbytes)


def parquet_schema(path: Path) -> pa.Schema:
    """The columns as stored."""
    with bytes_of(path) as source:
        return pq.read_schema(source)


def parquet_has_rows(path: Path) -> bool:
    """Whether there is a row, as the footer says."""
    with bytes_of(path) as source:
        return bool(pq.read_metadata(source).num_rows)


def parquet_batches(path: Path, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    """All rows of some columns, or of all, at most ROWS_PER_READ at once."""
    with bytes_of(path) as source, pq.ParquetFile(source, buffer_size=1 << 20, pre_buffer=False) as shard:
        groups = [shard.metadata.row_group(number) for number in range(shard.num_row_groups)]
        chunks = [group.column(place).total_uncompressed_size for group in groups for place in range(group.num_columns)]
        read = meter(path)
        read.add(sum(chunks))
        rows = min(read.most, LARGEST_READ) // max(1, *chunks, 1)  # as each could be the longest that a chunk holds
        rows = max(1, min(ROWS_PER_READ, rows))
        yield from shard.iter_batches(batch_size=rows, columns=columns, use_threads=False)


def arrow_schema(path: Path) -> pa.Schema:
    """The columns as stored."""
    with _open_arrow(path) as reader:
        return reader.schema


def arrow_has_rows(path: Path) -> bool:
    """Whether there is a row. Reads on while batches are empty."""
    return any(batch.num_rows for batch in arrow_batches(path, None))


def arrow_batches(path: Path, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    """All rows of some columns, or of all, in the batches in which they are stored. Raises ArrowInvalid where values would lie
    outside of what the file holds: Arrow itself takes a file's word for where its values begin and end."""
    with _open_arrow(path, columns) as reader:
        is_file = isinstance(reader, pa_ipc.RecordBatchFileReader)
        _check_expansion(path, is_file)
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches)) if is_file else iter(reader)
        for batch in batches if columns is None else (batch.select(columns) for batch in batches):
            for column in batch.columns:
                _check_places(column)
            yield batch


def _check_places(column: pa.Array) -> None:
    """Raises ArrowInvalid where a value begins or ends outside of its buffer. Text that is not UTF-8 is none of its business."""
    column.validate()
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        if isinstance(column, pa.DictionaryArray):
            _check_places(column.dictionary)
            _check_places(column.indices)
            pa.DictionaryArray.from_arrays(
                column.indices, pa.nulls(len(column.dictionary))
            )  # which looks at each index
            return
        if isinstance(column, pa.MapArray):  # whose own offsets are looked at before its values
            _check_places(column.keys)
            _check_places(column.items)
            return
        plain = _without_text(column.type)
        if plain == column.type:
            raise
        column.cast(plain).validate(full=True)


def _without_text(kind: pa.DataType) -> pa.DataType:
    """The type with bytes in the place of text, at any depth."""
    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_string_view(kind):
        return pa.binary_view()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_text(field.type)) for field in kind.fields])
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_without_text(kind.value_type)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_without_text(kind.value_type)), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_without_text(kind.value_type)))
    return kind


def _check_expansion(path: Path, is_file: bool) -> None:
    """Raises AuditError where what is compressed says that it is too much, before any of it is expanded."""
    total, largest = _expansion(path, is_file, identity_of(path))
    meter(path).add(total)
    if largest > LARGEST_READ:
        raise AuditError(
            f"{shown_path(path)}: a record batch expands to {largest:,} bytes, more than the {LARGEST_READ:,} "
            "that are held at once; write it in smaller ones"
        )


@lru_cache(maxsize=1024)
def _expansion(path: Path, is_file: bool, _identity: tuple[object, ...]) -> tuple[int, int]:
    """To how many bytes the compressed record batches of a file expand, and the largest of them. Raises ValueError where they
    are not all that the file holds."""
    with open_bytes(path) as stream:
        n_bytes = stream.seek(0, os.SEEK_END)
        check_whole(stream, n_bytes, is_file=is_file)
        sizes = list(expanded_sizes(stream, n_bytes, is_file=is_file))
    return sum(sizes), max(sizes, default=0)


@contextmanager
def _open_arrow(path: Path, columns: list[str] | None = None) -> Iterator[Any]:
    """A reader of the file or stream format, whichever it is, of some columns or of all."""
    places = None if columns is None else _places(path, columns)
    wanted = pa_ipc.IpcReadOptions(included_fields=places)
    with bytes_of(path) as source:
        try:
            reader = pa_ipc.open_file(source, options=wanted)
        except pa.ArrowInvalid:
            source.seek(0)
            reader = pa_ipc.open_stream(source, options=wanted)
        yield reader


def _places(path: Path, columns: list[str]) -> list[int]:
    """The numbers of some columns. Raises KeyError unless there is one of each name."""
    schema = arrow_schema(path)
    found = {name: schema.get_all_field_indices(name) for name in columns}
    for name, places in found.items():
        if len(places) != 1:
            raise KeyError(f'Field "{name}" exists {len(places)} times in schema')
    return [places[0] for places in found.values()]
