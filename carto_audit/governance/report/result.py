"""Result: a finished red team as the library gives it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carto_audit.runtime.files import made_folder, write_json, write_text


@dataclass(frozen=True, kw_only=True)
class Redteam:
    """A finished red team: `facts` are the content of `redteam.json`. `exit_code` is that of the policy's rules on what was
    measured, 0 where it has none."""

    facts: dict[str, Any]

    @property
    def exit_code(self) -> int:
        return int(self.facts["verdict"]["exit_code"]) if self.facts["verdict"] else 0

    def html(self) -> str:
        """The page, which opens offline."""
        from carto_audit.governance.report.page import render_redteam

        return render_redteam(self.facts)

    def save(self, folder: str | Path) -> Path:
        """Writes `redteam.html` and `redteam.json` into a folder."""
        target = made_folder(Path(folder))
        write_text(target / "redteam.html", self.html())
        write_json(target / "redteam.json", self.facts)
        return target
