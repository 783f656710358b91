"""Folds: on which side of a split samples lie. Whole kinship groups, balanced in tokens."""

import numpy as np
from numpy.typing import NDArray


def assign_folds(group: NDArray[np.int64], n_tokens: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int8]:
    """A fold per sample, (N,): whole groups, the largest first and ties at random, each to the fold with fewest tokens."""
    sizes = np.bincount(group, n_tokens)
    order = np.lexsort((np.random.default_rng([seed, 0xF0]).random(len(sizes)), -sizes))
    filled = np.zeros(folds)
    fold_of_group = np.zeros(len(sizes), np.int8)
    for g in order:
        fold_of_group[g] = filled.argmin()
        filled[fold_of_group[g]] += sizes[g]
    return fold_of_group[group]


def sample_groups(
    group: NDArray[np.int64], n_tokens: NDArray[np.int64], most_tokens: int, seed: int
) -> NDArray[np.bool_]:
    """Some samples, (N,): whole groups in random order, each that still fits into `most_tokens` (the smallest one if none
    does)."""
    sizes = np.bincount(group, n_tokens)
    chosen = np.zeros(len(sizes), dtype=bool)
    room = float(most_tokens)
    for g in np.random.default_rng([seed, 0x5A]).permutation(np.flatnonzero(sizes)):
        if sizes[g] <= room:
            chosen[g] = True
            room -= sizes[g]
    if not chosen.any():
        chosen[np.where(sizes > 0, sizes, np.inf).argmin()] = True
    return chosen[group]
