"""What the policy says about the measurements. What nobody measured, or a blind audit measured, never passes."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any, Literal

from carto_audit import __version__
from carto_audit.errors import ExitCode
from carto_audit.metrics import METRICS, Measurement
from carto_audit.policy import Policy, Rule, Severity, Waiver
from carto_audit.text import safe_inline

Status = Literal["accepted", "accepted_with_warnings", "rejected", "inconclusive"]
Outcome = Literal["passed", "failed", "not_measured", "underpowered", "waived"]
FailOn = Literal["reject", "warn", "never"]

_NOTICE_DAYS = 14

_EXIT_CODES: dict[Status, ExitCode] = {
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
    """The unfavourable end of the interval, which is what the limit was held against; None: not measured."""
    limit: float
    bound: Literal["max", "min"]
    severity: Severity
    outcome: Outcome
    reason: str
    """Why the policy has this rule, in the policy's words."""
    explanation: str
    """What was seen, in one sentence of ours."""
    waived_by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The gate's answer. `exit_code` is the one under `--fail-on reject`."""

    status: Status
    exit_code: ExitCode
    complete: bool
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]


def evaluate(policy: Policy, measurements: Mapping[str, Measurement], today: date) -> Verdict:
    """Holds every active rule against its measurement; `today` (UTC) decides which waivers still count."""
    waivers = {waiver.rule: waiver for waiver in policy.waivers}
    findings = tuple(
        _waive(_judge(rule, measurements.get(rule.metric)), waivers.get(rule.id), today) for rule in policy.active_rules
    )
    status = _status(findings)
    return Verdict(
        status=status,
        exit_code=_EXIT_CODES[status],
        complete=status != "inconclusive",
        findings=findings,
        warnings=tuple(_warnings(policy, findings, today)),
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


def _judge(rule: Rule, measured: Measurement | None) -> Finding:
    bound: Literal["max", "min"] = "max" if rule.max is not None else "min"
    observed = None if measured is None else measured.high if bound == "max" else measured.low
    if observed is not None and not math.isfinite(observed):
        observed = None
    return Finding(
        rule=rule.id,
        metric=rule.metric,
        observed=observed,
        limit=rule.limit,
        bound=bound,
        severity=rule.severity,
        outcome=_outcome(rule, bound, observed),
        reason=rule.reason,
        explanation=_explanation(rule, bound, observed, measured),
    )


def _outcome(rule: Rule, bound: str, observed: float | None) -> Outcome:
    if observed is None:
        return "not_measured"
    within = observed <= rule.limit if bound == "max" else observed >= rule.limit
    if within:
        return "passed"
    return "underpowered" if METRICS[rule.metric].kind == "power" else "failed"


_HINTS = {
    "contamination.": "; name a benchmark with --benchmark",
    "repeats.": "; train more than one pair of proxies with --repeats",
}


def _explanation(rule: Rule, bound: str, observed: float | None, measured: Measurement | None) -> str:
    allowed = f"{'at most' if bound == 'max' else 'at least'} {rule.limit:g} allowed"
    if observed is None or measured is None:
        hint = next((words for start, words in _HINTS.items() if rule.metric.startswith(start)), "")
        return f"{rule.metric} was not measured{hint}"
    if measured.low == measured.high:
        return f"{rule.metric} is {observed:.4g}, {allowed}"
    return f"{rule.metric} is {measured.value:.4g} and may be {observed:.4g} (estimated from a sample), {allowed}"


def _waive(finding: Finding, waiver: Waiver | None, today: date) -> Finding:
    if waiver is None or finding.outcome != "failed" or finding.observed is None or today > waiver.expires:
        return finding
    if waiver.max_value is not None and finding.observed > waiver.max_value:
        return finding
    return replace(finding, outcome="waived", waived_by=waiver.owner)


def _status(findings: tuple[Finding, ...]) -> Status:
    outcomes = {finding.outcome for finding in findings}
    if not findings or outcomes & {"not_measured", "underpowered"}:
        return "inconclusive"  # first: an audit that could not see is neither a pass nor a mere reject
    if any(finding.outcome == "failed" and finding.severity == "reject" for finding in findings):
        return "rejected"
    return "accepted_with_warnings" if outcomes & {"failed", "waived"} else "accepted"


def _warnings(policy: Policy, findings: tuple[Finding, ...], today: date) -> Iterator[str]:
    if not findings:
        yield "the policy has no active rule, so there is nothing that a batch could pass"
    outcomes = {finding.rule: finding.outcome for finding in findings}
    for waiver in policy.waivers:
        outcome = outcomes.get(waiver.rule)
        named = f'the waiver of "{waiver.rule}" by {safe_inline(waiver.owner, 80)}'
        if today > waiver.expires:
            yield f"{named} expired on {waiver.expires}; renew it or remove it"
            continue
        if outcome == "failed":
            yield f"{named} does not hold: the value is worse than its max_value {waiver.max_value:g}"
        elif outcome == "not_measured":
            yield f"{named} does not help: an unmeasured rule cannot be waived"
        elif outcome != "waived":
            yield f"{named} is not needed: the rule passes without it; remove it"
        if (waiver.expires - today).days <= _NOTICE_DAYS:
            yield f"notice: {named} ends on {waiver.expires}"


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
