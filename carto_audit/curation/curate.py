"""Curate: a batch divided as its audit decided. Every row lands in the curated part or in the quarantine, in one of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.artifacts.audit_folder import AuditFolder, open_audit_folder
from carto_audit.artifacts.batch_facts import BatchFacts
from carto_audit.artifacts.decision_facts import DecisionsFacts, numbers_of
from carto_audit.artifacts.file_list import REPORT
from carto_audit.attestation.statement import read_statement
from carto_audit.cartography.quadrants import QUADRANT_NAMES
from carto_audit.curation.division import Choice, Division, check_columns, check_reason, divide, divided_suffix
from carto_audit.curation.sample_weights import CURATED, WEIGHTS, write_weights
from carto_audit.data.batch import Batch
from carto_audit.data.formats.opened import Reading
from carto_audit.data.hub_layout import HubChoice
from carto_audit.data.layouts import Layout, plain
from carto_audit.data.readers import bare_name, column_types, name_of
from carto_audit.data.skips import SKIP_REASONS
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.files import (
    atomic_folder,
    file_sha256,
    name_text,
    path_of,
    write_json,
)
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.runtime.sealed_path import check_seals
from carto_audit.text.untrusted import safe_inline

QUARANTINE, SUMMARY = "quarantine", "curation.json"
MOST_NAMES = 200
"""Columns that `curation.json` names of those that no stage read."""

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


_FOLLOWED = pa.field("decision", pa.int32())
"""Which of people's decisions a row follows, where there are any."""


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


def read_decisions(
    folder: Path, batch: Batch, removed: Sequence[str] = (), decided: DecisionsFacts | None = None
) -> Decisions:
    """What an audit decided about every row of its batch; rows in one of the `removed` quadrants are removed besides, but for
    those that people decided to keep.

    AuditError when scores.parquet is not of this batch.
    """
    path, kept = folder / "scores.parquet", numbers_of(decided, "keep")
    schema = _DECISION_SCHEMA if decided is None else _DECISION_SCHEMA.append(_FOLLOWED)
    try:
        table = AuditFolder(path=folder).scores(schema.names).cast(schema)
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
    chosen = np.isin(np.array(table["quadrant"].to_pylist(), dtype=str), removed)
    if kept:
        chosen &= ~np.isin(table[_FOLLOWED.name].fill_null(0).to_numpy(), list(kept))
    asked = batch.row[chosen]
    action[asked], weight[asked] = "remove", 0.0
    for skipped in batch.skipped:
        lost = skipped.rows[(action[skipped.rows] == "unusable") | (skipped.reason != "over_long")]
        action[lost], weight[lost], reason[lost] = "unusable", 0.0, SKIP_REASONS[skipped.reason]
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

    One file per file of the batch and part, of its format, with its rows in order and as they were; a curated table has
    `sample_weight` besides, what is quarantined the reason. What was written is read again and compared with what was read.
    A folder that is there already is replaced as a whole, or stays as it is. Raises UsageError for a column of ours that the
    batch has already, AuditError when a file cannot be read or written.
    """
    with atomic_folder(out.resolve()) as folder:
        summary = _curate(batch, decisions, folder, progress)
        check_seals(batch.paths)
    return summary


def _curate(batch: Batch, decisions: Decisions, out: Path, progress: Progress) -> dict[str, Any]:
    names = _names(batch.paths, batch.reading)
    for path in batch.paths:
        check_columns(path, batch.reading, column_types(path, batch.reading))
    check_reason(batch.paths[0], batch.unseen)
    start, files = 0, []
    with progress.task("Dividing the batch", batch.rows, "rows") as advance:
        for path, name, rows in zip(batch.paths, names, batch.file_rows, strict=True):
            span = slice(start, start + rows)
            places = out / CURATED / path_of(name), out / QUARANTINE / path_of(name)
            choice = Choice(weight=decisions.weight[span], reason=decisions.reason[span])
            files.append(_file_facts(path, name, divide(path, batch.reading, choice, places, advance)))
            start += rows
    write_weights(out / WEIGHTS, batch, decisions.weight)
    summary = _summary(batch, decisions, files)
    write_json(out / SUMMARY, summary)
    return summary


def _names(paths: Sequence[Path], reading: Reading) -> list[str]:
    """A file name for the parts of each file: its own, numbered in front where there are several."""
    safe = [
        safe_inline(name_text(bare_name(path)), 120).replace("/", "_") + divided_suffix(path, reading) for path in paths
    ]
    return safe if len(paths) == 1 else [f"{number:05d}-{name}" for number, name in enumerate(safe)]


def _file_facts(path: Path, name: str, division: Division) -> dict[str, Any]:
    parts = {CURATED: division.kept, QUARANTINE: division.removed}
    return {
        "file": name_of(path),
        "rows": division.rows,
        "digest": f"{division.digest:032x}",
        **{
            part: {"file": f"{part}/{name}", "rows": found.rows, "digest": f"{found.digest:032x}"}
            for part, found in parts.items()
        },
        "byte_for_byte": division.copied,
        "json_columns": list(division.json_columns),
    }


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
        "unseen_columns": [safe_inline(name, 120) for name in batch.unseen[:MOST_NAMES]],
        "unseen_column_count": len(batch.unseen),
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
    choice: HubChoice | None
    never_drop: bool
    decided: DecisionsFacts | None = None
    """What people decided about rows and items, None where no file of decisions was named."""


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
        choice=_choice(batch),
        never_drop=bool(facts["policy"]["resolved"].get("never_drop", True)),
        decided=facts.get("decisions"),
    )


def _layout(batch: BatchFacts) -> Layout:
    found = batch.get("layout")
    if found is None:
        return plain(batch["text_column"])
    return Layout(name=found["name"], columns=tuple(found["columns"]), learned=frozenset(found["learned"]))


def _choice(batch: BatchFacts) -> HubChoice | None:
    delivery = batch.get("delivery")
    chosen = delivery.get("chosen") if delivery else None
    return HubChoice(**chosen) if chosen else None


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
        found = {
            name_text(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()
        }
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
        paths = [place / path_of(name) for name in audited.paths]
        if paths and all(path.is_file() for path in paths):
            return paths
    if named.is_dir():
        return [named]
    missing = safe_inline(next(iter(audited.paths), "the batch"), 160)
    raise UsageError(
        f"{missing}: not found here or beside the audit; name the batch: carto-audit apply AUDIT_DIR BATCH"
    )
