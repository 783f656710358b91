"""A planted batch: its folder, what may be told of it, and the controls in it, which nobody else is to see."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from carto_audit.controls.sealed import read_sealed


@dataclass(frozen=True, kw_only=True)
class Plant:
    """A planted batch: `facts` are the content of `plant.json`, and quote nothing of what was planted."""

    path: Path
    facts: dict[str, Any]

    @property
    def batch(self) -> Path:
        """The folder to train on."""
        return self.path / str(self.facts["planted"]["folder"])

    def controls(self) -> pa.Table:
        """Everything that was planted, and what was not: for the auditor's eyes alone. Raises AuditError where the file is not
        what `facts` commit to."""
        return read_sealed(self.path / self.facts["controls"]["file"], self.facts["controls"]["commitment"])
