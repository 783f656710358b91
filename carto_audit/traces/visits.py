"""Visits: what one training step made of one sample, its mean loss and, of a share of samples, every token's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.traces.keys import SampleKeys, in_share, in_token_share

STEPS_PER_NAT = 16
"""Token losses are kept in steps of 1/16 nat, one byte each: half a step is far below what two visits differ by."""

MEAN_STEPS = 4096
"""Mean losses are rounded to 1/4096 nat, which saves a byte each and is a thousandth of what two visits differ by."""

MOST_STEPS, NO_LOSS = 254, 255
"""A byte saturates at 254 steps, 15.875 nats; 255 marks a token without a loss: the first one, a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitRows:
    """V visits of samples, in the order in which they were logged. All arrays but `steps` and `offsets` are (V,).

    `step` is how many optimizer steps were completed before, `epoch` counts from 0. `length` is how many tokens the sample had,
    of which `tokens` had a loss; `loss` is their mean in nats. `steps[offsets[i]:offsets[i + 1]]` are the losses of visit i's
    tokens in sixteenths of a nat, `length` of them, or none where they were not kept.
    """

    key: NDArray[np.uint64]
    step: NDArray[np.int64]
    epoch: NDArray[np.int32]
    rank: NDArray[np.int32]
    length: NDArray[np.int32]
    tokens: NDArray[np.int32]
    loss: NDArray[np.float32]
    steps: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.key)

    def token_losses(self, visit: int) -> NDArray[np.float32]:
        """The losses of a visit's tokens in nats, NaN for those without one; empty where they were not kept."""
        return nats(self.steps[self.offsets[visit] : self.offsets[visit + 1]])

    def select(self, chosen: NDArray[Any]) -> "VisitRows":
        """Some of the visits, by a mask or by their places, in that order."""
        places = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        sizes = np.diff(self.offsets)[places]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        taken = np.repeat(self.offsets[:-1][places] - offsets[:-1], sizes) + np.arange(offsets[-1])
        columns: dict[str, Any] = {name: getattr(self, name)[places] for name in COLUMNS}
        return VisitRows(**columns, steps=self.steps[taken], offsets=offsets)


COLUMNS = ("key", "step", "epoch", "rank", "length", "tokens", "loss")
"""The arrays with a value for every visit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Which samples are logged at all, and of which the losses of every token are kept, as shares of all."""

    share: float
    token_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedBatch:
    """What one forward pass computed, as arrays on the host. `tokens` are ids (N,), or keys of uint64, one for each segment.
    `losses` (N,) are in nats, each at the token that was predicted; `segments` (N,) tell whose tokens they are, -1 nobody's;
    `scored` (N,) marks the tokens that have a loss."""

    tokens: NDArray[Any]
    losses: NDArray[Any]
    segments: NDArray[Any]
    scored: NDArray[np.bool_]
    step: int
    epoch: int


def visits_of(batches: Sequence[LoggedBatch], keys: SampleKeys, shares: Shares, rank: int) -> VisitRows:
    """The visits of some batches, in their order: a row for every segment that has a loss and belongs to the share. Many batches
    at once cost little more than one."""
    parts = [_in_order(batch, keys) for batch in batches]
    parts = [part for part in parts if len(part.key)]
    if not parts:
        return join_visits([])
    key, length = (np.concatenate([getattr(part, name) for part in parts]) for name in ("key", "length"))
    losses, scored = (np.concatenate([getattr(part, name) for part in parts]) for name in ("losses", "scored"))
    starts = np.cumsum(length) - length
    count = np.add.reduceat(scored, starts, dtype=np.int64)
    total = np.add.reduceat(np.where(scored, losses, np.float32(0)), starts, dtype=np.float64)
    keep = in_share(key, shares.share) & (count > 0)
    tokenwise = keep & in_token_share(key, shares.token_share)
    kept = np.repeat(tokenwise, length)  # (N,)
    step, epoch = (
        np.repeat([getattr(part, name) for part in parts], [len(part.key) for part in parts])[keep] for name in _WHEN
    )
    return VisitRows(
        key=key[keep].astype(np.uint64),
        step=step.astype(np.int64),
        epoch=epoch.astype(np.int32),
        rank=np.full(len(step), rank, np.int32),
        length=length[keep].astype(np.int32),
        tokens=count[keep].astype(np.int32),
        loss=(np.rint(total[keep] / count[keep] * MEAN_STEPS) / MEAN_STEPS).astype(np.float32),
        steps=in_steps(losses[kept], scored[kept]),
        offsets=np.concatenate([[0], np.cumsum(np.where(tokenwise, length, 0)[keep])]).astype(np.int64),
    )


_WHEN = ("step", "epoch")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segments:
    """The segments of a batch, sorted: keys and lengths (S,), and losses and marks of their tokens one after the other."""

    key: NDArray[np.uint64]
    length: NDArray[np.int64]
    losses: NDArray[Any]
    scored: NDArray[np.bool_]
    step: int
    epoch: int


def _in_order(batch: LoggedBatch, keys: SampleKeys) -> _Segments:
    """Tokens of a segment keep their order, and those of none are left out."""
    arrays = [batch.segments, batch.losses, batch.scored, *([] if is_keys(batch.tokens) else [batch.tokens])]
    if (inside := batch.segments >= 0).sum() < len(inside):
        arrays = [array[inside] for array in arrays]
    change = arrays[0][1:] != arrays[0][:-1]
    if (arrays[0][1:] < arrays[0][:-1]).any():
        order = np.argsort(arrays[0], kind="stable")
        arrays = [array[order] for array in arrays]
        change = arrays[0][1:] != arrays[0][:-1]
    segments = arrays[0]
    bounds = (
        np.concatenate([[0], np.flatnonzero(change) + 1, [len(segments)]]) if len(segments) else np.zeros(1, np.int64)
    )
    key = batch.tokens[segments[bounds[:-1]]] if is_keys(batch.tokens) else keys.keys_of_runs(arrays[3], bounds)
    return _Segments(
        key=key, length=np.diff(bounds), losses=arrays[1], scored=arrays[2], step=batch.step, epoch=batch.epoch
    )


def is_keys(tokens: Any) -> bool:
    """Whether these are keys of samples rather than token ids: the two differ by their type, uint64."""
    return str(tokens.dtype).endswith("uint64")


def in_steps(losses: NDArray[Any], scored: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Losses in nats as bytes: sixteenths, rounded, saturating; NO_LOSS where not scored, saturated where no number."""
    steps = np.clip(np.rint(np.nan_to_num(losses, nan=np.inf) * STEPS_PER_NAT), 0, MOST_STEPS)
    return np.where(scored, steps, NO_LOSS).astype(np.uint8)


def nats(steps: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bytes as losses in nats, NaN for NO_LOSS."""
    return np.where(steps == NO_LOSS, np.nan, steps / STEPS_PER_NAT).astype(np.float32)


def join_visits(parts: Sequence[VisitRows]) -> VisitRows:
    """The visits of all parts, one after the other."""
    columns: dict[str, Any] = {
        name: np.concatenate([np.zeros(0, kind), *(getattr(part, name) for part in parts)]).astype(kind)
        for name, kind in zip(COLUMNS, _KINDS, strict=True)
    }
    sizes = np.concatenate([np.zeros(0, np.int64), *(np.diff(part.offsets) for part in parts)])
    steps = np.concatenate([np.zeros(0, np.uint8), *(part.steps for part in parts)])
    return VisitRows(**columns, steps=steps, offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


_KINDS = (np.uint64, np.int64, np.int32, np.int32, np.int32, np.int32, np.float32)
