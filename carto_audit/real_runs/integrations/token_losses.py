"""Token losses and segments of a batch, for any loop of PyTorch: every loss at the token that was predicted."""

import torch
import torch.nn.functional as F
from torch import Tensor

from carto_audit.runtime.errors import UsageError

IGNORED = -100
"""The label of a token whose loss does not count, in PyTorch and all that builds on it."""


def token_losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The loss in nats of every token and which tokens have one, both (B, T), of logits (B, T, V) and labels (B, T).

    Labels are the token ids, not shifted; no first token of a row has a loss. Gradients flow through the losses, so that
    `losses.sum() / scored.sum()` is what a loop trains on, computed once.
    """
    shifted = F.pad(labels[:, 1:], (0, 1), value=IGNORED)
    losses = F.cross_entropy(logits.float().flatten(0, 1), shifted.flatten(), ignore_index=IGNORED, reduction="none")
    return at_predicted(losses.view(labels.shape)), scored_tokens(labels)


def at_predicted(losses: Tensor) -> Tensor:
    """Losses (B, T) that stand at the token before, moved to the token that is predicted."""
    return F.pad(losses, (1, 0))[:, : losses.shape[1]]


def scored_tokens(labels: Tensor) -> Tensor:
    """Which tokens (B, T) have a loss: all that are labelled but the first of a row."""
    return F.pad(labels[:, 1:] != IGNORED, (1, 0))


def padded_segments(attention_mask: Tensor) -> Tensor:
    """The segments of a padded batch: every row is a sample, and what the mask (B, T) leaves out belongs to none."""
    rows = torch.arange(len(attention_mask), device=attention_mask.device)[:, None]
    return torch.where(attention_mask.bool(), rows, -1)


def packed_segments(position_ids: Tensor) -> Tensor:
    """The segments of packed rows: a sample begins at the start of a row and wherever the positions (B, T) do not go on."""
    begins = F.pad(position_ids[:, 1:] != position_ids[:, :-1] + 1, (1, 0), value=True)
    return (begins.flatten().cumsum(0) - 1).view(position_ids.shape)


def segments_of(
    ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None, bounds: Tensor | None = None
) -> Tensor:
    """The segments (B, T) of what a model is given: packed where there are positions or bounds (`cu_seq_lens_q`, of one row),
    else a sample a row; without the tokens that the mask leaves out. Raises UsageError for other masks and positions."""
    for name, given in (("attention mask", attention_mask), ("position ids", position_ids)):
        if given is not None and (given.dim() != 2 or given.shape[1] != ids.shape[1]):
            raise UsageError(
                f"{name} of shape {tuple(given.shape)} do not say which tokens are one sample; give (B, T)"
            )
    if position_ids is not None:
        segments = packed_segments(position_ids.expand(ids.shape))
    elif bounds is not None and len(ids) == 1:
        places = torch.arange(ids.shape[1], device=ids.device)
        segments = torch.bucketize(places, bounds[1:-1].to(ids.device), right=True)[None]
    else:
        segments = torch.arange(len(ids), device=ids.device)[:, None].expand(ids.shape)
    return segments if attention_mask is None else torch.where(attention_mask.bool(), segments, -1)


def without_first(scored: Tensor, segments: Tensor) -> Tensor:
    """Which tokens are scored without the first of each segment: what predicts it is another sample."""
    return scored & F.pad(segments[:, 1:] == segments[:, :-1], (1, 0)) & (segments >= 0)
