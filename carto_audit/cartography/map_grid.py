"""Map grid: how many samples lie where on the map, and from where to where its axes reach. One source for every picture."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID = (11, 56)
"""Rows and columns of the coarse map: what a terminal of 80 columns can draw beside its labels."""

_NAME_ROOM = 0.17
"""The part of the memorization axis above the highest sample in which the upper quadrants are named; and below the lowest one the
lower ones."""

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """The ends of both axes: nats per token, and the memorization score."""

    difficulty: Range
    memorization: Range


def map_frame(
    difficulty: NDArray[np.floating],
    memorization: NDArray[np.floating],
    thresholds: tuple[float | None, float | None],
    controls: Iterable[float],
) -> Frame:
    """The frame that holds nearly all samples (99.8 %), both thresholds and the scores of all controls. (N,), (N,) finite."""
    (low_x, high_x) = _reach(difficulty, thresholds[0], (), floor=0.5, air=0.09)
    (low_y, high_y) = _reach(memorization, thresholds[1], controls, floor=0.1, air=0.14)
    if len(memorization):
        lowest, highest = float(memorization.min()), float(memorization.max())
        low_y = min(low_y, high_y - (high_y - lowest) / (1 - _NAME_ROOM))
        high_y = max(high_y, low_y + (highest - low_y) / (1 - _NAME_ROOM))
    return Frame(difficulty=(low_x, high_x), memorization=(low_y, high_y))


def coarse_counts(
    difficulty: NDArray[np.floating], memorization: NDArray[np.floating], frame: Frame
) -> NDArray[np.int64]:
    """Samples per field of GRID, the most memorized row first; what lies outside the frame counts at its edge."""
    inside = np.clip(memorization, *frame.memorization), np.clip(difficulty, *frame.difficulty)
    counts, _, _ = np.histogram2d(*inside, bins=GRID, range=(frame.memorization, frame.difficulty))
    return np.asarray(counts[::-1], dtype=np.int64)


def level_edges(most: int, levels: int) -> list[int]:
    """The smallest count of each of at most `levels` levels: one sample, then even steps of the logarithm: `[1, 2, 5, 9]`."""
    steps = np.ceil(np.geomspace(2, max(most, 1) + 1, levels)[:-1] - 1e-9)
    return sorted({1, *(int(step) for step in steps if step <= most)})


def _reach(
    values: NDArray[np.floating], threshold: float | None, marks: Iterable[float], floor: float, air: float
) -> Range:
    """Nearly all values, the threshold and every mark, with a share of air; never narrower than `floor`."""
    known = [*marks, *(float(v) for v in (np.percentile(values, [0.1, 99.9]) if len(values) else []))]
    known += [threshold] if threshold is not None else []
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    space = max(air * (high - low), floor / 2)
    low, high = low - space, high + space
    if threshold is not None:
        # A fifth of the axis on either side of the threshold: room for the quadrants' names.
        low = min(low, (threshold - 0.2 * high) / 0.8)
        high = max(high, (threshold - 0.2 * low) / 0.8)
    return low, high
