"""Matching: every item found in a few texts, as they stand and in every reading of them, each match in delivered characters."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import among
from carto_audit.benchmarks.index import Index
from carto_audit.benchmarks.programs import ProgramHit, find_programs, is_code
from carto_audit.benchmarks.translations import TranslationHit, find_translations
from carto_audit.contamination.candidates import find_candidates
from carto_audit.contamination.disguises.letters import find_letters, respace
from carto_audit.contamination.disguises.rare_words import RareHit, find_rare_words
from carto_audit.contamination.disguises.split_rows import join_rows
from carto_audit.contamination.exact_match import Match, verify
from carto_audit.contamination.passages import Spans, find_with_passages
from carto_audit.contamination.tiers import (
    CLEAN,
    CONFIRMED,
    ORDER_FREE,
    PASSAGE,
    PROGRAM,
    SKELETON,
    SOURCE_OVERLAP,
    SUSPECTED,
    Ruling,
    finder_of,
    judge_program,
    judge_rare_words,
    judge_translation,
)
from carto_audit.text.views.annotated import DIGITS_INSIDE
from carto_audit.text.views.names import in_words
from carto_audit.text.views.reading import Reading
from carto_audit.text.views.spelled_numbers import with_digits
from carto_audit.text.views.through import read_through
from carto_audit.text.words import FoldedWords, Ragged, find_words, hash_words, word_spans

WORDS, ROWS = "words", "rows"

_BESIDE_OPTION = 8  # characters of its letter, sign and line end


def find_matches(texts: list[str], index: Index) -> list[Match]:
    """Every item found in a few texts, by row, then by place, in every view. `Match.row` counts in `texts`."""
    words = find_words(texts)
    hashes = words.hashed()
    found = _find(texts, words, hashes, index)
    told = _told(found, index)
    read = [(row, reading) for row, reading in read_through(texts, hashes) if not reading.is_within(told.get(row, ()))]
    twins = sorted({match.row for match in found if match.near_variant})  # whose numbers may only be spelled otherwise
    read += [(row, reading) for row in twins if (reading := with_digits(texts[row])).changes]
    if read:
        derived = [reading.text for _, reading in read]
        words = find_words(derived)
        for match in _find(derived, words, words.hashed(), index):
            row, reading = read[match.row]
            found.append(_delivered(_with_its_numbers(match, reading, index), row, reading))
    return surest(found, index)


def find_across(texts: Sequence[str], found: Sequence[Match], index: Index, known_texts: int = 0) -> list[Match]:
    """Items whose words stand in several short texts, one after the other: a match for each text that holds a part, but for those
    in which the item was `found` as surely. What the first `known_texts` hold among themselves is left out."""
    joined = list(join_rows(texts))
    known = {(match.row, match.item): match.tier for match in found}
    across: list[Match] = []
    for match in _by_words([one.text for one in joined], find_words([one.text for one in joined]).hashed(), index):
        parts = list(joined[match.row].parts(*match.sample_span))
        if match.tier < SUSPECTED or len(parts) < 2 or parts[-1][0] < known_texts:
            continue
        reason = f"{match.reason}; found after {in_words((ROWS,))}"
        across += (
            replace(match, row=row, sample_span=(start, end), reason=reason, view=ROWS)
            for row, start, end in parts
            if known.get((row, match.item), CLEAN) < match.tier
        )
    return across


def _told(found: Sequence[Match], index: Index) -> dict[int, list[tuple[int, int]]]:
    """Where rows hold items that their words confirm, with the options behind them: no other reading can say more there."""
    spans: dict[int, list[tuple[int, int]]] = {}
    for match in found:
        if match.tier == CONFIRMED and match.view == WORDS:
            column = index.benchmarks[index.item_benchmark[match.item]].items["choices"]
            options = column[int(index.item_row[match.item])].as_py() or ()
            start, end = match.sample_span
            room = sum(len(option) + _BESIDE_OPTION for option in options)
            spans.setdefault(match.row, []).append((start, end + room))
    return spans


def _find(texts: Sequence[str], words: FoldedWords, hashes: Ragged, index: Index) -> list[Match]:
    """What is found in texts as they stand: by words, by letters, by programs and invariant tokens, by rare words."""
    found = _by_words(texts, hashes, index)
    spans = cache(lambda row: word_spans(texts[row]))  # a text of many items is taken apart once
    found += list(find_with_passages(found, spans, hashes, index))
    sure = {(match.row, match.group) for match in found if match.tier >= SUSPECTED}
    respaced = list(respace(texts, (c for c in find_letters(words, index) if (c.text, c.group) not in sure), index))
    if respaced:
        spaced = [reading.text for _, reading in respaced]
        found += (_delivered(m, *respaced[m.row]) for m in _by_words(spaced, find_words(spaced).hashed(), index))
    found += _by_other_evidence(texts, spans, hashes, index)
    for hit in find_rare_words(words, hashes, index, sure):
        found += _by_rare_words(hit, spans(hit.text), index)
    return found


def _by_words(texts: Sequence[str], words: Ragged, index: Index) -> list[Match]:
    found: list[Match] = []
    for block, pairs in find_candidates(words, index):
        found += verify(block, pairs, [texts[row] for row in block.rows.tolist()], index)
    return found


def _by_other_evidence(texts: Sequence[str], spans: Spans, words: Ragged, index: Index) -> Iterator[Match]:
    """Items found by their code under any variable names, and items that a row may translate."""
    for hit in find_programs(texts, index.programs):
        ruling = judge_program(hit.kept, hit.renamed)
        if ruling.tier != CLEAN:
            yield _found(hit, ruling, max(hit.kept, hit.renamed), hit.span, PROGRAM, index)
    for found in find_translations(words, index.invariant_tokens):
        if is_code(texts[found.row]):
            continue
        places = spans(found.row)
        span = int(places[found.span[0], 0]), int(places[found.span[1] - 1, 1])
        yield _found(found, judge_translation(found.tokens), found.share, span, SKELETON, index)


def _found(
    hit: ProgramHit | TranslationHit, ruling: Ruling, share: float, span: tuple[int, int], view: str, index: Index
) -> Match:
    group = index.question_of(hit.item)
    return Match(
        row=hit.row,
        item=hit.item,
        group=group,
        tier=ruling.tier,
        reason=ruling.reason,
        answered=view == PROGRAM,
        containment=share,
        longest_run=0,
        minhash_estimate=None,
        sample_span=span,
        item_span=(0, len(index.item_text(hit.item, group))),
        view=view,
    )


def _by_rare_words(hit: RareHit, spans: NDArray[np.int64], index: Index) -> Iterator[Match]:
    ruling = judge_rare_words(hit.share, hit.numbers, hit.has_others)
    if ruling.tier == CLEAN:
        return
    item = int(index.items[hit.group][0])
    yield Match(
        row=hit.text,
        item=item,
        group=hit.group,
        tier=ruling.tier,
        reason=ruling.reason,
        near_variant=ruling.near_variant,
        answered=False,
        containment=hit.share,
        longest_run=0,
        minhash_estimate=None,
        sample_span=(int(spans[hit.first, 0]), int(spans[hit.end - 1, 1])),
        item_span=(0, len(index.item_text(item, hit.group))),
        view=ORDER_FREE,
    )


def _with_its_numbers(match: Match, reading: Reading, index: Index) -> Match:
    """A match in a text without digits beside letters is a twin at most, unless it shows the item's own numbers."""
    numbers = index.numbers[match.group]
    is_bare = any(change.view == DIGITS_INSIDE for change in reading.changes)
    if not is_bare or match.tier < SUSPECTED or match.supported or not len(numbers):
        return match
    here = hash_words([reading.text[slice(*match.sample_span)]]).values
    if among(numbers, np.sort(here)).mean() >= 0.5:
        return match
    return replace(match, tier=SOURCE_OVERLAP, near_variant=True, reason="the same wording, perhaps with other numbers")


def _delivered(match: Match, row: int, reading: Reading) -> Match:
    """A match in a reading, told in the characters of the text that was delivered, by the views that had a part in it."""
    span = reading.source(*match.sample_span)
    views = reading.views_of(*span)
    own = () if match.view == WORDS and views else (match.view,)
    reason = f"{match.reason}; found after {in_words(views)}" if views else match.reason
    return replace(match, row=row, sample_span=span, reason=reason, view="+".join(dict.fromkeys((*views, *own))))


def surest(found: Iterable[Match], index: Index) -> list[Match]:
    """By row and place, of all views: where a row holds an item in several ways the surest one, by words when even.

    Of matches of one benchmark in one place, in different views, the surest stays. What rare words propose yields to whatever
    words say of that place.
    """
    best: dict[tuple[int, int], Match] = {}
    kept: dict[tuple[int, int], list[Match]] = {}  # of each row and benchmark, by where they begin
    ordered = sorted(found, key=_sureness)
    longest = max((match.sample_span[1] - match.sample_span[0] for match in ordered), default=0)
    for match in ordered:
        if (match.row, match.item) in best:
            continue
        is_other = finder_of(match.view) in (PROGRAM, SKELETON)  # these see what words do not show
        rivals = kept.setdefault((match.row, int(index.item_benchmark[match.item])), [])
        if not is_other:
            low = bisect_left(rivals, match.sample_span[0] - longest, key=_begin)
            high = bisect_left(rivals, match.sample_span[1], key=_begin)
            is_guess = finder_of(match.view) == ORDER_FREE  # twins of an item share its rare words
            if any(_overlap(match, r) >= 0.5 for r in rivals[low:high] if is_guess or r.view != match.view):
                continue
            rivals.insert(bisect_left(rivals, match.sample_span[0], key=_begin), match)
        best[match.row, match.item] = match
    return sorted(best.values(), key=lambda m: (m.row, m.sample_span, m.item))


def _begin(match: Match) -> int:
    return match.sample_span[0]


def _sureness(match: Match) -> tuple[bool, int, bool, int, float, int, int]:
    return (
        ORDER_FREE in match.view,
        -match.tier,
        finder_of(match.view) != PASSAGE,  # which names the item, where its question alone may be that of many
        match.view.count("+") + (match.view != WORDS),
        -match.containment,
        -match.longest_run,
        match.item,
    )


def _overlap(match: Match, rival: Match) -> float:
    """Common characters as a share of the shorter one."""
    (begin, end), (low, high) = match.sample_span, rival.sample_span
    return max(0, min(end, high) - max(begin, low)) / max(1, min(end - begin, high - low))
