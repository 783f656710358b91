"""Passages: items whose question says nothing without its passage. The passage with its question beside it is the item."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from carto_audit.benchmarks.hash_tables import Int
from carto_audit.benchmarks.index import PASSAGE, Index
from carto_audit.contamination.exact_match import Match
from carto_audit.contamination.tiers import PASSAGE as PASSAGE_VIEW
from carto_audit.contamination.tiers import judge_passage
from carto_audit.text.alignment import align
from carto_audit.text.words import Hashes, Ragged

BESIDE = 60
"""Words that may stand between a passage and its question, besides the question's own length."""

LEAST_SHARE = 0.75
"""Share of a question's words that must stand beside the passage, in order."""

_MOST_ITEMS = 64

Spans = Callable[[int], Int]
"""The `word_spans` of a text by its number."""


def find_with_passages(found: Sequence[Match], spans: Spans, words: Ragged, index: Index) -> Iterator[Match]:
    """For each passage among the matches the items whose questions stand beside it: all that cannot be told apart."""
    for match in found:
        if index.component[match.group] != PASSAGE:
            continue
        places = spans(match.row)
        first, end = (int(np.searchsorted(places[:, 0], place)) for place in match.sample_span)
        row = words[match.row]
        shares = {
            item: _share_beside(index.words[index.question_of(item)], row, first, end)
            for item in index.items[match.group][:_MOST_ITEMS].tolist()
        }
        most = max(share for share, *_ in shares.values())
        for item, (share, low, high) in shares.items():
            if share >= LEAST_SHARE and share == most:
                ruling = judge_passage(share)
                yield replace(
                    match,
                    item=item,
                    tier=ruling.tier,
                    reason=ruling.reason,
                    view=PASSAGE_VIEW,
                    supported=True,
                    sample_span=(
                        min(match.sample_span[0], int(places[low, 0])),
                        max(match.sample_span[1], int(places[high, 1])),
                    ),
                )


def _share_beside(question: Hashes, row: Hashes, first: int, end: int) -> tuple[float, int, int]:
    """The share of a question's words that stand in order behind or before the words `first` to `end`, and where."""
    if not len(question):
        return 0.0, first, end - 1
    reach = BESIDE + 2 * len(question)
    best = (0.0, first, end - 1)
    inside = min(len(question), end - first)  # a passage may end with words that its question begins with
    for low, high in ((end - inside, min(len(row), end + reach)), (max(0, first - reach), first + inside)):
        own, where = align(question, row[low:high])
        close = _closest(where, len(question))
        if len(own) and len(close) / len(question) > best[0]:
            best = (len(close) / len(question), low + int(close[0]), low + int(close[-1]))
    return best


def _closest(where: Int, size: int) -> Int:
    """The aligned places within one and a half times the question's length, where the most of them lie."""
    if not len(where):
        return where
    stop = np.searchsorted(where, where + size + size // 2 + 1)
    begin = int(np.argmax(stop - np.arange(len(where))))
    return where[begin : stop[begin]]
