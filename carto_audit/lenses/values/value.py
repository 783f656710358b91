"""Value: where a value stands in a text, and of which kind it is. Never the text itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value from character `start` up to `end`, without the name before it."""

    start: int
    end: int
    label: str
