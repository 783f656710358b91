"""Answer support: an item's own options or answer near the place where its question stands. It tells an item from its twins."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import Int, among
from carto_audit.benchmarks.index import SHINGLE, Index
from carto_audit.contamination.candidates import Row
from carto_audit.contamination.tiers import SUPPORTED
from carto_audit.text.words import Hashes, count_runs, ngram_hashes

CONTEXT_BEFORE, CONTEXT_AFTER, CONTEXT_AFTER_FREE_FORM = 40, 60, 200
"""Words around the match that are searched for the item's own options or answer."""

ANSWER_WITHIN = 15
"""Words after the match within which an answer of one or two words must follow; farther away it may be chance."""

_LEAST_CHOICE_WEIGHT = 6.0  # nats over all options: below, the options are "True" and "False" and say nothing
_LEAST_OF_OPTION = 0.3  # below, what an edited option shares with the text may be a common phrase
_OFTEN = 2  # times that the gold option must stand where all are listed
_MOST_ITEMS = 64  # of one group that are looked at: the rest shares wording and options alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What may support the items of one group: shingles of their options and answers, and first words of short ones."""

    shingles: Hashes
    openings: Hashes

    @classmethod
    def of(cls, items: Int, index: Index) -> "Traces":
        """The traces of a group's items."""
        choices = index.choices
        shingles, openings = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
        for item in items[:_MOST_ITEMS].tolist():
            low, high = choices.of_item.offsets[item : item + 2].tolist()
            weight, edges = choices.weight[low:high], choices.shingles.offsets[low : high + 1]
            if low == high:
                shingles.append(ngram_hashes(index.answers[item], SHINGLE))
            elif weight.sum() > _LEAST_CHOICE_WEIGHT - 1e-6:
                shingles.append(choices.shingles.values[edges[0] : edges[-1]])
                is_short = (edges[1:] == edges[:-1]) & (weight > 0)
                openings.append(choices.words.values[choices.words.offsets[low:high][is_short]])
        return cls(shingles=np.concatenate(shingles), openings=np.concatenate(openings))

    def are_in(self, row: Row) -> bool:
        """Whether any of them stands in the row; where none does, nothing there supports an item of the group."""
        words, grams = row.every()
        return bool(among(self.shingles, grams).any() or (len(self.openings) and among(self.openings, words).any()))


def best_supported(items: Int, row: Row, first: int, end: int, index: Index) -> list[tuple[int, float]]:
    """Of the items of one group the best supported of each benchmark, the first where none is; and its support."""
    best: dict[int, tuple[float, int]] = {}

    def more_whole(item: int, rival: int) -> bool:
        return _whole_options(row, item, first, end, index) > _whole_options(row, rival, first, end, index)

    for item in items[:_MOST_ITEMS].tolist():
        support = support_of(item, row, first, end, index)
        benchmark = int(index.item_benchmark[item])
        rival = best.get(benchmark)
        if rival is None or support > rival[0] or (support == rival[0] > 0 and more_whole(item, rival[1])):
            best[benchmark] = (support, item)
    return [(item, support) for support, item in best.values()]


def support_of(item: int, row: Row, first: int, end: int, index: Index) -> float:
    """Support of an item whose question is the row's words `first` to `end`: of its options the weighted share that
    stand near word for word, or of its answer the share of the shingles."""
    begin, stop = _context(row, item, first, end, index)
    low, high = index.choices.of_item.offsets[item : item + 2].tolist()
    if low == high:
        answer = ngram_hashes(index.answers[item], SHINGLE)
        if not len(answer):
            return 0.0
        found = among(np.unique(answer), row.grams_between(begin, stop))
        return float(np.count_nonzero(found) / len(found))
    weight = index.choices.weight[low:high]
    total = float(weight.sum())
    if total <= _LEAST_CHOICE_WEIGHT:
        return 0.0
    return float((weight * _presence(row, begin, stop, low, high, index)).sum()) / total


def is_answered(item: int, support: float, row: Row, first: int, end: int, index: Index) -> bool:
    """Whether the gold answer follows: twice where all options are listed, else at least once and no other option.

    `support` is what `support_of` says of the same words.
    """
    low, high = index.choices.of_item.offsets[item : item + 2].tolist()
    after = row.words[end : _context(row, item, first, end, index)[1]]
    if low == high:
        answer = index.answers[item]
        if len(answer) >= SHINGLE:
            return support >= SUPPORTED
        return len(answer) > 0 and count_runs(after[:ANSWER_WITHIN].tobytes(), answer.tobytes(), 1) > 0
    is_gold = index.choices.is_gold[low:high].tolist()
    if not any(is_gold):
        return False
    counts = _counts(after, low, high, index)
    gold = [count for count, own in zip(counts, is_gold, strict=True) if own]
    if any(count and not own for count, own in zip(counts, is_gold, strict=True)):
        return all(counts) and max(gold) >= _OFTEN
    if index.choices.weight[low:high].max(where=index.choices.is_gold[low:high], initial=0.0) > 0:
        return max(gold) > 0
    near = _counts(after[:ANSWER_WITHIN], low, high, index)
    return any(count and own for count, own in zip(near, is_gold, strict=True))


def _context(row: Row, item: int, first: int, end: int, index: Index) -> tuple[int, int]:
    """Where the item's own options or answer are looked for: words of the row."""
    low, high = index.choices.of_item.offsets[item : item + 2].tolist()
    after = CONTEXT_AFTER_FREE_FORM
    if high > low:
        after = CONTEXT_AFTER + int(index.choices.words.offsets[high] - index.choices.words.offsets[low])
    return max(0, first - CONTEXT_BEFORE), min(len(row.words), end + after)


def _whole_options(row: Row, item: int, first: int, end: int, index: Index) -> int:
    """How many of the item's options stand near the match word for word: twins may differ in what all options share."""
    begin, stop = _context(row, item, first, end, index)
    low, high = index.choices.of_item.offsets[item : item + 2].tolist()
    counts = _counts(row.words[begin:stop], low, high, index)
    return sum(count > 0 for count in counts)


def _presence(row: Row, begin: int, end: int, first: int, last: int, index: Index) -> NDArray[np.float64]:
    """Of each option the share of its shingles in the words `begin` to `end`, if that is much; a short one is sought."""
    shingles, words = index.choices.shingles, index.choices.words
    edges = shingles.offsets[first : last + 1].tolist()
    hits = among(shingles.values[edges[0] : edges[-1]], row.grams_between(begin, end)).tolist()
    near = row.words[begin:end].tobytes()
    share = []
    for option, weight in enumerate(index.choices.weight[first:last].tolist()):
        low, high = edges[option] - edges[0], edges[option + 1] - edges[0]
        if high > low:
            found = sum(hits[low:high]) / (high - low)
            share.append(found if found >= _LEAST_OF_OPTION else 0.0)
        else:
            share.append(float(weight > 0 and count_runs(near, words[first + option].tobytes(), 1)))
    return np.array(share, dtype=np.float64)


def _counts(words: Hashes, first: int, last: int, index: Index) -> list[int]:
    """How often each of some options stands in `words`, where more than twice is twice."""
    near, edges = words.tobytes(), index.choices.words.offsets[first : last + 1].tolist()
    options = index.choices.words.values
    return [count_runs(near, options[low:high].tobytes(), _OFTEN) if high > low else 0 for low, high in pairwise(edges)]
