"""MinHash: datasketch's signatures, bit for bit, of many texts or windows at once."""

from functools import cache

import numpy as np
from datasketch import MinHash
from numpy.typing import NDArray

from carto_audit.text.words import Hashes, Ragged

_BLOCK = 1 << 16  # shingles permuted at once: 512 KB of uint64 stays in the second-level cache


def premix(shingles: Hashes) -> NDArray[np.uint32]:
    """datasketch's first step, the same for all permutations: the top 32 bits through MurmurHash3's finalizer."""
    h = (shingles >> np.uint64(32)).astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    h ^= h >> np.uint32(16)
    return h


@cache
def permutations(num_perm: int, seed: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The factors and terms of datasketch's `affine32` permutations: (num_perm,) each."""
    factors, terms = MinHash(num_perm=num_perm, seed=seed, scheme="affine32").permutations
    return factors.astype(np.uint32), terms.astype(np.uint32)


def signatures(shingles: Ragged, num_perm: int, seed: int) -> NDArray[np.uint32]:
    """MinHash signatures, (num_perm, texts), bit-identical to `datasketch.MinHash(..., scheme="affine32")`.

    A text without shingles has datasketch's empty signature, all 2**32 - 1.
    """
    out = np.full((num_perm, len(shingles)), np.iinfo(np.uint32).max, dtype=np.uint32)
    filled = np.flatnonzero(np.diff(shingles.offsets))
    if not len(filled):
        return out
    mixed = premix(shingles.values)
    begins = shingles.offsets[filled]
    edges = np.searchsorted(begins, np.arange(0, begins[-1] + _BLOCK + 1, _BLOCK))
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        if low < high:
            stop = begins[high] if high < len(begins) else len(mixed)
            out[:, filled[low:high]] = segment_minima(
                mixed[begins[low] : stop], begins[low:high] - begins[low], num_perm, seed
            )
    return out


def segment_minima(
    mixed: NDArray[np.uint32], begins: NDArray[np.int64], num_perm: int, seed: int
) -> NDArray[np.uint32]:
    """For each permutation the smallest permuted value of each segment: (num_perm, segments)."""
    out = np.empty((num_perm, len(begins)), dtype=np.uint32)
    permuted = np.empty_like(mixed)
    for k, (factor, term) in enumerate(zip(*permutations(num_perm, seed), strict=True)):
        np.multiply(mixed, factor, out=permuted)
        permuted += term
        np.minimum.reduceat(permuted, begins, out=out[k])
    return out


def short_segment_minima(
    mixed: NDArray[np.uint32], begins: NDArray[np.int64], longest: int, num_perm: int, seed: int
) -> NDArray[np.uint32]:
    """`segment_minima` of segments that have at most `longest` values, a few: a third of the time."""
    last = np.append(begins[1:], len(mixed)) - 1
    columns = mixed[
        np.minimum(begins + np.arange(longest)[:, None], last)
    ]  # (longest, segments), the last one repeated
    out = np.empty((num_perm, len(begins)), dtype=np.uint32)
    permuted = np.empty_like(columns)
    for k, (factor, term) in enumerate(zip(*permutations(num_perm, seed), strict=True)):
        np.multiply(columns, factor, out=permuted)
        permuted += term
        np.minimum.reduce(permuted, axis=0, out=out[k])
    return out
