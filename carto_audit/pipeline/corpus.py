"""The corpus and its split: everything as tokens, who is kin, who is trained on, and the controls that are planted."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.cartography.analysis import LossAnalysis, TracedSamples
from carto_audit.cartography.quadrants import QUADRANT_NAMES
from carto_audit.cartography.thresholds import LossOn
from carto_audit.controls.controls import DOSES, Controls, hold_out, plant_controls
from carto_audit.data.batch import Batch, read_texts
from carto_audit.data.duplicates import Duplicates
from carto_audit.engines.apart import run_apart
from carto_audit.lenses.calls import LensCall
from carto_audit.lenses.mixing import Subject
from carto_audit.lenses.planting import MOST_ROOM, TrainedPlants, plant_trained
from carto_audit.lenses.readers import UNREAD, Proxies
from carto_audit.pipeline.options import AuditOptions
from carto_audit.policy.model import Policy
from carto_audit.proxies.folds import assign_folds
from carto_audit.proxies.kinship import Kinship, find_kin
from carto_audit.proxies.model import ProxySpec
from carto_audit.proxies.proxy_choice import choose_proxy, most_tokens
from carto_audit.proxies.sampling import draw_samples
from carto_audit.proxies.tokens import Encoder, TokenStore, count_tokens, encode_batches, extend_store, weigh_pieces
from carto_audit.runtime.limits import Limits
from carto_audit.runtime.progress import SILENT, Progress

WORD_SAMPLES = 2000
WORD_CHARACTERS = 4000
"""Of so many samples, so much of each lends single words to the controls."""

LENS_ROOM = 0.25
"""Of the held-out tokens, what lenses may write trained plants from; no control is made of it, or a passage that was never to be
planted would be read after all."""

READ_PER_TRAINED = 4
"""Tokens that a proxy reads in the time of training on one, about."""

LENS_TIME_SHARE = 0.5
"""Of the time that training took, what lenses together may have the proxies read, where no policy says otherwise."""


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
    """Who is kin, who is trained on, and the controls that were planted. `held_out`, `trained` and `weight`, for how many
    like it a sample stands, are (N,); `undrawn_tokens` had no chance to be drawn, and of the whole batch
    `frequent_runs` are boilerplate. `learnable` and `scored` cover everything
    in `store`, which now ends with the controls; `group` too. `entropy` decides what is left to chance. Lenses write their plants
    from the held-out samples `lens_room`, and no control is made of these; after the controls then come the `planted` texts."""

    kinship: Kinship
    held_out: NDArray[np.bool_]
    trained: NDArray[np.bool_]
    controls: Controls
    store: TokenStore
    group: NDArray[np.int64]
    weight: NDArray[np.float64]
    undrawn_tokens: int
    frequent_runs: int
    learnable: NDArray[np.bool_]
    scored: NDArray[np.bool_]
    entropy: int = field(repr=False)
    lens_room: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    planted: int = 0

    @property
    def traced(self) -> int:
        """How many samples of the store the map is drawn from: all but what lenses planted."""
        return len(self.store) - self.planted

    def fold(self, folds: int, stride: int = 0) -> NDArray[np.int8]:
        """The side of the cross-fit on which each sample of the store lies; another split with another `stride`."""
        return assign_folds(self.group, self.store.n_tokens * self.scored, folds, self.entropy + stride)


def encode_corpus(
    batch: Batch,
    reference: Batch | None,
    duplicates: Duplicates,
    options: AuditOptions,
    loss_on: LossOn,
    entropy: int,
    device: str,
    folder: Path,
    progress: Progress = SILENT,
) -> Corpus:
    """Chooses the proxy and its vocabulary, and encodes everything but the controls into a file in `folder`. `entropy` decides
    of which samples the vocabulary is made where they are too many."""
    most = most_tokens(options.max_tokens, device)
    chosen = choose_proxy(
        batch, duplicates, name=options.proxy, most=most, seed=entropy, device=device, progress=progress
    )
    batches = [batch] if reference is None else [batch, reference]
    store = encode_batches(
        batches, chosen.encoder, folder / "tokens.bin", progress, learned_parts=loss_on == "completions"
    )
    return Corpus(
        spec=chosen.spec,
        encoder=chosen.encoder,
        store=store,
        references=len(store) - len(batch),
        most_tokens=most,
    )


def split_corpus(
    batch: Batch,
    reference: Batch | None,
    duplicates: Duplicates,
    corpus: Corpus,
    demanded: int,
    entropy: int,
    folder: Path,
    progress: Progress = SILENT,
    *,
    lenses: bool = False,
) -> Split:
    """Who is kin, who is trained on; then the controls, made of text that nobody trains on, most of them of the dose that is
    `demanded`. Who is drawn, who is held out, what is planted and how the folds are cut follow from `entropy`. With `lenses` a
    part of the held-out text is left to them."""
    store, n = corpus.store, len(batch)
    trusted = np.arange(n, len(store))
    usable = np.concatenate([batch.trainable, *([reference.trainable] if reference else [])]) & (
        store.weighed_tokens > 0
    )
    cluster = np.concatenate([duplicates.cluster_id, trusted])
    copies = np.concatenate([duplicates.exact, np.zeros(len(trusted), dtype=bool)])
    piece_weight = weigh_pieces(corpus.encoder, store)

    def kin_among(some: NDArray[np.bool_]) -> Kinship:
        silent = copies & some[cluster]  # a copy has the runs of its original, where that is among them
        return find_kin(store, cluster, silent, some, folder, progress, piece_weight=piece_weight)

    kinship = kin_among(usable)
    draw = draw_samples(store.n_tokens * usable, kinship.edges, corpus.most_tokens, demanded, entropy)
    alone = usable & kinship.alone
    held_out = hold_out(store.n_tokens, alone & (np.arange(len(store)) < n), draw.drawn, entropy)
    trained = draw.drawn & ~held_out
    frequent_runs = kinship.boilerplate_runs
    if not draw.drawn[usable].all():  # what was not drawn ties nobody
        kinship = kin_among(draw.drawn | held_out)
    room = _lens_room(store.n_tokens, held_out, entropy) if lenses else np.empty(0, np.int64)
    lent = held_out[:n].copy()
    lent[room] = False
    controls = _plant(batch, corpus.encoder, store.n_tokens[:n], lent, trained[:n], kinship.cap, demanded, entropy)
    everything = extend_store(store, corpus.encoder, controls.texts)
    return Split(
        kinship=kinship,
        held_out=held_out[:n],
        trained=trained[:n],
        controls=controls,
        store=everything,
        group=np.concatenate([kinship.group, kinship.group.max() + 1 + controls.secret]),
        weight=draw.weight[:n],
        undrawn_tokens=draw.undrawn_tokens,
        frequent_runs=frequent_runs,
        learnable=np.concatenate([trained, controls.dose > 0]),
        scored=np.concatenate([trained, np.ones(len(controls), dtype=bool)]),
        entropy=entropy,
        lens_room=room,
    )


def _lens_room(n_tokens: NDArray[np.int64], held_out: NDArray[np.bool_], entropy: int) -> NDArray[np.int64]:
    """Which of the held-out samples lenses write their plants from: LENS_ROOM of their tokens at most, MOST_ROOM at most."""
    order = np.random.default_rng([entropy, 0x1E]).permutation(np.flatnonzero(held_out))[:MOST_ROOM]
    room: NDArray[np.int64] = np.sort(order[np.cumsum(n_tokens[order]) <= LENS_ROOM * n_tokens[held_out].sum()])
    return room


def plant_for_lenses(
    calls: Sequence[LensCall], batch: Batch, corpus: Corpus, split: Split, limits: Limits, folder: Path
) -> tuple[Split, TrainedPlants]:
    """What the lenses plant that want it trained on, and the split with it: each example with all its copies on one side."""
    texts = read_texts(batch, split.lens_room.tolist())
    planted = plant_trained(
        calls,
        [texts[row] for row in sorted(texts)],
        float(split.store.n_tokens[split.learnable].sum()),
        partial(count_tokens, corpus.encoder),
        split.entropy,
        limits,
        folder,
        run_apart,
    )
    if not planted.texts:
        return split, planted
    every = np.ones(len(planted.texts), dtype=bool)
    wider = replace(
        split,
        store=extend_store(split.store, corpus.encoder, list(planted.texts)),
        group=np.concatenate([split.group, split.group.max() + 1 + planted.example]),
        learnable=np.concatenate([split.learnable, every]),
        scored=np.concatenate([split.scored, every]),
        planted=len(every),
    )
    return wider, planted


def lens_proxies(
    calls: Sequence[LensCall],
    corpus: Corpus,
    split: Split,
    options: AuditOptions,
    share: float | None,
    device: str,
    folder: Path,
) -> Proxies | None:
    """The two proxies in `folder` as lenses may ask them: those that do share this `share` of the time that training took. None
    where every proxy read everything, or where there are more."""
    if options.folds != 2:
        return None
    n, asking = len(split.trained), sum("proxies" in call.spec.needs for call in calls)
    side = np.where(split.learnable, split.fold(options.folds), UNREAD).astype(np.int8)
    held_out = np.concatenate([split.held_out, np.zeros(split.planted, dtype=bool)])
    trained = options.epochs * int(split.store.n_tokens[split.learnable].sum())
    return Proxies(
        spec=corpus.spec,
        encoder=corpus.encoder,
        folder=folder,
        device=device,
        side=np.concatenate([side[:n], side[split.traced :]]),
        held_out=None if options.rehearsable else held_out,
        budget=int((share or LENS_TIME_SHARE) * READ_PER_TRAINED * trained / max(1, asking)),
    )


def _plant(
    batch: Batch,
    encoder: Encoder,
    n_tokens: NDArray[np.int64],
    held_out: NDArray[np.bool_],
    trained: NDArray[np.bool_],
    cap: int,
    demanded: int,
    seed: int,
) -> Controls:
    """Controls in the style of the batch, within the token budget of what will be trained on."""
    rng = np.random.default_rng([seed, 0xF1])
    candidates, held = np.flatnonzero(trained), np.flatnonzero(held_out)
    chosen = rng.choice(candidates, min(WORD_SAMPLES, len(candidates)), replace=False)
    found = read_texts(batch, [*held.tolist(), *chosen.tolist()])
    per_byte = float(n_tokens[trained].sum() / max(1, batch.n_bytes[trained].sum()))
    return plant_controls(
        [found[i] for i in rng.permutation(held).tolist()],
        [found[i][:WORD_CHARACTERS] for i in sorted(chosen.tolist())],
        trained_tokens=float(n_tokens[trained].sum()),
        tokens_per_byte=per_byte,
        tokens_of=partial(count_tokens, encoder),
        doses=[dose for dose in DOSES if 2 * dose <= cap],
        demanded=demanded,
        seed=seed,
    )


def traced_samples(batch: Batch, duplicates: Duplicates, corpus: Corpus, split: Split) -> TracedSamples:
    """What the analysis of the losses must know of those who are traced."""
    n = len(batch)
    n_tokens = split.store.weighed_tokens[:n]
    return TracedSamples(
        n_tokens=n_tokens,
        group=split.group[:n],
        usable=batch.trainable & (n_tokens > 0) & ~split.held_out,  # which shares no text, so nothing in it recurs
        severed_tokens=split.kinship.severed_tokens[:n],
        duplicates=duplicates,
        references=corpus.references,
        controls=split.controls,
        frequent=split.kinship.cap,
        weight=split.weight,
        undrawn_tokens=split.undrawn_tokens,
        frequent_runs=split.frequent_runs,
        kin=split.group[: split.traced],
    )


def lens_subject(
    policy: Policy,
    batch: Batch,
    duplicates: Duplicates,
    samples: TracedSamples,
    corpus: Corpus,
    split: Split,
    analysis: LossAnalysis,
    weights: NDArray[np.float64],
    folder: Path,
    proxies: Proxies | None,
) -> Subject:
    """The audited batch as lenses may see it; `weights` (N,) are those of its treatment. Plants are written from held-out text
    where there is any."""
    scores, names = analysis.scores, [*QUADRANT_NAMES, None]
    held = np.flatnonzero(split.held_out)
    writable = held if len(held) else np.flatnonzero(samples.usable)
    room = np.random.default_rng([split.entropy, 0x1F]).permutation(writable)[:MOST_ROOM]
    place = folder / "lenses"
    place.mkdir(exist_ok=True)
    return Subject(
        batch=batch,
        duplicates=duplicates,
        n_tokens=samples.n_tokens,
        weights=weights,
        scores=pa.table(
            {
                "difficulty": pa.array(scores.difficulty, pa.float64(), from_pandas=True),
                "memorization": pa.array(
                    scores.memorization(policy.map.memorization.score), pa.float64(), from_pandas=True
                ),
                "quadrant": pa.array([names[code] for code in analysis.quadrant], pa.string()),
            }
        ),
        room=np.sort(room).tolist(),
        tokens_of=partial(count_tokens, corpus.encoder),
        entropy=split.entropy,
        folder=place,
        proxies=proxies,
    )
