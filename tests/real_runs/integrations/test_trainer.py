"""The Trainer of transformers, and how its losses are tapped."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import DataCollatorWithFlattening, GPT2LMHeadModel
from transformers.modeling_outputs import CausalLMOutput

from carto_audit.real_runs.integrations.trainer import log_losses
from carto_audit.runtime.errors import UsageError
from carto_audit.traces.keys import in_share, tokenizer_fingerprint
from carto_audit.traces.reading import first_visits, read_visits
from tests.support.run_traces import KEYS
from tests.support.tiny_trainers import (
    ROWS,
    Rows,
    assert_same_bits,
    check_trace,
    first_loss,
    make_trainer,
    outcome,
    padded,
    thin_model,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def checkpointed():
    model = thin_model()
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": True})
    return model


class OwnLoss(GPT2LMHeadModel):
    """Computes its loss where no tap sits, and returns what `shown` says of it."""

    shown = ("loss", "logits")
    softcap = 0.0

    def forward(self, input_ids, labels=None, num_items_in_batch=None, **kwargs):
        hidden = self.transformer(input_ids, use_cache=False, **kwargs).last_hidden_state
        logits = self.lm_head(hidden)
        if self.softcap:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        at = labels[:, 1:] != -100
        picked = logits[:, :-1].log_softmax(-1).gather(2, labels[:, 1:].clamp(0)[..., None])[..., 0]
        loss = -picked[at].sum() / (at.sum() if num_items_in_batch is None else num_items_in_batch)
        return CausalLMOutput(
            **{name: value for name, value in (("loss", loss), ("logits", logits)) if name in self.shown}
        )


def own_loss(shown, softcap=0.0):
    model = thin_model()
    model.__class__ = type("OwnLoss", (OwnLoss,), {"shown": shown, "softcap": softcap})
    return model


@pytest.mark.parametrize(
    ("collator", "make", "options", "tap"),
    [
        (padded, thin_model, {}, "cross_entropy"),
        (padded, thin_model, {"gradient_accumulation_steps": 3, "num_train_epochs": 2}, "cross_entropy"),
        (padded, checkpointed, {}, "cross_entropy"),
        (DataCollatorWithFlattening(), thin_model, {"num_train_epochs": 2}, "cross_entropy"),
        (padded, lambda: own_loss(("loss", "logits")), {}, "logits"),
        (DataCollatorWithFlattening(), lambda: own_loss(("loss",)), {}, "hidden states"),
    ],
    ids=["padded", "accumulated", "checkpointed", "packed", "logits", "hidden"],
)
def test_every_sample_is_logged_and_training_is_the_same_to_the_last_bit(tmp_path, collator, make, options, tap):
    without = make_trainer(tmp_path, collator, make(), **options)
    without.train()
    trainer = make_trainer(tmp_path, collator, make(), **options)
    logged = log_losses(trainer, tmp_path / "trace", KEYS)
    taps, remove = [], trainer.callback_handler.callbacks[-1]._close
    logged._close = lambda: (taps.append(logged.tap and logged.tap.used), remove())
    trainer.train()
    visits = read_visits(tmp_path / "trace", KEYS)
    check_trace(visits, epochs=options.get("num_train_epochs", 1))
    assert first_visits(visits).loss.shape == (len(ROWS), options.get("num_train_epochs", 1))
    assert_same_bits(outcome(trainer), outcome(without))
    assert taps[-1] == tap


def test_hidden_states_go_through_the_head_for_the_share_alone(tmp_path):
    trainer = make_trainer(tmp_path, model=own_loss(("loss",)))
    log_losses(trainer, tmp_path / "trace", KEYS, share=0.4)
    trainer.train()
    keys = KEYS.keys(ROWS)
    chosen = in_share(keys, 0.4)
    rows = read_visits(tmp_path / "trace", KEYS).rows
    assert 2 < chosen.sum() < 16
    assert sorted(rows.key.tolist()) == sorted(keys[chosen].tolist())
    known = dict(zip(keys.tolist(), ROWS, strict=True))
    first = rows.select(rows.step == rows.step.min())
    assert first.step[0] == 0
    for key, loss in zip(first.key.tolist(), first.loss, strict=True):
        assert abs(loss - first_loss(known[key])) < 2e-3


def test_a_head_that_is_not_all_a_model_does_is_refused(tmp_path):
    model = own_loss(("loss",), softcap=0.05)
    with torch.no_grad():
        model.lm_head.weight.mul_(20)
    trainer = make_trainer(tmp_path, model=model)
    log_losses(trainer, tmp_path / "trace", KEYS)
    with pytest.raises(
        UsageError, match=r"the head on the last hidden states gives a loss of \d+\.\d+, the model itself"
    ):
        trainer.train()


def no_loss_function(outputs, labels, num_items_in_batch=None):
    return torch.nn.functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def test_training_of_which_nothing_can_be_logged_ends_after_its_first_step(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.compute_loss_func = no_loss_function
    log_losses(trainer, tmp_path / "trace", KEYS)
    with pytest.raises(UsageError, match="no loss of the first step could be logged: the model was given no labels"):
        trainer.train()
    assert trainer.state.global_step == 1


def test_samples_that_are_cut_over_ranks_are_refused(tmp_path):
    trainer = make_trainer(tmp_path, lambda rows: {**padded(rows), "shift_labels": padded(rows)["labels"]})
    log_losses(trainer, tmp_path / "trace", KEYS)
    with pytest.raises(UsageError, match="samples are cut over the ranks by sequence or context parallelism"):
        trainer.train()


def test_a_mask_that_does_not_tell_samples_is_refused(tmp_path):
    trainer = make_trainer(
        tmp_path,
        lambda rows: {**padded(rows), "attention_mask": torch.zeros(len(rows), 1, 29, 29)},
        rows=[[5] * 29] * 8,
    )
    log_losses(trainer, tmp_path / "trace", KEYS)
    with pytest.raises(
        UsageError, match=r"attention mask of shape \(4, 1, 29, 29\) do not say which tokens are one sample"
    ):
        trainer.train()


def test_prompts_are_part_of_a_sample_and_have_no_loss(tmp_path):
    rows = [row[:4] + row[4:] for row in ROWS]
    trainer = make_trainer(tmp_path)
    trainer.data_collator = lambda examples: masked(padded(examples))
    log_losses(trainer, tmp_path / "trace", KEYS, token_share=1.0)
    trainer.train()
    visits = read_visits(tmp_path / "trace", KEYS).rows
    assert sorted(visits.key.tolist()) == sorted(KEYS.keys(rows).tolist())
    assert (visits.length - visits.tokens == 4).all()
    for i in range(len(visits)):
        assert np.isnan(visits.token_losses(i)).tolist() == [True] * 4 + [False] * int(visits.tokens[i])


def masked(batch):
    batch["labels"][:, :4] = -100
    return batch


def test_evaluation_is_no_visit(tmp_path):
    held_out = Rows([[9, 8, 7, 6], *ROWS[:3]])
    trainer = make_trainer(tmp_path, eval_dataset=held_out, eval_strategy="steps", eval_steps=2)
    log_losses(trainer, tmp_path / "trace", KEYS)
    trainer.train()
    check_trace(read_visits(tmp_path / "trace", KEYS))


@pytest.mark.parametrize("strategy", ["steps", "epoch"])
def test_a_run_that_resumes_from_a_checkpoint_has_every_step_once(tmp_path, strategy):
    options = {"save_strategy": strategy, "save_steps": 7, "num_train_epochs": 2}
    whole = make_trainer(tmp_path / "whole", **options)
    log_losses(whole, tmp_path / "unbroken", KEYS)
    whole.train()
    step = 7 if strategy == "steps" else 5
    trainer = make_trainer(tmp_path / "whole", **options)
    log_losses(trainer, tmp_path / "trace", KEYS)
    trainer.train()
    again = make_trainer(tmp_path / "whole", **options)
    log_losses(again, tmp_path / "trace", KEYS)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "out" / f"checkpoint-{step}"))
    visits, expected = read_visits(tmp_path / "trace", KEYS), read_visits(tmp_path / "unbroken", KEYS)
    assert (visits.generations, visits.superseded, visits.opening.resumed_at) == (2, 40 - 4 * step, step)
    check_trace(visits, epochs=2)
    for name in ("key", "step", "epoch", "loss"):
        assert (getattr(visits.rows, name) == getattr(expected.rows, name)).all()


def test_losses_are_on_disk_before_a_checkpoint_is(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path, save_strategy="steps", save_steps=4)
    on_disk, save = [], trainer._save_checkpoint
    trainer._save_checkpoint = lambda *_: on_disk.append(len(read_visits(tmp_path / "trace", KEYS).rows)) or save(*_)
    log_losses(trainer, tmp_path / "trace", KEYS)
    trainer.train()
    assert on_disk == [16, 20]


def test_training_twice_is_two_starts_of_one_run(tmp_path):
    trainer = make_trainer(tmp_path)
    log_losses(trainer, tmp_path / "trace", KEYS)
    trainer.train()
    trainer.train()
    visits = read_visits(tmp_path / "trace", KEYS)
    assert (visits.generations, visits.superseded, len(visits.rows)) == (2, 20, 20)


class Tokenizer:
    def __init__(self, size):
        self.size = size

    def get_vocab(self):
        return {f"w{i}": i for i in range(self.size)}

    def encode(self, text):
        return SimpleNamespace(ids=[0])

    def save_pretrained(self, folder):
        pass


def test_the_trace_names_the_tokenizer(tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.processing_class = Tokenizer(5)
    log_losses(trainer, tmp_path / "trace", KEYS, run="a")
    trainer.train()
    visits = read_visits(tmp_path / "trace", KEYS, tokenizer=tokenizer_fingerprint(Tokenizer(5)))
    assert visits.opening.run == "a"
    trainer.processing_class = Tokenizer(6)
    log_losses(trainer, tmp_path / "trace", KEYS, run="a")
    with pytest.raises(UsageError, match="holds a trace with tokenizer"):
        trainer.train()


def test_the_model_is_left_as_it_was(tmp_path):
    model = thin_model()
    trainer = make_trainer(tmp_path, model=model)
    log_losses(trainer, tmp_path / "trace", KEYS)
    trainer.train()
    assert "_loss_function" not in vars(model)
    assert not model._forward_hooks
    assert not model.transformer._forward_hooks
