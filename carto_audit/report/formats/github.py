"""GitHub Actions: annotations as workflow commands on stdout, and the step summary.

Both are capped, since GitHub drops in silence what is too much."""

from collections.abc import Iterator, Mapping
from typing import Any

from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.report.formats.annotations import Level, annotations, remarks
from carto_audit.report.formats.markdown import headline, render_markdown
from carto_audit.report.formats.terminal import tame

MOST_OF_A_LEVEL = 10
"""Annotations of one level that GitHub takes from a step."""

SUMMARY_LIMIT = 900 * 1024
"""Bytes of a step's summary file; above 1,024 KiB GitHub shows none of it."""

_COMMANDS: Mapping[Level, str] = {"error": "error", "warning": "warning", "note": "notice"}


def render_annotations(facts: ReportFacts) -> str:
    """A line per annotation, worst first, at most ten of each level; then how many more there are."""
    lines: dict[Level, list[str]] = {level: [] for level in _COMMANDS}
    for found in annotations(facts):
        waived = "" if found.waiver is None else f" Waived: {found.waiver}."
        about = {"file": found.file, "line": found.line, "col": found.column, "title": f"carto-audit {found.title}"}
        lines[found.level].append(_command(found.level, found.message + waived, about))
    for remark in remarks(facts):
        lines[remark.level].append(_command(remark.level, remark.message, {"title": f"carto-audit {remark.topic}"}))
    return "".join(f"{line}\n" for level in lines for line in _capped(level, lines[level]))


def render_step_summary(facts: ReportFacts, present: int = 0) -> str:
    """Markdown for a summary file that already holds `present` bytes: whole, or its headline, or nothing."""
    room = SUMMARY_LIMIT - present
    for text in (render_markdown(facts), headline(facts) + "\n"):
        if len(text.encode()) <= room:
            return text
    return ""


def _capped(level: Level, lines: list[str]) -> Iterator[str]:
    yield from lines[:MOST_OF_A_LEVEL]
    if len(lines) > MOST_OF_A_LEVEL:
        yield f"and {len(lines) - MOST_OF_A_LEVEL:,} more of level {_COMMANDS[level]} in report.json"


def _command(level: Level, message: str, about: Mapping[str, Any]) -> str:
    properties = ",".join(f"{name}={_escape_property(tame(str(value), 400))}" for name, value in about.items())
    return f"::{_COMMANDS[level]} {properties}::{_escape(tame(message, 1200))}"


def _escape(text: str) -> str:
    """As the runner's toolkit does: what would end the line or be read as an escape."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
