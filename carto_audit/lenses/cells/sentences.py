"""Sentences of one template: `The city is Leipzig. The account is 4711.`, or the same with commas between them."""

import re
from collections.abc import Iterator

from carto_audit.lenses.cells.record import Cell, Record, is_typed

_WORD = r"(?:[^\s.,;:!?()]|[.,:](?=[^\s])){1,60}+"
_SENTENCE = re.compile(
    r"(?:\b(?:The|the|Its|its|His|his|Her|her|Their|their|My|my|Our|our|And|and) )?"
    r"\b(?P<key>[A-Za-z_][\w/-]{0,30}+(?: [\w/-]{1,31}+){0,3}?) (?P<verb>is|are|was|were|equals) "
    rf"(?P<value>{_WORD}(?: {_WORD}){{0,5}}+)(?=[.,;]?(?:\s|$))"
)
_LEAST, _MOST_GAP = 3, 3


def find_sentences(text: str, start: int, end: int) -> list[Record]:
    """Records in this part of a text: at least three such sentences after one another, all with the same verb and parted
    alike, with different keys, of which one holds what prose seldom does."""
    found: list[Record] = []
    for cells, first in _runs(text, start, end):
        typed = any(is_typed(text[cell.start : cell.end]) for cell in cells)
        if len(cells) >= _LEAST and typed:
            found.append(Record(encoding="sentences", start=first, end=cells[-1].end, cells=tuple(cells)))
    return found


def _runs(text: str, start: int, end: int) -> Iterator[tuple[list[Cell], int]]:
    cells: list[Cell] = []
    first, template = start, ("", "")
    for match in _SENTENCE.finditer(text, start, end):
        cell = Cell(start=match.start("value"), end=match.end("value"), column=match["key"])
        between = text[cells[-1].end : match.start()][: _MOST_GAP + 1] if cells else ""
        alike = (between, match["verb"]) == template or (len(cells) == 1 and match["verb"] == template[1])
        if not cells or not alike or len(between) > _MOST_GAP or any(cell.column == other.column for other in cells):
            yield cells, first
            cells, first, between = [], match.start(), ""
        cells.append(cell)
        template = (between, match["verb"])
    yield cells, first
