"""Rare words: items in another order, diluted with filler, or with a typo in every word. Proposed, never confirmed.

What is compared is which words of an item stand near one another, each by a loose key, and how much they say together.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from carto_audit.benchmarks.hash_tables import Float, Int, among
from carto_audit.benchmarks.index import QUESTION, Index
from carto_audit.text.words import FoldedWords, Hashes, Ragged

LEAST_SHARE = 0.6
"""Of what an item's words say together, that must stand in one place."""

LEAST_NATS = 20.0
"""Nats that they must say: five rare words."""

LEAST_WORDS = 6
"""Different words that must stand there."""

MOST_STRETCHED = 4.0
"""Times the item's own words that lie between the first and the last of its rare ones, or MOST_APART, if that is more."""

MOST_APART = 200

_CELL = 160  # words; a window is two cells, and every place lies in two windows
_PROPOSED, _LEAST_PROPOSING = 0.5, 3  # share and number of the words that propose a group


@dataclass(frozen=True, slots=True, kw_only=True)
class RareHit:
    """A group whose rare words stand in a text, and between which of its words."""

    text: int
    group: int
    share: float
    nats: float
    words: int
    numbers: float  # share of the group's numbers that are here; 1 where it has none
    first: int
    end: int


def find_rare_words(words: FoldedWords, hashes: Ragged, keys: Hashes, index: Index) -> Iterator[RareHit]:
    """Groups of which enough rare words stand in one window of a text; the best window of each pair of text and group."""
    rare = index.rare_words
    place, key = rare.table.find(keys)
    proposes = np.diff(rare.groups.offsets)[key] > 0
    place, key = place[proposes], key[proposes]
    text = np.searchsorted(words.offsets, place, side="right") - 1
    cell = (place - words.offsets[text]) // _CELL
    cells = int(cell.max(initial=0)) + 2
    window = np.concatenate([text * cells + cell, text * cells + np.maximum(cell - 1, 0)])
    pairs = (
        np.unique(np.stack([window, np.concatenate([key, key])]), axis=1) if len(key) else np.empty((2, 0), np.int64)
    )
    owner, group = rare.groups.expand(pairs[1])
    code, count = np.unique(pairs[0][owner] * len(rare.total) + group, return_counts=True)
    group, window = code % len(rare.total), code // len(rare.total)
    able = (
        (count >= _PROPOSED * rare.proposing[group]) & (count >= _LEAST_PROPOSING) & (rare.total[group] >= LEAST_NATS)
    )
    able &= index.component[group] == QUESTION
    best: dict[tuple[int, int], RareHit] = {}
    for at, number in zip(window[able].tolist(), group[able].tolist(), strict=True):
        hit = _measured(at // cells, at % cells, number, words, hashes, keys, index)
        if hit is not None and ((at // cells, number) not in best or hit.share > best[at // cells, number].share):
            best[at // cells, number] = hit
    yield from best.values()


def _measured(
    text: int, cell: int, group: int, words: FoldedWords, hashes: Ragged, keys: Hashes, index: Index
) -> RareHit | None:
    rare = index.rare_words
    begin = int(words.offsets[text]) + cell * _CELL
    end = min(int(words.offsets[text + 1]), begin + 2 * _CELL)
    low, high = rare.of_group.offsets[group : group + 2].tolist()
    own, nats = rare.table.values[rare.of_group.values[low:high]], rare.nats[low:high]
    order = np.argsort(own)
    here = np.flatnonzero(among(keys[begin:end], own[order]))
    size = len(index.words[group])
    span = _tightest(here, keys[begin:end][here], own[order], nats[order], max(MOST_APART, MOST_STRETCHED * size))
    if span is None:
        return None
    first, last, said, count = span
    share = said / max(float(rare.total[group]), 1e-9)
    if share < LEAST_SHARE or said < LEAST_NATS or count < LEAST_WORDS:
        return None
    numbers = index.numbers[group]
    found = among(numbers, np.sort(hashes.values[begin + first : begin + last + 1]))
    return RareHit(
        text=text,
        group=group,
        share=share,
        nats=said,
        words=count,
        numbers=float(found.mean()) if len(numbers) else 1.0,
        first=begin + first - int(words.offsets[text]),
        end=begin + last + 1 - int(words.offsets[text]),
    )


def _tightest(here: Int, found: Hashes, own: Hashes, nats: Float, width: float) -> tuple[int, int, float, int] | None:
    """The stretch of at most `width` words in which the item's words say the most: first, last, nats, and how many."""
    if not len(here):
        return None
    key = np.searchsorted(own, found)
    stop = np.searchsorted(here, here + width, side="right")
    best: tuple[int, int, float, int] | None = None
    for k in np.unique(np.searchsorted(stop, stop)).tolist():  # of starts with the same end, the first holds the most
        distinct = np.unique(key[k : stop[k]])
        said = float(nats[distinct].sum())
        if best is None or said > best[2]:
            best = (int(here[k]), int(here[stop[k] - 1]), said, len(distinct))
    return best
