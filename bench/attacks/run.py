"""How well do the attacks see, and what do they cost? Two `nano` proxies on WikiText-2 paragraphs, after 2 to 16 epochs.

    .venv/bin/python bench/attacks/run.py    # six minutes of CPU time

Four groups of paragraphs: the first trains one proxy, the second another, the rest none. Members of the second proxy are told
from the fourth group; the learned attack was fitted on the first proxy, with the first and the third group.
"""

import argparse
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch import nn

from carto_audit.data.batch import read_batch
from carto_audit.governance.attacks.exposure import candidate_losses
from carto_audit.governance.attacks.extraction import extract, target_of
from carto_audit.governance.attacks.membership import (
    Membership,
    fit_attack,
    learned_features,
    measure_membership,
    membership_scores,
    neighbours,
)
from carto_audit.proxies.cross_fit import FoldJob, TrainConfig, load_proxy, train_fold
from carto_audit.proxies.likelihood import neighbour_losses, one_thread, read_statistics
from carto_audit.proxies.model import PRESETS, build_proxy
from carto_audit.proxies.tokens import encode_batches, train_encoder

DATA = Path(__file__).resolve().parents[3] / "shared/data/corpora/wikitext2.parquet"
PER_GROUP, TOKENS, NEIGHBOURS = 300, 100, 5
EPOCHS = (2, 4, 8, 16)
SPEC = PRESETS["nano"]
MISTAKES = "ez, the target's mistakes alone"


class Bench:
    """Paragraphs in four groups, as tokens, and the proxies that read the first and the second."""

    def __init__(self, data: Path, folder: Path) -> None:
        texts = [text for text in pq.read_table(data)["text"].to_pylist() if len(text) > 400]
        chosen = np.random.default_rng(0).permutation(len(texts))[: 4 * PER_GROUP]
        pq.write_table(pa.table({"text": [texts[k][:400] for k in chosen]}), folder / "batch.parquet")
        batch = read_batch([folder / "batch.parquet"])
        self.folder = folder
        self.encoder = train_encoder(batch, np.zeros(len(batch), bool), SPEC.vocab_size, 0)
        self.bos = self.encoder.bos
        self.store = encode_batches([batch], self.encoder, folder / "tokens.bin")
        every = self.store.ids().astype(np.int64)
        samples = [every[a:b][:TOKENS] for a, b in pairwise(self.store.offsets)]
        self.groups = [samples[k * PER_GROUP : (k + 1) * PER_GROUP] for k in range(4)]
        self.unigram = np.bincount(every, minlength=SPEC.vocab_size) + 1.0

    def train(self, epochs: int) -> list[nn.Module]:
        """Both proxies; untrained ones after 0 epochs."""
        if not epochs:
            return [build_proxy(SPEC, seed).eval() for seed in range(2)]
        for index in range(2):
            (self.folder / f"proxy-{index}.pt").unlink(missing_ok=True)
            learned = np.arange(index * PER_GROUP, (index + 1) * PER_GROUP)
            config = TrainConfig(epochs=epochs, folds=2, seed=0, device="cpu", threads=1)
            job = FoldJob(
                index=index,
                spec=SPEC,
                config=config,
                store=self.store,
                learned=learned,
                scored=learned[:2],
                folder=self.folder,
            )
            train_fold(job, lambda tokens: None)
        return [load_proxy(SPEC, self.folder, index, "cpu") for index in range(2)]

    def attack(
        self, proxies: list[nn.Module], target: int, members: int, others: int
    ) -> tuple[dict[str, Any], Any, Any]:
        """Every score, the learned attack's features, and who is a member."""
        texts = [*self.groups[members], *self.groups[others]]
        ours, theirs = (read_statistics(proxies[k], texts, SPEC, self.bos, "cpu") for k in (target, 1 - target))
        rng = np.random.default_rng(0)
        near = [neighbours(text, self.unigram, NEIGHBOURS, 0.1, rng) for text in texts]
        size = [len(zlib.compress(self.encoder.tokenizer.decode(text.tolist()).encode())) for text in texts]
        lost = neighbour_losses(proxies[target], near, SPEC, self.bos, "cpu")
        scores = membership_scores(ours, theirs, np.array(size), lost)
        blind = [replace(text, right=np.ones(len(text.right))) for text in theirs]
        scores[MISTAKES] = membership_scores(ours, blind, np.array(size), lost)["ez"]
        return scores, learned_features(ours, theirs), np.arange(len(texts)) < len(self.groups[members])


def see(bench: Bench, epochs: int) -> dict[str, Membership]:
    """How well each attack tells the members of the second proxy."""
    proxies = bench.train(epochs)
    _, features, member = bench.attack(proxies, 0, 0, 2)
    attack = fit_attack(features, member, 0)
    scores, features, member = bench.attack(proxies, 1, 1, 3)
    scores["lt_mia"] = attack.score(features)
    found = {name: measure_membership(values, member, 0) for name, values in scores.items()}
    return {name: power for name, power in found.items() if power is not None}


def cost(bench: Bench) -> dict[str, float]:
    """CPU seconds of the attacks on the proxies that were trained last."""
    proxy = load_proxy(SPEC, bench.folder, 0, "cpu")
    texts = [text for group in bench.groups for text in group]
    targets = [target for text in texts[:400] if (target := target_of(text)) is not None]
    suffixes = [[text[50:64] for text in texts[k : k + 100]] for k in range(60)]
    return {
        f"{len(targets)} secrets under four prompts": _timed(
            lambda: extract(proxy, targets, SPEC, bench.bos, "cpu", 0)
        ),
        **{
            f"60 secrets among 100 candidates, prompts of {size} tokens": _timed(
                lambda size=size: candidate_losses(
                    proxy, [text[:size] for text in texts[:60]], suffixes, SPEC, bench.bos, "cpu"
                )
            )
            for size in (12, 50)
        },
        f"the statistics of {len(texts)} texts of {TOKENS} tokens": _timed(
            lambda: read_statistics(proxy, texts, SPEC, bench.bos, "cpu")
        ),
    }


def _timed(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    """Prints both tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, one_thread():
        bench = Bench(options.data, Path(folder))
        columns = {epochs: see(bench, epochs) for epochs in (0, *EPOCHS)}
        seconds = cost(bench)
    print("| attack | " + " | ".join(f"{epochs} epochs" for epochs in columns) + " |")
    print("|---" * (1 + len(columns)) + "|")
    for name in columns[0]:
        cells = [
            f"{power.auc.value:.3f} ({power.auc.low:.2f}–{power.auc.high:.2f}), {power.tpr_at_1pct_fpr.value:.0%}"
            for power in (column[name] for column in columns.values())
            if power.tpr_at_1pct_fpr is not None
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\n| work | CPU s |\n|---|---|")
    for what, spent in seconds.items():
        print(f"| {what} | {spent:.1f} |")


if __name__ == "__main__":
    main()
