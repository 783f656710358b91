"""Features: what can be counted in the text of a row and in what it shares with others, in one pass over the texts."""

import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from carto_audit.lenses.risk.row_counts import PASSAGE, HashedRows, RowCounts, empty_counts, hash_rows, losses, rarity
from carto_audit.text.words import Ragged

NAMES = (
    "length",
    "bits per byte",
    "variety of its words",
    "digits",
    "rare characters",
    "exact copies",
    "near copies",
    "rows that hold the same passage",
    "share of it that another row holds",
    "share of it that three other rows hold",
    "surprise of its words",
    "surprise that other rows take away",
    "the same where it is most",
    "surprise of what another row holds",
    "surprise of what three other rows hold",
)
"""What the features are called, in the order of their columns."""

PASSAGE_TOKENS = 9
"""Tokens of the audit that a passage is about as long as: proxies are asked about windows of 12."""

_LETTERS = (12, 64)
"""The bounds of its length, in characters."""

GAIN_WINDOW = 12
"""Words in which the most surprise is sought: as many as a short secret has."""

_SEVERAL = 3  # other rows
_FREQUENT = 64  # rows; a passage in more of them is boilerplate, which makes nobody kin
_RARE = 1e-3
_MOST_ZLIB = 1 << 16  # characters of a row that are compressed

Floats = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextFeatures:
    """The features of N rows, `values` (N, F) in the order of NAMES, and `shared` (N,): rows of one number hold the same run of
    words, -1 for those that share none."""

    values: Floats
    shared: Index


def read_features(chunks: Iterable[Sequence[str]], n_tokens: Index, copies: Index, cluster: Index) -> TextFeatures:
    """Reads texts once, of N rows with so many tokens, exact copies and `cluster`, the first of their near copies, (N,) all. The
    memory is that of one chunk, of the tables, and of F numbers a row."""
    counts = empty_counts(int(n_tokens.sum()))
    alone, inside, shared = [np.empty((0, 5))], [np.empty((0, 8))], [np.empty(0, np.int64)]
    with tempfile.TemporaryFile() as spool:
        rare, letters = None, 0
        for texts in chunks:
            if rare is None:
                rare, letters = Rare.of(texts), _letters(texts, n_tokens)
            rows = hash_rows(texts, letters)
            alone.append(_alone(texts, rows.words, rare))
            counts.add(rows)
            _write(spool, rows)
        total = counts.total()
        for rows in _read(spool):
            inside.append(_inside(counts, rows, total))
            shared.append(_shared(counts, rows))
    values = np.hstack([np.vstack(alone), _of_kin(copies, cluster), np.vstack(inside)])
    return TextFeatures(values=values, shared=np.concatenate(shared))


def _letters(texts: Sequence[str], n_tokens: Index) -> int:
    """The letters of a passage, by how many a token has in the first texts."""
    tokens = int(n_tokens[: len(texts)].sum())
    return int(np.clip(round(PASSAGE_TOKENS * sum(map(len, texts)) / max(1, tokens)), *_LETTERS))


@dataclass(frozen=True, kw_only=True, slots=True)
class Rare:
    """Which code points are rare, (1114112,): below one in a thousand of the first texts."""

    is_rare: NDArray[np.bool_]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Rare":
        """What is rare in these texts."""
        times = np.bincount(_codes(texts), minlength=0x110000)
        return cls(is_rare=times < _RARE * times.sum())


def _alone(texts: Sequence[str], words: Ragged, rare: Rare) -> Floats:
    """What a row says alone, (n, 5): length, bits per byte, entropy of its words, digits, rare characters."""
    codes = _codes(texts)
    begins = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    letters = np.maximum(1, np.diff(begins))
    digits = _sums(((codes >= ord("0")) & (codes <= ord("9"))).astype(np.float64), begins)
    strange = _sums(rare.is_rare[codes].astype(np.float64), begins)
    size, bits = np.empty(len(texts)), np.empty(len(texts))
    for k, text in enumerate(texts):
        data = text[:_MOST_ZLIB].encode("utf-8", "surrogatepass")
        size[k], bits[k] = len(text), 8 * len(zlib.compress(data)) / max(1, len(data))
    return np.stack([np.log1p(size), bits, _entropy(words), digits / letters, strange / letters], axis=1)


def _entropy(words: Ragged) -> Floats:
    """Nats of the words of each row, by how often it repeats each."""
    n = np.diff(words.offsets)
    row = np.repeat(np.arange(len(n), dtype=np.uint64), n)
    keys = np.sort(row << np.uint64(40) | words.values >> np.uint64(24))
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.empty(0, np.int64)
    times = np.diff(np.append(first, len(keys))).astype(np.float64)
    owner = (keys[first] >> np.uint64(40)).astype(np.int64)
    spread = np.bincount(owner, weights=times * np.log(times), minlength=len(n))
    return np.log(np.maximum(1, n)) - spread / np.maximum(1, n)


def _of_kin(copies: Index, cluster: Index) -> Floats:
    """What the audit knows of its copies, (N, 2): exact ones, and exact and near ones together."""
    near = np.bincount(cluster, minlength=len(cluster))[cluster]
    return np.log2(np.stack([np.maximum(1, copies), near], axis=1).astype(np.float64))


def _inside(counts: RowCounts, rows: HashedRows, total: float) -> Floats:
    """What other rows say of its words, (n, 8): how many hold its most frequent passage; which share of its words another row
    and several hold; the nats of a word after one, what three before it take away, and the most of that in GAIN_WINDOW words;
    and the nats of the passage that says most, of those that another row and several hold."""
    words, n = rows.words, np.maximum(1, np.diff(rows.words.offsets))
    others = counts.others(rows, PASSAGE)
    most = np.minimum(_maxima(others.astype(np.float64), rows.passages.offsets), _FREQUENT)
    said = _said(counts, rows, others, total)
    held = [np.where(others >= least, said, 0.0) for least in (1, _SEVERAL)]
    covered = [_covered(others >= least, rows) / n for least in (1, _SEVERAL)]
    short, long = losses(counts, rows, total)
    gain = short - long
    sums = np.concatenate([[0.0], np.cumsum(gain)])
    ends = np.minimum(np.arange(len(gain)) + GAIN_WINDOW, np.repeat(words.offsets[1:], np.diff(words.offsets)))
    best = np.maximum(0.0, _maxima(sums[ends] - sums[:-1], words.offsets))
    means = [_sums(values, words.offsets) / n for values in (short, gain)]
    secret = [_maxima(values, rows.passages.offsets) for values in held]
    return np.stack([np.log2(1 + most), *covered, *means, best, *secret], axis=1)


def _said(counts: RowCounts, rows: HashedRows, others: Index, total: float) -> Floats:
    """What each passage that other rows hold says to who knows all rows but these, word by word, in nats; 0 for the rest."""
    held = np.flatnonzero(others > 0)
    single, first = counts.others(rows, 1), rows.first_word()[held]
    said, reach = np.zeros(len(others)), rows.reach[held]
    for k in range(int(reach.max(initial=0))):
        inside = k < reach
        known = single[first[inside] + k] - others[held[inside]]
        said[held[inside]] -= np.log(rarity(known, total))
    return said


def _shared(counts: RowCounts, rows: HashedRows) -> Index:
    """A number for each row, by the passage that most rows hold, up to _FREQUENT of them, of several one hash; -1 for none."""
    others = counts.others(rows, PASSAGE)
    kin = (others > 0) & (others < _FREQUENT)
    row = np.repeat(np.arange(len(rows.passages)), np.diff(rows.passages.offsets))[kin]
    label = (rows.passages.values[kin] >> np.uint64(1)).astype(np.int64)
    order = np.lexsort((label, -others[kin], row))
    first = np.flatnonzero(np.concatenate([[True], np.diff(row[order]) > 0])) if len(row) else np.empty(0, np.int64)
    found = np.full(len(rows.passages), -1, dtype=np.int64)
    found[row[order][first]] = label[order][first]
    return found


def _covered(held: NDArray[np.bool_], rows: HashedRows) -> Floats:
    """Of each row how many words lie in a passage that is held."""
    start = rows.first_word()[held]
    change = np.zeros(len(rows.words.values) + 1, dtype=np.int64)
    np.add.at(change, start, 1)
    np.add.at(change, start + rows.reach[held], -1)
    return _sums((np.cumsum(change[:-1]) > 0).astype(np.float64), rows.words.offsets)


def _codes(texts: Sequence[str]) -> NDArray[np.uint32]:
    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)


def _sums(values: Floats, offsets: Index) -> Floats:
    """The sum over each row of a ragged array."""
    running = np.concatenate([[0.0], np.cumsum(values)])
    sums: Floats = running[offsets[1:]] - running[offsets[:-1]]
    return sums


def _maxima(values: Floats, offsets: Index) -> Floats:
    """The largest value of each row of a ragged array, 0 for none."""
    filled = np.diff(offsets) > 0
    found = np.zeros(len(offsets) - 1)
    if filled.any():
        found[filled] = np.maximum.reduceat(values, offsets[:-1][filled])
    return found


def _write(spool: IO[bytes], rows: HashedRows) -> None:
    for values in (rows.words.values, rows.words.offsets, rows.passages.values, rows.passages.offsets, rows.reach):
        np.save(spool, values)


def _read(spool: IO[bytes]) -> Iterator[HashedRows]:
    end = spool.seek(0, 2)
    spool.seek(0)
    while spool.tell() < end:
        words = Ragged(values=np.load(spool), offsets=np.load(spool))
        passages = Ragged(values=np.load(spool), offsets=np.load(spool))
        yield HashedRows(words=words, passages=passages, reach=np.load(spool))
