"""Trainers of a thin random GPT-2 on twenty random samples, and what their traces must show."""

import os

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from carto_audit.real_runs.integrations.token_losses import token_losses
from carto_audit.traces.reading import Visits
from tests.support.run_traces import KEYS

os.environ.update(WANDB_DISABLED="true", TOKENIZERS_PARALLELISM="false")

VOCABULARY = 200


def thin_model() -> GPT2LMHeadModel:
    """Two layers of 32 dimensions, the same weights at every call, no dropout."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_layer=2,
        n_embd=32,
        n_head=2,
        n_positions=128,
        resid_pdrop=0,
        embd_pdrop=0,
        attn_pdrop=0,
    )
    return GPT2LMHeadModel(config)


def random_rows(count: int = 20) -> list[list[int]]:
    """Samples of 5 to 29 tokens, all different."""
    rng = np.random.default_rng(0)
    return [rng.integers(3, VOCABULARY, int(size)).tolist() for size in rng.integers(5, 30, count)]


ROWS = random_rows()


class Rows(Dataset):
    """Token ids and labels, without the ids of rows."""

    def __init__(self, rows=None):
        self.rows = ROWS if rows is None else rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return {"input_ids": self.rows[index], "labels": self.rows[index]}


def padded(examples):
    """A padded batch: ids, labels and attention mask (B, T)."""
    longest = max(len(example["input_ids"]) for example in examples)
    fill = {"input_ids": 0, "labels": -100, "attention_mask": 0}
    rows = [{**example, "attention_mask": [1] * len(example["input_ids"])} for example in examples]
    return {
        name: torch.tensor([row[name] + [value] * (longest - len(row[name])) for row in rows])
        for name, value in fill.items()
    }


def arguments(folder, kind=TrainingArguments, **options):
    """Four samples a step on the CPU, one epoch, nothing reported or saved."""
    return kind(
        **{
            "output_dir": str(folder / "out"),
            "per_device_train_batch_size": 4,
            "num_train_epochs": 1,
            "report_to": [],
            "save_strategy": "no",
            "logging_steps": 1,
            "disable_tqdm": True,
            "use_cpu": True,
            "seed": 1,
            "learning_rate": 1e-3,
            "dataloader_pin_memory": False,
            **options,
        }
    )


def make_trainer(folder, collator=padded, model=None, rows=None, eval_dataset=None, **options):
    return Trainer(
        model=model or thin_model(),
        args=arguments(folder, **options),
        train_dataset=Rows(rows),
        eval_dataset=eval_dataset,
        data_collator=collator,
    )


def first_loss(row, model=None):
    """What an untrained model makes of a sample alone: mean loss in nats."""
    model = (model or thin_model()).eval()
    ids = torch.tensor([row])
    with torch.no_grad():
        losses, scored = token_losses(model(input_ids=ids).logits, ids)
    return float(losses[scored].mean())


def check_trace(visits: Visits, rows=None, epochs=1, first_step=0):
    """Every visit is of a known sample, each of them once an epoch, and those of the first step have the loss that the untrained
    model gives them alone."""
    known = {int(KEYS.key(row)): row for row in (ROWS if rows is None else rows)}
    assert set(visits.rows.key.tolist()) == set(known)
    pairs = list(zip(visits.rows.key.tolist(), visits.rows.epoch.tolist(), strict=True))
    assert sorted(pairs) == sorted((key, epoch) for key in known for epoch in range(epochs))
    for i in np.flatnonzero(visits.rows.step == first_step):
        row = known[int(visits.rows.key[i])]
        assert (visits.rows.length[i], visits.rows.tokens[i]) == (len(row), len(row) - 1)
        assert abs(visits.rows.loss[i] - first_loss(row)) < 2e-3
    assert (visits.missing_steps, visits.dropped_batches, visits.closed) == (0, 0, True)


def outcome(trainer):
    """What a training ends in, to the last bit: its losses as logged, and all weights."""
    losses = [(entry["loss"], entry["grad_norm"]) for entry in trainer.state.log_history if "loss" in entry]
    return losses, {name: value.clone() for name, value in trainer.model.state_dict().items()}


def assert_same_bits(one, other):
    assert one[0] == other[0]
    assert len(one[0]) > 2
    for name, value in one[1].items():
        assert torch.equal(value, other[1][name]), name
