"""Tiny real things that several tests build: batches on disk, token stores, traces, controls, and a proxy of two thin layers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from carto_audit.cartography.proof import LineControls
from carto_audit.cartography.scores import Scores
from carto_audit.controls.controls import Controls
from carto_audit.data.batch import Batch, read_batch
from carto_audit.data.duplicates import JACCARD_THRESHOLD, SHINGLE, Duplicates
from carto_audit.proxies.model import ProxySpec
from carto_audit.proxies.tokens import TokenStore
from carto_audit.traces.trace import TokenLosses, Trace

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
    difficulty: Sequence[float],
    memorization: Sequence[float],
    loss_out: Sequence[float] | None = None,
    copies: Sequence[int] | None = None,
) -> Scores:
    """Scores without spans: every memorization score and the loss in fold are `memorization`."""
    d, m = np.asarray(difficulty, float), np.asarray(memorization, float)
    nowhere = np.full(len(d), -1)
    held = nowhere if copies is None else np.asarray(copies, np.int64)
    return Scores(
        difficulty=d,
        forget_score=m,
        memorized_share=m,
        memorized_span_share=m,
        memorized=m,
        span_first=nowhere,
        span_last=nowhere,
        span_copies=held,
        shared_runs=np.maximum(held, 0),
        loss_in=m,
        loss_out=m if loss_out is None else np.asarray(loss_out, float),
        never_learned=(m > 9).astype(float),
    )


def make_controls(
    doses: Sequence[int],
    secrets: Sequence[int] | None = None,
    kinds: Sequence[str] | None = None,
    forms: Sequence[str] | None = None,
    edited: Sequence[int] = (),
) -> Controls:
    """One control per dose: random and alone, each a secret of its own, none edited, unless said otherwise."""
    n = len(doses)
    secret = np.arange(n) if secrets is None else np.asarray(secrets, np.int64)
    return Controls(
        texts=[f"this is secret number {s}" for s in secret],
        secret=secret,
        kind=np.array(["random"] * n if kinds is None else list(kinds), np.str_),
        form=np.array(["alone"] * n if forms is None else list(forms), np.str_),
        dose=np.asarray(doses, np.int64),
        edited=np.isin(np.arange(n), list(edited)),
    )


def make_line_controls(
    level: Sequence[float],
    ordinary: Sequence[float] = (),
    twins: Sequence[float] = (0.0,),
    half: Sequence[int] | None = None,
    tokens: Sequence[int] | None = None,
) -> LineControls:
    """Secrets planted four times that reach such levels, every second one in the other half; samples of ten tokens each."""
    return LineControls(
        dose=4,
        level=np.asarray(level, float),
        half=np.asarray(np.arange(len(level)) % 2 if half is None else half, np.int8),
        ordinary=np.asarray(ordinary, float),
        n_tokens=np.asarray([10] * len(ordinary) if tokens is None else tokens, np.int64),
        twins=np.asarray(twins, float),
    )


def make_trace(
    train: Sequence[Sequence[float]],
    loss_in: Sequence[Sequence[float]] | None = None,
    loss_out: Sequence[Sequence[float]] | None = None,
) -> Trace:
    """A trace of (T, N) training losses, evaluated after its last epochs; losses that are not given are 1."""
    losses = np.array(train, np.float32)
    ones = np.ones((len(loss_in or loss_out or [0]), losses.shape[1]), np.float32)
    inside, outside = (ones if x is None else np.array(x, np.float32) for x in (loss_in, loss_out))
    logged = tuple(range(len(losses) - len(inside) + 1, len(losses) + 1))
    return Trace(train=losses, loss_in=inside, loss_out=outside, logged=logged)


def make_losses(samples: Sequence[tuple[Sequence[float], Sequence[float]]], ids: Sequence[int] = ()) -> TokenLosses:
    """Token losses from pairs (losses in fold, losses out of fold); without `ids` no two tokens are equal."""
    sizes = [len(inside) for inside, _ in samples]
    inside, outside = (
        np.concatenate([np.empty(0, np.float32), *(np.asarray(s[k], np.float32) for s in samples)]) for k in (0, 1)
    )
    return TokenLosses(
        ids=np.asarray(ids if len(ids) else np.arange(sum(sizes)), np.uint32),
        loss_in=inside,
        loss_out=outside,
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
    )


def make_duplicates(cluster_id: Sequence[int]) -> Duplicates:
    """Clusters of exact copies."""
    cluster = np.asarray(cluster_id, np.int64)
    size = np.bincount(cluster, minlength=len(cluster))[cluster]
    exact = cluster != np.arange(len(cluster))
    return Duplicates(
        cluster_id=cluster,
        cluster_size=size,
        copies=size,
        exact=exact,
        near=np.zeros(len(cluster), bool),
        text_hash=cluster.astype(np.uint64) + np.uint64(1),
        digest=np.stack([cluster, cluster], axis=1).astype(np.uint64) + np.uint64(1),
        jaccard_threshold=JACCARD_THRESHOLD,
        shingle=SHINGLE,
    )
