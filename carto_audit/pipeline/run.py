"""Run: the one place that knows the order of the stages. Everything an audit learns is one frozen value."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carto_audit.artifacts.audit_record import Record, Setting
from carto_audit.artifacts.earlier_audits import CopiesFound, EarlierAudits
from carto_audit.artifacts.redteam_record import RedteamRecord, check_measured
from carto_audit.benchmarks.items import Benchmark
from carto_audit.benchmarks.registry import Registry
from carto_audit.cartography.analysis import AveragedRuns, LossAnalysis, TracedSamples, analyze_losses, average_run
from carto_audit.cartography.intervals import CONFIDENCE
from carto_audit.cartography.reasons import heats, riskiest
from carto_audit.cartography.scores import burn_in_epochs
from carto_audit.contamination.check import check_contamination
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.search import search_beside
from carto_audit.contamination.sources import open_index
from carto_audit.data.batch import Batch, read_batch
from carto_audit.data.duplicates import find_duplicates
from carto_audit.data.sampling_key import SamplingKey, keep_sampling_key, read_sampling_key
from carto_audit.data.segments import read_segments
from carto_audit.decisions.file import DecisionFile
from carto_audit.decisions.review import Reviewed, review
from carto_audit.decisions.settle import Settled, measure_decisions, noted, reasons_of, settle
from carto_audit.engines.engine import Engine
from carto_audit.gate.verdict import Verdict
from carto_audit.lenses.calls import lens_calls
from carto_audit.lenses.host import look_through, unseen_by
from carto_audit.lenses.lens_run import LensRun
from carto_audit.pipeline.actions import Actions, advise
from carto_audit.pipeline.corpus import (
    Corpus,
    Split,
    encode_corpus,
    lens_proxies,
    lens_subject,
    plant_for_lenses,
    split_corpus,
    traced_samples,
)
from carto_audit.pipeline.item_recall import ask_about_items
from carto_audit.pipeline.judge import analysis_settings, check_reference, is_undecided, judge, loss_on
from carto_audit.pipeline.measurements import measure, measured_ratio
from carto_audit.pipeline.options import AuditOptions
from carto_audit.pipeline.passages import measure_passages
from carto_audit.pipeline.result import (
    AuditResult,
    Run,
    VendorCheck,
    audit_work,
    delivered,
    package_versions,
    quote_boilerplate,
    run_name,
    scored_rows,
)
from carto_audit.policy.metrics import Measurement
from carto_audit.policy.model import Policy
from carto_audit.proxies.cross_fit import TrainConfig, cross_fit
from carto_audit.proxies.model import count_parameters, resolve_device
from carto_audit.proxies.tokens import locate_spans
from carto_audit.runtime.limits import Watch
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.runtime.sealed_path import LIMITS, check_seals
from carto_audit.traces.trace import TokenLosses, Trace

REPEAT_STRIDE = 1_000_003
"""Added for every further pair of proxies, to the seed and to what decides about the folds."""

MOST_LOOKS = 2
"""Pairs of proxies, at most, where the options leave it open."""


def run_audit(
    inputs: Sequence[str | Path],
    *,
    policy: Policy,
    work: Path,
    benchmarks: Sequence[str | Path] = (),
    registry: Registry | None = None,
    options: AuditOptions | None = None,
    baseline: Record | None = None,
    redteam: RedteamRecord | None = None,
    earlier: EarlierAudits | None = None,
    vendor: VendorCheck | None = None,
    decisions: DecisionFile | None = None,
    progress: Progress = SILENT,
) -> AuditResult:
    """Audits a batch against a policy. `work` keeps what a killed run needs to continue; the caller removes it.

    `benchmarks` are files, folders, built indexes, hub names, or names that the registry lists; `baseline` is what the last
    accepted batch left, `redteam` what a red team measured on this one under this policy's map and interventions, `earlier` the
    vendor's other audits, whose last accepted one is the baseline where none is given, `vendor` holds a vendor's summary against
    what was found, `decisions` are what people decided about rows and items. Raises UsageError and AuditError, each with one line
    that says the way out.
    """
    watch = Watch(progress, (policy.limits or LIMITS).stage_seconds)
    options = options or AuditOptions()
    with options.open_engine(watch.note) as engine:
        auditor = _Auditor(policy, options, engine, work, watch, baseline, redteam, earlier, vendor, decisions)
        return auditor.run(inputs, benchmarks, registry)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """What so many pairs of proxies showed."""

    analysis: LossAnalysis
    measurements: dict[str, Measurement]
    capacity_ratio: float | None
    pairs: int


@dataclass(slots=True)
class _Auditor:
    """Carries the run's settings from stage to stage and times them."""

    policy: Policy
    options: AuditOptions
    engine: Engine
    work: Path
    progress: Watch
    baseline: Record | None
    redteam: RedteamRecord | None
    earlier: EarlierAudits | None = None
    vendor: VendorCheck | None = None
    decisions: DecisionFile | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        self.progress.begin(stage)
        began = time.perf_counter()
        yield
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - began, 3)

    def run(
        self, inputs: Sequence[str | Path], benchmarks: Sequence[str | Path], registry: Registry | None
    ) -> AuditResult:
        """All stages in order."""
        options, progress, engine = self.options, self.progress, self.engine
        check_reference(self.policy, options)
        weighed = loss_on(self.policy, options)
        device = resolve_device(options.device)
        given = read_sampling_key(Path(options.sampling_key)) if options.sampling_key else None
        with self.timed("benchmarks"):
            sources = [str(source) for source in benchmarks]
            opened = open_index(sources, find_matches, registry=registry, progress=progress) if sources else None
        with self.timed("batch"):
            batch = read_batch(
                inputs,
                text_column=options.text_column,
                layout=options.layout,
                id_column=options.id_column,
                reading=options.reading,
                choice=options.choice,
                apart=self.work,
                limits=self.policy.limits or LIMITS,
                progress=progress,
            )
            reference = read_batch([options.reference], progress=progress) if options.reference else None
        check_measured(self.redteam, self.policy, batch.sha256)
        calls, limits = lens_calls(self.policy.lenses, options.lens), self.policy.limits or LIMITS
        folder = audit_work(self.work, batch, reference, options, self.policy, given, calls)
        key = given or (None if options.rehearsable else keep_sampling_key(folder))
        entropy = key.entropy(batch.sha256) if key else options.training_seed
        with self.timed("duplicates"):
            duplicates = find_duplicates(batch, folder, progress, engine)
        with self.timed("contamination"):
            contamination, kin = None, duplicates.cluster_id
            if opened:
                batch = search_beside(batch, opened[0], find_matches)
                contamination = check_contamination(
                    batch, *opened, progress, cluster_id=kin, folder=folder, engine=engine
                )
        known = opened[0].benchmarks if opened else ()
        reviewed = review(self.decisions, batch, duplicates, contamination, known)
        with self.timed("tokens"):
            corpus = encode_corpus(batch, reference, duplicates, options, weighed, entropy, device, folder, progress)
        with self.timed("folds"):
            dose = self.policy.demanded_dose
            trained = any(call.spec.trained for call in calls)
            split = split_corpus(batch, reference, duplicates, corpus, dose, entropy, folder, progress, lenses=trained)
            split, planted = plant_for_lenses(calls, batch, corpus, split, limits, folder)
        samples = traced_samples(batch, duplicates, corpus, split)
        copies = self.find_copies(batch, samples, split.kinship.cap)
        looked = self.look(batch, reviewed, known, corpus, split, samples, copies, device, folder)
        analysis, measurements = looked.analysis, looked.measurements
        vendor = None
        if self.vendor is not None:
            with self.timed("vendor"):
                proxy = corpus.spec.name
                vendor = self.vendor(scored_rows(batch, samples, analysis, self.policy, options, proxy, device, folder))
                measurements |= vendor.measurements
        testimony = None
        if contamination is not None:
            with self.timed("testimony"):
                found, place = contamination.matches, folder / run_name(0)
                testimony = ask_about_items(known, found, corpus, split, options, device, place, progress)
        with self.timed("reasons"):
            score = analysis.scores.memorization(self.policy.map.memorization.score)
            shown = riskiest(score, samples.group, analysis.reasons.recall)
            first, last = analysis.scores.span_first, analysis.scores.span_last
            spans = locate_spans(batch, corpus.encoder, first, last, set(shown), progress)
            actions, settled = self.act(batch, analysis, split, reviewed, samples.n_tokens)
        lenses: tuple[LensRun, ...] = ()
        if calls:
            with self.timed("lenses"):
                place, share, weight = folder / run_name(0), limits.lens_time_share, actions.weight
                proxies = lens_proxies(calls, corpus, split, options, share, device, place)
                subject = lens_subject(
                    self.policy, batch, duplicates, samples, corpus, split, analysis, weight, folder, proxies
                )
                lenses = look_through(calls, subject, planted, limits, progress)
        measurements |= {name: m for lens in lenses for name, m in lens.measurements.items()}
        check_seals([*batch.paths, *(reference.paths if reference else ())])
        return AuditResult(
            batch=batch,
            n_tokens=samples.n_tokens,
            trained=split.trained,
            held_out=split.held_out,
            fold=split.fold(options.folds)[: len(batch)],
            duplicates=duplicates,
            benchmarks=known,
            contamination=contamination,
            testimony=testimony,
            trace=analysis.trace.select(slice(0, len(batch))),
            analysis=analysis,
            controls=split.controls,
            spans=spans,
            boilerplate=quote_boilerplate(batch, corpus.encoder, split.kinship.boilerplate),
            riskiest=shown,
            segments=read_segments(batch, shown),
            heats=heats(shown, analysis.scores, analysis.token_losses, spans.chosen),
            actions=actions,
            measurements=measurements,
            policy=self.policy,
            verdict=noted(
                self.judge(measurements, batch, known, corpus.spec.name, looked.pairs, lenses), settled, measurements
            ),
            redteam=self.redteam,
            vendor=vendor,
            decisions=settled,
            copies=copies,
            lenses=lenses,
            run=self.account(corpus, split, samples, reference, key, device, looked),
        )

    def find_copies(self, batch: Batch, samples: TracedSamples, cap: int) -> CopiesFound | None:
        """What of the batch stands in earlier deliveries; None where no ledger was named."""
        if self.earlier is None:
            return None
        with self.timed("ledger"):
            dose = self.policy.demanded_dose
            return self.earlier.copies(delivered(batch, samples.duplicates, samples.n_tokens, cap, dose, self.progress))

    def judge(
        self,
        measurements: Mapping[str, Measurement],
        batch: Batch,
        benchmarks: Sequence[Benchmark],
        proxy: str,
        repeats: int,
        lenses: Sequence[LensRun],
    ) -> Verdict:
        """What the policy says of the numbers today."""
        return judge(
            self.policy,
            measurements,
            batch=batch,
            benchmarks=benchmarks,
            setting=Setting(proxy=proxy, epochs=self.options.epochs, folds=self.options.folds, repeats=repeats),
            baseline=self.baseline or (self.earlier.baseline(batch.sha256) if self.earlier else None),
            redteam=self.redteam,
            unseen=unseen_by(lenses, self.policy.active_rules),
        )

    def account(
        self,
        corpus: Corpus,
        split: Split,
        samples: TracedSamples,
        reference: Batch | None,
        key: SamplingKey | None,
        device: str,
        looked: "_Looked",
    ) -> Run:
        """How the audit was done."""
        return Run(
            options=self.options,
            key_commitment=key.commitment if key else None,
            device=device,
            spec=corpus.spec,
            parameters=count_parameters(corpus.spec),
            capacity_ratio=looked.capacity_ratio,
            repeats=looked.pairs,
            confidence=self.confidence,
            max_tokens=None if (split.trained | split.held_out | ~samples.usable).all() else corpus.most_tokens,
            kinship=split.kinship,
            references=corpus.references,
            reference_sha256=reference.sha256 if reference else None,
            packages=package_versions(),
            started_at=self.started_at,
            seconds=self.seconds,
            engine=self.engine,
        )

    @property
    def confidence(self) -> float:
        """How sure each interval is, so that all looks at the batch together are as sure as one."""
        looks = MOST_LOOKS if self.options.repeats is None else 1
        return 1 - (1 - CONFIDENCE) / looks

    def look(
        self,
        batch: Batch,
        reviewed: Reviewed,
        benchmarks: Sequence[Benchmark],
        corpus: Corpus,
        split: Split,
        samples: TracedSamples,
        copies: CopiesFound | None,
        device: str,
        folder: Path,
    ) -> "_Looked":
        """Trains a pair of proxies as often as the options say, with other folds and seeds each time, and measures what their
        averaged losses show; where the options leave it open, once more if that may change the verdict."""
        settings = analysis_settings(self.policy, self.confidence)
        pairs = self.options.repeats or MOST_LOOKS
        runs: AveragedRuns | None = None
        for number in range(1, pairs + 1):
            with self.timed("training"):
                losses = self.train(number - 1, corpus, split, device, folder)
            with self.timed("scores"):
                runs = average_run(runs, *losses, samples, settings)
                if self.options.repeats is not None and number < pairs:
                    continue
                analysis = analyze_losses(runs, samples, settings, self.options.training_seed)
                ratio = measured_ratio(analysis.scores, samples.n_tokens, corpus.spec)
                measurements = measure(
                    batch,
                    samples,
                    reviewed.contamination,
                    analysis,
                    measure_passages(analysis, samples, split.store, corpus.encoder),
                    score=self.policy.map.memorization.score,
                    ratio=ratio,
                    rehearsable=self.options.rehearsable,
                    seed=self.options.training_seed,
                    confidence=self.confidence,
                )
                measurements |= measure_decisions(
                    reviewed, benchmarks, samples.n_tokens, analysis.quadrant, measurements
                )
            measurements |= self.redteam.measurements if self.redteam else {}
            measurements |= copies.measurements if copies else {}
            if self.earlier:
                measurements |= self.earlier.measured(batch.sha256, measurements, corpus.spec.name, self.confidence)
            if number == pairs or not is_undecided(self.policy, measurements):
                return _Looked(analysis=analysis, measurements=measurements, capacity_ratio=ratio, pairs=number)
        raise AssertionError("there is always a pair")

    def train(self, number: int, corpus: Corpus, split: Split, device: str, folder: Path) -> tuple[Trace, TokenLosses]:
        """The losses of one run: a proxy per fold, which on a CPU share the cores."""
        options = self.options
        threads = max(1, (os.cpu_count() or 1) // (options.folds if device == "cpu" else 1))
        stride = REPEAT_STRIDE * number
        config = TrainConfig(
            epochs=options.epochs,
            folds=options.folds,
            seed=options.training_seed + stride,
            device=device,
            threads=threads,
            burn_in=burn_in_epochs(options.epochs, self.policy.map.difficulty.burn_in_share),
        )
        place, fold = folder / run_name(number), split.fold(options.folds, stride)
        place.mkdir(exist_ok=True)
        trained = (split.store, fold, split.learnable, split.scored)
        found = cross_fit(corpus.spec, config, *trained, place, self.progress, self.engine)
        return found[0].select(slice(0, split.traced)), found[1].first(split.traced)

    def act(
        self, batch: Batch, analysis: LossAnalysis, split: Split, reviewed: Reviewed, n_tokens: NDArray[np.int64]
    ) -> tuple[Actions, Settled | None]:
        """What to do with each sample, as the policy says and then as people decided, and what became of their decisions;
        up-sampling is closed to noise and to benchmark items."""
        left = (reviewed.is_left("confirmed"), reviewed.is_left("suspected"))
        advised = advise(self.policy, batch, analysis, *left, split.held_out, self.progress)
        actions = advised.overruled(reviewed.keep, reviewed.remove, reasons_of(reviewed))
        return actions, settle(reviewed, advised.weight, n_tokens, analysis.quadrant)
