"""How well do the attacks see, and what do they cost? Two `nano` proxies on WikiText-2 paragraphs, after 2 to 16 epochs.

    python -m bench.attacks.run --data DATA    # six minutes of CPU time

Four groups of paragraphs: the first trains one proxy, the second another, the rest none. Members of the second proxy are told
from the fourth group; the learned attack was fitted on the first proxy, with the first and the third group.
"""

import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.corpora import open_corpora, parser_of, write_texts
from bench.nano import thin_if
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
from carto_audit.proxies.loaded_proxy import LoadedProxy
from carto_audit.proxies.model import PRESETS, build_proxy
from carto_audit.proxies.tokens import encode_batches, train_encoder

CHARACTERS, TOKENS, NEIGHBOURS = 400, 100, 5
MISTAKES = "ez, the target's mistakes alone"

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Paragraphs in a group, after which epochs the attacks are asked, and how many secrets and candidates they cost."""

    per_group: int
    epochs: tuple[int, ...]
    targets: int
    secrets: int
    candidates: int


FULL = Scale(per_group=300, epochs=(2, 4, 8, 16), targets=400, secrets=60, candidates=100)
SMOKE = Scale(per_group=24, epochs=(2,), targets=12, secrets=4, candidates=8)


class Bench:
    """Paragraphs in four groups, as tokens, and the proxies that read the first and the second."""

    def __init__(self, texts: Sequence[str], scale: Scale, folder: Path) -> None:
        long = [text for text in texts if len(text) > CHARACTERS]
        chosen = np.random.default_rng(0).permutation(len(long))[: 4 * scale.per_group]
        batch = read_batch([write_texts(folder / "batch.parquet", [long[k][:CHARACTERS] for k in chosen])])
        self.scale, self.folder, self.spec = scale, folder, PRESETS["nano"]
        self.encoder = train_encoder(batch, np.zeros(len(batch), bool), self.spec.vocab_size, 0)
        self.store = encode_batches([batch], self.encoder, folder / "tokens.bin")
        every = self.store.ids().astype(np.int64)
        samples = [every[a:b][:TOKENS] for a, b in pairwise(self.store.offsets)]
        self.groups = [samples[k * scale.per_group : (k + 1) * scale.per_group] for k in range(4)]
        self.unigram = np.bincount(every, minlength=self.spec.vocab_size).astype(np.float64) + 1

    def train(self, epochs: int) -> list[LoadedProxy]:
        """Both proxies; untrained ones after 0 epochs."""
        if not epochs:
            fresh = (build_proxy(self.spec, seed).eval() for seed in range(2))
            return [LoadedProxy(model=model, spec=self.spec, bos=self.encoder.bos, device="cpu") for model in fresh]
        for index in range(2):
            (self.folder / f"proxy-{index}.pt").unlink(missing_ok=True)
            learned = np.arange(index * self.scale.per_group, (index + 1) * self.scale.per_group)
            config = TrainConfig(epochs=epochs, folds=2, seed=0, device="cpu", threads=1)
            job = FoldJob(
                index=index,
                spec=self.spec,
                config=config,
                store=self.store,
                learned=learned,
                scored=learned[:2],
                folder=self.folder,
            )
            train_fold(job, lambda tokens: None)
        return [self.load(index) for index in range(2)]

    def load(self, index: int) -> LoadedProxy:
        """A proxy as it was trained last."""
        return load_proxy(self.spec, self.encoder.bos, self.folder, index, "cpu")

    def attack(
        self, proxies: Sequence[LoadedProxy], target: int, members: int, others: int
    ) -> tuple[dict[str, Floats], Floats, NDArray[np.bool_]]:
        """Every score, the learned attack's features, and who is a member."""
        texts = [*self.groups[members], *self.groups[others]]
        ours, theirs = (read_statistics(proxies[k], texts) for k in (target, 1 - target))
        rng = np.random.default_rng(0)
        near = [neighbours(text, self.unigram, NEIGHBOURS, 0.1, rng) for text in texts]
        size = np.array([len(zlib.compress(self.encoder.tokenizer.decode(text.tolist()).encode())) for text in texts])
        lost = neighbour_losses(proxies[target], near)
        scores = membership_scores(ours, theirs, size, lost)
        blind = [replace(text, right=np.ones(len(text.right))) for text in theirs]
        scores[MISTAKES] = membership_scores(ours, blind, size, lost)["ez"]
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
    proxy, scale = bench.load(0), bench.scale
    texts = [text for group in bench.groups for text in group]
    targets = [target for text in texts[: scale.targets] if (target := target_of(text)) is not None]
    suffixes = [[text[50:64] for text in texts[k : k + scale.candidates]] for k in range(scale.secrets)]
    seconds = {f"{len(targets)} secrets under four prompts": _timed(partial(extract, proxy, targets, 0))}
    for size in (12, 50):
        prompts = [text[:size] for text in texts[: scale.secrets]]
        what = f"{scale.secrets} secrets among {scale.candidates} candidates, prompts of {size} tokens"
        seconds[what] = _timed(partial(candidate_losses, proxy, prompts, suffixes))
    seconds[f"the statistics of {len(texts)} texts of {TOKENS} tokens"] = _timed(partial(read_statistics, proxy, texts))
    return seconds


def _timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def show(columns: dict[int, dict[str, Membership]], seconds: dict[str, float]) -> None:
    """Prints both tables as Markdown."""
    print("| attack | " + " | ".join(f"{epochs} epochs" for epochs in columns) + " |")
    print("|---" * (1 + len(columns)) + "|")
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(_cell(column[name]) for column in columns.values()) + " |")
    print("\n| work | CPU s |\n|---|---|")
    for what, spent in seconds.items():
        print(f"| {what} | {spent:.1f} |")


def _cell(power: Membership) -> str:
    found = power.tpr_at_1pct_fpr
    share = "too few to say" if found is None else f"{found.value:.0%}"
    return f"{power.auc.value:.3f} ({power.auc.low:.2f}–{power.auc.high:.2f}), {share}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints both tables."""
    given = parser_of(__doc__).parse_args(arguments)
    scale = SMOKE if given.smoke else FULL
    with (
        open_corpora(given) as corpora,
        tempfile.TemporaryDirectory() as folder,
        one_thread(),
        thin_if(given.smoke),
    ):
        bench = Bench(corpora.texts("wikitext"), scale, Path(folder))
        columns = {epochs: see(bench, epochs) for epochs in (0, *scale.epochs)}
        show(columns, cost(bench))


if __name__ == "__main__":
    main()
