"""Candidates: pairs of a row and a group that may match. A clean row costs one look per word, an anchored one more."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.index import BRIEF, BRIEFEST, HOT, NUM_PERM, SEED, SHINGLE, Index, band_keys
from carto_audit.tables import Int
from carto_audit.words import Ragged, inside_texts, ngram_hashes, premix, segment_minima

LEAST_CONTAINMENT = 0.45
"""No rule flags a long question below this share of its shingles, so such a pair is dropped before verification."""

LEAST_EDITED, LEAST_EDITED_BRIEFEST = 0.3, 0.2
"""The same for questions that are brief or have numbers, and below BRIEFEST words: an edit costs three of few shingles."""

_BLOCK_WORDS = 200_000  # bounds the memory of the join between shingles and groups
_PIECE = 1 << 14  # positions sketched at once: 8 MB of minima
_HALVES = (4, 8, 16, 32, 64, 128)  # a window is three of these long and moves by one: 12 to 384 shingles
_CLUSTER, _CLUSTER_SPAN = 4, 24  # shingles, and the two shortest halves of a window that must hold them
_LONGEST_WINDOW = 3 * _HALVES[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The anchored rows of a chunk. `shingle[p]` names the indexed shingle at word `p`, or is -1."""

    rows: Int  # (n,), in the chunk
    words: Ragged  # (n,)
    shingle: Int  # (words,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Candidates, and the densest window of shared shingles of each: words `first` to `last`, counted in the block."""

    row: Int  # in the block
    group: Int
    first: Int
    last: Int


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
    where, place = index.shingles.table.find(ngram_hashes(values, SHINGLE))
    shingle[where] = place
    shingle[: max(0, len(values) - SHINGLE + 1)][~inside_texts(offsets, SHINGLE)] = -1
    return Block(rows=rows, words=Ragged(values=values, offsets=offsets), shingle=shingle)


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
    minima, counts = _quarter_minima(known, mixed)  # (NUM_PERM, quarters), (quarters,)
    found = []
    for half in _HALVES:
        window, count = _join_three(minima, counts)
        dense = np.flatnonzero(count >= max(_CLUSTER, half // 2))
        if len(dense):
            keys = band_keys(window[:, dense])  # (bands, windows)
            flat, place = index.bands.table.find(keys.ravel())
            hit, group = index.bands.groups.expand(place)
            begin = start + dense[flat[hit] % len(dense)] * half
            found.append(_spread(block, begin, begin + 3 * half, group, len(index.words)))
        minima, counts = _join_two(minima, counts)
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def _quarter_minima(known: Int, mixed: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], Int]:
    """Minima of each run of four positions, the smallest half window; a run without shingles has the empty minimum."""
    quarter = known // _HALVES[0]
    size = int(quarter[-1]) + 1
    filled, begins = np.unique(quarter, return_index=True)
    minima = np.full((NUM_PERM, size), np.iinfo(np.uint32).max, dtype=np.uint32)
    minima[:, filled] = segment_minima(mixed, begins, NUM_PERM, SEED)
    return minima, np.bincount(quarter, minlength=size)


def _join_three(minima: NDArray[np.uint32], counts: Int) -> tuple[NDArray[np.uint32], Int]:
    m = np.pad(minima, ((0, 0), (0, 2)), constant_values=np.iinfo(np.uint32).max)
    c = np.pad(counts, (0, 2))
    return np.minimum(np.minimum(m[:, :-2], m[:, 1:-1]), m[:, 2:]), c[:-2] + c[1:-1] + c[2:]


def _join_two(minima: NDArray[np.uint32], counts: Int) -> tuple[NDArray[np.uint32], Int]:
    odd = len(counts) % 2
    m = np.pad(minima, ((0, 0), (0, odd)), constant_values=np.iinfo(np.uint32).max)
    c = np.pad(counts, (0, odd))
    return np.minimum(m[:, ::2], m[:, 1::2]), c[::2] + c[1::2]


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
    """Groups without any cold shingle, which their options led to: the places where their exact words stand."""
    groups = len(index.words)
    cold = index.shingles.total_idf - index.shingles.hot_idf > 0
    found: list[tuple[int, int, int, int]] = []
    for code in named[~cold[named % groups]].tolist():
        row, group = divmod(code, groups)
        needle = index.words[group]
        begin, end = block.words.offsets[row : row + 2].tolist()
        starts = find_runs(block.words[row], needle)[:8] if len(needle) else np.empty(0, np.int64)
        for start in (begin + starts).tolist():
            found.append((row, group, start, start + max(0, len(needle) - SHINGLE)))
        if not len(starts):
            found += [(row, group, *span) for span in _edited_template(block.shingle[begin:end], begin, group, index)]
    row, group, first, last = np.array(found, dtype=np.int64).reshape(-1, 4).T
    return Pairs(row=row, group=group, first=first, last=last)


def _edited_template(shingle: Int, begin: int, group: int, index: Index) -> list[tuple[int, int]]:
    """The fullest place of a template that does not stand there word for word: first and last shingle."""
    position = begin + np.flatnonzero(np.isin(shingle, index.shingles.of_group[group]))
    if not len(position):
        return []
    first, last, _ = _densest(position, np.full(len(position), group), index)
    return [(int(first[0]), int(last[0]))]


def find_runs(words: NDArray[np.uint64], needle: NDArray[np.uint64]) -> Int:
    """Where `needle`, not empty, stands in `words` word for word."""
    starts = np.flatnonzero(words[: max(0, len(words) - len(needle) + 1)] == needle[0])
    for k in range(1, len(needle)):
        if not len(starts):
            break
        starts = starts[words[starts + k] == needle[k]]
    return starts


def _concatenate(a: Pairs, b: Pairs) -> Pairs:
    return Pairs(
        row=np.concatenate([a.row, b.row]),
        group=np.concatenate([a.group, b.group]),
        first=np.concatenate([a.first, b.first]),
        last=np.concatenate([a.last, b.last]),
    )
