"""Formats: the one table of renderers, for the facts of a finished audit. Nothing is computed again."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console

from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.report.formats.github import render_annotations, render_step_summary
from carto_audit.report.formats.gitlab import render_gitlab
from carto_audit.report.formats.junit import render_junit
from carto_audit.report.formats.markdown import render_markdown
from carto_audit.report.formats.sarif import render_sarif
from carto_audit.report.formats.targets import Format
from carto_audit.report.formats.terminal import render_summary
from carto_audit.runtime import files
from carto_audit.runtime.errors import AuditError
from carto_audit.text.untrusted import safe_inline

_TEXT_WIDTH = 100

_RENDERERS: Mapping[Format, Callable[[ReportFacts], str]] = {
    "sarif": render_sarif,
    "junit": render_junit,
    "gitlab": render_gitlab,
    "github": render_annotations,
    "markdown": render_markdown,
}


def render(facts: ReportFacts, format: Format, folder: Path) -> str:
    """The whole document. AuditError in one line where `facts` are not those of an audit."""
    try:
        if format == "json":
            return render_json(facts)
        if format == "text":
            return render_text(facts, folder)
        return _RENDERERS[format](facts)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise AuditError(f"{_where(folder)}: not the report of an audit; run the audit again") from error


def render_json(facts: ReportFacts) -> str:
    """The facts themselves, as in `report.json`, in ASCII: what is no text in UTF-8 stays an escape."""
    return json.dumps(facts, indent=2, sort_keys=True, allow_nan=False) + "\n"


def render_text(facts: ReportFacts, folder: Path) -> str:
    """The terminal's summary without colours."""
    console = Console(
        file=io.StringIO(), width=_TEXT_WIDTH, markup=False, emoji=False, highlight=False, color_system=None
    )
    with console.capture() as shown:
        render_summary(facts, folder, console)
    return shown.get()


def append_step_summary(facts: ReportFacts, path: Path, folder: Path) -> None:
    """Appends the Markdown to the step summary file of GitHub Actions, so that it stays below the size that is shown."""
    with files.writing(path):
        present = path.stat().st_size if path.exists() else 0
        with path.open("a", encoding="utf-8") as stream:
            stream.write(_step_summary(facts, present, folder))


def _step_summary(facts: ReportFacts, present: int, folder: Path) -> str:
    try:
        return render_step_summary(facts, present)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise AuditError(f"{_where(folder)}: not the report of an audit; run the audit again") from error


def _where(folder: Path) -> str:
    return safe_inline(str(folder / "report.json"), 160)
