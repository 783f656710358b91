"""Exposure: how far a planted secret stands out among the secrets that could have been planted in its place, in bits."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from carto_audit.proxies.likelihood import text_losses
from carto_audit.proxies.loaded_proxy import LoadedProxy

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


def exposure(loss: float, candidates: Floats) -> float:
    """log2 |R| - log2 rank of a secret by its loss among R, itself and its candidates; a tie counts against it.

    From 0 to log2 |R|, which says that it is the likeliest of all; chance alone gives 1.4 on average. Without candidates 0
    (Carlini et al. 2019, "The Secret Sharer", arXiv 1802.08232).
    """
    rank = 1 + int((candidates <= loss).sum())
    return math.log2(1 + len(candidates)) - math.log2(rank)


def candidate_losses(
    proxy: LoadedProxy,
    prompts: Sequence[Ids],
    suffixes_by_secret: Sequence[Sequence[Ids]],
) -> list[Floats]:
    """The loss of each suffix after its secret's prompt, in nats: an array (suffixes,) per secret."""
    texts = [
        np.concatenate([prompt, suffix])
        for prompt, suffixes in zip(prompts, suffixes_by_secret, strict=True)
        for suffix in suffixes
    ]
    losses = iter(text_losses(proxy, texts))
    return [
        np.array([next(losses)[len(prompt) :].sum() for _ in suffixes])
        for prompt, suffixes in zip(prompts, suffixes_by_secret, strict=True)
    ]
