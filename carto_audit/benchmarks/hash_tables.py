"""Hash tables: sorted hashes behind a bitmap, and lists behind keys. An absent hash costs one look, another a few."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.text.words import Hashes

BACKGROUND = 10_000
"""Rarity is measured against at least so many items: in a benchmark of 20 questions every phrase would look rare."""

_LARGE = 1 << 15  # hashes: 256 KB stay in the second-level cache

Int = NDArray[np.int64]
Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """One list of integers per key: that of key `k` is `values[offsets[k]:offsets[k + 1]]`."""

    values: Int
    offsets: Int

    def __getitem__(self, k: int) -> Int:
        return self.values[self.offsets[k] : self.offsets[k + 1]]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def expand(self, keys: Int) -> tuple[Int, Int]:
        """All entries of all `keys`, in order: the key's place in `keys`, and the value."""
        owner, place = ranges(self.offsets[keys], self.offsets[keys + 1])
        return owner, self.values[place]

    def only(self, keys: Int) -> "Lists":
        """The lists of some keys, in their order."""
        return Lists(values=self.expand(keys)[1], offsets=np.concatenate(([0], np.cumsum(np.diff(self.offsets)[keys]))))

    def owners(self) -> Int:
        """The key of each value."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))


@dataclass(frozen=True, slots=True, kw_only=True)
class HashTable:
    """A sorted set of hashes behind a bitmap of their top bits, so that an absent hash costs one look.

    The values whose top bits are `b`, of fewer bits, are those from `begins[b]` to `begins[b + 1]`, one or none as a rule.
    """

    values: Hashes
    bitmap: NDArray[np.bool_]
    begins: NDArray[np.int32]

    def find(self, hashes: Hashes) -> tuple[Int, Int]:
        """Which of `hashes` are present, and their place in `values`: two arrays of equal length."""
        maybe = np.flatnonzero(self.may_hold(hashes))
        wanted = hashes[maybe]
        bucket = _top_bits(wanted, len(self.begins) - 1)
        place, end = self.begins[bucket].astype(np.int64), self.begins[bucket + 1]
        left = np.flatnonzero(place < end)
        found = np.zeros(len(wanted), dtype=bool)
        while len(left):
            here = self.values[place[left]]
            found[left[here == wanted[left]]] = True
            left = left[here < wanted[left]]
            place[left] += 1
            left = left[place[left] < end[left]]
        return maybe[found], place[found]

    def may_hold(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Which of `hashes` may be present: all that are, and one in twelve others or fewer."""
        flags: NDArray[np.bool_] = self.bitmap[_top_bits(hashes, len(self.bitmap))]
        return flags


def hash_table(values: Hashes) -> HashTable:
    """A table of sorted, distinct `values`; 8 bits of bitmap per value keep false looks near 8 %."""
    size, buckets = (1 << min(26, max(10, (k * len(values)).bit_length())) for k in (8, 2))
    bitmap = np.zeros(size, dtype=bool)
    bitmap[_top_bits(values, size)] = True
    counts = np.bincount(_top_bits(values, buckets), minlength=buckets)
    return HashTable(values=values, bitmap=bitmap, begins=np.concatenate(([0], np.cumsum(counts))).astype(np.int32))


def _top_bits(hashes: Hashes, size: int) -> Int:
    return (hashes >> np.uint64(65 - size.bit_length())).astype(np.int64)


def search(ordered: Hashes, hashes: Hashes) -> Int:
    """`np.searchsorted`; in a large table hashes are looked up in their order, which finds half of it in the cache."""
    if len(ordered) < _LARGE:
        return ordered.searchsorted(hashes)
    order = hashes.argsort()
    place = np.empty(len(hashes), dtype=np.int64)
    place[order] = ordered.searchsorted(hashes[order])
    return place


def among(values: NDArray[Any], ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of `values` are in the sorted array `ordered`; on small arrays much faster than `np.isin`."""
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    place = ordered.searchsorted(values)
    place[place == len(ordered)] = 0
    found: NDArray[np.bool_] = ordered[place] == values
    return found


def distinct(values: Int) -> Int:
    """The different values in their order; much faster than `np.unique`, which hashes."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def ranges(begins: Int, ends: Int) -> tuple[Int, Int]:
    """All integers of the ranges `begins` to `ends`, in order: the range's place in `begins`, and the integer."""
    counts = ends - begins
    owner = np.repeat(np.arange(len(begins)), counts)
    return owner, np.arange(len(owner)) + np.repeat(begins - (np.cumsum(counts) - counts), counts)


def as_lists(keys: Int, values: Int, n_keys: int) -> Lists:
    """Groups distinct (key, value) pairs by key."""
    n_values = int(values.max(initial=0)) + 1
    pairs = np.unique(keys * n_values + values)
    counts = np.bincount(pairs // n_values, minlength=n_keys)
    return Lists(values=pairs % n_values, offsets=np.concatenate(([0], np.cumsum(counts))))
