"""Ciphers: stretches of a text whose letters were exchanged or put in another order, told by the frequent words they hold."""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from carto_audit.text.folding import fold
from carto_audit.text.views.reading import Reading
from carto_audit.text.words import Ragged, hash_words, word_spans

Int = NDArray[np.int64]

_LEAST_MARKERS = 3
"""Different frequent words of English that must stand near each other under a cipher."""

_CELL = 40
"""Words; a place is two cells, and what is read is one more on both sides."""

_MOST = 8
"""Ciphers that are undone in one place; no place can hold the frequent words of all."""

_MARKERS = (
    "the and for how many she her his with that each are was what which from they all have this not did were following "
    "when would their there been will your about into than only other some time these two may then first any over most "
    "under between same does where who statement true because after before has had more much per day total"
).split()
_LOWER = string.ascii_lowercase
_KEYS, _NEXT_KEYS = "qwertyuiopasdfghjklzxcvbnm", "wertyuiopqsdfghjklaxcvbnmz"
_UPRIGHT = "abcdefghijklmnopqrtuvwyz"
_FLIPPED = "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹʇnʌʍʎz"
_DOUBLED = re.compile(r"([^\W\d_])\1")
_WORD_OR_NOT = re.compile(r"([^\W_]+)|[\W_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cipher:
    """A table that leads from written letters to the ones that were meant, and whether the text stands in reverse."""

    name: str
    table: dict[int, int]
    is_reversed: bool = False
    doubles: bool = False

    def written(self, word: str) -> str:
        """A word under the cipher."""
        written = word.translate({plain: code for code, plain in self.table.items() if chr(plain).islower()})
        written = written[::-1] if self.is_reversed else written
        return "".join(c + c for c in written) if self.doubles else written


@cache
def _ciphers() -> tuple[dict[int, int], list[_Cipher]]:
    """Which cipher the hash of a word is a marker of, and the ciphers."""
    found = [_Cipher(name=f"rot{shift}", table=_alphabet(_LOWER[shift:] + _LOWER[:shift])) for shift in range(1, 26)]
    found += [
        _Cipher(name="atbash", table=_alphabet(_LOWER[::-1])),
        _Cipher(name="reversed", table={}, is_reversed=True),
        _Cipher(name="rot47", table={33 + (k + 47) % 94: 33 + k for k in range(94)}),
        _Cipher(name="shifted keys", table=str.maketrans(_NEXT_KEYS + _NEXT_KEYS.upper(), _KEYS + _KEYS.upper())),
        _Cipher(name="shifted keys", table=str.maketrans(_KEYS + _KEYS.upper(), _NEXT_KEYS + _NEXT_KEYS.upper())),
        _Cipher(name="upside down", table=str.maketrans(_FLIPPED, _UPRIGHT), is_reversed=True),
        _Cipher(name="doubled letters", table={}, doubles=True),
    ]
    words: dict[int, int] = {}
    for number, cipher in enumerate(found):
        hashes = hash_words([cipher.written(word) for word in _MARKERS])
        single = hashes.offsets[:-1][np.diff(hashes.offsets) == 1]  # under some ciphers a word falls apart
        for value in hashes.values[single].tolist():
            words.setdefault(value, number)
    for value in hash_words(_MARKERS).values.tolist():
        words.pop(value, None)
    return words, found


def _alphabet(cipher: str) -> dict[int, int]:
    """What undoes the cipher that writes the letter `cipher[k]` for the k-th letter."""
    return str.maketrans(cipher + cipher.upper(), _LOWER + _LOWER.upper())


@dataclass(frozen=True, slots=True, kw_only=True)
class Ciphered:
    """Stretches of a text, each from one word to another, that seem to be in a cipher, which is given by its number."""

    text: int
    cipher: int
    stretches: tuple[tuple[int, int], ...]


def ciphers_of(words: Ragged) -> Iterator[Ciphered]:
    """Where texts, given by the hashes of their words, hold enough frequent words under a cipher near each other."""
    markers, _ = _ciphers()
    known = np.array(sorted(markers), dtype=np.uint64)
    may_be = np.zeros(1 << 16, dtype=bool)  # by the first bits, so that most words cost one look
    may_be[known >> np.uint64(48)] = True
    maybe = np.flatnonzero(may_be[words.values >> np.uint64(48)])
    hits = maybe[np.isin(words.values[maybe], known)]
    owner = np.searchsorted(words.offsets, hits, side="right") - 1
    cell = (hits - words.offsets[owner]) // _CELL
    held: dict[tuple[int, int], dict[int, set[int]]] = {}  # by text and first cell of a place: of each cipher
    for text, second, value in zip(owner.tolist(), cell.tolist(), words.values[hits].tolist(), strict=True):
        for first in {max(0, second - 1), second}:
            held.setdefault((text, first), {}).setdefault(markers[value], set()).add(value)
    places: dict[tuple[int, int], list[int]] = {}
    for (text, first), distinct in sorted(held.items()):
        likely = sorted((-len(found), cipher) for cipher, found in distinct.items() if len(found) >= _LEAST_MARKERS)
        for _, cipher in likely[:_MOST]:
            places.setdefault((text, cipher), []).append(first)
    for (text, cipher), cells in places.items():
        size = int(words.offsets[text + 1] - words.offsets[text])
        yield Ciphered(text=text, cipher=cipher, stretches=tuple(_stretches(cells, size)))


def _stretches(cells: list[int], size: int) -> Iterator[tuple[int, int]]:
    """The words of the places that begin at some cells, with a cell on both sides; those that touch are one."""
    low, high = 0, 0
    for cell in cells:
        begin, end = max(0, (cell - 1) * _CELL), min(size, (cell + 3) * _CELL)
        if begin > high:
            if high:
                yield low, high
            low = begin
        high = end
    yield low, high


def deciphered(reading: Reading, found: Ciphered) -> Iterator[Reading]:
    """The stretches of a text with their cipher undone; where words stand in reverse, their order may or may not."""
    cipher = _ciphers()[1][found.cipher]
    places = _characters(reading.text, found.stretches)
    touched = int(places[0]), int(places[-1]) + 1
    own = "".join(reading.text[k] for k in places.tolist())
    if cipher.doubles:
        yield reading.reordered(cipher.name, places, own, touched).substituted(cipher.name, _DOUBLED, lambda m: m[1])
        return
    text = own.translate(cipher.table | _as_drawn(own, cipher.table))
    if cipher.is_reversed:
        yield reading.reordered(cipher.name, places[::-1], text[::-1], touched)
    else:
        yield reading.reordered(cipher.name, places, text, touched)
    if cipher.is_reversed and not cipher.table:
        order = np.concatenate(
            [np.arange(m.start(), m.end())[:: -1 if m[1] else 1] for m in _WORD_OR_NOT.finditer(own)]
        )
        text = "".join(own[k] for k in order.tolist())
        yield reading.reordered("words reversed", places[order], text, touched)


def _characters(text: str, stretches: tuple[tuple[int, int], ...]) -> Int:
    """Where the characters of some stretches of words stand, with those between them and the words beside them."""
    spans = word_spans(text)
    begins, ends = np.append(0, spans[:, 1]), np.append(spans[:, 0], len(text))
    parts = [np.arange(begins[low], ends[high], dtype=np.int64) for low, high in stretches]
    return np.unique(np.concatenate(parts))


def _as_drawn(text: str, table: dict[int, int]) -> dict[int, int]:
    """What a table makes of the letters of a text that are drawn like one of ASCII."""
    drawn = {ord(c): fold(c) for c in set(text) if ord(c) > 127 and ord(c) not in table}
    return {code: table[ord(like)] for code, like in drawn.items() if len(like) == 1 and ord(like) in table}
