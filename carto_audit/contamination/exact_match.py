"""Exact match: what exact comparison measures on a candidate. The MinHash estimate is reported; it decides nothing."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import Float, Int, among
from carto_audit.benchmarks.index import HOT, NUM_PERM, PASSAGE, SEED, Index
from carto_audit.contamination.answer_support import Traces, best_supported, is_answered
from carto_audit.contamination.candidates import Block, Pairs, Row, spell_out
from carto_audit.contamination.positions import (
    MOST_ALIGNED,
    SURELY_FOUND,
    Positions,
    find_positions,
    longest_shared_run,
)
from carto_audit.contamination.tiers import CLEAN, NAMING, SAME_WORDING, SUPPORTED, Evidence, Ruling, judge
from carto_audit.text.alignment import align, in_runs
from carto_audit.text.folding import fold
from carto_audit.text.minhash import premix, segment_minima
from carto_audit.text.words import Hashes, is_number, unglued, word_spans, words_span

_LEAST_SEEN = 0.3  # share of the question's words or shingles; no rule flags a pair with less of both
_AT_ONCE = 1 << 18  # words of the candidates that are measured at once
_MOST_NAMED = 8  # items that share a passage
_ROUNDING = 1e-9  # sums over many candidates at once may be off by less
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
    view: str = "words"  # how it was found: what was undone first, joined by "+"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """What may become a match, unless a surer one stands in the same place of the row; words `first` to `end`."""

    item: int
    group: "_Group"
    place: "_Place"
    ruling: Ruling
    support: float
    containment: float
    longest_run: int


def verify(block: Block, pairs: Pairs, texts: list[str], index: Index) -> list[Match]:
    """Matches among the candidates of a block; `texts[r]` is its row `r`. Of overlapping ones the best stays."""
    groups: dict[int, _Group] = {}
    rows: dict[int, Row] = {}
    found: dict[int, list[_Finding]] = {}
    for piece in _pieces(pairs, index):
        places = find_positions(block, piece, index)
        kept = _surely_kept(places).tolist()
        for k, (at, number) in enumerate(zip(piece.row.tolist(), piece.group.tolist(), strict=True)):
            row = rows.get(at)
            if row is None:
                row = rows[at] = Row.of(block, at, texts)
            group = groups.get(number)
            if group is None:
                group = groups[number] = _Group.of(number, index)
            if kept[k] or not _is_clean(row, group, places, k, index):
                found.setdefault(at, []).extend(_examine(row, group, places, k, index))
    spell_out([rows[at] for at, findings in found.items() if findings])
    best = [(rows[at], finding) for at, findings in found.items() for finding in _best(findings, rows[at], index)]
    estimates = _estimates([finding for _, finding in best], index)
    return [_match(finding, row, estimate, index) for (row, finding), estimate in zip(best, estimates, strict=True)]


def _pieces(pairs: Pairs, index: Index) -> Iterator[Pairs]:
    """The candidates by row, as many at once as have _AT_ONCE words together."""
    order = np.argsort(pairs.row, kind="stable")
    words = np.cumsum(np.diff(index.words.offsets)[pairs.group[order]])
    for part in np.split(order, np.flatnonzero(np.diff(words // _AT_ONCE)) + 1) if len(order) else ():
        yield Pairs(row=pairs.row[part], group=pairs.group[part], first=pairs.first[part], last=pairs.last[part])


@dataclass(slots=True, kw_only=True)
class _Group:
    """One group, with all that comparing it with a row needs; made once for all rows of a block."""

    number: int
    is_passage: bool
    items: Int
    words: Hashes
    nats: Float  # what each word adds
    total_nats: float
    distinct: Int  # its shingles
    numbers: Hashes
    slots: Hashes
    plain: Hashes  # its words without slots, sorted
    _traces: Traces | None = None

    @classmethod
    def of(cls, number: int, index: Index) -> "_Group":
        begin, end = index.words.offsets[number : number + 2].tolist()
        nats = index.nats[begin:end]
        return cls(
            number=number,
            is_passage=bool(index.component[number] == PASSAGE),
            items=index.items[number],
            words=index.words.values[begin:end],
            nats=nats,
            total_nats=float(nats.sum()),
            distinct=index.shingles.of_group[number],
            numbers=index.numbers[number],
            slots=index.slots[number],
            plain=np.sort(index.words[number][~among(index.words[number], index.slots[number])]),
        )

    def traces(self, index: Index) -> Traces:
        if self._traces is None:
            self._traces = Traces.of(self.items, index)
        return self._traces


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a group stands in a row: its words `item_first` to `item_end` are the row's `first` to `end`."""

    first: int
    end: int
    item_first: int
    item_end: int
    low: int  # the row's words `low` to `high` are those that may be aligned
    high: int
    window: Int  # the row's shingles around the match, -1 where not indexed


def _surely_kept(places: Positions) -> NDArray[np.bool_]:
    """Those that words cannot rule out: all of it is here, or enough to be a twin with other numbers."""
    here = places.here
    plain = here.plain_total * (SAME_WORDING - _ROUNDING)
    may_be_twin = here.has_numbers & (places.is_whole | ((here.nats >= NAMING - _ROUNDING) & (here.plain >= plain)))
    kept: NDArray[np.bool_] = (places.weighed.containment >= SURELY_FOUND) | may_be_twin
    return kept


def _is_clean(row: Row, group: _Group, places: Positions, k: int, index: Index) -> bool:
    """Whether the pair stays clean even if all of its words that stand there stand in order: most pairs end here.

    `judge` never rules less for more support or more words in order, so one look at the most of both is enough.
    """
    more = 1.0 + _ROUNDING
    nats = float(places.here.nats[k]) * more + _ROUNDING
    containment, information = float(places.weighed.containment[k]) * more, float(places.weighed.information[k]) * more

    def most(support: float) -> Evidence:
        return _evidence(group, places, k, containment=containment, information=information, nats=nats, support=support)

    if judge(most(1.0)).tier == CLEAN:
        return True
    return judge(most(0.0)).tier == CLEAN and not group.traces(index).are_in(row)


def _evidence(
    group: _Group,
    places: Positions,
    k: int,
    *,
    containment: float,
    information: float,
    nats: float,
    support: float = 0.0,
    number_share: float | None = None,
    other_numbers: bool = False,
    wording: float = 0.0,
) -> Evidence:
    return Evidence(
        words=len(group.words),
        is_passage=group.is_passage,
        holders=len(group.items),
        containment=containment,
        rare_containment=_known(places.weighed.rare_share[k]),
        information=information,
        aligned=nats / max(group.total_nats, 1e-9),
        nats=nats,
        support=support,
        number_share=number_share,
        other_numbers=other_numbers,
        wording=wording,
        stem_share=_known(places.stem_share[k]),
        is_template=bool(places.weighed.is_template[k]),
    )


def _known(share: np.float64) -> float | None:
    return None if np.isnan(share) else float(share)


def _examine(row: Row, group: _Group, places: Positions, k: int, index: Index) -> Iterator[_Finding]:
    place = _place(row, places, k)
    present = places.present(k)
    is_whole, is_verbatim = bool(places.is_whole[k]), bool(places.is_verbatim[k])
    containment, information = _weight(group, present, index)
    nats = group.total_nats
    if not is_whole:
        place, aligned = _aligned(row, group, place)
        if max(float(np.mean(aligned)), float(np.mean(present)) if len(present) else 1.0) < _LEAST_SEEN:
            return
        nats = float(group.nats[aligned].sum())
    share, others, wording = (1.0, False, 0.0) if is_verbatim else _numbers(row, group, place)
    longest_run = -1
    for item, support in best_supported(group.items, row, place.first, place.end, index):
        ruling = judge(
            _evidence(
                group,
                places,
                k,
                containment=containment,
                information=information,
                nats=nats,
                support=support,
                number_share=share if len(group.numbers) else None,
                other_numbers=others,
                wording=wording,
            )
        )
        if ruling.tier == CLEAN:
            continue
        if longest_run < 0:
            longest_run = (
                len(group.words)
                if is_verbatim
                else longest_shared_run(places.ordered(k), place.window, is_whole) or place.item_end - place.item_first
            )
        yield _Finding(
            item=item,
            group=group,
            place=place,
            ruling=ruling,
            support=support,
            containment=containment,
            longest_run=longest_run,
        )


def _place(row: Row, places: Positions, k: int) -> _Place:
    return _Place(
        first=int(places.first[k]),
        end=int(places.end[k]),
        item_first=int(places.item_first[k]),
        item_end=int(places.item_end[k]),
        low=int(places.low[k]),
        high=int(places.high[k]),
        window=row.shingle[places.window_low[k] : places.window_high[k]],
    )


def _weight(group: _Group, present: NDArray[np.bool_], index: Index) -> tuple[float, float]:
    """Containment and information of a group of which these shingles are here."""
    idf = index.shingles.idf[group.distinct]
    total = float(idf.sum())
    information = total if present.all() else float(idf[present].sum())
    # no shingles: found word for word, or it were no candidate
    return (information / total if total else 1.0), information


def _aligned(row: Row, group: _Group, place: _Place) -> tuple[_Place, NDArray[np.bool_]]:
    """The place, wider where words stand in order around it, and which of the group's words stand there in order."""
    aligned, where = align(group.words, row.words[place.low : place.high])
    kept = in_runs(aligned, where)
    aligned, where = aligned[kept], where[kept]
    if len(where):
        place = _Place(
            first=min(place.first, place.low + int(where[0])),
            end=max(place.end, place.low + int(where[-1]) + 1),
            item_first=min(place.item_first, int(aligned[0])),
            item_end=max(place.item_end, int(aligned[-1]) + 1),
            low=place.low,
            high=place.high,
            window=place.window,
        )
    is_aligned = np.zeros(len(group.words), dtype=bool)
    is_aligned[aligned] = True
    return place, is_aligned


def _numbers(row: Row, group: _Group, place: _Place) -> tuple[float, bool, float]:
    """The share of its numbers that are here, whether others are instead, and how much is here apart from numbers."""
    if not len(group.numbers):
        return 1.0, False, 0.0
    share = float(np.mean(among(group.numbers, np.sort(row.words[place.first : place.end]))))
    if share >= 0.5 or len(group.words) > MOST_ALIGNED:
        return share, share < 0.5, 0.0
    return share, *_wording(row, group, place)


def _wording(row: Row, group: _Group, place: _Place) -> tuple[bool, float]:
    """Whether other numbers stand where its own should, and how much of it is there apart from numbers and names."""
    written = [row.written(k) for k in range(place.low, place.high)]
    near, written = unglued(row.words[place.low : place.high], written, group.words)
    is_digit = np.array([is_number(fold(word)) for word in written], dtype=bool)
    is_slot = is_digit | np.array([word[:1].isupper() for word in written], dtype=bool)
    is_own = among(group.words, group.slots)
    item, where = align(
        np.where(is_own, _NUMBER, group.words), np.where(is_slot & ~among(near, group.plain), _NUMBER, near)
    )
    nats = np.where(is_own, 0.0, group.nats)
    others = bool((is_digit & ~among(near, group.slots))[where].any())
    return others, float(nats[item].sum() / max(nats.sum(), 1e-9))


def _item_span(text: str, group: _Group, place: _Place) -> tuple[int, int]:
    """Where in the text of the item what was found begins and ends."""
    if (place.item_first, place.item_end) == (0, len(group.words)):
        return words_span(text)
    spans = word_spans(text)
    return int(spans[place.item_first, 0]), int(spans[place.item_end - 1, 1])


def _estimates(found: list[_Finding], index: Index) -> list[float | None]:
    """MinHash estimates of the Jaccard similarity between each item and its window's indexed shingles, if it has any."""
    window = np.concatenate([np.empty(0, np.int64), *(finding.place.window for finding in found)])
    owner = np.repeat(np.arange(len(found)), [len(finding.place.window) for finding in found])
    is_cold = (window >= 0) & (index.shingles.df[window] <= HOT)
    filled, begins = np.unique(owner[is_cold], return_index=True)
    group = np.array([finding.group.number for finding in found], dtype=np.int64)[filled]
    signed = segment_minima(premix(index.shingles.table.values[window[is_cold]]), begins, NUM_PERM, SEED)
    shares = (signed == index.bands.signatures[:, group]).mean(axis=0)
    known = dict(zip(filled.tolist(), shares.tolist(), strict=True))
    return [known.get(k) for k in range(len(found))]


def _match(finding: _Finding, row: Row, estimate: float | None, index: Index) -> Match:
    place, group = finding.place, finding.group
    return Match(
        row=row.number,
        item=finding.item,
        group=group.number,
        tier=finding.ruling.tier,
        reason=finding.ruling.reason + _others(group, index),
        near_variant=finding.ruling.near_variant,
        supported=finding.support >= SUPPORTED,
        answered=is_answered(finding.item, finding.support, row, place.first, place.end, index),
        containment=finding.containment,
        longest_run=finding.longest_run,
        minhash_estimate=estimate,
        sample_span=row.characters(place.first, place.end),
        item_span=_item_span(index.item_text(finding.item, group.number), group, place),
    )


def _others(group: _Group, index: Index) -> str:
    """The items that share a passage, by name: none of them is meant more than another."""
    if not group.is_passage or len(group.items) == 1:
        return ""
    names = ", ".join(index.item_id(item) for item in group.items[:_MOST_NAMED].tolist())
    return f": {names}{', …' if len(group.items) > _MOST_NAMED else ''}"


def _best(found: list[_Finding], row: Row, index: Index) -> list[_Finding]:
    """Of findings of one benchmark that overlap by half, the surest: twins of an item are not found as well."""
    if len(found) < 2:
        return found
    spans = [row.characters(finding.place.first, finding.place.end) for finding in found]
    longest = max(end - begin for begin, end in spans)
    kept: list[tuple[tuple[int, int], int, _Finding]] = []
    by_start: dict[int, list[tuple[int, int]]] = {}  # of each benchmark, the spans of those that are kept
    for finding, (begin, end) in sorted(zip(found, spans, strict=True), key=_sureness):
        rivals = by_start.setdefault(int(index.item_benchmark[finding.item]), [])
        low, high = bisect_left(rivals, begin - longest, key=itemgetter(0)), bisect_left(rivals, end, key=itemgetter(0))
        if not any(_overlap_share((begin, end), rival) >= 0.5 for rival in rivals[low:high]):
            kept.append(((begin, end), finding.item, finding))
            rivals.insert(bisect_left(rivals, begin, key=itemgetter(0)), (begin, end))
    return [finding for *_, finding in sorted(kept, key=lambda k: k[:2])]


def _sureness(placed: tuple[_Finding, tuple[int, int]]) -> tuple[int, float, int, int]:
    """The surest first."""
    finding, _ = placed
    return -finding.ruling.tier, -finding.containment, -finding.longest_run, finding.item


def _overlap_share(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Common characters as a share of `a`."""
    return max(0, min(a[1], b[1]) - max(a[0], b[0])) / max(1, a[1] - a[0])
