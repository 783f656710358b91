"""Duplicates: exact copies by digest, near copies by MinHash bands and verification. Cost is linear in rows."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from carto_audit.data.batch import Batch, TextChunk, iter_texts, name_samples
from carto_audit.engines.engine import LOCAL, Engine, choose_workers
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.minhash import signatures
from carto_audit.text.untrusted import safe_inline
from carto_audit.text.words import Ragged, hash_words, ngram_hashes, ngrams

JACCARD_THRESHOLD = 0.7
"""Share of common shingles from which two samples are near copies; 5 % replaced words leave about 0.75."""

SHINGLE = 3
"""Words. With 5-word shingles a copy with 5 % replaced words (0.95 ** 5 of them survive) falls to Jaccard 0.63."""

BANDS, ROWS = 32, 4
"""A pair at Jaccard 0.7 meets in some band with probability 1 - (1 - 0.7 ** 4) ** 32 = 0.9998; one at 0.3 with 0.23."""

SEED = 1

LEAST_ESTIMATE = 0.55
"""A candidate whose signatures agree less is dropped unseen. At Jaccard 0.7 and 128 values that is 3.7 deviations away."""

PATIENCE, CERTAIN_ESTIMATE = 8, 0.8
"""In templated batches, where everything is almost a near copy, a sample stops being compared after so many rejections,
save with samples whose estimate leaves no doubt. Without it 50,000 rows at Jaccard 0.68 cost minutes."""

_PAIR_BLOCK = 2_000_000  # shingles compared at once: about 100 MB

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Kinship of samples, one entry each. `cluster_id` is the index of the cluster's first sample.

    `copies` counts the samples that are byte-identical to each, itself included. `exact`: byte-identical to an earlier
    sample. `near`: not exact, and not the first of its cluster. `digest` (N, 2) is the BLAKE2b hash of each text, sixteen bytes,
    and `text_hash` its first eight, 0 where there is no text.
    """

    cluster_id: Index
    cluster_size: Index
    copies: Index
    exact: NDArray[np.bool_]
    near: NDArray[np.bool_]
    text_hash: NDArray[np.uint64]
    digest: NDArray[np.uint64]
    jaccard_threshold: float
    shingle: int

    def text_digest(self, sample: int) -> str | None:
        """The digest of a sample's text in 32 hexadecimal digits; None where there is no text."""
        return self.digest[sample].tobytes().hex() if self.text_hash[sample] else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sketches:
    """The batch, hashed: digests in memory, the rest in files."""

    digests: NDArray[np.uint64]  # (N, 2)
    offsets: Index  # (N + 1,), into `shingles`
    shingles: Path  # uint32, all samples behind one another
    keys: Path  # uint64, (BANDS, N)
    bytes: Path  # uint8, (N, BANDS * ROWS): the lowest byte of each signature value

    def band(self, number: int) -> NDArray[np.uint64]:
        count = len(self.digests)
        return np.fromfile(self.keys, np.uint64, count, offset=number * count * 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hashed:
    """What a chunk of `n` samples adds to the sketches, as these hold it; `counts` (n,) are the shingles of each sample."""

    start: int
    digests: NDArray[np.uint64]  # (n, 2)
    counts: Index
    shingles: NDArray[np.uint32]
    bytes: NDArray[np.uint8]  # (n, BANDS * ROWS)
    keys: NDArray[np.uint64]  # (BANDS, n)


@dataclass(slots=True)
class _Components:
    """The clusters so far, and the pairs that need no second look. The one mutable value here; it never leaves."""

    label: Index
    rejections: Index  # (N,)
    rejected: Index = field(default_factory=lambda: np.empty(0, np.int64))

    def open_pairs(self, a: Index, b: Index) -> Index:
        """Pairs (2, n), each once, not yet connected and not yet rejected."""
        apart = self.label[a] != self.label[b]
        samples = len(self.label)
        codes = _distinct(np.minimum(a, b)[apart] * samples + np.maximum(a, b)[apart])
        if len(self.rejected):
            place = np.minimum(np.searchsorted(self.rejected, codes), len(self.rejected) - 1)
            codes = codes[self.rejected[place] != codes]
        return np.stack([codes // samples, codes % samples])

    def worth_verifying(self, pairs: Index, estimate: NDArray[np.float64]) -> NDArray[np.bool_]:
        patient = self.rejections[pairs].min(axis=0) < PATIENCE
        worth: NDArray[np.bool_] = (estimate >= CERTAIN_ESTIMATE) | ((estimate >= LEAST_ESTIMATE) & patient)
        return worth

    def add(self, pairs: Index, similar: NDArray[np.bool_]) -> None:
        lost = pairs[:, ~similar]
        self.rejections += np.bincount(lost.ravel(), minlength=len(self.label))
        self.rejected = _distinct(np.concatenate([self.rejected, lost[0] * len(self.label) + lost[1]]))
        if similar.any():
            self.label = _connect(self.label, pairs[:, similar])


def find_duplicates(batch: Batch, folder: Path, progress: Progress = SILENT, engine: Engine = LOCAL) -> Duplicates:
    """Clusters the samples by identity and by Jaccard similarity of word shingles, transitively.

    Spills hashes to `folder` (about as much as the text itself). Samples shorter than a shingle are near copies where their
    words are the same. Texts are hashed by the engine's workers; whoever they are, the result is the same. Raises AuditError when
    the folder cannot be written, or a worker dies again and again.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sketches = _sketch(batch, folder, progress, engine)
    except OSError as error:
        raise AuditError(f"{safe_inline(str(folder), 160)}: cannot write: {error.strerror or error}") from error
    try:
        first = _first_copies(sketches.digests)
        label = _near_labels(sketches, first, progress)
    finally:
        sketches.shingles.unlink(missing_ok=True)
        sketches.keys.unlink(missing_ok=True)
        sketches.bytes.unlink(missing_ok=True)
    return _clusters(first, label, sketches.digests)


def _sketch(batch: Batch, folder: Path, progress: Progress, engine: Engine) -> _Sketches:
    shingles_path, keys_path, bytes_path = folder / "shingles.u32", folder / "bands.u64", folder / "signatures.u8"
    digests = np.empty((len(batch), 2), dtype=np.uint64)
    counts = np.zeros(len(batch), dtype=np.int64)
    with (
        shingles_path.open("wb") as shingles_file,
        keys_path.open("wb") as keys_file,
        bytes_path.open("wb") as bytes_file,
    ):
        chunks = iter_texts(batch, progress, "Hashing for duplicates")
        usual, named = choose_workers(int(batch.n_bytes.sum())), partial(_named, batch)
        with closing(engine.map_shards(_hash_chunk, None, chunks, usual=usual, named=named, folder=folder)) as found:
            for hashed in found:
                span = slice(hashed.start, hashed.start + len(hashed.counts))
                digests[span], counts[span] = hashed.digests, hashed.counts
                wordless = hashed.start + np.flatnonzero((counts[span] == 0) & ~batch.trainable[span])
                digests[wordless] = wordless[:, None]  # no text is no copy of another
                shingles_file.write(hashed.shingles.tobytes())
                bytes_file.write(hashed.bytes.tobytes())
                _write_keys(keys_file, hashed.keys, hashed.start, len(batch))
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return _Sketches(digests=digests, offsets=offsets, shingles=shingles_path, keys=keys_path, bytes=bytes_path)


def _hash_chunk(setting: None, chunk: TextChunk) -> _Hashed:
    shingles = _shingles(hash_words(chunk.texts))
    signed = signatures(shingles, BANDS * ROWS, SEED)
    return _Hashed(
        start=chunk.start,
        digests=_digests(chunk.texts),
        counts=np.diff(shingles.offsets),
        shingles=(shingles.values >> np.uint64(32)).astype(np.uint32),
        bytes=np.ascontiguousarray(signed.astype(np.uint8).T),
        keys=_band_keys(signed),
    )


def _named(batch: Batch, chunk: TextChunk) -> str:
    return name_samples(batch, chunk.start, len(chunk.texts))


def _shingles(words: Ragged) -> Ragged:
    """The shingles of each text; of one with fewer words, all of them as one: "Yes, indeed" and "yes indeed!" are copies."""
    grams = ngrams(words, SHINGLE)
    sizes = np.diff(words.offsets)
    short = np.flatnonzero((sizes > 0) & (sizes < SHINGLE))
    begins = words.offsets[short]
    whole = np.empty(len(short), dtype=np.uint64)
    for size in range(1, SHINGLE):
        chosen = sizes[short] == size
        whole[chosen] = ngram_hashes(words.values, size)[begins[chosen]]
    values = np.insert(grams.values, grams.offsets[short], whole)
    counts = np.diff(grams.offsets)
    counts[short] = 1
    return Ragged(values=values, offsets=np.concatenate(([0], np.cumsum(counts))))


def _digests(texts: list[str]) -> NDArray[np.uint64]:
    digests = (hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts)
    return np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)


def _band_keys(signed: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """(BANDS, texts): the signature's values of one band folded into 64 bits; a collision only costs a verification."""
    values = signed.reshape(BANDS, ROWS, signed.shape[1]).astype(np.uint64)
    keys = values[:, 0]
    for k in range(1, ROWS):
        keys = (keys ^ (keys >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15) + values[:, k]
    return keys


def _write_keys(stream: IO[bytes], keys: NDArray[np.uint64], start: int, samples: int) -> None:
    for band in range(BANDS):
        stream.seek((band * samples + start) * 8)
        stream.write(keys[band].tobytes())


def _first_copies(digests: NDArray[np.uint64]) -> Index:
    """For each sample the index of the first sample with the same bytes."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: equal digests keep file order
    is_new = np.append(True, (digests[order[1:]] != digests[order[:-1]]).any(axis=1))
    first = np.empty(len(digests), dtype=np.int64)
    first[order] = order[is_new][np.cumsum(is_new) - 1]
    return first


def _near_labels(sketches: _Sketches, first: Index, progress: Progress) -> Index:
    """Which samples verified pairs connect, band by band; pairs that earlier bands connected are not looked at again."""
    samples = len(first)
    found = _Components(label=np.arange(samples), rejections=np.zeros(samples, np.int64))
    shingled = np.flatnonzero((first == np.arange(samples)) & (np.diff(sketches.offsets) > 0))
    if len(shingled) < 2:
        return found.label
    values = np.memmap(sketches.shingles, np.uint32, mode="r")
    signed = np.memmap(sketches.bytes, np.uint8, mode="r", shape=(samples, BANDS * ROWS))
    tie_break = sketches.band(BANDS - 1)[shingled]
    with progress.task("Comparing near copies", BANDS, "bands") as advance:
        for number in range(BANDS):
            keys = sketches.band(number)[shingled]
            for a, b in _bucket_pairs(keys, tie_break):
                pairs = found.open_pairs(shingled[a], shingled[b])
                pairs = pairs[:, found.worth_verifying(pairs, _estimate(signed, pairs))]
                found.add(pairs, _jaccard(values, sketches.offsets, pairs) >= JACCARD_THRESHOLD)
            tie_break = keys
            advance(1)
    return found.label


def _estimate(signed: NDArray[np.uint8], pairs: Index) -> NDArray[np.float64]:
    """MinHash estimate of each pair's Jaccard similarity, from one byte per value: too high by 1/256 at most."""
    block = 1 << 16
    parts = [
        (signed[pairs[0, k : k + block]] == signed[pairs[1, k : k + block]]).mean(axis=1)
        for k in range(0, pairs.shape[1], block)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _bucket_pairs(keys: NDArray[np.uint64], tie_break: NDArray[np.uint64]) -> Iterator[tuple[Index, Index]]:
    """First each member of a bucket with its neighbour, then with the bucket's first: linear however large the bucket.

    The order inside a bucket follows another band, so that members of different clusters do not alternate.
    """
    order = np.lexsort((tie_break, keys))
    is_new = np.append(True, keys[order[1:]] != keys[order[:-1]])
    later = np.flatnonzero(~is_new)
    yield order[later - 1], order[later]
    bucket_first = np.flatnonzero(is_new)[np.cumsum(is_new) - 1]
    yield order[bucket_first[later]], order[later]


def _jaccard(values: NDArray[np.uint32], offsets: Index, pairs: Index) -> NDArray[np.float64]:
    """Exact Jaccard similarity of the shingle sets of each pair, (2, n) -> (n,), in blocks of bounded memory."""
    counts = np.diff(offsets)
    block = np.cumsum(counts[pairs].sum(axis=0)) // _PAIR_BLOCK
    edges = np.append(np.searchsorted(block, np.unique(block)), pairs.shape[1])
    parts = [
        _jaccard_block(values, offsets[:-1], counts, pairs[:, low:high])
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _jaccard_block(values: NDArray[np.uint32], begins: Index, counts: Index, pairs: Index) -> NDArray[np.float64]:
    size = pairs.shape[1]
    left, right = (_shingle_sets(values, begins[side], counts[side]) for side in pairs)
    both = np.sort(np.concatenate([left, right]))
    common = both[1:][both[1:] == both[:-1]]

    def count(sets: NDArray[np.uint64]) -> Index:
        return np.bincount((sets >> np.uint64(32)).astype(np.int64), minlength=size)

    shared = count(common)
    return shared / (count(left) + count(right) - shared)


def _shingle_sets(values: NDArray[np.uint32], begins: Index, counts: Index) -> NDArray[np.uint64]:
    """Each text's distinct shingles, tagged with its place in the block in the upper half; sorted."""
    place = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
    tagged = (place.astype(np.uint64) << np.uint64(32)) | values[begins[place] + within]
    return _distinct(tagged)


def _distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Sorted distinct values, several times faster on millions of integers than `np.unique`, which hashes them."""
    ordered: NDArray[Any] = np.sort(values)
    is_new = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
    distinct: NDArray[Any] = ordered[is_new]
    return distinct


def _connect(label: Index, pairs: Index) -> Index:
    """Labels after also connecting the samples of each pair, (2, n)."""
    a, b = label[pairs]
    size = len(label)
    graph = coo_array((np.ones(len(a), dtype=bool), (a, b)), shape=(size, size))
    joined: Index = connected_components(graph, directed=False)[1].astype(np.int64)[label]
    return joined


def _text_hash(digests: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The first eight bytes of each text's digest; of no text, whose digest is its place twice, 0."""
    nothing = (digests == np.arange(len(digests), dtype=np.uint64)[:, None]).all(axis=1)
    return np.where(nothing, np.uint64(0), digests[:, 0])


def _clusters(first: Index, label: Index, digests: NDArray[np.uint64]) -> Duplicates:
    samples = np.arange(len(first))
    label = label[first]
    _, first_of_label, inverse, size = np.unique(label, return_index=True, return_inverse=True, return_counts=True)
    cluster_id = first_of_label[inverse].astype(np.int64)
    exact = first != samples
    return Duplicates(
        cluster_id=cluster_id,
        cluster_size=size[inverse].astype(np.int64),
        copies=np.bincount(first, minlength=len(first))[first],
        exact=exact,
        near=~exact & (cluster_id != samples),
        text_hash=_text_hash(digests),
        digest=digests,
        jaccard_threshold=JACCARD_THRESHOLD,
        shingle=SHINGLE,
    )


def copy_counts(texts: list[str], group: Index) -> tuple[Index, Index]:
    """How many texts of its group are equal to each text, and how many are equal or similar (JACCARD_THRESHOLD), itself
    included, (n,) each. Compares all pairs of a group."""
    shingles = _shingles(hash_words(texts))
    sets = [set(part.tolist()) for part in np.split(shingles.values, shingles.offsets[1:-1])]
    exact, near = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.unique(group, return_counts=True)[1])[:-1])
    for i, j in ((i, j) for part in members for i in part.tolist() for j in part.tolist()):
        exact[i] += texts[i] == texts[j]
        near[i] += texts[i] == texts[j] or _similar(sets[i], sets[j])
    return exact, near


def _similar(a: set[int], b: set[int]) -> bool:
    return bool(a and b) and len(a & b) >= JACCARD_THRESHOLD * len(a | b)
