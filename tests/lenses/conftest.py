"""Proxies that have learned what a test says, letter by letter: nothing is trained."""

import string

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from carto_audit.lenses.readers import Proxies, Readers
from carto_audit.lenses.view import LensView, Offered, RowTexts
from carto_audit.proxies.model import ProxySpec
from carto_audit.proxies.tokens import Encoder
from carto_audit.traces.trace import TokenStatistics

SPEC = ProxySpec(
    name="x", vocab_size=9, context=80, hidden_size=8, layers=1, heads=1, learning_rate=1e-3, minibatch_tokens=64
)


@pytest.fixture(scope="session")
def letters():
    """An encoder with a token per character."""
    tokenizer = Tokenizer(models.WordLevel({c: k for k, c in enumerate(string.printable)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    return Encoder(tokenizer=tokenizer, bos=0, vocab_size=len(string.printable), checkpoint=None)


@pytest.fixture
def view_of(letters, monkeypatch):
    """The view of some texts; `side` says who read each, and `learned[k]` are the strings that proxy k says without fail. After
    the beginning of such a string it says the rest of it, else blanks."""

    def ids(text):
        return letters.tokenizer.encode(text).ids

    def view(
        texts, side, learned=((), ()), *, needs=("texts", "proxies"), budget=1_000_000, fields=None, held_out=None
    ):
        def statistics(proxy, asked, most_logits):
            return [_marked(one, [ids(text) for text in learned[proxy]]) for one in asked]

        def greedy(proxy, prompts, lengths):
            said = []
            for prompt, length in zip(prompts, lengths, strict=True):
                written = letters.tokenizer.decode(prompt.tolist())
                rest = [text.split(written, 1)[1] for text in learned[proxy] if written in text]
                said.append(np.array(ids(((rest or [""])[0] + " " * length)[:length])))
            return said

        monkeypatch.setattr(Readers, "_proxy", lambda self, index: index)
        monkeypatch.setattr("carto_audit.proxies.likelihood.read_statistics", statistics)
        monkeypatch.setattr("carto_audit.proxies.generation.greedy", greedy)
        proxies = Proxies(
            spec=SPEC,
            encoder=letters,
            folder=None,
            device="cpu",
            side=np.array(side, np.int8),
            budget=budget,
            held_out=None if held_out is None else np.array(held_out, bool),
        )
        tokens = np.array([len(text) for text in texts], np.int64)
        chunks = iter([RowTexts(start=0, texts=list(texts)), None])
        offered = Offered(n_tokens=tokens, proxies=proxies, fields=fields or {})
        return LensView(offered, needs, 3, lambda question: next(chunks))

    return view


def _marked(text, learned):
    right = np.zeros(len(text))
    for known in learned:
        for k in range(len(text) - len(known) + 1):
            if text[k : k + len(known)].tolist() == known:
                right[k : k + len(known)] = 1
    return TokenStatistics(loss=4 * (1 - right), z=right, right=right, log_rank=right, margin=right)
