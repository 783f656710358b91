"""What the terminal shows: progress while the audit runs, one screen when it ends. Vendor text never starts a line."""

import io
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich import box
from rich import progress as bars
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from carto_audit.artifacts.audit_call import AuditCall, recorded_call
from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.cartography.quadrants import QUADRANTS
from carto_audit.report.batch_words import (
    copies_line,
    decision_line,
    is_rehearsable,
    lens_lines,
    remote_line,
    reuse_line,
    sampling_words,
    unread_sentence,
    vendor_line,
)
from carto_audit.report.formats.text_map import plot_lines
from carto_audit.report.narrative import STATUS_WORDS, decisive, doubts, finding_words, overview, verdict_sentence
from carto_audit.report.next_steps import NextSteps, Step, next_steps
from carto_audit.report.signs import WARNING, Sign, finding_sign, status_sign
from carto_audit.runtime.progress import Advance, Progress
from carto_audit.text.numbers import percent
from carto_audit.text.untrusted import safe_inline

_HEARTBEAT = 30.0
"""Seconds between signs of life in a log file: CI systems end jobs that stay silent for minutes."""
_MAP_WIDTH = 80
_SHOWN_FINDINGS = 6
_SHOWN_REMEDIES = 5


def open_console(*, stderr: bool = False) -> Console:
    """A console for stdout or stderr that interprets nothing and replaces what the stream's encoding cannot hold."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    live = stream.isatty() and not os.environ.get("CI")  # colour may be forced upon a log file, moving bars never
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, force_interactive=live)


class RichProgress(Progress):
    """Bars with rate and time left on a terminal; elsewhere one plain line per stage, and signs of life in between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: bars.Progress | None = None
        self._open = 0
        self._lock = threading.Lock()

    @contextmanager
    def task(self, label: str, total: float | None = None, unit: str = "rows") -> Iterator[Advance]:
        """One bar, or one line, for a stage of `total` units. Stages may overlap."""
        shown = self._bar if self._console.is_interactive else self._line
        with shown(tame(label, 48), total, tame(unit, 16)) as advance:
            yield advance

    def note(self, message: str) -> None:
        """One line between the bars."""
        self._console.print(Text(f"· {tame(message)}"), soft_wrap=True)

    @contextmanager
    def _bar(self, label: str, total: float | None, unit: str) -> Iterator[Advance]:
        with self._lock:
            if self._bars is None:
                self._bars = _make_bars(self._console)
                self._bars.start()
            shown, self._open = self._bars, self._open + 1
        task = shown.add_task(label, total=total, unit=unit)
        try:
            yield lambda amount: shown.advance(task, amount)
            shown.update(task, total=max(shown.tasks[shown.task_ids.index(task)].completed, 1), refresh=True)
            shown.update(task, completed=shown.tasks[shown.task_ids.index(task)].total)
        finally:
            with self._lock:
                shown.stop_task(task)
                self._open -= 1
                if not self._open:
                    shown.stop()
                    self._bars = None

    @contextmanager
    def _line(self, label: str, total: float | None, unit: str) -> Iterator[Advance]:
        begun = spoken = time.monotonic()
        done = 0.0

        def advance(amount: float) -> None:
            nonlocal done, spoken
            done += amount
            if time.monotonic() - spoken > _HEARTBEAT:
                spoken = time.monotonic()
                part = f"{100 * done / total:.0f} %" if total else f"{done:,.0f} {unit}"
                if total and 0 < done < total:
                    part += f", about {_clock((spoken - begun) * (total - done) / done)} left"
                self._console.print(Text(f"· {label}: {part}"), soft_wrap=True)

        yield advance
        counted = f"{done:,.0f} {unit} in " if done else ""
        self._console.print(Text(f"· {label}: {counted}{time.monotonic() - begun:.1f} s"), soft_wrap=True)


def render_summary(
    facts: ReportFacts, out_folder: Path, console: Console, *, quiet: bool = False, call: AuditCall | None = None
) -> None:
    """The audit on one screen: verdict, what decided it, the map, what was found, where the files are, what to do next.

    `quiet` leaves the verdict, what was not read, and the report's path. `call` is how the audit was called, without which the
    commands hold names in place of paths.
    """
    if quiet:
        _print_line(console, _headline(facts, console))
        if unread := unread_sentence(facts):
            _print_line(console, Text(f"{_drawn(WARNING, console)} {tame(unread)}", style=WARNING.colour))
        _print_line(console, Text(f"> Report   {tame(str(out_folder / 'report.html'), 4096)}"))
        return
    console.print()
    _print_line(console, _headline(facts, console))
    _print_line(console, Text(f"  {tame(verdict_sentence(facts))}"))
    for doubt in doubts(facts):
        _print_line(console, Text(f"{_drawn(WARNING, console)} {tame(doubt)}", style=WARNING.colour))
    if decisive(facts):
        console.print(_findings_table(facts, console))
    for warning in facts["warnings"][:_SHOWN_FINDINGS]:
        _print_line(console, Text(f"{_drawn(WARNING, console)} {tame(warning)}", style=WARNING.colour))
    _print_map(facts, console)
    ahead = next_steps(facts, call or recorded_call(facts, str(out_folder)))
    console.print(_overview_table(facts, ahead))
    _print_line(console, Text(f"> Report   {tame(str(out_folder / 'report.html'), 4096)}", style="bold"))
    _print_line(console, Text(f"> Rows     {tame(str(out_folder / 'scores.parquet'), 4096)}"))
    _print_line(console, Text(f"> Verdict  {tame(str(out_folder / 'verdict.json'), 4096)}"))
    _print_commands(ahead, console)


def _print_commands(ahead: NextSteps, console: Console) -> None:
    """Each command on a line that can be copied whole."""
    for place, command in enumerate(step.command for step in ahead.steps if step.command):
        _print_line(console, Text(f"> {'Then' if place else 'Next'}     {tame(command, 4096)}", style="bold"))


def _add_steps(table: Table, ahead: NextSteps) -> None:
    """What to do next: what each step may change and cannot. A lone command says enough."""
    if len(ahead.steps) > 1 or any(step.may_change for step in ahead.steps):
        for place, step in enumerate(ahead.steps, 1):
            table.add_row(Text(f"To do {place}", style="bold"), cell(" ".join(_said_of(step)), limit=800))
        for note in ahead.notes:
            table.add_row("", cell(note, "dim", limit=400))


def _said_of(step: Step) -> Iterator[str]:
    """A step in words, with what of the verdict it may change and what it cannot."""
    yield step.words
    if step.may_change:
        changes = "; ".join(f"{one.rule} {one.forecast}".strip() for one in step.may_change)
        yield f"{'Forecast' if any(one.forecast for one in step.may_change) else 'May change'}: {changes}."
    if step.cannot_change and step.command:
        yield f"Does not change: {', '.join(step.cannot_change)}."


def _headline(facts: ReportFacts, console: Console) -> Text:
    status, paths = facts["verdict"]["status"], facts["batch"]["paths"]
    name = tame(Path(paths[0]).name if paths else "batch", 60)
    sign = status_sign(status)
    head = Text(
        f"{_drawn(sign, console)} {STATUS_WORDS.get(status, 'Inconclusive').upper()}", style=f"bold {sign.colour}"
    )
    return head.append(
        f"  {name}" + (f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""), style="not bold default"
    )


def _print_map(facts: ReportFacts, console: Console) -> None:
    """The map in characters, with the quadrants' masses beside it where there is room; these alone where it cannot be drawn."""

    quadrants = _quadrant_table(facts)
    beside = console.width >= _MAP_WIDTH + Measurement.get(console, console.options, quadrants).maximum
    room = (_MAP_WIDTH if beside else console.width) - 4
    lines = plot_lines(facts, room, plain="utf" not in console.encoding.lower())
    table = empty_table("", header=False)
    for line in lines:
        table.add_row(line)
    if beside and lines:
        both = Table.grid()
        both.add_row(table, quadrants)
        console.print(both)
    else:
        console.print(table if lines else quadrants)


def planted_table(rows: Sequence[tuple[str, int, int, str, str]], console: Console) -> None:
    """What the demo planted, how much of it the audit flagged, and what was to be expected: (what, planted, flagged,
    expected, by what) per row."""
    table = empty_table("planted", "rows", "flagged", "expected", "by")
    for what, planted, flagged, expected, how in rows:
        table.add_row(cell(what), cell(f"{planted:,}"), cell(f"{flagged:,}"), cell(expected), cell(how, "dim"))
    for column in table.columns[1:3]:
        column.justify = "right"
    console.print(table)


_WIDE = 96
"""Columns from which on a figure and its limit stay on one line; their reason is what wraps."""


def _findings_table(facts: ReportFacts, console: Console) -> Table:
    """Each broken rule with its numbers and its reason, worst first."""
    table = empty_table("", "rule", "observed, limit", "why", header=False)
    table.columns[2].no_wrap = console.width >= _WIDE
    found = decisive(facts)
    for finding in found[:_SHOWN_FINDINGS]:
        sign = finding_sign(finding)
        why = finding["reason"] or finding["metric"]
        cells = (cell(finding["rule"], "bold"), cell(finding_words(finding)), cell(why, "dim"))
        table.add_row(Text(_drawn(sign, console), style=sign.colour), *cells)
    if len(found) > _SHOWN_FINDINGS:
        table.add_row(Text("…"), Text(f"and {len(found) - _SHOWN_FINDINGS:,} more in the report"), "", "")
    return table


def _quadrant_table(facts: ReportFacts) -> Table:
    table = empty_table("quadrant", "rows", "tokens", "share", "policy")
    for column in table.columns[:4]:
        column.no_wrap = True
    for column in table.columns[1:4]:
        column.justify = "right"
    interventions = facts["policy"]["resolved"].get("interventions", {})
    for name, words in QUADRANTS.items():
        mass = facts["map"]["quadrants"].get(name)
        if mass is None:
            continue
        share = mass["token_share"]
        risky = words.memorized and (share or 0) > 0
        cells = (f"{mass['rows']:,}", f"{mass['tokens']:,}", percent(share))
        style = "red" if risky else ""
        action = cell(_action(interventions.get(name, {})))
        table.add_row(Text(words.title, style=style), *(Text(c, style=style) for c in cells), action)
    return table


def _overview_table(facts: ReportFacts, ahead: NextSteps) -> Table:
    table = empty_table("", "", header=False)
    lines = overview(facts) | copies_line(facts) | reuse_line(facts) | vendor_line(facts) | decision_line(facts)
    lines |= lens_lines(facts) | remote_line(facts)
    skipped = facts["batch"]["skipped"]
    lost = ", ".join(f"{entry['rows']:,} {entry['reason']}" for entry in skipped) or "none"
    warnings = len(facts["warnings"]) + len(facts["detection"]["warnings"])
    drawn = [("sampling", sampling_words(facts))] if is_rehearsable(facts) else []
    for name, line in (*lines.items(), ("treatment", _treatment(facts)), ("skipped rows", lost), *drawn):
        table.add_row(Text(name.capitalize(), style="bold"), cell(line))
    if warnings:
        table.add_row(Text("Warnings", style="bold"), Text(f"{warnings:,}, in the report"))
    for place, remedy in enumerate(facts["detection"]["remedies"][:_SHOWN_REMEDIES]):
        table.add_row(Text("More power" if place == 0 else "", style="bold magenta"), cell(remedy))
    _add_steps(table, ahead)
    return table


def _treatment(facts: ReportFacts) -> str:
    """What the policy does with each quadrant, those treated alike together."""
    said: dict[str, list[str]] = {}
    for name, words in QUADRANTS.items():
        intervention = facts["policy"]["resolved"].get("interventions", {}).get(name)
        if intervention:
            said.setdefault(_action(intervention), []).append(words.title.lower())
    return "; ".join(f"{action}: {' and '.join(names)}" for action, names in said.items()) or "none"


def _action(intervention: Mapping[str, Any]) -> str:
    action = str(intervention.get("action", ""))
    return action + (f" × {intervention['weight']}" if action not in ("", "keep", "remove") else "")


def empty_table(*columns: str, header: bool = True) -> Table:
    """A table whose lines all begin with our own border, also where a cell is wrapped."""
    style = box.Box("╭   \n│   \n│   \n│   \n│   \n│   \n│   \n╰   \n")
    table = Table(box=style, show_header=header, header_style="dim", border_style="dim", collapse_padding=True)
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    return table


def _make_bars(console: Console) -> bars.Progress:
    columns = (
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(bar_width=24),
        bars.TaskProgressColumn(),
        _Rate(),
        _Time(),
    )
    return bars.Progress(*columns, console=console, refresh_per_second=4)


class _Rate(bars.ProgressColumn):
    """Units per second."""

    def render(self, task: bars.Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields.get("unit", "")
        return Text(f"{speed:,.0f} {unit}/s" if speed else "", style="dim", no_wrap=True)


class _Time(bars.ProgressColumn):
    """Time left, or how long it took."""

    max_refresh = 0.5

    def render(self, task: bars.Task) -> Text:
        seconds = task.finished_time if task.finished else task.time_remaining
        if seconds is None:
            return Text("")
        clock = _clock(seconds)
        return Text(f"in {clock}" if task.finished else f"{clock} left", style="cyan", no_wrap=True)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _drawn(sign: Sign, console: Console) -> str:
    return sign.symbol if "utf" in console.encoding.lower() else sign.plain


def cell(value: object, style: str = "", limit: int = 120) -> Text:
    return Text(tame(str(value), limit), style=style)


def _print_line(console: Console, text: Text) -> None:
    """One line, however long: a path must be copied whole."""
    console.print(text, soft_wrap=True)


def tame(text: str, limit: int = 240) -> str:
    """`safe_inline`, without what CI logs take for a command: they look behind leading space, some even mid-line."""
    return safe_inline(text, limit).replace("::", ": :").replace("##[", "## [")
