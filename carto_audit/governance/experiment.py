"""The experiment: what one seed fixes before any arm is tried. Who is held out, what is planted, what an audit makes of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.data.batch import Batch, read_batch, read_texts
from carto_audit.data.duplicates import Duplicates, find_duplicates
from carto_audit.engines.engine import LOCAL, Engine
from carto_audit.governance.attack_plan import AttackPlanner
from carto_audit.governance.attacks.suite import AttackPlan
from carto_audit.governance.canaries import (
    OFTEN,
    READINGS,
    RESERVED_SHARE,
    TOKEN_SHARE,
    Canaries,
    Canary,
    plant_canaries,
)
from carto_audit.governance.retrain import Recipe, count_steps
from carto_audit.pipeline.options import AuditOptions
from carto_audit.pipeline.result import AuditResult, audit_work, run_name
from carto_audit.pipeline.run import run_audit
from carto_audit.policy.model import Policy
from carto_audit.proxies.cross_fit import load_proxy
from carto_audit.proxies.folds import sample_groups
from carto_audit.proxies.kinship import find_kin
from carto_audit.proxies.proxy_choice import ProxyChoice, choose_proxy, most_tokens
from carto_audit.proxies.sampling import draw_samples
from carto_audit.proxies.tokens import encode_batches, weigh_pieces
from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.files import write_table
from carto_audit.runtime.progress import SILENT, Progress

HELD_OUT_SHARE = 0.25
"""As a share of what is trained on: text that no proxy reads, to measure perplexity on and to hold members against. A tenth
would be too few samples to tell 1 % of false alarms."""

LEAST_HELD_OUT, LEAST_TOKENS = 20, 10_000
"""Held-out samples and tokens to train on; with less nothing can be measured."""

RATE_FACTOR, MINIBATCH_FACTOR, WEIGHT_DECAY = 2.0, 2, 0.05
"""The learning rate and the minibatch of a retraining over those of an audit's proxies, and its weight decay. An audit has to see
what could be memorized; a red team needs a model that recites what it read often, while its perplexity is still near its
lowest, for there an arm's price is not the price of overtraining. At three times the rate single runs go astray, by a quarter
of the perplexity (bench/governance)."""

AUDIT_ROOM = 2
"""The audit of the planted batch may read so many times what is trained on, hence all of it: copies of secrets come on top, and
a row that was left out for want of room would have no score, and be pruned by none."""

Bools = NDArray[np.bool_]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedBatch:
    """The batch that every seed divides anew: tokens (N,), kinship groups (N,), what ties samples (`Kinship.edges`), which are
    `alone` (N,), and what is usable at all (N,)."""

    batch: Batch
    n_tokens: Ids
    group: Ids
    edges: Ids
    alone: Bools
    usable: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One seed's world. `audit` is of the planted batch: ordinary rows, and copies of secrets; `owner` (N,) says of which secret
    a row is a copy, -1 of none, and `dose` (N,) how often that is planted, 0 for ordinary rows. `secrets` are those that can be
    asked for."""

    recipe: Recipe
    audit: AuditResult
    secrets: tuple[Canary, ...]
    owner: Ids
    dose: Ids
    plan: AttackPlan
    epochs: int
    folder: Path

    @property
    def n_tokens(self) -> Ids:
        """Tokens of the rows, (N,)."""
        return self.audit.n_tokens


def prepare_batch(
    batch: Batch,
    options: AuditOptions,
    device: str,
    folder: Path,
    progress: Progress = SILENT,
    engine: Engine = LOCAL,
) -> PreparedBatch:
    """Who is kin to whom in the batch."""
    duplicates = find_duplicates(batch, folder, progress, engine)
    encoder = _choose_proxy(batch, duplicates, options, device, progress).encoder
    store = encode_batches([batch], encoder, folder / "stock.bin", progress)
    usable = batch.trainable & (store.n_tokens > 0)
    kinship = find_kin(
        store,
        duplicates.cluster_id,
        duplicates.exact,
        usable,
        folder,
        progress,
        piece_weight=weigh_pieces(encoder, store),
    )
    return PreparedBatch(
        batch=batch,
        n_tokens=store.n_tokens,
        group=kinship.group,
        edges=kinship.edges,
        alone=usable & kinship.alone,
        usable=usable,
    )


def prepare(
    stock: PreparedBatch,
    policy: Policy,
    options: AuditOptions,
    epochs: int | None,
    device: str,
    folder: Path,
    progress: Progress = SILENT,
) -> Experiment:
    """Holds out, plants, audits, and writes the attack plan of one seed, that of the options. `options.max_tokens` bounds what is
    trained on; `epochs` None are as many as a proxy needs to recite what is planted often. Raises UsageError where the batch is
    too small to divide."""
    seed = options.training_seed
    ordinary, held_out, reserved = divide(stock, options.max_tokens, policy.demanded_dose, seed)
    room = options.max_tokens and AUDIT_ROOM * options.max_tokens
    options = replace(options, seed=seed, max_tokens=room, repeats=1)
    canaries = plant(stock, ordinary, reserved, seed)
    planted = _write(folder / "planted.parquet", stock, ordinary, canaries, seed)
    outside = _write(folder / "held_out.parquet", stock, held_out, None, seed)[0]
    audit = run_audit([planted[0]], policy=policy, work=folder / "audit", options=options, progress=progress)
    choice = _choose_proxy(audit.batch, audit.duplicates, options, device)
    unseen = read_batch([outside])
    store = encode_batches([audit.batch, unseen], choice.encoder, folder / "tokens.bin")
    n = len(audit.batch)
    epochs = epochs or math.ceil(READINGS / max(canaries.often, min(OFTEN)))
    samples = np.flatnonzero(audit.batch.trainable & (store.n_tokens[:n] > 0))
    spec = replace(
        choice.spec,
        learning_rate=RATE_FACTOR * choice.spec.learning_rate,
        minibatch_tokens=MINIBATCH_FACTOR * choice.spec.minibatch_tokens,
    )
    place = audit_work(folder / "audit", audit.batch, None, options, policy)
    proxies = tuple(load_proxy(choice.spec, choice.encoder.bos, place / run_name(0), side, device) for side in range(2))
    writer = AttackPlanner(audit=audit, choice=choice, store=store, proxies=proxies, seed=seed)
    secrets, plan = writer.write(canaries, planted[1])
    return Experiment(
        recipe=Recipe(
            spec=spec,
            store=store,
            samples=samples,
            steps=count_steps(spec, store, samples, epochs),
            weight_decay=WEIGHT_DECAY,
            seed=seed,
            device=device,
        ),
        audit=audit,
        secrets=secrets,
        owner=planted[1],
        dose=np.where(planted[1] >= 0, canaries.dose[planted[1]], 0),
        plan=plan,
        epochs=epochs,
        folder=folder,
    )


def _choose_proxy(
    batch: Batch, duplicates: Duplicates, options: AuditOptions, device: str, progress: Progress = SILENT
) -> ProxyChoice:
    return choose_proxy(
        batch,
        duplicates,
        name=options.proxy,
        most=most_tokens(options.max_tokens, device),
        seed=options.training_seed,
        device=device,
        progress=progress,
    )


def divide(stock: PreparedBatch, most_tokens: int | None, dose: int, seed: int) -> tuple[Bools, Bools, Bools]:
    """Which samples are trained on, held out, and reserved to make secrets of, each (N,), at random: of all, or of a draw of
    about `most_tokens` in which secrets of the `dose` stay together. What is held out has no kin elsewhere. Raises UsageError
    where there are too few."""
    size = stock.n_tokens * stock.usable
    whole = 1 + HELD_OUT_SHARE + RESERVED_SHARE
    room = round(whole * most_tokens) if most_tokens else int(size.sum())
    chosen = draw_samples(size, stock.edges, room, dose, seed).drawn
    total = float(size[chosen].sum()) / whole
    held_out = _take(stock.group, size * chosen, HELD_OUT_SHARE * total, seed + 1)
    spare = chosen & ~held_out & stock.alone
    reserved = _take(stock.group, size * spare, RESERVED_SHARE * total, seed + 2)
    ordinary = chosen & ~held_out & ~reserved
    if size[ordinary].sum() < LEAST_TOKENS or held_out.sum() < LEAST_HELD_OUT:
        raise UsageError(
            f"too little text to divide: {int(size[chosen].sum()):,} tokens give {int(size[ordinary].sum()):,} to train on "
            f"and {int(held_out.sum())} held-out samples; a red team needs {LEAST_TOKENS:,} and {LEAST_HELD_OUT}"
        )
    if not reserved.any():
        raise UsageError(
            "every text of this batch has kin in it, and secrets are made of text without: give it more text"
        )
    return ordinary, held_out, reserved


def _take(group: Ids, size: Ids, tokens: float, seed: int) -> Bools:
    """Groups at random, of samples with a size, that hold about so many tokens together."""
    return np.asarray((size > 0) & sample_groups(group, size, max(1, round(tokens)), seed))


def plant(stock: PreparedBatch, ordinary: Bools, reserved: Bools, seed: int) -> Canaries:
    """Canaries of the reserved samples' text."""
    rng = np.random.default_rng([seed, 0xC1])
    lending = rng.choice(np.flatnonzero(ordinary), min(2000, int(ordinary.sum())), replace=False)
    source = rng.permutation(np.flatnonzero(reserved))
    texts = read_texts(stock.batch, [*source.tolist(), *lending.tolist()])
    tokens = float(stock.n_tokens[ordinary].sum())
    per_byte = tokens / max(1, int(stock.batch.n_bytes[ordinary].sum()))
    return plant_canaries(
        [texts[i] for i in source.tolist()],
        [texts[i][:4000] for i in sorted(lending.tolist())],
        TOKEN_SHARE * tokens,
        per_byte,
        seed,
    )


def write_texts(path: Path, texts: Sequence[str]) -> None:
    """Writes a batch that holds nothing but texts."""
    write_table(path, pa.table({"text": pa.array(texts, pa.large_string())}))


def _write(path: Path, stock: PreparedBatch, chosen: Bools, canaries: Canaries | None, seed: int) -> tuple[Path, Ids]:
    """A batch of some samples and all copies of the secrets, in random order, and whose copy each row is."""
    samples = np.flatnonzero(chosen).tolist()
    texts = read_texts(stock.batch, samples)
    rows = [texts[i] for i in samples] + (list(canaries.copies) if canaries else [])
    owner = np.concatenate([np.full(len(samples), -1), canaries.owner if canaries else np.empty(0, np.int64)])
    order = np.random.default_rng([seed, 0xD0]).permutation(len(rows))
    write_texts(path, [rows[k] for k in order])
    return path, owner[order].astype(np.int64)
