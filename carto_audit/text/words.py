"""Words: the one normalization that both sides of every comparison share, hashed for a chunk of texts at once."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from datasketch import MinHash
from numpy.typing import NDArray

from carto_audit.text.untrusted import INVISIBLE

HASHES = "visible-nfkc-casefold-cjk1/poly64/affine32"
"""Names the normalization and hash functions; values made under different names must not be compared."""

_BASE = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2**64
_BASE_INVERSE = pow(_BASE, -1, 1 << 64)
_GRAM_BASE = np.uint64(0xD1B54A32D192ED03)
_PIECE = 1 << 16  # characters hashed at once: 512 KB of uint64 stays in the second-level cache
_SIGNATURE_BLOCK = 1 << 16  # shingles permuted at once, for the same reason

_SEPARATOR, _WORD, _CJK, _SIGN = 0, 1, 2, 3
_CJK_RANGES = ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))

_HASH_BYTES = 8

FIRST_IDEOGRAPH = 0x3040
"""The code point from which on a word of one character is an ideograph or kana."""

_NUMERALS = frozenset(
    "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty sixty seventy eighty "
    "ninety hundred thousand million billion half twice thrice second third fourth fifth".split()
)

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ragged:
    """One row of 64-bit hashes per text: those of text `k` are `values[offsets[k]:offsets[k + 1]]`."""

    values: Hashes
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, k: int) -> Hashes:
        return self.values[self.offsets[k] : self.offsets[k + 1]]


def fold(text: str) -> str:
    """Without characters that nobody sees, then NFKC, then casefold: a zero-width space inside a word hides nothing.

    The length may change; `word_spans` leads back to the original characters.
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", INVISIBLE.sub("", text)).casefold()


def is_number(word: str) -> bool:
    """Whether a folded word is a number: digits, or an English numeral other than "one", which is a pronoun too."""
    return word.isdecimal() or word in _NUMERALS


def hash_words(texts: Sequence[str]) -> Ragged:
    """Word hashes of each text. A word is one CJK or kana character, else a run of letters and digits.

    Depends on the folded characters of the word only: not on the text around it, the chunk or the machine.
    """
    folded = [fold(text) for text in texts]
    codes = _codes("\n".join(folded))
    starts, ends = _word_bounds(codes)
    text_ends = np.cumsum(np.fromiter((len(text) + 1 for text in folded), np.int64, len(folded)))
    offsets = np.concatenate(([0], np.searchsorted(starts, text_ends)))
    return Ragged(values=_hash_spans(codes, starts, ends), offsets=offsets.astype(np.int64))


def hash_tokens(texts: Sequence[str]) -> tuple[Ragged, NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Tokens of programs: names with case and underscores, numbers, and every other visible character by itself.

    Gives their hashes by text, their spans in the text's characters, which are names, and which follow a dot.
    """
    joined = "\n".join(texts)
    codes = _codes(joined)
    kinds = np.take(_program_kinds(), codes)
    border = np.ones(len(codes) + 1, dtype=bool)
    border[1:-1] = (kinds[1:] != kinds[:-1]) | (kinds[1:] == _SIGN)
    starts = np.flatnonzero(border[:-1] & (kinds != _SEPARATOR))
    ends = np.flatnonzero(border[1:] & (kinds != _SEPARATOR)) + 1
    begins = np.concatenate(([0], np.cumsum(np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts)))))
    offsets = np.searchsorted(starts, begins).astype(np.int64)
    owner = np.repeat(np.arange(len(texts)), np.diff(offsets))
    first = codes[starts]
    is_name = (kinds[starts] == _WORD) & ~((first >= 48) & (first <= 57))
    after_dot = np.zeros(len(starts), dtype=bool)
    after_dot[1:] = first[:-1] == ord(".")
    spans = np.stack([starts, ends], axis=1) - begins[owner][:, None]
    return Ragged(values=_hash_spans(codes, starts, ends), offsets=offsets), spans, is_name, after_dot


def word_spans(text: str) -> NDArray[np.int64]:
    """Where each word begins and ends, in characters of `text` before folding: (words, 2), in reading order."""
    folded = fold(text)
    starts, ends = _word_bounds(_codes(folded))
    if len(folded) == len(text) and text.isascii():
        return np.stack([starts, ends], axis=1)
    source_starts, source_ends = _fold_sources(text)
    return np.stack([source_starts[starts], source_ends[ends - 1]], axis=1)


def spans_of_words(texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """`word_spans` of each text. For many short texts at once it takes a third of the time."""
    spans = word_spans("\n".join(texts))
    ends = np.cumsum(np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts)))
    begins = np.concatenate(([0], ends[:-1]))
    edges = np.searchsorted(spans[:, 0], ends[:-1])
    return [part - begin for part, begin in zip(np.split(spans, edges), begins.tolist(), strict=True)]


def words_span(text: str) -> tuple[int, int]:
    """Where the first word of a text begins and its last one ends; there must be one."""
    if not text.isascii():
        spans = word_spans(text)
        return int(spans[0, 0]), int(spans[-1, 1])
    begin, end = 0, len(text)
    while not text[begin].isalnum():
        begin += 1
    while not text[end - 1].isalnum():
        end -= 1
    return begin, end


def ngram_hashes(words: Hashes, n: int) -> Hashes:
    """Hash of each run of `n` consecutive words: (words - n + 1,), or empty. Runs across texts are included."""
    count = len(words) - n + 1
    if count <= 0:
        return np.empty(0, np.uint64)
    grams = words[:count].copy()
    for k in range(1, n):
        grams *= _GRAM_BASE
        grams += words[k : count + k]
    grams += np.uint64(n)
    return mix64(grams)


def run_places(words: bytes, needle: bytes, most: int) -> list[int]:
    """The first `most` words from which on the words `needle` stand, both as `Hashes.tobytes()`."""
    found: list[int] = []
    place = words.find(needle)
    while place >= 0 and len(found) < most:
        if place % _HASH_BYTES == 0:
            found.append(place // _HASH_BYTES)
        place = words.find(needle, place + 1)
    return found


def count_runs(words: bytes, needle: bytes, most: int) -> int:
    """How often the words `needle` stand there; counts to `most` and no further."""
    return len(run_places(words, needle, most))


def inside_texts(offsets: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    """Which of the `n`-grams of a whole chunk lie inside one text: (words - n + 1,), or empty."""
    inside = np.ones(max(0, int(offsets[-1]) - n + 1), dtype=bool)
    for k in range(1, n):
        crossing = offsets[1:] - k
        inside[crossing[(crossing >= 0) & (crossing < len(inside))]] = False
    return inside


def ngrams(words: Ragged, n: int) -> Ragged:
    """The `n`-word shingles of each text, in order, repeats included; a text shorter than `n` has none."""
    values = ngram_hashes(words.values, n)[inside_texts(words.offsets, n)]
    counts = np.maximum(np.diff(words.offsets) - n + 1, 0)
    return Ragged(values=values, offsets=np.concatenate(([0], np.cumsum(counts))))


def premix(shingles: Hashes) -> NDArray[np.uint32]:
    """datasketch's first step, the same for all permutations: the top 32 bits through MurmurHash3's finalizer."""
    h = (shingles >> np.uint64(32)).astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    h ^= h >> np.uint32(16)
    return h


@cache
def permutations(num_perm: int, seed: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The factors and terms of datasketch's `affine32` permutations: (num_perm,) each."""
    factors, terms = MinHash(num_perm=num_perm, seed=seed, scheme="affine32").permutations
    return factors.astype(np.uint32), terms.astype(np.uint32)


def signatures(shingles: Ragged, num_perm: int, seed: int) -> NDArray[np.uint32]:
    """MinHash signatures, (num_perm, texts), bit-identical to `datasketch.MinHash(..., scheme="affine32")`.

    A text without shingles has datasketch's empty signature, all 2**32 - 1.
    """
    out = np.full((num_perm, len(shingles)), np.iinfo(np.uint32).max, dtype=np.uint32)
    filled = np.flatnonzero(np.diff(shingles.offsets))
    if not len(filled):
        return out
    mixed = premix(shingles.values)
    begins = shingles.offsets[filled]
    edges = np.searchsorted(begins, np.arange(0, begins[-1] + _SIGNATURE_BLOCK + 1, _SIGNATURE_BLOCK))
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        if low < high:
            stop = begins[high] if high < len(begins) else len(mixed)
            out[:, filled[low:high]] = segment_minima(
                mixed[begins[low] : stop], begins[low:high] - begins[low], num_perm, seed
            )
    return out


def segment_minima(
    mixed: NDArray[np.uint32], begins: NDArray[np.int64], num_perm: int, seed: int
) -> NDArray[np.uint32]:
    """For each permutation the smallest permuted value of each segment: (num_perm, segments)."""
    out = np.empty((num_perm, len(begins)), dtype=np.uint32)
    permuted = np.empty_like(mixed)
    for k, (factor, term) in enumerate(zip(*permutations(num_perm, seed), strict=True)):
        np.multiply(mixed, factor, out=permuted)
        permuted += term
        np.minimum.reduceat(permuted, begins, out=out[k])
    return out


def short_segment_minima(
    mixed: NDArray[np.uint32], begins: NDArray[np.int64], longest: int, num_perm: int, seed: int
) -> NDArray[np.uint32]:
    """`segment_minima` of segments that have at most `longest` values, a few: a third of the time."""
    last = np.append(begins[1:], len(mixed)) - 1
    columns = mixed[
        np.minimum(begins + np.arange(longest)[:, None], last)
    ]  # (longest, segments), the last one repeated
    out = np.empty((num_perm, len(begins)), dtype=np.uint32)
    permuted = np.empty_like(columns)
    for k, (factor, term) in enumerate(zip(*permutations(num_perm, seed), strict=True)):
        np.multiply(columns, factor, out=permuted)
        permuted += term
        np.minimum.reduce(permuted, axis=0, out=out[k])
    return out


def mix64(h: Hashes) -> Hashes:
    """MurmurHash3's 64-bit finalizer, in place: afterwards every bit depends on every bit."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        h ^= h >> np.uint64(33)
        h *= np.uint64(factor)
    h ^= h >> np.uint64(33)
    return h


@cache
def _kinds() -> NDArray[np.uint8]:
    """Separator, word or CJK character, for every code point."""
    kinds = np.fromiter((chr(c).isalnum() for c in range(0x110000)), np.uint8, 0x110000)
    for low, high in _CJK_RANGES:
        kinds[low : high + 1] *= _CJK
    return kinds


@cache
def _program_kinds() -> NDArray[np.uint8]:
    """Separator, part of a name or number, or a sign, for every code point."""
    kinds = np.where(_kinds() > 0, _WORD, _SIGN).astype(np.uint8)
    kinds[ord("_")] = _WORD
    kinds[[c for c in range(0x3001) if chr(c).isspace()]] = _SEPARATOR
    return kinds


@cache
def _letters() -> Hashes:
    """A random-looking 64-bit value for every code point."""
    return mix64(np.arange(1, 0x110001, dtype=np.uint64))


@cache
def _powers(size: int, base: int) -> Hashes:
    powers = np.full(size, base, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _codes(text: str) -> NDArray[np.uint8] | NDArray[np.uint32]:
    """Code points; one byte each when the whole text is ASCII, which is twice as fast downstream."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _word_bounds(codes: NDArray[np.uint8] | NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    kinds = np.zeros(len(codes) + 2, dtype=np.uint8)
    np.take(_kinds(), codes, out=kinds[1:-1])
    edge = (kinds[1:] != kinds[:-1]) | (kinds[1:] == _CJK)  # (characters + 1,): a word may begin or end before here
    starts = np.flatnonzero(edge[:-1] & (kinds[1:-1] != _SEPARATOR))
    ends = np.flatnonzero(edge[1:] & (kinds[1:-1] != _SEPARATOR)) + 1
    return starts, ends


def _hash_spans(
    codes: NDArray[np.uint8] | NDArray[np.uint32], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> Hashes:
    """Polynomial hash of each span: a difference of one running sum, moved back by the inverse power of its start."""
    out = np.empty(len(starts), dtype=np.uint64)
    edges = np.searchsorted(starts, np.arange(0, len(codes) + _PIECE, _PIECE))
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        if low < high:
            out[low:high] = _hash_piece(codes, starts[low:high], ends[low:high])
    return mix64(out)


def _hash_piece(
    codes: NDArray[np.uint8] | NDArray[np.uint32], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> Hashes:
    first, size = int(starts[0]), int(ends[-1] - starts[0])
    # Only a word longer than a piece needs more powers than the cached ones.
    powers = _powers(2 * _PIECE, _BASE) if size <= 2 * _PIECE else _powers.__wrapped__(size, _BASE)
    inverses = _powers(_PIECE, _BASE_INVERSE)
    running = np.zeros(size + 1, dtype=np.uint64)
    np.take(_letters(), codes[first : first + size], out=running[1:])
    running[1:] *= powers[:size]
    np.cumsum(running, out=running)
    return (running[ends - first] - running[starts - first]) * inverses[starts - first]


@cache
def _joins_backward(character: str) -> bool:
    """Whether normalization may fuse this character with the one before it: marks, and vowels and finals of Hangul."""
    head = unicodedata.normalize("NFKD", character)[0]
    invisible = INVISIBLE.match(character) is not None
    return invisible or unicodedata.category(head)[0] == "M" or 0x1160 <= ord(head) <= 0x11FF


@cache
def _folded_length(character: str) -> int:
    return len(fold(character))


def _fold_sources(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each folded character, the span of original characters that it came from."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    joins = np.zeros(len(codes), dtype=bool)
    other = np.flatnonzero(codes > 127)
    joins[other] = [_joins_backward(text[k]) for k in other.tolist()]
    joins[0] = False
    joins[1:] &= codes[:-1] != ord("\n")  # with which nothing is fused
    begins = np.flatnonzero(~joins)  # clusters: no rule of NFKC reaches across their borders
    ends = np.append(begins[1:], len(codes))
    lengths = ends - begins
    for k in np.flatnonzero(np.maximum.reduceat(codes, begins) > 127).tolist():
        lengths[k] = _folded_length(text[begins[k]]) if lengths[k] == 1 else len(fold(text[begins[k] : ends[k]]))
    return np.repeat(begins, lengths), np.repeat(ends, lengths)
