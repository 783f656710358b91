"""Recomputation: the vendor's draw and one of his proxies, made again with his seed and key; half of what an audit trains."""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from carto_audit.artifacts.vendor_facts import VendorRecomputeFacts
from carto_audit.data.sampling_key import SamplingKey
from carto_audit.pipeline.corpus import Split, encode_corpus, split_corpus
from carto_audit.pipeline.options import AuditOptions
from carto_audit.pipeline.result import ScoredRows, package_versions
from carto_audit.proxies.cross_fit import FoldJob, TrainConfig, train_fold
from carto_audit.proxies.model import PRESETS, ProxySpec
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.untrusted import safe_inline
from carto_audit.vendors.agreement import Tested, exact_test
from carto_audit.vendors.challenge import Held
from carto_audit.vendors.reading import Summary
from carto_audit.vendors.rows import bools, floats
from carto_audit.vendors.statement import Recipe

TOLERANCE = 0.01
"""Nats per token by which a loss may differ: two builds of torch on one kind of processor differ by less than 0.001."""

MOST_EPOCHS = 2
"""Times ours: a summary must not make a buyer train for days."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Again:
    """What was computed again of the challenged samples: their indices, their losses, and which of them the proxy had learned;
    `strays` are rows that his key draws and the summary leaves out, or the other way round."""

    samples: NDArray[np.int64]
    loss: Floats
    learned: NDArray[np.bool_]
    strays: int


def recompute(
    summary: Summary, scored: ScoredRows, held: Held, progress: Progress = SILENT
) -> tuple[VendorRecomputeFacts, Tested | None]:
    """Trains one proxy as the vendor says that he did, and holds its losses on the challenged rows against his.

    Where the platform or the recipe allow no exact repetition, the facts say why, and nothing is tested.
    """
    began = time.perf_counter()
    if why := why_not(summary, scored):
        return _facts(0, 0, None, None, 0.0, why), None
    with tempfile.TemporaryDirectory(dir=scored.folder, prefix="vendor-") as folder:
        again = _train(summary.predicate.recipe, scored, held, summary, Path(folder), progress)
    row = scored.batch.row[again.samples]
    stated = np.where(again.learned, floats(summary.table, "loss_in")[row], floats(summary.table, "loss_out")[row])
    difference = np.where(np.isfinite(stated), np.abs(stated - again.loss), np.inf)
    same = int((difference <= TOLERANCE).sum())
    finite = difference[np.isfinite(difference)]
    largest = float(finite.max()) if len(finite) else None
    seconds = round(time.perf_counter() - began, 3)
    tested = exact_test("recomputed_losses", len(difference) - same + again.strays, len(difference) + again.strays)
    return _facts(len(difference), same, largest, again.strays == 0, seconds, None), tested


def why_not(summary: Summary, scored: ScoredRows) -> str | None:
    """Why the vendor's losses cannot be computed again here, in words; None where they can."""
    recipe, ours = summary.predicate.recipe, package_versions()
    if summary.predicate.batch.sha256 != scored.batch.sha256:
        return "the summary is of another batch, so nothing was computed again"
    if recipe.device != "cpu" or scored.device != "cpu":
        return "only losses from a CPU repeat exactly, so nothing was computed again"
    others = [name for name in ("torch", "tokenizers", "numpy") if recipe.packages.get(name) != ours[name]]
    if others:
        return f"another version of {', '.join(others)} is installed here, so nothing was computed again"
    if recipe.repeats != 1:
        return f"they are means over {recipe.repeats} pairs of proxies; ask for a summary of an audit with --repeats 1"
    if recipe.planted_by:
        lenses = safe_inline(", ".join(recipe.planted_by), 120)
        return (
            f"his proxies read what lenses planted ({lenses}), so nothing was computed again; ask for an audit without"
        )
    known = recipe.proxy.name in PRESETS and recipe.proxy.name == scored.proxy and recipe.proxy.checkpoint is None
    if recipe.reference_sha256 is not None or not known:
        return "his audit used a reference, or another proxy than ours, so nothing was computed again"
    if recipe.epochs > MOST_EPOCHS * scored.options.epochs:
        return f"repeating his {recipe.epochs:,} epochs takes too long, so nothing was computed again"
    return None


def _train(
    recipe: Recipe, scored: ScoredRows, held: Held, summary: Summary, folder: Path, progress: Progress
) -> _Again:
    options = AuditOptions(
        proxy=recipe.proxy.name,
        device="cpu",
        epochs=recipe.epochs,
        folds=recipe.folds,
        max_tokens=recipe.max_tokens,
        seed=recipe.seed,
    )
    key = SamplingKey(bytes.fromhex(recipe.sampling_key)) if recipe.sampling_key is not None else None
    entropy = key.entropy(scored.batch.sha256) if key else recipe.seed
    corpus = encode_corpus(
        scored.batch, None, scored.duplicates, options, recipe.loss_on, entropy, "cpu", folder, progress
    )
    split = split_corpus(scored.batch, None, scored.duplicates, corpus, recipe.dose, entropy, folder, progress)
    samples = _challenged(scored, split, held)
    fold = split.fold(recipe.folds)
    index = int(held.nonce[:8], 16) % recipe.folds
    learned = split.learnable & ((fold != index) | (recipe.folds == 1))
    loss = _losses(_job(corpus.spec, recipe, split, learned, samples, index, folder), samples, progress)
    drawn = np.zeros(summary.table.num_rows, dtype=bool)
    drawn[scored.batch.row] = split.trained
    strays = int((drawn != bools(summary.table, "trained")).sum())
    return _Again(samples=samples, loss=loss, learned=learned[samples], strays=strays)


def _challenged(scored: ScoredRows, split: Split, held: Held) -> NDArray[np.int64]:
    """The samples that the vendor's draw trains on, among the challenged rows, by index."""
    return np.flatnonzero(np.isin(scored.batch.row, held.challenged) & split.trained)


def _job(
    spec: ProxySpec,
    recipe: Recipe,
    split: Split,
    learned: NDArray[np.bool_],
    samples: NDArray[np.int64],
    index: int,
    folder: Path,
) -> FoldJob:
    burn_in = recipe.burn_in_epochs
    config = TrainConfig(
        epochs=recipe.epochs,
        folds=recipe.folds,
        seed=recipe.seed,
        device="cpu",
        threads=max(1, (os.cpu_count() or 1) // recipe.folds),
        burn_in=int(burn_in) if burn_in >= 1 else burn_in,
    )
    return FoldJob(
        index=index,
        spec=spec,
        config=config,
        store=split.store,
        learned=np.flatnonzero(learned),
        scored=samples,
        folder=folder,
    )


def _losses(job: FoldJob, samples: NDArray[np.int64], progress: Progress) -> Floats:
    """The samples' mean losses over the late epochs, by one proxy."""
    total = job.config.epochs * int(job.store.n_tokens[job.learned].sum())
    with progress.task("Computing the vendor's losses again", total, "tokens") as advance:
        train_fold(job, advance)
    arrays = torch.load(job.folder / f"proxy-{job.index}.pt", weights_only=True)["arrays"]
    late = [job.config.logged.index(epoch) for epoch in job.config.late]
    losses: Floats = arrays[1].numpy()[late][:, samples].mean(axis=0, dtype=np.float64)
    return losses


def _facts(
    rows: int, same: int, largest: float | None, agrees: bool | None, seconds: float, why: str | None
) -> VendorRecomputeFacts:
    return {
        "rows": rows,
        "same": same,
        "tolerance": TOLERANCE,
        "largest_difference": largest,
        "draw_agrees": agrees,
        "seconds": seconds,
        "why_not": why,
    }
