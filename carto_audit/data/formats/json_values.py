"""JSON values, decoded one after the other: never more of a text in memory than a value and a block."""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

BLOCK = 1 << 20
"""Characters read at once."""

LONGEST_VALUE = 256 << 20
"""Characters. What is longer is no row but a broken file."""

_SPACE = re.compile(r"[ \t\r\n]*")


class RepeatedKeys(dict[str, Any]):
    """A row in which some object has a key twice, so that readers do not agree on what it says; here, the last value counts."""

    written = ""
    """The row as it was delivered, with all values."""


class Decoder:
    """Decodes JSON and tells rows whose objects have a key twice."""

    def __init__(self) -> None:
        self._repeats = False
        self._json = json.JSONDecoder(object_pairs_hook=self._object)

    def decode(self, text: str, start: int = 0) -> tuple[Any, int]:
        """The value that begins at `start`, and where it ends. Raises ValueError or RecursionError."""
        self._repeats = False
        value, end = self._json.raw_decode(text, start)
        if self._repeats and isinstance(value, dict):
            value = RepeatedKeys(value)
            value.written = text[start:end]
        return value, end

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        self._repeats = self._repeats or len(found) != len(pairs)
        return found


class ValueStream:
    """The values inside one JSON text."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decoder = Decoder()
        self._text, self._place = "", 0
        self._offset = 0

    @property
    def place(self) -> int:
        """Characters that were passed."""
        return self._offset + self._place

    def peek(self) -> str:
        """The next character that is no space, "" at the end."""
        while True:
            self._place = _SPACE.match(self._text, self._place).end()  # type: ignore[union-attr]  # it may be empty
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._more():
                return ""

    def take(self, character: str) -> None:
        """Passes this character. Raises ValueError where another one stands there."""
        found = self.peek()
        if found != character:
            raise ValueError(f'not JSON: "{character}" is expected at character {self.place}')
        self._place += 1

    def value(self) -> Any:
        """The next value. Raises ValueError where there is none."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.decode(self._text, self._place)
            except ValueError as error:
                if len(self._text) - self._place > LONGEST_VALUE:
                    raise ValueError(
                        "a value too long to be held whole; write one object per line, or a list"
                    ) from error
                if not self._more():
                    raise ValueError(f"not JSON: no value at character {self.place}") from error
                continue
            if end == len(self._text) and isinstance(value, int | float) and self._more():
                continue  # a number may go on
            self._place = end
            return value

    def items(self) -> Iterator[Any]:
        """The values of the list that follows."""
        self.take("[")
        following = self.peek()
        while following != "]":
            yield self.value()
            following = self.peek()
            if following != "]":
                self.take(",")
                following = self.peek()
        self.take("]")

    def each_key(self) -> Iterator[str]:
        """The keys of the object that follows; whoever asks for the next has passed the value of the last."""
        self.take("{")
        known: set[str] = set()
        while self.peek() != "}":
            key = self.value()
            if not isinstance(key, str) or key in known:
                raise ValueError(f"not JSON that can be read: a key stands twice or is no text: {str(key)[:40]}")
            known.add(key)
            self.take(":")
            yield key
            if self.peek() != "}":
                self.take(",")
        self.take("}")

    def end(self) -> None:
        """Raises ValueError where something follows."""
        if self.peek():
            raise ValueError("more than one JSON value; one list, or one object per line, is expected")

    def _more(self) -> bool:
        """Reads on: a block, or as much as is left unread, so that a long value is not decoded over and over."""
        rest = self._text[self._place :]
        block = self._stream.read(max(BLOCK, len(rest)))
        self._offset += self._place
        self._text, self._place = rest + block, 0
        return bool(block)
