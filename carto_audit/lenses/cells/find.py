"""Finding: every record of a text, whatever it is written in. What one encoding has taken no other one reads."""

from carto_audit.lenses.cells.html_tables import find_html
from carto_audit.lenses.cells.json_tables import find_json
from carto_audit.lenses.cells.lined import find_lined, lines_of
from carto_audit.lenses.cells.record import Record, covered, overlaps
from carto_audit.lenses.cells.sentences import find_sentences


def find_records(text: str) -> list[Record]:
    """The rows of all tables in a text, in order of where they begin; objects that hold others come with them."""
    found = find_json(text)
    found += _beside(find_html(text), found)
    places = covered(found)
    found += find_lined(text, [line for line in lines_of(text) if not overlaps(places, *line)])
    for start, end in _gaps(covered(found), len(text)):
        found += find_sentences(text, start, end)
    return sorted(found, key=lambda record: (record.start, record.end))


def _beside(records: list[Record], others: list[Record]) -> list[Record]:
    places = covered(others)
    return [record for record in records if not overlaps(places, record.start, record.end)]


def _gaps(places: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """What lies between these places."""
    starts, ends = [0, *(end for _, end in places)], [*(start for start, _ in places), length]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if start < end]
