"""Loose words: keys that survive a typo, a plural or missing vowels. They propose; nothing is decided by them alone."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from carto_audit.text.folding import Codes
from carto_audit.text.words import FoldedWords, Hashes, mix64

_VOWELS = "aeiouy"
_DIGIT = np.uint64(1 << 63)
_LEAST = 2  # different consonants; with fewer a word has no loose key but its own
_FACTOR, _OTHER_FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)


def loose_keys(words: FoldedWords, hashes: Hashes, some: NDArray[np.int64]) -> Hashes:
    """A key for each of some words: its first letter and which consonants it has, without the endings -s, -ed and -ing.

    Numbers, words with digits, words of scripts with one letter a word, and words of fewer than two consonants keep their
    own hash; `hashes` are those of all words. `some` ascend.
    """
    if not len(some):
        return np.empty(0, np.uint64)
    starts, ends, first = words.starts[some], words.ends[some], words.codes[words.starts[some]]
    low, high = int(starts[0]), int(ends[-1])
    table = _ascii_consonants() if words.codes.dtype == np.uint8 else _consonants()
    bits = np.zeros(high - low + 1, dtype=table.dtype)
    np.take(table, words.codes[low:high], out=bits[:-1])
    edges = np.stack([starts, _bare_ends(words.codes, starts, ends)], axis=1).ravel() - low
    mask = np.bitwise_or.reduceat(bits, edges)[::2].astype(np.uint64)
    if bits.dtype == np.uint32:
        mask += (mask >> np.uint64(31)) * (_DIGIT - np.uint64(1 << 31))
    keys = mix64(mask * _FACTOR + (np.take(_consonants(), first) + first.astype(np.uint64)) * _OTHER_FACTOR)
    is_own = (mask & _DIGIT > 0) | (np.bitwise_count(mask) < _LEAST) | (words.kinds[starts] > 1)
    return np.where(is_own, hashes[some], keys)


def _bare_ends(codes: Codes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the words end without the endings that do not count, of which a word may have several: "makings" is "mak"."""
    for ending, least in (("s", 4), ("ed", 5), ("ing", 6)):
        has = np.flatnonzero((ends - starts >= least) & (codes[ends - 1] == ord(ending[-1])))
        for back, letter in enumerate(reversed(ending[:-1]), start=2):
            has = has[codes[ends[has] - back] == ord(letter)]
        ends = ends.copy()
        ends[has] -= len(ending)
    return ends


@cache
def _consonants() -> NDArray[np.uint64]:
    """A bit for each consonant of ASCII and for some letters of other scripts together; none for vowels and separators."""
    bits = np.zeros(0x110000, dtype=np.uint64)
    others = np.arange(128, 0x32400)
    is_letter = np.fromiter((chr(c).isalnum() for c in others.tolist()), bool, len(others))
    bits[others] = np.where(is_letter, np.uint64(1) << (26 + others % 36).astype(np.uint64), np.uint64(0))
    for code in range(ord("a"), ord("z") + 1):
        bits[code] = 0 if chr(code) in _VOWELS else 1 << (code - ord("a"))
    bits[ord("0") : ord("9") + 1] = _DIGIT
    return bits


@cache
def _ascii_consonants() -> NDArray[np.uint32]:
    """The same for ASCII in half the memory; the highest bit says that a character is a digit."""
    bits = _consonants()[:128]
    return np.where(bits == _DIGIT, np.uint64(1 << 31), bits).astype(np.uint32)
