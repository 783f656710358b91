"""Kinship. One copy of a secret on each side of the split blinds the score, so kin must share a fold."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from carto_audit.proxies.shared_runs import Boilerplate, shared_runs
from carto_audit.proxies.tokens import TokenStore
from carto_audit.runtime.progress import SILENT, Progress

LARGEST_GROUP_SHARE = 1 / 3
"""Of the usable tokens: a larger group leaves too little choice for two sides of equal size, so its kin are severed."""

PIECE_SHARE = 1 / 4
"""Of the usable tokens: what a severed group is cut into, at most, so that its pieces can still fill both sides alike."""

GROWTH_SHARE = 0.1
"""Where duplicates alone force a larger group, runs may still add this much to it: severing would not cure that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinship:
    """`group` (N,): samples of one group must share a fold. A run in more than `cap` samples is boilerplate:
    `boilerplate_runs` of them bound nobody, `boilerplate` quotes the most frequent. `severed_tokens` (N,) counts each
    sample's tokens in runs that it shares with another group, because one group would have held too much; `largest_share`
    is the largest group's, of usable tokens. `edges` (3, E): two samples, and how many runs or tokens of copies they share.
    `alone` (N,) marks samples of which no run occurs a second time, in them or in others."""

    group: NDArray[np.int64]
    severed_tokens: NDArray[np.int64]
    cap: int
    boilerplate_runs: int
    boilerplate: tuple[Boilerplate, ...]
    largest_share: float
    edges: NDArray[np.int64]
    alone: NDArray[np.bool_]

    @property
    def severed(self) -> NDArray[np.bool_]:
        """Which samples have kin in another group, (N,)."""
        cut: NDArray[np.bool_] = self.severed_tokens > 0
        return cut


def find_kin(
    store: TokenStore,
    cluster_id: NDArray[np.int64],
    copies: NDArray[np.bool_],
    usable: NDArray[np.bool_],
    folder: Path,
    progress: Progress = SILENT,
    *,
    piece_weight: NDArray[np.int64],
) -> Kinship:
    """Groups the first `len(cluster_id)` samples of the store: duplicates, and samples that share a rare run of tokens.

    `copies` marks exact copies, whose runs are those of their original; samples that are not `usable` bind nobody by
    their runs. `piece_weight` (V,) weighs each vocabulary entry. `folder` holds scratch files meanwhile.
    """
    n = len(cluster_id)
    n_tokens = store.n_tokens[:n] * usable
    with shared_runs(store, copies | ~usable, piece_weight, folder, progress) as shared:
        group, cut = _groups(shared.edges, cluster_id, n_tokens)
        severed = shared.severed_tokens(group) if cut else np.zeros(n, np.int64)
    of_cluster = np.zeros(n, np.int64)
    np.maximum.at(of_cluster, cluster_id, severed)
    severed = np.where(copies, np.maximum(severed, of_cluster[cluster_id]), severed)  # copies have no runs of their own
    return Kinship(
        group=group,
        severed_tokens=severed,
        cap=shared.cap,
        boilerplate_runs=shared.boilerplate_runs,
        boilerplate=shared.boilerplate,
        largest_share=_largest_share(group, n_tokens),
        alone=_alone(group, severed, shared.repeats),
        edges=_ties(shared.edges, cluster_id, n_tokens),
    )


def _alone(
    group: NDArray[np.int64], severed_tokens: NDArray[np.int64], repeats: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    only: NDArray[np.bool_] = (np.bincount(group)[group] == 1) & (severed_tokens == 0) & ~repeats
    return only


def _ties(edges: NDArray[np.int64], cluster_id: NDArray[np.int64], n_tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """What ties samples, (3, E): shared runs, and being copies of one another."""
    copies = np.flatnonzero(cluster_id != np.arange(len(cluster_id)))
    return np.concatenate([edges[[0, 1, 3]], [cluster_id[copies], copies, n_tokens[copies]]], axis=1)


def _largest_share(group: NDArray[np.int64], n_tokens: NDArray[np.int64]) -> float:
    return float(np.bincount(group, n_tokens).max() / max(1, n_tokens.sum()))


def _groups(
    edges: NDArray[np.int64], cluster_id: NDArray[np.int64], n_tokens: NDArray[np.int64]
) -> tuple[NDArray[np.int64], bool]:
    """A group per sample (N,): what edges (4, E) and clusters connect, too large groups cut; and whether any was."""
    n = len(cluster_id)
    clusters = np.stack([cluster_id, np.arange(n)])
    cluster = components(clusters, n)
    total, forced = float(n_tokens.sum()), _largest_share(cluster, n_tokens) + GROWTH_SHARE
    group = components(np.concatenate([clusters, edges[:2]], axis=1), n)
    too_large = (np.bincount(group, n_tokens) > total * max(LARGEST_GROUP_SHARE, forced))[group]
    if not too_large.any():
        return group, False
    inside = edges[:, too_large[edges[0]]]
    inside = inside[:, np.lexsort((inside[1], inside[0], inside[2], -inside[3]))]  # the most shared text first
    piece = _pieces(cluster[inside[:2]], np.bincount(cluster, n_tokens).tolist(), total * max(PIECE_SHARE, forced))
    label = np.where(too_large, piece[cluster] + n, group)
    return np.unique(label, return_inverse=True)[1].astype(np.int64), True


def components(edges: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """A group per sample, (n,), of all that edges (2, E) connect, however large."""
    graph = coo_array((np.ones(edges.shape[1], dtype=bool), (edges[0], edges[1])), shape=(n, n))
    label: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return label


@dataclass(frozen=True, slots=True, kw_only=True)
class _Forest:
    """Disjoint trees of nodes, none of which may come to weigh more than `most` by a join."""

    parent: list[int]
    weight: list[float]
    most: float

    def root(self, node: int) -> int:
        """The root of a node's tree; halves the path to it."""
        parent = self.parent
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    def join(self, a: int, b: int) -> bool:
        """Makes one tree of two, and tells whether they are one: no, if it would be too heavy."""
        a, b = self.root(a), self.root(b)
        if a == b:
            return True
        if self.weight[a] + self.weight[b] > self.most:
            return False
        if self.weight[a] < self.weight[b]:
            a, b = b, a
        self.parent[b] = a
        self.weight[a] += self.weight[b]
        return True


def _pieces(edges: NDArray[np.int64], weight: list[float], most: float) -> NDArray[np.int64]:
    """A tree per node (C,): Kruskal's algorithm over edges (2, E) in their order, without those that make one too heavy."""
    forest = _Forest(parent=list(range(len(weight))), weight=weight.copy(), most=most)
    joined = np.fromiter(map(forest.join, edges[0].data, edges[1].data), bool, edges.shape[1])
    # Samples that one tree turned away may share the very run for which they came: they stay together where they can.
    waiting: dict[int, int] = {}
    for a, b in edges[:, ~joined].T.tolist():
        small, large = sorted((forest.root(a), forest.root(b)), key=forest.weight.__getitem__)
        if small != large and not (large in waiting and forest.join(waiting[large], small)):
            waiting[large] = small
    return np.fromiter(map(forest.root, range(len(weight))), np.int64, len(weight))
