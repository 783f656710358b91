"""A verdict as a fragment of HTML for a notebook. It is inert: no script, no link, and every text escaped."""

from html import escape
from typing import TYPE_CHECKING

from carto_audit.policy.values import finding_words
from carto_audit.text.untrusted import safe_inline

if TYPE_CHECKING:
    from carto_audit.gate.verdict import Finding, Verdict

_COLOURS = {
    "accepted": "#1a7f37",
    "accepted_with_warnings": "#9a6700",
    "rejected": "#a8341d",
    "inconclusive": "#70408c",
}
_MOST_RULES = 12


def verdict_html(verdict: "Verdict") -> str:
    """The status, the exit code, and each rule that did not pass, with what was seen and what is allowed."""
    deciding = [finding for finding in verdict.findings if finding.outcome != "passed"]
    rows = "".join(map(_row, deciding[:_MOST_RULES]))
    more = len(deciding) - _MOST_RULES
    rest = f"<p>and {more:,} more rules</p>" if more > 0 else ""
    passed = sum(finding.outcome == "passed" for finding in verdict.findings)
    status = verdict.status.replace("_", " ").capitalize()
    title = f'<p style="font-size:1.2em;font-weight:600;color:{_COLOURS[verdict.status]}">{status}</p>'
    counts = f"<p>exit code {int(verdict.exit_code)} · {passed:,} of {len(verdict.findings):,} rules passed</p>"
    table = f"<table><tbody>{rows}</tbody></table>" if rows else ""
    return f"<div>{title}{counts}{table}{rest}</div>"


def _row(finding: "Finding") -> str:
    seen = finding_words(finding.metric, finding.observed, finding.bound, finding.limit)
    cells = (finding.rule, finding.outcome.replace("_", " "), seen, finding.reason)
    return "<tr>" + "".join(f"<td>{escape(safe_inline(cell, 200))}</td>" for cell in cells) + "</tr>"
