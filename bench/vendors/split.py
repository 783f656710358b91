"""Split: are copies found that are spread over deliveries, and how much text do honest deliveries repeat? Trains nothing.

python -m bench.vendors.split --data DATA            # 20 trials of every kind of secret, and six honest deliveries a corpus
"""

import argparse
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.corpora import Corpora, open_corpora, parser_of
from bench.detection.canaries import FORMS, KINDS, Writer, distinct
from bench.gate.batches import secret_rows
from carto_audit.artifacts.batch_facts import CrossBatchFacts
from carto_audit.artifacts.earlier_audits import Delivered
from carto_audit.ledger.kin.overlap import EarlierSketch, hold_against
from carto_audit.ledger.kin.secret import LedgerKey
from carto_audit.ledger.kin.sketch import make_sketch
from carto_audit.policy.metrics import CROSS_BATCH, SPLIT, Measurement

CORPORA = ("wikitext", "shakespeare", "gsm8k", "modules")
DOSE, DELIVERIES, ROWS = 4, 6, 200
_CAP, _CHUNK = 32, 500
_SKIPPED = {"test", "tests", "site-packages", "idlelib", "lib2to3"}


@dataclass(slots=True)
class Shelf:
    """Deliveries that were accepted, in memory."""

    key: LedgerKey
    known: list[EarlierSketch] = field(default_factory=list)
    rows: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)

    def add(self, texts: Sequence[str]) -> tuple[dict[str, Measurement], CrossBatchFacts]:
        """Holds a delivery against those before, and accepts it."""
        number = len(self.known) + 1
        delivered = _delivered(texts, str(number))
        sketch = make_sketch(delivered, self.key)
        found = hold_against(
            sketch, delivered, self.known, {}, lambda asked: [(f, *hit) for f in asked for hit in self.rows.get(f, ())]
        )
        for fingerprint, count, common in sketch.kept(self.key, _CAP).rows:
            self.rows.setdefault(fingerprint, []).append((number, count, common))
        earlier = EarlierSketch(entry=number, batch_sha256=str(number), day="", same_vendor=True, rate=sketch.rate)
        self.known.append(earlier)
        return found


def _delivered(texts: Sequence[str], name: str) -> Delivered:
    _, original, copies = np.unique(np.array(texts), return_index=True, return_counts=True)
    counts = np.ones(len(texts), np.int64)
    counts[original] = copies
    return Delivered(
        batch_sha256=name,
        texts=lambda: ((k, texts[k : k + _CHUNK]) for k in range(0, len(texts), _CHUNK)),
        row=np.arange(len(texts)),
        copies=counts,
        exact=~np.isin(np.arange(len(texts)), original),
        n_tokens=np.array([max(1, len(text.encode()) // 4) for text in texts]),
        cap=round(min(256, max(_CAP, 0.01 * len(texts)))),
        dose=DOSE,
    )


def texts_of(corpora: Corpora, corpus: str, seed: int) -> list[str]:
    """A corpus in random order; `modules` are those of Python's own library, a file a row."""
    texts = modules() if corpus == "modules" else distinct(corpora, corpus)
    np.random.default_rng(seed).shuffle(texts)
    return texts


def modules() -> list[str]:
    """The modules of Python's own library, without tests."""
    root = Path(sysconfig.get_path("stdlib"))
    found = (path for path in sorted(root.rglob("*.py")) if not _SKIPPED.intersection(path.relative_to(root).parts))
    return [path.read_text(encoding="utf-8", errors="replace") for path in found]


def honest(corpora: Corpora, corpus: str) -> tuple[int, float, float]:
    """Words of the last of six deliveries of a corpus, and what of its tokens it repeats and splits."""
    texts, shelf = texts_of(corpora, corpus, 0), Shelf(LedgerKey(bytes(32)))
    size = len(texts) // DELIVERIES
    parts = [texts[k * size : (k + 1) * size] for k in range(DELIVERIES)]
    measured = [shelf.add(part)[0] for part in parts][-1]
    return sum(len(text.split()) for text in parts[-1]), measured[CROSS_BATCH].value, measured[SPLIT].value


def caught(corpora: Corpora, corpus: str, kind: str, form: str, trials: int) -> int:
    """In how many trials a secret of which DOSE deliveries hold one copy each is found in the last of them."""
    texts, found = texts_of(corpora, corpus, 1), 0
    writer = Writer(np.random.default_rng(2), texts[: len(texts) // 2], texts[len(texts) // 2 :])
    rows = min(ROWS, len(texts) // (2 * DOSE))
    for trial in range(trials):
        shelf, luck = Shelf(LedgerKey(trial.to_bytes(32))), np.random.default_rng([3, trial])
        order = luck.permutation(len(texts) // 2)
        copies = [row.text for row in secret_rows(writer, kind, form, DOSE)]
        for k, copy in enumerate(copies):
            _, facts = shelf.add([copy, *(texts[i] for i in order[k * rows : (k + 1) * rows])])
        found += any(one["row"] == 0 and one["most_rows"] >= DOSE for one in facts["examples"])
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and shows; nothing is kept."""
    parser = parser_of(__doc__)
    given: argparse.Namespace = parser.parse_args(argv)
    trials, chosen, kinds = (1, CORPORA[:1], KINDS[:2]) if given.smoke else (20, CORPORA, KINDS)
    with open_corpora(given) as corpora:
        print("| corpus | words of a delivery | `ledger.cross_batch_copies` | `ledger.split_copies` |")
        print("|---|---|---|---|")
        for corpus in chosen:
            words, copies, split = honest(corpora, corpus)
            print(f"| {corpus} | {words:,} | {100 * copies:.2f} % | {100 * split:.2f} % |")
        print(f"\n| kind of secret, caught of {trials} | {' | '.join(FORMS)} |")
        print("|---|" + "---|" * len(FORMS))
        for kind in kinds:
            cells = " | ".join(str(caught(corpora, CORPORA[0], kind, form, trials)) for form in FORMS)
            print(f"| {kind} | {cells} |")


if __name__ == "__main__":
    main()
