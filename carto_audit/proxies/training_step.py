"""The training step: one for audits and red teams: one optimizer, one schedule, and a loss that stays finite."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from carto_audit.proxies.minibatches import Sequences, pad
from carto_audit.proxies.model import ProxySpec, token_losses
from carto_audit.runtime.errors import AuditError, option

WARM_UP_SHARE = 0.1
FLOOR_RATE_SHARE = 0.1
BETAS = (0.9, 0.95)
CLIP_NORM = 1.0


def make_optimizer(model: nn.Module, spec: ProxySpec, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW over all parameters, at the proxy's peak rate."""
    return torch.optim.AdamW(
        model.parameters(), lr=spec.learning_rate, betas=BETAS, weight_decay=weight_decay, fused=True
    )


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up, then a cosine down to a tenth of the peak."""
    warm_up = max(1, int(WARM_UP_SHARE * steps))
    if step < warm_up:
        return peak * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return peak * (FLOOR_RATE_SHARE + (1 - FLOOR_RATE_SHARE) * 0.5 * (1 + math.cos(math.pi * progress)))


def minibatch_losses(
    model: nn.Module,
    spec: ProxySpec,
    device: str,
    ids: NDArray[np.integer],
    bos: int,
    sequences: Sequences,
    chosen: NDArray[np.int64],
) -> Tensor:
    """The loss of every real token of some sequences, (n_real,), nats; on a GPU in bfloat16."""
    inputs, targets, real = (part.to(device) for part in pad(ids, bos, sequences, chosen))
    with torch.autocast("cuda", torch.bfloat16, enabled=device == "cuda"):
        return token_losses(model, inputs, targets, real, built_in=spec.checkpoint is None)


def training_step(model: nn.Module, optimizer: torch.optim.Optimizer, rate: float, loss: Tensor, where: str) -> None:
    """One step down the gradient of a scalar loss, clipped, at this learning rate. Raises AuditError where the loss is not
    finite; `where` says in which proxy, epoch or step."""
    if not torch.isfinite(loss):
        raise AuditError(
            f"{where}: the loss is {loss.item()}: training diverged; try another {option('proxy')} or {option('seed')}"
        )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    optimizer.step()
