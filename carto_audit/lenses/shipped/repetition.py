"""Repetition: how often the planned training would read each text, and how much it would read harmfully often."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.lenses.answers import Histogram, LensResult, Looked, Section
from carto_audit.lenses.declared.repetition import REPETITION, RepetitionOptions
from carto_audit.lenses.plants import Example, Plants, Room
from carto_audit.lenses.view import Kin, LensView
from carto_audit.runtime.strict_model import Strict
from carto_audit.text.numbers import number, percent

BAND = (10.0, 1000.0)
"""Effective repeats, both ends included, between which repeated text costs a model the most (Hernandez et al. 2022)."""

BUCKETS = (2, 5, 17)
"""Copies from which the second, third and fourth bucket begin: once, 2 to 4, 5 to 16, more."""

_LABELS = ("below 1", "1", "up to 4", "up to 10", "10 to 100", "100 to 1,000", "above 1,000")
_EDGES = (1.0, 1.0 + 1e-9, 4.0 + 1e-9, BAND[0], 100.0, BAND[1] + 1e-9)

_PLANTED, _WORDS, _LEAST_WORDS = 20, 40, 60


class RepetitionLens:
    """Counts copies as the audit found them, exact and near, times the weights of the policy, times the planned epochs."""

    spec = REPETITION

    def plant(self, room: Room, options: Strict) -> Plants:
        """Texts of the batch's words in random order, each repeated, half of the copies with a word exchanged; as twins, pairs of
        which every fifth word differs. Nothing where the room holds too few words."""
        words = np.array(sorted({word for text in room.texts for word in text.split() if len(word) < 40}), dtype=object)
        if len(words) < _LEAST_WORDS:
            return Plants()
        rng = np.random.default_rng(room.seed)
        examples = []
        for dose in self.spec.doses:
            for _ in range(_PLANTED):
                text = rng.choice(words, _WORDS)
                copies = [_changed(text, words, rng, 1 if k % 2 else 0) for k in range(dose)]
                examples.append(Example(texts=tuple(copies), answer=_bucket(dose)))
        twins: list[str] = []
        for _ in range(_PLANTED):
            text = rng.choice(words, _WORDS)
            twins += [_changed(text, words, rng, 0), _changed(text, words, rng, _WORDS // 5)]
        return Plants(examples=tuple(examples), twins=tuple(twins))

    def look(self, view: LensView, options: Strict) -> Looked:
        """The effective repeats of each row, and the bucket of its copies."""
        plan = _plan(options)
        copies, read = _by_cluster(view.kin, view.weights)
        columns = pa.table({"effective_repeats": read * plan.planned_epochs})
        return Looked(columns=columns, found=np.searchsorted(BUCKETS, copies, side="right"))

    def sum_up(self, view: LensView, looked: Looked, options: Strict) -> LensResult:
        """The share of the tokens in the harmful band, and the most repeats."""
        plan, repeats = _plan(options), looked.columns["effective_repeats"].to_numpy()
        tokens, total = view.n_tokens, max(1, int(view.n_tokens.sum()))
        harmful = (repeats >= BAND[0]) & (repeats <= BAND[1])
        share, most = float(tokens[harmful].sum() / total), float(repeats.max(initial=0.0))
        read = tokens * view.weights * plan.planned_epochs
        facts = [
            ("planned epochs", f"{plan.planned_epochs:g}"),
            ("most often read", f"{number(most, 1)} times"),
            ("tokens that the training reads, of those delivered", f"{number(float(read.sum()) / total, 2)} times"),
        ]
        if plan.corpus_tokens is not None:
            facts.append(
                (
                    "the band's readings, as a share of your corpus",
                    percent(float(read[harmful].sum()) / plan.corpus_tokens),
                )
            )
        amounts = np.bincount(np.searchsorted(_EDGES, repeats, side="right"), weights=tokens, minlength=len(_LABELS))
        section = Section(
            headline=f"{percent(share)} of the tokens would be read 10 to 1,000 times",
            paragraph="Effective repeats of a row are the weights of all its exact and near copies, times the planned epochs. "
            "In published experiments a small part of the data that was read 10 to 1,000 times harmed the whole model.",
            facts=tuple(facts),
            figures=(
                Histogram(
                    title="Tokens by effective repeats", labels=_LABELS, amounts=tuple(amounts.tolist()), unit="tokens"
                ),
            ),
        )
        return LensResult(
            metrics={"harmful_band_token_share": min(1.0, share), "max_effective_repeats": most}, section=section
        )


def _plan(options: Strict) -> RepetitionOptions:
    assert isinstance(options, RepetitionOptions)
    return options


def _by_cluster(kin: Kin, weights: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """How many rows each row's cluster has, and how often they are read in an epoch, all of them together: (N,) both."""
    copies = np.bincount(kin.cluster, minlength=len(weights))
    read = np.bincount(kin.cluster, weights=weights, minlength=len(weights)).astype(np.float64)
    return copies[kin.cluster].astype(np.int64), read[kin.cluster]


def _bucket(copies: int) -> int:
    return int(np.searchsorted(BUCKETS, copies, side="right"))


def _changed(text: NDArray[np.object_], words: NDArray[np.object_], rng: np.random.Generator, count: int) -> str:
    changed = text.copy()
    changed[rng.choice(len(text), count, replace=False)] = rng.choice(words, count)
    return " ".join(changed)
