"""Pieces: items whose words stand in their order a few at a time, with anything between them. Proposed, never confirmed."""

from dataclasses import dataclass

import numpy as np

from carto_audit.benchmarks.hash_tables import Float, Int, among
from carto_audit.text.words import Hashes, ngram_hashes

PIECE = 3
"""Words of a piece, at least: of two, those of any two texts on one subject have many in common."""

LEAST_SHARE = 0.7
"""Of what an item's words say together, that must stand there in pieces, in the item's order."""

LEAST_PIECES = 2
"""Pieces that the words must stand in: one alone is what words in a window show."""

LEAST_WORDS = 0.5
"""Of an item's words, the share that must stand there in whatever order, before anything else is looked at."""

_MOST_PLACES = 24  # of the same words: those of a refrain are no trace of the item


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a text holds PIECE words of an item, (n,): the first of them in the text and in the item, by place in the text."""

    here: Int
    own: Int

    def covers(self, words: int) -> float:
        """The share of an item of so many words that stands in the text, in whatever order."""
        return len(_with_next(self.own)) / max(1, words)

    def words(self) -> Int:
        """The places in the text of all words of the item that stand there."""
        return _with_next(self.here)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Words of a text that follow an item: `here` are their places in the text, `own` in the item, both ascending."""

    here: Int
    own: Int

    @property
    def pieces(self) -> int:
        """How many runs the words stand in."""
        return int((np.diff(self.here) > 1).sum()) + 1 if len(self.here) else 0


def find_places(grams: Hashes, item: Hashes) -> Places:
    """Where a text, of which these are the hashes of all its PIECE words, holds those of an item, (words,)."""
    theirs = ngram_hashes(item, PIECE) if len(item) >= PIECE else np.empty(0, np.uint64)
    here = np.flatnonzero(among(grams, np.sort(theirs)))
    values, counts = np.unique(grams[here], return_counts=True)
    here = here[~among(grams[here], values[counts > _MOST_PLACES])]
    places = [np.flatnonzero(theirs == value) for value in grams[here].tolist()]
    own = np.concatenate([np.empty(0, np.int64), *places])
    return Places(here=np.repeat(here, [len(some) for some in places]), own=own)


def longest_chain(places: Places, nats: Float) -> Chain:
    """The pieces of an item, in its order, that say the most together; `nats` (n,) is what the words at each place say."""
    chosen = _heaviest(places.here, places.own, nats)
    starts = np.stack([places.here[chosen], places.own[chosen]], axis=1)
    both = np.unique(np.concatenate([starts + k for k in range(PIECE)]), axis=0).reshape(-1, 2)
    rising = [(-1, -1)]
    for here, own in both.tolist():  # pieces may overlap in the text or in the item: no word stands for two
        if here > rising[-1][0] and own > rising[-1][1]:
            rising.append((here, own))
    words = np.array(rising[1:], dtype=np.int64).reshape(-1, 2)
    return Chain(here=words[:, 0], own=words[:, 1])


def _with_next(starts: Int) -> Int:
    """These places and those of the words that follow in a piece, each once."""
    return np.unique(np.concatenate([starts + k for k in range(PIECE)]))


def _heaviest(here: Int, own: Int, weight: Float) -> Int:
    """Which places make the heaviest chain that rises in both: by a table of the best chain that ends at each of the item's."""
    best = np.zeros(int(own.max(initial=0)) + 2)
    last = np.full(len(best), -1, dtype=np.int64)
    before = np.full(len(here), -1, dtype=np.int64)
    for k in np.lexsort((-own, here)).tolist():  # of those at one place, none goes on from another
        lower = int(np.argmax(best[: own[k] + 1]))
        total = best[lower] + weight[k]
        if total > best[own[k] + 1]:
            best[own[k] + 1], last[own[k] + 1], before[k] = total, k, last[lower]
    chain, k = [], int(last[int(np.argmax(best))])
    while k >= 0:
        chain.append(k)
        k = int(before[k])
    return np.array(chain[::-1], dtype=np.int64)
