"""Sampling: which samples to train on where there is no room for all, so that nobody can hide by being too large to be drawn.

Small groups of kin are drawn whole. A large group is drawn in parcels: a sample at random, and those that share most text with
it, as many as a secret needs to be seen. Both strata have room in proportion to their tokens.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.proxies.kinship import components

LARGE_SHARE = 1 / 8
"""Of the room: a larger group of kin is drawn in parcels."""

COPIES = 2
"""Times the dose that is to be found: as many samples a parcel has, where there are so many."""

Units = Iterator[list[int]]
"""What is drawn together, one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Which samples were `drawn`, (N,), and for how many like it each of them stands, `weight` (N,), 1 where all are drawn;
    and how many tokens had no chance, in samples that are larger than all the room."""

    drawn: NDArray[np.bool_]
    weight: NDArray[np.float64]
    undrawn_tokens: int


def draw_samples(n_tokens: NDArray[np.int64], edges: NDArray[np.int64], room: int, dose: int, seed: int) -> Draw:
    """Draws about `room` tokens of the samples (N,); those without tokens do not count. `edges` (3, E) are two samples and how
    much text they share."""
    usable = n_tokens > 0
    total = int(n_tokens.sum())
    if total <= room:
        return Draw(drawn=usable, weight=np.ones(len(n_tokens)), undrawn_tokens=0)
    group = components(edges[:2], len(n_tokens))
    rng = np.random.default_rng([seed, 0x5A])
    large = (np.bincount(group, n_tokens) > LARGE_SHARE * room)[group] & usable
    strata = (
        (usable & ~large, _groups(usable & ~large, group, rng)),
        (large, _parcels(large, edges, COPIES * dose, rng)),
    )
    drawn, weight, undrawn = np.zeros(len(n_tokens), dtype=bool), np.ones(len(n_tokens)), 0
    for stratum, units in strata:
        tokens = int(n_tokens[stratum].sum())
        allowed = room * tokens // total
        chosen = _fill(units, n_tokens, allowed)
        drawn[chosen] = True
        weight[stratum] = tokens / max(1, int(n_tokens[chosen].sum()))
        undrawn += int(n_tokens[stratum & (n_tokens > allowed)].sum())
    return Draw(drawn=drawn, weight=weight, undrawn_tokens=undrawn)


def _fill(units: Units, n_tokens: NDArray[np.int64], room: float) -> list[int]:
    """The samples of the units, in their order, that still fit; the smallest unit if none does."""
    chosen: dict[int, None] = {}
    smallest: list[int] = []
    for unit in units:
        fresh = [i for i in unit if i not in chosen]
        tokens = int(n_tokens[fresh].sum())
        if fresh and tokens <= room:
            chosen.update(dict.fromkeys(fresh))
            room -= tokens
        elif not chosen and (not smallest or tokens < n_tokens[smallest].sum()):
            smallest = unit
    return list(chosen) or smallest


def _groups(stratum: NDArray[np.bool_], group: NDArray[np.int64], rng: np.random.Generator) -> Units:
    """Whole groups, in random order."""
    members = np.flatnonzero(stratum)
    members = members[np.argsort(group[members], kind="stable")]
    parts = np.split(members, np.flatnonzero(np.diff(group[members])) + 1)
    return (parts[k].tolist() for k in rng.permutation(len(parts)))


def _parcels(stratum: NDArray[np.bool_], edges: NDArray[np.int64], rows: int, rng: np.random.Generator) -> Units:
    """A parcel around each sample, in random order."""
    inside = edges[:, stratum[edges[0]] & stratum[edges[1]]]
    both = np.concatenate([inside, inside[[1, 0, 2]]], axis=1)
    both = both[:, np.argsort(both[0], kind="stable")]
    begin = np.searchsorted(both[0], np.arange(len(stratum) + 1)).tolist()
    other, shared = both[1].tolist(), both[2].tolist()
    return (_parcel(i, begin, other, shared, rows) for i in rng.permutation(np.flatnonzero(stratum)).tolist())


def _parcel(seed: int, begin: list[int], other: list[int], shared: list[int], rows: int) -> list[int]:
    """A sample, and by turns the one that shares most text with one of the parcel, `rows` in all."""
    parcel: dict[int, None] = {}
    waiting = [(0, seed)]
    while waiting and len(parcel) < rows:
        _, found = heapq.heappop(waiting)
        if found not in parcel:
            parcel[found] = None
            for k in range(begin[found], begin[found + 1]):
                heapq.heappush(waiting, (-shared[k], other[k]))
    return list(parcel)
