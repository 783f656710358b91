"""Arrow messages: to how many bytes the record batches of a file say that they expand, and whether they are all of the file."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

LARGEST_METADATA = 256 << 20
"""Bytes of what describes one record batch. More is a broken file."""

_MAGIC, _CONTINUES = b"ARROW1", 0xFFFFFFFF
_DICTIONARY, _RECORDS = 2, 3
_TAIL = len(_MAGIC) + 4
_END = struct.pack("<II", _CONTINUES, 0)
_BETWEEN = 1 << 16
"""Bytes that may lie between two messages, all of them zeros."""

_ROOM = 1 << 8
"""Bytes by which a file's head may be longer than its footer."""

_EXPERIMENTAL = b"ARROW:experimental_compression"
"""How files of before 2020 said that they are compressed."""

_FARTHEST = 1 << 62
_BLOCK, _BUFFER = 24, 16
"""Bytes of a place in a file's footer, and of a buffer's place in a record batch."""


def expanded_sizes(stream: BinaryIO, n_bytes: int, *, is_file: bool) -> Iterator[int]:
    """The declared bytes of each compressed record batch and dictionary of an Arrow file or stream, in order; 0 where one is not
    compressed. Raises ValueError where the file is not one."""
    try:
        for start in _places(stream, n_bytes) if is_file else _sequence(stream, n_bytes):
            yield _expanded(stream, start)
    except (struct.error, IndexError) as error:
        raise ValueError("not an Arrow file: its messages are damaged") from error


def bodies(stream: BinaryIO, n_bytes: int, *, is_file: bool) -> Iterator[bytes]:
    """The first bytes, at most 16, of the body of each message of an Arrow file or stream."""
    for start in _places(stream, n_bytes) if is_file else _sequence(stream, n_bytes):
        if message := _message(stream, start):
            yield _read(stream, message.body, min(message.end - message.body, 16))


def check_whole(stream: BinaryIO, n_bytes: int, *, is_file: bool) -> None:
    """Raises ValueError where bytes are no part of what is read: a second stream behind the first, batches that the footer of a
    file does not list, anything before them. Another reader may read those in place of the others."""
    try:
        place = 0
        for start, end in sorted(_listed(stream, n_bytes) if is_file else _streamed(stream, n_bytes)):
            _check_empty(stream, place, start)
            place = max(place, end)
        _check_empty(stream, place, n_bytes)
    except (struct.error, IndexError) as error:
        raise ValueError("not an Arrow file: its messages are damaged") from error


def _streamed(stream: BinaryIO, n_bytes: int) -> list[tuple[int, int]]:
    """Where the messages of a stream begin and end."""
    return [(start, _end(stream, start)) for start in _sequence(stream, n_bytes)]


def _listed(stream: BinaryIO, n_bytes: int) -> list[tuple[int, int]]:
    """Where the head, the messages that the footer lists, and the footer of a file begin and end. The head is the magic and the
    schema, which some writers keep in a way of their own; the footer says it again."""
    if _read(stream, 0, len(_MAGIC)) != _MAGIC:
        raise ValueError("not an Arrow file: it begins with something else")
    footer = _footer(stream, n_bytes)
    messages = [(start, _end(stream, start)) for start in _places(stream, n_bytes)]
    first = min([footer, *(start for start, _ in messages)])
    return [(0, min(first, n_bytes - footer + _ROOM)), *messages, (footer, n_bytes)]


def _end(stream: BinaryIO, start: int) -> int:
    message = _message(stream, start)
    return message.end if message else start


def _check_empty(stream: BinaryIO, start: int, end: int) -> None:
    """Raises ValueError unless there are only zeros, after the mark of a stream's end if there is one."""
    found = _read(stream, start, min(max(end - start, 0), _BETWEEN))
    if end - start > len(found) or found.removeprefix(_END).strip(b"\0"):
        raise ValueError(
            f"{end - start:,} bytes at {start:,} are no part of the Arrow data that is read; write one stream a file"
        )


@dataclass(frozen=True, slots=True)
class _Message:
    """What describes a message, a flatbuffer, and where its body begins and ends."""

    metadata: bytes
    body: int
    end: int


def _places(stream: BinaryIO, n_bytes: int) -> Iterator[int]:
    """Where the messages of a file begin, as its footer says."""
    start = _footer(stream, n_bytes)
    footer = _read(stream, start, n_bytes - _TAIL - start)
    for number in (2, 3):  # dictionaries, record batches
        for place in _elements(footer, _field(footer, _root(footer), number), _BLOCK):
            yield int(struct.unpack_from("<q", footer, place)[0])


def _footer(stream: BinaryIO, n_bytes: int) -> int:
    """Where the footer of a file begins."""
    (length,) = struct.unpack("<i", _read(stream, n_bytes - _TAIL, 4))
    return n_bytes - _TAIL - int(length)


def _sequence(stream: BinaryIO, n_bytes: int) -> Iterator[int]:
    """Where the messages of a stream begin, up to its end."""
    start = 0
    while start < n_bytes:
        message = _message(stream, start)
        if message is None:
            return
        yield start
        start = message.end


def _message(stream: BinaryIO, start: int) -> _Message | None:
    """The message that begins at a place; None where the stream ends with it."""
    (first,) = struct.unpack("<I", _read(stream, start, 4))
    prefix = 8 if first == _CONTINUES else 4  # older streams have the length alone
    length = struct.unpack("<I", _read(stream, start + 4, 4))[0] if prefix == 8 else first
    if not length:
        return None
    metadata = _read(stream, start + prefix, length)
    place = _field(metadata, _root(metadata), 3)
    body = start + prefix + length
    n_bytes = int(struct.unpack_from("<q", metadata, place)[0]) if place else 0
    if n_bytes < 0:
        raise ValueError("not an Arrow file: a message ends before it begins")
    return _Message(metadata, body, body + n_bytes)


def _expanded(stream: BinaryIO, start: int) -> int:
    """The bytes that the compressed buffers of a message say that they hold: each begins with its length, or with -1."""
    message = _message(stream, start)
    if message is None:
        return 0
    data, root = message.metadata, _root(message.metadata)
    kind, header = _field(data, root, 1), _field(data, root, 2)
    if not kind or not header or data[kind] not in (_DICTIONARY, _RECORDS):
        return 0
    records = _follow(data, header)
    if data[kind] == _DICTIONARY:
        inner = _field(data, records, 1)
        records = _follow(data, inner) if inner else records
    if not _field(data, records, 3) and _EXPERIMENTAL not in data:
        return 0
    return sum(
        _declared(stream, message, *struct.unpack_from("<qq", data, place))
        for place in _elements(data, _field(data, records, 2), _BUFFER)
    )


def _declared(stream: BinaryIO, message: _Message, offset: int, length: int) -> int:
    if length < 8:
        return max(length, 0)
    (found,) = struct.unpack("<q", _read(stream, message.body + offset, 8))
    if found < -1:
        raise ValueError("not an Arrow file: a buffer of less than nothing")
    return length - 8 if found == -1 else int(found)


def _read(stream: BinaryIO, start: int, length: int) -> bytes:
    if not 0 <= start < _FARTHEST or not 0 <= length <= LARGEST_METADATA:
        raise ValueError("not an Arrow file: its messages are damaged")
    stream.seek(start)
    return stream.read(length)


# Flatbuffers: a table begins with the distance back to the list of where its fields are


def _root(data: bytes) -> int:
    return _follow(data, 0)


def _follow(data: bytes, place: int) -> int:
    """Where the table or the list is to which a place points."""
    return place + int(struct.unpack_from("<I", data, place)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Where a field of a table is, 0 where it is not set."""
    fields = table - int(struct.unpack_from("<i", data, table)[0])
    at = 4 + 2 * number
    if fields < 0 or at >= struct.unpack_from("<H", data, fields)[0]:
        return 0
    inside = int(struct.unpack_from("<H", data, fields + at)[0])
    return table + inside if inside else 0


def _elements(data: bytes, place: int, size: int) -> range:
    """Where the elements of a list are, of which a field at a place tells. Empty where it is not set."""
    if not place:
        return range(0)
    first = _follow(data, place) + 4
    (count,) = struct.unpack_from("<I", data, first - 4)
    if first + count * size > len(data):
        raise ValueError("not an Arrow file: its messages are damaged")
    return range(first, first + count * size, size)
