"""Rare words: items in another order, diluted with filler, or with a typo in every word. Proposed, never confirmed.

What is compared is which words of an item stand near one another, each by a loose key, and how much they say together.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import Float, Int, among, distinct, ranges
from carto_audit.benchmarks.index import QUESTION, Index
from carto_audit.benchmarks.rare_words import RareWords, is_frequent, near_pairs
from carto_audit.contamination.disguises import pieces
from carto_audit.text.loose_words import loose_keys
from carto_audit.text.words import FoldedWords, Hashes, Ragged, ngram_hashes

LEAST_SHARE = 0.63
"""Of what an item's words say together, that must stand in one place no longer than the item."""

PER_LENGTH, MOST_NEEDED = 0.2, 0.92
"""The share that each further length of the item asks besides, and the most that is asked: words of one topic gather in any
long text."""

LEAST_NATS = 20.0
"""Nats that they must say: five rare words."""

LEAST_WORDS = 6
"""Different words that must stand there, numbers not counted."""

MOST_STRETCHED = 6.0
"""Times the item's words that may lie from the first to the last of them."""

_CELL = 160  # words; a window is two cells, and every place lies in two windows
_FAR = 8  # cells of a far window's: 2,560 words, for items in pieces
_NEAR = 3  # telling words; what dilutes an item may be telling as well
_ROUNDING = 1e-9
_FACTOR, _BITS = np.uint64(0x9E3779B97F4A7C15), 20
_PROPOSED, _LEAST_PAIRS = 0.2, 3  # share and number of a group's pairs that propose it
_FAR_PROPOSED, _FAR_PAIRS = 0.2, 4  # the same in a far window


@dataclass(frozen=True, slots=True, kw_only=True)
class RareHit:
    """A group whose rare words stand in a text, and between which of its words."""

    text: int
    group: int
    share: float
    numbers: float  # share of the group's numbers that are here; 1 where it has none
    has_others: bool  # whether other numbers are here
    first: int
    end: int


def find_rare_words(
    words: FoldedWords, hashes: Ragged, index: Index, sure: Container[tuple[int, int]] = ()
) -> Iterator[RareHit]:
    """Groups of which enough rare words stand in one window of a text; the best window of each pair of text and group.

    The pairs in `sure` are left out: what words in their order say of them holds.
    """
    best: dict[tuple[int, int], RareHit] = {}
    paired = _paired(words, hashes, index.rare_words)
    near = _gathered(paired, index, sure, words, _CELL, _PROPOSED, _LEAST_PAIRS)
    far = _gathered(paired, index, sure, words, _FAR * _CELL, _FAR_PROPOSED, _FAR_PAIRS)
    for proposed, least, measure in ((near, LEAST_SHARE, _measured), (far, pieces.LEAST_SHARE, _chained)):
        for text, begin, end, group in _telling(proposed, words, hashes, index, least):
            hit = measure(text, begin, end, group, words, hashes, index)
            if hit is not None and ((text, group) not in best or hit.share > best[text, group].share):
                best[text, group] = hit
    yield from best.values()


def _telling(
    proposed: tuple[Int, Int, Int, Int], words: FoldedWords, hashes: Ragged, index: Index, least: float
) -> Iterator[tuple[int, int, int, int]]:
    """Those of some texts, windows and groups where enough of the group's words stand by what they say."""
    text, begin, end, group = proposed
    needed = np.maximum(LEAST_NATS, least * index.rare_words.total[group]) - _ROUNDING
    for k in np.flatnonzero(_said(begin, end, group, words, hashes, index.rare_words) >= needed).tolist():
        yield int(text[k]), int(begin[k]), int(end[k]), int(group[k])


def _cells(words: FoldedWords) -> int:
    """Cells of the longest text, and one more."""
    return int(np.diff(words.offsets).max(initial=0)) // _CELL + 2


def _paired(words: FoldedWords, hashes: Ragged, rare: RareWords) -> tuple[Int, Int]:
    """Where telling words that are a pair of some group stand near each other: cells, text by text, and the pairs."""
    some = np.flatnonzero(~is_frequent(hashes.values))
    keys = loose_keys(words, hashes.values, some)
    is_known = np.flatnonzero(rare.telling.may_hold(keys))
    place, cells = some[is_known], _cells(words)
    text = np.repeat(np.arange(len(words.offsets) - 1), np.diff(np.searchsorted(place, words.offsets)))
    pairs, where = near_pairs(keys[is_known], text * cells + (place - words.offsets[text]) // _CELL, _NEAR)
    hit, pair = rare.pairs.find(pairs)
    return where[hit], pair


def _gathered(
    paired: tuple[Int, Int],
    index: Index,
    sure: Container[tuple[int, int]],
    words: FoldedWords,
    size: int,
    share: float,
    least: int,
) -> tuple[Int, Int, Int, Int]:
    """Text, window and group where enough pairs of a group's telling words stand. A window is two cells of `size` words, those
    from `begin` to `end`."""
    rare, (where, pair) = index.rare_words, paired
    text, cell = where // _cells(words), where % _cells(words) * _CELL // size
    cells = _cells(words) * _CELL // size + 2
    where = text * cells + cell
    window, group = _counted(where, np.maximum(where - 1, text * cells), pair, rare, share, least)
    text = window // cells
    able = (rare.total[group] >= LEAST_NATS) & (index.component[group] == QUESTION)
    able &= np.fromiter((pair not in sure for pair in zip(text.tolist(), group.tolist(), strict=True)), bool, len(text))
    text, cell, group = text[able], window[able] % cells, group[able]
    begin = words.offsets[text] + cell * size
    return text, begin, np.minimum(words.offsets[text + 1], begin + 2 * size), group


def _counted(where: Int, before: Int, pair: Int, rare: RareWords, share: float, least: int) -> tuple[Int, Int]:
    """Windows, and the groups of which each holds `least` pairs, and so large a share of all of the group's."""
    window = np.concatenate([where, before])
    known = distinct(window * max(1, len(rare.groups)) + np.concatenate([pair, pair]))
    owner, group = rare.groups.expand(known % max(1, len(rare.groups)))
    n_groups = max(1, len(rare.total))
    code = _frequent(known[owner] // max(1, len(rare.groups)) * n_groups + group)
    code, count = np.unique(code, return_counts=True)
    window, group = code // n_groups, code % n_groups
    enough = count >= np.maximum(least, share * rare.pair_count[group])
    return window[enough], group[enough]


def _frequent(codes: Int) -> Int:
    """Without most of the codes that come less often than _LEAST_PAIRS times: counted by some bits of a hash, all at once."""
    bins = ((codes.astype(np.uint64) * _FACTOR) >> np.uint64(64 - _BITS)).astype(np.int64)
    return codes[(np.bincount(bins, minlength=1 << _BITS) >= _LEAST_PAIRS)[bins]]


def _said(begin: Int, end: Int, group: Int, words: FoldedWords, hashes: Ragged, rare: RareWords) -> Float:
    """What the words of each group say that stand in its window, the words `begin` to `end`."""
    windows, first, number = np.unique(begin, return_index=True, return_inverse=True)
    owner, place = ranges(windows, end[first])
    is_known, key = rare.table.find(loose_keys(words, hashes.values, place))
    size = max(1, len(rare.table.values))
    here = distinct(owner[is_known] * size + key)
    owner, place = ranges(rare.of_group.offsets[group], rare.of_group.offsets[group + 1])
    is_here = among(number[owner] * size + rare.of_group.values[place], here)
    return np.bincount(owner, rare.nats[place] * is_here, len(group)).astype(np.float64)


def _words_of(rare: RareWords, group: int) -> tuple[Hashes, Float]:
    """The loose keys of a group's words, ascending, and what each says in nats."""
    low, high = rare.of_group.offsets[group : group + 2].tolist()
    own = rare.table.values[rare.of_group.values[low:high]]
    order = np.argsort(own)
    return own[order], rare.nats[low:high][order]


def _measured(
    text: int, begin: int, end: int, group: int, words: FoldedWords, hashes: Ragged, index: Index
) -> RareHit | None:
    rare = index.rare_words
    keys = loose_keys(words, hashes.values, np.arange(begin, end))
    own, nats = _words_of(rare, group)
    here = np.flatnonzero(among(keys, own))
    if len(here) < LEAST_WORDS:
        return None
    size, total = len(index.words[group]), float(rare.total[group])
    key = np.searchsorted(own, keys[here])
    if nats[np.bincount(key, minlength=len(own)) > 0].sum() < max(LEAST_NATS, LEAST_SHARE * total):
        return None
    found = _best_stretch(here, key, nats, size, total)
    if found.margin(size, total) < 0 or found.nats < LEAST_NATS:
        return None
    inside = here[(here >= found.first) & (here <= found.last)]
    spelled = inside[~_is_digit(words.codes[words.starts[begin + inside]])]  # a list of numbers is no item
    if len(np.unique(keys[spelled])) < LEAST_WORDS:
        return None
    here_numbers, has_others = _numbers(
        words, hashes, begin + found.first, begin + found.last + 1, index.numbers[group]
    )
    return RareHit(
        text=text,
        group=group,
        share=found.nats / total,
        numbers=here_numbers,
        has_others=has_others,
        first=begin + found.first - int(words.offsets[text]),
        end=begin + found.last + 1 - int(words.offsets[text]),
    )


def _chained(
    text: int, begin: int, end: int, group: int, words: FoldedWords, hashes: Ragged, index: Index
) -> RareHit | None:
    """The hit of an item in pieces, which stand in its order in a far window; None where they say too little."""
    rare, item = index.rare_words, index.words[group]
    places = pieces.find_places(ngram_hashes(hashes.values[begin:end], pieces.PIECE), item)
    if places.covers(len(item)) < pieces.LEAST_WORDS:
        return None
    own, nats = _words_of(rare, group)
    there = places.words()
    keys = np.zeros(end - begin, dtype=np.uint64)
    keys[there] = loose_keys(words, hashes.values, begin + there)
    at = np.minimum(np.searchsorted(own, keys), len(own) - 1)
    says = np.where(own[at] == keys, nats[at], 0.0)  # (words of the window,)
    chain = pieces.longest_chain(
        places, sum((says[places.here + k] for k in range(pieces.PIECE)), np.zeros(len(places.here)))
    )
    _, first = np.unique(keys[chain.here], return_index=True)
    total, said = float(rare.total[group]), float(says[chain.here[first]].sum())
    if chain.pieces < pieces.LEAST_PIECES or said < max(LEAST_NATS, pieces.LEAST_SHARE * total):
        return None
    spelled = chain.here[~_is_digit(words.codes[words.starts[begin + chain.here]])]
    if len(np.unique(keys[spelled])) < LEAST_WORDS:
        return None
    numbers = index.numbers[group]
    return RareHit(
        text=text,
        group=group,
        share=said / total,
        numbers=float(among(numbers, np.sort(hashes.values[begin + chain.here])).mean()) if len(numbers) else 1.0,
        has_others=len(numbers) > 0,
        first=begin + int(chain.here[0]) - int(words.offsets[text]),
        end=begin + int(chain.here[-1]) + 1 - int(words.offsets[text]),
    )


def _numbers(words: FoldedWords, hashes: Ragged, begin: int, end: int, numbers: Hashes) -> tuple[float, bool]:
    """The share of some numbers that stand among the words `begin` to `end`, 1 of none, and whether others do."""
    values, first = hashes.values[begin:end], words.codes[words.starts[begin:end]]
    has_others = bool((_is_digit(first) & ~among(values, numbers)).any())
    return float(among(numbers, np.sort(values)).mean()) if len(numbers) else 1.0, has_others


def _is_digit(codes: NDArray[Any]) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = (codes >= ord("0")) & (codes <= ord("9"))
    return flags


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """A stretch of a text from the first to the last of an item's words, and what they say."""

    first: int
    last: int
    nats: float

    def margin(self, size: int, total: float) -> float:
        """By how much its share is above what a stretch of this length needs."""
        return self.nats / total - needed_share((self.last - self.first + 1) / size)


def _best_stretch(here: Int, key: Int, nats: Float, size: int, total: float) -> _Stretch:
    """Where the item's words say the most for the length that they take up. `here` are their places, in order."""
    stop = np.searchsorted(here, here + int(MOST_STRETCHED * size), side="right")
    starts = np.unique(np.searchsorted(stop, stop)).tolist()  # of starts with the same end, the first holds the most
    found = [_stretch(here, key, nats, k, int(stop[k])) for k in starts]
    widest = max(range(len(found)), key=lambda k: found[k].nats)
    low, high, best = starts[widest], int(stop[starts[widest]]), found[widest]
    while high - low > 1:
        shorter = [(low + 1, high), (low, high - 1)]
        tried = [_stretch(here, key, nats, *edges) for edges in shorter]
        k = max((0, 1), key=lambda k: tried[k].margin(size, total))
        if tried[k].margin(size, total) <= best.margin(size, total):
            break
        (low, high), best = shorter[k], tried[k]
    return best


def _stretch(here: Int, key: Int, nats: Float, low: int, high: int) -> _Stretch:
    present = np.flatnonzero(np.bincount(key[low:high]))
    return _Stretch(first=int(here[low]), last=int(here[high - 1]), nats=float(nats[present].sum()))


def needed_share(stretch: float) -> float:
    """The share of an item's words, by what they say, that must stand in a stretch so many times its length."""
    return min(MOST_NEEDED, LEAST_SHARE + PER_LENGTH * max(0.0, stretch - 1.0))
