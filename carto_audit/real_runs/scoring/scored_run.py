"""Scoring a real run: the order of the stages, from the trace of a run and its planted batch to the map and a verdict.

The map, its masses, the proof and the gate are those of every audit; only the losses come from the run. Without a proof on the
controls the verdict is inconclusive whatever the policy asks, unless it is a rejection."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.artifacts.audit_record import Setting
from carto_audit.artifacts.real_run_facts import CONTROL
from carto_audit.benchmarks.index import Index
from carto_audit.benchmarks.items import Benchmark
from carto_audit.benchmarks.registry import Registry
from carto_audit.cartography.analysis import LossAnalysis, TracedSamples, analyze_losses, average_run
from carto_audit.cartography.intervals import CONFIDENCE
from carto_audit.cartography.noise import find_noise
from carto_audit.cartography.scores import Scores
from carto_audit.contamination.check import Contamination, check_contamination
from carto_audit.contamination.detectability import Detectability
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.search import search_beside
from carto_audit.contamination.sources import open_index
from carto_audit.controls.controls import Controls
from carto_audit.data.batch import Batch
from carto_audit.data.duplicates import Duplicates, find_duplicates
from carto_audit.gate.verdict import EXIT_CODES, Verdict
from carto_audit.pipeline.actions import Actions, decide
from carto_audit.pipeline.judge import analysis_settings, check_reference, judge
from carto_audit.pipeline.measurements import measure
from carto_audit.pipeline.options import AuditOptions
from carto_audit.pipeline.passages import measure_passages
from carto_audit.policy.lens_metrics import LENS
from carto_audit.policy.metrics import Measurement
from carto_audit.policy.model import Policy
from carto_audit.proxies.kinship import Kinship, find_kin
from carto_audit.proxies.tokens import Encoder, TokenStore, load_tokenizer, weigh_pieces
from carto_audit.real_runs.reading.planted_run import PlantedRun, open_planted
from carto_audit.real_runs.reading.readings import Given, held_against, open_readings
from carto_audit.real_runs.reading.run_samples import RunSamples, Way, find_way, read_samples
from carto_audit.real_runs.scoring.run_controls import RunControls, controls_of
from carto_audit.real_runs.scoring.run_losses import (
    Drift,
    Pair,
    RunLosses,
    Sources,
    kept_tokens,
    pair_losses,
    run_losses,
    tell_drift,
)
from carto_audit.real_runs.scoring.visited import Visited, identify
from carto_audit.runtime.errors import AuditError, option
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.untrusted import safe_inline
from carto_audit.traces.keys import tokenizer_fingerprint
from carto_audit.traces.reading import Visits, read_visits

UNPROVED = "the trace has not shown on planted secrets what it can see, so nothing in it can be accepted"
_NO_LENS = "no lens looks at a real run; audit the batch to know it"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRun:
    """All that a trace shows of a planted batch. Arrays are of its N samples; the controls among them are not on the map.
    `longest` is the longest sample that the run saw, in tokens; `beside` are the scores of the rows that were held out. `proved`
    says whether secrets of the policy's dose were held against the line."""

    planted: PlantedRun
    batch: Batch
    visits: Visits
    visited: Visited
    way: Way
    pair: Pair
    drift: Drift
    sources: Sources
    longest: int
    tokenizer: Any
    kinship: Kinship
    losses: RunLosses
    duplicates: Duplicates
    contamination: Contamination | None
    controls: RunControls
    samples: TracedSamples
    analysis: LossAnalysis
    benchmarks: tuple[Benchmark, ...]
    beside: Scores
    actions: Actions
    measurements: dict[str, Measurement]
    policy: Policy
    verdict: Verdict
    proved: bool


def score_run(
    trace: Path,
    folder: Path,
    *,
    policy: Policy,
    tokenizer: Path,
    work: Path,
    base: Path | None = None,
    late: Path | None = None,
    benchmarks: Sequence[str] = (),
    registry: Registry | None = None,
    progress: Progress = SILENT,
) -> ScoredRun:
    """Scores the trace in a folder by the planted batch in `folder`. `tokenizer` is a local folder; `base` and `late` are
    files of readings; `work` is a folder for what is too large for memory.

    Raises AuditError in one line for a trace that is torn or of another batch or tokenizer, for controls that were changed, for
    readings of anything else, and where fewer than 99 % of the rows are found; UsageError for what the policy needs besides.
    """
    check_reference(policy, AuditOptions())
    planted = open_planted(folder, progress)
    given = [open_readings(one, planted) if one is not None else None for one in (base, late)]
    loaded = load_tokenizer(tokenizer)
    visits = _read_visits(trace, planted, tokenizer_fingerprint(loaded))
    longest = int(visits.rows.length.max())
    way = find_way(planted, loaded, np.unique(visits.rows.key), longest)
    for one in given:
        _check_way(one, way, tokenizer_fingerprint(loaded))
    samples = read_samples(planted, loaded, way, progress)
    encoder = Encoder(
        tokenizer=loaded.backend_tokenizer,
        bos=0,
        vocab_size=max(len(loaded), int(samples.ids.max(initial=0)) + 1),
        checkpoint=str(tokenizer),
    )
    before, after = (held_against(one, planted, samples) if one is not None else None for one in given)
    opened = open_index(list(benchmarks), find_matches, registry=registry, progress=progress) if benchmarks else None
    return _Scoring(
        planted=planted,
        visits=visits,
        way=way,
        samples=samples,
        encoder=encoder,
        tokenizer=loaded,
        policy=policy,
        work=work,
        progress=progress,
    ).run(identify(planted, samples, visits), Sources(base=before, late=after), opened)


def _read_visits(trace: Path, planted: PlantedRun, fingerprint: str) -> Visits:
    shown = safe_inline(str(trace), 160)
    visits = read_visits(trace, planted.keys)
    if visits.opening.share != 1:
        raise AuditError(
            f"{shown}: logs {visits.opening.share:.0%} of the samples, and a score takes all of them: log with share=1.0"
        )
    if visits.opening.tokenizer and visits.opening.tokenizer != fingerprint:
        raise AuditError(f"{shown}: the run has another tokenizer; name it with {option('tokenizer')}")
    return visits


def _check_way(given: Given | None, way: Way, fingerprint: str) -> None:
    """Raises AuditError for readings that saw the rows in another way than the run."""
    if given is None:
        return
    if given.notes.tokenizer != fingerprint:
        raise AuditError(f"{given.shown}: read with another tokenizer than the run's; read the checkpoint again")
    if given.notes.way != way:
        raise AuditError(
            f"{given.shown}: reads rows {given.notes.way.words}, and the run {way.words}; read the checkpoint again with "
            f"{option('trace')}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kin:
    """Who is kin among the batch's samples and the rows that were held out, and their tokens."""

    kinship: Kinship
    store: TokenStore


@dataclass(slots=True, kw_only=True)
class _Scoring:
    """Carries what does not change from stage to stage."""

    planted: PlantedRun
    visits: Visits
    way: Way
    samples: RunSamples
    encoder: Encoder
    tokenizer: Any
    policy: Policy
    work: Path
    progress: Progress
    beside: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        n, twins = len(self.planted.batch), len(self.planted.twins)
        self.beside = np.arange(n + twins, len(self.samples))

    def run(self, visited: Visited, sources: Sources, opened: tuple[Index, Detectability] | None) -> ScoredRun:
        planted, policy = self.planted, self.policy
        pair = pair_losses(planted, self.samples, visited, sources)
        duplicates = _without(find_duplicates(planted.batch, self.work, self.progress), planted.is_copy)
        ordinary = visited.known & planted.batch.trainable & ~planted.is_copy
        kin = self.kin(pair, duplicates, ordinary)
        n = len(planted.batch)
        drift = tell_drift(planted, self.samples, visited, sources, pair, ordinary & kin.kinship.alone[:n])
        controls = controls_of(planted, visited.known)
        own = np.where(ordinary, np.arange(n), -1)
        order = np.concatenate([own, self.beside, controls.sample])
        rows = np.where(order < n, order, -1)
        losses = run_losses(self.samples, visited, pair, drift, order, rows, policy.map.difficulty.burn_in_share)
        samples = self.traced(losses, duplicates, kin.kinship, controls.controls, ordinary, visited)
        settings = analysis_settings(policy, CONFIDENCE)
        averaged = average_run(None, losses.trace, losses.tokens, samples, settings)
        analysis = analyze_losses(averaged, samples, settings, 0)
        batch = replace(planted.batch, trainable=planted.batch.trainable & (visited.known | planted.is_copy))
        batch = search_beside(batch, opened[0], find_matches) if opened else batch
        contamination = (
            check_contamination(batch, *opened, self.progress, cluster_id=duplicates.cluster_id, folder=self.work)
            if opened
            else None
        )
        measurements = measure(
            batch,
            samples,
            contamination,
            analysis,
            measure_passages(analysis, samples, kin.store, self.encoder),
            score=policy.map.memorization.score,
            ratio=None,
            rehearsable=bool(planted.facts.get("seeded")),
            seed=0,
            confidence=CONFIDENCE,
        )
        known = opened[0].benchmarks if opened else ()
        verdict = judge(
            policy,
            measurements,
            batch=batch,
            benchmarks=known,
            setting=Setting(proxy="the run", epochs=len(visited.train), folds=1, repeats=1),
            baseline=None,
            unseen={rule.metric: _NO_LENS for rule in policy.active_rules if rule.metric.startswith(LENS)},
        )
        proved = policy.demanded_dose in analysis.found
        return ScoredRun(
            planted=planted,
            batch=batch,
            visits=self.visits,
            visited=visited,
            way=self.way,
            pair=pair,
            drift=drift,
            sources=sources,
            longest=int(self.visits.rows.length.max()),
            tokenizer=self.tokenizer,
            kinship=kin.kinship,
            losses=losses,
            duplicates=duplicates,
            contamination=contamination,
            controls=controls,
            samples=samples,
            analysis=analysis,
            benchmarks=tuple(known),
            beside=samples.parts(averaged.scores)[1],
            actions=self.act(batch, analysis, contamination),
            measurements=measurements,
            policy=policy,
            verdict=verdict if proved else _unproved(verdict),
            proved=proved,
        )

    def kin(self, pair: Pair, duplicates: Duplicates, ordinary: NDArray[np.bool_]) -> _Kin:
        """Samples that share rare runs of tokens, of all that were trained on but the controls. What recurs in too many of
        them was learned before most of their first visits."""
        n = len(ordinary)
        order = np.concatenate([np.where(ordinary, np.arange(n), -1), self.beside])
        places, offsets = kept_tokens(self.samples, pair, order)
        path = self.work / "tokens.bin"
        self.samples.ids[places].tofile(path)
        store = TokenStore(path=path, dtype="uint32", offsets=offsets, bos=0, vocab_size=self.encoder.vocab_size)
        cluster = np.concatenate([duplicates.cluster_id, np.arange(n, len(order))])
        usable = np.diff(offsets) > 0
        copies = np.concatenate([duplicates.exact, np.zeros(len(self.beside), dtype=bool)])
        kinship = find_kin(
            store,
            cluster,
            copies & usable[cluster],
            usable,
            self.work,
            self.progress,
            piece_weight=weigh_pieces(self.encoder, store),
        )
        return _Kin(kinship=kinship, store=store)

    def traced(
        self,
        losses: RunLosses,
        duplicates: Duplicates,
        kinship: Kinship,
        controls: Controls,
        ordinary: NDArray[np.bool_],
        visited: Visited,
    ) -> TracedSamples:
        """What the analysis must know of those who are traced."""
        n, copy = len(ordinary), self.planted.is_copy
        kept = np.diff(losses.tokens.offsets)[:n]
        n_tokens = np.where(ordinary, kept, np.where(copy, 0, self.samples.n_tokens[:n]))
        group = np.concatenate([kinship.group, kinship.group.max(initial=0) + 1 + controls.secret])
        return TracedSamples(
            n_tokens=n_tokens,
            group=group[:n],
            usable=ordinary & (kept > 0),
            severed_tokens=np.zeros(n, np.int64),
            duplicates=duplicates,
            references=len(self.beside),
            controls=controls,
            frequent=kinship.cap,
            weight=np.ones(n),
            undrawn_tokens=0,
            frequent_runs=kinship.boilerplate_runs,
            kin=group,
        )

    def act(self, batch: Batch, analysis: LossAnalysis, contamination: Contamination | None) -> Actions:
        """What the policy does with each row."""
        nothing = np.zeros(len(batch), dtype=bool)
        return decide(
            analysis.quadrant,
            self.policy.interventions,
            benchmark_match=contamination.is_tier("confirmed") if contamination else nothing,
            suspected=contamination.is_tier("suspected") if contamination else nothing,
            noise=find_noise(batch, batch.trainable & ~self.planted.is_copy, analysis.scores, self.progress),
            never_drop=self.policy.never_drop,
            reasons=analysis.reasons,
        ).without(self.planted.is_copy, CONTROL)


def _without(duplicates: Duplicates, copy: NDArray[np.bool_]) -> Duplicates:
    """The duplicates with every control by itself: it is none of the delivery's."""
    own = np.arange(len(copy))
    return replace(
        duplicates,
        cluster_id=np.where(copy, own, duplicates.cluster_id),
        cluster_size=np.where(copy, 1, duplicates.cluster_size),
        copies=np.where(copy, 1, duplicates.copies),
        exact=duplicates.exact & ~copy,
        near=duplicates.near & ~copy,
    )


def _unproved(verdict: Verdict) -> Verdict:
    if verdict.status in ("rejected", "inconclusive"):
        return replace(verdict, warnings=(*verdict.warnings, UNPROVED))
    return replace(
        verdict,
        status="inconclusive",
        exit_code=EXIT_CODES["inconclusive"],
        complete=False,
        warnings=(*verdict.warnings, UNPROVED),
    )
