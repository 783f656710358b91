"""Evidence: what exact comparison measures on a candidate. The MinHash estimate is reported; it decides nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.alignment import align, in_runs
from carto_audit.candidates import Block, Pairs, find_runs
from carto_audit.index import HOT, NUM_PERM, PASSAGE, SEED, SHINGLE, Index
from carto_audit.tables import Int
from carto_audit.tiers import CLEAN, SUPPORTED, Evidence, judge
from carto_audit.words import Hashes, fold, is_number, ngram_hashes, permutations, premix, word_spans

RARE = 2
"""A shingle in at most so many groups identifies its item."""

STEM = 25
"""Words at the end of a long question, where it says what it asks."""

CONTEXT_BEFORE, CONTEXT_AFTER, CONTEXT_AFTER_FREE_FORM = 40, 60, 200
"""Words around the match that are searched for the item's own options or answer."""

ANSWER_WITHIN = 15
"""Words after the match within which an answer of one or two words must follow; farther away it may be chance."""

_LEAST_CHOICE_WEIGHT = 6.0  # nats over all options: below, the options are "True" and "False" and say nothing
_LEAST_SEEN = 0.3  # share of the question's words or shingles; no rule flags a pair with less of both
_LEAST_OF_OPTION = 0.3  # below, what an edited option shares with the text may be a common phrase
_MOST_ITEMS = 64  # of one group that are looked at: the rest shares wording and options alike
_MOST_ALIGNED = 400  # words; longer questions are measured by their shingles, which many edits do not exhaust
_NUMBER = np.uint64(1)  # stands for every number where wordings are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One item found in one row of a chunk. Spans are character offsets; `item_span` is into the component's text."""

    row: int
    item: int
    group: int
    tier: int
    reason: str
    answered: bool
    containment: float
    longest_run: int
    minhash_estimate: float | None
    sample_span: tuple[int, int]
    item_span: tuple[int, int]
    near_variant: bool = False
    supported: bool = False  # its own options or answer stand nearby, so that it is meant and not its twin
    view: str = "words"


def verify(block: Block, pairs: Pairs, texts: list[str], index: Index) -> list[Match]:
    """Matches among the candidates of a block; `texts[r]` is its row `r`. Of overlapping ones the best stays."""
    matches: list[Match] = []
    order = np.argsort(pairs.row, kind="stable")
    begins = np.flatnonzero(np.diff(pairs.row[order], prepend=-1))
    for low, high in pairwise([*begins.tolist(), len(order)]):
        row = _Row.of(block, int(pairs.row[order[low]]), texts)
        found: list[Match] = []
        for k in order[low:high].tolist():
            found += _examine(row, int(pairs.group[k]), int(pairs.first[k]), int(pairs.last[k]), index)
        matches += best_matches(found, index)
    return matches


@dataclass(slots=True, kw_only=True)
class _Row:
    """One anchored row, cut out of its block. The character spans of its words are computed when first needed."""

    number: int
    text: str
    begin: int
    words: Hashes
    shingle: Int
    spans: Int | None = None
    grams: tuple[int, int, Hashes] = (0, 0, np.empty(0, np.uint64))

    def grams_between(self, begin: int, end: int) -> Hashes:
        """The sorted shingles of some of its words; the last answer is kept, as twins ask for the same."""
        if self.grams[:2] != (begin, end):
            self.grams = (begin, end, np.sort(ngram_hashes(self.words[begin:end], SHINGLE)))
        return self.grams[2]

    @classmethod
    def of(cls, block: Block, row: int, texts: list[str]) -> "_Row":
        begin, end = block.words.offsets[row : row + 2].tolist()
        return cls(
            number=int(block.rows[row]),
            text=texts[row],
            begin=begin,
            words=block.words.values[begin:end],
            shingle=block.shingle[begin:end],
        )

    def characters(self, first: int, end: int) -> tuple[int, int]:
        if self.spans is None:
            self.spans = word_spans(self.text)
        return int(self.spans[first, 0]), int(self.spans[end - 1, 1])

    def spelled(self, word: int) -> str:
        start, end = self.characters(word, word + 1)
        return fold(self.text[start:end])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Overlap:
    """Where a group stands in a row: its words `item_first` to `item_end` are the row's words `first` to `end`."""

    first: int
    end: int
    item_first: int
    item_end: int
    window: Int  # the row's shingles around the match, -1 where not indexed
    ordered: Int  # the group's shingles in reading order
    present: NDArray[np.bool_]  # which of the group's distinct shingles are in the window
    aligned: NDArray[np.bool_]  # which of the group's words stand here in order
    low: int  # the words that were aligned are the row's words `low` to `high`
    high: int


def _examine(row: _Row, group: int, first: int, last: int, index: Index) -> Iterator[Match]:
    overlap = _overlap(row, group, first - row.begin, last - row.begin, index)
    if max(overlap.aligned.mean(), overlap.present.mean() if len(overlap.present) else 1.0) < _LEAST_SEEN:
        return
    for item in _one_per_benchmark(index.items[group], row, overlap, index):
        seen = _measure(row, group, item, overlap, index)
        ruling = judge(seen)
        if ruling.tier == CLEAN:
            continue
        spans = word_spans(index.item_text(item, group))
        yield Match(
            row=row.number,
            item=item,
            group=group,
            tier=ruling.tier,
            reason=ruling.reason,
            near_variant=ruling.near_variant,
            supported=seen.support >= SUPPORTED,
            answered=_answered(row, item, overlap, index),
            containment=seen.containment,
            longest_run=_longest_run(overlap),
            minhash_estimate=_estimate(overlap, group, index),
            sample_span=row.characters(overlap.first, overlap.end),
            item_span=(int(spans[overlap.item_first, 0]), int(spans[overlap.item_end - 1, 1])),
        )


def _overlap(row: _Row, group: int, first: int, last: int, index: Index) -> _Overlap:
    words = index.words[group]
    ordered = np.searchsorted(index.shingles.table.values, ngram_hashes(words, SHINGLE)).astype(np.int64)
    distinct = index.shingles.of_group[group]
    margin = len(words) // 3
    low, high = max(0, first - margin), min(len(row.shingle), last + 1 + margin)
    window = row.shingle[low:high]
    shared = _among(window, distinct)
    # Outwards from the dense part while shingles still match: stray common phrases farther off do not stretch the span.
    while first > low and shared[first - 1 - low]:
        first -= 1
    while last + 1 < high and shared[last + 1 - low]:
        last += 1
    seen = np.sort(window)
    found = np.flatnonzero(_among(ordered, seen))
    item_first, item_last = (int(found[0]), int(found[-1])) if len(found) else (0, max(0, len(words) - SHINGLE))
    end, item_end = last + min(SHINGLE, len(words)), min(item_last + SHINGLE, len(words))
    slack = 2 + len(words) // 5
    low, high = max(0, first - item_first - slack), min(len(row.words), end + len(words) - item_end + slack)
    whole = len(found) == len(ordered) or len(words) > _MOST_ALIGNED
    aligned, place = (np.arange(len(words)), np.empty(0, np.int64)) if whole else align(words, row.words[low:high])
    if not whole:
        kept = in_runs(aligned, place)
        aligned, place = aligned[kept], place[kept]
    if len(place):
        first, end = min(first, low + int(place[0])), max(end, low + int(place[-1]) + 1)
        item_first, item_end = min(item_first, int(aligned[0])), max(item_end, int(aligned[-1]) + 1)
    is_aligned = np.zeros(len(words), dtype=bool)
    is_aligned[aligned] = True
    return _Overlap(
        first=first,
        end=end,
        item_first=item_first,
        item_end=item_end,
        window=window,
        ordered=ordered,
        present=_among(distinct, seen),
        aligned=is_aligned,
        low=low,
        high=high,
    )


def _among(values: NDArray[Any], ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of `values` are in the sorted array `ordered`; on small arrays much faster than `np.isin`."""
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    place = ordered.searchsorted(values)
    place[place == len(ordered)] = 0
    found: NDArray[np.bool_] = ordered[place] == values
    return found


def _measure(row: _Row, group: int, item: int, overlap: _Overlap, index: Index) -> Evidence:
    shingles = index.shingles
    distinct, present = shingles.of_group[group], overlap.present
    idf, df = shingles.idf[distinct], shingles.df[distinct]
    information = float(idf[present].sum())
    rare = df <= RARE
    total = float(idf.sum())
    stem = overlap.ordered[-(STEM - SHINGLE + 1) :]
    stem = stem[shingles.df[stem] <= HOT]
    nats = index.nats[slice(*index.words.offsets[group : group + 2])]
    numbers = _Numbers.of(row, group, overlap, index)
    return Evidence(
        words=len(index.words[group]),
        is_passage=bool(index.component[group] == PASSAGE),
        containment=information / total if total else 1.0,  # no shingles: found word for word, or it were no candidate
        rare_containment=float(present[rare].mean()) if rare.any() else None,
        information=information,
        aligned=float(nats[overlap.aligned].sum() / max(nats.sum(), 1e-9)),
        nats=float(nats[overlap.aligned].sum()),
        support=_support(row, item, overlap, index),
        number_share=numbers.share,
        other_numbers=numbers.others,
        wording=numbers.wording,
        stem_share=float(_among(stem, np.sort(overlap.window)).mean()) if len(stem) else None,
        is_template=not bool((df <= HOT).any()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Numbers:
    """The question's numbers in the row: see `Evidence`."""

    share: float | None
    others: bool = False
    wording: float = 0.0

    @classmethod
    def of(cls, row: _Row, group: int, overlap: _Overlap, index: Index) -> "_Numbers":
        numbers = index.numbers[group]
        if not len(numbers):
            return cls(share=None)
        near = row.words[overlap.low : overlap.high]
        share = float(_among(numbers, np.sort(row.words[overlap.first : overlap.end])).mean())
        if share >= 0.5 or len(index.words[group]) > _MOST_ALIGNED:
            return cls(share=share, others=share < 0.5)
        spelled = [row.spelled(k) for k in range(overlap.low, overlap.high)]
        is_digit = np.array([is_number(word) for word in spelled], dtype=bool)
        own = index.words[group]
        is_own = np.isin(own, numbers)
        item, place = align(np.where(is_own, _NUMBER, own), np.where(is_digit, _NUMBER, near))
        nats = np.where(is_own, 0.0, index.nats[slice(*index.words.offsets[group : group + 2])])
        others = bool((is_digit & ~np.isin(near, numbers))[place].any())
        return cls(share=share, others=others, wording=float(nats[item].sum() / max(nats.sum(), 1e-9)))


def _one_per_benchmark(items: Int, row: _Row, overlap: _Overlap, index: Index) -> list[int]:
    """Of the items that share one question the best supported of each benchmark, the first where none is."""
    best: dict[int, tuple[float, int]] = {}

    def more_whole(item: int, rival: int) -> bool:
        return _whole_options(row, item, overlap, index) > _whole_options(row, rival, overlap, index)

    for item in items[:_MOST_ITEMS].tolist():
        support = _support(row, item, overlap, index) if len(items) > 1 else 0.0
        benchmark = int(index.item_benchmark[item])
        rival = best.get(benchmark)
        if rival is None or support > rival[0] or (support == rival[0] > 0 and more_whole(item, rival[1])):
            best[benchmark] = (support, item)
    return [item for _, item in best.values()]


def _context(row: _Row, item: int, overlap: _Overlap, index: Index) -> tuple[int, int]:
    """Where the item's own options or answer are looked for: words of the row."""
    first, last = index.choices.of_item.offsets[item : item + 2]
    after = CONTEXT_AFTER_FREE_FORM
    if last > first:
        after = CONTEXT_AFTER + int(index.choices.words.offsets[last] - index.choices.words.offsets[first])
    return max(0, overlap.first - CONTEXT_BEFORE), min(len(row.words), overlap.end + after)


def _support(row: _Row, item: int, overlap: _Overlap, index: Index) -> float:
    """Weighted share of the item's options that stand near the match word for word, or of its answer's shingles."""
    begin, end = _context(row, item, overlap, index)
    first, last = index.choices.of_item.offsets[item : item + 2].tolist()
    if first == last:
        answer = ngram_hashes(index.answers[item], SHINGLE)
        return float(_among(np.unique(answer), row.grams_between(begin, end)).mean()) if len(answer) else 0.0
    weight = index.choices.weight[first:last]
    total = float(weight.sum())
    if total <= _LEAST_CHOICE_WEIGHT:
        return 0.0
    present = _presence(row, begin, end, first, last, index)
    return float((weight * present).sum()) / total


def _whole_options(row: _Row, item: int, overlap: _Overlap, index: Index) -> int:
    """How many of the item's options stand near the match word for word: twins may differ in what all options share."""
    begin, end = _context(row, item, overlap, index)
    options = index.choices.of_item[item]
    return int((_counts(row.words[begin:end], options, np.ones(len(options), dtype=bool), index) > 0).sum())


def _presence(row: _Row, begin: int, end: int, first: int, last: int, index: Index) -> NDArray[np.float64]:
    """Of each option the share of its shingles in the words `begin` to `end`, if that is much; a short one is sought."""
    shingles, words = index.choices.shingles, index.choices.words
    offsets = shingles.offsets[first : last + 1]
    hits = _among(shingles.values[offsets[0] : offsets[-1]], row.grams_between(begin, end))
    running = np.concatenate(([0], np.cumsum(hits)))
    sizes = np.diff(offsets)
    share = np.diff(running[offsets - offsets[0]]) / np.maximum(sizes, 1)
    share[share < _LEAST_OF_OPTION] = 0.0
    for k in np.flatnonzero((sizes == 0) & (index.choices.weight[first:last] > 0)).tolist():
        share[k] = len(find_runs(row.words[begin:end], words[first + k])) > 0
    return np.asarray(share, dtype=np.float64)


def _counts(words: Hashes, choices: Int, wanted: NDArray[np.bool_], index: Index) -> Int:
    """How often each wanted option stands in `words`."""
    needles = [index.choices.words[choice] for choice in choices.tolist()]
    counts = [
        len(find_runs(words, needle)) if look and len(needle) else 0
        for needle, look in zip(needles, wanted.tolist(), strict=True)
    ]
    return np.array(counts, dtype=np.int64)


def _answered(row: _Row, item: int, overlap: _Overlap, index: Index) -> bool:
    """Whether the gold answer follows: twice where all options are listed, else at least once and no other option."""
    choices = index.choices.of_item[item]
    after = row.words[overlap.end : _context(row, item, overlap, index)[1]]
    if not len(choices):
        answer = index.answers[item]
        if len(answer) >= SHINGLE:
            return _support(row, item, overlap, index) >= SUPPORTED
        return len(answer) > 0 and len(find_runs(after[:ANSWER_WITHIN], answer)) > 0
    gold = index.choices.is_gold[choices]
    if not gold.any():
        return False
    counts = _counts(after, choices, np.ones(len(choices), dtype=bool), index)
    if (counts[~gold] > 0).any():
        return bool((counts > 0).all() and counts[gold].max() >= 2)
    near = after if index.choices.weight[choices][gold].max() > 0 else after[:ANSWER_WITHIN]
    return bool(_counts(near, choices, gold, index).max() > 0)


def _longest_run(overlap: _Overlap) -> int:
    """Words of the longest stretch that stands in both, word for word."""
    window, ordered = overlap.window, overlap.ordered
    sorter = np.argsort(window, kind="stable")
    low = np.searchsorted(window, ordered, side="left", sorter=sorter)
    high = np.searchsorted(window, ordered, side="right", sorter=sorter)
    counts = np.minimum(high - low, 8)  # a text that repeats one phrase must not cost its square
    item_place = np.repeat(np.arange(len(ordered)), counts)
    within = np.arange(len(item_place)) - np.repeat(np.cumsum(counts) - counts, counts)
    diagonal = sorter[low[item_place] + within] - item_place
    if not len(item_place):
        return overlap.item_end - overlap.item_first
    order = np.lexsort((item_place, diagonal))
    broken = (np.diff(item_place[order]) != 1) | (np.diff(diagonal[order]) != 0)
    edges = np.concatenate(([0], np.flatnonzero(broken) + 1, [len(order)]))
    return int(np.diff(edges).max()) + SHINGLE - 1


def _estimate(overlap: _Overlap, group: int, index: Index) -> float | None:
    """MinHash estimate of the Jaccard similarity between the item and the window's indexed shingles."""
    cold = overlap.window[overlap.window >= 0]
    cold = cold[index.shingles.df[cold] <= HOT]
    if not len(cold):
        return None
    factors, terms = permutations(NUM_PERM, SEED)
    signature = (premix(index.shingles.table.values[cold])[:, None] * factors + terms).min(axis=0)
    return float((signature == index.bands.signatures[:, group]).mean())


def best_matches(found: list[Match], index: Index) -> list[Match]:
    """Of matches with one benchmark that overlap by half, the surest: twins of an item are not found as well."""
    kept: list[Match] = []
    for match in sorted(found, key=lambda m: (-m.tier, -m.containment, -m.longest_run, m.item)):
        rivals = [k for k in kept if index.item_benchmark[k.item] == index.item_benchmark[match.item]]
        if not any(_overlap_share(match.sample_span, rival.sample_span) >= 0.5 for rival in rivals):
            kept.append(match)
    return sorted(kept, key=lambda m: (m.sample_span, m.item))


def _overlap_share(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Common characters as a share of `a`."""
    return max(0, min(a[1], b[1]) - max(a[0], b[0])) / max(1, a[1] - a[0])
