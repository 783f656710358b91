"""Checkpoint losses: what a model makes of every token of some samples: batched by length, in bfloat16 on CUDA, else in float32.

What is read is kept in shards, so that a killed reading goes on."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from carto_audit.proxies.model import require_causal
from carto_audit.real_runs.reading.adapters import adapted_model
from carto_audit.real_runs.reading.run_samples import Pieces, RunSamples
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.files import atomic_path
from carto_audit.runtime.progress import Advance
from carto_audit.text.untrusted import safe_inline
from carto_audit.traces.visits import in_steps

SHARD_TOKENS = 1 << 20
"""Tokens that are read before they are kept, about."""

BATCH_TOKENS = {"cuda": 16_384, "cpu": 2_048, "mps": 4_096}
"""Of a forward pass, about; a longer piece is one by itself."""

HEAD_TOKENS = 2_048
"""Tokens whose losses over the vocabulary are taken in float32 at once."""


def load_model(folder: Path, device: str) -> nn.Module:
    """A checkpoint, or a model with its adapter, ready to be asked. Nothing is fetched and none of its code is run. Raises
    UsageError where it is none of a causal language model, AuditError where it diverged."""
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    logging.getLogger("transformers").setLevel(logging.ERROR)
    disable_progress_bar()  # ours shows the reading
    shown = safe_inline(str(folder), 160)
    try:
        model: nn.Module = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            dtype=torch.bfloat16 if device == "cuda" else torch.float32,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UsageError(
            f"{shown}: no checkpoint that can be loaded: {safe_inline(str(error).splitlines()[0], 120)}"
        ) from error
    model = model.to(device).eval()
    if not all(bool(torch.isfinite(weights).all()) for weights in model.parameters()):
        raise AuditError(f"{shown}: weights that are no numbers: this checkpoint diverged; read an earlier one")
    require_causal(model, shown)
    return model


def longest_of(folder: Path) -> int | None:
    """How many tokens a checkpoint reads at once, None where it does not say. Raises UsageError where it is none."""
    from transformers import AutoConfig

    try:
        model = adapted_model(folder) or folder
        config: Any = AutoConfig.from_pretrained(model, local_files_only=True, trust_remote_code=False)
        most = getattr(config.get_text_config(), "max_position_embeddings", None)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UsageError(
            f"{safe_inline(str(folder), 160)}: no checkpoint of transformers: {safe_inline(str(error).splitlines()[0], 120)}"
        ) from error
    return int(most) if isinstance(most, int) and most > 1 else None


def read_losses(
    model: nn.Module, samples: RunSamples, pieces: Pieces, device: str, folder: Path, advance: Advance
) -> NDArray[np.uint8]:
    """The loss of every token, (tokens,) in sixteenths of a nat; the first of a piece has none. Shards that lie in `folder`
    are not read again. Raises AuditError for a loss that is no number, UsageError for token ids that the model does not
    know."""
    known = model.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    if len(samples.ids) and int(samples.ids.max()) >= known:
        raise UsageError(
            f"the tokenizer has {int(samples.ids.max()) + 1:,} tokens or more, and the model knows {known:,}"
        )
    parts = []
    for number, (first, last) in enumerate(_shards(pieces)):
        path, size = folder / f"{number:06d}.npy", int(pieces.bounds[last] - pieces.bounds[first])
        found = _kept(path, size)
        if found is None:
            found = _read(model, samples, pieces, range(first, last), device)
            with atomic_path(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, found)
        parts.append(found)
        advance(size)
    return np.concatenate([np.zeros(0, np.uint8), *parts])


def _shards(pieces: Pieces) -> Iterator[tuple[int, int]]:
    first = 0
    while first < len(pieces):
        last = int(np.searchsorted(pieces.bounds, pieces.bounds[first] + SHARD_TOKENS))
        last = min(max(last, first + 1), len(pieces))
        yield first, last
        first = last


def _kept(path: Path, size: int) -> NDArray[np.uint8] | None:
    """A shard that was read before; None where there is none of that size."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.dtype == np.uint8 and found.shape == (size,) else None


@torch.inference_mode()
def _read(model: nn.Module, samples: RunSamples, pieces: Pieces, shard: range, device: str) -> NDArray[np.uint8]:
    start = int(pieces.bounds[shard.start])
    losses = np.full(int(pieces.bounds[shard.stop]) - start, np.nan, np.float32)
    for chosen in _batches(pieces, shard, BATCH_TOKENS.get(device, 2_048)):
        spans = [(int(pieces.bounds[k]), int(pieces.bounds[k + 1])) for k in chosen]
        ids = [torch.from_numpy(samples.ids[first:last].astype(np.int64)) for first, last in spans]
        padded = nn.utils.rnn.pad_sequence(ids, batch_first=True).to(device)  # (B, T)
        found = _losses(model, padded, [len(one) for one in ids])
        for (first, last), row in zip(spans, found, strict=True):
            losses[first - start + 1 : last - start] = row[: last - first - 1]
    scored = np.ones(len(losses), dtype=bool)
    scored[pieces.bounds[shard.start : shard.stop] - start] = False
    if not np.isfinite(losses[scored]).all():
        raise AuditError("a loss is no number: this checkpoint diverged, or its precision does not suffice")
    return in_steps(losses, scored)


def _batches(pieces: Pieces, shard: range, most: int) -> Iterator[Sequence[int]]:
    """Pieces of about the same length, at most so many tokens with the padding."""
    length = np.diff(pieces.bounds)
    order = shard.start + np.argsort(length[shard.start : shard.stop], kind="stable")
    order = order[length[order] > 1]
    first = 0
    for k in range(1, len(order) + 1):
        if k == len(order) or (k + 1 - first) * length[order[k]] > most:
            yield order[first:k].tolist()
            first = k


def _losses(model: nn.Module, padded: Tensor, lengths: Sequence[int]) -> list[NDArray[np.float32]]:
    """The losses of every row's tokens but the first. What pads on the right is seen by nothing before it."""
    if padded.shape[1] < 2:
        return [np.zeros(0, np.float32) for _ in lengths]
    logits = model(input_ids=padded, use_cache=False).logits  # (B, T, V)
    logits, targets = logits[:, :-1].flatten(0, 1), padded[:, 1:].flatten()
    parts = [
        F.cross_entropy(logits[k : k + HEAD_TOKENS].float(), targets[k : k + HEAD_TOKENS], reduction="none")
        for k in range(0, len(targets), HEAD_TOKENS)
    ]
    found = torch.cat(parts).view(len(lengths), -1)  # (B, T - 1)
    return list(found.float().cpu().numpy())
