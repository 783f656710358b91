"""Judge: the numbers of an audit or of a red team held against the policy of the day."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from carto_audit.artifacts.audit_record import Record, Setting, compare
from carto_audit.artifacts.redteam_record import PREFIX, RedteamRecord
from carto_audit.benchmarks.items import Benchmark
from carto_audit.benchmarks.registry import REGISTRY, Registry, find_registry
from carto_audit.cartography.analysis import AnalysisSettings
from carto_audit.cartography.quadrants import QUADRANT_NAMES
from carto_audit.cartography.thresholds import LossOn
from carto_audit.data.batch import Batch
from carto_audit.gate.required_benchmarks import demanded_names, unmet
from carto_audit.gate.verdict import Verdict, evaluate
from carto_audit.gate.waivers import BatchName
from carto_audit.pipeline.options import AuditOptions
from carto_audit.policy.metrics import REHEARSABLE, Measurement
from carto_audit.policy.model import Policy, Rule
from carto_audit.runtime.errors import UsageError, option


def check_reference(policy: Policy, options: AuditOptions) -> None:
    """A threshold by a reference needs one; the message comes before the training, not after it. Raises UsageError."""
    rules = (policy.map.difficulty.threshold, policy.map.memorization.threshold)
    if any(rule.reference_percentile is not None for rule in rules) and not options.reference:
        raise UsageError(
            f'the policy "{policy.name}" cuts the map by reference_percentile: give the trusted slice with {option("reference")}'
        )


def loss_on(policy: Policy, options: AuditOptions) -> LossOn:
    """What of each sample the map is drawn of. Raises UsageError where the policy says one thing and the command line another."""
    demanded, asked = policy.map.loss_on, options.loss_on
    if demanded and asked and demanded != asked:
        raise UsageError(f"{option('loss_on', asked)}: policy {policy.name} says map.loss_on: {demanded}; leave it out")
    return demanded or asked or "all"


def check_sampling(policy: Policy, options: AuditOptions) -> None:
    """A policy that rejects whatever a vendor could rehearse gets no such audit: it would be rejected after the training. Raises
    UsageError. A rule that somebody waives is left to the verdict."""
    waived = {waiver.rule for waiver in policy.waivers}
    for rule in policy.active_rules if options.rehearsable else ():
        decides = rule.metric == REHEARSABLE and rule.severity == "reject" and rule.bound == "max" and rule.limit < 1
        if decides and rule.id not in waived:
            raise UsageError(
                f'the policy "{policy.name}" refuses a draw that a vendor can rehearse ({rule.id}), and {option("seed")} alone '
                f"is public: give {option('sampling_key')}, or leave {option('seed')} out"
            )


def analysis_settings(policy: Policy, confidence: float) -> AnalysisSettings:
    """How the policy looks at the losses, and how sure intervals are."""
    difficulty, memorization = policy.map.difficulty, policy.map.memorization
    return AnalysisSettings(
        score=memorization.score,
        epsilon=memorization.epsilon,
        burn_in_share=difficulty.burn_in_share,
        measure=difficulty.measure,
        dose=policy.demanded_dose,
        thresholds=(difficulty.threshold, memorization.threshold),
        confidence=confidence,
    )


_SHOWN_BY_LOSSES = ("memorized.", "detection.found_at_dose_", *(f"{name}." for name in QUADRANT_NAMES))


def is_undecided(policy: Policy, measurements: Mapping[str, Measurement]) -> bool:
    """Whether another pair of proxies may change the verdict: what losses show lies on both sides of a limit, and no other
    limit is broken for certain."""
    rules = [r for r in policy.active_rules if r.severity == "reject" and r.bound != "max_increase"]
    ends = [(rule, _keeps(rule, measurements[rule.metric])) for rule in rules if rule.metric in measurements]
    certain = any(not best for _, (best, _) in ends)
    return not certain and any(
        best and not worst for rule, (best, worst) in ends if rule.metric.startswith(_SHOWN_BY_LOSSES)
    )


def _keeps(rule: Rule, measured: Measurement) -> tuple[bool, bool]:
    """Whether the limit of a rule holds at best and at worst. Of what has to be proved the best is what was seen."""
    if rule.bound == "min":
        return measured.value >= rule.limit, measured.low >= rule.limit
    return measured.low <= rule.limit, measured.high <= rule.limit


def judge(
    policy: Policy,
    measurements: Mapping[str, Measurement],
    *,
    batch: Batch,
    benchmarks: Sequence[Benchmark],
    setting: Setting,
    baseline: Record | None,
    redteam: RedteamRecord | None = None,
    unseen: Mapping[str, str] = MappingProxyType({}),
) -> Verdict:
    """The verdict of today (UTC) on a batch that was measured in this setting and compared with these benchmarks.

    `redteam` says why some of its numbers, which `measurements` do not hold, do not count; `unseen` why others were not measured.
    """
    beside = compare(
        baseline,
        measurements,
        drawn=policy.resolved()["map"],
        benchmarks=frozenset((benchmark.name, benchmark.sha256) for benchmark in benchmarks),
        setting=setting,
        lenses=policy.lenses,
    )
    return evaluate(
        policy,
        measurements,
        datetime.now(UTC).date(),
        batch=_named(batch),
        baseline=beside,
        unseen={
            **unseen,
            **unmet(policy, [benchmark.name for benchmark in benchmarks]),
            **(redteam.unseen if redteam else {}),
        },
    )


def judge_redteam(
    policy: Policy, measurements: Mapping[str, Measurement], *, batch: Batch, unseen: Mapping[str, str]
) -> Verdict | None:
    """The verdict of today (UTC) by the policy's active rules on `redteam.*` alone; None where it has none.

    Rules on an increase over the last accepted batch are left to `ingest`, which knows that batch.
    """
    rules = tuple(r for r in policy.active_rules if r.metric.startswith(PREFIX) and r.bound != "max_increase")
    if not rules:
        return None
    asked = policy.model_copy(update={"rules": rules})
    return evaluate(asked, measurements, datetime.now(UTC).date(), batch=_named(batch), unseen=unseen)


def _named(batch: Batch) -> BatchName:
    return BatchName(names=batch.names, sha256=batch.sha256)


def resolve_benchmarks(
    policy: Policy, benchmarks: Sequence[str], registry: Path | None
) -> tuple[tuple[str, ...], Registry | None]:
    """What to look for: what was named, or all of a registry that was given alone, and what the policy demands; and where names
    are listed. Raises UsageError in one line for a demanded benchmark that is listed nowhere."""
    listed = find_registry(registry) if benchmarks or registry or policy.demanded else None
    named = tuple(benchmarks) or tuple(listed.entries if listed and registry else ())
    known, where = (listed.entries, listed.path) if listed else (None, Path(REGISTRY))
    return tuple(dict.fromkeys([*named, *demanded_names(policy, known, where)])), listed
