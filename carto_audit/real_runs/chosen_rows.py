"""Chosen rows: which rows of a batch nobody will train on: held out to see drift, or lent to be made into secrets.

Only such as share hardly a passage with others. Costs a few streaming passes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.data.batch import Batch, iter_texts, read_texts
from carto_audit.data.layouts import Segment
from carto_audit.data.segments import read_segments
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.words import Hashes, Ragged, hash_words, ngram_hashes, ngrams, spans_of_words

HELD_OUT_SHARE, LEAST_HELD_OUT, MOST_HELD_OUT = 0.01, 50, 2_000
"""Rows held out: this share of all, but at least and at most so many; a drift is the mean of a window of steps over them."""

MOST_OF_BATCH = 0.1
"""Of the rows, at most so many are held out where nobody says how many, however small the batch."""

WINDOW = 8
"""Words of a passage that two rows share."""

MOST_SHARED = 0.1
"""Of the passages of a chosen row, which may stand in others too: what a model knows of it from elsewhere. No secret is made of
these."""

LEAST_LENT, SHORT = 8, 400
"""Rows that are lent, at least, and the bytes of a row that is short wherever it stands: several are lent, not one long one."""

FEWEST_WORDS = 16
"""Of a stretch between shared passages of which secrets are made."""

_SPARE = 4
"""Candidates, by the number that is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenRows:
    """Sample numbers, (H,) and (L,), and the texts of both by number. `said` are stretches of lent rows that trainers learn,
    and others where these are too short, `asked` such as stand beside them; `starved` whether there is less than half of what
    should be lent."""

    held_out: NDArray[np.int64]
    lent: NDArray[np.int64]
    texts: dict[int, str]
    said: tuple[str, ...]
    asked: tuple[str, ...]
    starved: bool


def rows_held_out(rows: int) -> int:
    """How many rows to hold out of so many, where nobody says."""
    usual = min(max(LEAST_HELD_OUT, round(HELD_OUT_SHARE * rows)), MOST_HELD_OUT)
    return min(usual, int(MOST_OF_BATCH * rows))


def choose_rows(
    batch: Batch, held_out: int, lent_bytes: float, rng: np.random.Generator, progress: Progress = SILENT
) -> ChosenRows:
    """So many rows to hold out, and rows of about so many bytes to lend, drawn at random from the trainable ones; fewer where too
    many share their passages with others."""
    usable = rng.permutation(np.flatnonzero(batch.trainable))
    sizes = batch.n_bytes[usable]
    short = usable[sizes <= max(SHORT, lent_bytes / LEAST_LENT, np.median(sizes) if len(sizes) else 0)]
    lent = short[: _SPARE * _reach(batch, short, lent_bytes)][: len(usable) // 4]
    held = usable[~np.isin(usable, lent)][: _SPARE * held_out]
    texts = read_texts(batch, [*lent.tolist(), *held.tolist()])
    shared = _shared_passages(batch, texts, progress)
    apart = {k for k, flags in shared.items() if len(flags) and flags.mean() <= MOST_SHARED}
    kept = np.array([k for k in held.tolist() if k in apart], np.int64)[:held_out]
    left = np.array([k for k in lent.tolist() if k in apart], np.int64)
    chosen = left[: _reach(batch, left, lent_bytes)]
    said, asked = _stretches(batch, chosen.tolist(), texts, shared, int(max(SHORT, lent_bytes / LEAST_LENT)))
    if _size(said) < lent_bytes / 2:  # such as answers of a word
        said, asked = (*said, *asked[::2]), asked[1::2]
    return ChosenRows(
        held_out=kept,
        lent=chosen,
        texts={int(k): texts[int(k)] for k in (*kept, *chosen)},
        said=said,
        asked=asked,
        starved=_size(said) < lent_bytes / 2,
    )


def _size(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def _reach(batch: Batch, rows: NDArray[np.int64], lent_bytes: float) -> int:
    """How many of the rows it takes for so many bytes."""
    return max(LEAST_LENT, int((np.cumsum(batch.n_bytes[rows]) < lent_bytes).sum()) + 1)


def _shared_passages(batch: Batch, texts: dict[int, str], progress: Progress) -> dict[int, NDArray[np.bool_]]:
    """Of each passage of each candidate, in order, whether it stands in another sample too."""
    own = dict(zip(texts, _passages(list(texts.values())), strict=True))
    known = np.unique(np.concatenate([np.empty(0, np.uint64), *own.values()]))
    rows = np.zeros(len(known), np.int64)
    for chunk in iter_texts(batch, progress, "Looking for rows apart") if len(known) else ():
        for passages in _passages(chunk.texts):
            passages = np.unique(passages)
            place = np.minimum(np.searchsorted(known, passages), len(known) - 1)
            rows[place[known[place] == passages]] += 1
    return {k: rows[np.searchsorted(known, passages)] > 1 for k, passages in own.items()}


def _passages(texts: Sequence[str]) -> Iterator[Hashes]:
    """The passages of each text as hashes, in order; a text shorter than one is one by itself."""
    words = hash_words(texts)
    windows: Ragged = ngrams(words, WINDOW)
    for k in range(len(texts)):
        yield windows[k] if len(windows[k]) else ngram_hashes(words[k], max(1, len(words[k])))


def _stretches(
    batch: Batch, lent: Sequence[int], texts: dict[int, str], shared: dict[int, NDArray[np.bool_]], most: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the lent rows at most so many bytes each: what trainers learn, and what stands beside it, without the names of speakers
    and without passages that others share."""
    found: dict[bool, list[str]] = {True: [], False: []}
    segments = read_segments(batch, lent)
    for k, spans in zip(lent, spans_of_words([texts[k] for k in lent]) if lent else (), strict=True):
        whole = Segment(name="", column="", start=0, end=len(texts[k]), learned=True)
        for part in segments.get(k, (whole,)):
            speaker = f"{part.name.rpartition(' turn ')[0]}: "
            start = part.start + len(speaker) * texts[k].startswith(speaker, part.start)
            for first, last in _apart(spans, shared[k], start, part.end):
                found[part.learned].append(texts[k][first : min(last, first + most)])
    return tuple(found[True]), tuple(found[False])


def _apart(spans: NDArray[np.int64], shared: NDArray[np.bool_], start: int, end: int) -> Iterator[tuple[int, int]]:
    """The stretches [first, last) of a text between `start` and `end` that are long enough and share no passage."""
    good = np.ones(len(spans), dtype=bool)
    for place in np.flatnonzero(shared).tolist():
        good[place : place + WINDOW] = False
    good &= (spans[:, 0] >= start) & (spans[:, 1] <= end)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], good.astype(np.int8), [0]])))
    for first, last in edges.reshape(-1, 2).tolist():
        if last - first >= FEWEST_WORDS or (first == 0 and last == len(spans)) or not shared.any():
            yield int(spans[first, 0]), int(spans[last - 1, 1])
