"""Audits of one batch by two sides: other keys, other seeds, other thread counts. Each is kept, and made only once."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np

from bench.corpora import Corpora, write_texts
from bench.detection.canaries import FORMS, KINDS, Writer, distinct
from bench.gate.batches import secret_rows
from carto_audit.api import audit
from carto_audit.artifacts.file_list import VERDICT
from carto_audit.pipeline.options import AuditOptions

CORPORA = {"tuned": ("wikitext", "shakespeare", "gsm8k"), "judged": ("docstrings", "questions", "manuals")}
"""What the limits of the tests were chosen on, and what nobody looked at before they stood."""

PIECE_WORDS = 24
"""Words in an ordinary row: a batch of 1,000 rows then has some 40,000 tokens."""

DOSE = 4
CPUS = {"wikitext-500-30-8-1": 4}
"""What this audit is told of the processors, others 2: its proxies train on two threads each, not one, which takes longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One audit of a batch: `number` decides its key, its seed and its threads."""

    corpus: str
    number: int
    rows: int
    planted: int
    epochs: int

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.corpus}-{self.rows}-{self.planted}-{self.epochs}-{self.number}"


def batch_texts(corpora: Corpora, corpus: str, rows: int, planted: int, seed: int = 0) -> list[str]:
    """So many rows of a corpus, cut short, of which `planted` hold a secret that stands in DOSE rows; in random order."""
    rng = np.random.default_rng([seed, rows, planted, 11])
    texts = distinct(corpora, corpus)
    np.random.default_rng([seed, 1]).shuffle(texts)
    words = [text.split() for text in texts[: len(texts) // 2]]
    pieces = (" ".join(w[at : at + PIECE_WORDS]) for w in words for at in range(0, max(1, len(w) - 11), PIECE_WORDS))
    ordinary = list(dict.fromkeys(piece for piece in pieces if len(piece.split()) >= 8))[: rows - planted]
    writer = Writer(rng, ordinary, texts[len(texts) // 2 :])
    cells = [(kind, form) for kind in KINDS for form in FORMS]
    chosen = [cells[k] for k in rng.integers(len(cells), size=planted // DOSE)]
    secrets = [row.text for kind, form in chosen for row in secret_rows(writer, kind, form, DOSE)]
    mixed = [*ordinary, *secrets]
    return [mixed[i] for i in rng.permutation(len(mixed))]


def batch_file(corpora: Corpora, side: Side, kept: Path) -> Path:
    """The batch of a side, written once."""
    path = kept / f"{side.corpus}-{side.rows}-{side.planted}.parquet"
    return path if path.exists() else write_texts(path, batch_texts(corpora, side.corpus, side.rows, side.planted))


def key_file(side: Side, kept: Path) -> Path:
    """The sampling key of a side, as a file."""
    path = kept / f"{side.name}.key"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.random.default_rng([side.number, 5]).bytes(32))
    return path


def audited(corpora: Corpora, side: Side, kept: Path) -> Path:
    """The folder of the audit of a side; it is made where it is not there."""
    folder, batch = kept / side.name, batch_file(corpora, side, kept)
    if not (folder / VERDICT).exists():
        options = AuditOptions(
            seed=side.number,
            sampling_key=str(key_file(side, kept)),
            epochs=side.epochs,
            repeats=1,
            device="cpu",
        )
        with patch.object(os, "cpu_count", lambda: CPUS.get(side.name, 2)):
            audit(batch, out=folder, options=options)
    return folder


def sides(corpora: Sequence[str], count: int, rows: int, planted: int, epochs: int) -> list[Side]:
    """The audits that are needed, corpus by corpus in turn."""
    return [
        Side(corpus=corpus, number=number, rows=rows, planted=planted, epochs=epochs)
        for number in range(count)
        for corpus in corpora
    ]
