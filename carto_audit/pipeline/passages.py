"""Passages: what the memorized stretches of a batch and its boilerplate amount to, in tokens and in distinct texts."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.cartography.analysis import LossAnalysis, TracedSamples
from carto_audit.cartography.intervals import beyond_quartile
from carto_audit.cartography.quadrants import UNMAPPED
from carto_audit.cartography.spans import Stretches
from carto_audit.proxies.tokens import Encoder, TokenStore
from carto_audit.text.redaction import labelled_spans
from carto_audit.text.surprise import learn_bytes

UPPER_PERCENTILE = 3.09
"""Standard deviations from median to 99.9th percentile, for a normal distribution."""

MOST_SKEW = 2
"""How much farther the upper quartile of ordinary text may lie from the median than the lower one: else a quarter of the rows,
filled with keys of their own, would make any key look ordinary."""

ORDINARY_SAMPLES = 4000
"""Samples without boilerplate whose surprise says what is usual; every second one is learned, the others are measured."""

LEAST_ORDINARY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Memorized:
    """What lies above a line: tokens of each sample, (N,), in memorized stretches; how many distinct texts these are, and how
    many of them hold personal data or keys."""

    tokens: NDArray[np.int64]
    spans: int
    sensitive_spans: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Passages:
    """What is memorized, above the line and above either end of its interval, None where the score is not of windows; and the
    tokens of each sample, (N,), in boilerplate, and in boilerplate that is more surprising than other text of the batch."""

    memorized: tuple[Memorized, ...] | None
    boilerplate: NDArray[np.int64]
    surprising: NDArray[np.int64]


def measure_passages(analysis: LossAnalysis, samples: TracedSamples, store: TokenStore, encoder: Encoder) -> Passages:
    """The passages of a batch, from the stretches that the losses showed."""
    n, mapped = len(samples.n_tokens), analysis.quadrant != UNMAPPED
    reader = _Reader(store, store.ids(), encoder)
    boilerplate = analysis.boilerplate
    surprising = boilerplate.select(_surprising(boilerplate, mapped, reader))
    memorized = analysis.stretches
    return Passages(
        memorized=tuple(_memorized(stretches, n, reader) for stretches in memorized) if memorized is not None else None,
        boilerplate=_tokens_in(boilerplate, n),
        surprising=_tokens_in(surprising, n),
    )


def _memorized(stretches: Stretches, n: int, reader: "_Reader") -> Memorized:
    return Memorized(
        tokens=_tokens_in(stretches, n),
        spans=len(np.unique(stretches.text)),
        sensitive_spans=sum(1 for text in reader.distinct(stretches) if labelled_spans(text)),
    )


def _tokens_in(stretches: Stretches, n: int) -> NDArray[np.int64]:
    return np.bincount(stretches.sample, stretches.tokens, minlength=n).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Tokens as text again."""

    store: TokenStore
    ids: NDArray[np.integer]
    encoder: Encoder

    def text(self, sample: int, first: int = 0, last: int | None = None) -> str:
        """The tokens `first` to `last` of a sample, both included."""
        begin, end = (int(self.store.offsets[sample + k]) for k in (0, 1))
        stop = end if last is None else begin + last + 1
        ids: list[int] = self.ids[begin + first : stop].tolist()
        text: str = self.encoder.tokenizer.decode(ids, skip_special_tokens=False)
        return text

    def distinct(self, stretches: Stretches) -> Iterator[str]:
        """One stretch of each distinct text, the longest."""
        order = np.lexsort((-stretches.tokens, stretches.text))
        _, first = np.unique(stretches.text[order], return_index=True)
        for k in order[first].tolist():
            yield self.text(int(stretches.sample[k]), int(stretches.first[k]), int(stretches.last[k]))


def _surprising(stretches: Stretches, mapped: NDArray[np.bool_], reader: _Reader) -> NDArray[np.bool_]:
    """Which stretches of boilerplate say more per byte than ordinary text of the batch does, (S,): keys and invented names do,
    however often they are repeated; notices do not. Where there is too little to compare with, or to compare, none is called
    harmless."""
    chosen = np.ones(len(stretches.sample), dtype=bool)
    if not len(chosen):
        return chosen
    ordinary = np.setdiff1d(np.flatnonzero(mapped), stretches.sample)
    ordinary = np.random.default_rng(0).permutation(ordinary)[
        :ORDINARY_SAMPLES
    ]  # neighbours may take turns, as in dialogues
    model = learn_bytes(_bytes(reader.text(int(i))) for i in ordinary[::2])
    usual = np.array([model.surprise(_bytes(reader.text(int(i)))) for i in ordinary[1::2]])
    usual = usual[np.isfinite(usual)]
    if len(usual) < LEAST_ORDINARY:
        return chosen
    lower, middle, upper = np.percentile(usual, [25, 50, 75])
    limit = min(
        beyond_quartile(middle, upper, UPPER_PERCENTILE),
        beyond_quartile(middle, middle + MOST_SKEW * (middle - lower), UPPER_PERCENTILE),
    )
    harmless: dict[str, bool] = {}
    for k in range(len(chosen)):
        text = reader.text(int(stretches.sample[k]), int(stretches.first[k]), int(stretches.last[k]))
        if text not in harmless:
            harmless[text] = model.surprise(_bytes(text)) <= limit  # NaN is not
        chosen[k] = not harmless[text]
    return chosen


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
