"""CSV records: where each row of a CSV file ends, so that it can be copied byte for byte, line breaks in quotes included."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

_CLOSING = re.compile(rb'[^"]*(?:""[^"]*)*"(?!")')
"""From inside quotes to the quote that ends them; two in a row are one that is meant."""

_BOM = b"\xef\xbb\xbf"


class NotSoundError(Exception):
    """Where a row ends cannot be told for certain."""


def split_records(lines: Iterable[bytes], longest: int) -> Iterator[bytes]:
    """The records of a CSV file, the header first, from its lines, which are cut after `longest` bytes; empty lines are none.

    Raises NotSoundError for an overlong line, a quote that nothing ends, and a carriage return alone, which may be a line break.
    """
    parts: list[bytes] = []
    inside = False
    for number, line in enumerate(lines):
        text = line.rstrip(b"\r\n")
        if (len(line) == longest and line == text) or b"\r" in text:
            raise NotSoundError
        if not parts and not text.removeprefix(_BOM if number == 0 else b""):
            continue
        inside = _ends_inside(text.removeprefix(_BOM) if number == 0 else text, inside)
        parts.append(line)
        if not inside:
            yield b"".join(parts)
            parts = []
    if parts:
        raise NotSoundError


def with_field(record: bytes, value: str) -> bytes:
    """The record with one more field at its end."""
    text = record.rstrip(b"\r\n")
    return text + b"," + _written([value]) + record[len(text) :]


def written_record(values: Sequence[str | bytes]) -> bytes:
    """Values as one record, quoted where that is needed."""
    return (
        _written([value if isinstance(value, str) else value.decode("utf-8", "surrogateescape") for value in values])
        + b"\n"
    )


def _written(values: Sequence[str]) -> bytes:
    stream = io.StringIO()
    csv.writer(stream).writerow(values)  # ends in \r\n, so that both are quoted inside a value
    return stream.getvalue().removesuffix("\r\n").encode("utf-8", "surrogateescape")


def _ends_inside(line: bytes, inside: bool) -> bool:
    """Whether quotes are open at the end of a line. They open at the beginning of a field and nowhere else."""
    place = 0
    if not inside and b'"' not in line:
        return False
    while True:
        if not inside and line[place : place + 1] == b'"':
            inside, place = True, place + 1
        if inside:
            closing = _CLOSING.match(line, place)
            if closing is None:
                return True
            inside, place = False, closing.end()
        place = line.find(b",", place) + 1
        if place == 0:
            return False
