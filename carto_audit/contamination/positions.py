"""Positions: where the shingles of candidates stand in their rows, measured for many candidates at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import Float, Int, Lists, among, ranges, search
from carto_audit.benchmarks.index import HOT, SHINGLE, Index
from carto_audit.contamination.candidates import Block, Pairs
from carto_audit.text.words import Hashes, Ragged, ngrams

RARE = 2
"""A shingle in at most so many groups identifies its item."""

STEM = 25
"""Words at the end of a long question, where it says what it asks."""

MOST_ALIGNED = 400
"""Words; longer questions are measured by their shingles, which many edits do not exhaust."""

SURELY_FOUND = 0.95
"""Containment from which no question is clean, so that a look at its words is in vain."""

_APART = np.uint64(0x9E3779B97F4A7C15)  # times its owner, keeps apart what different owners hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Positions:
    """Of each candidate, (n,), where shingles of its group stand; words are counted in the row.

    The group's words `item_first` to `item_end` are the row's `first` to `end`. Its shingles were looked for among the
    row's words `window_low` to `window_high`; those that may be aligned are `low` to `high`.
    """

    first: Int
    end: Int
    item_first: Int
    item_end: Int
    low: Int
    high: Int
    window_low: Int
    window_high: Int
    is_whole: NDArray[np.bool_]  # nothing of it is left to be aligned, or it is too long for that
    is_verbatim: NDArray[np.bool_]  # all of it stands there word for word, and nothing else
    stem_share: Float  # NaN where the last words have no cold shingle
    weighed: "Weighed"
    here: "Here"
    _shared: "_Shared"
    _groups: "_Groups"
    _own: Int

    def present(self, k: int) -> NDArray[np.bool_]:
        """Which distinct shingles of its group are in the window of candidate `k`."""
        begin = self._shared.present_begin[k]
        return self._shared.present[begin : begin + len(self._groups.distinct[self._own[k]])]

    def ordered(self, k: int) -> Int:
        """The shingles of the group of candidate `k` in reading order."""
        return self._groups.distinct.values[self._groups.ordered[self._own[k]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What the shingles say that were found, but for rounding: sums over all candidates at once."""

    containment: Float
    information: Float
    rare_share: Float  # NaN where no shingle identifies the item
    is_template: NDArray[np.bool_]  # every shingle is hot


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What the words say, in nats, that stand there in whatever order; all of them where that was not asked."""

    nats: Float
    total: Float
    has_numbers: NDArray[np.bool_]
    plain: Float  # like `nats`, without numbers and names
    plain_total: Float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    """The distinct groups of some candidates. `ordered` leads from a group's shingles, in order, to its distinct ones."""

    number: Int
    size: Int  # words
    words: Ragged
    distinct: Lists
    ordered: Lists
    is_stem: NDArray[np.bool_]  # of `ordered`: the cold ones of the last shingles

    @classmethod
    def of(cls, number: Int, index: Index) -> "_Groups":
        words = _words(number, index)
        grams = ngrams(words, SHINGLE)
        owner, shingle = index.shingles.of_group.expand(number)
        distinct = Lists(values=shingle, offsets=_offsets(np.bincount(owner, minlength=len(number))))
        sizes = np.diff(grams.offsets)
        named = search(index.shingles.table.values, grams.values)
        keys = distinct.owners() * len(index.shingles.df) + shingle
        place = keys.searchsorted(np.repeat(np.arange(len(number)), sizes) * len(index.shingles.df) + named)
        is_last = np.arange(len(named)) >= np.repeat(grams.offsets[1:] - (STEM - SHINGLE + 1), sizes)
        return cls(
            number=number,
            size=np.diff(words.offsets),
            words=words,
            distinct=distinct,
            ordered=Lists(values=place, offsets=grams.offsets),
            is_stem=is_last & (index.shingles.df[named] <= HOT),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """Which words of all windows begin a shingle of their group, (words,), and which distinct shingles are there.

    `present` has an entry for each distinct shingle of each candidate's group.
    """

    begin: Int  # (n + 1,), of each window
    is_shared: NDArray[np.bool_]
    present: NDArray[np.bool_]
    present_begin: Int  # (n,)


def find_positions(block: Block, pairs: Pairs, index: Index) -> Positions:
    """The places of some candidates of a block, in their order."""
    number, own = np.unique(pairs.group, return_inverse=True)
    groups = _Groups.of(number, index)
    size = groups.size[own]
    row_begin, row_end = block.words.offsets[pairs.row], block.words.offsets[pairs.row + 1]
    low = np.maximum(row_begin, pairs.first - size // 3)
    high = np.minimum(row_end, pairs.last + 1 + size // 3)
    shared = _shared(block, groups, own, low, high, len(index.shingles.df))
    first, last = _dense(shared, pairs.first - low, pairs.last - low)
    first, end = first + low, last + low + np.minimum(SHINGLE, size)
    read = _read(block, groups, own, shared, first)
    is_whole = read.is_all | (size > MOST_ALIGNED)
    slack = 2 + size // 5
    align_low = np.maximum(row_begin, first - read.first - slack)
    align_high = np.minimum(row_end, end + size - read.end + slack)
    weighed = _weighed(shared, groups, own, index)
    wanted = ~is_whole & (weighed.containment < SURELY_FOUND)
    return Positions(
        first=first - row_begin,
        end=end - row_begin,
        item_first=read.first,
        item_end=read.end,
        low=align_low - row_begin,
        high=align_high - row_begin,
        window_low=low - row_begin,
        window_high=high - row_begin,
        is_whole=is_whole,
        is_verbatim=read.is_verbatim & (end - first == size),
        stem_share=read.stem_share,
        weighed=weighed,
        here=_here(block, groups, own, wanted, align_low, align_high, index),
        _shared=shared,
        _groups=groups,
        _own=own,
    )


def _words(number: Int, index: Index) -> Ragged:
    owner, place = ranges(index.words.offsets[number], index.words.offsets[number + 1])
    return Ragged(values=index.words.values[place], offsets=_offsets(np.bincount(owner, minlength=len(number))))


def _offsets(counts: Int) -> Int:
    return np.concatenate(([0], np.cumsum(counts)))


def _sums(owner: Int, weight: NDArray[np.bool_] | Float, n: int) -> Float:
    """What the entries of each of `n` owners weigh together."""
    return np.bincount(owner, weight, n).astype(np.float64)


def _share(part: Float, whole: Float) -> Float:
    """NaN where the whole is nothing."""
    share: Float = np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
    return share


def _shared(block: Block, groups: _Groups, own: Int, low: Int, high: Int, n_shingles: int) -> _Shared:
    keys = np.append(groups.distinct.owners() * n_shingles + groups.distinct.values, np.iinfo(np.int64).max)
    counts = np.diff(groups.distinct.offsets)[own]
    begin = np.cumsum(counts) - counts
    owner, position = ranges(low, high)
    shingle = block.shingle[position]
    known = np.flatnonzero(shingle >= 0)
    key = own[owner[known]] * n_shingles + shingle[known]
    place = keys.searchsorted(key)
    hit = keys[place] == key
    is_shared = np.zeros(len(position), dtype=bool)
    is_shared[known[hit]] = True
    present = np.zeros(int(counts.sum()), dtype=bool)
    present[place[hit] + (begin - groups.distinct.offsets[own])[owner[known[hit]]]] = True
    return _Shared(begin=_offsets(high - low), is_shared=is_shared, present=present, present_begin=begin)


def _dense(shared: _Shared, first: Int, last: Int) -> tuple[Int, Int]:
    """Outwards from the dense part while shingles still match: stray phrases farther off do not stretch the span."""
    begin, end, n = shared.begin[:-1], shared.begin[1:], len(shared.is_shared)
    other = np.where(shared.is_shared, -1, np.arange(n))
    before = np.concatenate(([-1], np.maximum.accumulate(other)))
    other = np.where(shared.is_shared, n, np.arange(n))
    after = np.append(np.minimum.accumulate(other[::-1])[::-1], n)
    return (
        np.maximum(begin, before[begin + first] + 1) - begin,
        np.minimum(end, after[begin + last + 1]) - 1 - begin,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """The shingles of the groups in reading order: the words from the first to the last that was found, (n,)."""

    first: Int
    end: Int
    is_all: NDArray[np.bool_]
    is_verbatim: NDArray[np.bool_]  # they stand in the row one behind another, from where it is densest
    stem_share: Float


def _read(block: Block, groups: _Groups, own: Int, shared: _Shared, begin: Int) -> _Read:
    size, offsets, n = groups.size[own], groups.ordered.offsets[own], len(own)
    owner, place = ranges(offsets, groups.ordered.offsets[own + 1])
    nth, distinct = place - offsets[owner], groups.ordered.values[place]
    found = shared.present[distinct + (shared.present_begin - groups.distinct.offsets[own])[owner]]
    first, last = _ends(owner[found], nth[found], size)
    there = block.shingle[np.minimum(begin[owner] + nth, len(block.shingle) - 1)]
    differs = there != groups.distinct.values[distinct]
    is_stem = groups.is_stem[place]
    return _Read(
        first=first,
        end=np.minimum(last + SHINGLE, size),
        is_all=np.bincount(owner[~found], minlength=n) == 0,
        is_verbatim=(size >= SHINGLE) & (np.bincount(owner[differs], minlength=n) == 0),
        stem_share=_share(_sums(owner, is_stem & found, n), _sums(owner, is_stem, n)),
    )


def _ends(owner: Int, nth: Int, size: Int) -> tuple[Int, Int]:
    """The first and the last shingle that was found of each, in reading order; all where none was."""
    first, last = np.zeros_like(size), np.maximum(0, size - SHINGLE)
    first[owner[::-1]], last[owner] = nth[::-1], nth  # of an owner that is named again the last entry stays
    return first, last


def _weighed(shared: _Shared, groups: _Groups, own: Int, index: Index) -> Weighed:
    owner, place = ranges(groups.distinct.offsets[own], groups.distinct.offsets[own + 1])
    shingle = groups.distinct.values[place]
    df, n = index.shingles.df[shingle], len(own)
    information = _sums(owner, index.shingles.idf[shingle] * shared.present, n)
    total = index.shingles.total_idf[groups.number[own]]
    is_rare = df <= RARE
    return Weighed(
        # no shingles: found word for word, or it were no candidate
        containment=np.where(total > 0, information / np.where(total > 0, total, 1.0), 1.0),
        information=information,
        rare_share=_share(_sums(owner, is_rare & shared.present, n), _sums(owner, is_rare, n)),
        is_template=_sums(owner, df <= HOT, n) == 0,
    )


def _here(
    block: Block, groups: _Groups, own: Int, wanted: NDArray[np.bool_], low: Int, high: Int, index: Index
) -> Here:
    """Looks for the words of the wanted ones only."""
    group_owner, position = ranges(index.words.offsets[groups.number], index.words.offsets[groups.number + 1])
    counts = np.diff(index.numbers.offsets)[groups.number]
    slot_owner, slot = ranges(index.slots.offsets[groups.number], index.slots.offsets[groups.number + 1])
    slots = np.sort(_apart(index.slots.values[slot], slot_owner))
    is_slot = among(_apart(groups.words.values, group_owner), slots)
    nats = index.nats[position]
    plain = np.where(is_slot, 0.0, nats)
    n = len(groups.number)
    total, plain_total = (_sums(group_owner, what, n)[own] for what in (nats, plain))
    chosen = np.flatnonzero(wanted)
    owner, place = ranges(groups.words.offsets[own[chosen]], groups.words.offsets[own[chosen] + 1])
    in_row, near = ranges(low[chosen], high[chosen])
    here = among(_apart(groups.words.values[place], owner), np.sort(_apart(block.words.values[near], in_row)))
    here_nats, here_plain = total.copy(), plain_total.copy()
    here_nats[chosen] = _sums(owner, nats[place] * here, len(chosen))
    here_plain[chosen] = _sums(owner, plain[place] * here, len(chosen))
    return Here(nats=here_nats, total=total, has_numbers=(counts > 0)[own], plain=here_plain, plain_total=plain_total)


def _apart(hashes: Hashes, owner: Int) -> Hashes:
    return hashes + owner.astype(np.uint64) * _APART


def longest_shared_run(ordered: Int, window: Int, is_whole: bool) -> int:
    """Words of the longest stretch of shingles `ordered` that stands in `window` too, word for word; 0 where none does."""
    if is_whole and len(ordered):
        for start in (window == ordered[0]).nonzero()[0][:2].tolist():
            if np.array_equal(window[start : start + len(ordered)], ordered):
                return len(ordered) + SHINGLE - 1
    sorter = np.argsort(window, kind="stable")
    low = np.searchsorted(window, ordered, side="left", sorter=sorter)
    high = np.searchsorted(window, ordered, side="right", sorter=sorter)
    counts = np.minimum(high - low, 8)  # a text that repeats one phrase must not cost its square
    item_place = np.repeat(np.arange(len(ordered)), counts)
    within = np.arange(len(item_place)) - np.repeat(np.cumsum(counts) - counts, counts)
    diagonal = sorter[low[item_place] + within] - item_place
    if not len(item_place):
        return 0
    order = np.lexsort((item_place, diagonal))
    broken = (np.diff(item_place[order]) != 1) | (np.diff(diagonal[order]) != 0)
    edges = np.concatenate(([0], np.flatnonzero(broken) + 1, [len(order)]))
    return int(np.diff(edges).max()) + SHINGLE - 1
