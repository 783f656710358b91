"""Tokens per second: cross-fit training with per-sample logging against HF Trainer, same model, same data, one run.

    python -m bench.training.run --data DATA --rows 1200 --epochs 2    # on an idle machine

Both train two proxies of the preset `nano`, each on its half of some WikiText-2 paragraphs, for the same number of tokens, with
about as many of them in a step: Trainer counts samples, so it is given as many as hold a little more than a minibatch of the
preset, and then a little less. Trainer trains them one after the other with all threads, as its users do; it is measured with
its default random order and with its own grouping by length. Process start and imports are left out on both sides.
"""

import argparse
import math
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.corpora import open_corpora, parser_of, write_texts
from bench.nano import thin_if
from carto_audit.data.batch import read_batch
from carto_audit.proxies.cross_fit import TrainConfig, cross_fit
from carto_audit.proxies.folds import assign_folds
from carto_audit.proxies.minibatches import cut_sequences, minibatches, pad
from carto_audit.proxies.model import PRESETS, build_proxy
from carto_audit.proxies.tokens import TokenStore, encode_batches, train_encoder
from carto_audit.runtime.progress import Advance, Progress

SPEC = PRESETS["nano"]
SMOKE_ROWS = 16
OURS = "carto-audit, folds side by side, losses logged"

Folds = NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast something trained: tokens per second of wall time, and the steps that both proxies took together."""

    tokens_per_second: float
    steps: int


class Clock(Progress):
    """Counts tokens from the first finished minibatch on, so that neither imports nor model building count."""

    def __init__(self) -> None:
        self.tokens, self.first, self.last = 0.0, 0.0, 0.0

    @contextmanager
    def task(self, label: str, total: float | None = None, unit: str = "rows") -> Iterator[Advance]:
        """Counts what the only task of a training tells."""
        yield self.count

    def count(self, amount: float) -> None:
        """So many tokens more are trained on."""
        self.last = time.perf_counter()
        if amount and not self.first:
            self.first = self.last
        elif amount:
            self.tokens += amount


def make_store(texts: Sequence[str], folder: Path) -> TokenStore:
    """The texts as tokens of a vocabulary of their own."""
    batch = read_batch([write_texts(folder / "batch.parquet", texts)])
    encoder = train_encoder(batch, np.zeros(len(batch), bool), SPEC.vocab_size, 0)
    return encode_batches([batch], encoder, folder / "tokens.bin")


def ours(store: TokenStore, fold: Folds, epochs: int, folder: Path) -> Pace:
    """Both proxies side by side, each in a process of its own, which logs every sample's loss."""
    clock, everyone, nobody = Clock(), np.ones(len(store), bool), np.zeros(len(store), bool)
    nobody[0] = True  # evaluation is not what is compared; one scored sample keeps the code path
    config = TrainConfig(epochs=epochs, folds=2, seed=0, device="cpu", threads=max(1, (os.cpu_count() or 2) // 2))
    cross_fit(SPEC, config, store, fold, everyone, nobody, folder, clock)
    steps = sum(_steps(store, fold, index) for index in range(2))
    return Pace(tokens_per_second=clock.tokens / max(1e-9, clock.last - clock.first), steps=epochs * steps)


def _steps(store: TokenStore, fold: Folds, index: int) -> int:
    """Minibatches of one proxy in its first epoch."""
    sequences = cut_sequences(store, np.flatnonzero(fold != index), SPEC.context)
    return sum(1 for _ in minibatches(sequences, SPEC.minibatch_tokens, np.random.default_rng([0, index, 0])))


def trainer(store: TokenStore, fold: Folds, epochs: int, folder: Path, per_step: int, *, grouped: bool) -> Pace:
    """Both proxies one after the other, with all threads and so many samples in a step."""
    seconds, tokens, steps = 0.0, 0, 0
    for index in range(2):
        data = _samples(store, fold, index)
        done = _train(data, epochs, folder, index, per_step, grouped=grouped)
        seconds += done.metrics["train_runtime"]
        steps += done.global_step
        tokens += epochs * sum(sample["length"] for sample in data)
    return Pace(tokens_per_second=tokens / seconds, steps=steps)


def warm_up(store: TokenStore, fold: Folds, folder: Path) -> None:
    """A few steps of Trainer that are not measured: its first ones load what it needs."""
    _train(_samples(store, fold, 0)[:8], 1, folder, 0, 2, grouped=True)


def samples_per_step(store: TokenStore, fold: Folds) -> tuple[int, int]:
    """How many samples hold just less and just more than the preset's minibatch, on average."""
    length = [sample["length"] for index in range(2) for sample in _samples(store, fold, index)]
    fitting = SPEC.minibatch_tokens / float(np.mean(length))
    return max(1, math.floor(fitting)), math.ceil(fitting)


def _samples(store: TokenStore, fold: Folds, index: int) -> list[dict[str, Any]]:
    """What one proxy trains on, as Trainer takes it."""
    sequences = cut_sequences(store, np.flatnonzero(fold != index), SPEC.context)
    inputs, _, real = pad(store.ids(), store.bos, sequences, np.arange(len(sequences)))
    return [{"input_ids": x[m], "length": int(m.sum())} for x, m in zip(inputs, real, strict=True)]


def _train(data: list[dict[str, Any]], epochs: int, folder: Path, index: int, per_step: int, *, grouped: bool) -> Any:
    """One proxy, with the optimizer and the schedule of the preset."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    torch.set_num_threads(os.cpu_count() or 2)
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        num_train_epochs=epochs,
        per_device_train_batch_size=per_step,
        learning_rate=SPEC.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(0.1 * epochs * len(data) / per_step),
        weight_decay=0.1,
        train_sampling_strategy="group_by_length" if grouped else "random",
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    run = Trainer(model=build_proxy(SPEC, index), args=arguments, train_dataset=data, data_collator=collate)
    run.remove_callback(PrinterCallback)
    return run.train()


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """The usual collator: right padding, an attention mask, labels of -100 on padding."""
    ids = torch.nn.utils.rnn.pad_sequence([s["input_ids"] for s in samples], batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(s["input_ids"]) for s in samples], batch_first=True)
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}


def measure(texts: Sequence[str], epochs: int, folder: Path) -> dict[str, Pace]:
    """Every way to train, one after the other. carto-audit's minibatches end between Trainer's two sizes, so one of them
    takes more steps for the same tokens and the other fewer."""
    store = make_store(texts, folder)
    fold = assign_folds(np.arange(len(store)), store.n_tokens, 2, 0)
    print(
        f"{len(store)} samples, {store.offsets[-1]:,} tokens, {epochs} epochs, {SPEC.minibatch_tokens} tokens per "
        f"minibatch, {os.cpu_count()} cores, torch {torch.__version__}\n"
    )
    threads = torch.get_num_threads()
    fewer, more = samples_per_step(store, fold)
    try:
        paces = {OURS: ours(store, fold, epochs, folder)}
        warm_up(store, fold, folder)
        for per_step, grouped in ((more, False), (more, True), (fewer, False)):
            order = "grouped by length" if grouped else "its default random order"
            label = f"HF Trainer, {order}, samples per step: {per_step}"
            paces[label] = trainer(store, fold, epochs, folder, per_step, grouped=grouped)
        return paces
    finally:
        torch.set_num_threads(threads)


def show(paces: dict[str, Pace]) -> None:
    """Prints the table as Markdown."""
    print("| | steps | tokens/s | carto-audit is |\n|---|---|---|---|")
    first = paces[OURS].tokens_per_second
    for label, pace in paces.items():
        ratio = "–" if label == OURS else f"{first / pace.tokens_per_second:.2f} ×"
        print(f"| {label} | {pace.steps:,} | {pace.tokens_per_second:,.0f} | {ratio} |")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; a smoke run is one epoch of some rows."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=1200, help="paragraphs")
    parser.add_argument("--epochs", type=int, default=2)
    given = parser.parse_args(arguments)
    if given.smoke:
        given.rows, given.epochs = SMOKE_ROWS, 1
    return given


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains three times, and prints the table."""
    given = parse(arguments)
    with open_corpora(given) as corpora, thin_if(given.smoke), tempfile.TemporaryDirectory() as folder:
        show(measure(corpora.texts("wikitext")[: given.rows], given.epochs, Path(folder)))


if __name__ == "__main__":
    main()
