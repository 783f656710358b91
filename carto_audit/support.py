"""Support: an item's own options or answer near the place where its question stands. It tells an item from its twins."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.candidates import Row, find_runs
from carto_audit.index import SHINGLE, Index
from carto_audit.tables import Int, among
from carto_audit.tiers import SUPPORTED
from carto_audit.words import Hashes, ngram_hashes

CONTEXT_BEFORE, CONTEXT_AFTER, CONTEXT_AFTER_FREE_FORM = 40, 60, 200
"""Words around the match that are searched for the item's own options or answer."""

ANSWER_WITHIN = 15
"""Words after the match within which an answer of one or two words must follow; farther away it may be chance."""

_LEAST_CHOICE_WEIGHT = 6.0  # nats over all options: below, the options are "True" and "False" and say nothing
_LEAST_OF_OPTION = 0.3  # below, what an edited option shares with the text may be a common phrase
_MOST_ITEMS = 64  # of one group that are looked at: the rest shares wording and options alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What may support the items of one group: shingles of their options and answers, and first words of short ones."""

    shingles: Hashes
    openings: Hashes

    @classmethod
    def of(cls, items: Int, index: Index) -> "Traces":
        """The traces of a group's items."""
        choices, own = index.choices, items[:_MOST_ITEMS]
        owner, option = choices.of_item.expand(own)
        heavy = np.bincount(owner, choices.weight[option], len(own)) > _LEAST_CHOICE_WEIGHT - 1e-6
        option = option[heavy[owner]]
        is_short = choices.shingles.offsets[option + 1] == choices.shingles.offsets[option]
        short = option[is_short & (choices.weight[option] > 0)]
        answers = [ngram_hashes(index.answers[item], SHINGLE) for item in own.tolist()]
        options = [choices.shingles[k] for k in option[~is_short].tolist()]
        return cls(
            shingles=np.concatenate([np.empty(0, np.uint64), *options, *answers]),
            openings=choices.words.values[choices.words.offsets[short]],
        )

    def are_in(self, row: Row) -> bool:
        """Whether any of them stands in the row; where none does, nothing there supports an item of the group."""
        words, grams = row.every()
        return bool(among(self.shingles, grams).any() or among(self.openings, words).any())


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


def is_answered(item: int, row: Row, first: int, end: int, index: Index) -> bool:
    """Whether the gold answer follows: twice where all options are listed, else at least once and no other option."""
    choices = index.choices.of_item[item]
    after = row.words[end : _context(row, item, first, end, index)[1]]
    if not len(choices):
        answer = index.answers[item]
        if len(answer) >= SHINGLE:
            return support_of(item, row, first, end, index) >= SUPPORTED
        return len(answer) > 0 and len(find_runs(after[:ANSWER_WITHIN], answer)) > 0
    gold = index.choices.is_gold[choices]
    if not gold.any():
        return False
    counts = _counts(after, choices, index)
    if (counts[~gold] > 0).any():
        return bool((counts > 0).all() and counts[gold].max() >= 2)
    if index.choices.weight[choices][gold].max() > 0:
        return bool(counts[gold].max() > 0)
    return bool(_counts(after[:ANSWER_WITHIN], choices[gold], index).max() > 0)


def _context(row: Row, item: int, first: int, end: int, index: Index) -> tuple[int, int]:
    """Where the item's own options or answer are looked for: words of the row."""
    low, high = index.choices.of_item.offsets[item : item + 2]
    after = CONTEXT_AFTER_FREE_FORM
    if high > low:
        after = CONTEXT_AFTER + int(index.choices.words.offsets[high] - index.choices.words.offsets[low])
    return max(0, first - CONTEXT_BEFORE), min(len(row.words), end + after)


def _whole_options(row: Row, item: int, first: int, end: int, index: Index) -> int:
    """How many of the item's options stand near the match word for word: twins may differ in what all options share."""
    begin, stop = _context(row, item, first, end, index)
    return int((_counts(row.words[begin:stop], index.choices.of_item[item], index) > 0).sum())


def _presence(row: Row, begin: int, end: int, first: int, last: int, index: Index) -> NDArray[np.float64]:
    """Of each option the share of its shingles in the words `begin` to `end`, if that is much; a short one is sought."""
    shingles, words = index.choices.shingles, index.choices.words
    offsets = shingles.offsets[first : last + 1]
    hits = among(shingles.values[offsets[0] : offsets[-1]], row.grams_between(begin, end))
    running = np.concatenate(([0], np.cumsum(hits)))
    sizes = offsets[1:] - offsets[:-1]
    found = running[offsets - offsets[0]]
    share = (found[1:] - found[:-1]) / np.maximum(sizes, 1)
    share[share < _LEAST_OF_OPTION] = 0.0
    for k in ((sizes == 0) & (index.choices.weight[first:last] > 0)).nonzero()[0].tolist():
        share[k] = len(find_runs(row.words[begin:end], words[first + k])) > 0
    return np.asarray(share, dtype=np.float64)


def _counts(words: Hashes, choices: Int, index: Index) -> Int:
    """How often each option stands in `words`."""
    needles = [index.choices.words[choice] for choice in choices.tolist()]
    return np.array([len(find_runs(words, needle)) if len(needle) else 0 for needle in needles], dtype=np.int64)
