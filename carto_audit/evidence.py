"""Evidence: what exact comparison measures on a candidate. The MinHash estimate is reported; it decides nothing."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from carto_audit.alignment import align, in_runs
from carto_audit.candidates import Block, Pairs, Row
from carto_audit.index import HOT, NUM_PERM, PASSAGE, SEED, SHINGLE, Index
from carto_audit.support import Traces, best_supported, is_answered
from carto_audit.tables import Float, Int, among
from carto_audit.tiers import CLEAN, NAMING, SAME_WORDING, SUPPORTED, Evidence, judge
from carto_audit.words import Hashes, is_number, ngram_hashes, permutations, premix, word_spans, words_span

RARE = 2
"""A shingle in at most so many groups identifies its item."""

STEM = 25
"""Words at the end of a long question, where it says what it asks."""

_LEAST_SEEN = 0.3  # share of the question's words or shingles; no rule flags a pair with less of both
_SURELY_FOUND = 0.95  # containment from which no question is clean, so that asking is in vain
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
    groups: dict[int, _Group] = {}
    order = np.argsort(pairs.row, kind="stable")
    begins = np.flatnonzero(np.diff(pairs.row[order], prepend=-1))
    for low, high in pairwise([*begins.tolist(), len(order)]):
        row = Row.of(block, int(pairs.row[order[low]]), texts)
        found: list[Match] = []
        for k in order[low:high].tolist():
            number = int(pairs.group[k])
            group = groups.get(number) or groups.setdefault(number, _Group.of(number, index))
            found += _examine(row, group, int(pairs.first[k]) - row.begin, int(pairs.last[k]) - row.begin, index)
        matches += best_matches(found, index)
    return matches


@dataclass(slots=True, kw_only=True)
class _Group:
    """One group, with all that comparing it with a row needs; made once for all rows of a block."""

    number: int
    is_passage: bool
    items: Int
    words: Hashes
    nats: Float  # what each word adds
    total_nats: float
    is_number: NDArray[np.bool_] | None  # which words are; None where none is
    ordered: Int  # its shingles in reading order
    distinct: Int
    idf: Float  # of the distinct shingles
    total: float
    rare: NDArray[np.bool_] | None  # which distinct shingles identify it; None where none does
    is_template: bool
    stem: Int  # the cold ones of the last shingles
    _traces: Traces | None = None

    @classmethod
    def of(cls, number: int, index: Index) -> "_Group":
        words, distinct = index.words[number], index.shingles.of_group[number]
        ordered = index.shingles.table.values.searchsorted(ngram_hashes(words, SHINGLE)).astype(np.int64)
        df, idf = index.shingles.df[distinct], index.shingles.idf[distinct]
        stem = ordered[-(STEM - SHINGLE + 1) :]
        rare = df <= RARE
        nats = index.nats[slice(*index.words.offsets[number : number + 2])]
        numbers, items = index.numbers[number], index.items[number]
        return cls(
            number=number,
            is_passage=bool(index.component[number] == PASSAGE),
            items=items,
            words=words,
            nats=nats,
            total_nats=float(nats.sum()),
            is_number=among(words, numbers) if len(numbers) else None,
            ordered=ordered,
            distinct=distinct,
            idf=idf,
            total=float(idf.sum()),
            rare=rare if rare.any() else None,
            is_template=not bool((df <= HOT).any()),
            stem=stem[index.shingles.df[stem] <= HOT],
        )

    def traces(self, index: Index) -> Traces:
        if self._traces is None:
            self._traces = Traces.of(self.items, index)
        return self._traces


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where shingles of a group stand in a row: its words `item_first` to `item_end` are the row's `first` to `end`."""

    first: int
    end: int
    item_first: int
    item_end: int
    window: Int  # the row's shingles around the match, -1 where not indexed
    present: NDArray[np.bool_]  # which of the group's distinct shingles are in the window
    is_whole: bool  # nothing of it is left to be aligned, or it is too long for that
    low: int  # the row's words `low` to `high` are those that may be aligned
    high: int
    evidence: Evidence  # as far as shingles tell; every word counts as aligned


def _examine(row: Row, group: _Group, first: int, last: int, index: Index) -> Iterator[Match]:
    place = _place(row, group, first, last)
    if _is_clean(row, group, place, index):
        return
    place, aligned = (place, np.ones(len(group.words), dtype=bool)) if place.is_whole else _aligned(row, group, place)
    if max(_share(aligned), _share(place.present) if len(place.present) else 1.0) < _LEAST_SEEN:
        return
    evidence = _measure(row, group, place, aligned, index)
    for item, support in best_supported(group.items, row, place.first, place.end, index):
        ruling = judge(replace(evidence, support=support))
        if ruling.tier == CLEAN:
            continue
        text = index.item_text(item, group.number)
        yield Match(
            row=row.number,
            item=item,
            group=group.number,
            tier=ruling.tier,
            reason=ruling.reason,
            near_variant=ruling.near_variant,
            supported=support >= SUPPORTED,
            answered=is_answered(item, row, place.first, place.end, index),
            containment=evidence.containment,
            longest_run=_longest_run(group, place),
            minhash_estimate=_estimate(place.window, group, index),
            sample_span=row.characters(place.first, place.end),
            item_span=_item_span(text, group, place),
        )


def _place(row: Row, group: _Group, first: int, last: int) -> _Place:
    size = len(group.words)
    margin = size // 3
    low, high = max(0, first - margin), min(len(row.shingle), last + 1 + margin)
    window = row.shingle[low:high]
    shared = among(window, group.distinct).tolist()
    # Outwards from the dense part while shingles still match: stray common phrases farther off do not stretch the span.
    while first > low and shared[first - 1 - low]:
        first -= 1
    while last + 1 < high and shared[last + 1 - low]:
        last += 1
    seen = np.sort(window)
    found = among(group.ordered, seen).nonzero()[0]
    item_first, item_last = (int(found[0]), int(found[-1])) if len(found) else (0, max(0, size - SHINGLE))
    end, item_end = last + min(SHINGLE, size), min(item_last + SHINGLE, size)
    slack = 2 + size // 5
    present = among(group.distinct, seen)
    information = float(group.idf[present].sum())
    return _Place(
        first=first,
        end=end,
        item_first=item_first,
        item_end=item_end,
        window=window,
        present=present,
        is_whole=len(found) == len(group.ordered) or size > _MOST_ALIGNED,
        low=max(0, first - item_first - slack),
        high=min(len(row.words), end + size - item_end + slack),
        evidence=Evidence(
            words=size,
            is_passage=group.is_passage,
            # no shingles: found word for word, or it were no candidate
            containment=information / group.total if group.total else 1.0,
            rare_containment=_share(present[group.rare]) if group.rare is not None else None,
            information=information,
            aligned=group.total_nats / max(group.total_nats, 1e-9),
            nats=group.total_nats,
            support=0.0,
            number_share=None,
            other_numbers=False,
            wording=0.0,
            stem_share=_share(among(group.stem, seen)) if len(group.stem) else None,
            is_template=group.is_template,
        ),
    )


def _is_clean(row: Row, group: _Group, place: _Place, index: Index) -> bool:
    """Whether the pair stays clean even if all of its words that stand there stand in order: most pairs end here.

    `judge` never rules less for more support or more words in order, so one look at the most of both is enough.
    """
    most = place.evidence
    if most.containment >= _SURELY_FOUND:
        return False
    if not place.is_whole:
        here = among(group.words, np.sort(row.words[place.low : place.high]))
        nats = float(group.nats[here].sum()) + 1e-9
        most = replace(most, aligned=nats / max(group.total_nats, 1e-9), nats=nats)
        if group.is_number is not None and nats >= NAMING:
            plain = np.where(group.is_number, 0.0, group.nats)
            if plain[here].sum() >= (SAME_WORDING - 1e-9) * plain.sum():
                return False
    elif group.is_number is not None:
        return False
    if judge(most).tier != CLEAN:
        return False
    return judge(replace(most, support=1.0)).tier == CLEAN or not group.traces(index).are_in(row)


def _aligned(row: Row, group: _Group, place: _Place) -> tuple[_Place, NDArray[np.bool_]]:
    """The place, wider where words stand in order around it, and which of the group's words stand there in order."""
    aligned, where = align(group.words, row.words[place.low : place.high])
    kept = in_runs(aligned, where)
    aligned, where = aligned[kept], where[kept]
    if len(where):
        place = replace(
            place,
            first=min(place.first, place.low + int(where[0])),
            end=max(place.end, place.low + int(where[-1]) + 1),
            item_first=min(place.item_first, int(aligned[0])),
            item_end=max(place.item_end, int(aligned[-1]) + 1),
        )
    is_aligned = np.zeros(len(group.words), dtype=bool)
    is_aligned[aligned] = True
    return place, is_aligned


def _measure(row: Row, group: _Group, place: _Place, aligned: NDArray[np.bool_], index: Index) -> Evidence:
    """All but the support, which differs between the items of a group."""
    nats = float(group.nats[aligned].sum())
    seen = replace(place.evidence, aligned=nats / max(group.total_nats, 1e-9), nats=nats)
    if group.is_number is None:
        return seen
    numbers = index.numbers[group.number]
    share = _share(among(numbers, np.sort(row.words[place.first : place.end])))
    if share >= 0.5 or len(group.words) > _MOST_ALIGNED:
        return replace(seen, number_share=share, other_numbers=share < 0.5)
    others, wording = _wording(row, group, group.is_number, place, numbers)
    return replace(seen, number_share=share, other_numbers=others, wording=wording)


def _wording(row: Row, group: _Group, is_own: NDArray[np.bool_], place: _Place, numbers: Hashes) -> tuple[bool, float]:
    """Whether other numbers stand where the question's own should, and how much of it is there apart from numbers."""
    near = row.words[place.low : place.high]
    spelled = [row.spelled(k) for k in range(place.low, place.high)]
    is_digit = np.array([is_number(word) for word in spelled], dtype=bool)
    item, where = align(np.where(is_own, _NUMBER, group.words), np.where(is_digit, _NUMBER, near))
    nats = np.where(is_own, 0.0, group.nats)
    others = bool((is_digit & ~among(near, numbers))[where].any())
    return others, float(nats[item].sum() / max(nats.sum(), 1e-9))


def _share(which: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(which) / len(which))


def _item_span(text: str, group: _Group, place: _Place) -> tuple[int, int]:
    """Where in the text of the item what was found begins and ends."""
    if (place.item_first, place.item_end) == (0, len(group.words)):
        return words_span(text)
    spans = word_spans(text)
    return int(spans[place.item_first, 0]), int(spans[place.item_end - 1, 1])


def _longest_run(group: _Group, place: _Place) -> int:
    """Words of the longest stretch that stands in both, word for word."""
    window, ordered = place.window, group.ordered
    if place.is_whole and len(ordered):
        for start in (window == ordered[0]).nonzero()[0][:2].tolist():
            if np.array_equal(window[start : start + len(ordered)], ordered):
                return len(group.words)
    sorter = np.argsort(window, kind="stable")
    low = np.searchsorted(window, ordered, side="left", sorter=sorter)
    high = np.searchsorted(window, ordered, side="right", sorter=sorter)
    counts = np.minimum(high - low, 8)  # a text that repeats one phrase must not cost its square
    item_place = np.repeat(np.arange(len(ordered)), counts)
    within = np.arange(len(item_place)) - np.repeat(np.cumsum(counts) - counts, counts)
    diagonal = sorter[low[item_place] + within] - item_place
    if not len(item_place):
        return place.item_end - place.item_first
    order = np.lexsort((item_place, diagonal))
    broken = (np.diff(item_place[order]) != 1) | (np.diff(diagonal[order]) != 0)
    edges = np.concatenate(([0], np.flatnonzero(broken) + 1, [len(order)]))
    return int(np.diff(edges).max()) + SHINGLE - 1


def _estimate(window: Int, group: _Group, index: Index) -> float | None:
    """MinHash estimate of the Jaccard similarity between the item and the window's indexed shingles."""
    cold = window[window >= 0]
    cold = cold[index.shingles.df[cold] <= HOT]
    if not len(cold):
        return None
    factors, terms = permutations(NUM_PERM, SEED)
    signature = (premix(index.shingles.table.values[cold])[:, None] * factors + terms).min(axis=0)
    return float((signature == index.bands.signatures[:, group.number]).mean())


def best_matches(found: list[Match], index: Index) -> list[Match]:
    """Of matches with one benchmark that overlap by half, the surest: twins of an item are not found as well."""
    kept: list[Match] = []
    by_start: dict[int, list[Match]] = {}  # of each benchmark, those that are kept
    longest = max((m.sample_span[1] - m.sample_span[0] for m in found), default=0)
    for match in sorted(found, key=lambda m: (-m.tier, -m.containment, -m.longest_run, m.item)):
        rivals = by_start.setdefault(int(index.item_benchmark[match.item]), [])
        begin, end = match.sample_span
        low, high = bisect_left(rivals, begin - longest, key=_start), bisect_left(rivals, end, key=_start)
        if not any(_overlap_share(match.sample_span, rival.sample_span) >= 0.5 for rival in rivals[low:high]):
            kept.append(match)
            rivals.insert(bisect_left(rivals, begin, key=_start), match)
    return sorted(kept, key=lambda m: (m.sample_span, m.item))


def _start(match: Match) -> int:
    return match.sample_span[0]


def _overlap_share(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Common characters as a share of `a`."""
    return max(0, min(a[1], b[1]) - max(a[0], b[0])) / max(1, a[1] - a[0])
