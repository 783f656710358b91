"""Curate: a batch divided as its audit decided. Every row lands in the curated part or in the quarantine, in one of them."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from carto_audit.artifacts.audit_folder import AuditFolder, open_audit_folder
from carto_audit.artifacts.batch_facts import BatchFacts
from carto_audit.artifacts.file_list import REPORT
from carto_audit.attestation.statement import read_statement
from carto_audit.cartography.quadrants import QUADRANT_NAMES
from carto_audit.curation.sample_weights import WEIGHT, WEIGHT_SCHEMA
from carto_audit.data.batch import SKIP_REASONS, Batch
from carto_audit.data.formats.json_rows import JSON_TEXT
from carto_audit.data.formats.opened import Reading
from carto_audit.data.layouts import Layout, plain
from carto_audit.data.readers import bare_name, name_of, read_records, read_schema
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.files import atomic_folder, atomic_path, file_sha256, write_json
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.untrusted import safe_inline

CURATED, QUARANTINE, WEIGHTS, SUMMARY = "curated", "quarantine", "weights.parquet", "curation.json"
REASON = "carto_audit_reason"

_MODULUS = 1 << 128
_ACTIONS = {"keep", "downweight", "upsample", "remove"}
_DECISION_SCHEMA = pa.schema(
    {
        "sample_id": pa.large_string(),
        "row": pa.int64(),
        "quadrant": pa.string(),
        "action": pa.string(),
        "weight": pa.float64(),
        "reasons": pa.large_string(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """What becomes of every row of a batch: arrays of (rows,), in file order.

    `weight` is 0 where a row is quarantined; `reason` is then one sentence of ours, elsewhere "". `action` is that of
    scores.parquet, or "unusable" for a row that the audit skipped.
    """

    action: NDArray[np.str_]
    weight: NDArray[np.float64]
    reason: NDArray[np.object_]

    def is_removed(self) -> NDArray[np.bool_]:
        removed: NDArray[np.bool_] = self.weight == 0
        return removed


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some rows as they were read or written: how many, and the sum of their digests, which no order changes."""

    rows: int
    digest: int

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch]) -> "Part":
        rows = digest = 0
        for batch in batches:
            rows += batch.num_rows
            digest += sum(_digest(row) for row in _as_bytes(batch).to_pylist())
        return cls(rows=rows, digest=digest % _MODULUS)

    def __add__(self, other: "Part") -> "Part":
        return Part(rows=self.rows + other.rows, digest=(self.digest + other.digest) % _MODULUS)


def _as_bytes(records: pa.RecordBatch) -> pa.RecordBatch:
    """With strings as bytes, since Arrow takes it on trust that a string column holds UTF-8."""
    columns = [c.cast(pa.large_binary()) if _is_string(c.type) else c for c in records.columns]
    return pa.record_batch(columns, names=records.schema.names)


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _digest(row: dict[str, Any]) -> int:
    data = repr(list(row.items())).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=16).digest())


def read_decisions(folder: Path, batch: Batch, removed: Sequence[str] = ()) -> Decisions:
    """What an audit decided about every row of its batch; rows in one of the `removed` quadrants are removed besides.

    AuditError when scores.parquet is not of this batch.
    """
    path = folder / "scores.parquet"
    try:
        table = AuditFolder(path=folder).scores(_DECISION_SCHEMA.names).cast(_DECISION_SCHEMA)
        table.validate(full=True)
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise AuditError(
            f"{name_of(path)}: cannot read: {safe_inline(str(error), 160)}; run the audit again"
        ) from error
    _check_decisions(path, table)
    if not np.array_equal(table["row"].to_numpy(), batch.row):
        raise AuditError(f"{name_of(path)}: its rows are not those of the batch; run the audit again")
    action = np.full(batch.rows, "unusable", dtype="<U10")
    weight, reason = np.zeros(batch.rows), np.full(batch.rows, "", dtype=object)
    action[batch.row] = table["action"].to_pylist()
    weight[batch.row] = table["weight"].to_numpy()
    reason[batch.row] = table["reasons"].to_pylist()
    asked = batch.row[np.isin(np.array(table["quadrant"].to_pylist(), dtype=str), removed)]
    action[asked], weight[asked] = "remove", 0.0
    for skipped in batch.skipped:
        lost = skipped.rows[action[skipped.rows] == "unusable"]
        reason[lost] = SKIP_REASONS[skipped.reason]
    reason[weight > 0] = ""
    return Decisions(action=action, weight=weight, reason=reason)


def _check_decisions(path: Path, table: pa.Table) -> None:
    weights = table["weight"].to_numpy(zero_copy_only=False)
    known = set(table["action"].to_pylist()) <= _ACTIONS and set(table["quadrant"].to_pylist()) <= {
        *QUADRANT_NAMES,
        None,
    }
    if not known or not np.isfinite(weights).all() or (weights < 0).any() or table["reasons"].null_count:
        raise AuditError(
            f"{name_of(path)}: not what an audit decides: an action, a quadrant, a weight or a reason is unknown"
        )


def curate(batch: Batch, decisions: Decisions, out: Path, progress: Progress = SILENT) -> dict[str, Any]:
    """Makes the folder `out` of `curated/`, `quarantine/`, `weights.parquet` and `curation.json`, whose content is returned.

    One Parquet file per file of the batch and part, with its rows in order and its columns as they were; the curated
    one has `sample_weight` besides, the quarantined one the reason. What was written is read again and compared with what
    was read, by count and digest. A folder that is there already is replaced as a whole, or stays as it is. Raises UsageError
    for a column of ours that the batch has already, AuditError when a file cannot be read or written.
    """
    with atomic_folder(out.resolve()) as folder:
        return _curate(batch, decisions, folder, progress)


def _curate(batch: Batch, decisions: Decisions, out: Path, progress: Progress) -> dict[str, Any]:
    names = _names(batch.paths)
    schemas = [_checked_schema(path, batch.reading) for path in batch.paths]
    start, files = 0, []
    with progress.task("Dividing the batch", batch.rows, "rows") as advance:
        for path, schema, name in zip(batch.paths, schemas, names, strict=True):
            targets = (out / CURATED / name, out / QUARANTINE / name)
            divided = _divide(path, batch.reading, schema, decisions, start, targets, advance)
            start += divided["rows"]
            files.append({"file": name_of(path), **divided})
    if start != batch.rows:
        raise AuditError(f"{name_of(batch.paths[0])}: the files changed while they were read; run again")
    _write_weights(out / WEIGHTS, batch, decisions)
    summary = _summary(batch, decisions, files)
    write_json(out / SUMMARY, summary)
    return summary


def _names(paths: Sequence[Path]) -> list[str]:
    """A file name for the parts of each file: its own, numbered in front where there are several."""
    safe = [safe_inline(bare_name(path), 120).replace("/", "_") for path in paths]
    if len(paths) == 1:
        return [f"{safe[0]}.parquet"]
    return [f"{number:05d}-{name}.parquet" for number, name in enumerate(safe)]


def _checked_schema(path: Path, reading: Reading) -> pa.Schema:
    schema = read_schema(path, reading)
    for name in (WEIGHT, REASON):
        if name in schema.names:
            raise UsageError(f'{name_of(path)}: has a column "{name}" already; rename it, then audit the batch again')
    return schema


def _divide(
    path: Path,
    reading: Reading,
    schema: pa.Schema,
    decisions: Decisions,
    start: int,
    targets: tuple[Path, Path],
    advance: Any,
) -> dict[str, Any]:
    """Divides one file between two, which appear together when both are whole and account for every row."""
    kept_schema = schema.append(pa.field(WEIGHT, pa.float64()))
    removed_schema = schema.append(pa.field(REASON, pa.string()))
    removed, read = decisions.is_removed(), Part(rows=0, digest=0)
    with ExitStack() as stack:
        kept_path, removed_path = (stack.enter_context(atomic_path(target)) for target in targets)
        with (
            pq.ParquetWriter(kept_path, kept_schema, compression="zstd") as kept_file,
            pq.ParquetWriter(removed_path, removed_schema, compression="zstd") as removed_file,
        ):
            for records in read_records(path, schema, reading):
                rows = slice(start + read.rows, start + read.rows + records.num_rows)
                out = removed[rows]
                if len(out) < records.num_rows:
                    break  # more rows than were audited: told by the count
                _append(kept_file, records, ~out, decisions.weight[rows], kept_schema)
                _append(removed_file, records, out, decisions.reason[rows], removed_schema)
                read += Part.of([records])
                advance(records.num_rows)
        parts = Part.of(_written(kept_path, WEIGHT)), Part.of(_written(removed_path, REASON))
        if parts[0] + parts[1] != read:
            raise AuditError(f"{name_of(path)}: the two parts do not add up to what was read; nothing was written")
    return {
        "rows": read.rows,
        "digest": f"{read.digest:032x}",
        **{
            name: {
                "file": str(target.relative_to(target.parents[1])),
                "rows": part.rows,
                "digest": f"{part.digest:032x}",
            }
            for name, target, part in zip((CURATED, QUARANTINE), targets, parts, strict=True)
        },
        "json_columns": [field.name for field in schema if field.metadata and JSON_TEXT in field.metadata],
    }


def _append(
    file: pq.ParquetWriter, records: pa.RecordBatch, chosen: NDArray[np.bool_], extra: NDArray[Any], schema: pa.Schema
) -> None:
    if not chosen.any():
        return
    rows = records.filter(pa.array(chosen))
    added = pa.array(extra[chosen].tolist(), schema.field(-1).type)
    file.write_batch(pa.record_batch([*rows.columns, added], schema=schema))


def _written(path: Path, extra: str) -> Iterator[pa.RecordBatch]:
    """What a part holds, less the column that was added."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield batch.drop_columns([extra])


def _write_weights(path: Path, batch: Batch, decisions: Decisions) -> None:
    """`weights.parquet`: a row per row of the batch, so that a loader of the batch itself can use it."""
    ids = np.full(batch.rows, None, dtype=object)
    ids[batch.row] = batch.sample_id.to_pylist()
    columns = {
        "sample_id": pa.array(ids.tolist(), pa.large_string()),
        "row": np.arange(batch.rows),
        WEIGHT: decisions.weight,
    }
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns, schema=WEIGHT_SCHEMA), temporary, compression="zstd")


def _summary(batch: Batch, decisions: Decisions, files: list[dict[str, Any]]) -> dict[str, Any]:
    actions, counts = np.unique(decisions.action, return_counts=True)
    removed = decisions.is_removed()
    reasons, times = np.unique([str(reason).split(";")[0] for reason in decisions.reason[removed]], return_counts=True)
    return {
        "schema_version": 1,
        "batch": {"sha256": batch.sha256, "rows": batch.rows},
        "curated_rows": int((~removed).sum()),
        "quarantined_rows": int(removed.sum()),
        "weight_sum": float(decisions.weight.sum()),
        "actions": dict(zip(actions.tolist(), counts.tolist(), strict=True)),
        "quarantine_reasons": dict(zip(reasons.tolist(), times.tolist(), strict=True)),
        "files": files,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What report.json says of the batch that was audited, and whether its policy forbids to drop rows."""

    paths: tuple[str, ...]
    sha256: str
    layout: Layout
    id_column: str | None
    reading: Reading
    never_drop: bool


def read_audited(folder: Path) -> Audited:
    """The batch of a finished audit. Raises AuditError when the folder holds none."""
    facts = open_audit_folder(folder).report
    batch = facts["batch"]
    return Audited(
        paths=tuple(batch["paths"]),
        sha256=batch["sha256"],
        layout=_layout(batch),
        id_column=batch["id_column"],
        reading=Reading(**batch.get("reading", {"given": {}})["given"]),
        never_drop=bool(facts["policy"]["resolved"].get("never_drop", True)),
    )


def _layout(batch: BatchFacts) -> Layout:
    found = batch.get("layout")
    if found is None:
        return plain(batch["text_column"])
    return Layout(name=found["name"], columns=tuple(found["columns"]), learned=frozenset(found["learned"]))


def check_unchanged(folder: Path) -> None:
    """Raises AuditError when the report or the decisions are not those that the audit's statement records."""
    recorded = read_statement(folder).files
    for name in (REPORT, "scores.parquet"):
        path = folder / name
        if not path.is_file() or file_sha256(path) != recorded.get(name):
            raise AuditError(f"{name_of(path)}: changed since the audit ended; run the audit again")


def is_curation(folder: Path) -> bool:
    """Whether a folder holds what `curate` wrote and nothing else, so that it may be replaced."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        listed = {part[name]["file"] for part in summary["files"] for name in (CURATED, QUARANTINE)}
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return found <= {*listed, WEIGHTS, SUMMARY}


def find_batch(audited: Audited, folder: Path, given: Sequence[str | Path]) -> list[Path]:
    """Where an audit's batch lies: as given, in the working folder, beside the audit, or it is the folder after which the
    audit is named. Raises UsageError when it is in none of these places.
    """
    if given:
        return [Path(name) for name in given]
    beside = folder.resolve().parent
    named = beside / folder.resolve().name.removesuffix("-audit")
    for place in (Path(), beside):
        paths = [place / name for name in audited.paths]
        if paths and all(path.is_file() for path in paths):
            return paths
    if named.is_dir():
        return [named]
    missing = safe_inline(next(iter(audited.paths), "the batch"), 160)
    raise UsageError(
        f"{missing}: not found here or beside the audit; name the batch: carto-audit apply AUDIT_DIR BATCH"
    )
