"""The audit: the one place that knows the order of the stages. Everything it learns is one frozen value."""

import hashlib
import importlib.metadata
import json
import os
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from carto_audit import __version__
from carto_audit.batch import Batch, iter_texts, read_batch, read_texts
from carto_audit.benchmark import Benchmark, read_benchmark
from carto_audit.contamination import Contamination, check_contamination
from carto_audit.controls import Controls, plant_controls
from carto_audit.datamap import DataMap, Mass, draw_map, masses
from carto_audit.duplicates import Duplicates, find_duplicates
from carto_audit.errors import AuditError, UsageError
from carto_audit.folds import Kinship, assign_folds, find_kin, sample_groups
from carto_audit.index import build_index
from carto_audit.interventions import Actions, decide
from carto_audit.metrics import Measurement
from carto_audit.policy import Policy
from carto_audit.progress import SILENT, Progress
from carto_audit.proxy import (
    PRESETS,
    ProxySpec,
    bits,
    capacity_ratio,
    checkpoint_spec,
    choose_preset,
    count_parameters,
)
from carto_audit.scores import Power, Scores, measure_detection, score
from carto_audit.text import safe_inline
from carto_audit.thresholds import QUADRANTS
from carto_audit.tokens import Encoder, TokenStore, encode_batch, load_encoder, locate_spans, train_encoder
from carto_audit.trace import Trace
from carto_audit.train import TrainConfig, cross_fit
from carto_audit.verdict import Verdict, evaluate

CPU_TOKENS = 1_000_000
GPU_TOKENS = 100_000_000
"""Training tokens when `max_tokens` is not given: about a quarter of an hour on two cores, and on one data-centre GPU."""

FILLER_SAMPLES = 2000
FILLER_CHARACTERS = 4000

DEFAULT_EPOCHS = 8
"""At 8, secrets planted 4 times stand out with AUC 0.95 on 260,000 tokens of Wikipedia (docs/method.md)."""

LANGUAGE_ZLIB_RATIO = 0.75
"""Text that zlib cannot shrink below this is no language; short texts are not judged (their headers dominate)."""

SHORTEST_ZLIB_BYTES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run decides; what a team decides once stands in the policy. `proxy` is a preset, a checkpoint folder or None."""

    text_column: str | None = None
    id_column: str | None = None
    proxy: str | None = None
    device: str = "auto"
    epochs: int = DEFAULT_EPOCHS
    folds: int = 2
    max_tokens: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How the audit was done: enough to repeat it. `seconds` is wall time per stage."""

    options: Options
    device: str
    spec: ProxySpec
    parameters: int
    capacity_ratio: float | None
    max_tokens: int | None
    kinship: Kinship
    packages: dict[str, str]
    started_at: str
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """All that one audit found. Arrays are aligned with the batch's samples, (N,); `control_scores` with `controls`.

    `contamination` is None when no benchmark was given, `datamap` when a threshold could not be set.
    """

    batch: Batch
    n_tokens: NDArray[np.int64]
    trained: NDArray[np.bool_]
    fold: NDArray[np.int8]
    duplicates: Duplicates
    benchmarks: tuple[Benchmark, ...]
    contamination: Contamination | None
    trace: Trace
    scores: Scores
    controls: Controls
    control_scores: Scores
    power: dict[str, Any]
    datamap: DataMap | None
    masses: dict[str, Mass]
    span_start: NDArray[np.int64]
    span_end: NDArray[np.int64]
    actions: Actions
    measurements: dict[str, Measurement]
    policy: Policy
    verdict: Verdict
    run: Run


def run_audit(
    inputs: Sequence[str | Path],
    *,
    policy: Policy,
    work: Path,
    benchmarks: Sequence[str | Path] = (),
    options: Options | None = None,
    progress: Progress = SILENT,
) -> Audit:
    """Audits a batch against a policy. `work` keeps what a killed run needs to continue; the caller removes it.

    Raises UsageError and AuditError, each with one line that says the way out.
    """
    return _Auditor(policy, options or Options(), work, progress).run(inputs, benchmarks)


@dataclass(slots=True)
class _Auditor:
    """Carries the run's settings from stage to stage and times them."""

    policy: Policy
    options: Options
    work: Path
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[stage] = round(time.perf_counter() - began, 3)

    def run(self, inputs: Sequence[str | Path], benchmark_paths: Sequence[str | Path]) -> Audit:
        options, progress = self.options, self.progress
        device = resolve_device(options.device)
        benchmarks = tuple(read_benchmark(path) for path in benchmark_paths)
        with self.timed("batch"):
            batch = read_batch(
                inputs, text_column=options.text_column, id_column=options.id_column, progress=progress
            )
        folder = work_folder(self.work, batch, options)
        with self.timed("duplicates"):
            duplicates = find_duplicates(batch, folder, progress)
        with self.timed("contamination"):
            contamination = check_contamination(batch, build_index(benchmarks), progress) if benchmarks else None
        with self.timed("tokens"):
            spec, encoder = self.choose_proxy(batch, duplicates, device)
            most_tokens = options.max_tokens or (CPU_TOKENS if device == "cpu" else GPU_TOKENS)
            controls = self.plant(batch, duplicates, encoder, most_tokens)
            store = encode_batch(batch, encoder, controls.texts, folder / "tokens.bin", progress)
        n, n_tokens = len(batch), store.n_tokens
        with self.timed("folds"):
            kinship = find_kin(store, duplicates.cluster_id, duplicates.exact, folder, progress)
            usable = batch.trainable & (n_tokens[:n] > 0)
            trained = usable & sample_groups(kinship.group, n_tokens[:n] * usable, most_tokens, options.seed)
            group = np.concatenate([kinship.group, kinship.group.max() + 1 + controls.secret])
            mapped = np.concatenate([trained, np.ones(len(controls), dtype=bool)])
            fold = assign_folds(group, n_tokens * mapped, options.folds, options.seed)
        with self.timed("training"):
            threads = max(1, (os.cpu_count() or 1) // (options.folds if device == "cpu" else 1))
            config = TrainConfig(
                epochs=options.epochs, folds=options.folds, seed=options.seed, device=device, threads=threads
            )
            learnable = np.concatenate([trained, controls.dose > 0])
            trace, token_losses = cross_fit(spec, config, store, fold, learnable, mapped, folder, progress)
        with self.timed("scores"):
            settings = self.policy.map
            everything = score(
                trace, token_losses, settings.memorization.epsilon, settings.difficulty.burn_in_share
            )
            scores, planted = everything.select(slice(0, n)), everything.select(slice(n, None))
            alone = duplicates.cluster_size == 1
            power = measure_detection(scores.select(alone), n_tokens[:n][alone], planted, controls)
            datamap = draw_map(
                scores,
                n_tokens[:n],
                settings.memorization.score,
                (settings.difficulty.threshold, settings.memorization.threshold),
                planted,
                controls,
            )
            quadrant = datamap.quadrant if datamap else np.full(n, -1, np.int8)
            mass = masses(quadrant, n_tokens[:n], kinship.group, options.seed) if datamap else {}
            start, end = locate_spans(batch, encoder, scores.span_first, scores.span_last, progress)
        parameters = count_parameters(spec)
        ratio = _measured_ratio(scores, n_tokens[:n], trained, parameters)
        measurements = measure(batch, n_tokens[:n], duplicates, contamination, scores, power, mass, ratio, self.policy)
        return Audit(
            batch=batch,
            n_tokens=n_tokens[:n],
            trained=trained,
            fold=fold[:n],
            duplicates=duplicates,
            benchmarks=benchmarks,
            contamination=contamination,
            trace=trace.select(slice(0, n)),
            scores=scores,
            controls=controls,
            control_scores=planted,
            power=power,
            datamap=datamap,
            masses=mass,
            span_start=start,
            span_end=end,
            actions=self.act(batch, quadrant, scores, contamination),
            measurements=measurements,
            policy=self.policy,
            verdict=evaluate(self.policy, measurements, datetime.now(UTC).date()),
            run=Run(
                options=options,
                device=device,
                spec=spec,
                parameters=parameters,
                capacity_ratio=ratio,
                max_tokens=None if trained.sum() == usable.sum() else most_tokens,
                kinship=kinship,
                packages=package_versions(),
                started_at=self.started_at,
                seconds=self.seconds,
            ),
        )

    def choose_proxy(self, batch: Batch, duplicates: Duplicates, device: str) -> tuple[ProxySpec, Encoder]:
        """The proxy's shape and the encoder that goes with it: a preset and a fresh vocabulary, or a checkpoint's own."""
        name = self.options.proxy or choose_preset(int(batch.n_bytes.sum()), device)
        if name in PRESETS:
            spec = PRESETS[name]
            return spec, train_encoder(batch, duplicates.exact, spec.vocab_size, self.options.seed, self.progress)
        folder = Path(name)
        if not folder.is_dir():
            known = ", ".join(PRESETS)
            raise UsageError(f'--proxy "{safe_inline(name, 80)}": neither a preset ({known}) nor a checkpoint folder')
        encoder = load_encoder(folder)
        return checkpoint_spec(folder, encoder.vocab_size), encoder

    def plant(self, batch: Batch, duplicates: Duplicates, encoder: Encoder, most_tokens: int) -> Controls:
        """Controls in the style of the batch, within the token budget of what will be trained on."""
        rng = np.random.default_rng([self.options.seed, 0xF1])
        candidates = np.flatnonzero(batch.trainable & ~duplicates.exact)
        chosen = rng.choice(candidates, min(FILLER_SAMPLES, len(candidates)), replace=False)
        found = read_texts(batch, chosen.tolist())
        texts = [found[i][:FILLER_CHARACTERS] for i in sorted(found)]
        encoded = encoder.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        per_byte = sum(len(e.ids) for e in encoded) / max(1, sum(len(t.encode()) for t in texts))
        training_tokens = min(most_tokens, int(batch.n_bytes[batch.trainable].sum() * per_byte))
        return plant_controls(texts, training_tokens, per_byte, self.options.seed)

    def act(
        self, batch: Batch, quadrant: NDArray[np.int8], scores: Scores, contamination: Contamination | None
    ) -> Actions:
        """What to do with each sample; up-sampling is closed to noise and to benchmark items."""
        hard = quadrant == QUADRANTS.index("ambiguous_hard")
        unlearned = scores.loss_in > np.nanpercentile(scores.loss_out, 95) if np.isfinite(scores.loss_out).any() else hard
        noise = unlearned | incompressible(batch, hard, self.progress)
        nothing = np.zeros(len(batch), dtype=bool)
        return decide(
            quadrant,
            self.policy.interventions,
            benchmark_match=contamination.is_tier("confirmed") if contamination else nothing,
            suspected=contamination.is_tier("suspected") if contamination else nothing,
            noise=noise,
            never_drop=self.policy.never_drop,
        )


def resolve_device(name: str) -> str:
    """`auto` is the best device there is. Raises UsageError for one that this machine does not have."""
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if present[device])
    if not present.get(name, False):
        raise UsageError(f"--device {name}: this machine has no such device; it has: {', '.join(d for d in present if present[d])}")
    return name


def work_folder(work: Path, batch: Batch, options: Options) -> Path:
    """The folder that a run of exactly this kind may continue in; folders of other runs are removed."""
    versions = [__version__, torch.__version__, os.cpu_count()]
    identity = json.dumps([batch.sha256, str(batch.paths), versions, asdict(options)], sort_keys=True)
    folder = work / hashlib.sha256(identity.encode()).hexdigest()[:16]
    try:
        for other in work.glob("*") if work.is_dir() else ():
            if other != folder:
                shutil.rmtree(other)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AuditError(f"{safe_inline(str(work), 160)}: cannot write here: {error.strerror}; choose another --out") from error
    return folder


def incompressible(batch: Batch, candidates: NDArray[np.bool_], progress: Progress) -> NDArray[np.bool_]:
    """Which candidates zlib cannot shrink as it shrinks language, (N,). Streams."""
    found = np.zeros(len(batch), dtype=bool)
    for chunk in iter_texts(batch, progress, "Looking for noise") if candidates.any() else ():
        for i in np.flatnonzero(candidates[chunk.start : chunk.start + len(chunk.texts)]):
            raw = chunk.texts[i].encode()
            if len(raw) >= SHORTEST_ZLIB_BYTES:
                found[chunk.start + i] = len(zlib.compress(raw)) > LANGUAGE_ZLIB_RATIO * len(raw)
    return found


def package_versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    names = ("torch", "transformers", "tokenizers", "datasketch", "numpy", "scipy", "pyarrow")
    return {name: importlib.metadata.version(name) for name in names}


def _measured_ratio(
    scores: Scores, n_tokens: NDArray[np.int64], trained: NDArray[np.bool_], parameters: int
) -> float | None:
    known = trained & np.isfinite(scores.loss_out)
    if not known.any():
        return None
    nats = float(np.average(scores.loss_out[known], weights=n_tokens[known]))
    return capacity_ratio(float(n_tokens[trained].sum()), bits(nats), parameters)


def measure(
    batch: Batch,
    n_tokens: NDArray[np.int64],
    duplicates: Duplicates,
    contamination: Contamination | None,
    scores: Scores,
    power: dict[str, Any],
    mass: dict[str, Mass],
    ratio: float | None,
    policy: Policy,
) -> dict[str, Measurement]:
    """Every metric that this audit could measure. One that is absent was not measured, and no rule on it can pass."""
    total, rows = max(1, int(n_tokens.sum())), len(batch)
    found: dict[str, float | None] = {
        "batch.rows": batch.rows,
        "batch.samples": rows,
        "batch.tokens": int(n_tokens.sum()),
        "batch.skipped_row_share": sum(len(s.rows) for s in batch.skipped) / batch.rows,
        "duplicates.exact_row_share": duplicates.exact.sum() / rows,
        "duplicates.near_row_share": duplicates.near.sum() / rows,
        "duplicates.token_share": n_tokens[duplicates.exact | duplicates.near].sum() / total,
        "proxy.capacity_ratio": ratio,
        **_forget_metrics(scores),
        **_contamination_metrics(contamination, n_tokens),
        **_power_metrics(power.get(policy.map.memorization.score, {})),
    }
    measured = {name: Measurement.exact(float(value)) for name, value in found.items() if value is not None}
    for part, m in mass.items():
        low, high = m.row_interval
        measured[f"{part}.row_share"] = Measurement(value=m.row_share, low=low, high=high)
        low, high = m.token_interval
        measured[f"{part}.token_share"] = Measurement(value=m.token_share, low=low, high=high)
    return measured


def _forget_metrics(scores: Scores) -> dict[str, float | None]:
    known = np.isfinite(scores.forget_score)
    if not known.any():
        return {}
    _, counts = np.unique(scores.forget_score[known], return_counts=True)
    return {
        "forget.tie_share": float(counts.max() / known.sum()),
        "forget.never_learned_share": float(scores.never_learned[known].mean()),
    }


def _contamination_metrics(
    contamination: Contamination | None, n_tokens: NDArray[np.int64]
) -> dict[str, float | None]:
    if contamination is None:
        return {}
    confirmed = contamination.is_tier("confirmed")
    return {
        "contamination.confirmed_items": sum(b.confirmed_items for b in contamination.benchmarks),
        "contamination.suspected_items": sum(b.suspected_items for b in contamination.benchmarks),
        "contamination.confirmed_rows": int(confirmed.sum()),
        "contamination.suspected_rows": int(contamination.is_tier("suspected").sum()),
        "contamination.confirmed_token_share": float(n_tokens[confirmed].sum() / max(1, n_tokens.sum())),
    }


def _power_metrics(by_class: dict[str, dict[str, dict[str, Power]]]) -> dict[str, float | None]:
    """Power at each dose: the lowest over classes and forms, for a chain is as strong as its weakest link."""
    forms = [form for forms in by_class.values() for form in forms.values()]
    found: dict[str, float | None] = {}
    for dose in ("1", "4", "16"):
        powers = [form[dose] for form in forms if dose in form]
        if powers and len(powers) == len(forms):
            found[f"detection.auc_at_dose_{dose}"] = min(p.auc for p in powers)
            if dose != "1":
                found[f"detection.recall_at_5pct_dose_{dose}"] = min(p.recall_at_5pct for p in powers)
    return found
