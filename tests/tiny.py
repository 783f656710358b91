"""Tiny real things that several tests build: batches on disk, token stores, and a proxy of two thin layers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from carto_audit.batch import Batch, read_batch
from carto_audit.proxy import ProxySpec
from carto_audit.scores import Scores
from carto_audit.tokens import TokenStore

SPEC = ProxySpec(
    name="tiny",
    vocab_size=64,
    context=16,
    hidden_size=16,
    layers=2,
    heads=2,
    learning_rate=5e-3,
    minibatch_tokens=64,
)


def write_texts(path: Path, texts: Sequence[str | None]) -> Path:
    pq.write_table(pa.table({"text": pa.array(list(texts), pa.string())}), path)
    return path


def make_batch(folder: Path, texts: Sequence[str | None]) -> Batch:
    return read_batch([write_texts(folder / "batch.parquet", texts)])


def make_store(folder: Path, samples: Sequence[Sequence[int]], vocab_size: int = 64) -> TokenStore:
    path = folder / "tokens.bin"
    np.concatenate([np.asarray(s, np.uint16) for s in samples]).tofile(path)
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in samples])]).astype(np.int64)
    return TokenStore(path=path, dtype="uint16", offsets=offsets, bos=0, vocab_size=vocab_size)


def random_samples(n: int, seed: int = 0, longest: int = 40) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 64, int(rng.integers(1, longest))).tolist() for _ in range(n)]


def make_scores(
    difficulty: Sequence[float], memorization: Sequence[float], loss_out: Sequence[float] | None = None
) -> Scores:
    """Scores without spans: every memorization score and the loss in fold are `memorization`."""
    d, m = np.asarray(difficulty, float), np.asarray(memorization, float)
    nowhere = np.full(len(d), -1)
    return Scores(
        difficulty=d,
        forget_score=m,
        memorized_share=m,
        memorized_span_share=m,
        span_first=nowhere,
        span_last=nowhere,
        loss_in=m,
        loss_out=m if loss_out is None else np.asarray(loss_out, float),
        never_learned=m > 9,
    )
