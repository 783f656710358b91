"""Signs: how often some characters stand in each of many texts, so that a view is tried only where it may change something."""

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]
Flags = NDArray[np.bool_]

MIXED, LONGEST_RUN, OTHER = "a digit between letters", "the longest run without spaces", "outside ASCII"
DIGIT, TAG, NOTE, PART = "a digit", "a tag", "a note", "a part of a word"
ORNAMENT, BREAK, BOXED = "a sign with letters", "a hyphen before a line end", "a letter that is called a sign"
GLUED, FOREIGN, FIELD, INNER = (
    "a digit beside a letter",
    "a letter of another script behind one of ASCII",
    "the name of a field",
    "a bracket before a letter",
)

_COUNTED = "\b\\\n\t\x1b=%&<>[*`'\"~-:@#/_|(]^"
_TAG_OPENS = re.compile(
    rb"<(?:[/!?]|\d{1,2}:|(?i:abbr|acronym|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|ins|kbd|label|mark|nobr|q|rb|ruby|s|samp|"
    rb"small|span|strike|strong|sub|sup|time|tt|u|var|wbr|a|script|style|rt|rp|br|hr|p|div|li|img|td|th|tr|h[1-6]|input|meta|"
    rb"link)\b|[A-Za-z][^<>]{0,2000}/>)"
)
_PAIRS = {  # the first two bytes in UTF-8 of what may be one
    NOTE: [(ord(a), ord(b)) for a in "[^" for b in "0123456789abcdefghijklmnopqrstuvwxyz"]
    + [(0xC2, 0xB2), (0xC2, 0xB3), (0xC2, 0xB9), (0xE2, 0x81), (0xE2, 0x82)],
    PART: [(ord("@"), ord("@")), (ord("#"), ord("#")), (0xE2, 0x96), (0xC4, 0xA0), (0xEF, 0xBF)],
    BREAK: [(ord("-"), ord("\n")), (ord("-"), ord("\r")), (0xE2, 0x80), (0xC2, 0xAC)],
    INNER: [(ord(">"), ord(letter)) for letter in string.ascii_letters],
    FIELD: [(ord(quote), ord(":")) for quote in "\"'"],
    FOREIGN: [(first, second) for first in (*range(0xCE, 0xE1), *range(0xE3, 0xEE)) for second in range(0x80, 0xC0)]
    + [(0xE1, second) for second in range(0x80, 0xB8)]
    + [(0xC2, 0xAA), (0xC2, 0xBA)],
    BOXED: [(0xF3, 0xA0), (0xF0, 0x9F)],
    ORNAMENT: [(0xE2, k) for k in (0x82, 0x84, *range(0x91, 0x94), *range(0xBA, 0xC0))]
    + [(0xE3, k) for k in range(0x86, 0x90)]
    + [(0xC2, 0xA8), (0xC2, 0xAF), (0xC2, 0xB4), (0xC2, 0xB8), (0xEF, 0xB7), (0xF0, 0x9F)],
}


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
        """Counts the signs of some texts, in one pass over their bytes for all."""
        joined = "\n".join(texts).encode("utf-8", "surrogatepass") + b"\n"
        data = np.frombuffer(joined, np.uint8)
        sizes = [len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")) for text in texts]
        ends = np.cumsum(np.array(sizes, dtype=np.int64) + 1)
        place = np.flatnonzero(np.take(_is_sign(), data))
        byte = data[place]
        owner = np.repeat(np.arange(len(texts)), np.diff(np.searchsorted(place, ends), prepend=0))

        def count(which: Flags) -> Int:
            return np.bincount(owner[which], minlength=len(texts)).astype(np.int64)

        counts = {c: count(byte == ord(c)) for c in _COUNTED}
        counts["\n"] = counts["\n"] - 1  # the one that was put between the texts
        counts[DIGIT] = count((byte >= 48) & (byte <= 57))
        counts[OTHER] = count(byte >= 128)
        after = data[np.minimum(place + 1, len(data) - 1)]
        pairs = np.take(_pairs(), byte.astype(np.int64) << 8 | after)
        behind, before = _kinds()[data[place - 1]] == 1, _kinds()[after] == 1
        for k, sign in enumerate(_PAIRS):
            is_pair = (pairs & (1 << k)) > 0
            counts[sign] = count(is_pair & behind if sign == FOREIGN else is_pair)
        counts[MIXED] = count((_kinds()[byte] == 2) & behind & before)
        counts[GLUED] = count((byte >= 48) & (byte <= 57) & (behind | before))
        tags = _TAG_OPENS.finditer(joined) if counts["<"].any() else iter(())
        opens = np.array([m.start() for m in tags], dtype=np.int64)
        counts[TAG] = np.diff(np.searchsorted(opens, ends), prepend=0).astype(np.int64)
        begins = np.append(0, ends)[:-1]
        return cls(counts=counts | {LONGEST_RUN: _longest_runs(data, begins)})


def _longest_runs(data: NDArray[np.uint8], begins: Int) -> Int:
    spaces = np.flatnonzero(data <= 32)
    byte = data[spaces]
    spaces = spaces[(byte == 32) | (byte == 10) | (byte == 13) | (byte == 9)]
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


@cache
def _is_sign() -> Flags:
    """Which bytes are looked at more closely."""
    signs: Flags = (_kinds() == 2) | (np.arange(256) >= 128)
    signs[[ord(c) for c in _COUNTED]] = True
    return signs


@cache
def _pairs() -> NDArray[np.uint16]:
    """Of each two bytes: a bit for each of `_PAIRS` that they are one of."""
    pairs = np.zeros(1 << 16, dtype=np.uint16)
    for k, codes in enumerate(_PAIRS.values()):
        pairs[[first << 8 | second for first, second in codes]] |= np.uint16(1 << k)
    return pairs


Shows = Callable[[Signs], Flags]
"""Says of which texts a view may change anything."""


def any_of(*signs: str, least: int = 1) -> Shows:
    """Texts that show one of some signs at least so often."""
    return lambda found: np.logical_or.reduce([found.has(sign, least) for sign in signs])


def all_of(*conditions: Shows) -> Shows:
    """Texts that meet every condition."""
    return lambda found: np.logical_and.reduce([condition(found) for condition in conditions])
