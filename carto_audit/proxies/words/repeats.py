"""Repeats: which of very many hashes may occur more than once, told by a table of bits in memory.

Most runs of a batch occur once, and need be written nowhere.
"""

import numpy as np
from numpy.typing import NDArray

BITS_PER_HASH = 16
"""Of either table: of the hashes that occur once, about one in twenty shares its bit with another, and is taken for one that
may repeat."""

LEAST_BITS, MOST_BITS = 20, 33
"""Of a table's address: 128 KB to 1 GB. Beyond half a billion hashes more of them share bits; none that repeats is missed."""

_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class RepeatFilter:
    """Takes hashes block by block, and says afterwards of each whether it may have been there twice. Memory follows from how
    many there are `in_all`, about."""

    def __init__(self, in_all: int) -> None:
        bits = min(MOST_BITS, max(LEAST_BITS, (BITS_PER_HASH * max(1, in_all) - 1).bit_length()))
        self._shift = np.uint64(64 - bits)
        self._once = np.zeros(1 << (bits - 3), np.uint8)
        self._twice = np.zeros(1 << (bits - 3), np.uint8)

    def add(self, hashes: NDArray[np.uint64]) -> None:
        """Remembers some more hashes (n,)."""
        slot = np.sort(self._slots(hashes))
        again = np.zeros(len(slot), dtype=bool)
        again[1:] = slot[1:] == slot[:-1]
        again[~again] = _is_set(self._once, slot[~again])
        _set(self._twice, slot[again])
        _set(self._once, slot)

    def may_repeat(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of the hashes (n,) may have been added more than once: all that were, and few others."""
        return _is_set(self._twice, self._slots(hashes))

    def _slots(self, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return (hashes * _SPREAD) >> self._shift


def _is_set(table: NDArray[np.uint8], slot: NDArray[np.uint64]) -> NDArray[np.bool_]:
    bit = np.uint8(1) << (slot & np.uint64(7)).astype(np.uint8)
    return (table[(slot >> np.uint64(3)).astype(np.int64)] & bit) > 0


def _set(table: NDArray[np.uint8], slot: NDArray[np.uint64]) -> None:
    """Sets the bits of slots in ascending order."""
    if not len(slot):
        return
    place = (slot >> np.uint64(3)).astype(np.int64)
    bit = np.uint8(1) << (slot & np.uint64(7)).astype(np.uint8)
    opens = np.flatnonzero(np.append(True, place[1:] != place[:-1]))
    table[place[opens]] |= np.bitwise_or.reduceat(bit, opens)
