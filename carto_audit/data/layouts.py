"""Layouts: in which columns of a delivery a sample's text lies, and how it is written as one text."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from carto_audit.data.formats.json_values import RepeatedKeys
from carto_audit.data.formats.turns import Row, strings, turns_of, written
from carto_audit.runtime.errors import UsageError, option
from carto_audit.text.untrusted import safe_inline

BETWEEN = "\n\n"
"""What stands between two parts of a sample's text."""

LEAST_REPEATED = 64
"""Characters of a column beside a conversation that is left out where it stands in that already, as its prompt does. What a
conversation itself repeats, and what several columns of another layout say alike, is read as often as it stands there."""

FEWEST_WORDS, FEWEST_BYTES = 3, 16
"""Of a column's values, in the middle and on average: what has less is a label, such as an id, a source or a language."""

TEXT_COLUMNS = ("text", "content", "body", "document", "raw_content", "passage", "sentence", "completion")
"""Names under which vendors deliver plain text, in the order in which they are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of a sample's text, characters [start, end): `name` says where it comes from, as `prompt` or `user turn 3`;
    `learned` whether trainers take a loss on it."""

    name: str
    column: str
    start: int
    end: int
    learned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """`columns` are read in this order, a dotted name for what lies inside an object; on `learned` ones trainers take a loss.
    `name` is that of a known layout, `text` for one column of strings, or `columns` for any others."""

    name: str
    columns: tuple[str, ...]
    learned: frozenset[str]

    @property
    def is_plain(self) -> bool:
        """Whether a sample's text is one column's string, byte for byte."""
        return self.name == "text"

    @property
    def title(self) -> str:
        """What is read: `prompt + completion`."""
        return " + ".join(self.columns)

    def sources(self, names: Collection[str]) -> tuple[str, ...]:
        """The columns that have to be read of a file that has these."""
        return tuple(dict.fromkeys(column if column in names else column.split(".")[0] for column in self.columns))

    def beside(self, row: Row) -> Iterator[tuple[str, object]]:
        """What lies in the objects that are read in part, and is not read itself, by dotted name."""
        for source in {column.split(".")[0] for column in self.columns if column not in row and "." in column}:
            for name, value in _leaves({source: row.get(source)}, ""):
                if not any(name == column or name.startswith(f"{column}.") for column in self.columns):
                    yield name, value

    def segments(self, row: Row) -> tuple[str, tuple[Segment, ...]]:
        """A row as one text, and its parts. A row with a key twice is the text as it was delivered, without parts."""
        if isinstance(row, RepeatedKeys):
            return row.written, ()
        text, parts, before = "", [], None
        for column in self.columns:
            if self.name == "preference" and column == "prompt" and _begins(row, column, "chosen"):
                continue
            value, earlier = _inside(row, column), text if self.name == "chat" else ""
            for name, said, learned in _said(value, before, column, column in self.learned):
                if len(said) >= LEAST_REPEATED and said in earlier:
                    continue
                start = len(text) + len(BETWEEN) * bool(text)
                text = f"{text}{BETWEEN}{said}" if text else said
                parts.append(Segment(name=name, column=column, start=start, end=len(text), learned=learned))
            before = value if column == "chosen" else before
        return text, tuple(parts)


@dataclass(frozen=True, slots=True)
class _Known:
    """A layout by the names of its columns: one of each of `needs`, those of `may` that there are, in this order."""

    name: str
    may: tuple[str, ...]
    needs: tuple[tuple[str, ...], ...]
    learned: tuple[str, ...]

    def fit(self, columns: Sequence[str]) -> Layout | None:
        """The layout in a file of these columns, None where one is missing."""
        chosen = [next((name for name in names if name in columns), None) for names in self.needs]
        if None in chosen:
            return None
        named = [name for name in (*self.may, *filter(None, chosen)) if name in columns]
        return Layout(name=self.name, columns=tuple(dict.fromkeys(named)), learned=frozenset(self.learned))


_KNOWN = (
    _Known(
        "preference",
        ("system", "prompt", "question", "instruction", "input"),
        (("chosen",), ("rejected",)),
        ("chosen", "rejected"),
    ),
    _Known("prompt_completion", ("system",), (("prompt",), ("completion", "response")), ("completion", "response")),
    _Known(
        "instruction",
        ("system", "history"),
        (("instruction",), ("input", "context", "instruction"), ("output", "response")),
        ("output", "response"),
    ),
    _Known(
        "question_answer",
        ("system", "context", "passage"),
        (("question", "query"), ("answer", "answers", "answers.text", "response")),
        ("answer", "answers", "answers.text", "response"),
    ),
)
_TURN_COLUMNS = ("messages", "conversations", "conversation", "dialogue", "dialog", "chat")
LAYOUT_NAMES = ("text", "columns", "chat", *(known.name for known in _KNOWN))


def place(segments: Sequence[Segment], start: int, end: int) -> str:
    """Where characters [start, end) of a text stand: `user turn 3`, `prompt to completion`; empty where nothing says."""
    names = [part.name for part in segments if part.start < end and start < part.end]
    return " to ".join(dict.fromkeys((names[0], names[-1]))) if names else ""


def plain(column: str) -> Layout:
    """One column of strings."""
    return Layout(name="text", columns=(column,), learned=frozenset((column,)))


def of_columns(columns: Sequence[str]) -> Layout:
    """Some columns, one after the other."""
    return Layout(name="columns", columns=tuple(columns), learned=frozenset(columns))


def find_layout(where: str, rows: Sequence[Row], name: str | None = None) -> Layout:
    """The layout that some rows of a delivery have, or the one of this name. `where` names their file in errors.

    A layout is found by the names of its columns; columns of prose that it does not know are read after its own. Raises
    UsageError where none fits or two do, with the way out.
    """
    columns = _columns(rows)
    fitting = _fitting(columns)
    if name is not None:
        return _named(where, name, fitting, columns)
    prose = [column for column, kind in columns.items() if kind in ("turns", "prose", "spread")]
    fitting = [one for one in fitting if not any(set(one.columns) < set(other.columns) for other in fitting)]
    if not fitting:
        return _without_name(where, columns, prose)
    rest = [column for column in prose if column not in fitting[0].columns]
    rivals = [column for column in rest if columns[column] == "turns" or column in TEXT_COLUMNS[:1]]
    if len(fitting) > 1 or rivals:
        known = [f"{one.name} ({one.title})" for one in fitting] + [f"columns ({column})" for column in rivals]
        raise UsageError(
            f"{where}: more than one layout fits: {safe_inline(', '.join(known), 200)}; choose with {option('layout')}, or "
            f"name the columns with {option('text_column')}"
        )
    return replace(fitting[0], columns=(*fitting[0].columns, *rest))


def _named(where: str, name: str, fitting: Sequence[Layout], columns: Mapping[str, str]) -> Layout:
    if name == "text":
        return plain(_only_text(where, columns))
    if name == "columns":
        read = [column for column, kind in columns.items() if kind != "other"]
        return of_columns(read or [_only_text(where, columns)])
    found = next((one for one in fitting if one.name == name), None)
    if found is None:
        raise UsageError(f"{where}: it has no columns of the layout {name}; it has: {listed(columns)}")
    return found


def _fitting(columns: Mapping[str, str]) -> list[Layout]:
    """Every known layout of these columns."""
    turns = next((column for column in _TURN_COLUMNS if columns.get(column) == "turns"), None)
    chat = (
        [Layout(name="chat", columns=(*(("system",) if "system" in columns else ()), turns), learned=frozenset())]
        if turns
        else []
    )
    return chat + [found for known in _KNOWN if (found := known.fit(list(columns)))]


def _without_name(where: str, columns: Mapping[str, str], prose: Sequence[str]) -> Layout:
    """One column of text, or all that hold prose."""
    named = [column for column in TEXT_COLUMNS if columns.get(column) in ("prose", "label")]
    read = [column for column in columns if column in {*prose, *named[:1]}]
    if not read:
        return plain(_only_text(where, columns))
    strings_alone = len(read) == 1 and columns[read[0]] in ("prose", "label") and "." not in read[0]
    return plain(read[0]) if strings_alone else of_columns(read)


def _only_text(where: str, columns: Mapping[str, str]) -> str:
    """The one column of strings, where nothing else could hold the text."""
    texts = [column for column, kind in columns.items() if kind in ("prose", "label")]
    named = [column for column in TEXT_COLUMNS if column in texts]
    if named or (len(texts) == 1 and "." not in texts[0]):
        return (named or texts)[0]
    raise UsageError(f"{where}: no text column found; name one with {option('text_column')}; it has: {listed(columns)}")


def listed(columns: Mapping[str, object]) -> str:
    """The first columns by name, for an error."""
    return ", ".join(safe_inline(column, 40) for column in list(columns)[:12])


def _columns(rows: Sequence[Row]) -> dict[str, str]:
    """Every column, and what it holds: turns; prose, or prose spread over lists; labels, or others. What lies in an object has
    a dotted name."""
    values: dict[str, list[object]] = {}
    for row in rows:
        for column, value in _leaves(row, ""):
            values.setdefault(column, []).append(value)
    return {column: _kind(found) for column, found in values.items()}


def _leaves(row: Row, inside: str) -> Iterator[tuple[str, object]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{inside}{name}.")
        else:
            yield f"{inside}{name}", value


def _kind(values: Sequence[object]) -> str:
    known = [value for value in values if value is not None]
    if any(turns_of(value) is not None for value in known):
        return "turns"
    said = [" ".join(strings(value)) for value in known]
    spoken = [text for text in said if text]
    only_strings = all(isinstance(value, str) for value in known)
    if not spoken:
        return "label" if only_strings else "other"
    words, length = median(len(text.split()) for text in spoken), sum(map(len, spoken)) / len(spoken)
    if words >= FEWEST_WORDS and length >= FEWEST_BYTES:
        return "prose" if only_strings else "spread"
    return "label" if only_strings else "other"


def _inside(row: Row, column: str) -> object:
    """What a dotted name leads to; a name with dots of its own comes first."""
    value: object = row
    for name in [column] if column in row else column.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _begins(row: Row, column: str, conversation: str) -> bool:
    """Whether a conversation says what stands in a column, as the first of its turns or as several."""
    value, turns = row.get(column), turns_of(row.get(conversation)) or []
    first = turns_of(value)
    if first is not None:
        return turns[: len(first)] == first
    said = BETWEEN.join(strings(value)).strip()
    return bool(said) and said in [turn.said.strip() for turn in turns if not turn.learned][:2]


def _said(value: object, before: object, column: str, learned: bool) -> Iterator[tuple[str, str, bool]]:
    """The parts of a value that say something, by name, and whether trainers learn them. A conversation that begins like the one
    `before` it, as pairs of answers do, is read from where it differs."""
    turns = turns_of(value)
    if turns is None:
        said = BETWEEN.join(strings(value))
        if said:
            yield column, said, learned
        return
    known = turns_of(before) or []
    same = next((k for k, (a, b) in enumerate(zip(turns, known, strict=False)) if a != b), min(len(turns), len(known)))
    for number, turn in enumerate(turns[same:], same + 1):
        yield f"{turn.role} turn {number}", written(turn), turn.learned
