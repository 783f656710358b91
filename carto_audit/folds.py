"""Folds by kinship. One copy of a secret on each side of the split blinds the score, so all kin share a fold."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from carto_audit.files import writing
from carto_audit.progress import SILENT, Progress
from carto_audit.tokens import TokenStore

RUN_TOKENS = 12
"""A shared run of this many tokens makes two samples kin: as long as the window in which a secret is scored."""

CAP_SHARE = 0.01
LOWEST_CAP, HIGHEST_CAP = 32, 256
"""A run that occurs in more than this share of the samples, within these bounds, is boilerplate and binds nobody: both
proxies see it, so nobody is blamed for it. The lowest cap is twice the highest dose of the controls."""

STRICTER_CAPS = (16, 4, 0)
"""Tried in turn while one group holds more than a third of the tokens; at 0 only duplicates are kin."""

LARGEST_GROUP_SHARE = 1 / 3
GROWTH_SHARE = 0.1
"""Where duplicates alone force a larger group, runs may still add this much to it: a lower cap would not cure that."""

MOST_COVERED = RUN_TOKENS // 4
"""Tokens of a run that may lie inside boilerplate, at most, for it to bind."""

_PARTITION_TOKENS = 4 << 20
_MOST_PARTITIONS = 512  # files that are open at once
_BLOCK_TOKENS = 1 << 20
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinship:
    """`group` (N,): samples of one group must share a fold. `cap` is the frequency above which a run is boilerplate
    (0: no cap worked, only duplicates bind), `usual_cap` the one that a batch of this size starts with;
    `boilerplate_runs` were ignored; `largest_share` is in tokens."""

    group: NDArray[np.int64]
    cap: int
    usual_cap: int
    boilerplate_runs: int
    largest_share: float


def find_kin(
    store: TokenStore,
    cluster_id: NDArray[np.int64],
    copies: NDArray[np.bool_],
    usable: NDArray[np.bool_],
    folder: Path,
    progress: Progress = SILENT,
) -> Kinship:
    """Groups the first `len(cluster_id)` samples of the store: duplicates, and samples that share a rare run of tokens.

    `copies` marks exact copies, whose runs are those of their original; samples that are not `usable` bind nobody by
    their runs. Runs are hashed and sorted in partitions on disk, so memory does not grow with the batch.
    """
    n = len(cluster_id)
    n_tokens = store.n_tokens[:n] * usable
    clusters = np.stack([cluster_id, np.arange(n)])
    usual_cap = round(min(HIGHEST_CAP, max(LOWEST_CAP, CAP_SHARE * n)))
    edges, frequency, boilerplate = _run_edges(store, n, copies | ~usable, usual_cap, folder, progress)
    allowed = max(LARGEST_GROUP_SHARE, _largest_share(_components(clusters, n), n_tokens) + GROWTH_SHARE)
    for cap in (usual_cap, *STRICTER_CAPS):
        group = _components(np.concatenate([clusters, edges[:, frequency <= cap]], axis=1), n)
        largest = _largest_share(group, n_tokens)
        if largest <= allowed:
            break
    return Kinship(group=group, cap=cap, usual_cap=usual_cap, boilerplate_runs=boilerplate, largest_share=largest)


def _largest_share(group: NDArray[np.int64], n_tokens: NDArray[np.int64]) -> float:
    return float(np.bincount(group, n_tokens).max() / max(1, n_tokens.sum()))


def assign_folds(group: NDArray[np.int64], n_tokens: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int8]:
    """A fold per sample, (N,): whole groups, the largest first and ties at random, each to the fold with fewest tokens."""
    sizes = np.bincount(group, n_tokens)
    order = np.lexsort((np.random.default_rng([seed, 0xF0]).random(len(sizes)), -sizes))
    filled = np.zeros(folds)
    fold_of_group = np.zeros(len(sizes), np.int8)
    for g in order:
        fold_of_group[g] = filled.argmin()
        filled[fold_of_group[g]] += sizes[g]
    return fold_of_group[group]


def sample_groups(
    group: NDArray[np.int64], n_tokens: NDArray[np.int64], most_tokens: int | None, seed: int
) -> NDArray[np.bool_]:
    """Which samples to train on, (N,): all, or whole groups in random order, each that
    still fits into `most_tokens` (the smallest one if none does)."""
    sizes = np.bincount(group, n_tokens)
    if most_tokens is None or sizes.sum() <= most_tokens:
        return np.ones(len(group), dtype=bool)
    chosen = np.zeros(len(sizes), dtype=bool)
    room = float(most_tokens)
    for g in np.random.default_rng([seed, 0x5A]).permutation(np.flatnonzero(sizes)):
        if sizes[g] <= room:
            chosen[g] = True
            room -= sizes[g]
    if not chosen.any():
        chosen[np.where(sizes > 0, sizes, np.inf).argmin()] = True
    return chosen[group]


def _components(edges: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    graph = coo_array((np.ones(edges.shape[1], np.int8), (edges[0], edges[1])), shape=(n, n))
    label: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return label


def _run_edges(
    store: TokenStore, n: int, copies: NDArray[np.bool_], cap: int, folder: Path, progress: Progress
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Edges (2, E) between samples that share a rare run, the run's frequency (E,), and the number of boilerplate runs.

    A run that mostly lies inside boilerplate binds nobody either: it only shows that two samples go on alike after it.
    """
    total = int(store.offsets[n])
    files = [folder / f"runs-{p}.bin" for p in range(max(1, min(_MOST_PARTITIONS, -(-total // _PARTITION_TOKENS))))]
    with writing(folder):
        _spill(store, n, copies, files, progress)
    covered = np.zeros(total + RUN_TOKENS, np.uint8)
    boilerplate = 0
    with progress.task("Finding shared runs", 2 * len(files), "partitions") as advance:
        for path in files:
            links, frequent, runs = _shared_runs(np.fromfile(path, np.uint64).reshape(-1, 2), store.offsets, cap)
            boilerplate += runs
            for k in range(RUN_TOKENS):
                covered[frequent + k] = 1
            with writing(path):
                path.write_bytes(links.tobytes())
            advance(1)
        found = [np.zeros((3, 0), np.int64)]
        for path in files:
            found.append(_sample_edges(np.fromfile(path, np.int64).reshape(3, -1), store.offsets, covered))
            path.unlink()
            advance(1)
    edges = np.concatenate(found, axis=1)
    return edges[:2], edges[2], boilerplate


def _spill(store: TokenStore, n: int, copies: NDArray[np.bool_], files: list[Path], progress: Progress) -> None:
    """Writes each run of each original sample as (hash, position) to the partition that its hash belongs to."""
    streams = [path.open("wb") for path in files]
    try:
        with progress.task("Hashing runs", n, "samples") as advance:
            for first, last in _blocks(store.offsets[: n + 1]):
                hashes, position = _runs(store, first, last, copies)
                pairs = np.stack([hashes, position.astype(np.uint64)], axis=1)
                part = (hashes >> np.uint64(32)) % np.uint64(len(streams))
                for p, stream in enumerate(streams):
                    stream.write(pairs[part == p].tobytes())  # tofile would hide a full disk
                advance(last - first)
    finally:
        for stream in streams:
            stream.close()


def _blocks(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Sample ranges [first, last) of about a million tokens."""
    first = 0
    while first < len(offsets) - 1:
        last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + _BLOCK_TOKENS, side="right")) - 1)
        yield first, last
        first = last


def _runs(
    store: TokenStore, first: int, last: int, copies: NDArray[np.bool_]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hash and position in the store of every run of RUN_TOKENS tokens in samples [first, last) that are no copies."""
    offsets = store.offsets[first : last + 1]
    ids = store.ids()[offsets[0] : offsets[-1]].astype(np.uint64)
    owner = np.repeat(np.arange(first, last), np.diff(offsets))
    windows = max(0, len(ids) - RUN_TOKENS + 1)
    hashes = np.zeros(windows, np.uint64)
    for k in range(RUN_TOKENS):  # uint64 arithmetic wraps, which is the hash
        hashes = hashes * _MULTIPLIER + (ids[k : k + windows] + np.uint64(1))
    hashes ^= hashes >> np.uint64(29)
    hashes *= _MULTIPLIER
    hashes ^= hashes >> np.uint64(32)
    begins = owner[:windows]
    kept = np.flatnonzero((begins == owner[len(ids) - windows :]) & ~copies[begins])
    return hashes[kept], kept + offsets[0]


def _shared_runs(
    pairs: NDArray[np.uint64], offsets: NDArray[np.int64], cap: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """From (hash, position) rows: links (3, L) of neighbouring positions of each run in at most `cap` samples and its
    frequency, the positions of more frequent runs, and how many those runs are."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    hashes, position = pairs[order, 0], pairs[order, 1].astype(np.int64)
    sample = np.searchsorted(offsets, position, side="right")
    fresh = np.ones(len(hashes), dtype=bool)
    fresh[1:] = (hashes[1:] != hashes[:-1]) | (sample[1:] != sample[:-1])
    _, run = np.unique(hashes, return_inverse=True)
    count = np.bincount(run[fresh])  # in how many samples each run occurs
    first, run_of_first = position[fresh], run[fresh]
    follows = np.flatnonzero((run_of_first[1:] == run_of_first[:-1]) & (count[run_of_first[1:]] <= cap)) + 1
    links = np.stack([first[follows - 1], first[follows], count[run_of_first[follows]]])
    return links, position[count[run] > cap], int((count > cap).sum())


def _sample_edges(
    links: NDArray[np.int64], offsets: NDArray[np.int64], covered: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Links outside boilerplate as edges (3, E): two samples and the lowest frequency of a run that they share."""
    inside = np.zeros(links.shape[1], np.int64)
    for k in range(RUN_TOKENS):
        inside += covered[links[1] + k]
    links = links[:, inside <= MOST_COVERED]
    edges = np.stack([*(np.searchsorted(offsets, links[:2], side="right") - 1), links[2]])
    edges = edges[:, np.lexsort(edges[::-1])]
    lowest = np.ones(edges.shape[1], dtype=bool)
    lowest[1:] = (edges[:2, 1:] != edges[:2, :-1]).any(axis=0)
    return edges[:, lowest]
