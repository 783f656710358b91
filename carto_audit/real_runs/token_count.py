"""Token counts: those of the run's own tokenizer, or of a vocabulary that is made of the batch where none is named."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from carto_audit.data.batch import Batch, iter_texts
from carto_audit.proxies.tokens import Encoder, count_tokens, load_encoder, train_encoder
from carto_audit.runtime.progress import SILENT, Progress

VOCABULARY = 8192
"""Pieces of a vocabulary that is made of the batch."""

COUNTED_BYTES = 16 << 20
"""Of a larger batch, so many bytes of rows drawn at random are counted, and the rest is estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCount:
    """`total` tokens of a batch, `exact` or estimated, and how many there are to a byte."""

    encoder: Encoder
    total: float
    per_byte: float
    exact: bool

    def of(self, texts: Sequence[str]) -> int:
        """The tokens of some texts together."""
        return count_tokens(self.encoder, texts)


def count_batch(
    batch: Batch, tokenizer: str | None, rng: np.random.Generator, progress: Progress = SILENT
) -> TokenCount:
    """Counts a batch. Raises UsageError where the tokenizer cannot be loaded from its folder."""
    if tokenizer is None:
        encoder = train_encoder(batch, np.zeros(len(batch), dtype=bool), VOCABULARY, 0, progress)
    else:
        encoder = load_encoder(Path(tokenizer))
    n_bytes = int(batch.n_bytes[batch.trainable].sum())
    drawn = batch.trainable & (rng.random(len(batch)) < COUNTED_BYTES / max(1, n_bytes))
    tokens = 0
    for chunk in iter_texts(batch, progress, "Counting tokens"):
        tokens += count_tokens(encoder, [text for k, text in enumerate(chunk.texts) if drawn[chunk.start + k]])
    per_byte = tokens / max(1, int(batch.n_bytes[drawn].sum()))
    exact = bool(drawn.sum() == batch.trainable.sum())
    return TokenCount(encoder=encoder, total=tokens if exact else per_byte * n_bytes, per_byte=per_byte, exact=exact)
