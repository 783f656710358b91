"""Rare words of the benchmarks, without their order: they lead from a reordered or diluted text to the items in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from carto_audit.benchmarks.hash_tables import Float, HashTable, Int, Lists, hash_table
from carto_audit.benchmarks.surprisal import COMMON, PREDICTED
from carto_audit.text.loose_words import loose_keys
from carto_audit.text.words import Hashes, find_words

PROPOSING = 8
"""Words of each question that propose it: those that the fewest questions hold."""

LEAST_NATS = 0.5
"""A word that says less is not counted: nearly every text holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RareWords:
    """The loose keys of all groups' words, and what each says, in nats.

    `of_group` has each group's keys, by their place in `table`, and `nats` what they say there. `groups` has the groups that a
    key proposes, and `proposing` how many keys propose each group, (groups,). `total` is what all words of a group say, (groups,).
    """

    table: HashTable
    of_group: Lists
    nats: Float  # (values of `of_group`,)
    groups: Lists
    proposing: Int
    total: Float


def index_rare_words(texts: Sequence[str], nats: Float) -> RareWords:
    """Indexes the words of every group; `nats` has what each of them adds, text by text."""
    words = find_words(texts)
    keys = loose_keys(words, words.hashed().values)
    group = np.repeat(np.arange(len(texts)), np.diff(words.offsets))
    values, place = np.unique(keys, return_inverse=True)
    weight = np.minimum(nats, _english_nats(values)[place])
    code, first = np.unique(group * max(1, len(values)) + place, return_inverse=True)
    most = np.zeros(len(code))
    np.maximum.at(most, first, weight)
    telling = most >= LEAST_NATS
    code, most = code[telling], most[telling]
    owner, key = code // max(1, len(values)), code % max(1, len(values))
    proposing = _proposing(owner, key, most)
    return RareWords(
        table=hash_table(values),
        of_group=Lists(values=key, offsets=_offsets(owner, len(texts))),
        nats=most,
        groups=Lists(values=owner[proposing], offsets=_offsets(key[proposing], len(values))),
        proposing=np.bincount(owner[proposing], minlength=len(texts)).astype(np.int64),
        total=np.bincount(owner, most, len(texts)).astype(np.float64),
    )


def _proposing(group: Int, key: Int, nats: Float) -> Int:
    """The entries of each group that the fewest other groups have, PROPOSING at most, by key."""
    held = np.bincount(key)[key]
    order = np.lexsort((-nats, held, group))
    begins = np.searchsorted(group[order], np.arange(int(group.max(initial=0)) + 1))
    rank = np.arange(len(order)) - begins[group[order]]
    chosen = order[rank < PROPOSING]
    by_key: Int = chosen[np.argsort(key[chosen], kind="stable")]
    return by_key


def _offsets(owner: Int, n: int) -> Int:
    return np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=n))))


def _english_nats(keys: Hashes) -> Float:
    """The most that a word with this key says: little, where a frequent word of English has it too."""
    common, ranks = _english_keys()
    place = np.minimum(np.searchsorted(common, keys), len(common) - 1)
    nats = np.maximum(0.0, np.log(10.0 * ranks[place]) - PREDICTED)
    return np.where(common[place] == keys, nats, np.inf)


@cache
def _english_keys() -> tuple[Hashes, Int]:
    words = find_words(list(COMMON))
    keys, first = np.unique(loose_keys(words, words.hashed().values), return_index=True)
    return keys, first + 1
