"""A planted batch: its folder, what may be told of it, and the controls in it, which nobody else is to see."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from carto_audit.controls.sealed import CONTROLS, read_sealed
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import read_regular, reason
from carto_audit.text.untrusted import safe_inline

BATCH, STATEMENT, KEY = "batch", "plant.json", "trace.key"
"""In the folder, beside the controls."""

LARGEST_STATEMENT = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Plant:
    """A planted batch: `facts` are the content of `plant.json`, and quote nothing of what was planted."""

    path: Path
    facts: dict[str, Any]

    @property
    def batch(self) -> Path:
        """The folder to train on."""
        return self.path / BATCH

    def controls(self) -> pa.Table:
        """Everything that was planted, and what was not: for the auditor's eyes alone. Raises AuditError where the file is not
        what `facts` commit to."""
        return read_sealed(self.path / CONTROLS, self.facts["controls"]["commitment"])


def read_plant(folder: Path) -> Plant:
    """A planted batch, read back. Raises AuditError in one line where there is none."""
    where = safe_inline(str(folder), 160)
    try:
        facts = json.loads(read_regular(folder / STATEMENT, LARGEST_STATEMENT))
    except OSError as error:
        raise AuditError(
            f"{where}: no planted batch: {STATEMENT}: {reason(error)}; make one with carto-audit plant"
        ) from error
    except (ValueError, RecursionError) as error:
        raise AuditError(f"{where}: no planted batch: {STATEMENT} is not JSON") from error
    if not _is_statement(facts):
        raise AuditError(f"{where}: no planted batch, or of another version: {STATEMENT} does not say what was planted")
    return Plant(path=folder, facts=facts)


def _is_statement(facts: Any) -> bool:
    try:
        digests = facts["batch"]["sha256"], facts["planted"]["sha256"], facts["controls"]["commitment"]
        known = (
            facts["schema_version"] == 1
            and facts["planted"]["folder"] == BATCH
            and facts["controls"]["file"] == CONTROLS
        )
        return bool(known and all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests))
    except (KeyError, TypeError):
        return False
