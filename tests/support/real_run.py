"""A real run of a tiny model: a planted batch, a loop that logs its losses, and checkpoints before, in and after it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from carto_audit.policy.model import load_policy
from carto_audit.real_runs.integrations.token_losses import padded_segments, token_losses
from carto_audit.real_runs.options import PlantOptions
from carto_audit.real_runs.plant import plant_batch
from carto_audit.traces.keys import read_sample_keys, tokenizer_fingerprint
from carto_audit.traces.logger import LossLogger
from tests.support.audits import write_parquet

END = "<end>"


@dataclass(frozen=True, kw_only=True)
class RealRun:
    """Folders and files of a run: what was planted, the trace, and checkpoints `first`, `early` and `last`."""

    planted: Path
    trace: Path
    first: Path
    early: Path
    last: Path
    facts: dict


def make_tokenizer(texts, folder, pieces=600):
    """A byte-level BPE of the texts, with a token of the end, in a folder."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=pieces, special_tokens=[END], initial_alphabet=alphabet, max_token_length=8, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def tiny_model(vocabulary, width=64, context=160, seed=0):
    """Two layers of GPT-2 without dropout."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=vocabulary,
        n_layer=2,
        n_embd=width,
        n_head=2,
        n_positions=context,
        resid_pdrop=0,
        embd_pdrop=0,
        attn_pdrop=0,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config)


def train(model, samples, epochs, *, seed=0, rate=3e-3, batch=16, log=None, after_epoch=None):
    """A plain loop with AdamW and a cosine: batches of samples of about the same length, in a new order every epoch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1)
    rng, step, per_epoch = np.random.default_rng(seed), 0, -(-len(samples) // batch)
    model.train()
    for epoch in range(epochs):
        order = rng.permutation(len(samples))
        chunks = [np.array(c) for c in np.array_split(order, max(1, len(order) // (8 * batch)))]
        ordered = np.concatenate([c[np.argsort([len(samples[k]) for k in c], kind="stable")] for c in chunks])
        plan = [ordered[k : k + batch] for k in range(0, len(ordered), batch)]
        for k in rng.permutation(len(plan)):
            progress = step / (per_epoch * epochs)
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / 20) * (0.1 + 0.45 * (1 + np.cos(np.pi * progress)))
            ids = [torch.tensor(samples[i]) for i in plan[k]]
            padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
            mask = torch.arange(padded.shape[1]) < torch.tensor([len(one) for one in ids])[:, None]
            losses, scored = token_losses(
                model(input_ids=padded, use_cache=False).logits, torch.where(mask, padded, -100)
            )
            optimizer.zero_grad(set_to_none=True)
            (losses.sum() / scored.sum()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if log is not None:
                log.log(padded, losses, padded_segments(mask), scored, step=step, epoch=epoch)
            step += 1
        if after_epoch is not None:
            after_epoch(epoch)


def make_run(
    texts, folder, *, epochs=6, share=0.4, hold_out=40, width=64, seed=0, token_share=1.0, rate=3e-3, start=None
):
    """Plants controls in the texts and trains on them from `start`, or from scratch."""
    tokenizer = make_tokenizer(texts, folder / "tokenizer")
    options = PlantOptions(share=share, hold_out=hold_out, seed=seed, tokenizer=str(folder / "tokenizer"))
    batch = write_parquet(folder / "batch.parquet", texts)
    facts = plant_batch([batch], folder / "planted", policy=load_policy("default"), options=options)
    rows = planted_texts(folder / "planted")
    samples = [tokenizer(text)["input_ids"][:160] for text in rows]
    model = start(tokenizer) if start else tiny_model(len(tokenizer), width, seed=seed)
    places = {name: folder / name for name in ("first", "early", "last")}

    def save(name):
        model.save_pretrained(places[name])
        tokenizer.save_pretrained(places[name])

    save("first")
    keys = read_sample_keys(folder / "planted" / "sample.key")
    logger = LossLogger(
        folder / "trace", keys, token_share=token_share, tokenizer=tokenizer_fingerprint(tokenizer), run="tiny"
    )
    train(
        model,
        samples,
        epochs,
        seed=seed,
        rate=rate,
        log=logger,
        after_epoch=lambda epoch: save("early") if epoch == 0 else None,
    )
    assert logger.close()
    save("last")
    return RealRun(planted=folder / "planted", trace=folder / "trace", facts=facts, **places)


def planted_texts(folder):
    """What a run reads: the text of every row of the planted batch."""
    import pyarrow.parquet as pq

    return [
        text
        for path in sorted((folder / "batch").rglob("*.parquet"))
        for text in pq.read_table(path)["text"].to_pylist()
    ]
