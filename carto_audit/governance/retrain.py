"""Retraining: one proxy from scratch on weighted samples, for a given number of steps, so that only the weights differ."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from carto_audit.proxies.cross_fit import BETAS, CLIP_NORM, FLOOR_RATE_SHARE, WARM_UP_SHARE, learning_rate
from carto_audit.proxies.minibatches import Sequences, cut_sequences, minibatches, pad
from carto_audit.proxies.model import ProxySpec, build_proxy, token_losses
from carto_audit.proxies.tokens import TokenStore
from carto_audit.runtime.errors import AuditError


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that retrainings have in common: the first weights (by `seed`), the samples (n,) of the store, the steps."""

    spec: ProxySpec
    store: TokenStore
    samples: NDArray[np.int64]
    steps: int
    weight_decay: float
    seed: int
    device: str


def count_steps(spec: ProxySpec, store: TokenStore, samples: NDArray[np.int64], epochs: int) -> int:
    """The steps of so many epochs over the samples, each read once per epoch."""
    sequences = cut_sequences(store, samples, spec.context)
    return epochs * sum(1 for _ in minibatches(sequences, spec.minibatch_tokens, np.random.default_rng(0)))


def retrain(
    recipe: Recipe,
    weight: NDArray[np.float64],
    *,
    pauses: Collection[int] = (),
    look: Callable[[nn.Module, int], None] = lambda proxy, step: None,
) -> nn.Module:
    """A proxy trained from scratch. A sample of weight w (n,) is read w times per epoch on average: never, if w is 0.

    `look` is called with the proxy after each step in `pauses`, counted from 1. Raises AuditError where nothing is left to
    train on, and where the loss is not finite.
    """
    if not (weight > 0).any():
        raise AuditError("nothing is left to train on")
    torch.use_deterministic_algorithms(recipe.device == "cpu")
    proxy = build_proxy(recipe.spec, recipe.seed).to(recipe.device)
    optimizer = torch.optim.AdamW(
        proxy.parameters(), lr=recipe.spec.learning_rate, betas=BETAS, weight_decay=recipe.weight_decay, fused=True
    )
    torch.manual_seed(recipe.seed)  # a checkpoint's dropout
    proxy.train()
    for step, (sequences, chosen) in zip(range(recipe.steps), _minibatches(recipe, weight), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = recipe.spec.learning_rate * _rate(step, recipe.steps)
        inputs, targets, real = (
            part.to(recipe.device) for part in pad(recipe.store.ids(), recipe.store.bos, sequences, chosen)
        )
        with torch.autocast("cuda", torch.bfloat16, enabled=recipe.device == "cuda"):
            loss = token_losses(proxy, inputs, targets, real, built_in=recipe.spec.checkpoint is None).mean()
        if not torch.isfinite(loss):
            raise AuditError(f"the loss is {loss.item()} in step {step + 1}: training diverged; try another --proxy")
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(proxy.parameters(), CLIP_NORM)
        optimizer.step()
        if step + 1 in pauses:
            look(proxy.eval(), step + 1)
            proxy.train()
    return proxy.eval()


def _rate(step: int, steps: int) -> float:
    """The share of the learning rate: as in an audit, but down to nothing, so that arms differ by what they read and not by
    their last steps."""
    share = learning_rate(step, steps, 1.0)
    return share if step < WARM_UP_SHARE * steps else (share - FLOOR_RATE_SHARE) / (1 - FLOOR_RATE_SHARE)


def _minibatches(recipe: Recipe, weight: NDArray[np.float64]) -> Iterator[tuple[Sequences, NDArray[np.int64]]]:
    """Minibatches without end, epoch by epoch."""
    epoch = 0
    while True:
        rng = np.random.default_rng([recipe.seed, 0xA7, epoch])
        times = np.floor(weight + rng.random(len(weight))).astype(np.int64)
        read = [recipe.samples[times > k] for k in range(int(times.max()))]
        if read:
            sequences = cut_sequences(recipe.store, np.concatenate(read), recipe.spec.context)
            plan = minibatches(sequences, recipe.spec.minibatch_tokens, rng)
            yield from ((sequences, chosen) for chosen in plan)
        epoch += 1
