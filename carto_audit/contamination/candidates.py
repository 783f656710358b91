"""Candidates: pairs of a row and a group that may match. A clean row costs one look per word, an anchored one more."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import Int, among
from carto_audit.benchmarks.index import BRIEF, BRIEFEST, HOT, NUM_PERM, SEED, SHINGLE, Index, band_keys
from carto_audit.text.minhash import premix, short_segment_minima
from carto_audit.text.words import (
    Hashes,
    Ragged,
    inside_texts,
    ngram_hashes,
    run_places,
    spans_of_words,
    word_spans,
)

LEAST_CONTAINMENT = 0.45
"""No rule flags a long question below this share of its shingles, so such a pair is dropped before verification."""

LEAST_EDITED, LEAST_EDITED_BRIEFEST = 0.3, 0.2
"""The same for questions that are brief or have numbers, and below BRIEFEST words: an edit costs three of few shingles."""

_BLOCK_WORDS = 200_000  # bounds the memory of the join between shingles and groups
_PIECE = 1 << 14  # positions sketched at once: 8 MB of minima
_HALVES = (4, 8, 16, 32, 64, 128)  # a window is three of these long and moves by one: 12 to 384 shingles
_CLUSTER, _CLUSTER_SPAN = 4, 24  # shingles, and the two shortest halves of a window that must hold them
_MOST_WHOLE = 8  # places of one template in one row
_SPELLED_AT_ONCE = 1 << 20  # characters
_LONGEST_WINDOW = 3 * _HALVES[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The anchored rows of a chunk. `shingle[p]` names the indexed shingle at word `p`, or is -1; `grams[p]` is any."""

    rows: Int  # (n,), in the chunk
    words: Ragged  # (n,)
    shingle: Int  # (words,)
    grams: Hashes  # (words - SHINGLE + 1,), or empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Candidates, and the densest window of shared shingles of each: words `first` to `last`, counted in the block."""

    row: Int  # in the block
    group: Int
    first: Int
    last: Int


@dataclass(slots=True, kw_only=True)
class Row:
    """One anchored row, cut out of its block. What is asked of it again and again is kept."""

    number: int
    text: str
    begin: int
    words: Hashes
    shingle: Int
    grams: Hashes
    spans: Int | None = None
    _grams: tuple[int, int, Hashes] = (0, 0, np.empty(0, np.uint64))
    _every: tuple[Hashes, Hashes] | None = None

    @classmethod
    def of(cls, block: Block, row: int, texts: list[str]) -> "Row":
        """Row `row` of the block; `texts` are those of the block."""
        begin, end = block.words.offsets[row : row + 2].tolist()
        return cls(
            number=int(block.rows[row]),
            text=texts[row],
            begin=begin,
            words=block.words.values[begin:end],
            shingle=block.shingle[begin:end],
            grams=block.grams[begin : max(begin, end - SHINGLE + 1)],
        )

    def grams_between(self, begin: int, end: int) -> Hashes:
        """The sorted shingles of some of its words; the last answer is kept, as twins ask for the same."""
        if self._grams[:2] != (begin, end):
            self._grams = (begin, end, np.sort(self.grams[begin : max(begin, end - SHINGLE + 1)]))
        return self._grams[2]

    def every(self) -> tuple[Hashes, Hashes]:
        """All its words and all its shingles, sorted."""
        if self._every is None:
            self._every = np.sort(self.words), np.sort(self.grams)
        return self._every

    def characters(self, first: int, end: int) -> tuple[int, int]:
        """The span in its text of the words `first` to `end`."""
        if self.spans is None:
            self.spans = word_spans(self.text)
        return int(self.spans[first, 0]), int(self.spans[end - 1, 1])

    def written(self, word: int) -> str:
        """One of its words as it stands there."""
        start, end = self.characters(word, word + 1)
        return self.text[start:end]


def spell_out(rows: list[Row]) -> None:
    """Prepares `characters` of many rows at once."""
    for is_ascii in (True, False):
        some = [row for row in rows if row.text.isascii() == is_ascii]
        if not some:
            continue
        sizes = np.cumsum([len(row.text) for row in some])
        for part in np.split(np.arange(len(some)), np.flatnonzero(np.diff(sizes // _SPELLED_AT_ONCE)) + 1):
            for k, spans in zip(part.tolist(), spans_of_words([some[k].text for k in part.tolist()]), strict=True):
                some[k].spans = spans


def find_candidates(words: Ragged, index: Index) -> Iterator[tuple[Block, Pairs]]:
    """Candidates of one chunk, block by block. A row without anchors appears in none."""
    row, anchor, group = _anchor_hits(words, index)
    rows = np.unique(row)
    block_number = np.cumsum(np.diff(words.offsets)[rows]) // _BLOCK_WORDS
    for number in np.unique(block_number).tolist():
        block = _cut(words, rows[block_number == number], index)
        inside = np.isin(row, block.rows)
        place = np.searchsorted(block.rows, row[inside])
        named = _named_twice(place, anchor[inside], group[inside], index)
        proposed = _proposed(block, index)
        yield block, _concatenate(_located(block, np.union1d(named, proposed), index), _templates(block, named, index))


def _anchor_hits(words: Ragged, index: Index) -> tuple[Int, Int, Int]:
    """(row, anchor, group) of every anchor in the chunk; anchors of all lengths are numbered through."""
    found, numbered = [], 0
    for anchors in index.anchors:
        where, place = anchors.table.find(ngram_hashes(words.values, anchors.n))
        row = _row_of(words, where)
        inside = where + anchors.n <= words.offsets[row + 1]
        hit, group = anchors.groups.expand(place[inside])
        found.append(np.stack([row[inside][hit], place[inside][hit] + numbered, group]))
        numbered += len(anchors.table.values)
    row, anchor, group = np.concatenate(found, axis=1) if found else np.empty((3, 0), np.int64)
    return row, anchor, group


def _row_of(words: Ragged, position: Int) -> Int:
    row: Int = np.searchsorted(words.offsets, position, side="right") - 1
    return row


def _cut(words: Ragged, rows: Int, index: Index) -> Block:
    counts = np.diff(words.offsets)[rows]
    offsets = np.concatenate(([0], np.cumsum(counts)))
    values = words.values[np.arange(offsets[-1]) + np.repeat(words.offsets[rows] - offsets[:-1], counts)]
    shingle = np.full(len(values), -1, dtype=np.int64)
    grams = ngram_hashes(values, SHINGLE)
    where, place = index.shingles.table.find(grams)
    shingle[where] = place
    shingle[: max(0, len(values) - SHINGLE + 1)][~inside_texts(offsets, SHINGLE)] = -1
    return Block(rows=rows, words=Ragged(values=values, offsets=offsets), shingle=shingle, grams=grams)


def _named_twice(row: Int, anchor: Int, group: Int, index: Index) -> Int:
    """Codes (row * groups + group) of pairs that share two distinct anchors, or one where the question is brief."""
    groups, anchors = len(index.words), int(anchor.max(initial=0)) + 1
    distinct = np.unique((row * groups + group) * anchors + anchor)
    code, count = np.unique(distinct // anchors, return_counts=True)
    is_brief = np.diff(index.words.offsets)[code % groups] < BRIEF
    named: Int = code[is_brief | (count >= np.minimum(2, index.anchor_count[code % groups]))]
    return named


def _proposed(block: Block, index: Index) -> Int:
    """Codes of pairs that a MinHash window proposes. Windows see indexed, cold shingles only: filler is no noise."""
    known = np.flatnonzero(block.shingle >= 0)
    known = known[index.shingles.df[block.shingle[known]] <= HOT]
    known = known[_clustered(known)]
    mixed = premix(index.shingles.table.values[block.shingle[known]])
    step = _PIECE - _LONGEST_WINDOW
    found = [np.empty(0, np.int64)]
    for start in np.unique(known // step * step).tolist() if len(known) else ():
        low, high = np.searchsorted(known, (start, start + _PIECE))
        if low < high:
            found.append(_propose_piece(block, known[low:high] - start, mixed[low:high], start, index))
    return np.unique(np.concatenate(found))


def _clustered(known: Int) -> NDArray[np.bool_]:
    """Which positions lie among _CLUSTER within _CLUSTER_SPAN. A window that is dense anywhere holds such a cluster."""
    inside = np.zeros(len(known), dtype=bool)
    begins = np.flatnonzero(known[_CLUSTER - 1 :] - known[: len(known) - _CLUSTER + 1] < _CLUSTER_SPAN)
    for k in range(_CLUSTER):
        inside[begins + k] = True
    return inside


def _propose_piece(block: Block, known: Int, mixed: NDArray[np.uint32], start: int, index: Index) -> Int:
    halves, begins = np.unique(known // _HALVES[0], return_index=True)
    counts = np.diff(begins, append=len(known))
    minima = short_segment_minima(
        mixed, begins, _HALVES[0], NUM_PERM, SEED
    )  # (NUM_PERM, halves): of those that hold shingles only
    found = [np.empty(0, np.int64)]
    for half in _HALVES:
        first, last, low, high = _windows(halves, counts, max(_CLUSTER, half // 2))
        if len(first):
            middle = (low + high) // 2  # a window holds one to three halves
            keys = band_keys(np.minimum(np.minimum(minima[:, low], minima[:, middle]), minima[:, high]))
            flat, place = index.bands.table.find(keys.ravel())  # (bands * windows,)
            hit, group = index.bands.groups.expand(place)
            pairs = np.unique(flat[hit] % len(first) * len(index.words) + group)
            window, group = pairs // len(index.words), pairs % len(index.words)
            begin, end = start + first[window] * half, start + (last[window] + 3) * half
            found.append(_spread(block, begin, end, group, len(index.words)))
        halves, minima, counts = _join_two(halves, minima, counts)
    return np.unique(np.concatenate(found))


def _windows(halves: Int, counts: Int, least: int) -> tuple[Int, Int, Int, Int]:
    """Windows of three halves with `least` shingles or more, those that hold the same halves as one.

    Gives the first half of the first and of the last of them, and the places in `halves` of what they hold.
    """
    filled = np.zeros(int(halves[-1]) + 4, dtype=np.int64)
    filled[halves + 1] = 1
    before = np.cumsum(filled)
    low, high = before[:-3], before[3:]  # (windows,): of `halves`, from where to before where
    total = np.concatenate(([0], np.cumsum(counts)))
    dense = np.flatnonzero(total[high] - total[low] >= least)
    low, high = low[dense], high[dense]
    differs = (np.diff(low) != 0) | (np.diff(high) != 0)
    opens, closes = np.append(True, differs)[: len(dense)], np.append(differs, True)[: len(dense)]
    return dense[opens], dense[closes], low[opens], high[opens] - 1


def _join_two(halves: Int, minima: NDArray[np.uint32], counts: Int) -> tuple[Int, NDArray[np.uint32], Int]:
    joined, begins = np.unique(halves // 2, return_index=True)
    ends = np.append(begins[1:], len(halves)) - 1
    return joined, np.minimum(minima[:, begins], minima[:, ends]), np.add.reduceat(counts, begins)


def _spread(block: Block, begin: Int, end: Int, group: Int, groups: int) -> Int:
    """Codes of every row that a window touches, with the group that it proposed."""
    first = _row_of(block.words, begin)
    last = _row_of(block.words, np.minimum(end, len(block.shingle)) - 1)
    counts = last - first + 1
    row = np.arange(counts.sum()) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    return np.unique(row * groups + np.repeat(group, counts))


def _located(block: Block, codes: Int, index: Index) -> Pairs:
    """For each candidate its densest window; candidates that cannot reach LEAST_CONTAINMENT are dropped."""
    groups = len(index.words)
    where = np.flatnonzero(block.shingle >= 0)
    hit, group = index.shingles.groups.expand(block.shingle[where])
    position = where[hit]
    code = _row_of(block.words, position) * groups + group
    wanted = np.isin(code, codes)
    position, code, shingle = position[wanted], code[wanted], block.shingle[position[wanted]]
    reachable = _reachable(code, shingle, index)
    position, code = position[reachable], code[reachable]
    order = np.lexsort((position, code))
    first, last, begins = _densest(position[order], code[order], index)
    code = code[order][begins]
    return Pairs(row=code // groups, group=code % groups, first=first, last=last)


def _reachable(code: Int, shingle: Int, index: Index) -> NDArray[np.bool_]:
    """Whether the pair's shared shingles, wherever in the row, weigh enough; hot ones get the benefit of the doubt."""
    codes, place = np.unique(code, return_inverse=True)
    distinct = np.unique(place * len(index.shingles.df) + shingle)
    owner, weight = distinct // len(index.shingles.df), index.shingles.idf[distinct % len(index.shingles.df)]
    group = codes % len(index.words)
    shared = np.bincount(owner, weight, len(codes)) + index.shingles.hot_idf[group]
    lengths = np.diff(index.words.offsets)[group]
    is_brief = lengths < BRIEF
    least = np.where(lengths < BRIEFEST, LEAST_EDITED_BRIEFEST, LEAST_EDITED)
    least = np.where(is_brief | (np.diff(index.numbers.offsets)[group] > 0), least, LEAST_CONTAINMENT)
    enough: NDArray[np.bool_] = (shared >= least * index.shingles.total_idf[group])[place]
    return enough


def _densest(position: Int, code: Int, index: Index) -> tuple[Int, Int, Int]:
    """Per run of equal codes: first and last position in its fullest window of 1.3 lengths, and where the run is."""
    if not len(code):
        return position, position, position
    codes, begins, place = np.unique(code, return_index=True, return_inverse=True)
    length = np.diff(index.words.offsets)[codes % len(index.words)]
    width = (1.3 * length).astype(np.int64) + 5
    span = int(position.max()) + int(width.max()) + 1
    key = place * span + position
    # A window that would begin before its run finds the run's own first entry, as positions of others lie a span away.
    low = np.maximum(np.searchsorted(key, key - width[place]), begins[place])
    order = np.arange(len(key))
    rank = (order - low + 1) * len(key) + (len(key) - 1 - order)  # fullest first, then earliest
    best = len(key) - 1 - np.maximum.reduceat(rank, begins) % len(key)
    return position[low[best]], position[best], begins


def _templates(block: Block, named: Int, index: Index) -> Pairs:
    """Groups without any cold shingle, which their options led to: the places where their exact words stand.

    Where a template does not stand word for word, its fullest place.
    """
    groups = len(index.words)
    cold = index.shingles.total_idf - index.shingles.hot_idf > 0
    whole: list[tuple[int, int, int]] = []
    edited: list[Int] = []
    current, haystack = -1, b""
    for code in named[~cold[named % groups]].tolist():
        row, group = divmod(code, groups)
        needle = index.words[group]
        begin, end = block.words.offsets[row : row + 2].tolist()
        if row != current:
            current, haystack = row, block.words[row].tobytes()
        starts = run_places(haystack, needle.tobytes(), _MOST_WHOLE) if len(needle) else []
        for start in starts:
            whole.append((code, begin + start, begin + start + max(0, len(needle) - SHINGLE)))
        if not starts:
            shared = among(block.shingle[begin:end], index.shingles.of_group[group])
            place = begin + np.flatnonzero(shared)
            edited.append(np.stack([place, np.full_like(place, code)]))
    position, owner = np.concatenate([np.empty((2, 0), np.int64), *edited], axis=1)
    first, last, begins = _densest(position, owner, index)
    exact = np.array(whole, dtype=np.int64).reshape(-1, 3)
    found = np.concatenate([exact, np.stack([owner[begins], first, last], axis=1)])
    code, first, last = found[np.argsort(found[:, 0], kind="stable")].T
    return Pairs(row=code // groups, group=code % groups, first=first, last=last)


def _concatenate(a: Pairs, b: Pairs) -> Pairs:
    return Pairs(
        row=np.concatenate([a.row, b.row]),
        group=np.concatenate([a.group, b.group]),
        first=np.concatenate([a.first, b.first]),
        last=np.concatenate([a.last, b.last]),
    )
