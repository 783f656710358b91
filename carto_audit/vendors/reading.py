"""Reading a summary: hostile input. Files have bounds, types are fixed, and every count and the root are computed again."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from carto_audit.artifacts.audit_folder import read_file
from carto_audit.artifacts.forecast import MEMORIZED
from carto_audit.attestation.dsse import Envelope, is_signed_by, parse_envelope
from carto_audit.cartography.quadrants import QUADRANT_NAMES
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.files import file_sha256, open_regular, reason
from carto_audit.text.untrusted import safe_inline
from carto_audit.vendors import merkle
from carto_audit.vendors import statement as said
from carto_audit.vendors.rows import FIGURES, SCHEMA, bools, floats, leaf_digests
from carto_audit.vendors.summary import masses_of

if TYPE_CHECKING:
    from securesystemslib.signer import SSlibKey

BYTES_PER_ROW, LEAST_BYTES = 200, 1 << 20
"""What a table may have at most; a row takes about 100."""

MOST_COPIES = 1 << 40
_SAME = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A summary whose parts agree with one another. `table` has the SCHEMA of `rows`; `signer` is the fingerprint of the key
    that was named and signed it, None where none was named; `problem` says why the signature does not hold, None where it does
    or nobody asked."""

    shown: str
    predicate: said.Predicate
    statement_sha256: str
    table: pa.Table
    leaves: list[bytes]
    signatures: int
    signer: str | None
    problem: str | None

    @property
    def unsigned(self) -> bool:
        """Whether nothing shows that the vendor made it."""
        return self.signer is None


def read_summary(folder: Path, key: "SSlibKey | None" = None) -> Summary:
    """The summary in a folder, checked against itself: the statement, the table's digest, types, ranges, counts, masses and root.

    A signature that is missing or another's is told, and is no error. Raises UsageError where there is no folder, AuditError in
    one line where the rest is damaged, forged or larger than it may be.
    """
    shown = safe_inline(str(folder), 160)
    if not folder.is_dir():
        raise UsageError(f"{shown}: no such folder; name what `carto-audit summarize` wrote")
    data = _read(folder / said.STATEMENT, shown)
    predicate, table_sha256 = said.parse_statement(data, f"{shown}/{said.STATEMENT}")
    table = _read_table(folder / said.TABLE, f"{shown}/{said.TABLE}", predicate, table_sha256)
    _check_rows(table, f"{shown}/{said.TABLE}", predicate)
    leaves = leaf_digests(table)
    if merkle.root_of(merkle.levels_of(leaves)).hex() != predicate.rows.root:
        raise AuditError(f"{shown}/{said.TABLE}: its rows do not make the root in {said.STATEMENT}")
    envelope, problem = _envelope(folder, data, key)
    return Summary(
        shown=shown,
        predicate=predicate,
        statement_sha256=hashlib.sha256(data).hexdigest(),
        table=table,
        leaves=leaves,
        signatures=len(envelope.signatures) if envelope else 0,
        signer=key.keyid if key is not None and envelope and problem is None else None,
        problem=problem,
    )


def _read(path: Path, shown: str) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise AuditError(
            f"{shown}/{path.name}: cannot read: {reason(error)}; ask the vendor for a whole summary"
        ) from error


def _read_table(path: Path, shown: str, predicate: said.Predicate, sha256: str) -> pa.Table:
    """The table, of the types and the number of rows that it must have; nothing is unpacked before its digest holds."""
    most = max(LEAST_BYTES, BYTES_PER_ROW * predicate.rows.count)
    try:
        with open_regular(path, follow=False) as stream:
            if stream.seek(0, 2) > most:
                raise AuditError(f"{shown}: larger than {predicate.rows.count:,} rows can be")
        if file_sha256(path) != sha256:
            raise AuditError(f"{shown}: changed: its sha256 is not the one in {said.STATEMENT}")
        with open_regular(path, follow=False) as stream:
            return _unpack(pq.ParquetFile(stream), shown, predicate.rows.count, most)
    except OSError as error:
        raise AuditError(f"{shown}: cannot read: {reason(error)}; ask the vendor for a whole summary") from error
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise AuditError(f"{shown}: not the rows of a summary: {safe_inline(str(error), 160)}") from error


def _unpack(file: pq.ParquetFile, shown: str, rows: int, most: int) -> pa.Table:
    found = file.schema_arrow.remove_metadata()
    if not found.equals(SCHEMA):
        raise AuditError(f"{shown}: not the rows of a summary: other columns or types than {', '.join(SCHEMA.names)}")
    if file.metadata.num_rows != rows:
        raise AuditError(f"{shown}: holds {file.metadata.num_rows:,} rows, and {said.STATEMENT} counts {rows:,}")
    groups = (file.metadata.row_group(k) for k in range(file.metadata.num_row_groups))
    if sum(group.total_byte_size for group in groups) > 2 * most:
        raise AuditError(f"{shown}: larger than {rows:,} rows can be")
    table = file.read()
    table.validate(full=True)
    return table.replace_schema_metadata(None).combine_chunks()


def _check_rows(table: pa.Table, shown: str, predicate: said.Predicate) -> None:
    """Raises AuditError where a value cannot be, or where rows do not add up to what the statement counts."""
    for wrong in _problems(table, predicate):
        raise AuditError(f"{shown}: not the rows of a summary: {wrong}")


def _problems(table: pa.Table, predicate: said.Predicate) -> list[str]:
    needed = ("row", "digest", "n_tokens", "flagged", "trained")
    if any(table[name].null_count for name in needed):
        return [f"a value of {', '.join(needed)} is missing"]
    trained, flagged = bools(table, "trained"), bools(table, "flagged")
    quadrant = table["quadrant"]
    wrong = []
    if not np.array_equal(table["row"].to_numpy(), np.arange(table.num_rows)):
        wrong.append("its rows are not numbered in order")
    if not set(quadrant.unique().to_pylist()) <= {*QUADRANT_NAMES, None}:
        wrong.append("a quadrant is unknown")
    for name in FIGURES[:3]:
        if not np.array_equal(np.isfinite(floats(table, name)), trained):
            wrong.append(f"{name} is not a number for each row that was trained on, and for no other")
    if not np.isfinite(floats(table, "loss_out")[trained]).all() and predicate.recipe.folds == 2:
        wrong.append("loss_out is not a number for each row that was trained on")
    if not np.array_equal(pc.is_valid(quadrant).to_numpy(), trained):
        wrong.append("a row is on the map and was not trained on, or was and is not")
    if not np.array_equal(pc.fill_null(pc.is_in(quadrant, pa.array(MEMORIZED)), False).to_numpy(), flagged):
        wrong.append("a row is flagged and does not lie above the line, or lies there and is not")
    copies, tokens = pc.fill_null(table["copies"], 0).to_numpy(), table["n_tokens"].to_numpy()
    if copies.min() < 0 or copies.max() > MOST_COPIES or tokens.min() < 0 or tokens.max() > MOST_COPIES:
        wrong.append("a count is negative, or beyond all measure")
    wrong += [] if wrong else list(_miscounted(table, trained, flagged, predicate))
    return wrong


def _miscounted(
    table: pa.Table, trained: NDArray[np.bool_], flagged: NDArray[np.bool_], predicate: said.Predicate
) -> list[str]:
    rows = predicate.rows
    wrong = []
    if (int(trained.sum()), int(flagged.sum())) != (rows.trained, rows.flagged):
        wrong.append("the statement counts other numbers of rows that were trained on or flagged")
    for name, mass in masses_of(table).items():
        stated = predicate.masses[name]
        same = (mass.rows, mass.tokens) == (stated.rows, stated.tokens)
        if not same or abs(mass.token_share - stated.token_share) > _SAME:
            wrong.append(f"the statement gives another mass for {name}")
    return wrong


def _envelope(folder: Path, data: bytes, key: "SSlibKey | None") -> tuple[Envelope | None, str | None]:
    """The signatures, if there are any, and in words why they do not hold; None where they do, or nobody named a key."""
    path = folder / said.ENVELOPE
    if not path.exists() and not path.is_symlink():
        return None, None if key is None else "it is not signed"
    try:
        envelope = parse_envelope(read_file(path), said.ENVELOPE)
    except OSError as error:
        return None, f"{said.ENVELOPE} cannot be read: {reason(error)}"
    except AuditError as error:
        return None, str(error)
    if envelope.payload != data:
        return envelope, f"what {said.ENVELOPE} signs is another statement than {said.STATEMENT}"
    if key is None:
        return envelope, None
    if not is_signed_by(envelope, key):
        return envelope, f"none of its signatures is by the key that was named ({key.keyid[:12]}…)"
    return envelope, None
