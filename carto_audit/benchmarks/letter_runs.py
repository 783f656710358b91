"""Letter runs of the benchmarks: they lead from a text without word borders, or with false ones, to the items in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carto_audit.benchmarks.hash_tables import HashTable, Int, Lists, as_lists, hash_table
from carto_audit.text.letters import sample_runs
from carto_audit.text.words import find_words

MOST_GROUPS = 25
"""A run that more questions hold is a wording of the benchmark and leads to none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterIndex:
    """The sampled runs of letters of all groups, the groups of each, and how many each group has: (groups,).

    `spaced` has each run with its word borders: a text that has them as well hides nothing there.
    """

    table: HashTable
    spaced: HashTable
    groups: Lists
    counts: Int


def index_letters(texts: Sequence[str]) -> LetterIndex:
    """Indexes the text of every group."""
    runs = sample_runs(find_words(texts))
    values, place = np.unique(runs.values, return_inverse=True)
    groups = as_lists(place, runs.text, len(values))
    few = np.diff(groups.offsets) <= MOST_GROUPS
    kept = groups.only(np.flatnonzero(few))
    return LetterIndex(
        table=hash_table(values[few]),
        spaced=hash_table(np.unique(runs.spaced(np.flatnonzero(few[place])))),
        groups=kept,
        counts=np.bincount(kept.values, minlength=len(texts)).astype(np.int64),
    )
