"""Surprise: how many nats a byte of a passage says to someone who knows the other text. Needs no vocabulary and no training."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW_BYTES = 48
"""Bytes over which surprise is averaged: a passage is as surprising as its most surprising stretch of this length."""

SHORTEST = 16
"""Bytes; of fewer nothing can be said."""

LEARNED_BYTES = 2 << 20
"""Text that a model is made of, at most; more changes no count that matters."""

_PRIOR = 5.0  # how many bytes of evidence a shorter context is worth

Codes = NDArray[np.int64]
Nats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteModel:
    """How often each byte follows each two bytes: the counts of single bytes (256,), of pairs (65536,), and of the triples that
    occur, in order of their code."""

    singles: NDArray[np.int64]
    pairs: NDArray[np.int64]
    triples: Codes
    times: NDArray[np.int64]

    def surprise(self, passage: bytes) -> float:
        """The mean of the most surprising WINDOW_BYTES bytes of a passage, nats per byte; NaN for one that is too short."""
        if len(passage) < SHORTEST:
            return float("nan")
        nats = self._nats(np.frombuffer(passage, np.uint8).astype(np.int64))
        width = min(WINDOW_BYTES, len(nats))
        sums = np.cumsum(np.concatenate([[0.0], nats]))
        return float((sums[width:] - sums[:-width]).max() / width)

    def _nats(self, text: Codes) -> Nats:
        """What each byte after the second says, (n - 2,): three orders of context, each drawn towards the shorter one."""
        before, last, now = text[:-2], text[1:-1], text[2:]
        single = (self.singles[now] + 0.5) / (self.singles.sum() + 128)
        pair = (self.pairs[last << 8 | now] + _PRIOR * single) / (self.singles[last] + _PRIOR)
        triple = (self._times(before << 16 | last << 8 | now) + _PRIOR * pair) / (
            self.pairs[before << 8 | last] + _PRIOR
        )
        nats: Nats = -np.log(np.minimum(triple, 1.0))
        return nats

    def _times(self, codes: Codes) -> NDArray[np.int64]:
        if not len(self.triples):
            return np.zeros(len(codes), np.int64)
        at = np.minimum(np.searchsorted(self.triples, codes), len(self.triples) - 1)
        return np.where(self.triples[at] == codes, self.times[at], 0)


def learn_bytes(texts: Iterable[bytes]) -> ByteModel:
    """The model of some texts, in whatever order, of which no more than LEARNED_BYTES are read."""
    parts, left = [], LEARNED_BYTES
    for text in texts:
        parts.append(text[:left])
        left -= len(text)
        if left <= 0:
            break
    read = np.frombuffer(b"\n\n".join([b"", *parts, b""]), np.uint8).astype(np.int64)  # no three bytes are of two texts
    triples, times = np.unique(read[:-2] << 16 | read[1:-1] << 8 | read[2:], return_counts=True)
    return ByteModel(
        singles=np.bincount(read, minlength=1 << 8),
        pairs=np.bincount(read[:-1] << 8 | read[1:], minlength=1 << 16),
        triples=triples,
        times=times,
    )
