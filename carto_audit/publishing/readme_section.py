"""One section and one key of a README: both are put in or renewed as text, so that every other byte stays as it is."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from carto_audit.runtime.errors import UsageError

KEY = "carto_audit"
"""Ours in the front matter; no other key is touched."""

BEGIN, END = "<!-- carto-audit:begin -->", "<!-- carto-audit:end -->"
"""What stands between belongs to this program. A marker counts where it stands alone on its line."""

MOST_NESTED = 100
"""Lists and mappings inside each other in a front matter."""

_BREAK = re.compile(r"\r\n|\n|\r")
_OPENING = re.compile(r"\s*---(?:\r\n|\n|\r)")
_CLOSING = re.compile(r"(?<=[\r\n])---[ \t]*(?:\r\n|\n|\r|\Z)")
_MARKER = re.compile(rf"(?:\A|(?<=[\r\n])) {{0,3}}({re.escape(BEGIN)}|{re.escape(END)})[ \t]*(?=[\r\n]|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One key of the front matter: where it starts, and what its value is as YAML sees it."""

    key: str
    start: int
    value: tuple[tuple[Any, ...], ...]


def splice(text: str, section: str, entry: Mapping[str, str | int | bool | None], name: str) -> str:
    """The README `text` with this section between its markers and this entry in its front matter, each renewed or new.

    The text's own line breaks and its byte order mark stay. `name` is what errors call the file; UsageError in one line
    for markers or front matter in which nothing can be put without harm.
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    bare = text.removeprefix(mark)
    found = _BREAK.search(bare)
    newline = found[0] if found else "\n"
    front, body = _split(bare, name)
    lines = "".join(f"  {key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in entry.items())
    block = f"{KEY}:\n{lines}"
    renewed = _with_section(front, body, section.strip("\n"), newline, name)
    return mark + _with_entry(front, block, newline, name) + renewed


def _split(text: str, name: str) -> tuple[str, str]:
    """The front matter with both its lines of dashes, or nothing, and all that follows."""
    opening = _OPENING.match(text)
    if opening is None:
        return "", text
    closing = _CLOSING.search(text, opening.end())
    if closing is None:
        raise UsageError(f"{name}: the front matter is opened by --- and never closed; close it with a line of ---")
    return text[: closing.end()], text[closing.end() :]


def _parts(front: str) -> tuple[str, str, str]:
    """The opening line of a front matter, its keys, and its closing line."""
    start, end = _line_end(front, front.index("---")), front.rindex("---")
    return front[:start], front[start:end], front[end:]


def _with_entry(front: str, block: str, newline: str, name: str) -> str:
    """The front matter with our block of lines in the place of an earlier one, or as its last key."""
    if not front:
        return f"---\n{block}---\n\n".replace("\n", newline)
    head, inner, tail = _parts(front)
    entries = _entries(inner, name)
    ours = [entry for entry in entries if entry.key == KEY]
    if len(ours) > 1:
        raise UsageError(f"{name}: the front matter holds {KEY} {len(ours)} times; delete all but one")
    start, end = _lines_of(inner, ours[0].start, name) if ours else (len(inner), len(inner))
    margin = " " * _column(inner, entries[0].start, name) if entries else ""
    lines = "".join(f"{margin}{line}{newline}" for line in block.splitlines())
    renewed = inner[:start] + lines + inner[end:]
    _check_others(entries, renewed, name)
    return head + renewed + tail


def _entries(inner: str, name: str) -> list[_Entry]:
    """The keys of a front matter in order, read as events: no value is built, so none can be too large to build."""
    try:
        events = _events(inner, name)
    except YAMLError as error:
        spot = getattr(error, "problem_mark", None)
        line = f" in line {spot.line + 2}" if spot is not None else ""
        raise UsageError(f"{name}: the front matter is no valid YAML{line}; mend it first") from error
    body = events[2:-2]  # between the starts and the ends of stream and document
    if len(events) > 2 and not (
        isinstance(body[0], MappingStartEvent) and not body[0].flow_style and isinstance(body[-1], MappingEndEvent)
    ):
        raise UsageError(f"{name}: the front matter is no list of keys, a line each; write it so first")
    found, rest = [], body[1:-1]
    while rest:
        key, rest = _node(rest)
        value, rest = _node(rest)
        words = str(key[0].value) if isinstance(key[0], ScalarEvent) else ""
        found.append(_Entry(key=words, start=key[0].start_mark.index, value=tuple(map(_seen, (*key, *value)))))
    return found


def _events(inner: str, name: str) -> list[Event]:
    """All events; nesting that no card has ends the reading, since its cost grows faster than its length."""
    found: list[Event] = []
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(inner):
        found.append(event)
        depth += isinstance(event, MappingStartEvent | SequenceStartEvent)
        depth -= isinstance(event, MappingEndEvent | SequenceEndEvent)
        if depth > MOST_NESTED:
            raise UsageError(f"{name}: the front matter is nested more than {MOST_NESTED} deep; mend it first")
    return found


def _node(events: list[Event]) -> tuple[list[Event], list[Event]]:
    """The events of the first node, and those after it."""
    depth = 0
    for place, event in enumerate(events, 1):
        if isinstance(event, MappingEndEvent | SequenceEndEvent):
            depth -= 1
        elif not isinstance(event, ScalarEvent | AliasEvent):
            depth += 1
        if not depth:
            return events[:place], events[place:]
    return events, []


def _seen(event: Event) -> tuple[Any, ...]:
    """What an event says, wherever it stands."""
    return (type(event), *(str(getattr(event, part, None)) for part in ("anchor", "tag", "value", "style")))


def _column(inner: str, start: int, name: str) -> int:
    """How far a key is indented; it must be the first thing on its line."""
    line = max(inner.rfind("\n", 0, start), inner.rfind("\r", 0, start)) + 1
    if inner[line:start].strip(" "):
        raise UsageError(f"{name}: a key of the front matter does not start its line; write a line for each key")
    return start - line


def _lines_of(inner: str, start: int, name: str) -> tuple[int, int]:
    """From where to where the lines of one key reach: its own, and those indented below it."""
    column = _column(inner, start, name)
    first = start - column
    end = at = _line_end(inner, first)
    while at < len(inner):
        line = inner[at : _line_end(inner, at)]
        at += len(line)
        if line.strip() and len(line) - len(line.lstrip(" ")) <= column:
            break
        if line.strip():
            end = at
    return first, end


def _line_end(text: str, at: int) -> int:
    """Where the line that holds this place ends, its break included."""
    found = _BREAK.search(text, at)
    return found.end() if found else len(text)


def _check_others(before: list[_Entry], renewed: str, name: str) -> None:
    """Every other key means what it meant, and ours is there once."""
    try:
        after = _entries(renewed, name)
    except UsageError:
        after = []
    old, new = ([(e.key, e.value) for e in entries if e.key != KEY] for entries in (before, after))
    named = any(
        seen[1] != "None" for entry in before if entry.key == KEY for seen in entry.value
    )  # others may refer to it
    if named or old != new or len(after) != len(old) + 1:
        raise UsageError(
            f"{name}: {KEY} cannot be put in without harm to the rest of the front matter; delete it first"
        )


def _with_section(front: str, body: str, section: str, newline: str, name: str) -> str:
    """The body with the section between its markers, or below all that is there."""
    whole = f"{BEGIN}\n\n{section}\n\n{END}".replace("\n", newline)
    marks = list(_MARKER.finditer(body))
    if not marks:
        above = front + body
        ends = not above or above[-1] in "\r\n"
        gap = "" if not above else newline if ends else 2 * newline
        return body + gap + whole + (newline if ends else "")
    if [mark[1] for mark in marks] != [BEGIN, END]:
        spots = [_line_number(front + body, len(front) + mark.start(1)) for mark in marks]
        many = "line" if len(spots) == 1 else "lines"
        rule = f"leave one {BEGIN} and below it one {END}, or neither"
        raise UsageError(f"{name}: broken markers in {many} {', '.join(map(str, spots[:6]))}; {rule}")
    begin, end = marks
    return body[: begin.start(1)] + whole + body[end.end(1) :]


def _line_number(text: str, at: int) -> int:
    return 1 + len(_BREAK.findall(text, 0, at))
