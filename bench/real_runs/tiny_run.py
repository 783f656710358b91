"""A tiny real run: a batch with planted controls, a plain loop that logs its losses, checkpoints before, in and after it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from bench.corpora import write_texts
from carto_audit.policy.model import load_policy
from carto_audit.real_runs.integrations.token_losses import padded_segments, token_losses
from carto_audit.real_runs.options import PlantOptions
from carto_audit.real_runs.plant import plant_batch
from carto_audit.traces.keys import read_sample_keys, tokenizer_fingerprint
from carto_audit.traces.logger import LossLogger

END = "<end>"

CONTEXT = 160
"""Tokens after which the loop truncates a sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyRun:
    """Folders and files of a run: what was planted, its trace, the checkpoints before it, after an epoch (of one, after half) and
    at its end."""

    planted: Path
    trace: Path
    first: Path
    early: Path
    last: Path
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How the loop trains and what is planted."""

    epochs: int = 6
    width: int = 64
    rate: float = 3e-3
    batch: int = 16
    seed: int = 0
    share: float = 0.4
    hold_out: int | None = 40


def make_tokenizer(texts: Sequence[str], folder: Path, pieces: int = 600) -> Any:
    """A byte-level BPE of the texts with a token of the end, kept in a folder."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=8,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def tiny_model(vocabulary: int, width: int, seed: int) -> Any:
    """Two layers of GPT-2 without dropout."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=vocabulary,
        n_layer=2,
        n_embd=width,
        n_head=2,
        n_positions=CONTEXT,
        resid_pdrop=0,
        embd_pdrop=0,
        attn_pdrop=0,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config)


class Loop:
    """A plain loop with AdamW and a cosine over so many `steps`, which may log its losses."""

    def __init__(self, model: Any, recipe: Recipe, steps: int, log: LossLogger | None = None) -> None:
        self.model, self.recipe, self.steps, self.log, self.step = model, recipe, steps, log, 0
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, betas=(0.9, 0.95), weight_decay=0.1)
        model.train()

    def learn(self, samples: Sequence[Sequence[int]], chosen: Sequence[int], epoch: int) -> None:
        """One step on the chosen samples."""
        done = 0.1 + 0.45 * (1 + np.cos(np.pi * self.step / self.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate * min(1.0, (self.step + 1) / 20) * done
        ids = [torch.tensor(samples[k]) for k in chosen]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)  # (B, T)
        mask = torch.arange(padded.shape[1]) < torch.tensor([len(one) for one in ids])[:, None]
        logits = self.model(input_ids=padded, use_cache=False).logits
        losses, scored = token_losses(logits, torch.where(mask, padded, -100))
        self.optimizer.zero_grad(set_to_none=True)
        (losses.sum() / scored.sum()).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        if self.log is not None:
            self.log.log(padded, losses, padded_segments(mask), scored, step=self.step, epoch=epoch)
        self.step += 1


def train(
    model: Any,
    samples: Sequence[Sequence[int]],
    recipe: Recipe,
    log: LossLogger | None = None,
    after_step: Callable[[int], object] | None = None,
) -> None:
    """Trains on batches of samples of about the same length, in a new order every epoch. `after_step` is told how many steps
    are done."""
    rng = np.random.default_rng(recipe.seed)
    loop = Loop(model, recipe, recipe.epochs * steps_of(len(samples), recipe), log)
    for epoch in range(recipe.epochs):
        for chosen in batches(samples, range(len(samples)), recipe.batch, rng):
            loop.learn(samples, chosen, epoch)
            if after_step is not None:
                after_step(loop.step)


def steps_of(samples: int, recipe: Recipe) -> int:
    """Steps of an epoch."""
    return -(-samples // recipe.batch)


def batches(
    samples: Sequence[Sequence[int]], drawn: Sequence[int], size: int, rng: np.random.Generator
) -> list[list[int]]:
    """The samples that were drawn in batches of about the same length, in random order."""
    order = rng.permutation(np.array(drawn))
    chunks = [order[k : k + 8 * size] for k in range(0, len(order), 8 * size)]
    ordered = [k for chunk in chunks for k in sorted(chunk.tolist(), key=lambda k: len(samples[k]))]
    plan = [ordered[k : k + size] for k in range(0, len(ordered), size)]
    return [plan[k] for k in rng.permutation(len(plan))]


def run_tiny(texts: Sequence[str], folder: Path, recipe: Recipe, tokenizer: Any = None, start: Any = None) -> TinyRun:
    """Plants controls in the texts and trains on them, from `start` or from scratch, in a folder."""
    named = folder / "tokenizer"
    if tokenizer is None:
        tokenizer = make_tokenizer(texts, named)
    else:
        tokenizer.save_pretrained(named)
    options = PlantOptions(share=recipe.share, hold_out=recipe.hold_out, seed=recipe.seed, tokenizer=str(named))
    delivered = write_texts(folder / "batch.parquet", texts)
    facts = plant_batch([delivered], folder / "planted", policy=load_policy("default"), options=options)
    samples = [tokenizer(text)["input_ids"][:CONTEXT] for text in planted_texts(folder / "planted")]
    model = tiny_model(len(tokenizer), recipe.width, recipe.seed) if start is None else start

    def save(name: str) -> Path:
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        return folder / name

    first = save("first")
    keys = read_sample_keys(folder / "planted" / "trace.key")
    log = LossLogger(folder / "trace", keys, token_share=1.0, tokenizer=tokenizer_fingerprint(tokenizer), run="tiny")
    early = steps_of(len(samples), recipe) // (1 if recipe.epochs > 1 else 2)
    train(model, samples, recipe, log, lambda step: save("early") if step == early else None)
    if not log.close():
        raise SystemExit(f"{folder}: the trace is not whole: {log.problem}")
    return TinyRun(
        planted=folder / "planted",
        trace=folder / "trace",
        first=first,
        early=folder / "early",
        last=save("last"),
        facts=facts,
    )


def planted_texts(folder: Path) -> list[str]:
    """What a run reads: the text of every row of the planted batch."""
    files = sorted((folder / "batch").rglob("*.parquet"))
    return [text for path in files for text in pq.read_table(path)["text"].to_pylist()]
