"""Result: all that an audit found, as one frozen value, and the folder in which only a run of its kind may continue."""

import hashlib
import importlib.metadata
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit import __version__
from carto_audit.artifacts.batch_facts import RemoteFacts
from carto_audit.artifacts.earlier_audits import CopiesFound, Delivered
from carto_audit.artifacts.redteam_record import RedteamRecord
from carto_audit.artifacts.vendor_facts import VendorFound
from carto_audit.benchmarks.items import Benchmark
from carto_audit.cartography.analysis import LossAnalysis, TracedSamples
from carto_audit.cartography.reasons import Heat
from carto_audit.cartography.scores import burn_in_epochs
from carto_audit.contamination.check import Contamination
from carto_audit.controls.controls import Controls
from carto_audit.data.batch import Batch, iter_texts, read_texts
from carto_audit.data.duplicates import Duplicates
from carto_audit.data.layouts import Segment
from carto_audit.data.sampling_key import SamplingKey
from carto_audit.decisions.settle import Settled
from carto_audit.engines.engine import Engine
from carto_audit.gate.verdict import Verdict
from carto_audit.lenses.calls import LensCall
from carto_audit.lenses.lens_run import LensRun
from carto_audit.pipeline.actions import Actions
from carto_audit.pipeline.judge import loss_on
from carto_audit.pipeline.options import AuditOptions
from carto_audit.policy.metrics import Measurement
from carto_audit.policy.model import Policy
from carto_audit.proxies.kinship import Kinship
from carto_audit.proxies.model import PRESETS, ProxySpec, checkpoint_sha256
from carto_audit.proxies.shared_runs import Boilerplate
from carto_audit.proxies.tokens import Encoder, TokenSpans
from carto_audit.runtime.progress import Progress
from carto_audit.runtime.remote.fetched import Fetched
from carto_audit.runtime.resume import open_run
from carto_audit.text.untrusted import safe_inline
from carto_audit.traces.trace import Trace

MOST_OBJECTS_NAMED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How the audit was done: enough for who holds the sampling key to repeat it. `key_commitment` is that key's, None where a
    public seed took its place; `repeats` pairs of proxies were trained, and intervals hold with this `confidence`; `seconds` is
    wall time per stage, `engine` who worked, with a tally of it."""

    options: AuditOptions
    key_commitment: str | None
    device: str
    spec: ProxySpec
    parameters: int
    capacity_ratio: float | None
    repeats: int
    confidence: float
    max_tokens: int | None
    kinship: Kinship
    references: int
    reference_sha256: str | None
    packages: dict[str, str]
    started_at: str
    seconds: dict[str, float]
    engine: Engine | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A stretch of boilerplate: characters [start, end) of a sample, and how many samples it occurs in."""

    sample: int
    start: int
    end: int
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """All that one audit found. Arrays are aligned with the batch's samples, (N,). `contamination` is None when no
    benchmark was given, `testimony` (TESTIMONY_SCHEMA) when nothing was confirmed or suspected, `redteam` and `decisions` when
    none were.
    `segments` are the parts of the `riskiest` samples' texts, none where these are one column's strings."""

    batch: Batch
    n_tokens: NDArray[np.int64]
    trained: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    fold: NDArray[np.int8]
    duplicates: Duplicates
    benchmarks: tuple[Benchmark, ...]
    contamination: Contamination | None
    testimony: pa.Table | None
    trace: Trace
    analysis: LossAnalysis
    controls: Controls
    spans: TokenSpans
    boilerplate: tuple[Quote, ...]
    riskiest: list[int]
    segments: dict[int, tuple[Segment, ...]]
    heats: dict[int, Heat]
    actions: Actions
    measurements: dict[str, Measurement]
    policy: Policy
    verdict: Verdict
    run: Run
    redteam: RedteamRecord | None = None
    vendor: VendorFound | None = None
    decisions: Settled | None = None
    copies: CopiesFound | None = None
    lenses: tuple[LensRun, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRows:
    """What an audit says of the batch's N samples, for who holds another's word against it. `memorization` (N,) is the policy's
    score, NaN where a sample was not trained on; `loss_in` (N,) that of the proxy which read it, in nats per token;
    `quadrant` (N,) are codes."""

    batch: Batch
    duplicates: Duplicates
    n_tokens: NDArray[np.int64]
    memorization: NDArray[np.float64]
    loss_in: NDArray[np.float64]
    quadrant: NDArray[np.int8]
    policy: Policy
    options: AuditOptions
    proxy: str
    device: str
    folder: Path


def scored_rows(
    batch: Batch,
    samples: TracedSamples,
    analysis: LossAnalysis,
    policy: Policy,
    options: AuditOptions,
    proxy: str,
    device: str,
    folder: Path,
) -> ScoredRows:
    """What this audit says of the batch, `folder` being where it keeps its work."""
    return ScoredRows(
        batch=batch,
        duplicates=samples.duplicates,
        n_tokens=samples.n_tokens,
        memorization=analysis.scores.memorization(policy.map.memorization.score),
        loss_in=analysis.scores.loss_in,
        quadrant=analysis.quadrant,
        policy=policy,
        options=options,
        proxy=proxy,
        device=device,
        folder=folder,
    )


VendorCheck = Callable[[ScoredRows], VendorFound]
"""Holds a vendor's summary against an audit."""


def delivered(
    batch: Batch, duplicates: Duplicates, n_tokens: NDArray[np.int64], cap: int, dose: int, progress: Progress
) -> Delivered:
    """The batch as it is held against earlier deliveries."""
    return Delivered(
        batch_sha256=batch.sha256,
        texts=lambda: ((chunk.start, chunk.texts) for chunk in iter_texts(batch, progress, "Fingerprinting passages")),
        row=batch.row,
        copies=duplicates.copies,
        exact=duplicates.exact,
        n_tokens=n_tokens,
        cap=cap,
        dose=dose,
    )


def remote_facts(remote: Fetched) -> RemoteFacts:
    """Where the batch was fetched from, as the report names it."""
    lines = (f"{one.uri}\t{one.etag}\t{one.size}\n" for one in remote.sources)
    return {
        "given": [safe_inline(uri, 400) for uri in remote.uris],
        "objects": len(remote.sources),
        "bytes": sum(one.size for one in remote.sources),
        "listed": [
            {"uri": safe_inline(one.uri, 400), "etag": one.etag, "bytes": one.size}
            for one in remote.sources[:MOST_OBJECTS_NAMED]
        ],
        "sha256": hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest(),
    }


def quote_boilerplate(batch: Batch, encoder: Encoder, found: Sequence[Boilerplate]) -> tuple[Quote, ...]:
    """Where in the texts the examples of boilerplate stand; those in the trusted reference are left out."""
    wanted = [example for example in found if example.sample < len(batch)]
    texts = read_texts(batch, [example.sample for example in wanted])
    quotes = []
    for example in wanted:
        offsets = encoder.tokenizer.encode(texts[example.sample], add_special_tokens=False).offsets
        start, end = offsets[example.first][0], offsets[example.last][1]
        quotes.append(Quote(sample=example.sample, start=start, end=end, samples=example.samples))
    return tuple(quotes)


def work_folder(work: Path, batch: Batch, reference: Batch | None, options: AuditOptions, *besides: object) -> Path:
    """The folder that a run of exactly this kind may continue in; `besides` is what else decides about its kind."""
    versions = [__version__, importlib.metadata.version("torch"), os.cpu_count()]
    weights = checkpoint_sha256(Path(options.proxy)) if options.proxy and options.proxy not in PRESETS else None
    trusted = reference.sha256 if reference else None
    after = ("vendor_", "decisions", "lens")  # looked at when all is trained
    whoever = ("engine", "workers", "address")  # one engine goes on where another stopped
    how = {name: value for name, value in asdict(options).items() if not name.startswith(after + whoever)}
    how["sampling_key"] = None  # not where the key lies, but which it is, is among `besides`
    return open_run(work, [batch.sha256, str(batch.paths), versions, how, weights, trusted, *besides])


def audit_work(
    work: Path,
    batch: Batch,
    reference: Batch | None,
    options: AuditOptions,
    policy: Policy,
    key: SamplingKey | None = None,
    calls: Sequence[LensCall] = (),
) -> Path:
    """The folder in which an audit under this policy, with this key if one was given, may continue: the policy decides which
    controls are planted, when losses are read, and, with the lenses that are called, what these plant."""
    burn_in = burn_in_epochs(options.epochs, policy.map.difficulty.burn_in_share)
    decided = (policy.demanded_dose, burn_in, loss_on(policy, options))
    planted = [call.recipe for call in calls if call.spec.trained]
    besides = [*decided, key.commitment if key else None, *planted]
    return work_folder(work, batch, reference, options, *besides)


def package_versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    names = ("torch", "transformers", "tokenizers", "datasketch", "numpy", "scipy", "pyarrow")
    return {name: importlib.metadata.version(name) for name in names}


def run_name(number: int) -> str:
    """The folder in the work folder where the proxies of one run lie."""
    return f"run-{number}"
