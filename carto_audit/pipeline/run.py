"""Run: the one place that knows the order of the stages. Everything an audit learns is one frozen value."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.artifacts.audit_record import Record
from carto_audit.artifacts.redteam_record import RedteamRecord, check_measured
from carto_audit.benchmarks.items import Benchmark
from carto_audit.benchmarks.registry import Registry
from carto_audit.cartography.analysis import LossAnalysis, TracedSamples, analyze_losses
from carto_audit.cartography.noise import find_noise
from carto_audit.cartography.quadrants import QUADRANTS
from carto_audit.cartography.reasons import heats, riskiest
from carto_audit.contamination.check import Contamination, check_contamination, find_matches
from carto_audit.contamination.sources import open_index
from carto_audit.controls.controls import DOSES, TOKEN_SHARE, Controls, hold_out, plant_controls
from carto_audit.data.batch import Batch, read_batch, read_texts
from carto_audit.data.duplicates import Duplicates, find_duplicates
from carto_audit.pipeline.actions import Actions, decide
from carto_audit.pipeline.item_recall import recall_items, sample_words
from carto_audit.pipeline.item_recall_table import items_to_ask, tabulate, wordings
from carto_audit.pipeline.judge import analysis_settings, check_reference, judge
from carto_audit.pipeline.measurements import measure, measured_ratio
from carto_audit.pipeline.provenance import package_versions, work_folder
from carto_audit.pipeline.result import Audit, AuditOptions, Run, quote_boilerplate
from carto_audit.policy.model import Policy
from carto_audit.proxies.cross_fit import TrainConfig, cross_fit, load_proxy
from carto_audit.proxies.folds import assign_folds, sample_groups
from carto_audit.proxies.kinship import Kinship, find_kin
from carto_audit.proxies.model import ProxySpec, count_parameters, resolve_device
from carto_audit.proxies.proxy_choice import choose_proxy, most_tokens
from carto_audit.proxies.tokens import (
    Encoder,
    TokenStore,
    encode_batches,
    extend_store,
    locate_spans,
    weigh_pieces,
)
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.perturbation import count_words
from carto_audit.traces.trace import TokenLosses, Trace

WORD_SAMPLES = 2000
WORD_CHARACTERS = 4000
"""Of so many samples, so much of each lends single words to the controls."""

REPEAT_STRIDE = 1_000_003
"""Added to the seed for every further pair of proxies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The batch and the trusted reference as tokens, N and `references` samples one after the other in one store."""

    spec: ProxySpec
    encoder: Encoder
    store: TokenStore
    references: int
    most_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Who is kin, who is trained on, and the controls that were planted. `held_out` and `trained` are (N,); `learnable` and
    `scored` cover everything in `store`, which now ends with the controls; `group` too."""

    kinship: Kinship
    held_out: NDArray[np.bool_]
    trained: NDArray[np.bool_]
    controls: Controls
    store: TokenStore
    group: NDArray[np.int64]
    learnable: NDArray[np.bool_]
    scored: NDArray[np.bool_]

    def fold(self, folds: int, seed: int) -> NDArray[np.int8]:
        """The side of the cross-fit on which each sample of the store lies."""
        return assign_folds(self.group, self.store.n_tokens * self.scored, folds, seed)


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
    progress: Progress = SILENT,
) -> Audit:
    """Audits a batch against a policy. `work` keeps what a killed run needs to continue; the caller removes it.

    `benchmarks` are files, folders, built indexes, hub names, or names that the registry lists; `baseline` is what the last
    accepted batch left, `redteam` what a red team measured on this one under this policy's map and interventions. Raises
    UsageError and AuditError, each with one line that says the way out.
    """
    return _Auditor(policy, options or AuditOptions(), work, progress, baseline, redteam).run(
        inputs, benchmarks, registry
    )


@dataclass(slots=True)
class _Auditor:
    """Carries the run's settings from stage to stage and times them."""

    policy: Policy
    options: AuditOptions
    work: Path
    progress: Progress
    baseline: Record | None
    redteam: RedteamRecord | None
    seconds: dict[str, float] = field(default_factory=dict)
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - began, 3)

    def run(self, inputs: Sequence[str | Path], benchmarks: Sequence[str | Path], registry: Registry | None) -> Audit:
        """All stages in order."""
        options, progress = self.options, self.progress
        check_reference(self.policy, options)
        device = resolve_device(options.device)
        with self.timed("benchmarks"):
            sources = [str(source) for source in benchmarks]
            opened = open_index(sources, find_matches, registry=registry, progress=progress) if sources else None
        with self.timed("batch"):
            batch = read_batch(inputs, text_column=options.text_column, id_column=options.id_column, progress=progress)
            reference = read_batch([options.reference], progress=progress) if options.reference else None
        check_measured(self.redteam, self.policy, batch.sha256)
        folder = work_folder(self.work, batch, reference, options)
        with self.timed("duplicates"):
            duplicates = find_duplicates(batch, folder, progress)
        with self.timed("contamination"):
            same = duplicates.cluster_id
            contamination = (
                check_contamination(batch, *opened, progress, cluster_id=same, folder=folder) if opened else None
            )
        with self.timed("tokens"):
            corpus = self.encode(batch, reference, duplicates, device, folder)
        with self.timed("folds"):
            split = self.split(batch, reference, duplicates, corpus, folder)
        n, n_tokens = len(batch), split.store.n_tokens[: len(batch)]
        samples = TracedSamples(
            n_tokens=n_tokens,
            group=split.group[:n],
            usable=batch.trainable & (n_tokens > 0),
            severed_tokens=split.kinship.severed_tokens[:n],
            duplicates=duplicates,
            references=corpus.references,
            controls=split.controls,
        )
        with self.timed("scores"):
            analysis = analyze_losses(
                self.runs(corpus, split, device, folder), samples, analysis_settings(self.policy), options.seed
            )
        self.seconds["scores"] = round(self.seconds["scores"] - self.seconds["training"], 3)  # trained while looking
        known = opened[0].benchmarks if opened else ()
        testimony = self.recall_items(known, contamination, corpus, split, device, folder)
        with self.timed("reasons"):
            score = analysis.scores.memorization(self.policy.map.memorization.score)
            shown = riskiest(score, samples.group, analysis.reasons.recall)
            first, last = analysis.scores.span_first, analysis.scores.span_last
            spans = locate_spans(batch, corpus.encoder, first, last, set(shown), progress)
            actions = self.act(batch, analysis, split, contamination)
        ratio = measured_ratio(analysis.scores, n_tokens, corpus.spec)
        measurements = measure(batch, samples, contamination, analysis, self.policy.map.memorization.score, ratio)
        measurements |= self.redteam.measurements if self.redteam else {}
        return Audit(
            batch=batch,
            n_tokens=n_tokens,
            trained=split.trained,
            held_out=split.held_out,
            fold=split.fold(options.folds, options.seed)[:n],
            duplicates=duplicates,
            benchmarks=known,
            contamination=contamination,
            testimony=testimony,
            trace=analysis.trace.select(slice(0, n)),
            analysis=analysis,
            controls=split.controls,
            spans=spans,
            boilerplate=quote_boilerplate(batch, corpus.encoder, split.kinship.boilerplate),
            riskiest=shown,
            heats=heats(shown, analysis.scores, analysis.token_losses, spans.chosen),
            actions=actions,
            measurements=measurements,
            policy=self.policy,
            verdict=judge(
                self.policy,
                measurements,
                batch=batch,
                benchmarks=known,
                proxy=corpus.spec.name,
                options=options,
                baseline=self.baseline,
                redteam=self.redteam,
            ),
            redteam=self.redteam,
            run=self.account(corpus, split, samples, reference, device, ratio),
        )

    def account(
        self,
        corpus: Corpus,
        split: Split,
        samples: TracedSamples,
        reference: Batch | None,
        device: str,
        ratio: float | None,
    ) -> Run:
        """How the audit was done."""
        return Run(
            options=self.options,
            device=device,
            spec=corpus.spec,
            parameters=count_parameters(corpus.spec),
            capacity_ratio=ratio,
            max_tokens=None if (split.trained | split.held_out | ~samples.usable).all() else corpus.most_tokens,
            kinship=split.kinship,
            references=corpus.references,
            reference_sha256=reference.sha256 if reference else None,
            packages=package_versions(),
            started_at=self.started_at,
            seconds=self.seconds,
        )

    def encode(
        self, batch: Batch, reference: Batch | None, duplicates: Duplicates, device: str, folder: Path
    ) -> Corpus:
        """Chooses the proxy and its vocabulary, and encodes everything but the controls."""
        options, most = self.options, most_tokens(self.options.max_tokens, device)
        chosen = choose_proxy(
            batch, duplicates, name=options.proxy, most=most, seed=options.seed, device=device, progress=self.progress
        )
        encoder = chosen.encoder
        batches = [batch] if reference is None else [batch, reference]
        store = encode_batches(batches, encoder, folder / "tokens.bin", self.progress)
        return Corpus(
            spec=chosen.spec,
            encoder=encoder,
            store=store,
            references=len(store) - len(batch),
            most_tokens=most,
        )

    def split(
        self, batch: Batch, reference: Batch | None, duplicates: Duplicates, corpus: Corpus, folder: Path
    ) -> Split:
        """Who is kin, who is trained on; then the controls, made of text that nobody trains on."""
        store, seed, n = corpus.store, self.options.seed, len(batch)
        trusted = np.arange(n, len(store))
        usable = np.concatenate([batch.trainable, *([reference.trainable] if reference else [])]) & (store.n_tokens > 0)
        kinship = find_kin(
            store,
            np.concatenate([duplicates.cluster_id, trusted]),
            np.concatenate([duplicates.exact, np.zeros(len(trusted), dtype=bool)]),
            usable,
            folder,
            self.progress,
            piece_weight=weigh_pieces(corpus.encoder, store),
        )
        trained = usable & sample_groups(kinship.group, store.n_tokens * usable, corpus.most_tokens, seed)
        alone = usable & (np.bincount(kinship.group)[kinship.group] == 1) & ~kinship.severed
        held_out = hold_out(store.n_tokens, alone & (np.arange(len(store)) < n), trained, seed)
        trained &= ~held_out
        controls = self.plant(batch, corpus, held_out[:n], trained[:n], kinship.cap)
        everything = extend_store(store, corpus.encoder, controls.texts)
        return Split(
            kinship=kinship,
            held_out=held_out[:n],
            trained=trained[:n],
            controls=controls,
            store=everything,
            group=np.concatenate([kinship.group, kinship.group.max() + 1 + controls.secret]),
            learnable=np.concatenate([trained, controls.dose > 0]),
            scored=np.concatenate([trained, np.ones(len(controls), dtype=bool)]),
        )

    def runs(self, corpus: Corpus, split: Split, device: str, folder: Path) -> Iterator[tuple[Trace, TokenLosses]]:
        """Trains a proxy per fold, as often as the options say, with other folds and seeds each time. On a CPU the proxies
        of a run share the cores."""
        options = self.options
        threads = max(1, (os.cpu_count() or 1) // (options.folds if device == "cpu" else 1))
        for number in range(options.repeats):
            seed = options.seed + REPEAT_STRIDE * number
            config = TrainConfig(epochs=options.epochs, folds=options.folds, seed=seed, device=device, threads=threads)
            fold = split.fold(options.folds, seed)
            place = folder / run_name(number)
            place.mkdir(exist_ok=True)
            with self.timed("training"):
                losses = cross_fit(
                    corpus.spec, config, split.store, fold, split.learnable, split.scored, place, self.progress
                )
            yield losses

    def recall_items(
        self,
        benchmarks: Sequence[Benchmark],
        contamination: Contamination | None,
        corpus: Corpus,
        split: Split,
        device: str,
        folder: Path,
    ) -> pa.Table | None:
        """What the first run's proxies show about the items that were found; None where there are none."""
        seed, folds, n = self.options.seed, self.options.folds, len(split.trained)
        if contamination is None:
            return None
        items = items_to_ask(contamination.matches, split.fold(folds, seed)[:n], split.trained, split.held_out, folds)
        heard = [item for item in items if item.fold is not None]
        if not heard:
            return tabulate(items, {}) if items else None
        label = "Asking the proxies about benchmark items"
        with self.timed("testimony"), self.progress.task(label, len(heard), "items") as advance:
            measured = recall_items(
                wordings(benchmarks, heard),
                np.array([item.fold for item in heard], dtype=np.int8),
                lambda index: load_proxy(corpus.spec, corpus.encoder.bos, folder / run_name(0), index, device),
                corpus.encoder,
                count_words(sample_words(split.store, corpus.encoder, split.trained, seed)),
                corpus.spec.context,
                seed,
            )
            advance(len(heard))
        return tabulate(items, measured)

    def plant(
        self, batch: Batch, corpus: Corpus, held_out: NDArray[np.bool_], trained: NDArray[np.bool_], cap: int
    ) -> Controls:
        """Controls in the style of the batch, within the token budget of what will be trained on."""
        rng = np.random.default_rng([self.options.seed, 0xF1])
        candidates, held = np.flatnonzero(trained), np.flatnonzero(held_out)
        chosen = rng.choice(candidates, min(WORD_SAMPLES, len(candidates)), replace=False)
        found = read_texts(batch, [*held.tolist(), *chosen.tolist()])
        n_tokens = corpus.store.n_tokens[: len(batch)]
        per_byte = float(n_tokens[trained].sum() / max(1, batch.n_bytes[trained].sum()))
        return plant_controls(
            [found[i] for i in rng.permutation(held).tolist()],
            [found[i][:WORD_CHARACTERS] for i in sorted(chosen.tolist())],
            budget=TOKEN_SHARE * float(n_tokens[trained].sum()),
            tokens_per_byte=per_byte,
            doses=[dose for dose in DOSES if 2 * dose <= cap],
            seed=self.options.seed,
        )

    def act(self, batch: Batch, analysis: LossAnalysis, split: Split, contamination: Contamination | None) -> Actions:
        """What to do with each sample; up-sampling is closed to noise and to benchmark items."""
        nothing = np.zeros(len(batch), dtype=bool)
        hard = analysis.quadrant == QUADRANTS["ambiguous_hard"].code
        return decide(
            analysis.quadrant,
            self.policy.interventions,
            benchmark_match=contamination.is_tier("confirmed") if contamination else nothing,
            suspected=contamination.is_tier("suspected") if contamination else nothing,
            noise=find_noise(batch, hard, analysis.scores, self.progress),
            never_drop=self.policy.never_drop,
            reasons=analysis.reasons,
            held_out=split.held_out,
        )


def run_name(number: int) -> str:
    """The folder in the work folder where the proxies of one run lie."""
    return f"run-{number}"
