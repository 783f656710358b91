"""The challenge: which rows a buyer looks at is decided by the vendor's root and a nonce that the vendor never saw."""

import hashlib
import secrets
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.data.batch import Batch
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.vendors import merkle
from carto_audit.vendors.reading import Summary
from carto_audit.vendors.rows import row_digests

NONCE_BYTES = 32

CHALLENGED_ROWS = 1000
"""Rows whose inclusion is proved, and whose losses are computed again where that is asked for: one changed row in a hundred is
among them with a chance of 0.99996."""

_TAG = b"carto-audit vendor challenge 1\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The batch held against the summary's rows. `challenged` are row numbers in the order drawn; `foreign`, in order, those of
    the batch whose text is not the one that was committed to, `absent` how many more rows one of the two has; `unproved` how many
    of the challenged have no place below the root."""

    nonce: str
    rows: int
    challenged: NDArray[np.int64]
    foreign: NDArray[np.int64]
    absent: int
    unproved: int

    @property
    def missing_share(self) -> float:
        """Of all rows on either side, those that the other does not have in this place."""
        return (len(self.foreign) + self.absent) / max(1, self.rows)


def new_nonce() -> str:
    """A nonce that nobody can foresee, in hex."""
    return secrets.token_hex(NONCE_BYTES)


def draw(root: str, nonce: str, rows: int, count: int) -> NDArray[np.int64]:
    """`count` row numbers below `rows`, without repetition: both hex strings decide them, and nothing else."""
    seed = hashlib.sha256(_TAG + bytes.fromhex(root) + bytes.fromhex(nonce)).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(seed)))
    return rng.permutation(rows)[: min(count, rows)].astype(np.int64)


def hold(
    summary: Summary,
    batch: Batch,
    salt: bytes,
    nonce: str,
    count: int = CHALLENGED_ROWS,
    progress: Progress = SILENT,
) -> Held:
    """Holds every row of the batch against the digest that the vendor committed to, and proves the challenged ones included."""
    own = row_digests(batch, salt, progress)
    stated = summary.table["digest"].to_pylist()
    both = min(len(own), len(stated))
    foreign = np.array([row for row in range(both) if own[row] != stated[row]], dtype=np.int64)
    challenged = draw(summary.predicate.rows.root, nonce, len(stated), count)
    return Held(
        nonce=nonce,
        rows=max(len(own), len(stated)),
        challenged=challenged,
        foreign=foreign,
        absent=abs(len(own) - len(stated)),
        unproved=sum(not shown for shown in _proofs(summary, challenged)),
    )


def _proofs(summary: Summary, challenged: NDArray[np.int64]) -> list[bool]:
    levels, root = merkle.levels_of(summary.leaves), bytes.fromhex(summary.predicate.rows.root)
    count = len(summary.leaves)
    return [
        merkle.is_included(root, summary.leaves[row], row, count, merkle.inclusion_path(levels, row))
        for row in challenged.tolist()
    ]
