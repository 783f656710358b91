"""A scored run as a finished audit: the same map, files and verdict, drawn from the run's own losses in place of proxies'."""

from dataclasses import dataclass

import numpy as np

from carto_audit.cartography.intervals import CONFIDENCE
from carto_audit.cartography.reasons import heats, riskiest
from carto_audit.data.segments import read_segments
from carto_audit.pipeline.options import AuditOptions
from carto_audit.pipeline.result import AuditResult, Run, package_versions
from carto_audit.proxies.model import ProxySpec
from carto_audit.real_runs.scoring.run_spans import locate
from carto_audit.real_runs.scoring.scored_run import ScoredRun
from carto_audit.runtime.progress import SILENT, Progress

MODEL = "the run's own model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """When a score began, in ISO 8601, and the seconds that it took."""

    started_at: str
    seconds: float


def audit_of(run: ScoredRun, clock: Clock, progress: Progress = SILENT) -> AuditResult:
    """The score as the result that an audit leaves. Nothing was drawn, split or repeated, and there is no proxy."""
    n, analysis, samples = len(run.batch), run.analysis, run.samples
    score = analysis.scores.memorization(run.policy.map.memorization.score)
    shown = riskiest(score, samples.group, analysis.reasons.recall)
    spans = locate(run, set(shown), progress)
    located = [i for i in shown if i in spans.chosen]
    return AuditResult(
        batch=run.batch,
        n_tokens=samples.n_tokens,
        trained=samples.usable,
        held_out=np.zeros(n, dtype=bool),
        fold=np.zeros(n, np.int8),
        duplicates=run.duplicates,
        benchmarks=run.benchmarks,
        contamination=run.contamination,
        testimony=None,
        trace=analysis.trace.select(slice(0, n)),
        analysis=analysis,
        controls=samples.controls,
        spans=spans,
        boilerplate=(),
        riskiest=shown,
        segments=read_segments(run.batch, shown),
        heats=heats(located, analysis.scores, analysis.token_losses, spans.chosen),
        actions=run.actions,
        measurements=run.measurements,
        policy=run.policy,
        verdict=run.verdict,
        run=_run(run, clock),
    )


def _run(run: ScoredRun, clock: Clock) -> Run:
    checkpoints = [one for given in (run.sources.base, run.sources.late) if given for one in given.notes.checkpoints]
    parameters = max((int(one.get("parameters", 0)) for one in checkpoints), default=0)
    return Run(
        options=AuditOptions(folds=1),
        key_commitment=None,
        device="where it ran",
        spec=ProxySpec(
            name=MODEL,
            vocab_size=len(run.tokenizer),
            context=run.longest,
            hidden_size=0,
            layers=0,
            heads=0,
            learning_rate=0.0,
            minibatch_tokens=0,
        ),
        parameters=parameters,
        capacity_ratio=None,
        repeats=1,
        confidence=CONFIDENCE,
        max_tokens=None,
        kinship=run.kinship,
        references=0,
        reference_sha256=None,
        packages=package_versions(),
        started_at=clock.started_at,
        seconds={"score": clock.seconds},
    )
