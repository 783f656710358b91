"""The card: an audit as a section of a README and one entry of its front matter, both from public facts alone."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from carto_audit.artifacts.evidence_facts import BenchmarkFacts
from carto_audit.artifacts.report_facts import FindingFacts, ReportFacts
from carto_audit.cartography.quadrants import QUADRANTS, QuadrantName
from carto_audit.publishing.public_report import FOLDER
from carto_audit.report import narrative
from carto_audit.report.batch_words import lens_words, sampling_words
from carto_audit.report.markdown_text import Markdown, code, inert
from carto_audit.report.narrative import DECISIVE, outcome_words, score_words, words
from carto_audit.report.signs import finding_sign, status_sign
from carto_audit.runtime.resources import resource_folder
from carto_audit.text.numbers import number, percent, plural, times
from carto_audit.text.untrusted import safe_inline

MOST_NAMES = 5
"""File names that the card lists."""

MOST_ROWS = 40
"""Rows of a table; the report holds all."""

_BAR = 10


def card_entry(facts: ReportFacts) -> dict[str, str | int | bool]:
    """What stands under `carto_audit:` in the front matter."""
    return {
        "schema_version": 1,
        "verdict": safe_inline(facts["verdict"]["status"], 40),
        "complete": bool(facts["verdict"]["complete"]),
        "policy": safe_inline(facts["policy"]["name"], 120),
        "policy_sha256": safe_inline(facts["policy"]["sha256"], 64),
        "batch_sha256": safe_inline(facts["batch"]["sha256"], 64),
        "audited_at": safe_inline(facts["run"]["started_at"], 40),
        "tool_version": safe_inline(facts["tool"]["version"], 40),
        "report": f"{FOLDER}/report.json",
    }


def card_section(facts: ReportFacts) -> str:
    """The section in Markdown, from public facts. Names of files, benchmarks and rules stand in it as code, inert."""
    section: str = _template().render(
        facts=facts,
        folder=Markdown(FOLDER),
        sign=Markdown(status_sign(facts["verdict"]["status"]).emoji),
        status=narrative.STATUS_WORDS.get(facts["verdict"]["status"], "Inconclusive"),
        sentence=narrative.verdict_sentence(facts),
        decisive=narrative.decisive(facts)[:MOST_ROWS],
        overview=narrative.overview(facts),
        lenses=[(name, lens_words(lens)) for name, lens in facts.get("lenses", {}).items()][:MOST_ROWS],
        sampling=sampling_words(facts),
        paths=[Path(path).name for path in facts["batch"]["paths"][:MOST_NAMES]],
        kept=int(facts["metrics"].get("decisions.kept_confirmed_rows") or 0),
        skipped=sum(entry["rows"] for entry in facts["batch"]["skipped"]),
        interventions=facts["policy"]["resolved"].get("interventions", {}),
        intervals={name: _interval(facts, name) for name in facts["map"]["quadrants"]},
        weakest=narrative.weakest_by_dose(facts),
        reading=narrative.detection_sentences(facts),
        benchmarks=facts["contamination"]["benchmarks"][:MOST_ROWS],
        found=[_least_found(benchmark) for benchmark in facts["contamination"]["benchmarks"][:MOST_ROWS]],
    )
    return section


def bar(share: float | None) -> Markdown:
    """A share in 0..1 as a bar of characters, rounded to tenths."""
    filled = round(_BAR * min(share or 0.0, 1.0))
    return Markdown("▰" * filled + "▱" * (_BAR - filled))


def interval_words(interval: Sequence[float] | None) -> Markdown:
    """A share's interval, on one line."""
    if interval is None:
        return Markdown("–")
    low, high = (percent(end) for end in interval)
    return Markdown(f"{low.removesuffix(' %')} – {high}".replace(" ", "\u00a0"))


def outcome(finding: FindingFacts) -> Markdown:
    """A finding in a sign and a word."""
    return Markdown(f"{finding_sign(finding).emoji} {inert(outcome_words(finding))}")


def _interval(facts: ReportFacts, quadrant: QuadrantName) -> list[float] | None:
    known: list[float] | None = facts["metric_intervals"].get(f"{quadrant}.token_share")
    return facts["map"]["quadrants"][quadrant]["token_share_interval"] or known


def _least_found(benchmark: BenchmarkFacts) -> float | None:
    """The share of planted items that were found again, in the form that hides them best."""
    return min((share for form, share in benchmark["detectability"].items() if form != "with_options"), default=None)


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(resource_folder("templates")),
        autoescape=False,  # this is no HTML; `finalize` escapes every value for Markdown
        finalize=partial(inert, limit=600),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, number=number, count=partial(number, digits=0), words=words)
    environment.filters.update(code=code, bar=bar, times=times, score=score_words, interval=interval_words)
    environment.globals.update(
        quadrants=QUADRANTS, outcome=outcome, finding_words=narrative.finding_words, auc_words=narrative.auc_words
    )
    environment.globals.update(plural=plural, decisive_outcomes=DECISIVE)
    environment.globals.update(limits=narrative.limits, at_least=narrative.at_least)
    return environment.get_template("card.md.j2")
