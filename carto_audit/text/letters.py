"""Letters: what is left of a text when everything that separates words is ignored, as runs that two texts share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.text.folding import Codes, fold, fold_sources
from carto_audit.text.words import FoldedWords, Hashes, letter_values, mix64, word_spans

RUN = 16
"""Letters in a run: three or four words of English."""

SAMPLED = 4
"""One run in so many is kept, chosen by its own letters: the same ones in every text that holds them."""

_BASE = 0x9E3779B97F4A7C15
_STRIDES = (1, 2, 4, 8)  # a run of 2n letters is two runs of n, up to RUN
_SHARE = np.uint64((1 << 64) // SAMPLED)
_PIECE = 1 << 15  # letters: 256 KB of hashes stay in the second-level cache
_NONE, _NOWHERE = np.empty(0, np.uint64), np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRuns:
    """The sampled runs of some texts: their hashes, the text of each, and at which of its letters it begins."""

    values: Hashes
    text: NDArray[np.int64]
    place: NDArray[np.int64]


def sample_runs(words: FoldedWords) -> LetterRuns:
    """The runs of RUN letters of each text, whatever stands between the letters; one in SAMPLED."""
    is_letter = words.kinds > 0
    letters = words.codes[is_letter]
    found = [_sampled(letters[k : k + _PIECE + RUN - 1], k) for k in range(0, max(0, len(letters) - RUN + 1), _PIECE)]
    values, place = (np.concatenate(part) for part in zip(*found, strict=True)) if found else (_NONE, _NOWHERE)
    ends = _letters_before(is_letter, words.text_ends)
    text = np.searchsorted(ends, place, side="right")
    inside = place + RUN <= ends[np.minimum(text, len(ends) - 1)] if len(ends) else np.zeros(0, dtype=bool)
    place, text = place[inside], text[inside]
    begins = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    return LetterRuns(values=values[inside], text=text, place=place - begins[text])


def _sampled(letters: Codes, begin: int) -> tuple[Hashes, NDArray[np.int64]]:
    """The sampled runs of a piece that begins at letter `begin`, and where they begin."""
    runs = np.take(letter_values(), letters)
    for stride in _STRIDES:
        following = runs[stride:]
        runs = runs[:-stride] * np.uint64(pow(_BASE, stride, 1 << 64))
        runs += following
    place = np.flatnonzero(runs < _SHARE)
    return mix64(runs[place]), place + begin


def _letters_before(is_letter: NDArray[np.bool_], text_ends: NDArray[np.int64]) -> NDArray[np.int64]:
    counts = np.concatenate(([0], np.cumsum(is_letter)))
    return counts[np.minimum(text_ends, len(is_letter))]


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
