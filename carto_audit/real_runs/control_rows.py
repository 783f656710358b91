"""Control rows: a secret written into a row as the delivery's own rows are made, in the part that trainers learn."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carto_audit.controls.run_secrets import Copy
from carto_audit.data.columns import LONGEST_LABEL
from carto_audit.data.formats.turns import CALLS, TURN_KEYS, Row, Turn, strings, turns_of
from carto_audit.data.layouts import Layout, Segment

ASKED_COLUMNS = ("prompt", "question", "query", "instruction")
"""Where a request stands beside what is learned."""

LONGEST_SYSTEM = 480
"""Bytes of an instruction to the system that several rows share, and that control rows then have too."""

_SYSTEM = ("system", "developer")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRow:
    """A row with a copy of a secret: `values` of the columns that are read, the `text` that they are read as, its `segments`, and
    where in it the secret and its free part begin and end."""

    values: dict[str, Any]
    text: str
    segments: tuple[Segment, ...]
    start: int
    end: int
    free_start: int
    free_end: int
    edited: bool

    @property
    def learned(self) -> bool:
        """Whether trainers take a loss on all of the secret."""
        return any(part.learned and part.start <= self.start and self.end <= part.end for part in self.segments)


def learned_column(layout: Layout, rows: Sequence[Row]) -> str:
    """The column into which secrets go: the conversation, the first that trainers learn, or of any others the longest."""
    if layout.name == "chat":
        return next(name for name in layout.columns if name != "system")
    if layout.name == "columns":
        said = {name: sum(len(" ".join(strings(_inside(row, name)))) for row in rows) for name in layout.columns}
        return max(said, key=lambda name: said[name])
    return next((name for name in layout.columns if name in layout.learned), layout.columns[0])


def shared_systems(layout: Layout, rows: Sequence[Row]) -> frozenset[str]:
    """What stands in the column `system` of more than one row."""
    if "system" not in layout.columns:
        return frozenset()
    said = [value for row in rows if isinstance(value := row.get("system"), str)]
    return frozenset(
        one for one in said if said.count(one) > 1 and len(one.encode("utf-8", "replace")) <= LONGEST_SYSTEM
    )


def control_row(
    layout: Layout,
    donor: Row,
    secret: Copy,
    *,
    column: str,
    asked: str,
    other: str,
    systems: frozenset[str] = frozenset(),
) -> ControlRow | None:
    """A row of the make of `donor`, with nothing of what it says: the copy stands in the `column`, `asked` in its prompt if it
    has one, `other` in the answer that is rejected. None where a row of that make cannot hold the copy as it is."""
    values = {name: _beside(value, name, layout.columns) for name, value in donor.items()}
    prompts = [name for name in layout.columns if name in ASKED_COLUMNS and name != column]
    for name in layout.columns:
        value = _inside(donor, name)
        if name == column:
            _put(values, name, _answer(value, secret.text, asked))
        elif layout.name == "preference" and name == "rejected":
            _put(values, name, _answer(value, other, asked))
        elif prompts[:1] == [name]:
            _put(values, name, _request(value, asked))
        elif not (name == "system" and value in systems):
            _put(values, name, emptied(value))
    text, segments = layout.segments(values)
    found = text.find(secret.text)
    if found < 0 or text.count(secret.text) > 1:
        return None
    return ControlRow(
        values=values,
        text=text,
        segments=segments if not layout.is_plain else (),
        start=found + secret.start,
        end=found + secret.end,
        free_start=found + secret.free_start,
        free_end=found + secret.free_end,
        edited=secret.edited,
    )


def _beside(value: Any, place: str, columns: Sequence[str]) -> Any:
    """What lies in an object that is read in part: labels and numbers as they are, text that is not read emptied."""
    if isinstance(value, Mapping):
        return {name: _beside(item, f"{place}.{name}", columns) for name, item in value.items()}
    is_long = isinstance(value, str) and len(value.encode("utf-8", "replace")) > LONGEST_LABEL
    is_text = is_long or (not isinstance(value, str) and bool(strings(value)))
    return emptied(value) if is_text and place not in columns else value


def emptied(value: Any) -> Any:
    """A value of the same make that says nothing."""
    if isinstance(value, str):
        return "[]" if turns_of(value) is not None else ""
    if isinstance(value, Mapping):
        return {name: emptied(item) for name, item in value.items()}
    return [] if isinstance(value, list) else value


def _answer(value: Any, said: str, asked: str) -> Any:
    """A value of the same make that says something: of a conversation the answer, after the request if it has one."""
    turns = turns_of(value)
    return _saying(value, said) if turns is None else _conversation(value, turns, said, asked)


def _request(value: Any, asked: str) -> Any:
    turns = turns_of(value)
    return _saying(value, asked) if turns is None else _conversation(value, turns, "", asked)


def _conversation(value: Any, turns: Sequence[Turn], said: str, asked: str) -> Any:
    """Turns of the same make: those of a system and of tools are left out."""
    delivered = json.loads(value) if isinstance(value, str) else value
    who, what = next(
        keys for keys in TURN_KEYS if all(keys[0] in t for t in delivered) and any(keys[1] in t for t in delivered)
    )
    asking = [k for k, turn in enumerate(turns) if not turn.learned and turn.role.casefold() not in (*_SYSTEM, "tool")]
    saying = [k for k, turn in enumerate(turns) if turn.learned] or [
        k for k in range(len(turns)) if k not in asking[:1]
    ]
    saying = sorted(saying or [len(turns) - 1], key=lambda k: bool(turns[k].calls))
    made = [_turn(delivered[asking[0]], who, what, asked)] if asked and asking and asking[0] != saying[0] else []
    made += [_turn(delivered[saying[0]], who, what, said)] if said else []
    if asked and not said and not made:
        made = [_turn(delivered[0], who, what, asked)]
    return json.dumps(made, ensure_ascii=False) if isinstance(value, str) else made


def _turn(delivered: Row, who: str, what: str, said: str) -> dict[str, Any]:
    """A turn of the same make, without what else is said in it."""
    kept = {
        name: value for name, value in delivered.items() if isinstance(value, bool | int | float) and name not in CALLS
    }
    return {who: delivered[who], what: _saying(delivered.get(what), said), **kept}


def _saying(value: Any, said: str) -> Any:
    """A value of the same make that says one thing alone: in the first of its parts that holds text."""
    if isinstance(value, Mapping):
        parts = {name: item for name, item in value.items() if name != "type"}
        place = next((name for name, item in parts.items() if strings(item)), next(iter(parts), None))
        labels = {name: item for name, item in value.items() if name == "type"}
        return {
            **labels,
            **{name: _saying(item, said) if name == place else emptied(item) for name, item in parts.items()},
        }
    if isinstance(value, list):
        return [_saying(next((item for item in value if strings(item)), ""), said)]
    return said


def _inside(row: Row, column: str) -> Any:
    """What a dotted name leads to; a name with dots of its own comes first."""
    value: Any = row
    for name in [column] if column in row else column.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _put(row: dict[str, Any], column: str, value: Any) -> None:
    """Sets what a dotted name leads to, where it leads anywhere."""
    names = [column] if column in row or "." not in column else column.split(".")
    inside: Any = row
    for name in names[:-1]:
        inside = inside.get(name) if isinstance(inside, dict) else None
    if isinstance(inside, dict):
        inside[names[-1]] = value
