"""Tokens per second: cross-fit training with per-sample logging against HF Trainer, same model, same data, one run.

    .venv/bin/python bench/training/run.py [--rows 1500] [--epochs 2]

Both train two proxies, each on its half of WikiText-2 paragraphs (of the standard library's documentation where those
are absent). Trainer trains them one after the other with all threads, as its users do; it is measured with its default
random order and with its own grouping by length. Process start and imports are left out on both sides.
"""

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from carto_audit.data.batch import read_batch
from carto_audit.data.demo_batch import library_texts
from carto_audit.proxies.cross_fit import TrainConfig, cross_fit
from carto_audit.proxies.folds import assign_folds
from carto_audit.proxies.minibatches import cut_sequences, pad
from carto_audit.proxies.model import PRESETS, build_proxy
from carto_audit.proxies.tokens import TokenStore, encode_batch, train_encoder
from carto_audit.runtime.progress import Progress

CORPUS = Path(__file__).resolve().parents[3] / "shared/data/corpora/wikitext2.parquet"
SPEC = PRESETS["nano"]


class Clock(Progress):
    """Counts tokens from the first finished minibatch on, so that neither imports nor model building count."""

    def __init__(self) -> None:
        self.tokens, self.first, self.last = 0.0, 0.0, 0.0

    @contextmanager
    def task(self, label: str, total: float | None = None, unit: str = "") -> Iterator[Callable[[float], None]]:
        yield self.advance

    def advance(self, amount: float) -> None:
        self.last = time.perf_counter()
        if amount and not self.first:
            self.first = self.last
        elif amount:
            self.tokens += amount


def make_store(rows: int, folder: Path) -> TokenStore:
    if CORPUS.exists():
        texts = pq.read_table(CORPUS)["text"].to_pylist()[:rows]
    else:
        texts = [text for _, text in zip(range(rows), library_texts(), strict=False)]
    pq.write_table(pa.table({"text": texts}), folder / "batch.parquet")
    batch = read_batch([folder / "batch.parquet"])
    encoder = train_encoder(batch, np.zeros(len(batch), bool), SPEC.vocab_size, 0)
    return encode_batch(batch, encoder, [], folder / "tokens.bin")


def ours(store: TokenStore, fold: np.ndarray, epochs: int, folder: Path) -> float:
    clock, everyone, nobody = Clock(), np.ones(len(store), bool), np.zeros(len(store), bool)
    nobody[0] = True  # evaluation is not what is compared; one scored sample keeps the code path
    config = TrainConfig(epochs=epochs, folds=2, seed=0, device="cpu", threads=max(1, (os.cpu_count() or 2) // 2))
    cross_fit(SPEC, config, store, fold, everyone, nobody, folder, clock)
    return clock.tokens / (clock.last - clock.first)


def trainer(store: TokenStore, fold: np.ndarray, epochs: int, folder: Path, *, grouped: bool) -> float:
    from transformers import Trainer, TrainingArguments

    torch.set_num_threads(os.cpu_count() or 2)
    ids, seconds, tokens = store.ids(), 0.0, 0
    for index in range(2):
        sequences = cut_sequences(store, np.flatnonzero(fold != index), SPEC.context)
        inputs, _, real = pad(ids, store.bos, sequences, np.arange(len(sequences)))
        data = [{"input_ids": x[m], "length": int(m.sum())} for x, m in zip(inputs, real, strict=True)]
        per_step = max(1, round(SPEC.minibatch_tokens / np.mean([d["length"] for d in data])))
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
            logging_strategy="epoch",
            report_to=[],
            disable_tqdm=True,
        )
        run = Trainer(model=build_proxy(SPEC, index), args=arguments, train_dataset=data, data_collator=collate)
        seconds += run.train().metrics["train_runtime"]
        tokens += epochs * sum(d["length"] for d in data)
    return tokens / seconds


def collate(samples: list[dict]) -> dict[str, torch.Tensor]:
    """The usual collator: right padding, an attention mask, labels of -100 on padding."""
    ids = torch.nn.utils.rnn.pad_sequence([s["input_ids"] for s in samples], batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(s["input_ids"]) for s in samples], batch_first=True)
    return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = make_store(given.rows, folder)
        fold = assign_folds(np.arange(len(store)), store.n_tokens, 2, 0)
        print(f"{len(store)} samples, {store.offsets[-1]:,} tokens, {given.epochs} epochs, {os.cpu_count()} cores")
        rates = {
            "carto-audit, folds side by side, losses logged": ours(store, fold, given.epochs, folder),
            "HF Trainer, random order": trainer(store, fold, given.epochs, folder, grouped=False),
            "HF Trainer, grouped by length": trainer(store, fold, given.epochs, folder, grouped=True),
        }
    first = next(iter(rates.values()))
    for label, rate in rates.items():
        print(f"{label:50} {rate:8,.0f} tokens/s   carto-audit is {first / rate:.2f} x")


if __name__ == "__main__":
    main()
