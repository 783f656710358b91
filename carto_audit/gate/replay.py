"""Replays: the verdict that a policy would have given on a finished audit, from the numbers which that audit recorded."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from carto_audit.artifacts.audit_record import Record, compare, moved_keys, other_lens
from carto_audit.gate.required_benchmarks import unmet
from carto_audit.gate.verdict import Finding, Verdict, evaluate, explained
from carto_audit.gate.waivers import BatchName
from carto_audit.policy.lens_metrics import find_metric, lens_of
from carto_audit.policy.metrics import METRICS
from carto_audit.policy.model import Policy


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """A finished audit under another policy."""

    record: Record
    policy: Policy
    verdict: Verdict

    @property
    def lines(self) -> Iterator[str]:
        """What would be otherwise, and why; the first line says it all."""
        was, now = (words.replace("_", " ") for words in (self.record.status, self.verdict.status))
        yield f"{self.record.name}: {now}, as it was" if was == now else f"{self.record.name}: {now}; it was {was}"
        for finding in self.verdict.findings:
            before = self.record.outcomes.get(finding.rule)
            if finding.outcome != "passed" or before not in (None, "passed"):
                yield f"  {finding.rule}: {_turn(before, finding)}: {explained(finding, self.record.measurements)}"
        yield from (f"  warning: {warning}" for warning in self.verdict.warnings)

    def facts(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "audit": self.record.name,
            "batch_sha256": self.record.batch_sha256,
            "before": {"status": self.record.status, "policy_sha256": self.record.policy_sha256},
            "status": self.verdict.status,
            "exit_code": int(self.verdict.exit_code),
            "policy": {"name": self.policy.name, "sha256": self.policy.sha256},
            "findings": [
                {**asdict(finding), "before": self.record.outcomes.get(finding.rule)}
                for finding in self.verdict.findings
            ],
            "warnings": list(self.verdict.warnings),
            "baseline": self.verdict.baseline,
        }


def replay(policy: Policy, record: Record, baseline: Record | None = None) -> Replay:
    """Holds the policy against the record's numbers, on the day of that audit.

    Numbers that the policy would have measured on another map, or with benchmarks that were not looked for, cannot be
    known without auditing again: rules on them count as not measured.
    """
    drawn = policy.resolved()["map"]
    unseen = unmet(policy, [name for name, _ in record.benchmarks])
    for metric in METRICS.values():
        moved = moved_keys(metric, record.map, drawn)
        if moved:
            keys = " and ".join(f"map.{key}" for key in moved)
            unseen[metric.name] = (
                f"the policy sets {keys} otherwise than that audit did; audit the batch again to know it"
            )
    if policy.treatment_sha256 != record.treatment_sha256:
        why = "the policy treats the batch otherwise than the one of that red team; run carto-audit redteam again to know it"
        of_treatment = [name for name in record.measurements if (known := find_metric(name)) and known.of_treatment]
        again = "the policy treats the batch otherwise than that audit did; audit the batch again to know it"
        unseen |= {name: again if lens_of(name) else why for name in of_treatment}
    for name in filter(lens_of, record.measurements):
        if other := other_lens(name, record, policy.lenses):
            unseen[name] = f"{other}; audit the batch again to know it"
    beside = compare(
        baseline,
        record.measurements,
        drawn=drawn,
        benchmarks=record.benchmarks,
        setting=record.setting,
        lenses=policy.lenses,
    )
    verdict = evaluate(
        policy,
        record.measurements,
        record.day,
        batch=BatchName(names=record.batch_names, sha256=record.batch_sha256),
        baseline=beside,
        unseen=unseen,
    )
    return Replay(record=record, policy=policy, verdict=verdict)


def _turn(before: str | None, finding: Finding) -> str:
    now = finding.outcome.replace("_", " ")
    if before is None:
        return f"{now} (a new rule)"
    was = before.replace("_", " ")
    return now if was == now else f"{was} -> {now}"
