"""Batches whose memorized mass is known: real text, and secrets planted at one dose up to a share of the tokens."""

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.corpora import Corpora, write_texts
from bench.detection.canaries import FORMS, KINDS, Writer, ordinary
from carto_audit.data.batch import read_batch
from carto_audit.proxies.model import PRESETS
from carto_audit.proxies.tokens import Encoder, count_tokens, train_encoder

CORPORA = ("wikitext", "docstrings", "shakespeare")

TRIES = 120
"""Secrets that are written at most while the wanted mass is filled; those that would overshoot it are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A row; characters [start, end) of it are a planted secret, none where the two are equal."""

    text: str
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is planted in a batch, as shares of its tokens: the `spans` themselves, and the `samples` that hold them."""

    spans: float
    samples: float


def fill(corpora: Corpora, name: str, tokens: int, dose: int, mass: float, seed: int) -> list[Planted]:
    """About so many tokens of a corpus, and secrets of all kinds and forms in turn, each in `dose` rows, until about `mass` of
    all tokens is theirs; in random order."""
    rng = np.random.default_rng([seed, 7])
    texts, rest = ordinary(corpora, name, tokens, seed)
    rows, encoder = [Planted(text=text) for text in texts], encoder_of(texts)
    writer = Writer(rng, texts, rest)
    total, spans = count_tokens(encoder, texts), 0
    cells = list(itertools.product(KINDS, FORMS))
    order = [cells[k] for k in rng.permutation(len(cells))]
    for kind, form in itertools.islice(itertools.cycle(order), TRIES):
        copies = secret_rows(writer, kind, form, dose)
        inside = count_tokens(encoder, [row.text[row.start : row.end] for row in copies])
        beside = count_tokens(encoder, [row.text for row in copies])
        if abs(spans + inside - mass * (total + beside)) < abs(spans - mass * total):
            rows += copies
            total, spans = total + beside, spans + inside
    return [rows[i] for i in rng.permutation(len(rows))]


def secret_rows(writer: Writer, kind: str, form: str, dose: int) -> list[Planted]:
    """The rows that carry one new secret: alone, edited in every row, or embedded in other text."""
    words = writer.secret(kind)
    secret = " ".join(words)
    if form == "embedded":
        texts = [" ".join(writer.embed(words)) for _ in range(dose)]
        starts = [text.index(secret) for text in texts]
        return [Planted(text=t, start=at, end=at + len(secret)) for t, at in zip(texts, starts, strict=True)]
    copies = [" ".join(writer.edit(words)) if form == "edited" else secret for _ in range(dose)]
    return [Planted(text=text, end=len(text)) for text in copies]


def encoder_of(texts: Sequence[str]) -> Encoder:
    """The vocabulary that an audit of these texts would train."""
    with tempfile.TemporaryDirectory() as folder:
        batch = read_batch([write_texts(Path(folder) / "ordinary.parquet", texts)])
        return train_encoder(batch, np.zeros(len(batch), dtype=bool), PRESETS["nano"].vocab_size, 0)


def truth_of(rows: Sequence[Planted], n_tokens: NDArray[np.int64], encoder: Encoder) -> Truth:
    """The planted shares as the audit counts tokens: `n_tokens` of each row, (N,), by its `encoder`."""
    held = np.array([tokens_in(row, encoder) for row in rows])
    total = float(n_tokens.sum())
    return Truth(spans=float(held.sum() / total), samples=float(n_tokens[held > 0].sum() / total))


def tokens_in(row: Planted, encoder: Encoder) -> int:
    """The tokens of a row's secret."""
    if row.start == row.end:
        return 0
    offsets = encoder.tokenizer.encode(row.text, add_special_tokens=False).offsets
    return sum(1 for start, end in offsets if start < row.end and end > row.start)
