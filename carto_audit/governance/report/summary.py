"""What the terminal shows of the governance loop: a table of all arms, what was chosen, the block to paste, the files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from carto_audit.governance.report.narrative import (
    EstimateFacts,
    advice,
    bounds,
    chosen,
    exposure_of,
    headline,
    known,
    lead,
    outcome,
    run_words,
)
from carto_audit.report.formats.terminal import empty_table, tame
from carto_audit.report.narrative import STATUS_WORDS, finding_words
from carto_audit.text.numbers import number, percent, signed_percent

_STYLES: Mapping[str, str] = {"reduced": "bold green", "unclear": "bold yellow", "none": "bold yellow"}
_SHOWN_ARMS = 40
_SHOWN_LINES = 20
_PLAIN = str.maketrans({"–": "-", "−": "-", "×": "x", "“": '"', "”": '"', "’": "'", "…": "."})


def show_redteam(facts: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Prints the loop: headline, every arm with leakage, membership and price, what was chosen, warnings, the files."""
    show = _Lines(console)
    console.print()
    show.line(headline(facts), _STYLES.get(outcome(facts), "bold magenta"), before="> ")
    show.line(run_words(facts), "dim", before="· ")
    show.line(lead(facts), before="· ")
    console.print(_arms_table(facts, show))
    for name, part, none in (("Knee", "knee", "no knee"), ("Pick", "policy_pick", "no pick")):
        title, reason = chosen(facts, part, none)
        show.line(title + (f": {reason}" if reason else ""), name=name)
    _show_verdict(facts, show)
    for warning in facts["warnings"][:_SHOWN_LINES]:
        show.line(warning, "yellow", before="! ")
    yaml = str(facts["recommended"].get("yaml") or "")
    show.line(advice(yaml) or "into the policy, in place of the keys that it has:", name="Paste")
    for line in [] if advice(yaml) else [line for line in yaml.splitlines() if line.strip()][:_SHOWN_LINES]:
        show.line(line, before="│ " + " " * min(len(line) - len(line.lstrip()), 16))
    show.line(str(folder / "redteam.html"), "bold", name="Report")
    show.line(str(folder / "redteam.json"), name="Facts")


class _Lines:
    """Lines of text on one console, in plain characters where its encoding holds no others."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._plain = "utf" not in console.encoding.lower()

    def line(self, text: str, style: str = "", *, before: str = "", name: str = "") -> None:
        """One line, however long: a path must be copied whole. It begins with `before`, or as the row of a `name`."""
        begin = f"> {name:<8} " if name else before
        self._console.print(Text(self.plain(begin + tame(text, 4096)), style=style), soft_wrap=True)

    def cell(self, text: str, style: str = "") -> Text:
        """One cell of a table."""
        return Text(self.plain(tame(text, 120)), style=style)

    def plain(self, text: str) -> str:
        """The text as the console's encoding can show it."""
        return text.translate(_PLAIN).replace("│", "|").replace("·", "-") if self._plain else text


def _arms_table(facts: Mapping[str, Any], show: _Lines) -> Table:
    table = empty_table("arm", "pruned", "leakage", "interval", "bits", "MI-AUC", "perplexity")
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for at, arm in enumerate(facts["arms"][:_SHOWN_ARMS]):
        roles = [word for part, word in (("policy_pick", "pick"), ("knee", "knee")) if facts[part]["arm"] == at]
        title = arm["title"] + (f" <- {' and '.join(roles)}" if roles else "")
        cells = (
            title,
            percent(arm["pruned_token_share"]),
            percent(known(arm["leakage"])),
            _ends(arm["leakage"]),
            number(known(exposure_of(arm)), 1),
            number(known(arm["mi_auc"]), 3),
            signed_percent(known(arm["perplexity_change"])),
        )
        table.add_row(*(show.cell(cell, "bold" if roles else "") for cell in cells))
    if len(facts["arms"]) > _SHOWN_ARMS:
        table.add_row(show.cell(f"and {len(facts['arms']) - _SHOWN_ARMS:,} more in the report"))
    return table


def _ends(estimate: EstimateFacts) -> str:
    """An interval as short as a terminal needs: `92.3–98.3 %`."""
    ends = bounds(estimate)
    return "" if ends is None else f"{100 * ends[0]:.1f}–{100 * ends[1]:.1f} %"


def _show_verdict(facts: Mapping[str, Any], show: _Lines) -> None:
    """What the policy's rules about the loop say, the broken ones each with its numbers."""
    if facts["verdict"] is None:
        return
    show.line(STATUS_WORDS.get(facts["verdict"]["status"], "Inconclusive"), "bold", name="Verdict")
    for finding in [f for f in facts["verdict"]["findings"] if f["outcome"] != "passed"][:_SHOWN_LINES]:
        style = "red" if finding["severity"] == "reject" else "yellow"
        show.line(f"{finding['rule']}: {finding_words(finding)}", style, before="! ")
