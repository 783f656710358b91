"""Row counts: in how many rows runs of words and passages occur, by their hashes, in tables of a bounded size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.text.words import Hashes, Ragged, find_words, ngrams

PASSAGE = 0
"""What passages are counted under; runs of 1 to 4 words under their number."""

KINDS = (PASSAGE, 1, 2, 3, 4)

_LEAST_BITS, _MOST_BITS, _ROOM = 12, 24, 4
"""Tables have 4 places for each token, from 4,096 to 17 million of 8 bytes: at most 670 MB in all. Of runs that fall on one place
the first is counted and the others are taken for runs that no other row holds: one in ten, and more of them from about ten
megabytes of text on. No run is taken for another."""

_NAME, _COUNT = 20, 24
"""Bits of an entry: the name of the run that lies there, which are those of its hash below its place, and in how many rows it
stands. A place and a name fit beside the number of a row in 64 bits, so that one sort finds what a row repeats."""

_PRIOR = 1.0  # how many rows of evidence a shorter context is worth
_UNSEEN = 0.5  # of a row, for a word that stands in no other

Counts = NDArray[np.int64]
Nats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class HashedRows:
    """Rows as hashed `words`, and as `passages` of a fixed number of letters, which begin with the first words of a row, as far
    as it is long enough; `reach` tells in how many words a passage ends, in the order of the passages."""

    words: Ragged
    passages: Ragged
    reach: NDArray[np.int64]

    def first_word(self) -> Counts:
        """For each passage the place of its first word in `words.values`."""
        return np.arange(len(self.reach)) + np.repeat(
            self.words.offsets[:-1] - self.passages.offsets[:-1], np.diff(self.passages.offsets)
        )

    def runs(self, kind: int) -> Ragged:
        """Its passages, or its runs of so many words."""
        return self.passages if kind == PASSAGE else ngrams(self.words, kind)


def hash_rows(texts: Sequence[str], letters: int) -> HashedRows:
    """The texts, with passages of so many letters."""
    found = find_words(texts)
    words = found.hashed()
    per_row = np.diff(words.offsets)
    whole = found.starts + letters < np.repeat(found.text_ends, per_row)
    inside = np.bincount(np.repeat(np.arange(len(per_row)), per_row)[whole], minlength=len(per_row))
    passages = Ragged(values=found.hashed_on(letters)[whole], offsets=np.concatenate([[0], np.cumsum(inside)]))
    reach = np.searchsorted(found.starts, found.starts[whole] + letters) - np.flatnonzero(whole)
    return HashedRows(words=words, passages=passages, reach=reach)


@dataclass(frozen=True, kw_only=True, slots=True)
class RowCounts:
    """For runs of each kind a table (2**bits,): at the place that a run's hash says, its name and how many rows hold it, however
    often they repeat it. Adding changes the tables."""

    bits: int
    tables: dict[int, Hashes]

    def add(self, rows: HashedRows) -> None:
        """Counts these rows too."""
        for kind in KINDS:
            table, found = self.tables[kind], self._without_repeats(rows.runs(kind))
            place, name = (found >> np.uint64(_NAME)).astype(np.int64), (found & _ones(_NAME)) << np.uint64(_COUNT)
            free = table[place] == 0
            table[place[free]] = name[free]
            mine = table[place] & ~_ones(_COUNT) == name
            np.add.at(table, place[mine], np.uint64(1))

    def others(self, rows: HashedRows, kind: int) -> Counts:
        """For each run of these rows, which were added before, in how many other rows it occurs: as `HashedRows.runs`."""
        found = self._key(rows.runs(kind).values)
        entry = self.tables[kind][(found >> np.uint64(_NAME)).astype(np.int64)]
        mine = entry >> np.uint64(_COUNT) == found & _ones(_NAME)
        return np.where(mine, (entry & _ones(_COUNT)).astype(np.int64) - 1, 0)

    def total(self) -> float:
        """The words of all rows, those that a row repeats once; costs a pass over a table."""
        return float((self.tables[1] & _ones(_COUNT)).sum(dtype=np.int64))

    def _key(self, found: Hashes) -> Hashes:
        """Place and name of runs; the name is never 0."""
        return found >> np.uint64(64 - self.bits - _NAME) | np.uint64(1)

    def _without_repeats(self, found: Ragged) -> Hashes:
        """The keys of all rows, those that a row repeats once."""
        width = self.bits + _NAME
        row = np.repeat(np.arange(len(found), dtype=np.uint64), np.diff(found.offsets))
        keys = np.sort(row << np.uint64(width) | self._key(found.values))
        fresh = np.ones(len(keys), dtype=bool)
        fresh[1:] = keys[1:] != keys[:-1]
        return keys[fresh] & _ones(width)


def _ones(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)


def empty_counts(tokens: int) -> RowCounts:
    """Counts of no rows yet, with room for about so many tokens."""
    bits = int(np.clip(np.ceil(np.log2(_ROOM * max(1, tokens))), _LEAST_BITS, _MOST_BITS))
    return RowCounts(bits=bits, tables={kind: np.zeros(1 << bits, np.uint64) for kind in KINDS})


def losses(counts: RowCounts, rows: HashedRows, total: float) -> tuple[Nats, Nats]:
    """What each word of the rows says to who knows the other rows and the word before it, or the three before it, where there are
    so many: two arrays as `words.values`, in nats. `total` is that of the counts."""
    words = rows.words
    place = np.arange(len(words.values)) - np.repeat(words.offsets[:-1], np.diff(words.offsets))  # in its row
    single = counts.others(rows, 1)
    one = rarity(single, total)
    two, after_one = one.copy(), place >= 1
    before = single[np.flatnonzero(after_one) - 1]
    two[after_one] = _likely(counts.others(rows, 2), before, one[after_one])
    four, after_three = two.copy(), place >= 3
    threes = counts.others(rows, 3)[~_last_of_each(words, 3)]
    four[after_three] = _likely(counts.others(rows, 4), threes, two[after_three])
    return -np.log(two), -np.log(four)


def rarity(others: Counts, total: float) -> Nats:
    """The share of all words that a word has which stands in so many other rows."""
    return np.asarray((np.maximum(0, others) + _UNSEEN) / (total + 1), dtype=np.float64)


def _likely(seen: Counts, context: Counts, shorter: Nats) -> Nats:
    """How likely words are that follow their context in so many other rows, of those that hold it."""
    return np.minimum(1.0, (seen + _PRIOR * shorter) / (np.maximum(context, seen) + _PRIOR))


def _last_of_each(words: Ragged, n: int) -> NDArray[np.bool_]:
    """Which of the runs of n words is the last of its row, after which no word follows."""
    count = np.maximum(np.diff(words.offsets) - n + 1, 0)
    last = np.zeros(int(count.sum()), dtype=bool)
    last[np.cumsum(count)[count > 0] - 1] = True
    return last
