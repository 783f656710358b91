"""Cross-fit training: one proxy per fold, each blind to its fold, so that every sample has a reader that never saw it."""

import io
import math
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from carto_audit.engines.engine import LOCAL, Engine
from carto_audit.engines.telling import tell_progress
from carto_audit.proxies.loaded_proxy import LoadedProxy
from carto_audit.proxies.minibatches import Sequences, cut_sequences, minibatches
from carto_audit.proxies.model import ProxySpec, build_proxy
from carto_audit.proxies.tokens import TokenStore
from carto_audit.proxies.training_step import learning_rate, make_optimizer, minibatch_losses, training_step
from carto_audit.runtime.errors import AuditError, option
from carto_audit.runtime.files import write_bytes
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.traces.trace import LATE_EPOCHS, TokenLosses, Trace

WEIGHT_DECAY = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """What a run decides about training. `folds` 1 is the paper's single proxy, which has no out-of-fold losses; `burn_in` is
    how many epochs pass before difficulty is read: a whole number, or a part of the first."""

    epochs: int
    folds: int
    seed: int
    device: str
    threads: int
    burn_in: float = 1

    @property
    def logged(self) -> tuple[float, ...]:
        """The epochs, counted from 1, after which losses are evaluated: the end of burn-in, the middle, and the late ones."""
        early = {min(self.burn_in, self.epochs), max(1, self.epochs // 2)}
        return tuple(sorted({*early, *self.late}))

    @property
    def late(self) -> tuple[int, ...]:
        """The logged epochs that scores average over."""
        return tuple(range(max(1, self.epochs - LATE_EPOCHS + 1), self.epochs + 1))

    @property
    def averaged(self) -> float | None:
        """The epoch after which the losses are those of averaged weights: the end of burn-in, where no score averages over it.
        Early weights are noisy, and what is difficult to them is half an accident of the seed (bench/detection)."""
        return self.burn_in if self.burn_in not in self.late else None

    def steps_averaged(self, epoch: int, steps: int) -> range:
        """Of the `steps` of an epoch those after which weights are averaged: the second half of the burn-in's last epoch, or of
        the part of one that it is. Empty where it ends in another epoch."""
        if self.averaged is None or epoch != math.ceil(self.averaged):
            return range(0)
        end = steps if self.averaged >= 1 else max(1, int(self.averaged * steps))
        return range(end // 2, end)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldJob:
    """All that one proxy's training needs. `learned` and `scored` are sample indices into the store. Pickles small."""

    index: int
    spec: ProxySpec
    config: TrainConfig
    store: TokenStore
    learned: NDArray[np.int64]
    scored: NDArray[np.int64]
    folder: Path


class FoldRun:
    """One proxy's training: the model, its optimizer, and the losses logged so far. Saves and resumes after any epoch."""

    def __init__(self, job: FoldJob, tell: Callable[[float], None]) -> None:
        self.job, self.tell = job, tell
        self.device = torch.device(job.config.device)
        self.model = build_proxy(job.spec, job.config.seed + job.index).to(self.device)
        self.optimizer = make_optimizer(self.model, job.spec, WEIGHT_DECAY)
        self.ids = job.store.ids()
        self.learned = cut_sequences(job.store, job.learned, job.spec.context)
        self.scored = cut_sequences(job.store, job.scored, job.spec.context)
        self.is_learned = job.store.is_learned()
        self.weighed_tokens = np.maximum(job.store.weighed_tokens, 1)
        self.epoch = 0
        self.average: AveragedModel | None = None
        self.train_loss = np.zeros((job.config.epochs, len(job.store)), np.float32)
        self.scored_loss = np.zeros((len(job.config.logged), len(job.store)), np.float32)
        self.token_offsets = scored_offsets(job.store, job.scored)
        self.token_loss = np.zeros(int(self.token_offsets[-1]), np.float32)

    def losses(self, sequences: Sequences, chosen: NDArray[np.int64]) -> tuple[Tensor, NDArray[np.int64], int]:
        """Token losses (n_real,) of some sequences, 0 where none is taken, how many belong to each, (B,), and how many are
        taken."""
        job = self.job
        model = self.average.module if self.average and not self.model.training else self.model
        losses = minibatch_losses(model, job.spec, job.config.device, self.ids, job.store.bos, sequences, chosen)
        counts = sequences.stop[chosen] - sequences.start[chosen]
        if self.is_learned is None:
            return losses, counts, len(losses)
        spans = zip(sequences.start[chosen].tolist(), sequences.stop[chosen].tolist(), strict=True)
        taken = np.concatenate([self.is_learned[begin:end] for begin, end in spans])
        return losses * torch.from_numpy(taken).to(losses.device), counts, int(taken.sum())

    def train_epoch(self) -> None:
        """One pass over what this proxy may learn; the losses logged are those of the training steps themselves."""
        budget = self.job.spec.minibatch_tokens
        rng = np.random.default_rng([self.job.config.seed, self.job.index, self.epoch])
        plan = list(minibatches(self.learned, budget, rng))
        sums = np.zeros(len(self.job.store), np.float64)
        self.model.train()
        torch.manual_seed(int(rng.integers(2**62)))  # a checkpoint's dropout draws the same after a resumption
        steps = self.job.config.epochs * len(plan)
        averaged = self.job.config.steps_averaged(self.epoch + 1, len(plan))
        self.average = AveragedModel(self.model) if averaged else None
        for k, chosen in enumerate(plan):
            progress = self.epoch + k / len(plan)
            rate = learning_rate(round(progress * len(plan)), steps, 1.0) * self.job.spec.learning_rate
            losses, counts, taken = self.losses(self.learned, chosen)
            where = f"proxy {self.job.index + 1}, epoch {self.epoch + 1}, step {k + 1}"
            training_step(self.model, self.optimizer, rate, losses.sum() / max(1, taken), where)
            if self.average and k in averaged:
                self.average.update_parameters(self.model)
            self._add(sums, self.learned, chosen, losses, counts)
            self.tell(int(counts.sum()))
            if self.job.config.burn_in < 1 and k + 1 == averaged.stop:
                self.evaluate(self.job.config.burn_in)
                self.model.train()
        learned = self.job.learned
        self.train_loss[self.epoch, learned] = sums[learned] / self.weighed_tokens[learned]
        self.epoch += 1

    @torch.no_grad()
    def evaluate(self, epoch: float) -> None:
        """Losses of every scored sample, in fold and out of it, now that `epoch` is over; at the end of burn-in those of the mean
        of the weights over its second half, or that of its last epoch."""
        sums = np.zeros(len(self.job.store), np.float64)
        self.model.eval()
        if self.average:
            self.average.eval()
        for chosen in minibatches(self.scored, 2 * self.job.spec.minibatch_tokens, None):
            losses, counts, _ = self.losses(self.scored, chosen)
            self._add(sums, self.scored, chosen, losses, counts)
            self.tell(int(counts.sum()) // 3)
            if epoch not in self.job.config.late:
                continue
            flat = losses.float().cpu().numpy() / len(self.job.config.late)
            sample = self.scored.sample[chosen]
            begins = self.token_offsets[sample] + self.scored.start[chosen] - self.job.store.offsets[sample]
            for begin, part in zip(begins, np.split(flat, np.cumsum(counts)[:-1]), strict=True):
                self.token_loss[begin : begin + len(part)] += part
        scored, row = self.job.scored, self.job.config.logged.index(epoch)
        self.scored_loss[row, scored] = sums[scored] / self.weighed_tokens[scored]
        self.average = None

    def _add(
        self,
        sums: NDArray[np.float64],
        sequences: Sequences,
        chosen: NDArray[np.int64],
        losses: Tensor,
        counts: NDArray[np.int64],
    ) -> None:
        flat = losses.detach().float().cpu().numpy().astype(np.float64)
        per_sequence = np.add.reduceat(flat, np.cumsum(counts) - counts)
        np.add.at(sums, sequences.sample[chosen], per_sequence)

    def save(self, path: Path) -> None:
        """Writes the whole state, so that a killed run loses at most the epoch it was in."""
        state = {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "arrays": [torch.from_numpy(a) for a in (self.train_loss, self.scored_loss, self.token_loss)],
        }
        buffer = io.BytesIO()  # torch reports a full disk as RuntimeError; a plain write says OSError
        torch.save(state, buffer)
        write_bytes(path, buffer.getvalue())

    def resume(self, path: Path) -> None:
        """Continues from a saved state, if there is one. A state that cannot be read is removed: training starts anew."""
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except FileNotFoundError:
            return
        except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError):
            path.unlink()
            return
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.train_loss, self.scored_loss, self.token_loss = (a.cpu().numpy() for a in state["arrays"])


def train_fold(job: FoldJob, tell: Callable[[float], None]) -> None:
    """Trains one proxy and leaves its losses in the job's folder. `tell` receives trained tokens, a third per scored one."""
    with _arithmetic(job.config):
        run = FoldRun(job, tell)
        saved = job.folder / f"proxy-{job.index}.pt"
        run.resume(saved)
        tell(work_of(job, run.epoch))
        while run.epoch < job.config.epochs:
            run.train_epoch()
            if run.epoch in job.config.logged:
                run.evaluate(run.epoch)
            run.save(saved)


@contextmanager
def _arithmetic(config: TrainConfig) -> Iterator[None]:
    """Threads as they were asked for, and on a CPU the same sums at every run; afterwards as before."""
    threads, exact = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(config.threads)
    torch.use_deterministic_algorithms(config.device == "cpu")
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(exact)


def _train_shard(setting: None, job: FoldJob) -> None:
    train_fold(job, tell_progress)


def _named(job: FoldJob) -> str:
    return f"proxy {job.index + 1} of {job.config.folds}"


def load_proxy(spec: ProxySpec, bos: int, folder: Path, index: int, device: str) -> LoadedProxy:
    """The proxy of one fold as its training left it in `folder`, ready to be asked."""
    model = build_proxy(spec, seed=0).to(device)
    state = torch.load(folder / f"proxy-{index}.pt", map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    return LoadedProxy(model=model.eval(), spec=spec, bos=bos, device=device)


def scored_offsets(store: TokenStore, scored: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each sample's token losses begin, (N + 1,), when only the scored samples have any. A batch may hold a
    thousand times the tokens that are trained on."""
    counts = np.zeros(len(store), np.int64)
    counts[scored] = store.n_tokens[scored]
    return np.concatenate([[0], np.cumsum(counts)])


def work_of(job: FoldJob, epochs: int) -> int:
    """Tokens of work in the first `epochs` epochs: trained ones, and a third of each scored one."""
    n_tokens = job.store.n_tokens
    scored = sum(e <= epochs for e in job.config.logged)
    return int(epochs * n_tokens[job.learned].sum() + scored * (n_tokens[job.scored].sum() // 3))


def cross_fit(
    spec: ProxySpec,
    config: TrainConfig,
    store: TokenStore,
    fold: NDArray[np.int8],
    learnable: NDArray[np.bool_],
    scored: NDArray[np.bool_],
    folder: Path,
    progress: Progress = SILENT,
    engine: Engine = LOCAL,
) -> tuple[Trace, TokenLosses]:
    """Trains a proxy per fold and returns every scored sample's losses.

    A proxy learns the learnable samples outside its fold (with one fold, all of them). On a CPU with more than one
    core the proxies train side by side, a process each, and one that dies is started again where it stood; on any other device
    they train in this process. Raises AuditError when a loss is not finite or a process dies again and again.
    """
    for index in range(config.folds):
        if not (learnable & ((fold != index) | (config.folds == 1))).any():
            raise AuditError(
                "too little text to train on both sides of a split: it is one group of kin, or "
                f"{option('max_tokens')} is too low; add text, raise {option('max_tokens')} or use {option('folds', 1)}"
            )
    jobs = [
        FoldJob(
            index=index,
            spec=spec,
            config=config,
            store=store,
            learned=np.flatnonzero(learnable & ((fold != index) | (config.folds == 1))),
            scored=np.flatnonzero(scored),
            folder=folder,
        )
        for index in range(config.folds)
    ]
    total = sum(work_of(job, config.epochs) for job in jobs)
    label = f"Training {len(jobs)} proxies" if len(jobs) > 1 else "Training the proxy"
    engine = engine if config.device == "cpu" else engine.here()
    with progress.task(label, total, "tokens") as advance:
        try:
            cores = os.cpu_count() or 1
            for _ in engine.map_shards(
                _train_shard, None, jobs, usual=cores, named=_named, folder=folder, advance=advance
            ):
                pass
        finally:
            for unfinished in folder.glob(".proxy-*.tmp"):  # of a worker that was stopped while it saved
                unfinished.unlink(missing_ok=True)
    return _collect(jobs, fold, learnable, scored)


def _collect(
    jobs: list[FoldJob], fold: NDArray[np.int8], learnable: NDArray[np.bool_], scored: NDArray[np.bool_]
) -> tuple[Trace, TokenLosses]:
    """Puts the proxies' losses together: a sample's `in` loss is from a proxy that may learn it, `out` from the other."""
    states = [torch.load(job.folder / f"proxy-{job.index}.pt", weights_only=True)["arrays"] for job in jobs]
    train, late, per_token = (np.stack([state[k].numpy() for state in states]) for k in range(3))  # (folds, ...)
    store, config = jobs[0].store, jobs[0].config
    samples = np.arange(len(store))
    inside = (fold + 1) % config.folds
    offsets = scored_offsets(store, jobs[0].scored)
    token_fold = np.repeat(fold, np.diff(offsets))
    tokens = np.arange(per_token.shape[1])
    crossed = config.folds > 1
    unknown = np.float32(np.nan)
    loss_in = np.where(scored, late[inside, :, samples].T, unknown)
    loss_out = np.where(scored, late[fold, :, samples].T, unknown) if crossed else np.full_like(loss_in, unknown)
    token_in = per_token[(token_fold + 1) % config.folds, tokens]
    token_out = per_token[token_fold, tokens] if crossed else np.full_like(token_in, unknown)
    trace = Trace(
        train=np.where(learnable, train[inside, :, samples].T, unknown),
        loss_in=loss_in,
        loss_out=loss_out,
        logged=config.logged,
    )
    ids = _scored_ids(store, jobs[0].scored, offsets)
    return trace, TokenLosses(ids=ids, loss_in=token_in, loss_out=token_out, offsets=offsets)


def _scored_ids(store: TokenStore, scored: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.integer]:
    """The ids of the scored samples' tokens, at the places that `offsets` gives them."""
    every, ids = store.ids(), np.empty(int(offsets[-1]), store.dtype)
    for i in scored.tolist():
        ids[offsets[i] : offsets[i + 1]] = every[store.offsets[i] : store.offsets[i + 1]]
    return ids
