"""Proxy choice: which proxy reads a batch, with which vocabulary, and how much of it."""

from dataclasses import dataclass
from pathlib import Path

from carto_audit.data.batch import Batch
from carto_audit.data.duplicates import Duplicates
from carto_audit.proxies.model import PRESETS, ProxySpec, checkpoint_spec, choose_preset
from carto_audit.proxies.tokens import VOCABULARY_BYTES, Encoder, load_encoder, train_encoder
from carto_audit.runtime.errors import UsageError, option
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.untrusted import safe_inline

CPU_TOKENS = 1_000_000
GPU_TOKENS = 100_000_000
"""Training tokens when `max_tokens` is not given: about a quarter of an hour on two cores, and on one data-centre GPU."""

BYTES_PER_TOKEN = 4
"""Rule of thumb, to choose a preset before there is a vocabulary."""


FITS = 4
"""Times what is trained on: of a larger batch the vocabulary is made of as much text as is trained on, LEAST_SAMPLE at least. It
is for that text; in a smaller batch more of it costs little."""

LEAST_SAMPLE = 4 << 20
"""Bytes of text that give a vocabulary of some thousand pieces, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyChoice:
    """A proxy's shape and the encoder that goes with it: a preset and a fresh vocabulary, or a checkpoint's own."""

    spec: ProxySpec
    encoder: Encoder


def most_tokens(asked: int | None, device: str) -> int:
    """Tokens to train on, at most: as many as were asked for, or what the device reads in a quarter of an hour."""
    return asked or (CPU_TOKENS if device == "cpu" else GPU_TOKENS)


def vocabulary_bytes(n_bytes: int, most: int) -> int:
    """Of a batch of that size, of which `most` tokens are read at most, how much text the vocabulary is made of."""
    trained = BYTES_PER_TOKEN * most
    return VOCABULARY_BYTES if n_bytes <= FITS * trained else min(VOCABULARY_BYTES, max(LEAST_SAMPLE, trained))


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
        sample = vocabulary_bytes(int(batch.n_bytes.sum()), most)
        encoder = train_encoder(batch, duplicates.exact, spec.vocab_size, seed, progress, sample)
        return ProxyChoice(spec=spec, encoder=encoder)
    folder = Path(name)
    if not folder.is_dir():
        known = ", ".join(PRESETS)
        raise UsageError(
            f'{option("proxy")} "{safe_inline(name, 80)}": neither a preset ({known}) nor a checkpoint folder'
        )
    encoder = load_encoder(folder)
    return ProxyChoice(spec=checkpoint_spec(folder, encoder.vocab_size), encoder=encoder)
