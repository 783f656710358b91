"""Noise: text that no training makes predictable. It looks like hard text worth repeating, and must never be up-sampled."""

import zlib

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.scores import Scores
from carto_audit.data.batch import Batch, iter_texts
from carto_audit.runtime.progress import SILENT, Progress

LANGUAGE_ZLIB_RATIO = 0.75
"""Text that zlib cannot shrink below this is no language; short texts are not judged (their headers dominate)."""

SHORTEST_ZLIB_BYTES = 200

UNSEEN_PERCENTILE = 95
"""A sample that is harder for its own proxy than this percentile is for the proxy that never saw it was not learned at all."""


def find_noise(
    batch: Batch, usable: NDArray[np.bool_], scores: Scores, progress: Progress = SILENT
) -> NDArray[np.bool_]:
    """Which of the `usable` samples are noise, (N,), wherever they lie. A single proxy leaves no unseen losses to
    compare with; compression judges alone."""
    unseen = scores.loss_out[np.isfinite(scores.loss_out)]
    level = np.percentile(unseen, UNSEEN_PERCENTILE) if len(unseen) else np.inf
    unlearned = scores.loss_in > level
    return usable & (unlearned | incompressible(batch, usable, progress))


def incompressible(batch: Batch, candidates: NDArray[np.bool_], progress: Progress) -> NDArray[np.bool_]:
    """Which candidates zlib cannot shrink as it shrinks language, (N,). Streams."""
    found = np.zeros(len(batch), dtype=bool)
    for chunk in iter_texts(batch, progress, "Looking for noise") if candidates.any() else ():
        for i in np.flatnonzero(candidates[chunk.start : chunk.start + len(chunk.texts)]):
            raw = chunk.texts[i].encode()
            if len(raw) >= SHORTEST_ZLIB_BYTES:
                found[chunk.start + i] = len(zlib.compress(raw)) > LANGUAGE_ZLIB_RATIO * len(raw)
    return found
