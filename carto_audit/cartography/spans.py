"""Spans: where inside a sample the memorized text lies. Equal windows of several samples are one text, and weigh together."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.traces.trace import TokenLosses

WINDOW = 12
"""Tokens. About the length of a secret, and of the run that makes two samples kin."""

FLOOR = 1.0
"""Nats per token. A window that an unseen reader already finds easier than this cannot score high."""

MOST_PER_TOKEN = 4.0
"""Nats that training on a sample may take from one token, at most, in the pooled share: one surprising name is no passage."""

DOUBT = 3.0
"""Occurrences at which a text's own evidence weighs half. Chosen on two corpora of four (bench/detection)."""

_BLOCK = 4096
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """The best windows of every sample, (N,) each, NaN (or -1) where a sample has no tokens.

    `share` is the largest memorized share over single windows; `pooled` the largest over texts, shrunk by doubt; `first`
    and `last` are the token positions of the window behind `pooled`, and `copies` the number of samples that hold it.
    `single` is like `share` with the cap of MOST_PER_TOKEN, and `single_*` tell of its window what the others tell.
    `usual` is the mean share of windows whose text occurs once.
    """

    share: NDArray[np.float64]
    pooled: NDArray[np.float64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    copies: NDArray[np.int64]
    single: NDArray[np.float64]
    single_first: NDArray[np.int64]
    single_last: NDArray[np.int64]
    windows: NDArray[np.int64]
    single_copies: NDArray[np.int64]
    usual: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Windows:
    """All windows of consecutive samples: the `owner` (M,) of each as a sample index, its `start` (M,) in the flat
    arrays, its `width` (M,), and the `hash` (M,) of its tokens."""

    owner: NDArray[np.int64]
    start: NDArray[np.int64]
    width: NDArray[np.int64]
    hash: NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Texts:
    """The texts that several windows hold, in order of `hash` (D,): mean gain and mean unseen loss of their windows, in
    nats, and in how many samples they occur. `usual` is the mean share of the windows whose text occurs once."""

    hash: NDArray[np.uint64]
    gain: NDArray[np.float64]
    unseen: NDArray[np.float64]
    samples: NDArray[np.int64]
    usual: float

    def place(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Where each hash stands among the texts, -1 where its text occurs once."""
        if not len(self.hash):
            return np.full(len(hashes), -1)
        at = np.minimum(np.searchsorted(self.hash, hashes), len(self.hash) - 1)
        return np.where(self.hash[at] == hashes, at, -1)


def find_spans(tokens: TokenLosses) -> Spans:
    """The most memorized window of each sample, WINDOW tokens or the whole of a shorter sample.

    A window's share is `(sum l_out - sum l_in) / max(sum l_out, WINDOW * FLOOR)`. The pooled share averages it over all
    windows with the same tokens, and shrinks it towards what is usual: `usual + (share - usual) * n / (n + DOUBT)` for a
    text in n samples. Memory: eight bytes per token while texts are counted.
    """
    n = len(tokens.offsets) - 1
    texts = _pool(tokens)
    parts = [_best_of(tokens, texts, begin, min(begin + _BLOCK, n)) for begin in range(0, max(n, 1), _BLOCK)]
    columns: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Spans(**columns, usual=texts.usual)


def _windows(tokens: TokenLosses, begin: int, end: int) -> _Windows:
    """The windows of samples [begin, end)."""
    offsets = tokens.offsets[begin : end + 1]
    length = np.diff(offsets)
    count = np.maximum(length - WINDOW + 1, np.minimum(length, 1))  # none in an empty sample
    owner = np.repeat(np.arange(len(length)), count)
    start = offsets[owner] + np.arange(len(owner)) - (np.cumsum(count) - count)[owner]
    width = np.minimum(WINDOW, length[owner])
    ids = tokens.ids[offsets[0] : offsets[-1]].astype(np.uint64)
    hashes = width.astype(np.uint64)
    for k in range(WINDOW):  # uint64 arithmetic wraps, which is the hash
        inside = k < width
        at = np.where(inside, start - offsets[0] + k, 0)
        hashes = np.where(inside, hashes * _MULTIPLIER + (ids[at] + np.uint64(1)), hashes) if len(ids) else hashes
    hashes ^= hashes >> np.uint64(29)
    hashes *= _MULTIPLIER
    return _Windows(owner=owner + begin, start=start, width=width, hash=hashes)


def _blocks(tokens: TokenLosses) -> Iterator[_Windows]:
    n = len(tokens.offsets) - 1
    for begin in range(0, n, _BLOCK):
        yield _windows(tokens, begin, min(begin + _BLOCK, n))


def _sums(values: NDArray[np.floating], windows: _Windows) -> NDArray[np.float64]:
    """The sum of `values` over each window, (M,)."""
    if not len(windows.start):
        return np.empty(0)
    low, high = int(windows.start[0]), int((windows.start + windows.width).max())
    running = np.concatenate([[0.0], np.cumsum(values[low:high], dtype=np.float64)])
    sums: NDArray[np.float64] = running[windows.start + windows.width - low] - running[windows.start - low]
    return sums


def _gains(tokens: TokenLosses, windows: _Windows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What training on the sample took from each window, no token counting for more than MOST_PER_TOKEN, and the loss of
    an unseen reader, both in nats, (M,)."""
    gain = np.minimum(tokens.loss_out - tokens.loss_in, MOST_PER_TOKEN)
    return _sums(gain, windows), _sums(tokens.loss_out, windows)


def _shares(gain: NDArray[np.float64], unseen: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = gain / np.maximum(unseen, WINDOW * FLOOR)
    return shares


def _pool(tokens: TokenLosses) -> _Texts:
    """What the windows that hold one text say together."""
    hashes = np.concatenate([np.empty(0, np.uint64), *(windows.hash for windows in _blocks(tokens))])
    hashes.sort()
    again = hashes[1:][hashes[1:] == hashes[:-1]]
    shared = again[np.append(True, again[1:] != again[:-1])] if len(again) else again
    del hashes
    sums = np.zeros((3, len(shared)))  # gain, unseen, windows
    samples = np.zeros(len(shared), np.int64)
    empty = _Texts(hash=shared, gain=sums[0], unseen=sums[1], samples=samples, usual=0.0)
    once = [0.0, 0]
    for windows in _blocks(tokens):
        gain, unseen = _gains(tokens, windows)
        at = empty.place(windows.hash)
        inside = at >= 0
        for row, values in enumerate((gain, unseen, np.ones(len(at)))):
            sums[row] += np.bincount(at[inside], values[inside], minlength=len(shared))
        pairs = np.unique(np.stack([at[inside], windows.owner[inside]]), axis=1)
        samples += np.bincount(pairs[0], minlength=len(shared))
        single = _shares(gain[~inside], unseen[~inside])
        single = single[np.isfinite(single)]
        once = [once[0] + float(single.sum()), once[1] + len(single)]
    count = np.maximum(sums[2], 1)
    usual = once[0] / once[1] if once[1] else 0.0
    return _Texts(hash=shared, gain=sums[0] / count, unseen=sums[1] / count, samples=samples, usual=usual)


def _best_of(tokens: TokenLosses, texts: _Texts, begin: int, end: int) -> dict[str, NDArray[Any]]:
    windows = _windows(tokens, begin, end)
    inside, outside = _sums(tokens.loss_in, windows), _sums(tokens.loss_out, windows)
    share = (outside - inside) / np.maximum(outside, windows.width * FLOOR)
    gain, unseen = _gains(tokens, windows)
    single = _shares(gain, unseen)
    at = texts.place(windows.hash)
    pooled = at >= 0
    copies = np.ones(len(at), np.int64)
    gain[pooled], unseen[pooled], copies[pooled] = (x[at[pooled]] for x in (texts.gain, texts.unseen, texts.samples))
    evidence = texts.usual + (_shares(gain, unseen) - texts.usual) * copies / (copies + DOUBT)
    owner = windows.owner - begin
    of_share, of_text, of_single = (_first_best(values, owner, end - begin) for values in (share, evidence, single))
    first = windows.start - tokens.offsets[windows.owner]
    last = first + windows.width - 1
    return {
        "share": _taken(share, of_share, np.nan),
        "pooled": _taken(evidence, of_text, np.nan),
        "first": _taken(first, of_text, -1),
        "last": _taken(last, of_text, -1),
        "copies": _taken(copies, of_text, -1),
        "single": _taken(single, of_single, np.nan),
        "single_first": _taken(first, of_single, -1),
        "single_last": _taken(last, of_single, -1),
        "windows": np.bincount(owner, minlength=end - begin),
        "single_copies": _taken(copies, of_single, -1),
    }


def _taken(values: NDArray[Any], places: NDArray[np.int64], missing: float) -> NDArray[Any]:
    """The values at some places, `missing` where a place is -1."""
    if not len(values):
        return np.full(len(places), missing, values.dtype)
    return np.where(places >= 0, values[places], missing).astype(values.dtype)


def _first_best(values: NDArray[np.float64], owner: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """The first window with the largest value of each of `n` owners, -1 for one without windows."""
    order = np.lexsort((-np.nan_to_num(values, nan=-np.inf), owner))
    owners, first = np.unique(owner[order], return_index=True)
    best = np.full(n, -1)
    best[owners] = order[first]
    return best
