"""Columnar files: Parquet and Arrow, whose columns have types of their own."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq

from carto_audit.data.formats.opened import bytes_of

ROWS_PER_READ = 1024
"""Rows decoded at once: small enough that a thousand samples of a megabyte each still fit."""


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
        yield from shard.iter_batches(batch_size=ROWS_PER_READ, columns=columns, use_threads=False)


def arrow_schema(path: Path) -> pa.Schema:
    """The columns as stored."""
    return _open_arrow(path).schema


def arrow_has_rows(path: Path) -> bool:
    """Whether there is a row. Reads on while batches are empty."""
    return any(batch.num_rows for batch in arrow_batches(path, None))


def arrow_batches(path: Path, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    """All rows of some columns, or of all, in the batches in which they are stored."""
    reader = _open_arrow(path)
    if isinstance(reader, pa_ipc.RecordBatchFileReader):
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
        batches = iter(reader)
    yield from batches if columns is None else (batch.select(columns) for batch in batches)


def _open_arrow(path: Path) -> Any:
    """A reader of the file or stream format, whichever it is."""
    source = pa.memory_map(os.fsencode(path))
    try:
        return pa_ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        return pa_ipc.open_stream(source)
