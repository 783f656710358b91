"""Annotations: what CI shows of each broken rule: one line at the policy's own place. From `report.json` alone."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from carto_audit.artifacts.report_facts import BLIND, FindingFacts, ReportFacts
from carto_audit.policy.lens_metrics import find_metric
from carto_audit.policy.metrics import Measurement
from carto_audit.policy.values import finding_sentence
from carto_audit.report.narrative import DECISIVE, OUTCOME_WORDS, decisive, finding_words, found_words, outcome_words
from carto_audit.text.untrusted import safe_inline

Level = Literal["error", "warning", "note"]

MOST_BENCHMARKS = 5
"""Named in one message; the report lists all."""

_MESSAGE_LIMIT = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotation:
    """One rule that failed, was waived, or could not be judged. Every text is one printable line, markup not escaped."""

    rule: str
    level: Level
    title: str
    message: str
    file: str
    """As the policy was named, with forward slashes; the policy's own name where its file is not known."""
    line: int
    column: int
    fingerprint: str
    """32 hex digits of rule and subject, not of the observed value: the same problem keeps it from run to run."""
    finding: FindingFacts
    """What it is about, as in `report.json`."""
    waiver: str | None = None
    """Why it is accepted, by whom and until when; None where it is not."""

    @property
    def blind(self) -> bool:
        """Whether the rule could not be judged, which is not the batch's fault."""
        return self.finding["outcome"] in BLIND


@dataclass(frozen=True, kw_only=True, slots=True)
class Remark:
    """What the audit says beside its rules: waivers that end, secrets that it could not see."""

    level: Level
    topic: Literal["policy", "detection"]
    message: str
    fingerprint: str


def batch_name(facts: ReportFacts) -> str:
    """The batch in one printable line: its first file, and how many more there are."""
    paths = facts["batch"]["paths"]
    name = safe_inline(PurePosixPath(paths[0]).name, 120) if paths else ""
    return (name or "batch") + (f" and {len(paths) - 1:,} more" if len(paths) > 1 else "")


def policy_file(facts: ReportFacts, finding: FindingFacts | None = None) -> str:
    """The file that set a finding's rule, or any rule; the policy's own name where no file is known."""
    files = [found.get("file") for found in ([finding] if finding else facts["findings"])]
    named = next((safe_inline(str(file), 400) for file in files if file), "")
    return str(PurePosixPath(named or safe_inline(facts["policy"]["name"], 120) or "policy"))


def annotations(facts: ReportFacts) -> list[Annotation]:
    """What is wrong or waived, worst first: not judged, rejecting, warning, waived. Passed rules have none.

    Raises ValueError for an outcome that this version does not know, which must not read as a pass.
    """
    if unknown := {finding["outcome"] for finding in facts["findings"]} - set(OUTCOME_WORDS):
        raise ValueError(f"unknown outcomes: {unknown}")
    waived = [finding for finding in facts["findings"] if finding["outcome"] == "waived"]
    found = [*decisive(facts), *waived]
    if not facts["findings"]:
        found = [_NO_RULES]
    return [_annotation(finding, facts) for finding in found]


def remarks(facts: ReportFacts) -> list[Remark]:
    """Every warning of the audit; those that begin with `notice:` are notes."""
    return [*_remarks("policy", facts["warnings"]), *_remarks("detection", facts["detection"]["warnings"])]


_NO_RULES: FindingFacts = {
    "rule": "no-rules",
    "metric": "",
    "observed": None,
    "limit": 0.0,
    "bound": "max",
    "severity": "reject",
    "outcome": "not_measured",
    "reason": "A gate without a rule is not a pass.",
    "explanation": "the policy has no active rule",
    "waived_by": None,
}
"""Stands for the missing rules, so that no format shows an empty list, which reads as a pass."""


def _annotation(finding: FindingFacts, facts: ReportFacts) -> Annotation:
    rule = safe_inline(finding["rule"], 80)
    subjects = _benchmarks(finding, facts) or _secrets(finding, facts)
    sentences = (safe_inline(_explanation(finding, facts), 300), subjects, finding["reason"])
    message = " ".join(
        sentence if sentence.endswith((".", "…")) else f"{sentence}." for sentence in sentences if sentence
    )
    subject = safe_inline(str(finding.get("subject") or batch_name(facts)), 160)
    return Annotation(
        rule=rule,
        level=_level(finding),
        title=f"{rule}: {_outcome(finding)}",
        message=safe_inline(message, _MESSAGE_LIMIT),
        file=policy_file(facts, finding),
        line=_place(finding.get("line")),
        column=_place(finding.get("column")),
        fingerprint=_fingerprint(rule, subject),
        finding=finding,
        waiver=_waiver(finding, facts) if finding["outcome"] == "waived" else None,
    )


def _explanation(finding: FindingFacts, facts: ReportFacts) -> str:
    """What was seen, its numbers in their units; the audit's own words where nothing was measured."""
    metric, observed = finding["metric"], finding["observed"]
    value = facts["metrics"].get(metric, None if finding["bound"] == "max_increase" else observed)
    if find_metric(metric) is None or observed is None or value is None:
        return str(finding["explanation"])
    low, high = facts["metric_intervals"].get(metric, (value, value))
    measured = Measurement(value=value, low=low, high=high)
    return finding_sentence(metric, measured, observed, finding["bound"], finding["limit"])


def _level(finding: FindingFacts) -> Level:
    if finding["outcome"] not in DECISIVE:
        return "note"
    return "warning" if finding["outcome"] == "failed" and finding["severity"] == "warn" else "error"


def _outcome(finding: FindingFacts) -> str:
    """`rejects: 8.2 %, at most 2.0 %`."""
    words = outcome_words(finding)
    return words if finding["observed"] is None else f"{words}: {finding_words(finding)}"


def _benchmarks(finding: FindingFacts, facts: ReportFacts) -> str:
    """Which benchmarks a contamination rule is about, with the items found; empty for other rules."""
    if not finding["metric"].startswith("contamination."):
        return ""
    hit = [b for b in facts["contamination"]["benchmarks"] if b["confirmed_items"] or b["suspected_items"]]
    words = [
        f"{safe_inline(b['name'], 60)}: {b['confirmed_items']:,} confirmed, {b['suspected_items']:,} suspected"
        for b in hit
    ]
    more = f"; {len(hit) - MOST_BENCHMARKS:,} more" if len(hit) > MOST_BENCHMARKS else ""
    return "; ".join(words[:MOST_BENCHMARKS]) + more


def _secrets(finding: FindingFacts, facts: ReportFacts) -> str:
    """How many planted secrets a rule on detection is about, and how many were found; empty for other rules."""
    asked = finding["metric"].removeprefix("detection.found_at_dose_")
    return next(
        (f"Found: {found_words(f)}" for f in facts["detection"].get("found", []) if str(f["dose"]) == asked), ""
    )


def _waiver(finding: FindingFacts, facts: ReportFacts) -> str:
    """The policy's own words on the waiver that holds."""
    owner = safe_inline(finding["waived_by"] or "", 80)
    for waiver in facts["policy"]["resolved"].get("waivers", ()):
        if (waiver["rule"], waiver["owner"]) == (finding["rule"], finding["waived_by"]):
            until = safe_inline(str(waiver["expires"]), 10)
            return f"{safe_inline(waiver['reason'], 300)} ({owner}, until {until})"
    return f"waived by {owner}"


def _place(number: Any) -> int:
    """A line or column: what is not known is the first."""
    return number if isinstance(number, int) and number > 0 else 1


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _remarks(topic: Literal["policy", "detection"], warnings: list[str]) -> Iterator[Remark]:
    for warning in dict.fromkeys(safe_inline(text, 400) for text in warnings):
        level: Level = "note" if warning.startswith("notice:") else "warning"
        message = warning.removeprefix("notice:").strip()
        if message:
            yield Remark(level=level, topic=topic, message=message, fingerprint=_fingerprint(topic, message))
