"""Tables whose rows are lines: Markdown, CSV, lines of a key and its value, one value a line.

Every line is first told what it could be, and runs of lines of one kind are then taken or not as a whole: one pass for each kind.
"""

import csv
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import groupby

from carto_audit.lenses.cells.record import Cell, Encoding, Record, is_typed, named, numbered, stripped

Line = tuple[int, int]
"""A line from character to character, without its end."""

Kind = Callable[[str], Hashable | None]
Read = Callable[[str, Sequence[Line]], list[Record]]

MOST_LINE = 2_000
"""Characters of a line that may be one of a table."""

_LINE = re.compile(r"[^\r\n]++")
_PIPE = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"\s{0,8}\|?(?:\s{0,8}:?-{2,40}:?\s{0,8}\|){1,64}(?:\s{0,8}:?-{2,40}:?\s{0,8})?")
_PAIR = re.compile(
    r"[ \t]{0,8}(?:[-*+] )?(?P<key>[A-Za-z_][\w./()#&-]{0,30}(?: [\w./()#&-]{1,31}){0,3}) ?: {1,4}(?P<value>\S.{0,160})"
)
_BETWEEN = re.compile(r" ?[|;] |, (?=[A-Za-z_][\w ./-]{0,39}: )")
_NO_VALUE = re.compile(r"[.:,;({\[\\]$|\w\(| = |=>|->|[{}]")
_NO_LINE = re.compile(r"[.,:;!?({\[\\>]$|\w\(|[={}<>|\"`;*\\]|^\W*$|^(?:#|-|>|\d{1,3}[.)] )|^\w+: ")
_NO_FIELD = re.compile(r"\w\(|[={}<>]|[\[\]]")
_MOST_WORDS, _LEAST_PAIRS, _LEAST_LINES, _LEAST_FIELDS, _LEAST_ALONE = 8, 3, 4, 3, 4
_MOST_VALUE, _MOST_VALUE_LINE, _VALUE_WORDS = 100, 60, 4
_ENDS = ".!?:'\""
_BREAKS = ("\n", "\r\n", "\r")
_DELIMITERS = ",;\t"


def lines_of(text: str) -> list[Line]:
    """The lines of a text that are not empty."""
    return [found.span() for found in _LINE.finditer(text)]


def find_lined(text: str, lines: Sequence[Line]) -> list[Record]:
    """The rows of tables in these lines, which are in order; what one kind of table takes no other one does."""
    kinds: tuple[tuple[Kind, Read], ...] = (
        (_pipes, _markdown),
        (_pair, _pairs),
        (_in_one_line, _inline),
        (_fields, _csv),
        (_value, _values),
    )
    found: list[Record] = []
    for kind, read in kinds:
        taken: set[Line] = set()
        for run in _runs(text, lines, kind):
            records = read(text, run)
            found += records
            taken |= set(run) if records else set()
        lines = [line for line in lines if line not in taken]
    return found


def _runs(text: str, lines: Sequence[Line], kind: Kind) -> Iterator[list[Line]]:
    """Neighbouring lines of one kind; a line that is gone or of no kind parts them."""

    def known(line: Line) -> Hashable | None:
        return kind(text[slice(*line)]) if line[1] - line[0] <= MOST_LINE else None

    for wanted, group in groupby(lines, known):
        run = list(group)
        if wanted is None:
            continue
        first = 0
        for k in range(1, len(run) + 1):
            if k == len(run) or text[run[k - 1][1] : run[k][0]] not in _BREAKS:
                yield run[first:k]
                first = k


def _record(encoding: Encoding, line: Line, cells: tuple[Cell, ...], last: Line | None = None) -> Record:
    return Record(encoding=encoding, start=line[0], end=(last or line)[1], cells=cells)


# Markdown


def _pipes(line: str) -> Hashable | None:
    """How many cells stand between pipes."""
    cut = line.strip()
    inner = len(_PIPE.findall(cut)) - cut.startswith("|") - (cut.endswith("|") and not cut.endswith("\\|"))
    return inner + 1 if inner >= 1 else None


def _markdown(text: str, run: Sequence[Line]) -> list[Record]:
    rules = [k for k, line in enumerate(run) if _RULE.fullmatch(text[slice(*line)])]
    rows = [_between_pipes(text, line) for line in run]
    if not rules:
        framed = all(text[slice(*line)].strip()[:: len(text[slice(*line)].strip()) - 1] == "||" for line in run)
        wanted = framed and len(rows[0]) >= 3
        return [_record("markdown", line, named(row)) for line, row in zip(run, rows, strict=True)] if wanted else []
    head = rules[0] - 1
    names = tuple(text[start:end] for start, end in rows[head]) if head >= 0 else ()
    chosen = [k for k in range(len(run)) if k not in rules and k != head]
    return [_record("markdown", run[k], named(rows[k], names)) for k in chosen]


def _between_pipes(text: str, line: Line) -> list[tuple[int, int]]:
    start, end = stripped(text, *line)
    cuts = [start + found.start() for found in _PIPE.finditer(text[start:end])]
    first = start + 1 if cuts and cuts[0] == start else start
    last = end - 1 if cuts and cuts[-1] == end - 1 else end
    inner = [cut for cut in cuts if first <= cut < last]
    return [stripped(text, a, b) for a, b in zip([first, *(cut + 1 for cut in inner)], [*inner, last], strict=True)]


# A key and its value


def _pair(line: str) -> Hashable | None:
    found = _PAIR.fullmatch(line.rstrip())
    return "pair" if found and _is_value(found["value"]) else None


def _is_value(value: str) -> bool:
    return len(value) <= _MOST_VALUE and len(value.split()) <= _MOST_WORDS and not _NO_VALUE.search(value)


def _pairs(text: str, run: Sequence[Line]) -> list[Record]:
    """A key that stands there again begins another record."""
    records: list[Record] = []
    cells: list[Cell] = []
    first = 0
    for k in range(len(run) + 1):
        cell = _cell_of(text, run[k]) if k < len(run) else None
        if cell is None or any(cell.column == other.column for other in cells):
            records += _if_told(text, "key_value", run[first], run[k - 1], cells) if k else []
            cells, first = [], k
        if cell is not None:
            cells.append(cell)
    return records


def _cell_of(text: str, part: Line) -> Cell | None:
    start, end = stripped(text, *part)
    found = _PAIR.fullmatch(text[start:end])
    if found is None:
        return None
    return Cell(start=start + found.start("value"), end=start + found.end("value"), column=found["key"])


def _if_told(text: str, encoding: Encoding, first: Line, last: Line, cells: Sequence[Cell]) -> list[Record]:
    """A record of at least three pairs of which one holds what prose seldom does."""
    told = len(cells) >= _LEAST_PAIRS and any(is_typed(text[cell.start : cell.end]) for cell in cells)
    return [_record(encoding, first, tuple(cells), last)] if told else []


def _in_one_line(line: str) -> Hashable | None:
    return line if len(_BETWEEN.findall(line)) >= _LEAST_PAIRS - 1 else None


def _inline(text: str, run: Sequence[Line]) -> list[Record]:
    """`name: Ana | born: 1984` on one line."""
    found: list[Record] = []
    for start, end in run:
        cuts = [(start + cut.start(), start + cut.end()) for cut in _BETWEEN.finditer(text[start:end])]
        parts = zip([start, *(cut[1] for cut in cuts)], [*(cut[0] for cut in cuts), end], strict=True)
        cells = [_cell_of(text, part) for part in parts]
        known = [cell for cell in cells if cell is not None and len(text[cell.start : cell.end].split()) <= _MOST_WORDS]
        if len(known) == len(cells) == len({cell.column for cell in known}):
            found += _if_told(text, "key_value", (start, end), (start, end), known)
    return found


# CSV


def _fields(line: str) -> Hashable | None:
    """The delimiter that most fields stand between, and how many fields."""
    counts = [(len(_split(line, delimiter)), delimiter) for delimiter in _DELIMITERS if delimiter in line]
    most, delimiter = max(counts, default=(0, ""))
    if most < _LEAST_FIELDS or _NO_FIELD.search(line) or line.count(delimiter + " ") * 2 >= most:
        return None
    return most, delimiter


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _csv(text: str, run: Sequence[Line]) -> list[Record]:
    """Lines of equally many fields; one alone, if it has four of which half hold what prose seldom does."""
    first = text[slice(*run[0])]
    delimiter = max(_DELIMITERS, key=lambda one: len(_split(first, one)) if one in first else 0)
    rows = [_places(text, line, delimiter) for line in run]
    if sum(len(text[slice(*line)].split()) for line in run) > _VALUE_WORDS * sum(map(len, rows)):
        return []
    typed = [[is_typed(text[start:end]) for start, end in row] for row in rows]
    is_head = len(run) > 1 and not any(typed[0]) and any(typed[1])
    names = tuple(text[start:end] for start, end in rows[0]) if is_head else ()
    body, marks = rows[int(is_head) :], [mark for row in typed[int(is_head) :] for mark in row]
    least = 1 / 3 if len(run) > 1 else 1 / 2
    if sum(marks) < least * len(marks) or (len(run) == 1 and not _alone(text, rows[0])):
        return []
    return [_record("csv", line, named(row, names)) for line, row in zip(run[int(is_head) :], body, strict=True)]


def _alone(text: str, fields: Sequence[Line]) -> bool:
    """Whether these are the fields of a table without a second line to tell: enough of them, short, and no end of a sentence."""
    words = max(len(text[start:end].split()) for start, end in fields)
    return len(fields) >= _LEAST_ALONE and words <= _VALUE_WORDS and text[fields[-1][1] - 1] not in _ENDS


def _places(text: str, line: Line, delimiter: str) -> list[tuple[int, int]]:
    """Where the fields stand that the library's parser reads, their quotes left out."""
    at, places = line[0], []
    for field in _split(text[slice(*line)], delimiter):
        quoted = text[at : at + 1] == '"'
        start = at + quoted
        end = min(line[1], start + len(field.replace('"', '""') if quoted else field))
        places.append(stripped(text, start, end))
        at = min(line[1], end + quoted + 1)
    return places


# One value a line


def _value(line: str) -> Hashable | None:
    cut = line.strip()
    few = 0 < len(cut) <= _MOST_VALUE_LINE and len(cut.split()) <= _VALUE_WORDS
    return "value" if few and not _NO_LINE.search(cut) else None


def _values(text: str, run: Sequence[Line]) -> list[Record]:
    """At least four short lines without marks of sentences, half of which hold what prose seldom does, in more than one shape."""
    places = [stripped(text, *line) for line in run]
    shapes = [_shape(text[start:end]) for start, end in places]
    if (
        len(run) < _LEAST_LINES
        or 2 * sum(map(is_typed, (text[a:b] for a, b in places))) < len(run)
        or len(set(shapes)) < 3
    ):
        return []
    cells = tuple(Cell(start=a, end=b, column=numbered(k)) for k, (a, b) in enumerate(places))
    return [_record("lines", run[0], cells, run[-1])]


def _shape(value: str) -> str:
    """Letters as `a`, digits as `0`, runs as one of them."""
    kinds = "".join("0" if c.isdigit() else "a" if c.isalpha() else c for c in value)
    return re.sub(r"(.)\1+", r"\1", kinds)
