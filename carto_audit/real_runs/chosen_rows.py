"""Chosen rows: which rows of a batch nobody will train on: held out to see drift, or lent to be made into secrets. Only such as
share no passage with others, or hardly any. Costs two streaming passes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.data.batch import Batch, iter_texts, read_texts
from carto_audit.data.segments import read_segments
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.words import hash_words, ngram_hashes, ngrams

HELD_OUT_SHARE, LEAST_HELD_OUT, MOST_HELD_OUT = 0.01, 50, 2_000
"""Rows held out: this share of all, but at least and at most so many; a drift is the mean of a window of steps over them."""

MOST_OF_BATCH = 0.1
"""Of the rows, at most so many are held out where nobody says how many, however small the batch."""

WINDOW = 8
"""Words of a passage that two rows share."""

SHARED_HELD_OUT = 0.1
"""Of the passages of a row that is held out, which may stand in others too: what a model knows of it from elsewhere."""

LONGEST_LENT = 20_000
"""Bytes. Several rows are lent, not one long one."""

_SPARE = 4
"""Candidates, by the number that is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenRows:
    """Sample numbers, (H,) and (L,), and the texts of both by number. `said` are the parts of lent rows that trainers learn,
    `asked` the others."""

    held_out: NDArray[np.int64]
    lent: NDArray[np.int64]
    texts: dict[int, str]
    said: tuple[str, ...]
    asked: tuple[str, ...]


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
    short = usable[(batch.n_bytes[usable] <= LONGEST_LENT) & (batch.n_bytes[usable] <= max(lent_bytes / 4, 400))]
    reach = np.cumsum(batch.n_bytes[short])
    lent = short[reach - batch.n_bytes[short] < _SPARE * lent_bytes][: len(usable) // 4]
    held = usable[~np.isin(usable, lent)][: _SPARE * held_out]
    texts = read_texts(batch, [*lent.tolist(), *held.tolist()])
    shared = _shared_shares(batch, texts, progress)
    apart = np.array([k for k in lent.tolist() if shared[k] == 0], np.int64)
    chosen = apart[np.cumsum(batch.n_bytes[apart]) - batch.n_bytes[apart] < lent_bytes]
    kept = np.array([k for k in held.tolist() if shared[k] <= SHARED_HELD_OUT], np.int64)[:held_out]
    said, asked = _parts(batch, chosen.tolist(), texts)
    return ChosenRows(
        held_out=kept,
        lent=chosen,
        texts={int(k): texts[int(k)] for k in (*kept, *chosen)},
        said=said,
        asked=asked,
    )


def _shared_shares(batch: Batch, texts: dict[int, str], progress: Progress) -> dict[int, float]:
    """Of each candidate the share of its passages that stand in other samples too."""
    own = dict(zip(texts, _passages(list(texts.values())), strict=True))
    known = np.unique(np.concatenate([np.empty(0, np.uint64), *own.values()]))
    if not len(known):
        return dict.fromkeys(texts, 0.0)
    rows = np.zeros(len(known), np.int64)
    for chunk in iter_texts(batch, progress, "Looking for rows apart"):
        for passages in _passages(chunk.texts):
            place = np.minimum(np.searchsorted(known, passages), len(known) - 1)
            rows[place[known[place] == passages]] += 1
    return {
        k: float((rows[np.searchsorted(known, passages)] > 1).mean()) if len(passages) else 1.0
        for k, passages in own.items()
    }


def _passages(texts: Sequence[str]) -> Iterator[NDArray[np.uint64]]:
    """The distinct passages of each text as hashes; a text shorter than one is one by itself."""
    words = hash_words(texts)
    windows = ngrams(words, WINDOW)
    for k in range(len(texts)):
        if len(windows[k]):
            yield np.unique(windows[k])
        elif len(words[k]):
            yield ngram_hashes(words[k], len(words[k]))
        else:
            yield np.empty(0, np.uint64)


def _parts(batch: Batch, lent: Sequence[int], texts: dict[int, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What trainers learn of the lent rows, and what stands beside it, without the names of speakers."""
    if batch.layout.is_plain:
        return tuple(texts[k] for k in lent), ()
    said: list[str] = []
    asked: list[str] = []
    segments = read_segments(batch, lent)
    for k in lent:
        for part in segments[k]:
            speaker = f"{part.name.rpartition(' turn ')[0]}: "
            text = texts[k][part.start : part.end].removeprefix(speaker if speaker != ": " else "")
            (said if part.learned else asked).append(text)
    return tuple(said), tuple(asked)
