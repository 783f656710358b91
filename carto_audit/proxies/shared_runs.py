"""Shared runs: stretches of tokens that several samples hold. Rare ones make samples kin; frequent ones are boilerplate."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carto_audit.proxies.tokens import TokenStore
from carto_audit.proxies.words.repeats import RepeatFilter
from carto_audit.runtime.files import writing
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.words import mix64

RUN_TOKENS, RUN_WEIGHT = 12, 60
"""A run is this many consecutive tokens, or fewer that already weigh this much (`tokens.weigh_pieces`), and samples that share
one are kin: 12 tokens are the window in which a secret is scored; 60 bytes, or 100 bits, are as long."""

SHORTEST_RUN = 4
"""Tokens of a run, at least. A checkpoint may have one piece for a whole ruler or indent, which is no secret."""

CAP_SHARE = 0.01
LOWEST_CAP, HIGHEST_CAP = 32, 256
"""A run that occurs in more than this share of the samples, within these bounds, is boilerplate and binds nobody: both
proxies see it, so nobody is blamed for it. The lowest cap is twice the highest dose of the controls."""

MOST_COVERED_SHARE = 0.25
"""Of a run's tokens, how many may lie inside boilerplate for it to bind: text that goes on alike after it proves nothing. Where
boilerplate stands between short entries, as in a form, runs are of the tokens that it leaves."""

EXAMPLES = 5
"""Stretches of boilerplate that a report quotes, at most."""

_PARTITION_TOKENS = 4 << 20
_MOST_PARTITIONS = 512  # files that are open at once
_BLOCK_TOKENS = 1 << 17  # whose numbers stay in the second-level cache
_BASE = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2**64
_BASE_INVERSE = pow(_BASE, -1, 1 << 64)
_WIDTH = 15  # the low bits of a run's hash are its number of tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Boilerplate:
    """A stretch of boilerplate as long as it goes: tokens `first` to `last`, both included, of `sample`. `samples` is in how
    many samples its run occurs, the most frequent that no earlier sample has; exact copies are not counted."""

    sample: int
    first: int
    last: int
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRuns:
    """What the samples of a store share. `edges` (4, E): two samples, the frequency of the rarest run that they share, and how
    many they do. A run in more than `cap` samples is boilerplate: `boilerplate_runs` of them bind nobody, `boilerplate` quotes
    the most frequent. `repeats` (N,) marks samples in which a run occurs more than once."""

    edges: NDArray[np.int64]
    cap: int
    boilerplate_runs: int
    boilerplate: tuple[Boilerplate, ...]
    repeats: NDArray[np.bool_]
    _files: list[Path]
    _spliced: list[Path]
    _offsets: NDArray[np.int64]
    _covered: NDArray[np.uint8]

    def severed_tokens(self, group: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many tokens of each sample, (N,), lie in rare runs that it shares with a sample of another `group` (N,)."""
        plain = (_binding(_rows(path), self._covered, self.cap) for path in self._files)
        spliced = (_rare(_rows(path), self.cap) for path in self._spliced)
        torn = [_torn(rows, self._offsets, group) for rows in (*plain, *spliced)]
        return _tokens_near(np.concatenate([np.empty(0, np.int64), *torn]), self._offsets[: len(group) + 1])


@contextmanager
def shared_runs(
    store: TokenStore,
    silent: NDArray[np.bool_],
    piece_weight: NDArray[np.int64],
    folder: Path,
    progress: Progress = SILENT,
) -> Iterator[SharedRuns]:
    """The runs that the first N samples of the store share, while the scratch files in `folder` stand. Samples that are
    `silent` (N,) have none. `piece_weight` (V,) weighs each vocabulary entry.

    Runs are hashed twice: what occurs once is found in a table of bits, and what may repeat is sorted in partitions on disk.
    Memory holds that table, the edges between samples and a few numbers per sample, and time is linear in the tokens.
    """
    n = len(silent)
    cap = round(min(HIGHEST_CAP, max(LOWEST_CAP, CAP_SHARE * n)))
    blocks = list(_blocks(store.offsets[: n + 1]))
    repeated = RepeatFilter(int(store.offsets[n]))
    with _scratch(folder, int(store.offsets[n])) as (files, spliced, covered):
        with _spilling(files) as write, progress.task("Hashing runs", 2 * n, "samples") as advance:
            for first, last in blocks:
                repeated.add(_runs(store, first, last, silent, piece_weight)[0])
                advance(last - first)
            for first, last in blocks:
                hashes, position = _runs(store, first, last, silent, piece_weight)
                some = repeated.may_repeat(hashes)
                write(hashes[some], position[some])
                advance(last - first)
        del repeated
        boilerplate_runs, repeats = 0, np.zeros(n, dtype=bool)
        edges, stretches = [np.zeros((4, 0), np.int64)], [np.zeros((3, 0), np.int64)]
        with progress.task("Finding shared runs", 3 * len(files), "partitions") as advance:
            for path in files:
                frequent, repeating = _count(path, store.offsets, covered, cap)
                boilerplate_runs += frequent
                repeats[repeating] = True
                advance(1)
            with _spilling(spliced) as write:
                for first, last in blocks if boilerplate_runs else ():
                    write(*_runs(store, first, last, silent, piece_weight, covered))
            for path in spliced:
                _count(path, store.offsets, None, cap)
                edges.append(_edges(_rare(_rows(path), cap), store.offsets))
                advance(1)
            for path in files:
                rows = _rows(path)
                edges.append(_edges(_binding(rows, covered, cap), store.offsets))
                stretches.append(_stretches(rows[1:, rows[2] > cap], store.offsets, covered))
                advance(1)
        main = _stretches(np.concatenate(stretches, axis=1)[:2], store.offsets, covered)
        yield SharedRuns(
            edges=_merged(np.concatenate(edges, axis=1)),
            cap=cap,
            boilerplate_runs=boilerplate_runs,
            boilerplate=_examples(main, store.offsets),
            repeats=repeats,
            _files=files,
            _spliced=spliced,
            _offsets=store.offsets,
            _covered=covered,
        )


@contextmanager
def _scratch(folder: Path, total: int) -> Iterator[tuple[list[Path], list[Path], NDArray[np.uint8]]]:
    """Partition files for the runs of `total` tokens, as many for those of the tokens that boilerplate leaves, and a flag per
    token (on disk) that tells whether boilerplate covers it; all of them are gone afterwards."""
    partitions = max(1, min(_MOST_PARTITIONS, -(-total // _PARTITION_TOKENS)))
    files, spliced = ([folder / f"{name}-{p}.bin" for p in range(partitions)] for name in ("runs", "spliced-runs"))
    flags = folder / "runs-covered.bin"
    try:
        with writing(flags), flags.open("wb") as stream:
            size = total + RUN_TOKENS
            for start in range(
                0, size, _BLOCK_TOKENS
            ):  # in full: a disk that fills under a memory map kills the process
                stream.write(bytes(min(_BLOCK_TOKENS, size - start)))
        yield files, spliced, np.memmap(flags, np.uint8, "r+")
    finally:
        for path in (*files, *spliced, flags):
            path.unlink(missing_ok=True)


@contextmanager
def _spilling(files: list[Path]) -> Iterator[Callable[[NDArray[np.uint64], NDArray[np.int64]], None]]:
    """Something that writes runs, as hash and position, to the partitions that their hashes belong to."""
    with writing(files[0].parent), ExitStack() as stack:
        streams = [stack.enter_context(path.open("wb")) for path in files]

        def write(hashes: NDArray[np.uint64], position: NDArray[np.int64]) -> None:
            part = ((hashes >> np.uint64(32)) % np.uint64(len(files))).astype(np.uint16)
            rows = np.stack([hashes.view(np.int64), position], axis=1)[np.argsort(part, kind="stable")]
            ends = np.cumsum(np.bincount(part, minlength=len(files)))
            for stream, block in zip(streams, np.split(rows, ends[:-1]), strict=True):
                stream.write(block.tobytes())  # tofile would hide a full disk

        yield write


def _blocks(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Sample ranges [first, last) of so many tokens."""
    first = 0
    while first < len(offsets) - 1:
        last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + _BLOCK_TOKENS, side="right")) - 1)
        yield first, last
        first = last


def _runs(
    store: TokenStore,
    first: int,
    last: int,
    silent: NDArray[np.bool_],
    piece_weight: NDArray[np.int64],
    covered: NDArray[np.uint8] | None = None,
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hash and position in the store of the run at every token of samples [first, last) that are not `silent`, if one is
    complete before the sample ends. A run's width follows from its own tokens, so equal text has equal runs. With `covered`,
    runs are of the tokens that are not, and only those which boilerplate interrupts."""
    begin, end = int(store.offsets[first]), int(store.offsets[last])
    loud = np.repeat(~silent[first:last], np.diff(store.offsets[first : last + 1]))
    place = np.flatnonzero(loud if covered is None else loud & (covered[begin:end] == 0))
    ids = store.ids()[begin:end][place]
    ends = np.searchsorted(place, store.offsets[first + 1 : last + 1] - begin)  # of each sample, among what is left
    limit = np.repeat(ends, np.diff(ends, prepend=0))
    width = _widths(piece_weight[ids])
    kept = np.arange(len(ids)) + width <= limit
    if covered is not None:
        kept[kept] = (place[(np.arange(len(ids)) + width - 1)[kept]] - place[kept]) >= width[kept]
    return _hashes(ids, width)[kept], place[kept] + begin


def _widths(weight: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many tokens the run from each token of that `weight` (n,) on has, (n,)."""
    n = len(weight)
    read = np.cumsum(np.concatenate([[0], weight, np.zeros(RUN_TOKENS, np.int64)]))  # weight before each token
    read = read.astype(np.int32) if read[-1] < np.iinfo(np.int32).max - RUN_WEIGHT else read
    enough, width = read[:n] + RUN_WEIGHT, np.full(n, SHORTEST_RUN, np.uint8)
    for k in range(SHORTEST_RUN, RUN_TOKENS):
        width += (read[k : k + n] < enough).view(np.uint8)
    return width.astype(np.int64)


def _hashes(ids: NDArray[np.integer], width: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The hash of so many tokens from each on, (n,), as a difference of one running sum, moved back by the inverse power of its
    place; the low bits are the width. uint64 arithmetic wraps, which is the hash."""
    n, most = len(ids), max(len(ids), _BLOCK_TOKENS)
    value = mix64(ids.astype(np.uint64) + np.uint64(1))
    value *= _powers(most, _BASE)[:n]
    running = np.zeros(n + RUN_TOKENS + 1, np.uint64)
    np.cumsum(value, out=running[1 : n + 1])
    running[n + 1 :] = running[n]
    hashes = running[np.arange(n) + width]
    hashes -= running[:n]
    hashes *= _powers(most, _BASE_INVERSE)[:n]
    hashes = mix64(hashes)
    hashes &= np.uint64(~_WIDTH & (1 << 64) - 1)
    hashes |= width.view(np.uint64)
    return hashes


@lru_cache(maxsize=2)
def _powers(size: int, base: int) -> NDArray[np.uint64]:
    powers = np.full(size, base, np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _count(
    path: Path, offsets: NDArray[np.int64], covered: NDArray[np.uint8] | None, cap: int
) -> tuple[int, NDArray[np.int64]]:
    """Rewrites (hash, position) rows as columns (3, R), samples being the third: each place of a run that 2 to `cap` samples
    share, and the first place of each more frequent run, whose every place it marks as `covered`, if that is given. Returns
    how many those are, and samples in which a run occurs more than once."""
    rows = np.fromfile(path, np.int64).reshape(-1, 2)
    hashes, position = rows[np.argsort(rows[:, 0], kind="stable")].T  # equal runs together, in the order of the store
    opens = _changes(hashes)
    sample = _sample(position, offsets)
    fresh = opens | _changes(sample)
    run = np.cumsum(opens) - 1
    samples = np.bincount(run[fresh])[run]
    frequent = samples > cap
    if covered is not None:
        _cover(covered, hashes[frequent] & _WIDTH, position[frequent])
    kept = np.where(frequent, opens, samples > 1)
    with writing(path):
        path.write_bytes(np.stack([hashes, position, samples])[:, kept].tobytes())
    return int((frequent & opens).sum()), sample[~fresh]


def _cover(covered: NDArray[np.uint8], width: NDArray[np.int64], place: NDArray[np.int64]) -> None:
    for k in range(RUN_TOKENS):
        covered[place[k < width] + k] = 1


def _rows(path: Path) -> NDArray[np.int64]:
    return np.fromfile(path, np.int64).reshape(3, -1)


def _sample(place: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    sample: NDArray[np.int64] = np.searchsorted(offsets, place, side="right") - 1
    return sample


def _changes(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where a value differs from the one before it; the first always does."""
    changes = np.ones(len(values), dtype=bool)
    changes[1:] = values[1:] != values[:-1]
    return changes


def _rare(rows: NDArray[np.int64], cap: int) -> NDArray[np.int64]:
    return rows[:, rows[2] <= cap]


def _binding(rows: NDArray[np.int64], covered: NDArray[np.uint8], cap: int) -> NDArray[np.int64]:
    """The columns of `rows` (3, R) that make kin: places of rare runs that lie mostly outside boilerplate."""
    rows = _rare(rows, cap)
    width = rows[0] & _WIDTH
    inside = np.zeros(rows.shape[1], np.int64)
    for k in range(RUN_TOKENS):
        inside += covered[rows[1] + k] * (k < width)
    return rows[:, inside <= MOST_COVERED_SHARE * width]


def _edges(rows: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Neighbours among the samples that share a run, as edges (4, E): two samples, the run's frequency, and one run."""
    sample = _sample(rows[1], offsets)
    linked = ~_changes(rows[0]) & _changes(sample)
    return _merged(np.stack([np.roll(sample, 1), sample, rows[2], np.ones_like(sample)])[:, linked])


def _merged(edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each pair of samples once, in order, with the frequency of the rarest run that they share and how many they do."""
    edges = edges[:, np.lexsort(edges[1::-1])]
    opens = np.flatnonzero(_changes(edges[0]) | _changes(edges[1]))
    if not len(opens):
        return edges
    rarest, shared = np.minimum.reduceat(edges[2], opens), np.add.reduceat(edges[3], opens)
    return np.stack([edges[0, opens], edges[1, opens], rarest, shared])


def _torn(rows: NDArray[np.int64], offsets: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the runs of `rows` (3, R) begin that a sample shares with a sample of another group."""
    opens = _changes(rows[0])
    sample = _sample(rows[1], offsets)
    starts = np.flatnonzero(opens)
    torn = np.minimum.reduceat(group[sample], starts) != np.maximum.reduceat(group[sample], starts)
    places: NDArray[np.int64] = rows[1, torn[np.cumsum(opens) - 1]]
    return places


def _tokens_near(places: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many tokens of each sample (N,) lie within RUN_TOKENS of the beginnings of runs."""
    places = np.unique(places)
    sample = _sample(places, offsets)
    ends = np.minimum(np.append(places[1:], offsets[-1]), offsets[1:][sample])
    within = np.minimum(ends - places, RUN_TOKENS)
    return np.bincount(sample, within, minlength=len(offsets) - 1).astype(np.int64)


def _stretches(
    frequent: NDArray[np.int64], offsets: NDArray[np.int64], covered: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Maximal stretches of boilerplate around the most frequent of the runs (2, F), given as place and samples. At most
    EXAMPLES columns (3, S): first token in the store, samples, last token."""
    found = np.zeros((3, 0), np.int64)
    frequent = frequent[:, np.lexsort((frequent[0], -frequent[1]))]
    while frequent.shape[1] and found.shape[1] < EXAMPLES:
        place, samples = frequent[:, 0]
        begin, end = offsets[_sample(place, offsets) :][:2]
        gaps = np.concatenate([[begin - 1], begin + np.flatnonzero(covered[begin:end] == 0), [end]])
        after = np.searchsorted(gaps, place)
        first, last = gaps[after - 1] + 1, gaps[after] - 1
        found = np.concatenate([found, [[first], [samples], [last]]], axis=1)
        frequent = frequent[:, (frequent[0] < first) | (frequent[0] > last)]
    return found


def _examples(stretches: NDArray[np.int64], offsets: NDArray[np.int64]) -> tuple[Boilerplate, ...]:
    sample = _sample(stretches[0], offsets)
    first, samples, last = stretches - np.outer([1, 0, 1], offsets[sample])
    rows = zip(sample.tolist(), first.tolist(), last.tolist(), samples.tolist(), strict=True)
    return tuple(Boilerplate(sample=i, first=a, last=b, samples=k) for i, a, b, k in rows)
