"""Retraining: one proxy from scratch on weighted samples, for a given number of steps, so that only the weights differ."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from carto_audit.proxies.loaded_proxy import LoadedProxy
from carto_audit.proxies.minibatches import Sequences, cut_sequences, minibatches
from carto_audit.proxies.model import ProxySpec, build_proxy
from carto_audit.proxies.tokens import TokenStore
from carto_audit.proxies.training_step import (
    FLOOR_RATE_SHARE,
    WARM_UP_SHARE,
    learning_rate,
    make_optimizer,
    minibatch_losses,
    training_step,
)
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
    look: Callable[[LoadedProxy, int], None] = lambda proxy, step: None,
) -> LoadedProxy:
    """A proxy trained from scratch. A sample of weight w (n,) is read w times per epoch on average: never, if w is 0.

    `look` is called with the proxy after each step in `pauses`, counted from 1. Raises AuditError where nothing is left to
    train on, and where the loss is not finite.
    """
    if not (weight > 0).any():
        raise AuditError("nothing is left to train on")
    torch.use_deterministic_algorithms(recipe.device == "cpu")
    spec, store, device = recipe.spec, recipe.store, recipe.device
    model = build_proxy(spec, recipe.seed).to(device)
    optimizer = make_optimizer(model, spec, recipe.weight_decay)
    proxy = LoadedProxy(model=model, spec=spec, bos=store.bos, device=device)
    torch.manual_seed(recipe.seed)  # a checkpoint's dropout
    model.train()
    for step, (sequences, chosen) in zip(range(recipe.steps), _minibatches(recipe, weight), strict=False):
        losses = minibatch_losses(model, spec, device, store.ids(), store.bos, sequences, chosen)
        rate = spec.learning_rate * _rate(step, recipe.steps)
        training_step(model, optimizer, rate, losses.mean(), f"step {step + 1}")
        if step + 1 in pauses:
            model.eval()
            look(proxy, step + 1)
            model.train()
    model.eval()
    return proxy


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
