"""Rare words of the benchmarks, without their order: they lead from a reordered or diluted text to the items in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import Float, HashTable, Int, Lists, as_lists, hash_table
from carto_audit.benchmarks.surprisal import COMMON, PREDICTED
from carto_audit.text.loose_words import loose_keys
from carto_audit.text.words import FoldedWords, Hashes, find_words, mix64

NEAR = 2
"""Two telling words of an item at most so many telling words apart are a pair, in whichever order they stand."""

MOST_GROUPS = 10
"""A pair that more questions hold proposes none of them."""

LEAST_NATS = 0.5
"""A word that says less is not counted: nearly every text holds it."""

TELLING = 2.5
"""Nats from which a word is one of a pair: the hundred most frequent words of English are none."""

_BITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RareWords:
    """The loose keys of all groups' telling words, what each says in nats, and the pairs of them that propose groups.

    `of_group` has each group's keys, by their place in `table`, and `nats` what they say there. `telling` has the keys that say
    at least TELLING, `pairs` the pairs of them, and `groups` the groups of each pair; those that more than MOST_GROUPS hold are
    left out. `total` is what all words of a group say, and `pair_count` how many pairs propose it, (groups,).
    """

    table: HashTable
    telling: HashTable
    of_group: Lists
    nats: Float  # (values of `of_group`,)
    pairs: HashTable
    groups: Lists
    total: Float
    pair_count: Int


def index_rare_words(texts: Sequence[str], nats: Float) -> RareWords:
    """Indexes the words of every group; `nats` has what each of them adds, text by text."""
    words, hashes, keys = _keyed(texts)
    group = np.repeat(np.arange(len(texts)), np.diff(words.offsets))
    values, place = np.unique(keys, return_inverse=True)
    english = _english_nats(values)
    code, first = np.unique(group * max(1, len(values)) + place, return_inverse=True)
    most = np.zeros(len(code))
    np.maximum.at(most, first, np.minimum(nats, english[place]))
    said = most >= LEAST_NATS
    code, most = code[said], most[said]
    owner, key = code // max(1, len(values)), code % max(1, len(values))
    counts = english >= LEAST_NATS  # all keys that are left in any group
    told = (english >= TELLING)[place] & ~is_frequent(hashes)
    pairs, of = near_pairs(keys[told], group[told], NEAR)
    known, which = np.unique(pairs, return_inverse=True)
    holders = as_lists(which, of, len(known))
    few = np.diff(holders.offsets) <= MOST_GROUPS
    kept = holders.only(np.flatnonzero(few))
    return RareWords(
        table=hash_table(values[counts]),
        telling=hash_table(np.unique(keys[told])),
        of_group=Lists(
            values=(np.cumsum(counts) - 1)[key],
            offsets=np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=len(texts))))),
        ),
        nats=most,
        pairs=hash_table(known[few]),
        groups=kept,
        total=np.bincount(owner, most, len(texts)).astype(np.float64),
        pair_count=np.bincount(kept.values, minlength=len(texts)).astype(np.int64),
    )


def near_pairs(keys: Hashes, text: Int, near: int) -> tuple[Hashes, Int]:
    """Hashes of the pairs of words that stand at most `near` places apart in one text, in whichever order, and for each the
    text; in that order, first those next to each other."""
    pairs, of = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for apart in range(1, min(near, max(0, len(keys) - 1)) + 1):
        same = (text[apart:] == text[:-apart]) & (keys[apart:] != keys[:-apart])
        pairs.append(mix64(keys[apart:][same] + keys[:-apart][same]))
        of.append(text[apart:][same])
    return np.concatenate(pairs), np.concatenate(of)


def is_frequent(hashes: Hashes) -> NDArray[np.bool_]:
    """Which words are frequent in English, told by some bits of their own hash: one in 4,000 others is taken for one. It saves
    most words of a text a loose key."""
    flags: NDArray[np.bool_] = _frequent()[hashes >> np.uint64(64 - _BITS)]
    return flags


@cache
def _frequent() -> NDArray[np.bool_]:
    flags = np.zeros(1 << _BITS, dtype=bool)
    _, hashes, keys = _keyed(COMMON)
    flags[hashes[_english_nats(keys) < TELLING] >> np.uint64(64 - _BITS)] = True
    return flags


def _keyed(texts: Sequence[str]) -> tuple[FoldedWords, Hashes, Hashes]:
    """The words of some texts, the hash of each and its loose key."""
    words = find_words(texts)
    hashes = words.hashed().values
    return words, hashes, loose_keys(words, hashes, np.arange(len(hashes)))


def _english_nats(keys: Hashes) -> Float:
    """The most that a word with this key says: little, where a frequent word of English has it too."""
    common, ranks = _english_keys()
    place = np.minimum(np.searchsorted(common, keys), len(common) - 1)
    nats = np.maximum(0.0, np.log(10.0 * ranks[place]) - PREDICTED)
    return np.where(common[place] == keys, nats, np.inf)


@cache
def _english_keys() -> tuple[Hashes, Int]:
    keys, first = np.unique(_keyed(COMMON)[2], return_index=True)
    return keys, first + 1
