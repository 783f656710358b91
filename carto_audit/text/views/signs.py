"""Signs: how often some characters stand in each of many texts, so that a view is tried only where it may change something."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
Flags = NDArray[np.bool_]

MIXED, LONGEST_RUN, OTHER = "a digit between letters", "the longest run without spaces", "outside ASCII"
DIGIT = "a digit"

_COUNTED = "\\\n\t\x1b=%&<[*`'\"~-:@#/_|(]^"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """Counts by sign, each (texts,): of the characters in `_COUNTED` and of the signs named above."""

    counts: dict[str, Int]

    def has(self, sign: str, least: int = 1) -> Flags:
        """Which texts show a sign at least so often: (texts,)."""
        flags: Flags = self.counts[sign] >= least
        return flags

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Signs":
        """Counts the signs of some texts, in one pass over their bytes for each."""
        data = np.frombuffer("\n".join(texts).encode("utf-8", "surrogatepass") + b"\n", np.uint8)
        sizes = [len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")) for text in texts]
        ends = np.cumsum(np.array(sizes, dtype=np.int64) + 1)
        begins = np.concatenate(([0], ends[:-1])).astype(np.int64)
        kind = np.take(_kinds(), data)

        def count(flags: Flags) -> Int:
            running = np.flatnonzero(flags)
            found: Int = np.searchsorted(running, ends) - np.searchsorted(running, begins)
            return found

        present = np.bincount(data, minlength=256)
        none = np.zeros(len(texts), dtype=np.int64)
        counts = {c: count(data == ord(c)) if present[ord(c)] else none for c in _COUNTED}
        counts["\n"] = counts["\n"] - 1  # the one that was put between the texts
        is_mixed = np.zeros(len(data), dtype=bool)
        is_mixed[1:-1] = (kind[1:-1] == 2) & (kind[:-2] == 1) & (kind[2:] == 1)
        return cls(
            counts=counts
            | {
                DIGIT: count((data >= 48) & (data <= 57)),
                MIXED: count(is_mixed),
                OTHER: count(data >= 128) if present[128:].any() else none,
                LONGEST_RUN: _longest_runs(data, begins),
            }
        )


def _longest_runs(data: NDArray[np.uint8], begins: Int) -> Int:
    spaces = np.flatnonzero((data == 32) | (data == 10) | (data == 13) | (data == 9))
    runs = np.diff(spaces, prepend=-1)
    if not len(begins):
        return np.zeros(0, dtype=np.int64)
    longest: Int = np.maximum.reduceat(runs, np.searchsorted(spaces, begins)).astype(np.int64) - 1
    return longest


@cache
def _kinds() -> NDArray[np.uint8]:
    """Of each byte: 1 for letters, 2 for digits and signs that stand for letters."""
    kinds = np.zeros(256, dtype=np.uint8)
    for code in range(128):
        kinds[code] = 1 if chr(code).isalpha() else 2 if chr(code) in "0123456789@$!|" else 0
    return kinds


Shows = Callable[[Signs], Flags]
"""Says of which texts a view may change anything."""


def any_of(*signs: str, least: int = 1) -> Shows:
    """Texts that show one of some signs at least so often."""
    return lambda found: np.logical_or.reduce([found.has(sign, least) for sign in signs])


def all_of(*conditions: Shows) -> Shows:
    """Texts that meet every condition."""
    return lambda found: np.logical_and.reduce([condition(found) for condition in conditions])
