"""A planted run: the batch, controls and key of a real run as the auditor holds them, checked against what was committed to."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.controls.sealed import read_sealed
from carto_audit.data.batch import Batch, read_batch
from carto_audit.real_runs.planted_batch import STATEMENT
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import read_regular, reason
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.runtime.sealed_path import LIMITS
from carto_audit.text.untrusted import safe_inline
from carto_audit.traces.keys import SampleKeys, read_sample_keys

MOST_STATEMENT = 64 << 20

NAMED_COLUMNS = ("text", "columns")
"""Layouts that are columns which somebody named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedRun:
    """A planted batch and its controls. `copy` (N,) is the row of `controls` that a sample of the batch is, -1 for a delivered
    one; `twins` and `held_out` are rows of `controls` that nobody trains on."""

    facts: dict[str, Any]
    batch: Batch
    controls: pa.Table
    keys: SampleKeys
    copy: NDArray[np.int64]
    twins: NDArray[np.int64]
    held_out: NDArray[np.int64]

    @property
    def identity(self) -> dict[str, str]:
        """What a reading of a checkpoint is about: this batch, these controls, this key."""
        return {
            "batch": str(self.facts["planted"]["sha256"]),
            "controls": str(self.facts["controls"]["commitment"]),
            "key_id": self.keys.key_id,
        }

    @property
    def is_copy(self) -> NDArray[np.bool_]:
        """Which samples of the batch were planted, (N,)."""
        planted: NDArray[np.bool_] = self.copy >= 0
        return planted


def open_planted(folder: Path, progress: Progress = SILENT) -> PlantedRun:
    """The folder that `plant` wrote. Raises AuditError in one line where it is none, where the controls are not those that its
    statement commits to, or where the batch is not the one that was planted."""
    shown = safe_inline(str(folder), 160)
    try:
        facts = json.loads(read_regular(folder / STATEMENT, MOST_STATEMENT))
        place, sha256 = folder / str(facts["planted"]["folder"]), facts["planted"]["sha256"]
        named, commitment = facts["controls"]["file"], facts["controls"]["commitment"]
        layout, columns = facts["batch"]["layout"], facts["batch"]["columns"]
        key = folder / str(facts["key"])
        _ = [str(one["file"]) for one in facts["files"]], int(facts["dose"])
    except OSError as error:
        raise AuditError(f"{shown}: no planted batch: {STATEMENT}: {reason(error)}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise AuditError(f"{shown}: no planted batch: {STATEMENT} is not as `plant` writes it") from error
    controls = read_sealed(folder / str(named), str(commitment))
    by_name = layout in NAMED_COLUMNS
    batch = read_batch(
        [place],
        layout=None if by_name else layout,
        text_column=",".join(columns) if by_name else None,
        limits=LIMITS,
        progress=progress,
    )
    if batch.sha256 != sha256:
        raise AuditError(f"{shown}: {safe_inline(place.name, 80)}/ is not the batch that was planted; files differ")
    role = np.array(controls["role"].to_pylist())
    return PlantedRun(
        facts=facts,
        batch=batch,
        controls=controls,
        keys=read_sample_keys(key),
        copy=_copies(shown, place, batch, controls),
        twins=np.flatnonzero(role == "twin"),
        held_out=np.flatnonzero(role == "held_out"),
    )


def _copies(shown: str, place: Path, batch: Batch, controls: pa.Table) -> NDArray[np.int64]:
    """Which row of the controls each sample of the batch is. Raises AuditError where one of them does not stand there."""
    starts = np.concatenate([[0], np.cumsum(batch.file_rows)])
    first = {path.relative_to(place).as_posix(): int(start) for path, start in zip(batch.paths, starts, strict=False)}
    copy = np.full(len(batch), -1, np.int64)
    columns = (controls[name].to_pylist() for name in ("role", "file", "row"))
    for number, (role, file, row) in enumerate(zip(*columns, strict=True)):
        if role != "planted":
            continue
        sample = int(np.searchsorted(batch.row, first.get(file, -1) + row)) if file in first else len(batch)
        if sample >= len(batch) or batch.row[sample] != first[file] + row:
            raise AuditError(f"{shown}: a control does not stand where the controls say; plant again")
        copy[sample] = number
    return copy
