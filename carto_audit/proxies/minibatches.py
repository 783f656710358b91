"""Minibatches: samples cut to the proxy's context and packed together. Every token is a target exactly once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from carto_audit.proxies.tokens import TokenStore

BUCKET_MINIBATCHES = 16
"""Sequences are sorted by length inside groups of about this many minibatches: little padding, nearly random order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequences:
    """Samples cut to the context. Sequence `s` predicts tokens `start[s]:stop[s]` of the store for `sample[s]`."""

    sample: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sample)


def cut_sequences(store: TokenStore, samples: NDArray[np.int64], context: int) -> Sequences:
    """Cuts samples into sequences of at most `context` targets. Every token is the target of exactly one sequence."""
    offsets = store.offsets
    pieces = -(-(offsets[samples + 1] - offsets[samples]) // context)
    sample = np.repeat(samples, pieces)
    nth = np.arange(len(sample)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    start = offsets[sample] + nth * context
    return Sequences(sample=sample, start=start, stop=np.minimum(start + context, offsets[sample + 1]))


def minibatches(sequences: Sequences, budget: int, rng: np.random.Generator | None) -> Iterator[NDArray[np.int64]]:
    """Sequence indices of minibatches that hold at most `budget` positions, padding included (or one sequence).

    With `rng` the order is shuffled and lengths are bucketed; without, everything is sorted by length.
    """
    length = sequences.stop - sequences.start
    if rng is None:
        yield from _fill(np.argsort(length, kind="stable"), length, budget)
        return
    order = rng.permutation(len(sequences))
    per_bucket = max(1, int(BUCKET_MINIBATCHES * budget / max(1.0, float(length.mean()))))
    buckets = [order[k : k + per_bucket] for k in range(0, len(order), per_bucket)]
    filled = [b for bucket in buckets for b in _fill(bucket[np.argsort(length[bucket], kind="stable")], length, budget)]
    yield from (filled[k] for k in rng.permutation(len(filled)))


def _fill(order: NDArray[np.int64], length: NDArray[np.int64], budget: int) -> Iterator[NDArray[np.int64]]:
    first = 0
    for k in range(1, len(order) + 1):
        if k == len(order) or (k + 1 - first) * length[order[k]] > budget:
            yield order[first:k]
            first = k


def pad(
    store_ids: NDArray[np.integer], bos: int, sequences: Sequences, chosen: NDArray[np.int64]
) -> tuple[Tensor, ...]:
    """Inputs, targets and the mask of real positions of some sequences, each (B, T). A sequence opens with the token
    before it in its sample, the first one with `bos`."""
    length = sequences.stop[chosen] - sequences.start[chosen]
    real = np.arange(length.max()) < length[:, None]  # (B, T)
    targets = np.zeros(real.shape, np.int64)
    inputs = np.zeros(real.shape, np.int64)
    for b, s in enumerate(chosen):
        ids = store_ids[sequences.start[s] : sequences.stop[s]]
        targets[b, : len(ids)] = ids
        inputs[b, 1 : len(ids)] = ids[:-1]
        opens_sample = (
            s == 0 or sequences.sample[s - 1] != sequences.sample[s] or sequences.start[s - 1] >= sequences.start[s]
        )
        inputs[b, 0] = bos if opens_sample else store_ids[sequences.start[s] - 1]
    return torch.from_numpy(inputs), torch.from_numpy(targets), torch.from_numpy(real)
