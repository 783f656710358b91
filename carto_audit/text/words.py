"""Words: the one normalization that both sides of every comparison share, hashed for a chunk of texts at once."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from carto_audit.text.folding import KEY, Codes, fold, fold_all, fold_sources

HASHES = f"{KEY}/cjk1-hangul2-unspaced3-long/poly64/affine32"
"""Names the normalization and hash functions; values made under different names must not be compared."""

_BASE = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2**64
_BASE_INVERSE = pow(_BASE, -1, 1 << 64)
_GRAM_BASE = np.uint64(0xD1B54A32D192ED03)
_PIECE = 1 << 16  # characters hashed at once: 512 KB of uint64 stays in the second-level cache

_SEPARATOR, _WORD, _CJK, _HANGUL, _UNSPACED, _SIGN = range(6)
_SCRIPTS = {
    _CJK: ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF)),
    _HANGUL: ((0xAC00, 0xD7A3),),
    # Thai, Lao, Tibetan, Burmese, Khmer: no spaces between words, or between syllables only
    _UNSPACED: ((0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF)),
}
_RUN = {_HANGUL: 2, _UNSPACED: 3}
"""Letters in a word of these scripts: each letter begins one, whatever spaces stand between. Korean spaces come and go."""

_LONGEST = 40
"""Letters. A longer word (base64, a genome, a sentence without spaces) is cut where its own letters say so."""

_CUT = 8  # one letter in so many ends a part of a long word

_HASH_BYTES = 8

_DIGITS = re.compile("[0-9]+")
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


def is_number(word: str) -> bool:
    """Whether a folded word is a number: digits, or an English numeral other than "one", which is a pronoun too."""
    return word.isdecimal() or word in _NUMERALS


def unglued(hashes: Hashes, written: Sequence[str], known: Hashes) -> tuple[Hashes, list[str]]:
    """Words in which digits stand beside letters as the first number in each, except where a word itself is known."""
    hashes, written = hashes.copy(), list(written)
    for k in np.flatnonzero(~np.isin(hashes, known)).tolist():
        word = fold(written[k])
        if not word.isdecimal() and (number := _DIGITS.search(word)):
            hashes[k], written[k] = hash_words([number[0]]).values[0], number[0]
    return hashes, written


def is_letter_run(word: str) -> bool:
    """Whether a folded word is one of a script whose words are made of a fixed number of letters."""
    return bool(word) and int(_kinds()[ord(word[0])]) > _WORD


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedWords:
    """The words of some texts, as spans of their folded code points.

    `first` and `last` are the first and the last folded character of each word: they differ from `starts` and `ends` where
    spaces that do not count were left out of `codes`. Text `k` has the words `offsets[k]` to `offsets[k + 1]`, and ends before
    the code `text_ends[k]`.
    """

    codes: Codes
    kinds: NDArray[np.uint8]  # of each code: 0 separates words
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    offsets: NDArray[np.int64]
    text_ends: NDArray[np.int64]

    def hashed(self) -> Ragged:
        """The hash of each word, which depends on its folded characters only."""
        return Ragged(values=_hash_spans(self.codes, self.starts, self.ends), offsets=self.offsets)

    def hashed_on(self, letters: int) -> Hashes:
        """The hash of so many folded characters from the start of each word on, whatever they are; at the end of a text of those
        that are left."""
        ends = np.minimum(self.starts + letters, np.repeat(self.text_ends - 1, np.diff(self.offsets)))
        return _hash_spans(self.codes, self.starts, ends)

    def opens_run(self) -> NDArray[np.bool_]:
        """Which words begin a run of letters and digits. The others are later parts of a run that was cut for its length."""
        of_run = self.kinds[self.starts] == _WORD
        opens = np.ones(len(self.starts), dtype=bool)
        opens[1:] = (self.starts[1:] != self.ends[:-1]) | ~of_run[1:] | ~of_run[:-1]
        return opens


def find_words(texts: Sequence[str]) -> FoldedWords:
    """The words of each text. A word is one CJK or kana character, two letters of Hangul or three of a script without
    spaces, which overlap, else a run of letters and digits."""
    folded = fold_all(texts)
    text_ends = np.cumsum(np.fromiter((len(text) + 1 for text in folded), np.int64, len(folded)))
    return _find_words(_codes("\n".join(folded)), text_ends)


def hash_words(texts: Sequence[str]) -> Ragged:
    """Word hashes of each text: not dependent on the text around it, the chunk or the machine."""
    return find_words(texts).hashed()


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
    words = _find_words(_codes(folded), np.array([len(folded) + 1], dtype=np.int64))
    if len(folded) == len(text) and text.isascii():
        return np.stack([words.first, words.last + 1], axis=1)
    source_starts, source_ends = fold_sources(text)
    return np.stack([source_starts[words.first], source_ends[words.last]], axis=1)


def spans_of_words(texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """`word_spans` of each text. For many short texts of ASCII at once it takes a third of the time."""
    if not all(text.isascii() for text in texts):
        return [word_spans(text) for text in texts]
    spans = word_spans("\n".join(texts))
    ends = np.cumsum(np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts)))
    begins = np.concatenate(([0], ends[:-1]))
    edges = np.searchsorted(spans[:, 0], ends[:-1])
    return [part - begin for part, begin in zip(np.split(spans, edges), begins.tolist(), strict=True)]


def words_span(text: str) -> tuple[int, int]:
    """Where the first word of a text begins and its last one ends; there must be one."""
    if not text.isascii() or not text.isprintable():
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


def mix64(h: Hashes) -> Hashes:
    """MurmurHash3's 64-bit finalizer, in place: afterwards every bit depends on every bit."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        h ^= h >> np.uint64(33)
        h *= np.uint64(factor)
    h ^= h >> np.uint64(33)
    return h


@cache
def _kinds() -> NDArray[np.uint8]:
    """Separator, word, or a script of its own, for every code point."""
    kinds = np.fromiter((chr(c).isalnum() for c in range(0x110000)), np.uint8, 0x110000)
    for kind, ranges in _SCRIPTS.items():
        for low, high in ranges:
            kinds[low : high + 1] *= kind
    return kinds


@cache
def _program_kinds() -> NDArray[np.uint8]:
    """Separator, part of a name or number, or a sign, for every code point."""
    kinds = np.where(_kinds() > 0, _WORD, _SIGN).astype(np.uint8)
    kinds[ord("_")] = _WORD
    kinds[[c for c in range(0x3001) if chr(c).isspace()]] = _SEPARATOR
    return kinds


@cache
def letter_values() -> Hashes:
    """A random-looking 64-bit value for every code point."""
    return mix64(np.arange(1, 0x110001, dtype=np.uint64))


@cache
def _powers(size: int, base: int) -> Hashes:
    powers = np.full(size, base, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _codes(text: str) -> Codes:
    """Code points; one byte each when the whole text is ASCII, which is twice as fast downstream."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _find_words(codes: Codes, text_ends: NDArray[np.int64]) -> FoldedWords:
    """The words of some folded texts, each of which ends before one of `text_ends`."""
    kinds = np.take(_kinds(), codes)
    place: NDArray[np.int64] | None = None
    ends_at = text_ends
    if codes.dtype != np.uint8 and (kinds >= _HANGUL).any():
        place = np.flatnonzero(~_idle(kinds, text_ends))
        codes, kinds = codes[place], kinds[place]
        ends_at = np.searchsorted(place, text_ends).astype(np.int64)
    border = np.ones(len(codes) + 1, dtype=bool)  # a word may begin or end before here
    border[1:-1] = (kinds[1:] != kinds[:-1]) | (kinds[1:] == _CJK)
    starts = np.flatnonzero(border[:-1] & (kinds != _SEPARATOR))
    ends = np.flatnonzero(border[1:] & (kinds != _SEPARATOR)) + 1
    starts, ends = _cut_long(codes, *_cut_runs(kinds, starts, ends))
    return FoldedWords(
        codes=codes,
        kinds=kinds,
        starts=starts,
        ends=ends,
        first=starts if place is None else place[starts],
        last=ends - 1 if place is None else place[ends - 1],
        offsets=np.concatenate(([0], np.searchsorted(starts, ends_at))).astype(np.int64),
        text_ends=ends_at,
    )


def _idle(kinds: NDArray[np.uint8], text_ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Separators between two letters of one of the scripts whose spaces do not count, within one text."""
    letters = np.flatnonzero(kinds != _SEPARATOR)
    gaps = np.flatnonzero((np.diff(letters) > 1) & (kinds[letters[:-1]] >= _HANGUL) & (np.diff(kinds[letters]) == 0))
    begins, ends = letters[gaps] + 1, letters[gaps + 1]
    same = np.searchsorted(text_ends, begins, side="right") == np.searchsorted(text_ends, ends, side="right")
    change = np.zeros(len(kinds) + 1, dtype=np.int64)
    change[begins[same]] += 1
    change[ends[same]] -= 1
    return np.cumsum(change[:-1]) > 0


def _cut_runs(
    kinds: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Runs of scripts that have words of so many letters as overlapping words; a shorter run is one word."""
    if not (kinds[starts] >= _HANGUL).any():
        return starts, ends
    size = np.ones(len(starts), dtype=np.int64)
    length = ends - starts
    for kind, letters in _RUN.items():
        size = np.where(kinds[starts] == kind, np.minimum(letters, length), size)
    is_run = kinds[starts] >= _HANGUL
    counts = np.where(is_run, length - size + 1, 1)
    owner = np.repeat(np.arange(len(starts)), counts)
    begin = starts[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return begin, np.where(is_run[owner], begin + size[owner], ends[owner])


def _cut_long(
    codes: Codes, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Words above _LONGEST letters in parts: where they are cut depends on the four letters before, so that a changed letter
    changes a part or two."""
    long = np.flatnonzero(ends - starts > _LONGEST)
    if not len(long):
        return starts, ends
    cuts = [np.empty(0, np.int64)]
    for k in long.tolist():
        grams = ngram_hashes(np.take(letter_values(), codes[starts[k] : ends[k]]), 4)
        cuts.append(starts[k] + 4 + np.flatnonzero(grams[:-1] % np.uint64(_CUT) == 0))
    inner = np.concatenate(cuts)
    place = np.searchsorted(starts, inner)
    return np.insert(starts, place, inner), np.insert(ends, place - 1, inner)


def _hash_spans(codes: Codes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Hashes:
    """Polynomial hash of each span: a difference of one running sum, moved back by the inverse power of its start."""
    out = np.empty(len(starts), dtype=np.uint64)
    edges = np.searchsorted(starts, np.arange(0, len(codes) + _PIECE, _PIECE))
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        if low < high:
            out[low:high] = _hash_piece(codes, starts[low:high], ends[low:high])
    return mix64(out)


def _hash_piece(codes: Codes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Hashes:
    first, size = int(starts[0]), int(ends[-1] - starts[0])
    # Only a word longer than a piece needs more powers than the cached ones.
    powers = _powers(2 * _PIECE, _BASE) if size <= 2 * _PIECE else _powers.__wrapped__(size, _BASE)
    inverses = _powers(_PIECE, _BASE_INVERSE)
    running = np.zeros(size + 1, dtype=np.uint64)
    np.take(letter_values(), codes[first : first + size], out=running[1:])
    running[1:] *= powers[:size]
    np.cumsum(running, out=running)
    return (running[ends - first] - running[starts - first]) * inverses[starts - first]
