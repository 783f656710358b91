"""A verdict as a fragment of HTML for a notebook. It is inert: no script, no link, and every text escaped."""

from collections.abc import Sequence
from html import escape

from carto_audit.text.untrusted import safe_inline

_COLOURS = {
    "accepted": "#1a7f37",
    "accepted_with_warnings": "#9a6700",
    "rejected": "#a8341d",
    "inconclusive": "#70408c",
}
_MOST_RULES = 12


def verdict_html(status: str, exit_code: int, passed: int, others: Sequence[Sequence[str]]) -> str:
    """The status, the exit code, how many rules passed, and of each other rule its cells: name, outcome, what was seen beside
    what is allowed, and why the policy has it."""
    words = status.replace("_", " ").capitalize()
    title = f'<p style="font-size:1.2em;font-weight:600;color:{_COLOURS[status]}">{words}</p>'
    counts = f"<p>exit code {exit_code} · {passed:,} of {passed + len(others):,} rules passed</p>"
    rows = "".join(map(_row, others[:_MOST_RULES]))
    table = f"<table><tbody>{rows}</tbody></table>" if rows else ""
    more = len(others) - _MOST_RULES
    rest = f"<p>and {more:,} more rules</p>" if more > 0 else ""
    return f"<div>{title}{counts}{table}{rest}</div>"


def _row(cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<td>{escape(safe_inline(cell, 200))}</td>" for cell in cells) + "</tr>"
