"""The audit as Markdown for a step summary or a merge request. Nobody's text becomes a link, markup, a mention or a table."""

from collections.abc import Iterator, Sequence

from carto_audit.artifacts.audit_call import recorded_call
from carto_audit.artifacts.report_facts import FindingFacts, ReportFacts
from carto_audit.cartography.quadrants import QUADRANTS
from carto_audit.report.batch_words import (
    copies_line,
    decision_line,
    lens_lines,
    remote_line,
    reuse_line,
    unread_sentence,
    vendor_line,
)
from carto_audit.report.formats.annotations import batch_name, remarks
from carto_audit.report.markdown_text import Markdown, code, inert
from carto_audit.report.narrative import (
    STATUS_WORDS,
    decisive,
    limits,
    outcome_words,
    overview,
    verdict_sentence,
)
from carto_audit.report.next_steps import Step, next_steps
from carto_audit.report.signs import status_sign
from carto_audit.text.numbers import percent

MOST_RULES = 100
"""Rows of the table of rules."""

MOST_REMARKS = 20


def render_markdown(facts: ReportFacts) -> str:
    """Verdict, rules worst first, quadrants and warnings as GitHub-flavoured Markdown of at most about 200 KB."""
    parts = [
        headline(facts),
        _unread(facts),
        _rules(facts),
        _next(facts),
        _quadrants(facts),
        _overview(facts),
        _remarks(facts),
        _origin(facts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def headline(facts: ReportFacts) -> str:
    """The verdict in a heading and a sentence."""
    status = facts["verdict"]["status"]
    sign, words = status_sign(status).emoji, STATUS_WORDS.get(status, STATUS_WORDS["inconclusive"])
    return f"## {sign} {words}: {inert(batch_name(facts))}\n\n{inert(verdict_sentence(facts))}"


def _unread(facts: ReportFacts) -> str:
    """Which data files were not read; empty where all were."""
    said = unread_sentence(facts)
    return f"**{inert(said, 800)}**" if said else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rules(facts: ReportFacts) -> str:
    held = [[f for f in facts["findings"] if f["outcome"] == outcome] for outcome in ("waived", "passed")]
    found = [*decisive(facts), *held[0], *held[1]]
    rows = [_rule(finding) for finding in found[:MOST_RULES]]
    if not rows:
        return "The policy has no active rule."
    more = f"\n\nand {len(found) - MOST_RULES:,} more in `report.json`" if len(found) > MOST_RULES else ""
    return _table(("Rule", "Outcome", "Observed", "Limit", "Why"), rows) + more


def _rule(finding: FindingFacts) -> tuple[str, ...]:
    outcome = inert(outcome_words(finding))
    if finding["outcome"] == "failed":
        outcome = Markdown(f"**{outcome}**")
    elif finding["outcome"] == "waived":
        outcome = Markdown(f"waived by {inert(finding['waived_by'] or 'nobody', 80)}")
    cells = (finding["rule"], *limits(finding), finding["reason"])
    rule, observed, allowed, why = (inert(cell) for cell in cells)
    return rule, outcome, observed, allowed, why


def _next(facts: ReportFacts) -> str:
    ahead = next_steps(facts, recorded_call(facts))
    lines = ["### What to do next", "", *(f"1. {_step(step)}" for step in ahead.steps)]
    return "\n".join([*lines, "", *(f"- {inert(note, 600)}" for note in ahead.notes)]).rstrip()


def _step(step: Step) -> str:
    """One item of a list: words, the command, and what of the verdict it may change and cannot."""
    said: list[str] = [inert(step.words, 400)]
    if step.command:
        said.append(code(step.command, 4096))
    for change in step.may_change:
        said.append(
            f"{inert(change.rule)}: {f'forecast {inert(change.forecast)}' if change.forecast else 'may change'}"
        )
    if step.cannot_change:
        said.append(f"Does not change {', '.join(map(inert, step.cannot_change))}")
    return "<br>".join(said)


def _quadrants(facts: ReportFacts) -> str:
    masses = facts["map"]["quadrants"]
    rows = [
        (words.title, f"{masses[name]['rows']:,}", f"{masses[name]['tokens']:,}", percent(masses[name]["token_share"]))
        for name, words in QUADRANTS.items()
        if name in masses
    ]
    return _table(("Quadrant", "Rows", "Tokens", "Share"), rows)


def _overview(facts: ReportFacts) -> str:
    lines = overview(facts) | copies_line(facts) | reuse_line(facts) | vendor_line(facts) | decision_line(facts)
    lines |= lens_lines(facts) | remote_line(facts)
    return "\n".join(f"- **{name.capitalize()}**: {inert(line)}" for name, line in lines.items())


def _remarks(facts: ReportFacts) -> str:
    said = remarks(facts)
    lines = [f"- {remark.level}: {inert(remark.message, 400)}" for remark in said[:MOST_REMARKS]]
    if len(said) > MOST_REMARKS:
        lines.append(f"- and {len(said) - MOST_REMARKS:,} more in `report.json`")
    return "\n".join(lines)


def _origin(facts: ReportFacts) -> str:
    return "  \n".join(_digests(facts))


def _digests(facts: ReportFacts) -> Iterator[str]:
    yield f"Batch sha256 {inert(facts['batch']['sha256'], 64)}"
    yield f"Policy {inert(facts['policy']['name'], 120)}, sha256 {inert(facts['policy']['sha256'], 64)}"
    yield f"{inert(facts['tool']['name'], 40)} {inert(facts['tool']['version'], 40)}"
