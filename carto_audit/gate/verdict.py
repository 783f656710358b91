"""What the policy says about the measurements. What nobody measured, or a blind audit measured, never passes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from types import MappingProxyType
from typing import Any, Literal

from pydantic import TypeAdapter

from carto_audit import __version__
from carto_audit.artifacts.audit_record import Comparison
from carto_audit.artifacts.report_facts import BLIND, BaselineFacts, Outcome, Status
from carto_audit.gate.verdict_html import verdict_html
from carto_audit.gate.waivers import NAMELESS, BatchName, WaiverUse, use_waiver
from carto_audit.policy.lens_metrics import LENS, find_metric
from carto_audit.policy.metrics import CROSS_BATCH, SPLIT, UNREAD, UNREAD_TEXT, Measurement
from carto_audit.policy.model import Bound, Policy, Rule, Severity
from carto_audit.policy.values import BOUND_WORDS, finding_sentence, finding_words
from carto_audit.runtime.errors import ExitCode
from carto_audit.runtime.located_yaml import Place

FailOn = Literal["reject", "warn", "never"]

EXIT_CODES: dict[Status, ExitCode] = {
    "accepted": ExitCode.ACCEPTED,
    "accepted_with_warnings": ExitCode.ACCEPTED,
    "rejected": ExitCode.REJECTED,
    "inconclusive": ExitCode.INCOMPLETE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one rule found."""

    rule: str
    metric: str
    observed: float | None
    """The unfavourable end of the interval, which is what the limit was held against; under `max_increase` by how much it
    exceeds the value of the last accepted batch. None: not measured."""
    limit: float
    bound: Bound
    severity: Severity
    outcome: Outcome
    reason: str
    """Why the policy has this rule, in the policy's words."""
    explanation: str
    """What was seen, in one sentence of ours."""
    waived_by: str | None = None
    estimate: float | None = None
    """What was measured, where `observed` is only the end of its interval; None where the two are one."""
    file: str | None = None
    """Where the policy sets the rule, so that CI can point there; None for a policy that came from no file."""
    line: int | None = None
    column: int | None = None

    @property
    def words(self) -> str:
        """What was seen beside what is allowed: `11.2 % (up to 12.7 %), at most 5.0 %`."""
        return finding_words(self.metric, self.observed, self.bound, self.limit, self.estimate)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The gate's answer. `exit_code` is the one under `--fail-on reject`."""

    status: Status
    exit_code: ExitCode
    complete: bool
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]
    waivers: tuple[WaiverUse, ...] = ()
    baseline: BaselineFacts | None = None
    """What changed since the last accepted batch, as plain JSON."""

    def _repr_html_(self) -> str:
        """For a notebook: what was decided and by which rules."""
        others = [finding for finding in self.findings if finding.outcome != "passed"]
        cells = [(f.rule, f.outcome.replace("_", " "), f.words, f.reason) for f in others]
        return verdict_html(self.status, int(self.exit_code), len(self.findings) - len(others), cells)


def evaluate(
    policy: Policy,
    measurements: Mapping[str, Measurement],
    today: date,
    *,
    batch: BatchName = NAMELESS,
    baseline: Comparison | None = None,
    unseen: Mapping[str, str] = MappingProxyType({}),
) -> Verdict:
    """Holds every active rule against its measurement; `today` (UTC) and `batch` decide which waivers count.

    `unseen` names metrics that were not measured as this policy demands, with the reason; what was measured of them does
    not count.
    """
    judged = [
        _judge(
            rule,
            None if rule.metric in unseen else measurements.get(rule.metric),
            baseline,
            unseen.get(rule.metric, ""),
            policy.place("rules", rule.id),
        )
        for rule in policy.active_rules
    ]
    found = {finding.rule: finding for finding in judged}
    waivers = tuple(
        use_waiver(waiver, found[waiver.rule].outcome, found[waiver.rule].observed, batch, today)
        for waiver in policy.waivers
        if waiver.rule in found
    )
    owners = {waiver.rule: waiver.owner for waiver in reversed(waivers) if waiver.state == "used"}
    findings = tuple(
        replace(finding, outcome="waived", waived_by=owners[finding.rule]) if finding.rule in owners else finding
        for finding in judged
    )
    status = status_of(findings)
    return Verdict(
        status=status,
        exit_code=EXIT_CODES[status],
        complete=status != "inconclusive",
        findings=findings,
        warnings=tuple(_warnings(findings, waivers, baseline)),
        waivers=waivers,
        baseline=baseline.facts() if baseline else None,
    )


def exit_code(verdict: Verdict, fail_on: FailOn = "reject") -> ExitCode:
    """The process's exit code under `--fail-on`; an inconclusive audit is 3 under all of them."""
    if verdict.status == "inconclusive":
        return ExitCode.INCOMPLETE
    if fail_on == "never":
        return ExitCode.ACCEPTED
    if fail_on == "warn" and any(finding.outcome == "failed" for finding in verdict.findings):
        return ExitCode.REJECTED
    return verdict.exit_code


def _judge(
    rule: Rule, measured: Measurement | None, baseline: Comparison | None, unseen: str, place: Place | None
) -> Finding:
    observed = _observed(rule, measured, baseline)
    return Finding(
        rule=rule.id,
        metric=rule.metric,
        observed=observed,
        limit=rule.limit,
        bound=rule.bound,
        severity=rule.severity,
        outcome=_outcome(rule, observed),
        reason=rule.reason,
        explanation=_explanation(rule, observed, measured, baseline, unseen),
        estimate=_estimate(rule, observed, measured),
        file=place.file if place else None,
        line=place.line if place else None,
        column=place.column if place else None,
    )


def _observed(rule: Rule, measured: Measurement | None, baseline: Comparison | None) -> float | None:
    """What the limit is held against: the unfavourable end, or its distance from the value of the last accepted batch."""
    if measured is None:
        return None
    observed = measured.low if rule.bound == "min" else measured.high
    if rule.bound == "max_increase":
        change = baseline.change(rule.metric) if baseline else None
        if change is None or change.before is None or change.incomparable:
            return None
        observed -= change.before
    return observed if math.isfinite(observed) else None


def _estimate(rule: Rule, observed: float | None, measured: Measurement | None) -> float | None:
    """The measured value on the scale of `observed`, which under `max_increase` is a distance; None where the two are one."""
    if observed is None or measured is None:
        return None
    worst = measured.low if rule.bound == "min" else measured.high
    return measured.value + (observed - worst) if worst != measured.value else None


def _outcome(rule: Rule, observed: float | None) -> Outcome:
    if observed is None:
        return "not_measured"
    within = observed >= rule.limit if rule.bound == "min" else observed <= rule.limit
    if within:
        return "passed"
    metric = find_metric(rule.metric)
    return _FAILING.get(metric.kind if metric else "", "failed")


_FAILING: dict[str, Outcome] = {"power": "underpowered", "coverage": "unread"}
"""What a value beyond its limit means, by the kind of its metric, where it says something of the audit and not of the batch."""

_HINTS = {
    UNREAD: "; audit the batch again to know it",
    UNREAD_TEXT: "; audit the batch again to know it",
    "contamination.": "; name a benchmark with --benchmark",
    "repeats.": "; train more than one pair of proxies with --repeats",
    "sampling.": "; audit the batch again to know it",
    "vendor.": "; name what the vendor summarized with --vendor-summary",
    "redteam.": "; measure it with `carto-audit redteam` and name its folder with --redteam",
    CROSS_BATCH: "; name a --ledger whose accepted deliveries have fingerprints, and --vendor",
    SPLIT: "; name a --ledger whose accepted deliveries have fingerprints, and --vendor",
    LENS: "; the lens did not answer, or there was no room to show that it sees",
    "ledger.": "; keep a --ledger, which needs three accepted batches of the --vendor that were measured alike",
}


def _explanation(
    rule: Rule, observed: float | None, measured: Measurement | None, baseline: Comparison | None, unseen: str
) -> str:
    if measured is None:
        hint = next((words for start, words in _HINTS.items() if rule.metric.startswith(start)), "")
        return f"{rule.metric} was not measured{f': {unseen}' if unseen else hint}"
    allowed = f"{BOUND_WORDS[rule.bound]} {rule.limit:g} allowed"
    if observed is None:
        return f"{rule.metric} was not measured{_uncompared(rule, baseline)}"
    estimated = measured.low != measured.high
    seen = f"{rule.metric} is {measured.value:.4g}"
    worst = measured.low if rule.bound == "min" else measured.high
    seen += f" ({'down' if rule.bound == 'min' else 'up'} to {worst:.4g})" if estimated else ""
    if rule.bound == "max_increase":
        seen += f", which exceeds the baseline's by {observed:.4g}" if observed > 0 else ", no more than the baseline's"
    return f"{seen}, {allowed}"


def explained(finding: Finding, measurements: Mapping[str, Measurement]) -> str:
    """The finding's explanation for a reader, its numbers in their units; `verdict.json` holds them as they were measured."""
    measured = measurements.get(finding.metric)
    if measured is None or finding.observed is None:
        return finding.explanation
    return finding_sentence(finding.metric, measured, finding.observed, finding.bound, finding.limit)


def _uncompared(rule: Rule, baseline: Comparison | None) -> str:
    if rule.bound != "max_increase":
        return ""
    change = baseline.change(rule.metric) if baseline else None
    if change is None:
        return " against an accepted batch; name its audit with --baseline, or keep a --ledger"
    return f" against the baseline: {change.incomparable}"


def status_of(findings: Sequence[Finding]) -> Status:
    """What findings amount to. An audit that could not see comes first: it is neither a pass nor a mere reject."""
    outcomes = {finding.outcome for finding in findings}
    if not findings or outcomes & set(BLIND):
        return "inconclusive"  # first: an audit that could not see is neither a pass nor a mere reject
    if any(finding.outcome == "failed" and finding.severity == "reject" for finding in findings):
        return "rejected"
    return "accepted_with_warnings" if outcomes & {"failed", "waived"} else "accepted"


def _warnings(
    findings: tuple[Finding, ...], waivers: tuple[WaiverUse, ...], baseline: Comparison | None
) -> Iterator[str]:
    if not findings:
        yield "the policy has no active rule, so there is nothing that a batch could pass"
    for waiver in waivers:
        yield from waiver.warnings
    if baseline:
        yield from baseline.warnings


def read_verdict(document: object) -> Verdict:
    """The verdict in the content of a `verdict.json`. Raises pydantic's ValidationError where it is none."""
    return TypeAdapter(Verdict).validate_python(document)


def verdict_document(verdict: Verdict, policy: Policy, batch_sha256: str) -> dict[str, Any]:
    """The content of `verdict.json`: what CI reads. Holds no clock, so the same audit gives the same bytes."""
    return {
        "schema_version": 1,
        "tool": {"name": "carto-audit", "version": __version__},
        "status": verdict.status,
        "exit_code": int(verdict.exit_code),
        "complete": verdict.complete,
        "batch": {"sha256": batch_sha256},
        "policy": {"name": policy.name, "sha256": policy.sha256},
        "findings": [asdict(finding) for finding in verdict.findings],
        "warnings": list(verdict.warnings),
        "waivers": [asdict(waiver) for waiver in verdict.waivers],
        "baseline": verdict.baseline,
    }


def intoto_statement(verdict: Verdict, policy: Policy, subjects: Mapping[str, str]) -> dict[str, Any]:
    """The content of `verdict.intoto.json`: an in-toto Statement about `subjects`, a name and hex sha256 each.

    The test-result predicate knows no "inconclusive"; what could not be seen counts as failed.
    """
    results: dict[Status, str] = {"accepted": "PASSED", "accepted_with_warnings": "WARNED"}
    tests: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    for finding in verdict.findings:
        tests[_test_list(finding)].append(finding.rule)
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects.items()],
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {
            "result": results.get(verdict.status, "FAILED"),
            "configuration": [{"name": f"{policy.name} (resolved policy)", "digest": {"sha256": policy.sha256}}],
            **tests,
        },
    }


def _test_list(finding: Finding) -> str:
    if finding.outcome == "passed":
        return "passedTests"
    warned = finding.outcome == "waived" or (finding.outcome == "failed" and finding.severity == "warn")
    return "warnedTests" if warned else "failedTests"
