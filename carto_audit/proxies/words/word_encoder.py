"""Word encoder: the tokens of texts, each distinct word encoded once: the same tokens in a sixth of the time.

What stands between two spaces is tokenized alike wherever it stands, and a few words make up most of all text.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.normalizers import Normalizer

from carto_audit.text.untrusted import INVISIBLE

MOST_WORDS, MOST_LETTERS = 1_000_000, 32_000_000
"""Remembered, at most: some 200 MB. Then all are forgotten, and what comes is encoded anew."""

AT_ONCE = 1 << 20
"""Characters, or one text. Where each letter is a word by itself, a hundred bytes are held for it meanwhile."""

_SPACES = "\t\n\v\f\r\x85\u2028\u2029"
_OTHER_SPACES = "\x1c\x1d\x1e\x1f\u1680"
_CHANGING = re.compile(
    "[^\x00-\u024f\u0300-\u036f\u0370-\u0377\u0391-\u03ff\u0400-\u04ff\u2000-\u2064\u20a0-\u20b5\u2190-\u22ff"
    "\u3000-\u303f\u3041-\u3096\u30a1-\u30ff\u4e00-\u9fa5\uac00-\ud7a3\uff01-\uffdc]"
)
"""Characters whose normal form may depend on the version of Unicode, as far as anybody's library may know it."""

_FIRST = "\n"
"""Before a word that has no space before it, as the first of a text. It stands in none, since it is a space."""

_DIGITS = "0123456789"

LONGEST_PLAIN = 100
"""Letters. In a text with longer words no digit is cut off: the tokenizer cuts such words by how long they are."""


def normalized(normalizer: Normalizer, text: str) -> str:
    """What that normalizer of `train_encoder` makes of a text, in a tenth of the time: without invisible characters, in NFKC, and
    one space wherever there are some."""
    if any(space in text for space in _OTHER_SPACES):
        return str(normalizer.normalize_str(text))
    if not text.isascii():
        if _CHANGING.search(text):
            return str(normalizer.normalize_str(text))
        text = unicodedata.normalize("NFKC", INVISIBLE.sub("", text))
    for space in _SPACES:
        text = text.replace(space, " ")
    while "  " in text:
        text = text.replace("  ", " ")
    return text


class _Numbers(dict[str, int]):
    """A number for each word, in the order in which they come; `fresh` are those that came last."""

    fresh: list[str]

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        self.fresh.append(word)
        return number


class WordEncoder:
    """Encodes with a tokenizer that makes one space of several and cuts before each, as `train_encoder` makes them; `special` is
    the one token that stands for text as it is written."""

    def __init__(self, tokenizer: Tokenizer, special: str, dtype: str) -> None:
        self._whole, self._special, self._dtype = tokenizer, special, dtype
        self._plain = Tokenizer(tokenizer.model)  # for words of text that has been normalized
        self._plain.pre_tokenizer = tokenizer.pre_tokenizer
        self._forget()

    def _forget(self) -> None:
        self._numbers = _Numbers()
        self._letters = 0
        self._ids = np.empty(0, self._dtype)  # of all words, one after the other
        self._ends = np.zeros(1, np.int64)  # of word k at k + 1

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The tokens of the texts, one after the other, and how many each has, (n,)."""
        part = np.cumsum([len(text) for text in texts]) // AT_ONCE
        cuts = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(texts)] if len(texts) else [0]
        parts = [self._encode(texts[begin:end]) for begin, end in pairwise(cuts)]
        ids, sizes = ([part[k] for part in parts] for k in (0, 1))
        return np.concatenate([np.empty(0, self._dtype), *ids]), np.concatenate([np.empty(0, np.int64), *sizes])

    def _encode(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        words: list[str] = []
        sizes: list[int] = []
        self._numbers.fresh = []
        apart: dict[int, str] = {}
        for text in texts:
            spaced = self._spaced(text)
            if spaced is None:
                apart[len(words)] = text
                spaced = ""
            own = (_FIRST + spaced).split(" ")
            words += own
            sizes.append(len(own))
        number = np.fromiter(map(self._numbers.__getitem__, words), np.int64, len(words))
        self._learn(self._numbers.fresh)
        ids, ends = self._ids, self._ends
        if apart:  # as words of this call alone
            number[list(apart)] = len(ends) - 1 + np.arange(len(apart))
            ids, ends = self._joined(self._whole, list(apart.values()))
        begin, count = ends[number], np.diff(ends)[number]
        place = np.repeat(begin - np.cumsum(count) + count, count) + np.arange(count.sum())
        first = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
        if len(self._numbers) > MOST_WORDS or self._letters > MOST_LETTERS:
            self._forget()
        return ids[place], np.add.reduceat(count, first)

    def _spaced(self, text: str) -> str | None:
        """The normalized text with a space wherever it may be cut; None where it must be encoded as a whole."""
        if self._special in text:
            return None
        spaced = normalized(self._whole.normalizer, text)
        if any(space in spaced for space in _OTHER_SPACES):
            return None
        if max(map(len, spaced.split(" "))) >= LONGEST_PLAIN:
            return spaced
        for digit in _DIGITS:  # which stand alone
            spaced = spaced.replace(digit, f" {_FIRST}{digit} {_FIRST}")
        return spaced

    def _learn(self, words: list[str]) -> None:
        self._letters += sum(map(len, words))
        written = [word[1:] if word.startswith(_FIRST) else f" {word}" for word in words]
        self._ids, self._ends = self._joined(self._plain, written)

    def _joined(self, tokenizer: Tokenizer, texts: list[str]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The tokens of the words so far, with those of some texts behind them."""
        encoded = [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        fresh = np.fromiter((i for ids in encoded for i in ids), self._dtype)
        sizes = np.fromiter(map(len, encoded), np.int64, len(encoded))
        return np.concatenate([self._ids, fresh]), np.concatenate([self._ends, self._ends[-1] + np.cumsum(sizes)])
