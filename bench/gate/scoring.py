"""One audit, and what every shipped policy that asks about the same dose says of its losses, without training again."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.corpora import write_texts
from carto_audit.artifacts.audit_record import Setting
from carto_audit.cartography.analysis import AnalysisSettings, TracedSamples, analyze_losses, average_run
from carto_audit.gate.verdict import Finding, Verdict
from carto_audit.pipeline import run as pipeline
from carto_audit.pipeline.judge import analysis_settings, is_undecided, judge
from carto_audit.pipeline.measurements import measure, measured_ratio
from carto_audit.pipeline.options import AuditOptions
from carto_audit.pipeline.passages import measure_passages
from carto_audit.pipeline.result import AuditResult
from carto_audit.policy.inheritance import builtin_policies
from carto_audit.policy.lens_metrics import LENS
from carto_audit.policy.metrics import Measurement
from carto_audit.policy.model import Policy, load_policy
from carto_audit.proxies.tokens import Encoder, TokenStore
from carto_audit.traces.trace import TokenLosses, Trace

TRACES = {4: "default", 2: "regulated-health"}
"""The policy that a batch is audited under, by the dose that it asks about: an audit plants its secrets at that dose, so that
policies which ask about another cannot be read off the same losses."""

MASS = ("memorized.", "hotspot_memorized.")
"""What begins so is measured by memory."""


@dataclass(slots=True)
class Kept:
    """What an audit lets go of once it is done: the losses of every pair of proxies, and the text as tokens; and what was
    measured since, by settings and pairs, since policies share maps."""

    runs: list[tuple[Trace, TokenLosses, TracedSamples]] = field(default_factory=list)
    store: TokenStore | None = None
    encoder: Encoder | None = None
    measured: dict[tuple[AnalysisSettings, int], dict[str, Measurement]] = field(default_factory=dict)


@contextmanager
def keeping(kept: Kept) -> Iterator[None]:
    """Audits in this block leave their losses in `kept`."""

    def averaging(before: Any, trace: Any, losses: Any, samples: Any, settings: Any) -> Any:
        kept.runs.append((trace, copied(losses), samples))
        return average_run(before, trace, losses, samples, settings)

    def measuring(analysis: Any, samples: Any, store: Any, encoder: Any) -> Any:
        kept.store, kept.encoder = store, encoder
        return measure_passages(analysis, samples, store, encoder)

    with ExitStack() as stack:
        stack.enter_context(patch.object(pipeline, "average_run", averaging))
        stack.enter_context(patch.object(pipeline, "measure_passages", measuring))
        yield


def copied(losses: TokenLosses) -> TokenLosses:
    """Losses of their own, since averaging overwrites those of the first run."""
    return replace(losses, loss_in=losses.loss_in.copy(), loss_out=losses.loss_out.copy())


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What one policy says, from so many `pairs` of proxies. `undecided`: it would have trained another pair, which was not
    there."""

    verdict: Verdict
    pairs: int
    undecided: bool

    def facts(self) -> dict[str, Any]:
        """The verdict, what the rules on memory alone amount to, and every rule that does not hold."""
        return {
            "status": self.verdict.status,
            "by_memory": outcome_of([f for f in self.verdict.findings if f.metric.startswith(MASS)]),
            "not_held": [f"{f.rule}:{f.outcome}" for f in self.verdict.findings if f.outcome != "passed"],
            "pairs": self.pairs,
            "undecided": self.undecided,
        }


def outcome_of(findings: Sequence[Finding]) -> str:
    """`failed`, `warned`, `not_measured`, `held`, or `no_rule`: the worst of the findings."""
    seen = {f"{f.outcome}:{f.severity}" if f.outcome == "failed" else f.outcome for f in findings}
    words = {"failed:reject": "failed", "not_measured": "not_measured", "failed:warn": "warned", "passed": "held"}
    return next((word for outcome, word in words.items() if outcome in seen), "no_rule")


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """An audit, the vocabulary that it counted in, and what the policies say, by name."""

    audit: AuditResult
    encoder: Encoder
    judged: dict[str, Judged]


def audit_under_all(texts: Sequence[str], dose: int, seed: int, epochs: int, benchmark: Path, folder: Path) -> Audited:
    """An ordinary audit under the policy of TRACES for this dose, drawn by a key made of the seed, and what all policies that ask
    about the dose say of it."""
    kept, key = Kept(), folder / "sampling.key"
    key.write_text(f"a key that everybody may know, number {seed}")
    with keeping(kept):
        audit = pipeline.run_audit(
            [write_texts(folder / "batch.parquet", texts)],
            policy=without_lenses(load_policy(TRACES[dose])),
            work=folder / "work",
            benchmarks=[benchmark],
            options=AuditOptions(seed=seed, sampling_key=str(key), epochs=epochs),
        )
    assert kept.encoder is not None  # every audit measures its passages
    every = map(without_lenses, map(load_policy, builtin_policies()))
    policies = [policy for policy in every if policy.demanded_dose == dose]
    return Audited(
        audit=audit,
        encoder=kept.encoder,
        judged={policy.name: judge_kept(policy, audit, kept) for policy in policies},
    )


def without_lenses(policy: Policy) -> Policy:
    """The policy without what it asks of lenses, which plant beside the controls and which other policies do not turn on."""
    rules = tuple(rule for rule in policy.rules if not rule.metric.startswith(LENS))
    return policy.model_copy(update={"lenses": {}, "rules": rules})


def judge_kept(policy: Policy, audit: AuditResult, kept: Kept) -> Judged:
    """What the policy says after as many pairs as it asks for, of those that were trained."""
    settings = analysis_settings(policy, audit.run.confidence)
    for pairs in range(1, len(kept.runs) + 1):
        if (settings, pairs) not in kept.measured:
            kept.measured[settings, pairs] = measured_with(settings, audit, kept, pairs)
        measurements = kept.measured[settings, pairs]
        undecided = is_undecided(policy, measurements)
        if not undecided:
            break
    run = audit.run
    setting = Setting(proxy=run.spec.name, epochs=run.options.epochs, folds=run.options.folds, repeats=pairs)
    verdict = judge(
        policy, measurements, batch=audit.batch, benchmarks=audit.benchmarks, setting=setting, baseline=None
    )
    return Judged(verdict=verdict, pairs=pairs, undecided=undecided and pairs < pipeline.MOST_LOOKS)


def measured_with(settings: AnalysisSettings, audit: AuditResult, kept: Kept, pairs: int) -> dict[str, Measurement]:
    """What an audit that looks in this way would have measured from the first `pairs` of proxies."""
    run, runs = audit.run, None
    for trace, losses, samples in kept.runs[:pairs]:
        runs = average_run(runs, trace, copied(losses), samples, settings)
    assert runs is not None
    assert kept.store is not None
    assert kept.encoder is not None
    analysis = analyze_losses(runs, samples, settings, run.options.training_seed)
    return measure(
        audit.batch,
        samples,
        audit.contamination,
        analysis,
        measure_passages(analysis, samples, kept.store, kept.encoder),
        score=settings.score,
        ratio=measured_ratio(analysis.scores, samples.n_tokens, run.spec),
        rehearsable=run.options.rehearsable,
        seed=run.options.training_seed,
        confidence=run.confidence,
    )
