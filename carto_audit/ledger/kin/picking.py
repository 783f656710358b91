"""Picking: which passages of a text are fingerprinted. Two texts that share GUARANTEED words share at least one of them.

Winnowing (Schleimer, Wilkerson and Aiken 2003): of every WINDOW runs of RUN_WORDS words that follow on each other the one with
the smallest number is picked. The numbers are mixed with a secret, so that nobody can write a text whose picks are known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.text.words import FoldedWords, Hashes, find_words, inside_texts, mix64, ngram_hashes

RUN_WORDS, WINDOW = 8, 4
"""Words of a run, and runs of which one is picked: two of five on average. The kin search within a batch ties rows by 12 tokens,
which are eight or nine words; with runs of seven, honest text repeats itself twice as often."""

GUARANTEED = RUN_WORDS + WINDOW - 1
"""Words from which on a shared passage is always found, where nothing was left to chance."""

KEY_LETTERS = 12
"""A single word of so many letters and digits, with a digit among them, is a passage of its own: a key, a hash, a number."""

_KEY = np.uint64(0x6B65795F6B65795F)  # tells a word that is a passage from a run of words


@dataclass(frozen=True, kw_only=True, slots=True)
class Picked:
    """The passages that were picked, (P,) each, in reading order: a number that is the same wherever the passage stands, its
    text, its first word, and how many words it has. `words` (T,) counts those of each text."""

    number: Hashes
    text: NDArray[np.int64]
    first: NDArray[np.int64]
    width: NDArray[np.int64]
    words: NDArray[np.int64]


def pick_passages(texts: Sequence[str], salt: int) -> Picked:
    """The passages of some texts, numbered by a secret `salt` of 64 bits."""
    found = find_words(texts)
    hashes = found.hashed()
    numbers = mix64(ngram_hashes(hashes.values, RUN_WORDS) ^ np.uint64(salt))
    runs = _lowest(numbers, hashes.offsets)
    keys, values, widths = _keys(found, hashes.values)
    # a key is kept as often as a word of a longer passage
    lots = [mix64((values ^ np.uint64(salt)) + np.uint64(k)) for k in range(RUN_WORDS)]
    order = np.argsort(np.concatenate([runs, keys]), kind="stable")
    first = np.concatenate([runs, keys])[order]
    text = np.searchsorted(hashes.offsets, first, side="right") - 1
    return Picked(
        number=np.concatenate([numbers[runs], np.minimum.reduce(lots)])[order],
        text=text,
        first=first - hashes.offsets[text],
        width=np.concatenate([np.full(len(runs), RUN_WORDS), widths])[order],
        words=np.diff(hashes.offsets),
    )


def _lowest(numbers: Hashes, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the lowest number of each window stands; a text with fewer runs than a window has one window."""
    inside = inside_texts(offsets, GUARANTEED)
    picked = np.zeros(len(numbers), dtype=bool)
    if len(inside):
        begins = np.flatnonzero(inside)
        windows = np.lib.stride_tricks.sliding_window_view(numbers, WINDOW)
        picked[begins + windows[begins].argmin(axis=1)] = True
    sizes = np.diff(offsets)
    for begin, size in zip(offsets[:-1].tolist(), sizes.tolist(), strict=True):
        if RUN_WORDS <= size < GUARANTEED:
            picked[begin + int(numbers[begin : begin + size - RUN_WORDS + 1].argmin())] = True
    return np.flatnonzero(picked)


def _keys(found: FoldedWords, values: Hashes) -> tuple[NDArray[np.int64], Hashes, NDArray[np.int64]]:
    """The words that are passages of their own: the first part of each, a hash of all its parts, and how many it has."""
    opens = np.flatnonzero(found.opens_run())
    if not len(opens):
        return opens, values[:0], opens
    digits = np.concatenate([[0], np.cumsum((found.codes >= ord("0")) & (found.codes <= ord("9")))])
    last = np.append(opens[1:], len(values)) - 1
    starts, ends = found.starts[opens], found.ends[last]
    kept = (ends - starts >= KEY_LETTERS) & (digits[ends] > digits[starts])
    place = np.arange(len(values)) - np.repeat(opens, last - opens + 1)
    whole = np.add.reduceat(values * (2 * place + 1).astype(np.uint64), opens)
    return opens[kept], mix64(whole[kept] ^ _KEY), (last - opens + 1)[kept]
