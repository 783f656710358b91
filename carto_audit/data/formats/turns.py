"""Turns: conversations as trainers deliver them, who speaks and what is said."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

TURN_KEYS = (("role", "content"), ("from", "value"), ("role", "value"), ("speaker", "text"))
"""How a turn says who speaks and what."""

LEARNED_ROLES = frozenset(("assistant", "gpt", "model", "chatbot", "bot"))
"""Whose turns a trainer learns; the others are masked."""

CALLS = ("tool_calls", "function_call")

LONGEST_TYPE = 24
"""Characters of a name for a kind of part, such as `input_text`; whatever is longer, or several words, is read."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says; `calls` is the text of the tools that it calls, empty where it calls none."""

    role: str
    said: str
    calls: str

    @property
    def learned(self) -> bool:
        """Whether trainers take a loss on it."""
        return self.role.casefold() in LEARNED_ROLES


def turns_of(value: object) -> list[Turn] | None:
    """The turns of a conversation, also of one that is stored as JSON text; None for anything else."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            value = _once(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, list) or not value or not all(isinstance(turn, Mapping) for turn in value):
        return None
    for who, what in TURN_KEYS:
        if all(who in turn for turn in value) and any(what in turn for turn in value):
            return [_turn(turn, who, what) for turn in value]
    return None


def _once(text: str) -> object:
    """What a JSON text says. Raises ValueError where an object has a key twice: it is read as the text that it is."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key twice")
        return found

    return json.loads(text, object_pairs_hook=members)


def written(turn: Turn) -> str:
    """A turn as a line of its own: `user: …`."""
    return f"{turn.role}: {turn.said}{' ' if turn.said and turn.calls else ''}{turn.calls}"


def strings(value: object) -> list[str]:
    """All strings inside a value, in order, but not what kind of part of a message it is."""
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, bytes):
        return [value.decode("utf-8", "surrogateescape")] if value else []
    if isinstance(value, Mapping):
        inner = (item for name, item in value.items() if name != "type" or not _is_label(item))
        return [found for item in inner for found in strings(item)]
    if isinstance(value, Iterable):
        return [found for item in value for found in strings(item)]
    return []


def _turn(turn: Row, who: str, what: str) -> Turn:
    calls = [json.dumps(turn[name], ensure_ascii=False, default=str) for name in CALLS if turn.get(name)]
    besides = {name: value for name, value in turn.items() if name not in (who, what, *CALLS)}  # a name, a thought
    said = [*strings(turn.get(what)), *strings(besides)]
    return Turn(role=str(turn[who] or "unknown"), said="\n".join(said), calls=" ".join(calls))


def _is_label(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TYPE and value.isidentifier()
