"""Boilerplate: phrases that many rows of a batch share and that name no item, though an item holds them too.

Repeating an item does not make it one: only a part can be a commonplace, without an answer, and only of words that say
too little to name the item. A pass over all matches, so neither the order of shards nor their number counts.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import Int
from carto_audit.benchmarks.index import SHINGLE, Index
from carto_audit.contamination.positions import RARE
from carto_audit.contamination.tiers import (
    BOILERPLATE,
    CONFIRMED,
    NAMING,
    ORDER_FREE,
    PASSAGE,
    PROGRAM,
    SKELETON,
    finder_of,
)
from carto_audit.text.words import ngram_hashes, word_spans

LEAST_ROWS = 20
"""Rows that must hold the phrase, copies of each other counted once."""

WHOLE = 0.8
"""Share of an item's words from which it is not a part but the item. Edits at its ends leave more of it."""


def demote_boilerplate(found: pa.Table, index: Index, cluster_id: Int) -> pa.Table:
    """Makes matches BOILERPLATE whose phrase LEAST_ROWS rows of the batch share, and says so in their reason.

    `found` has the columns of FOUND_SCHEMA. `cluster_id` names those samples that are copies of each other, (N,). A match
    stays as it is when it is confirmed, has an option or answer beside it, covers its item, or names it.
    """
    tier = found["tier"].to_numpy()
    parts = np.flatnonzero(_is_open(found, tier))
    group, first, end = _words_of(found.take(pa.array(parts)), index)
    phrase = _phrases(group, first, end, index)
    parts, phrase = parts[phrase >= 0], phrase[phrase >= 0]
    rows = count_rows(phrase, cluster_id[found["sample"].to_numpy()[parts]])
    demoted, shared = parts[rows >= LEAST_ROWS], rows[rows >= LEAST_ROWS]
    reasons = found["reason"].to_pylist()
    for k, count in zip(demoted.tolist(), shared.tolist(), strict=True):
        reasons[k] = f"a phrase that {count:,} rows of this batch share; no more of the item stands here"
    changed = tier.copy()
    changed[demoted] = BOILERPLATE
    columns = {"tier": changed, "reason": reasons}
    return pa.table({name: columns.get(name, found[name]) for name in found.column_names}, schema=found.schema)


def _is_open(found: pa.Table, tier: Int) -> NDArray[np.bool_]:
    """Which matches the wording alone has to decide on: found by words, and neither confirmed nor supported."""
    columns = ("answered", "supported", "near_variant")
    closed = np.logical_or.reduce([found[name].to_numpy(zero_copy_only=False) for name in columns])
    others = (PROGRAM, SKELETON, PASSAGE, ORDER_FREE)
    by_words = np.array([finder_of(view) not in others for view in found["view"].to_pylist()], dtype=bool)
    return np.asarray((tier > BOILERPLATE) & (tier < CONFIRMED) & by_words & ~closed)


def _words_of(found: pa.Table, index: Index) -> tuple[Int, Int, Int]:
    """Each match's group, and the first and the end of the words of it that were found."""
    columns = ("item", "group", "item_start", "item_end")
    spans: dict[tuple[int, int], Int] = {}
    places = np.zeros((found.num_rows, 3), dtype=np.int64)
    for k, (item, group, start, end) in enumerate(zip(*(found[name].to_pylist() for name in columns), strict=True)):
        if (item, group) not in spans:
            spans[item, group] = word_spans(index.item_text(item, group))
        begins, ends = spans[item, group].T
        places[k] = group, np.searchsorted(begins, start), np.searchsorted(ends, end) + 1
    return places[:, 0], places[:, 1], places[:, 2]


def _phrases(group: Int, first: Int, end: Int, index: Index) -> Int:
    """A number for the phrase in each part of an item, the same in all items that hold it, or -1 where it is the item: it
    covers nearly all of it, or names it."""
    distinct, place = np.unique(np.stack([group, first, end]), axis=1, return_inverse=True)
    lengths = np.diff(index.words.offsets)
    numbers: dict[bytes, int] = {}
    phrase = np.full(distinct.shape[1], -1, dtype=np.int64)
    for k, (of, begin, stop) in enumerate(distinct.T.tolist()):
        own = own_words(of, begin, stop, index)
        if stop - begin < WHOLE * lengths[of] and _nats(of, begin, own, index) < NAMING:
            words = index.words[of][begin:stop]
            shared = words if own.all() else words[~own]  # its own words may follow by chance
            phrase[k] = numbers.setdefault(shared.tobytes(), len(numbers))
    return phrase[place.ravel()]


def own_words(group: int, first: int, end: int, index: Index) -> NDArray[np.bool_]:
    """Which of the words `first` to `end` stand so, with their neighbours, in no more than RARE items."""
    grams = ngram_hashes(index.words[group][first:end], SHINGLE)
    is_rare = index.shingles.df[np.searchsorted(index.shingles.table.values, grams)] <= RARE
    own = np.ones(end - first, dtype=bool)
    for k in np.flatnonzero(~is_rare).tolist():
        own[k : k + SHINGLE] = False
    return own


def _nats(group: int, first: int, own: NDArray[np.bool_], index: Index) -> float:
    """What an item's own words say, of those from `first` on."""
    begin = int(index.words.offsets[group]) + first
    return float(index.nats[begin : begin + len(own)][own].sum())


def count_rows(phrase: Int, cluster: Int) -> Int:
    """How many rows hold each match's phrase; those of one cluster count once."""
    pairs = np.unique(np.stack([phrase, cluster]), axis=1)
    counts: Int = np.bincount(pairs[0], minlength=int(phrase.max(initial=0)) + 1)[phrase]
    return counts
