"""Spans: where inside a sample the memorized text lies. Equal windows of several samples are one text, and weigh together."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carto_audit.traces.trace import TokenLosses

WINDOW = 12
"""Tokens. About the length of a secret, and of the run that makes two samples kin."""

FLOOR = 1.0
"""Nats per token, of a single window's plain share: what an unseen reader already finds easier than this cannot score high."""

LEAST_SURPRISE = 0.5
"""Nats per token. What an unseen reader already predicts better than this is known to everybody."""

LEAST_WEIGHT = 24.0
"""Nats that a sample shorter than a window must say to be known by heart: a label of two words is no secret."""

MOST_PER_TOKEN = 4.0
"""Nats that one token may weigh in a window, at most: one surprising name is no passage."""

DOUBT = 5.0
"""How much less a text weighs that recurs less often than the policy asks about: see `evidence`. Chosen on two corpora of four
(bench/detection)."""

AGAIN = 1 / 3
"""What a further copy in the same sample counts for: a reader has the first before its eyes, and documents repeat idioms of
their own. Chosen on the same two corpora."""

EASE = 2.0
"""How much more completely a text must be known by heart that an unseen reader half predicts: see `evidence`."""

_LEAST_LOSS = 1e-6
_BLOCK = 4096
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrences:
    """What it means how often a text occurs: a secret that is to be found occurs `dose` times, in one sample or in several, and
    what occurs in more than `frequent` samples that are not all kin is boilerplate: both proxies read it, so that neither can
    say what the other has memorized. `group` (N,) is of kin; without it every sample stands alone."""

    dose: int
    frequent: int
    group: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """The best windows of every sample, (N,) each, NaN (or -1) where a sample has no tokens.

    `share` is the largest memorized share over single windows; `evidence` the largest over texts (see `evidence`); `first`
    and `last` are the token positions of the window behind it, and `copies` how often it occurs, overlaps counted once. `shared`
    is how often the most frequent of its windows occurs, boilerplate left out: what can be counted without any training.
    """

    share: NDArray[np.float64]
    evidence: NDArray[np.float64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    copies: NDArray[np.int64]
    shared: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretches:
    """Stretches of samples: what some of their windows cover, (S,) each, in order. `sample` holds it as the tokens `first` to
    `last`, both included; `text` is equal for stretches whose strongest window is the same."""

    sample: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    text: NDArray[np.uint64]

    def select(self, chosen: NDArray[np.bool_]) -> "Stretches":
        """Some of them."""
        return Stretches(
            sample=self.sample[chosen], first=self.first[chosen], last=self.last[chosen], text=self.text[chosen]
        )

    @property
    def tokens(self) -> NDArray[np.int64]:
        """How many tokens each is long, (S,)."""
        return self.last - self.first + 1


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
    """The texts that several windows hold, in order of `hash` (D,): the mean gain and mean weight of their windows, how many
    `copies` of them there are that do not overlap, in how many `samples` they occur, and whether these are of `several` groups of
    kin."""

    hash: NDArray[np.uint64]
    gain: NDArray[np.float64]
    weight: NDArray[np.float64]
    copies: NDArray[np.int64]
    samples: NDArray[np.int64]
    several: NDArray[np.bool_]

    def place(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Where each hash stands among the texts, -1 where its text occurs once."""
        return _place(self.hash, hashes)

    def copies_at(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often a text occurs that stands at such a place, -1 where it occurs once, (M,)."""
        return np.where(at >= 0, self.copies[at], 1) if len(self.copies) else np.ones(len(at), np.int64)

    def frequency_at(self, at: NDArray[np.int64]) -> NDArray[np.float64]:
        """How often a text occurs that stands at such a place, where further copies in one sample count for AGAIN each, (M,)."""
        samples = self.samples_at(at)
        return samples + AGAIN * (self.copies_at(at) - samples)

    def is_boilerplate(self, at: NDArray[np.int64], occurrences: Occurrences) -> NDArray[np.bool_]:
        """Whether both proxies have read a text that stands at such a place, as often as boilerplate, (M,)."""
        frequent = self.samples_at(at) > occurrences.frequent
        return frequent & self.several[at] if len(self.several) else frequent

    def samples_at(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """In how many samples it occurs, (M,)."""
        return np.where(at >= 0, self.samples[at], 1) if len(self.samples) else np.ones(len(at), np.int64)


def find_spans(tokens: TokenLosses, occurrences: Occurrences) -> Spans:
    """The most memorized window of each sample, WINDOW tokens or the whole of a shorter sample.

    A token weighs `w = min(l_out, MOST_PER_TOKEN)`, and training on the sample took the share `1 - l_in / l_out` of it. A
    window's share is `sum(w * (1 - l_in / l_out)) / max(sum(w), WINDOW * LEAST_SURPRISE)` (LEAST_WEIGHT in a shorter sample),
    so that whatever the text, what is known by heart on one side and unknown on the other has a share near 1. The means of
    gain and weight are over all windows with the same tokens. Memory: eight bytes per token while texts are counted.
    """
    n = len(tokens.offsets) - 1
    texts = _pool(tokens, occurrences)
    parts = [
        _best_of(tokens, texts, occurrences, begin, min(begin + _BLOCK, n)) for begin in range(0, max(n, 1), _BLOCK)
    ]
    columns: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Spans(**columns)


def evidence(
    share: NDArray[np.float64], surprise: NDArray[np.float64], frequency: NDArray[np.float64], dose: int
) -> NDArray[np.float64]:
    """How sure it is that a text is memorized like a secret that occurs `dose` times, 0..1, from its memorized share, what it
    says to an unseen reader (nats per token), and how often it occurs, (M,) each.

    `share ** (1 + (dose / frequency) ** DOUBT + EASE * max(0, 1 / surprise - 1))`: what recurs as often as the dose counts by
    the square of its share; what recurs less is a noisy measurement, and what is easy to guess is half known to everybody:
    both must have lost nearly all of their loss. A share of 1 is beyond doubt.
    """
    rare = (dose / np.maximum(frequency, 1)) ** DOUBT
    easy = EASE * np.maximum(0.0, 1 / np.maximum(surprise, _LEAST_LOSS) - 1)
    sure: NDArray[np.float64] = np.clip(share, 0.0, 1.0) ** (1 + rare + easy)
    return sure


def find_stretches(tokens: TokenLosses, occurrences: Occurrences, *lines: float) -> tuple[Stretches, ...]:
    """All that lies in windows whose evidence is above each of the lines, as stretches that are as long as possible."""
    texts = _pool(tokens, occurrences)

    def memorized(windows: _Windows) -> list[NDArray[np.float64]]:
        sure = _evidence(tokens, texts, occurrences, windows)[0]
        return [np.where(sure > line, sure, 0.0) for line in lines]

    return _stretches(tokens, len(lines), memorized)


def find_boilerplate(tokens: TokenLosses, occurrences: Occurrences) -> Stretches:
    """All that lies in windows which occur in more samples than a secret is allowed to, as stretches that are as long as
    possible."""
    texts = _pool(tokens, occurrences)

    def frequent(windows: _Windows) -> list[NDArray[np.float64]]:
        at = texts.place(windows.hash)
        return [np.where(texts.is_boilerplate(at, occurrences), texts.samples_at(at), 0).astype(np.float64)]

    return _stretches(tokens, 1, frequent)[0]


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
    """What training on the sample took from the weight of each window, and that weight, both in nats, (M,)."""
    unseen = np.maximum(tokens.loss_out.astype(np.float64), _LEAST_LOSS)
    weight = np.minimum(unseen, MOST_PER_TOKEN)
    gain = np.maximum(weight * (1 - tokens.loss_in / unseen), -MOST_PER_TOKEN)
    return _sums(gain, windows), _sums(weight, windows)


def _shares(gain: NDArray[np.float64], weight: NDArray[np.float64], width: NDArray[np.int64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = gain / np.maximum(
        weight, np.where(width < WINDOW, LEAST_WEIGHT, WINDOW * LEAST_SURPRISE)
    )
    return shares


def _pool(tokens: TokenLosses, occurrences: Occurrences) -> _Texts:
    """What the windows that hold one text say together."""
    hashes = np.concatenate([np.empty(0, np.uint64), *(windows.hash for windows in _blocks(tokens))])
    hashes.sort()
    again = hashes[1:][hashes[1:] == hashes[:-1]]
    shared = again[np.append(True, again[1:] != again[:-1])] if len(again) else again
    del hashes
    sums = np.zeros((5, len(shared)))  # gain, weight, windows, copies, samples
    group = np.arange(len(tokens.offsets) - 1) if occurrences.group is None else occurrences.group
    lowest, highest = np.full(len(shared), np.iinfo(np.int64).max), np.full(len(shared), -1)
    for windows in _blocks(tokens):
        gain, weight = _gains(tokens, windows)
        at = _place(shared, windows.hash)
        inside = at >= 0
        for row, values in enumerate((gain, weight, np.ones(len(at)))):
            sums[row] += np.bincount(at[inside], values[inside], minlength=len(shared))
        for row, counted in zip((3, 4), _counted(windows, at, inside), strict=True):
            sums[row] += np.bincount(counted[0], counted[1], minlength=len(shared))
        np.minimum.at(lowest, at[inside], group[windows.owner[inside]])
        np.maximum.at(highest, at[inside], group[windows.owner[inside]])
    count = np.maximum(sums[2], 1)
    copies, samples = sums[3:].astype(np.int64)
    several = highest > lowest
    return _Texts(
        hash=shared, gain=sums[0] / count, weight=sums[1] / count, copies=copies, samples=samples, several=several
    )


def _place(known: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Where each hash stands among the known ones, which are in order; -1 where it is none of them."""
    if not len(known):
        return np.full(len(hashes), -1)
    at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.where(known[at] == hashes, at, -1)


def _counted(
    windows: _Windows, at: NDArray[np.int64], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Texts and how many copies of them some windows are that do not overlap, and in how many samples these lie, (2, K) each.
    Windows that overlap are as many copies as fit in what they cover."""
    order = np.lexsort((windows.start[inside], at[inside]))
    text, start, width, owner = (values[inside][order] for values in (at, windows.start, windows.width, windows.owner))
    if not len(text):
        return np.empty((2, 0), np.int64), np.empty((2, 0), np.int64)
    other = np.append(True, text[1:] != text[:-1])
    opens = np.flatnonzero(other | np.append(True, start[1:] - start[:-1] >= width[1:]))
    closes = np.append(opens[1:], len(text)) - 1
    copies = 1 + (start[closes] - start[opens]) // width[opens]
    first = np.flatnonzero(other | np.append(True, owner[1:] != owner[:-1]))
    return np.stack([text[opens], copies]), np.stack([text[first], np.ones_like(first)])


def _evidence(
    tokens: TokenLosses, texts: _Texts, occurrences: Occurrences, windows: _Windows
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """The evidence of each window, NaN where it has no losses and 0 in boilerplate; how often its text occurs; and whether that
    is boilerplate, (M,) each."""
    gain, weight = _gains(tokens, windows)
    at = texts.place(windows.hash)
    pooled = at >= 0
    gain[pooled], weight[pooled] = texts.gain[at[pooled]], texts.weight[at[pooled]]
    copies, boilerplate = texts.copies_at(at), texts.is_boilerplate(at, occurrences)
    often, surprise = texts.frequency_at(at), weight / windows.width
    sure = evidence(_shares(gain, weight, windows.width), surprise, often, occurrences.dose)
    return np.where(boilerplate, 0.0 * sure, sure), copies, boilerplate


def _best_of(
    tokens: TokenLosses, texts: _Texts, occurrences: Occurrences, begin: int, end: int
) -> dict[str, NDArray[Any]]:
    windows = _windows(tokens, begin, end)
    inside, outside = _sums(tokens.loss_in, windows), _sums(tokens.loss_out, windows)
    share = (outside - inside) / np.maximum(outside, windows.width * FLOOR)
    sure, copies, boilerplate = _evidence(tokens, texts, occurrences, windows)
    owner = windows.owner - begin
    of_share, of_text = (_first_best(values, owner, end - begin) for values in (share, sure))
    first = windows.start - tokens.offsets[windows.owner]
    shared = np.zeros(end - begin, np.int64)
    np.maximum.at(shared, owner, np.where(boilerplate, 1, copies))
    return {
        "share": _taken(share, of_share, np.nan),
        "evidence": _taken(sure, of_text, np.nan),
        "first": _taken(first, of_text, -1),
        "last": _taken(first + windows.width - 1, of_text, -1),
        "copies": _taken(copies, of_text, -1),
        "shared": shared,
    }


_STRETCH = {"sample": np.int64, "first": np.int64, "last": np.int64, "text": np.uint64}


def _stretches(
    tokens: TokenLosses, kinds: int, strengths: Callable[[_Windows], list[NDArray[np.float64]]]
) -> tuple[Stretches, ...]:
    """What the windows cover whose strength is above 0, for each of so many kinds of strength."""
    parts: list[list[dict[str, NDArray[Any]]]] = [[] for _ in range(kinds)]
    for windows in _blocks(tokens):
        for part, strength in zip(parts, strengths(windows), strict=True):
            part.append(_covered(tokens, windows, strength))
    empty = {name: np.empty(0, kind) for name, kind in _STRETCH.items()}
    return tuple(
        Stretches(**{name: np.concatenate([empty[name], *(found[name] for found in part)]) for name in empty})
        for part in parts
    )


def _covered(tokens: TokenLosses, windows: _Windows, strength: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    chosen = np.flatnonzero(strength > 0)
    owner, start, width = windows.owner[chosen], windows.start[chosen], windows.width[chosen]
    follows = np.append(False, (owner[1:] == owner[:-1]) & (start[1:] <= start[:-1] + width[:-1]))[: len(chosen)]
    opens = np.flatnonzero(~follows)
    strongest = _first_best(strength[chosen], np.cumsum(~follows) - 1, len(opens))
    last = np.append(opens[1:], len(chosen))[: len(opens)] - 1
    base = tokens.offsets[owner[opens]]
    return {
        "sample": owner[opens],
        "first": start[opens] - base,
        "last": start[last] + width[last] - 1 - base,
        "text": windows.hash[chosen][strongest],
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
