"""Streams: the bytes of a file, opened for Arrow. What is compressed is expanded and metered, so that no file fills a machine."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc as pa_ipc

from carto_audit.runtime.sealed_path import meter, open_bytes

COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}


def compression_of(path: Path) -> str | None:
    """The compression that the suffix says, as Arrow calls it."""
    return COMPRESSED.get(path.suffix.lower())


def bytes_of(path: Path) -> pa.NativeFile:
    """The file opened for Arrow: no pipe, and of a sealed file no bytes but those that were sealed."""
    return pa.PythonFile(open_bytes(path), "r")


def decompressed(path: Path) -> pa.NativeFile:
    """The bytes of a file that may be compressed, as its suffix says in any case."""
    codec, source = COMPRESSED.get(path.suffix.lower()), bytes_of(path)
    return pa.PythonFile(_Expanded(path, pa.CompressedInputStream(source, codec)), "r") if codec else source


class _Expanded(io.RawIOBase):
    """What comes out of a compressed file, metered. Raises AuditError where it is too much."""

    def __init__(self, path: Path, source: pa.NativeFile) -> None:
        self._source, self._read = source, meter(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._source.readinto(buffer))
        self._read.add(count)
        return count

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()


@contextmanager
def open_arrow(path: Path, columns: list[str] | None = None) -> Iterator[Any]:
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
    with open_arrow(path) as reader:
        found = {name: reader.schema.get_all_field_indices(name) for name in columns}
    for name, places in found.items():
        if len(places) != 1:
            raise KeyError(f'Field "{name}" exists {len(places)} times in schema')
    return [places[0] for places in found.values()]


def array_bytes(column: pa.Array) -> int:
    """Bytes of its values, of which a dictionary has each only once."""
    return int(column.indices.nbytes if pa.types.is_dictionary(column.type) else column.nbytes)
