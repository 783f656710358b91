"""Opened files: the bytes of a file, decompressed as its suffix says, and of a text file as UTF-8 whatever its encoding."""

import io
import lzma
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from charset_normalizer import from_bytes

from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.runtime.files import shown_path
from carto_audit.runtime.sealed_path import meter, open_bytes
from carto_audit.text.untrusted import safe_inline

COMPRESSED = {
    ".gz": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".bz2": "bz2",
    ".lz4": "lz4",
    ".xz": "xz",
}
"""How a file is compressed, by its last suffix."""

READ_ERRORS = (OSError, EOFError, ValueError, KeyError, RecursionError, lzma.LZMAError, pa.ArrowException)
"""What goes wrong while a file is read. KeyError is Arrow's word for a column name that occurs twice."""

HEAD_BYTES = 1 << 20
"""Of a text file, which tell how it is written."""

FEWEST_STRAYS, FEWEST_LINES, LINE_SHARE = 10, 3, 0.01
"""Bytes that are not UTF-8, and lines with such bytes, from which on a file has another encoding. Fewer spoil their own rows."""

_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8"),
)
"""Byte order marks, the longest first: what begins with one has declared its encoding."""

_SINGLE_BYTE = tuple(f"cp125{k}" for k in range(9))
_MULTI_BYTE = ("cp932", "euc_jp", "gb18030", "big5", "cp949")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How text files are to be read, where that is said and not found: an `encoding` by a name that Python knows; for CSV a
    `delimiter` (one character, or `tab`), a `quote` and an `escape` (one character, or `none`), a `header` (`yes` or `no`).

    Raises UsageError for anything else."""

    encoding: str | None = None
    csv_delimiter: str | None = None
    csv_quote: str | None = None
    csv_escape: str | None = None
    csv_header: str | None = None

    def __post_init__(self) -> None:
        if self.encoding is not None and not _is_encoding(self.encoding):
            raise UsageError(
                f"{option('encoding', safe_inline(str(self.encoding), 40))}: no encoding that Python knows"
            )
        for name, word in (("csv_delimiter", "tab"), ("csv_quote", "none"), ("csv_escape", "none")):
            value = getattr(self, name)
            if value not in (None, word) and not _is_sign(value):
                raise UsageError(f"{option(name, safe_inline(str(value), 40))}: one ASCII character, or {word}")
        if self.csv_header not in (None, "yes", "no"):
            raise UsageError(f"{option('csv_header', safe_inline(str(self.csv_header), 40))}: yes or no")


AS_FOUND = Reading()
"""Nothing is said: everything is found."""


def bytes_of(path: Path) -> pa.NativeFile:
    """The file opened for Arrow: no pipe, and of a sealed file no bytes but those that were sealed."""
    return pa.PythonFile(_Bounded(open_bytes(path)), "r")


class _Bounded(io.RawIOBase):
    """A file of which no more is asked for than there is: room for a length that a damaged file claims is never made."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._size = stream, stream.seek(0, os.SEEK_END)
        stream.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._stream.tell())
        return self._stream.read(left if size < 0 else min(size, left))

    def close(self) -> None:
        self._stream.close()
        super().close()


def compression_of(path: Path) -> str | None:
    """The compression that the suffix says."""
    return COMPRESSED.get(path.suffix.lower())


def decompressed(path: Path) -> pa.NativeFile:
    """The bytes of a file that may be compressed, as its suffix says in any case."""
    codec, source = compression_of(path), bytes_of(path)
    if codec is None:
        return source
    stream = _Xz(source) if codec == "xz" else pa.CompressedInputStream(source, codec)
    return pa.PythonFile(_Expanded(path, source, stream), "r")


class _Xz(io.RawIOBase):
    """What comes out of an xz file, all of whose bytes belong to one of its streams. Raises LZMAError where something else
    follows them, which Python's own reader passes over, and EOFError where the last one is cut."""

    def __init__(self, source: pa.NativeFile) -> None:
        self._source, self._decoder = source, lzma.LZMADecompressor()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data:
            if self._decoder.eof:
                following = self._following(self._decoder.unused_data)
                if not following:
                    return 0
                self._decoder = lzma.LZMADecompressor()
                data = self._decoder.decompress(following, len(buffer))
            else:
                data = self._decoder.decompress(self._input() if self._decoder.needs_input else b"", len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _following(self, data: bytes) -> bytes:
        """The beginning of the next stream after what may pad the last one; empty at the end of the file."""
        while not (data := data.lstrip(b"\0")):
            if not (data := self._source.read(HEAD_BYTES)):
                return b""
        return data

    def _input(self) -> bytes:
        data: bytes = self._source.read(HEAD_BYTES)
        if not data:
            raise EOFError("Compressed file ended before the end-of-stream marker was reached")
        return data


class _Expanded(io.RawIOBase):
    """What comes out of a compressed file, metered. Raises AuditError where it is too much."""

    def __init__(self, path: Path, source: pa.NativeFile, stream: Any) -> None:
        self._source, self._stream, self._read = source, stream, meter(path)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._stream.readinto(buffer))
        self._read.add(count)
        return count

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._source.close()
        super().close()


def utf8_of(path: Path, reading: Reading) -> pa.NativeFile:
    """The bytes of a text file as UTF-8, decompressed. Raises AuditError where its encoding is another one and not declared."""
    encoding = encoding_of(path, reading)
    stream = decompressed(path)
    return stream if encoding == "utf-8" else pa.transcoding_input_stream(stream, encoding, "utf-8")


def head_of(path: Path) -> tuple[bytes, bool]:
    """The first bytes of a file that may be compressed, and whether they are all of it."""
    with decompressed(path) as stream:
        head: bytes = stream.read(HEAD_BYTES)
        return head, not stream.read(1)


def encoding_of(path: Path, reading: Reading) -> str:
    """The encoding that a text file declares by a byte order mark, or that is declared of it, else UTF-8.

    Raises AuditError for a file that is written in another one, and names the likely one."""
    head, whole = head_of(path)
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if marked or reading.encoding:
        return marked or str(reading.encoding)
    likely = _likely(head, whole)
    if likely:
        raise AuditError(
            f"{shown_path(path)}: not UTF-8; it looks like {likely}: "
            f"declare it with {option('encoding', likely)}, or convert the file"
        )
    return "utf-8"


def _likely(head: bytes, whole: bool) -> str | None:
    """The encoding of a text that is not UTF-8; None where it is, but for some bytes."""
    if wide := _wide(head):
        return wide
    text = head.decode("utf-8", "surrogateescape")
    strays = sum("\udc80" <= character <= "\udcff" for character in text) if not text.isascii() else 0
    if strays < FEWEST_STRAYS:
        return None
    lines = head.splitlines()[: None if whole else -1] or [head]
    odd = [line for line in lines if not is_utf8(line)]
    if len(odd) < max(min(FEWEST_LINES, len(lines)), LINE_SHARE * len(lines)):
        return None
    return _guess(b"\n".join(odd))


def _wide(head: bytes) -> str | None:
    """UTF-16 without a mark, told by the zeros of its ASCII characters, most of which stand at every second place."""
    zeros = head[0::2].count(0), head[1::2].count(0)
    if len(head) < 4 or max(zeros) * 5 < len(head):
        return None
    return "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"


def _guess(odd: bytes) -> str:
    """The likeliest encoding; Windows' own for Western Europe where it fits as well as any."""
    for isolation in (_MULTI_BYTE, _SINGLE_BYTE):
        found = from_bytes(odd, cp_isolation=list(isolation), enable_fallback=False)
        if best := found.best():
            as_good = {name for one in found if one.chaos <= best.chaos for name in one.could_be_from_charset}
            return "cp1252" if "cp1252" in as_good else str(best.encoding)
    return "latin-1"


def is_utf8(data: bytes) -> bool:
    """Whether bytes are text."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_encoding(name: object) -> bool:
    try:
        return isinstance(name, str) and bool("a".encode(name))
    except (LookupError, UnicodeError, ValueError):
        return False


def _is_sign(value: object) -> bool:
    return isinstance(value, str) and len(value) == 1 and value.isascii() and value not in "\r\n\0"
