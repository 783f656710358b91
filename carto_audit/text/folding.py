"""Folding: the one comparison key that both sides of every comparison share, with the way back to the delivered text."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from carto_audit.text.lookalikes import LOOKALIKES
from carto_audit.text.untrusted import INVISIBLE

KEY = "nfkc-casefold-bare-then-lookalikes"
"""Names the key; what was made under another one, or another version of Unicode, must not be compared."""

Codes = NDArray[np.uint8] | NDArray[np.uint32]

_SPACES = "\t\n\v\f\r\x85"
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_CONTROLS = bytes(code for code in range(128) if _CONTROL.match(chr(code)))
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Mc", "Me"})
_NOT_SPELLING = "\u0640\u07fa\ufffc\ufffd"  # letters that only stretch a word, and what stands for something lost
_IOTA_BELOW = "\u0345"  # a mark that casefold would make a letter
_LAST_LETTER = 0x32400  # the planes above hold no letters


def fold(text: str) -> str:
    """Compatibility forms and case undone; without marks and characters that are no text; lookalikes as ASCII.

    Dropped are control, format, private-use, unassigned and replacement characters, and all marks: accents, vowel signs,
    points. A character that is drawn like an ASCII letter or digit becomes it, and other signs outside ASCII a space: a text in
    Latin letters is ASCII then, which takes half the time. The length may change; `fold_sources` leads
    back to the original characters.
    """
    if text.isascii():
        return (_CONTROL.sub("", text) if _CONTROL.search(text) else text).lower()
    folded = _compatible(text).casefold()
    codes = np.frombuffer(folded.encode("utf-32-le", "surrogatepass"), np.uint32)
    bare = _key()[codes]
    return bare[bare > 0].tobytes().decode("utf-32-le")


def fold_all(texts: Sequence[str]) -> list[str]:
    """`fold` of each text; in a fraction of the time where none has anything but printed ASCII and line ends."""
    folded = [text.lower() if text.isascii() else fold(text) for text in texts]
    letters = "".join(folded).encode("utf-8", "replace")
    return folded if len(letters.translate(None, _CONTROLS)) == len(letters) else [fold(text) for text in texts]


def fold_sources(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each folded character, the span of original characters that it came from."""
    if not text:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    changes = (codes > 127) | (codes < 32) | (codes == 127)
    joins = np.zeros(len(codes), dtype=bool)
    other = np.flatnonzero(changes)
    joins[other] = [_joins_backward(text[k]) for k in other.tolist()]
    joins[0] = False
    joins[1:] &= codes[:-1] != ord("\n")  # with which nothing is fused
    begins = np.flatnonzero(~joins)  # clusters: no rule of NFKC reaches across their borders
    ends = np.append(begins[1:], len(codes))
    lengths = ends - begins
    for k in np.flatnonzero(np.maximum.reduceat(changes, begins)).tolist():
        lengths[k] = _folded_length(text[begins[k]]) if lengths[k] == 1 else len(fold(text[begins[k] : ends[k]]))
    return np.repeat(begins, lengths), np.repeat(ends, lengths)


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKC", INVISIBLE.sub("", text)).replace(_IOTA_BELOW, "")


@cache
def _joins_backward(character: str) -> bool:
    """Whether normalization may fuse this character with the one before it: marks, and vowels and finals of Hangul."""
    head = unicodedata.normalize("NFKD", character)[0]
    invisible = INVISIBLE.match(character) is not None
    return invisible or unicodedata.category(head)[0] == "M" or 0x1160 <= ord(head) <= 0x11FF


@cache
def _folded_length(character: str) -> int:
    return len(fold(character)) if ord(character) > 127 else len(_CONTROL.sub("", character))


@cache
def _key() -> NDArray[np.uint32]:
    """What each folded code point is compared as; 0 drops it."""
    key = np.zeros(0x110000, dtype=np.uint32)
    key[:_LAST_LETTER] = np.arange(_LAST_LETTER)
    for code in range(_LAST_LETTER):
        character = chr(code)
        category = unicodedata.category(character)
        is_modifier = 0x02B9 <= code <= 0x02FF and not unicodedata.decomposition(character)
        if (category in _DROPPED and character not in _SPACES) or character in _NOT_SPELLING or is_modifier:
            key[code] = 0
        elif category == "Nd":
            key[code] = ord(str(unicodedata.digit(character)))
        elif code > 127 and not 0xAC00 <= code <= 0xD7A3 and unicodedata.decomposition(character):
            key[code] = _base(character)
    for character, like in zip(LOOKALIKES[::2], LOOKALIKES[1::2], strict=True):
        key[ord(character)] = ord(like)
    key[[c for c in range(128, _LAST_LETTER) if key[c] == c and not chr(c).isalnum()]] = ord(" ")
    return key[key]  # what becomes of a character without accents becomes of it with them


def _base(character: str) -> int:
    """A letter without its accents, where one character is left."""
    bare = [c for c in unicodedata.normalize("NFKD", character) if unicodedata.category(c)[0] != "M"]
    return ord(bare[0]) if len(bare) == 1 else ord(character)
