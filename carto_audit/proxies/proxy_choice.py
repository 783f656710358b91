"""Proxy choice: which proxy reads a batch, with which vocabulary, and how much of it."""

from dataclasses import dataclass
from pathlib import Path

from carto_audit.data.batch import Batch
from carto_audit.data.duplicates import Duplicates
from carto_audit.proxies.model import PRESETS, ProxySpec, checkpoint_spec, choose_preset
from carto_audit.proxies.tokens import Encoder, load_encoder, train_encoder
from carto_audit.runtime.errors import UsageError, option
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.untrusted import safe_inline

CPU_TOKENS = 1_000_000
GPU_TOKENS = 100_000_000
"""Training tokens when `max_tokens` is not given: about a quarter of an hour on two cores, and on one data-centre GPU."""

BYTES_PER_TOKEN = 4
"""Rule of thumb, to choose a preset before there is a vocabulary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyChoice:
    """A proxy's shape and the encoder that goes with it: a preset and a fresh vocabulary, or a checkpoint's own."""

    spec: ProxySpec
    encoder: Encoder


def most_tokens(asked: int | None, device: str) -> int:
    """Tokens to train on, at most: as many as were asked for, or what the device reads in a quarter of an hour."""
    return asked or (CPU_TOKENS if device == "cpu" else GPU_TOKENS)


def choose_proxy(
    batch: Batch,
    duplicates: Duplicates,
    *,
    name: str | None,
    most: int,
    seed: int,
    device: str,
    progress: Progress = SILENT,
) -> ProxyChoice:
    """The proxy of that name, or one by the size of the batch, of which `most` tokens are read at most. Raises UsageError for a
    name that is neither a preset nor a checkpoint folder."""
    known_bytes = min(int(batch.n_bytes.sum()), BYTES_PER_TOKEN * most)
    name = name or choose_preset(known_bytes, device)
    if name in PRESETS:
        spec = PRESETS[name]
        encoder = train_encoder(batch, duplicates.exact, spec.vocab_size, seed, progress)
        return ProxyChoice(spec=spec, encoder=encoder)
    folder = Path(name)
    if not folder.is_dir():
        known = ", ".join(PRESETS)
        raise UsageError(
            f'{option("proxy")} "{safe_inline(name, 80)}": neither a preset ({known}) nor a checkpoint folder'
        )
    encoder = load_encoder(folder)
    return ProxyChoice(spec=checkpoint_spec(folder, encoder.vocab_size), encoder=encoder)
