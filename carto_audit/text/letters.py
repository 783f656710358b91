"""Letters: what is left of a text when everything that separates words is ignored, as runs that two texts share."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from carto_audit.text.folding import Codes, fold, fold_sources
from carto_audit.text.words import FoldedWords, Hashes, mix64, word_spans

RUN = 16
"""Letters in a run: three or four words of English."""

SAMPLED = 4
"""One run in so many is kept, chosen by its own letters: the same ones in every text that holds them."""

_FACTOR, _OTHER_FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)
_PICKS = ((0, 0x6D), (5, 0xB5), (11, 0x1F))  # letters of a run that say whether it is kept, and odd factors
_SHARE = 256 // SAMPLED
_HALF = RUN // 2
_SEPARATORS = bytes(code for code in range(128) if not chr(code).isalnum())


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRuns:
    """The sampled runs of some texts: their hashes, the text of each, and at which of its letters it begins.

    `at` counts the letters of all texts, and `word_begins` are the letters at which words begin.
    """

    values: Hashes
    text: NDArray[np.int64]
    place: NDArray[np.int64]
    at: NDArray[np.int64]
    word_begins: NDArray[np.int64]

    def spaced(self, some: NDArray[np.int64]) -> Hashes:
        """Hashes of some runs together with where words begin in them."""
        borders = np.zeros(len(some), dtype=np.uint64)
        for k in range(1, RUN):
            letter = self.at[some] + k
            next_word = np.minimum(self.word_begins.searchsorted(letter), len(self.word_begins) - 1)
            borders |= (self.word_begins[next_word] == letter).astype(np.uint64) << np.uint64(k)
        return mix64(self.values[some] + borders * _FACTOR)


def sample_runs(words: FoldedWords) -> LetterRuns:
    """The runs of RUN letters of each text, whatever stands between the letters; one in SAMPLED."""
    is_letter = words.kinds > 0
    letters = _letters(words.codes, is_letter)
    before = np.cumsum(np.append(False, is_letter), dtype=np.int64)  # letters before each code
    ends = before[np.minimum(words.text_ends, len(is_letter))]
    at = _sampled(letters, ends)
    text = np.repeat(np.arange(len(ends)), np.diff(np.searchsorted(at, ends), prepend=0))
    return LetterRuns(
        values=_hashed(letters, at),
        text=text,
        place=at - np.append(0, ends)[text],
        at=at,
        word_begins=before[words.starts],
    )


def _letters(codes: Codes, is_letter: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """What is left without separators, a byte a letter."""
    if codes.dtype == np.uint8:
        return np.frombuffer(codes.tobytes().translate(None, _SEPARATORS), np.uint8)
    return np.take(_bytes(), codes[is_letter])


def _sampled(letters: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the sampled runs begin. None reaches across an end of a text."""
    size = len(letters) - RUN + 1
    if size <= 0:
        return np.empty(0, np.int64)
    picked = np.zeros(size, dtype=np.uint8)
    for place, factor in _PICKS:
        picked ^= picked >> np.uint8(3)
        picked += letters[place : place + size] * np.uint8(factor)
    is_picked = picked < _SHARE
    crossing = (ends[:, None] - np.arange(1, RUN)).ravel()
    is_picked[crossing[(crossing >= 0) & (crossing < size)]] = False
    return np.flatnonzero(is_picked)


def _hashed(letters: NDArray[np.uint8], at: NDArray[np.int64]) -> Hashes:
    """The hashes of the runs that begin at some letters, by their two halves."""
    if not len(at):
        return np.empty(0, np.uint64)
    halves = np.ndarray((len(letters) - _HALF + 1,), np.dtype("<u8"), letters, strides=(1,))  # at every letter
    values = mix64(halves[at] * _FACTOR)
    values += halves[at + _HALF] * _OTHER_FACTOR
    return mix64(values)


@cache
def _bytes() -> NDArray[np.uint8]:
    """A byte for each code point: that of ASCII itself, for others one that many share."""
    codes = np.arange(0x110000, dtype=np.uint64)
    return np.where(codes < 128, codes, mix64(codes.copy()) & np.uint64(0xFF)).astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """The folded letters of one text, where each came from, and before which of them a word begins."""

    letters: str
    starts: NDArray[np.int64]  # (letters,), characters of the text
    ends: NDArray[np.int64]
    begins_word: NDArray[np.bool_]


def spell(text: str) -> Spelling:
    """Takes a text apart. Letters of scripts without spaces each begin a word."""
    folded = fold(text)
    at = np.array([k for k, character in enumerate(folded) if character.isalnum()], dtype=np.int64)
    starts, ends = fold_sources(text)
    begins = np.zeros(len(text) + 1, dtype=bool)
    begins[word_spans(text)[:, 0]] = True
    return Spelling(
        letters="".join(folded[k] for k in at.tolist()),
        starts=starts[at],
        ends=ends[at],
        begins_word=begins[starts[at]],
    )
