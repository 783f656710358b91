"""Likelihoods: what a trained proxy makes of every token of a text. Costs one forward pass a text."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from carto_audit.proxies.loaded_proxy import LoadedProxy
from carto_audit.proxies.minibatches import Sequences, minibatches, pad
from carto_audit.proxies.model import token_losses
from carto_audit.traces.trace import TokenStatistics

MINIBATCH_TOKENS, MINIBATCH_LOGITS = 4096, 1 << 26
"""Tokens at once, padding included, and of those whose whole distribution is looked at so many numbers at most."""

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]


@contextmanager
def one_thread() -> Iterator[None]:
    """On one thread, whatever the machine: a step of some hundred tokens is too little to share, and on a busy machine the
    threads would wait for one another longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def text_losses(proxy: LoadedProxy, texts: Sequence[Ids]) -> list[Floats]:
    """The loss of every token of every text, in nats, each text by itself behind `bos`. No text is empty."""
    if not texts:
        return []
    flat, ends = np.zeros(sum(len(text) for text in texts)), np.cumsum([len(text) for text in texts])
    for places, inputs, targets, real in _padded(texts, proxy, MINIBATCH_TOKENS):
        with torch.autocast("cuda", torch.bfloat16, enabled=proxy.device == "cuda"):
            found = token_losses(proxy.model, inputs, targets, real, built_in=proxy.spec.checkpoint is None)
        flat[places] = found.float().cpu().numpy()
    return np.split(flat, ends[:-1])


def neighbour_losses(proxy: LoadedProxy, neighbours: Sequence[Sequence[Ids]]) -> Floats:
    """The mean loss of each text's neighbours, (n,), in nats per token. Each has one neighbour at least, no longer than the
    context."""
    losses = iter(text_losses(proxy, [text for near in neighbours for text in near]))
    return np.array([np.mean([next(losses).mean() for _ in near]) for near in neighbours])


@torch.no_grad()
def read_statistics(
    proxy: LoadedProxy, texts: Sequence[Ids], most_logits: int = MINIBATCH_LOGITS
) -> list[TokenStatistics]:
    """What a proxy makes of the first `context` tokens of each text; no text is empty. `most_logits` bounds
    the memory it takes.

    In full precision, on a GPU too: logits of 16 bits tie, and a tie has no rank.
    """
    if not texts:
        return []
    texts = [text[: proxy.spec.context] for text in texts]
    ends = np.cumsum([len(text) for text in texts])
    flat = np.zeros((5, int(ends[-1])))
    budget = min(MINIBATCH_TOKENS, most_logits // proxy.spec.vocab_size)
    for places, inputs, targets, real in _padded(texts, proxy, budget):
        logits = proxy.model(input_ids=inputs, use_cache=False).logits[real].float()  # (n_real, V)
        flat[:, places] = _measure(logits, targets[real]).cpu().numpy()
    return [
        TokenStatistics(loss=part[0], z=part[1], right=part[2], log_rank=part[3], margin=part[4])
        for part in np.split(flat, ends[:-1], axis=1)
    ]


def _measure(logits: Tensor, targets: Tensor) -> Tensor:
    """Loss, z, right, log-rank and margin of each target, (5, n), from logits (n, V)."""
    log_p = F.log_softmax(logits, dim=-1)
    truth = log_p.gather(1, targets[:, None])  # (n, 1)
    p = log_p.exp()
    mean = (p * log_p).sum(-1)
    variance = (p * (log_p - mean[:, None]) ** 2).sum(-1)
    rank = (log_p > truth).sum(-1)
    of_truth = truth[:, 0]
    return torch.stack(
        [
            -of_truth,
            (of_truth - mean) / variance.clamp_min(1e-12).sqrt(),
            (rank == 0).float(),
            torch.log1p(rank.float()) / np.log(logits.shape[1] + 1),
            of_truth - log_p.max(-1).values,
        ]
    )


def _padded(
    texts: Sequence[Ids], proxy: LoadedProxy, budget: int
) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor, Tensor]]:
    """Minibatches of texts: where their tokens stand among all, then inputs, targets and real positions as in `pad`."""
    ids, ends = np.concatenate(texts), np.cumsum([len(text) for text in texts])
    starts = np.concatenate([[0], ends[:-1]])
    sequences = Sequences(sample=np.arange(len(texts)), start=starts, stop=ends)
    for chosen in minibatches(sequences, budget, None):
        inputs, targets, real = (part.to(proxy.device) for part in pad(ids, proxy.bos, sequences, chosen))
        yield np.concatenate([np.arange(starts[k], ends[k]) for k in chosen]), inputs, targets, real
