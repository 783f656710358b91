"""Beside values: what a control row has in columns that nobody reads as text: the donor's own labels, and ids of its own."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from carto_audit.data.columns import LONGEST_LABEL
from carto_audit.real_runs.control_rows import emptied
from carto_audit.runtime.errors import AuditError
from carto_audit.text.untrusted import safe_inline

FEWEST_DISTINCT = 8
"""Values of a column that tell, where all of them differ, that it holds ids."""

_NUMBERED = re.compile(r"\w*\d\w*")
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_TRIES = 1000


def is_distinct(values: Sequence[Any]) -> bool:
    """Whether a column holds ids, or other values of which each occurs once."""
    known = [value for value in values if isinstance(value, str | int) and not isinstance(value, bool)]
    return len(known) >= FEWEST_DISTINCT and len(set(known)) == len(known) == len(values)


def beside_value(value: Any, column: Sequence[Any], distinct: bool, rng: np.random.Generator) -> Any:
    """What stands in the place of a donor's value: a label or a number as it is, an id made anew, text and lists emptied.
    `column` are the values of all donors."""
    if isinstance(value, Mapping):
        return {name: beside_value(item, (), False, rng) for name, item in value.items()}
    if isinstance(value, str):
        if len(value.encode("utf-8", "replace")) > LONGEST_LABEL:
            return ""
        return _fresh_text(value, column, rng) if distinct else value
    if distinct and isinstance(value, int):
        return _between(column, rng)
    return emptied(value)


def _fresh_text(value: str, column: Sequence[Any], rng: np.random.Generator) -> str:
    if all(isinstance(one, str) and one.isdecimal() and len(one) <= 18 for one in column):
        return str(_between([int(one) for one in column], rng))
    try:
        float(value)
    except ValueError:
        return fresh_like(value, rng)
    return value


def _between(column: Sequence[int], rng: np.random.Generator) -> int:
    low, high = min(column), max(column)
    return low + int(rng.random() * (high - low + 1))


def fresh_like(value: str, rng: np.random.Generator) -> str:
    """A text of the same make with other numbers, and other letters where these are hexadecimal digits."""
    return _NUMBERED.sub(lambda found: "".join(_other(sign, found[0], rng) for sign in found[0]), value)


def _other(sign: str, word: str, rng: np.random.Generator) -> str:
    if sign.isdecimal():
        return str(int(rng.integers(sign != "0", 10)) if sign != "0" else int(rng.integers(0, 10)))
    if sign.isalpha() and _HEX.fullmatch(word):
        return str(rng.choice(list("abcdef" if sign.islower() else "ABCDEF")))
    return sign


class Ids:
    """Ids that no row of a batch has, each made like one that a row has."""

    def __init__(self, taken: Sequence[str], rng: np.random.Generator) -> None:
        self._taken, self._rng = set(taken), rng
        self._highest = max((int(one) for one in self._taken if one.isdecimal()), default=0)

    def like(self, value: Any) -> Any:
        """A new one. Raises AuditError where none can be made."""
        if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
            self._highest += 1
            return type(value)(self._highest)
        tries = range(_TRIES if isinstance(value, str | bytes) else 0)
        for number in tries:
            after = f"-{self._rng.bytes(6).hex()}" if number == tries[-1] and isinstance(value, str) else ""
            made = self._rng.bytes(len(value)) if isinstance(value, bytes) else fresh_like(value, self._rng) + after
            told = made.hex() if isinstance(made, bytes) else made
            if told not in self._taken:
                self._taken.add(told)
                return made
        raise AuditError(f'the id "{safe_inline(str(value), 40)}" is like no new one; plant without an id column')
