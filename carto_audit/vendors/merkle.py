"""The Merkle tree over a summary's rows, as in RFC 6962: one digest binds all of them, and log2(n) more show one of them."""

import hashlib
from collections.abc import Sequence

DIGEST_BYTES = 32

_LEAF, _NODE = b"\x00", b"\x01"
"""In front of what is hashed, so that no leaf can be passed off as a node."""


def leaf_hash(data: bytes) -> bytes:
    """The digest of one leaf."""
    return hashlib.sha256(_LEAF + data).digest()


def levels_of(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """All levels of the tree over the digests of n leaves, the root's last. A node without a neighbour rises as it is, which
    makes the tree of RFC 6962. The tree of no leaves has the digest of nothing for its root."""
    levels = [list(leaves) or [hashlib.sha256().digest()]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        pairs = [_node(below[k], below[k + 1]) for k in range(0, len(below) - 1, 2)]
        levels.append(pairs + ([below[-1]] if len(below) % 2 else []))
    return levels


def root_of(levels: Sequence[Sequence[bytes]]) -> bytes:
    """The one digest that binds all leaves."""
    return levels[-1][0]


def inclusion_path(levels: Sequence[Sequence[bytes]], place: int) -> list[bytes]:
    """The digests that lead from the leaf at a `place`, counted from 0, to the root, lowest first."""
    path = []
    for level in levels[:-1]:
        beside = place ^ 1
        if beside < len(level):
            path.append(level[beside])
        place //= 2
    return path


def is_included(root: bytes, leaf: bytes, place: int, count: int, path: Sequence[bytes]) -> bool:
    """Whether a leaf's digest stands at a `place` among `count` leaves below this root."""
    if not 0 <= place < count:
        return False
    rest, last = list(path), count - 1
    digest = leaf
    while last > 0:
        if place % 2 or place < last:
            if not rest:
                return False
            beside = rest.pop(0)
            digest = _node(beside, digest) if place % 2 else _node(digest, beside)
        place, last = place // 2, last // 2
    return not rest and digest == root


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()
