"""Table files: writers of each format that columns have, by the file that is divided: Arrow files stay files, streams streams."""

import lzma
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq

from carto_audit.curation.csv_records import written_record
from carto_audit.data.formats.arrow_messages import bodies
from carto_audit.data.formats.opened import compression_of
from carto_audit.data.readers import format_of
from carto_audit.runtime.sealed_path import open_bytes

Write = Callable[[pa.RecordBatch], None]

_FILE_MAGIC = b"ARROW1\x00\x00"
_CODECS = {b'\x04"M\x18': "lz4", b"(\xb5/\xfd": "zstd"}
"""How a compressed buffer begins, after eight bytes of its length."""


@contextmanager
def opened_plain(place: Path) -> Iterator[Callable[[bytes], object]]:
    """Writes bytes to a new file, compressed as its suffix says. Raises OSError."""
    codec = compression_of(place)
    with place.open("wb") as file:
        if codec is None:
            yield file.write
        else:
            xz = codec == "xz"
            with lzma.open(file, "wb") if xz else pa.CompressedOutputStream(pa.PythonFile(file, "w"), codec) as stream:
                yield stream.write


@contextmanager
def opened_table(place: Path, like: Path, schema: pa.Schema) -> Iterator[Write]:
    """Writes record batches to a new file of the format of another. Raises OSError."""
    if format_of(place) == "csv":
        with opened_plain(place) as write:
            write(written_record(schema.names))
            yield lambda records: _write_records(write, records)
    elif format_of(place) == "arrow":
        is_file, codec = _arrow_layout(like)
        make = pa_ipc.new_file if is_file else pa_ipc.new_stream
        with place.open("wb") as file, make(file, schema, options=pa_ipc.IpcWriteOptions(compression=codec)) as table:
            yield table.write_batch
    else:
        with place.open("wb") as file, pq.ParquetWriter(file, schema, compression="zstd") as table:
            yield table.write_batch


def _write_records(write: Callable[[bytes], object], records: pa.RecordBatch) -> None:
    columns = [column.to_pylist() for column in records.columns]
    for row in zip(*columns, strict=True):
        write(written_record([repr(value) if isinstance(value, float) else value for value in row]))


def _arrow_layout(path: Path) -> tuple[bool, str | None]:
    """Whether it is the file format, not the stream format, and what its buffers are compressed with."""
    with open_bytes(path) as stream:
        is_file = stream.read(len(_FILE_MAGIC)) == _FILE_MAGIC
        heads = bodies(stream, stream.seek(0, os.SEEK_END), is_file=is_file)
        first = next((head for head in heads if len(head) > 12), b"")
        return is_file, _CODECS.get(first[8:12])
