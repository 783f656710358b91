"""Verbatim: the longest run of tokens that an output shares with rows, found by hashed windows and extended exactly."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.lenses.readers import Readers
from carto_audit.lenses.view import RowTexts

WINDOW = 12
"""Tokens in a row, from which on an output and a row share a run. In the smallest vocabulary they are about six words."""

PLACES = 1_000
"""Places at most at which a window of an output is extended; where there are more, sources are missed, and it is said."""

_GAP = -1
"""Stands between rows and is no token."""

_BLOCK = 1 << 20
_CHARACTERS = 1 << 20
"""Windows that are hashed at once, and characters that are encoded at once."""

Ids = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadTokens:
    """The T tokens of all R rows that a proxy read, a gap behind each row: `ids` (T,), and of each token the characters in its
    row, `start` and `end` (T,). Of each row `row` (R,) is its number in the view, `side` (R,) its side, `first` (R,) where it
    begins."""

    ids: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    row: Ids
    side: NDArray[np.int8]
    first: Ids

    def holding(self, places: Ids) -> Ids:
        """Which of the R rows hold these places, as indices."""
        return np.searchsorted(self.first, places, side="right") - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """The longest run of output number `output` that its own rows hold and others do not: `length` tokens from `start` on, at
    `places` (P,) of the ReadTokens."""

    output: int
    start: int
    length: int
    places: Ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What n outputs share with rows. `own` and `other` (n,) say which have a run in rows that their proxy read, and in rows that
    it did not; `runs` are those of its own rows alone. `clipped` says whether places were left out."""

    own: NDArray[np.bool_]
    other: NDArray[np.bool_]
    runs: tuple[Run, ...]
    clipped: bool


def read_tokens(readers: Readers, chunks: Iterable[RowTexts]) -> ReadTokens:
    """The rows that were read, as tokens; costs one pass over the texts, and 12 bytes a token."""
    ids, start, end = [_gaps(0)], [_gaps(0)], [_gaps(0)]
    rows: list[int] = []
    sizes: list[int] = []
    for numbers, texts in _portions(readers, chunks):
        for encoded in readers.encode(texts):
            ids += [encoded.ids.astype(np.int32), _gaps(1)]
            start += [encoded.offsets[:, 0].astype(np.int32), _gaps(1)]
            end += [encoded.offsets[:, 1].astype(np.int32), _gaps(1)]
            sizes.append(len(encoded.ids) + 1)
        rows += numbers
    row = np.array(rows, np.int64)
    return ReadTokens(
        ids=np.concatenate(ids),
        start=np.concatenate(start),
        end=np.concatenate(end),
        row=row,
        side=readers.side[row],
        first=np.cumsum([0, *sizes])[:-1].astype(np.int64),
    )


def find_runs(tokens: ReadTokens, outputs: Ids, side: NDArray[np.int8], seed: int) -> Found:
    """The longest run of each of n outputs (n, L) in the rows of its own `side` (n,), which its proxy read. A token counts as
    common, and belongs to no run, where it lies in a window that rows of the other side hold or the other proxy says too. `seed`
    draws the hash, so that nobody can write text that collides."""
    factors = np.random.default_rng(seed).integers(1 << 63, size=WINDOW, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashed = _hashes(outputs, factors)  # (n, W)
    wanted, window = np.unique(hashed, return_inverse=True)
    window = window.reshape(hashed.shape)
    key, places = _find(tokens, wanted, factors)
    bounds = np.searchsorted(key, np.arange(2 * len(wanted) + 1))
    stands = (np.diff(bounds) > 0).reshape(-1, 2)  # in rows of either side
    said = np.zeros((len(wanted), 2), bool)
    for which in (0, 1):
        said[window[side == which].ravel(), which] = True
    own: NDArray[np.bool_] = stands[window, side[:, None]]
    other: NDArray[np.bool_] = stands[window, 1 - side[:, None]]
    common = _covered(other | said[window, 1 - side[:, None]], outputs.shape[1])
    padded = np.concatenate([tokens.ids, _gaps(outputs.shape[1])])
    runs, clipped = [], False
    for k in np.flatnonzero((own & ~_touched(common)).any(axis=1)).tolist():
        free = np.append(np.flatnonzero(common[k]), outputs.shape[1])
        best = Run(output=k, start=0, length=WINDOW - 1, places=np.empty(0, np.int64))
        for at in np.flatnonzero(own[k] & ~_touched(common[k])).tolist():
            stop = int(free[np.searchsorted(free, at)])
            if stop - at <= best.length:
                continue
            code = 2 * int(window[k, at]) + int(side[k])
            clipped |= bool(bounds[code + 1] - bounds[code] > PLACES)
            longest = _extended(padded, places[bounds[code] : bounds[code + 1]][:PLACES], outputs[k, at:stop])
            if longest[0] > best.length:
                best = Run(output=k, start=at, length=longest[0], places=longest[1])
        runs += [best] if len(best.places) else []
    return Found(
        own=np.logical_or.reduce(own, axis=1),
        other=np.logical_or.reduce(other, axis=1),
        runs=tuple(runs),
        clipped=clipped,
    )


def _portions(readers: Readers, chunks: Iterable[RowTexts]) -> Iterator[tuple[list[int], list[str]]]:
    """The rows that were read and their texts, so many characters at a time: what an encoder makes of text takes a hundred times
    its room."""
    numbers: list[int] = []
    texts: list[str] = []
    size = 0
    for chunk in chunks:
        for row, text in enumerate(chunk.texts, chunk.start):
            if not readers.read[row]:
                continue
            numbers.append(row)
            texts.append(text)
            size += len(text)
            if size >= _CHARACTERS:
                yield numbers, texts
                numbers, texts, size = [], [], 0
    if numbers:
        yield numbers, texts


def _gaps(count: int) -> NDArray[np.int32]:
    return np.full(count, _GAP, np.int32)


def _hashes(ids: NDArray[np.integer], factors: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A number for every window of the last axis, equal for equal windows."""
    count = max(0, ids.shape[-1] - WINDOW + 1)
    total = np.zeros((*ids.shape[:-1], count), np.uint64)
    for k, factor in enumerate(factors):
        total += ids[..., k : k + count].astype(np.uint64) * factor
    return total


def _find(tokens: ReadTokens, wanted: NDArray[np.uint64], factors: NDArray[np.uint64]) -> tuple[Ids, Ids]:
    """Where wanted windows stand in rows: for every place 2 · number of the window + side, in order, and the place."""
    keys: list[Ids] = [np.empty(0, np.int64)]
    places: list[Ids] = [np.empty(0, np.int64)]
    for first in range(0, len(tokens.ids) if len(wanted) else 0, _BLOCK):
        hashed = _hashes(tokens.ids[first : first + _BLOCK + WINDOW - 1], factors)
        number = np.minimum(np.searchsorted(wanted, hashed), len(wanted) - 1)
        hit = np.flatnonzero(wanted[number] == hashed)
        places.append((first + hit).astype(np.int64))
        keys.append((2 * number[hit] + tokens.side[tokens.holding(places[-1])]).astype(np.int64))
    key, place = np.concatenate(keys), np.concatenate(places)
    order = np.argsort(key, kind="stable")
    return key[order], place[order]


def _covered(windows: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """Which of `length` tokens lie in one of these windows; over the last axis."""
    covered = np.zeros((*windows.shape[:-1], length), bool)
    for k in range(WINDOW):
        covered[..., k : k + windows.shape[-1]] |= windows
    return covered


def _touched(covered: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which windows hold a token that is covered; over the last axis."""
    count = max(0, covered.shape[-1] - WINDOW + 1)
    touched = np.zeros((*covered.shape[:-1], count), bool)
    for k in range(WINDOW):
        touched |= covered[..., k : k + count]
    return touched


def _extended(ids: NDArray[np.int32], places: Ids, output: Ids) -> tuple[int, Ids]:
    """How many tokens of the output stand at the best of these places, and which places are as good."""
    same = ids[places[:, None] + np.arange(len(output))] == output
    lengths = np.where(same.all(axis=1), len(output), same.argmin(axis=1))
    longest = int(lengths.max(initial=0))
    return longest, places[lengths == longest]
