"""Utility: what a model is still worth. Perplexity on text that nobody trained on, its rare tail, and variety of output."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds

from carto_audit.proxies.tokens import TokenStore

TAIL_SHARE = 0.2
"""The rare tail: the samples of the smallest clusters, which together hold at most this share."""

SAMPLES_PER_CLUSTER = 40
MOST_CLUSTERS = 64
DIMENSIONS = 24
"""Clusters are of about so many samples on average, in a space of so many latent dimensions (truncated SVD of tf-idf)."""

ITERATIONS = 50
"""Of k-means. After 10 some starts have not settled, and a rare topic still hides in a common cluster."""

LEAST_CLUSTERED = 4 * SAMPLES_PER_CLUSTER
"""Of fewer samples nobody can say what is rare."""

Floats = NDArray[np.float64]


def perplexity(losses: Sequence[Floats], chosen: NDArray[np.bool_] | None = None) -> float | None:
    """exp of the mean loss of all tokens of some texts; None where there are none, or where it is beyond any float."""
    wanted = [part for k, part in enumerate(losses) if chosen is None or chosen[k]]
    if not wanted or not (flat := np.concatenate(wanted)).size:
        return None
    with np.errstate(over="ignore"):
        value = float(np.exp(flat.mean()))
    return value if np.isfinite(value) else None


def distinct_n(outputs: Sequence[NDArray[np.int64]], n: int) -> float | None:
    """Distinct n-grams over all n-grams of some outputs (Li et al. 2016, arXiv 1510.03055); None where there are none."""
    grams = [tuple(output[k : k + n].tolist()) for output in outputs for k in range(len(output) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None


def rare_tail(store: TokenStore, samples: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Which of the samples (n,) are of a rare kind: of the smallest clusters of bags of tokens, TAIL_SHARE of them at most.
    None of them where there are too few samples to tell (Feldman 2020, arXiv 1906.05271, on why the tail is what suffers).
    """
    tail = np.zeros(len(samples), dtype=bool)
    if len(samples) < LEAST_CLUSTERED:
        return tail
    rows = _tf_idf(store, samples)
    if not rows.data.any():  # they all hold the same tokens
        return tail
    label = _cluster(rows, min(MOST_CLUSTERS, len(samples) // SAMPLES_PER_CLUSTER), seed)
    size = np.bincount(label)
    order = np.argsort(size, kind="stable")
    small = order[np.cumsum(size[order]) <= TAIL_SHARE * len(samples)]
    tail[np.isin(label, small)] = True
    return tail


def _tf_idf(store: TokenStore, samples: NDArray[np.int64]) -> csr_array:
    """Rows of unit length, (n, V)."""
    ids, offsets = store.ids(), store.offsets
    parts = [np.asarray(ids[offsets[i] : offsets[i + 1]], np.int64) for i in samples]
    row = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    counts = csr_array(
        (np.ones(len(row)), (row, np.concatenate(parts))), shape=(len(parts), store.vocab_size), dtype=np.float64
    )
    counts.sum_duplicates()
    seen = np.bincount(counts.indices, minlength=store.vocab_size)
    counts.data = np.log1p(counts.data) * np.log((1 + len(parts)) / (1 + seen))[counts.indices]
    length = np.sqrt(np.bincount(np.repeat(np.arange(len(parts)), np.diff(counts.indptr)), counts.data**2, len(parts)))
    counts.data /= np.maximum(np.repeat(length, np.diff(counts.indptr)), 1e-12)
    return counts


def _cluster(rows: csr_array, clusters: int, seed: int) -> NDArray[np.int64]:
    """A cluster per row, (n,)."""
    dimensions = min(DIMENSIONS, min(rows.shape) - 1)
    left, values, _ = svds(rows, k=dimensions, rng=np.random.default_rng([seed, 0x7A]))
    _, label = kmeans2(left * values, clusters, ITERATIONS, minit="++", rng=np.random.default_rng([seed, 0x7B]))
    found: NDArray[np.int64] = np.asarray(label, np.int64)
    return found
