"""JSON in a text: objects and arrays of arrays, wherever they begin, and also where what surrounds them was cut off.

One pass over the tokens finds where values stand, which a parser does not tell; the library's parser then decides whether what
was closed is JSON. What is nested deeper than MOST_DEPTH is not looked at, so that a text is parsed so many times at most.
"""

import json
import re
from dataclasses import dataclass, field

from carto_audit.lenses.cells.record import Cell, Record, is_typed, named

MOST_DEPTH = 8

_LEAST_MEMBERS, _LEAST_ALONE = 2, 3
_OPENING = re.compile(r"[{\[]")
_TOKEN = re.compile(
    r'[ \t\r\n]*+(?:(?P<string>"(?:[^"\\\x00-\x1f]|\\[^\x00-\x1f])*+")'
    r"|(?P<scalar>-?\d[\d.eE+-]{0,40}+|true|false|null)|(?P<sign>[{}\[\],:]))"
)


@dataclass(slots=True)
class _Open:
    """An object or array that is not closed yet: its cells so far, and the rows of an array of arrays."""

    start: int
    name: str
    is_object: bool
    key: str | None = None
    cells: list[Cell] = field(default_factory=list)
    rows: list[list[tuple[int, int]]] = field(default_factory=list)

    def column(self) -> str:
        return ".".join(part for part in (self.name, self.key) if part)


def find_json(text: str) -> list[Record]:
    """The objects of at least two plain members, and the rows of arrays of arrays."""
    found: list[Record] = []
    at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        at = _walk(text, opening.start(), found)
    return found


def _walk(text: str, start: int, found: list[Record]) -> int:
    """Reads tokens until the first bracket is closed, or what stands there is no token; returns where it stopped."""
    stack: list[_Open] = []
    at = start
    while (token := _TOKEN.match(text, at)) is not None:
        at = token.end()
        sign = token["sign"]
        if sign in ("{", "["):
            if len(stack) == MOST_DEPTH:
                return at
            parent = stack[-1].column() if stack else ""
            stack.append(_Open(start=at - 1, name=parent, is_object=sign == "{"))
        elif sign in ("}", "]"):
            closed = stack.pop()
            if closed.is_object != (sign == "}"):
                return at
            found += _closed(text, closed, at, stack)
            if not stack:
                return at
        elif sign == ",":
            stack[-1].key = None
        elif sign is None:
            _take(stack[-1], text, token)
    return max(at, start + 1)


def _take(inner: _Open, text: str, token: re.Match[str]) -> None:
    """A string is a key where an object has none yet, and a cell otherwise."""
    kind = "string" if token["string"] is not None else "scalar"
    quote = int(kind == "string")
    start, end = token.start(kind) + quote, token.end(kind) - quote
    if inner.is_object and inner.key is None:
        inner.key = text[start:end]
    else:
        inner.cells.append(Cell(start=start, end=end, column=inner.column()))


def _closed(text: str, closed: _Open, end: int, stack: list[_Open]) -> list[Record]:
    if closed.is_object:
        wanted = len(closed.cells) >= _LEAST_MEMBERS and _is_json(text[closed.start : end])
        return [_record(closed.start, end, tuple(closed.cells))] if wanted else []
    if closed.rows:
        return _rows(text, closed, end)
    places = [(cell.start, cell.end) for cell in closed.cells]
    if stack and stack[-1].is_object:
        stack[-1].cells += closed.cells
    elif stack:
        stack[-1].rows.append(places)
    elif (
        len(places) >= _LEAST_ALONE and text[: closed.start].isspace() | (closed.start == 0) and not text[end:].strip()
    ):
        return [_record(closed.start, end, named(places))] if _is_json(text[closed.start : end]) else []
    return []


def _rows(text: str, closed: _Open, end: int) -> list[Record]:
    """The rows of an array of arrays of one length, of which the first may name the columns."""
    rows = closed.rows
    if (
        len(rows) < 2
        or len(rows[0]) < 2
        or len({len(row) for row in rows}) > 1
        or not _is_json(text[closed.start : end])
    ):
        return []
    head = tuple(text[start:stop] for start, stop in rows[0])
    is_head = all(text[start - 1] == '"' and not is_typed(text[start:stop]) for start, stop in rows[0])
    return [_record(row[0][0], row[-1][1], named(row, head if is_head else ())) for row in rows[int(is_head) :]]


def _record(start: int, end: int, cells: tuple[Cell, ...]) -> Record:
    return Record(encoding="json", start=start, end=end, cells=cells)


def _is_json(written: str) -> bool:
    try:
        json.loads(written)
    except (ValueError, RecursionError):
        return False
    return True
