"""Rows of HTML tables in a text, with the names that the head of their table gives to columns.

Each row is parsed by itself and no longer than MOST_ROW characters, so that no text takes the parser long.
"""

import re
from html.parser import HTMLParser

from carto_audit.lenses.cells.record import Record, named, stripped

MOST_ROW = 4_000

_ROW = re.compile(r"<(tr|/?table)\b", re.IGNORECASE)
_END = re.compile(r"</tr\s{0,8}>", re.IGNORECASE)
_LEAST = 2


def find_html(text: str) -> list[Record]:
    """The rows of at least two cells."""
    found: list[Record] = []
    names: tuple[str, ...] = ()
    marks = list(_ROW.finditer(text))
    for k, mark in enumerate(marks):
        if mark[1].lower() != "tr":
            names = ()
            continue
        start = mark.start()
        most = min(marks[k + 1].start() if k + 1 < len(marks) else len(text), start + MOST_ROW)
        closing = _END.search(text, start, most)
        end = closing.end() if closing else most
        try:
            row = _Row(text[start:end])
        except AssertionError:  # what the library's parser raises on a declaration that is none
            continue
        places = [stripped(text, start + first, start + last) for first, last in row.cells]
        if row.is_head and places:
            names = tuple(text[first:last] for first, last in places)
        elif len(places) >= _LEAST:
            found.append(Record(encoding="html", start=start, end=end, cells=named(places, names)))
    return found


class _Row(HTMLParser):
    """The cells of one row: `cells` are the places of their texts, `is_head` whether all of them are heads."""

    def __init__(self, written: str) -> None:
        super().__init__(convert_charrefs=False)
        self.cells: list[tuple[int, int]] = []
        self.is_head = True
        self._inside = False
        self._starts = [0, *(k + 1 for k, letter in enumerate(written) if letter == "\n")]
        self.feed(written)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("td", "th"):
            at = self._place() + len(self.get_starttag_text() or "")
            self.cells.append((at, at))
            self.is_head = self.is_head and tag == "th"
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "tr"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        self._extend(len(data))

    def handle_entityref(self, name: str) -> None:
        self._extend(len(name) + 2)

    def handle_charref(self, name: str) -> None:
        self._extend(len(name) + 3)

    def _extend(self, length: int) -> None:
        if self._inside:
            start, end = self.cells[-1]
            place = self._place()
            self.cells[-1] = (place if start == end else start, place + length)

    def _place(self) -> int:
        line, column = self.getpos()
        return self._starts[line - 1] + column
