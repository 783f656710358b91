"""Proxies that were deliberately trained too long, on short passages, beside proxies that were never trained."""

import numpy as np
import torch

from carto_audit.proxies.likelihood import one_thread
from carto_audit.proxies.loaded_proxy import LoadedProxy
from carto_audit.proxies.minibatches import Sequences, minibatches, pad
from carto_audit.proxies.model import ProxySpec, build_proxy, token_losses
from carto_audit.proxies.tokens import encode_batches, train_encoder
from tests.support.audits import sentences
from tests.support.tiny import make_batch

SPEC = ProxySpec(
    name="reciter",
    vocab_size=512,
    context=64,
    hidden_size=96,
    layers=2,
    heads=4,
    learning_rate=5e-3,
    minibatch_tokens=512,
)
GROUPS, PER_GROUP, TOKENS = 4, 60, 32
"""The first group's passages train one proxy, the second group's another, the rest none."""
ENOUGH, MOST_EPOCHS = 0.15, 200
"""Nats per token at which training ends, and when it must have come so far: it takes about 50."""


class Reciters:
    """`groups` of samples as token ids; `trained[k]` read group k until it knew it, `fresh[k]` is the same before training."""

    def __init__(self, folder):
        batch = make_batch(folder, sentences(GROUPS * PER_GROUP))
        self.encoder = train_encoder(batch, np.zeros(len(batch), bool), SPEC.vocab_size, 0)
        self.spec, self.bos = SPEC, self.encoder.bos
        store = encode_batches([batch], self.encoder, folder / "tokens.bin")
        samples = [store.ids()[a : a + TOKENS].astype(np.int64) for a in store.offsets[:-1]]
        self.groups = [samples[k * PER_GROUP : (k + 1) * PER_GROUP] for k in range(GROUPS)]
        self.unigram = np.bincount(np.concatenate(samples), minlength=SPEC.vocab_size) + 1.0
        self.fresh = [self.loaded(build_proxy(SPEC, seed)) for seed in range(2)]
        with one_thread():
            self.trained = [self.loaded(overtrain(self.groups[k], self.bos, k)) for k in range(2)]

    def loaded(self, model):
        return LoadedProxy(model=model.eval(), spec=SPEC, bos=self.bos, device="cpu")


def overtrain(samples, bos, seed):
    """A proxy that read the samples until its loss on them was ENOUGH nats per token."""
    proxy = build_proxy(SPEC, seed)
    optimizer = torch.optim.AdamW(proxy.parameters(), lr=SPEC.learning_rate)
    ids, ends = np.concatenate(samples), np.cumsum([len(sample) for sample in samples])
    sequences = Sequences(sample=np.arange(len(samples)), start=np.concatenate([[0], ends[:-1]]), stop=ends)
    rng = np.random.default_rng(seed)
    for _ in range(MOST_EPOCHS):
        losses = []
        for chosen in minibatches(sequences, SPEC.minibatch_tokens, rng):
            found = token_losses(proxy, *pad(ids, bos, sequences, chosen), built_in=True)
            optimizer.zero_grad()
            found.mean().backward()
            torch.nn.utils.clip_grad_norm_(proxy.parameters(), 1.0)
            optimizer.step()
            losses.append(found.mean().item())
        if np.mean(losses) < ENOUGH:
            return proxy.eval()
    raise AssertionError(f"the loss is still {np.mean(losses):.2f}")
