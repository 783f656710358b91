"""Summary: what a vendor ships of a finished audit: a row of figures for every row, no text, and a statement that binds them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from carto_audit.artifacts.audit_folder import AuditFolder, open_audit_folder
from carto_audit.artifacts.file_list import STATEMENT as AUDIT_STATEMENT
from carto_audit.artifacts.forecast import MEMORIZED
from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.attestation.dsse import sign
from carto_audit.data.batch import Batch
from carto_audit.data.sampling_key import SamplingKey
from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.runtime.files import atomic_folder, file_sha256, write_bytes, write_json, write_table
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.untrusted import safe_inline
from carto_audit.vendors import merkle
from carto_audit.vendors import statement as said
from carto_audit.vendors.rows import FIGURES, SCHEMA, keep_salt, leaf_digests, row_digests

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

_COLUMNS = ["row", "n_tokens", *FIGURES, "copies", "quadrant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summarized:
    """A summary that was written. `root` is hex; `flagged` of so many `rows` lie above the line."""

    folder: Path
    salt: Path
    root: str
    rows: int
    trained: int
    flagged: int
    signed: bool


def summarize(
    folder: Path,
    batch: Batch,
    out: Path,
    *,
    salt: Path,
    sampling_key: SamplingKey | None = None,
    signer: "CryptoSigner | None" = None,
    progress: Progress = SILENT,
) -> Summarized:
    """Writes the summary of the audit in `folder` into the folder `out`, whole or not at all; the same bytes for the same salt.

    `salt` is the file of the salt; it is made where there is none. Whether the audit is intact and about this batch is the
    caller's to check. Raises UsageError where `sampling_key` is not the audit's, AuditError where scores are not of the batch.
    """
    audit = open_audit_folder(folder)
    facts = audit.report
    _check_key(facts, sampling_key)
    _check_out(out)
    table = _table(audit, batch, keep_salt(salt), progress)
    root = merkle.root_of(merkle.levels_of(leaf_digests(table))).hex()
    with atomic_folder(out.resolve()) as made:
        write_table(made / said.TABLE, table, "zstd")
        statement_sha256 = hashlib.sha256(audit.data(AUDIT_STATEMENT)).hexdigest()
        predicate = _predicate(facts, table, root, sampling_key, statement_sha256)
        data = said.statement_bytes(predicate, file_sha256(made / said.TABLE))
        write_bytes(made / said.STATEMENT, data)
        if signer is not None:
            write_json(made / said.ENVELOPE, sign(data, signer))
    rows = predicate.rows
    return Summarized(
        folder=out,
        salt=salt,
        root=root,
        rows=rows.count,
        trained=rows.trained,
        flagged=rows.flagged,
        signed=signer is not None,
    )


def salt_beside(folder: Path) -> Path:
    """Where the salt of a summary lies unless another place is named: beside it, so that the folder can be shown to anybody."""
    return folder.with_name(f"{folder.name}.salt")


def _check_key(facts: ReportFacts, key: SamplingKey | None) -> None:
    """Raises UsageError unless the key is the one that drew the rows of the audit."""
    sampling = facts["run"].get("sampling")
    commitment = sampling["key_commitment"] if sampling else None
    if commitment is None and key is not None:
        raise UsageError(f"{option('sampling_key')}: this audit drew its rows by its seed alone; leave the key out")
    if commitment is not None and key is None:
        raise UsageError(
            f"this audit drew its rows by a key, which a summary discloses: give {option('sampling_key')} FILE; a random key is "
            f"gone with the audit: audit again with {option('sampling_key')} FILE, or {option('seed')} N, then summarize"
        )
    if key is not None and key.commitment != commitment:
        raise UsageError(f"{option('sampling_key')}: not the key of this audit; name the one that it was run with")


def _check_out(out: Path) -> None:
    """Raises UsageError for a folder that holds something else than a summary."""
    known = {said.TABLE, said.STATEMENT, said.ENVELOPE}
    if out.exists() and (not out.is_dir() or {path.name for path in out.iterdir()} - known):
        raise UsageError(f"{safe_inline(str(out), 160)}: holds other files; name another {option('out')}")


def _table(audit: AuditFolder, batch: Batch, salt: bytes, progress: Progress) -> pa.Table:
    """`summary.parquet` (SCHEMA): the audit's scores, spread over all rows of the batch."""
    scores = audit.scores(_COLUMNS)
    if not np.array_equal(scores["row"].to_numpy(), batch.row):
        raise AuditError(f"{audit.shown('scores.parquet')}: its rows are not those of the batch; run the audit again")
    place = np.full(batch.rows, -1, dtype=np.int64)
    place[batch.row] = np.arange(len(batch))
    spread = scores.take(pa.array(place, mask=place < 0))
    trained = pc.is_valid(spread["quadrant"])
    columns: dict[str, Any] = {
        "row": np.arange(batch.rows),
        "digest": pa.array(row_digests(batch, salt, progress), pa.binary(merkle.DIGEST_BYTES)),
        "n_tokens": pc.fill_null(spread["n_tokens"], 0),
        **{name: pc.if_else(trained, spread[name], None) for name in FIGURES},
        "copies": pc.if_else(trained, spread["copies"], None),
        "quadrant": spread["quadrant"],
        "flagged": pc.fill_null(pc.is_in(spread["quadrant"], pa.array(MEMORIZED)), False),
        "trained": trained,
    }
    return pa.table(columns).select(SCHEMA.names).cast(SCHEMA)


def masses_of(table: pa.Table) -> dict[Any, said.Mass]:
    """The mass of the hotspot, and of all that is flagged, in a table (SCHEMA): shares of the tokens of rows on the map."""
    trained, n_tokens = table["trained"].to_numpy(), table["n_tokens"].to_numpy()
    total = max(1, int(n_tokens[trained].sum()))
    hot = pc.fill_null(pc.equal(table["quadrant"], "hotspot_memorized"), False).to_numpy()
    found = {}
    for name, inside in zip(said.MASSES, (hot, table["flagged"].to_numpy()), strict=True):
        tokens = int(n_tokens[inside].sum())
        found[name] = said.Mass(rows=int(inside.sum()), tokens=tokens, token_share=tokens / total)
    return found


def _predicate(
    facts: ReportFacts, table: pa.Table, root: str, key: SamplingKey | None, statement_sha256: str
) -> said.Predicate:
    batch, run, resolved = facts["batch"], facts["run"], facts["policy"]["resolved"]
    detection = {name: value for name, value in facts["metrics"].items() if name.startswith("detection.")}
    return said.Predicate(
        schema_version=1,
        tool=said.Tool(name="carto-audit", version=facts["tool"]["version"]),
        batch=said.Batch(
            sha256=batch["sha256"],
            rows=batch["rows"],
            samples=batch["samples"],
            tokens=batch["tokens"],
            trained_samples=batch["trained_samples"],
            trained_tokens=batch["trained_tokens"],
            held_out_samples=batch["held_out_samples"],
            text=safe_inline(batch["text_column"], 300),
        ),
        recipe=said.Recipe(
            policy=safe_inline(facts["policy"]["name"], 80),
            policy_sha256=facts["policy"]["sha256"],
            map=resolved["map"],
            dose=facts["detection"].get("demanded_dose", 4),
            loss_on="completions" if batch.get("layout", {}).get("loss_on") == "completions" else "all",
            burn_in_epochs=float(run["burn_in_epochs"]),
            seed=run["seed"],
            sampling_key=key.secret.hex() if key else None,
            epochs=run["epochs"],
            folds=run["folds"],
            repeats=run["repeats"],
            max_tokens=run["max_tokens"],
            reference_sha256=run["reference_sha256"],
            proxy=said.Proxy(
                name=safe_inline(run["proxy"]["name"], 300),
                parameters=run["proxy"]["parameters"],
                checkpoint=run["proxy"]["checkpoint"],
            ),
            device=run["device"],
            packages=run["packages"],
            planted_by=[
                safe_inline(name, 90) for name, lens in facts.get("lenses", {}).items() if "plants_read" in lens
            ],
        ),
        rows=said.Rows(
            root=root,
            count=table.num_rows,
            trained=int(pc.sum(table["trained"]).as_py()),
            flagged=int(pc.sum(table["flagged"]).as_py()),
        ),
        masses=masses_of(table),
        thresholds=dict(facts["map"]["thresholds"]),
        detection=detection,
        detection_intervals={n: i for n, i in facts["metric_intervals"].items() if n.startswith("detection.")},
        audit=said.Audit(
            statement_sha256=statement_sha256, started_at=run["started_at"], status=facts["verdict"]["status"]
        ),
    )
