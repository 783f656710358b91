"""Letters: what is left of a text when everything that separates words is ignored, as runs that two texts share."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from carto_audit.text.folding import fold, fold_sources
from carto_audit.text.words import FoldedWords, Hashes, mix64, word_spans

RUN = 16
"""Letters in a run: three or four words of English."""

SAMPLED = 4
"""One run in so many is kept, chosen by its own letters: the same ones in every text that holds them."""

_FACTOR, _OTHER_FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)
_PICKS = ((0, 0x6D), (5, 0xB5), (11, 0x1F))  # letters of a run that say whether it is kept, and odd factors
_SHARE = 256 // SAMPLED
_HALF = RUN // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRuns:
    """The sampled runs of some texts: their hashes, the text of each, and at which of its letters it begins.

    `at` counts the letters of all texts, and `begins_word` says before which of them a word begins.
    """

    values: Hashes
    text: NDArray[np.int64]
    place: NDArray[np.int64]
    at: NDArray[np.int64]
    begins_word: NDArray[np.bool_]

    def spaced(self, some: NDArray[np.int64]) -> Hashes:
        """Hashes of some runs together with where words begin in them."""
        borders = np.zeros(len(some), dtype=np.uint64)
        for k in range(1, RUN):
            borders |= self.begins_word[self.at[some] + k].astype(np.uint64) << np.uint64(k)
        return mix64(self.values[some] + borders * _FACTOR)


def sample_runs(words: FoldedWords) -> LetterRuns:
    """The runs of RUN letters of each text, whatever stands between the letters; one in SAMPLED."""
    is_letter = words.kinds > 0
    codes = words.codes if words.codes.dtype == np.uint8 else np.take(_bytes(), words.codes)
    letters = codes[is_letter].astype(np.uint8, copy=False)
    at = _sampled(letters)
    ends = _letters_before(is_letter, words.text_ends)
    text = np.searchsorted(ends, at, side="right")
    inside = at + RUN <= ends[np.minimum(text, len(ends) - 1)] if len(ends) else np.zeros(0, dtype=bool)
    at, text = at[inside], text[inside]
    begins = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    begins_word = np.zeros(len(is_letter), dtype=bool)
    begins_word[words.starts] = True
    return LetterRuns(
        values=_hashed(letters, at), text=text, place=at - begins[text], at=at, begins_word=begins_word[is_letter]
    )


def _sampled(letters: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where the sampled runs begin."""
    size = len(letters) - RUN + 1
    if size <= 0:
        return np.empty(0, np.int64)
    picked = np.zeros(size, dtype=np.uint8)
    for place, factor in _PICKS:
        picked ^= picked >> np.uint8(3)
        picked += letters[place : place + size] * np.uint8(factor)
    return np.flatnonzero(picked < _SHARE)


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


def _letters_before(is_letter: NDArray[np.bool_], text_ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many letters stand before each of `text_ends`, which ascend."""
    ends = np.minimum(text_ends, len(is_letter))
    counts = [np.count_nonzero(is_letter[low:high]) for low, high in zip(np.append(0, ends[:-1]), ends, strict=True)]
    return np.cumsum(np.array(counts, dtype=np.int64))


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
