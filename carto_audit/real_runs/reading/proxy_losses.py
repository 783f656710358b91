"""Proxy losses: what two small models, trained on a planted batch in the run's own tokens, make of the rows that they never read.

A run knows a row unseen only as it first met it, with whatever it could do by then. Two proxies know every row unseen at the end
of their training: kin and copies of a secret lie on one side of the split, and each side is read by the proxy of the other."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.data.duplicates import find_duplicates
from carto_audit.proxies.cross_fit import TrainConfig, cross_fit
from carto_audit.proxies.folds import assign_folds
from carto_audit.proxies.kinship import components, find_kin
from carto_audit.proxies.model import PRESETS, ProxySpec, choose_preset
from carto_audit.proxies.tokens import Encoder, TokenStore, weigh_pieces
from carto_audit.real_runs.reading.planted_run import PlantedRun
from carto_audit.real_runs.reading.run_samples import RunSamples
from carto_audit.runtime.progress import SILENT, Progress

FOLDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How the proxies are trained; `threads` are those of each."""

    epochs: int
    device: str
    threads: int


def spec_for(planted: PlantedRun, vocab_size: int, device: str) -> ProxySpec:
    """The preset for the size of the batch, with the run's vocabulary."""
    return replace(PRESETS[choose_preset(int(planted.batch.n_bytes.sum()), device)], vocab_size=vocab_size)


def losses_of_proxies(
    planted: PlantedRun,
    samples: RunSamples,
    tokenizer: Any,
    spec: ProxySpec,
    training: Training,
    work: Path,
    progress: Progress = SILENT,
) -> NDArray[np.float32]:
    """The losses of all tokens of the S samples in nats, (tokens,), by the proxy that never read the sample; of twins and
    held-out rows the mean of both. A killed training goes on in `work`. Raises AuditError where there is too little text to
    split."""
    store = _store(samples, spec, work)
    n, s = len(planted.batch), len(samples)
    learnable = np.zeros(s, dtype=bool)
    learnable[:n] = planted.batch.trainable & (samples.n_tokens[:n] > 0)
    seed = _seed(planted)
    group = _groups(planted, store, tokenizer, learnable, work, progress)
    fold = assign_folds(group, store.n_tokens * learnable, FOLDS, seed)
    config = TrainConfig(
        epochs=training.epochs, folds=FOLDS, seed=seed % 2**31, device=training.device, threads=training.threads
    )
    scored = samples.n_tokens > 0
    _, found = cross_fit(spec, config, store, fold, learnable, scored, work, progress)
    both = (found.loss_out + found.loss_in) / 2
    trained = np.repeat(learnable, samples.n_tokens)
    return np.where(trained, found.loss_out, both).astype(np.float32)


def _store(samples: RunSamples, spec: ProxySpec, work: Path) -> TokenStore:
    path = work / "tokens.bin"
    samples.ids.astype(np.uint32).tofile(path)
    return TokenStore(path=path, dtype="uint32", offsets=samples.offsets, bos=0, vocab_size=spec.vocab_size)


def _seed(planted: PlantedRun) -> int:
    """Who lies on which side follows from the key of the samples, which no vendor has."""
    return int(planted.keys.seal("proxies", planted.batch.sha256.encode()), 16) % 2**63


def _groups(
    planted: PlantedRun,
    store: TokenStore,
    tokenizer: Any,
    learnable: NDArray[np.bool_],
    work: Path,
    progress: Progress,
) -> NDArray[np.int64]:
    """Who lies on the same side: kin, and all copies of a secret."""
    s, n = len(store), len(planted.batch)
    duplicates = find_duplicates(planted.batch, work, progress)
    cluster = np.concatenate([duplicates.cluster_id, np.arange(n, s)])
    exact = np.concatenate([duplicates.exact, np.zeros(s - n, dtype=bool)])
    encoder = Encoder(tokenizer=tokenizer.backend_tokenizer, bos=0, vocab_size=store.vocab_size, checkpoint=None)
    kinship = find_kin(
        store,
        cluster,
        exact & learnable[cluster],
        learnable,
        work,
        progress,
        piece_weight=weigh_pieces(encoder, store),
    )
    return components(np.concatenate([_chain(kinship.group.tolist()), _chain(_secrets(planted, s))], axis=1), s)


def _secrets(planted: PlantedRun, s: int) -> list[int]:
    """A number per sample, the same for all copies of a secret."""
    secret = planted.controls["secret"].to_pylist()
    found = list(range(s))
    first: dict[int, int] = {}
    for sample, row in enumerate(planted.copy.tolist()):
        if row >= 0:
            found[sample] = first.setdefault(secret[row], sample)
    return found


def _chain(label: Sequence[int]) -> NDArray[np.int64]:
    """Edges (2, E) from each sample to the first that has the same label."""
    first: dict[int, int] = {}
    return np.array([(first.setdefault(one, k), k) for k, one in enumerate(label)], np.int64).T


def identity(spec: ProxySpec, training: Training) -> str:
    """What decides about the losses besides batch, tokens and key."""
    return hashlib.sha256(repr((spec, training.epochs, training.device)).encode()).hexdigest()
