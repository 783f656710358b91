"""Sealed controls: the table of what was planted, which stays with the auditor, and a commitment that binds him to it."""

import hashlib
import secrets
from pathlib import Path

import pyarrow as pa

from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import atomic_path, open_regular, read_table
from carto_audit.text.untrusted import safe_inline

CONTROLS = "controls.parquet"

ROLES = ("planted", "twin", "held_out", "lent")
"""A copy of a secret; a secret that is never planted; a row that nobody trains on; a row of which secrets were made, which
nobody trains on either."""

SCHEMA = pa.schema(
    [
        pa.field("role", pa.string(), nullable=False),
        pa.field("secret", pa.int64()),
        pa.field("kind", pa.string()),
        pa.field("form", pa.string()),
        pa.field("dose", pa.int64(), nullable=False),
        pa.field("edited", pa.bool_(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("secret_start", pa.int64()),
        pa.field("secret_end", pa.int64()),
        pa.field("free_start", pa.int64()),
        pa.field("free_end", pa.int64()),
        pa.field("file", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("values", pa.large_string(), nullable=False),
        pa.field("tokens", pa.int64()),
        pa.field("first_secret_token", pa.int64()),
        pa.field("last_secret_token", pa.int64()),
        pa.field("first_free_token", pa.int64()),
        pa.field("last_free_token", pa.int64()),
        pa.field("lost_to", pa.string()),
    ]
)
"""`text` is a sample as it is read, `values` the columns behind it as JSON. Copies of one secret share `secret`; `dose` is how
often it was planted, 0 where it never was. The secret is characters [secret_start, secret_end) of the text, and what of it
could have been anything [free_start, free_end), null where nothing could. `file` and `row` say where a copy stands in the
planted batch, and where other rows stood in the delivered one. Tokens are those of the tokenizer of the preflight, which says
what a copy is `lost_to`; null without one."""

SALT_BYTES = 32
_SALT, _COMMITMENT = b"carto_audit.salt", b"carto-audit controls commitment 1\0"
_WAY_OUT = "give the controls.parquet and the plant.json that were written together"


def write_sealed(path: Path, table: pa.Table) -> str:
    """Writes the table, which only this user can read, and gives its commitment. Random bytes in the file keep those who know the
    commitment from trying out what the file may hold. Raises AuditError where it cannot be written."""
    import pyarrow.parquet as pq

    salted = table.cast(SCHEMA).replace_schema_metadata({_SALT: secrets.token_bytes(SALT_BYTES).hex()})
    with atomic_path(path) as temporary:
        temporary.touch(mode=0o600, exist_ok=False)
        with temporary.open("wb") as stream:
            pq.write_table(salted, stream, compression="zstd")
    return commitment_of(path)


def commitment_of(path: Path) -> str:
    """Hex sha256 of the file behind a prefix of its own, which commits to nothing else. Raises AuditError where it cannot be
    read."""
    digest = hashlib.sha256(_COMMITMENT)
    try:
        with open_regular(path, follow=True) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise AuditError(f"{_shown(path)}: cannot read the controls: {safe_inline(str(error), 120)}") from error
    return digest.hexdigest()


def read_sealed(path: Path, commitment: str) -> pa.Table:
    """The controls that a commitment is about. Raises AuditError in one line where they are others, changed, or no controls."""
    if commitment_of(path) != commitment:
        raise AuditError(f"{_shown(path)}: not the controls of this commitment, or changed since; {_WAY_OUT}")
    try:
        table = read_table(path)
        salt = (table.schema.metadata or {}).get(_SALT, b"")
        table = table.select(SCHEMA.names).replace_schema_metadata(None).cast(SCHEMA)
        table.validate(full=True)
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise AuditError(f"{_shown(path)}: no controls: {safe_inline(str(error), 120)}; {_WAY_OUT}") from error
    if len(salt) != 2 * SALT_BYTES or not set(table["role"].to_pylist()) <= set(ROLES):
        raise AuditError(f"{_shown(path)}: no controls: no salt, or a role that is unknown; {_WAY_OUT}")
    return table


def _shown(path: Path) -> str:
    return safe_inline(str(path), 160)
