"""The rows of a summary: what stands in `summary.parquet`, how a row's text becomes a salted digest, and a row becomes a leaf."""

import hashlib
import hmac
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.cartography.quadrants import QUADRANT_NAMES
from carto_audit.data.batch import Batch, iter_texts
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.files import atomic_path, open_regular, reason
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.untrusted import safe_inline
from carto_audit.vendors import merkle

SALT_BYTES = 32

SCHEMA = pa.schema(
    {
        "row": pa.int64(),
        "digest": pa.binary(merkle.DIGEST_BYTES),
        "n_tokens": pa.int64(),
        "difficulty": pa.float64(),
        "memorization": pa.float64(),
        "loss_in": pa.float64(),
        "loss_out": pa.float64(),
        "copies": pa.int64(),
        "quadrant": pa.string(),
        "flagged": pa.bool_(),
        "trained": pa.bool_(),
    }
)
"""A row per row of the batch, in order. Figures are null where the row was not trained on."""

FIGURES = ("difficulty", "memorization", "loss_in", "loss_out")
_ROW_TAG = b"carto-audit vendor row 1\0"
_NOTHING = -(2**63)
"""In a leaf, for a number of copies that is not known."""

_QUADRANTS: dict[str | None, int] = {None: 255, **{name: code for code, name in enumerate(QUADRANT_NAMES)}}
_LEAF = struct.Struct(">q32sqddddqBBB")


def row_digests(batch: Batch, salt: bytes, progress: Progress = SILENT) -> list[bytes]:
    """A digest for every row of the batch, also those without text, in order: HMAC-SHA256 by the salt of the row's number and of
    all that it says, labels in columns that are not read included. Nobody without the salt can tell what a digest is of."""
    found = [_digest(salt, row, b"") for row in range(batch.rows)]
    for chunk in iter_texts(batch, progress, "Hashing the rows", beside=True):
        for row, text in zip(batch.row[chunk.start :].tolist(), chunk.whole, strict=False):
            found[row] = _digest(salt, row, b"\1" + text.encode("utf-8", "surrogatepass"))
    return found


def _digest(salt: bytes, row: int, said: bytes) -> bytes:
    return hmac.digest(salt, _ROW_TAG + struct.pack(">q", row) + hashlib.sha256(said).digest(), "sha256")


def leaf_digests(table: pa.Table) -> list[bytes]:
    """The digests of the leaves that the rows of a table (SCHEMA) are, in order."""
    return [merkle.leaf_hash(leaf) for leaf in _leaves(table)]


def _leaves(table: pa.Table) -> Iterator[bytes]:
    columns = {name: table[name].to_pylist() for name in SCHEMA.names}
    for row, digest, n_tokens, *figures, copies, quadrant, flagged, trained in zip(*columns.values(), strict=True):
        known = [float("nan") if value is None else value for value in figures]
        count = _NOTHING if copies is None else copies
        yield _LEAF.pack(row, digest, n_tokens, *known, count, _QUADRANTS[quadrant], flagged, trained)


def floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column of figures, (rows,), NaN where there is none."""
    values: NDArray[np.float64] = table[name].to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def bools(table: pa.Table, name: str) -> NDArray[np.bool_]:
    """A column of flags, (rows,)."""
    values: NDArray[np.bool_] = table[name].to_numpy(zero_copy_only=False).astype(bool)
    return values


def read_salt(path: Path) -> bytes:
    """The salt in a file. Raises UsageError in one line where it cannot be read, or is none by its size."""
    shown = safe_inline(str(path), 160)
    try:
        with open_regular(path, follow=True) as stream:
            salt = stream.read(SALT_BYTES + 1)
    except OSError as error:
        words = f"cannot read the salt: {reason(error)}; ask the vendor for the file that `carto-audit summarize` wrote"
        raise UsageError(f"{shown}: {words} beside the summary") from error
    if len(salt) != SALT_BYTES:
        raise UsageError(f"{shown}: not the salt of a summary, which has {SALT_BYTES} bytes")
    return salt


def keep_salt(path: Path) -> bytes:
    """The salt in a file, or a new one, which is written there for its owner alone. Raises AuditError where that fails."""
    if path.exists():
        return read_salt(path)
    salt = secrets.token_bytes(SALT_BYTES)
    with atomic_path(path) as temporary:
        temporary.touch(mode=0o600, exist_ok=False)
        temporary.write_bytes(salt)
    if path.read_bytes() != salt:
        raise AuditError(f"{safe_inline(str(path), 160)}: cannot be read back")
    return salt
