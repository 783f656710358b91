"""Differences: two passages side by side, word by word, with what stands on one side only."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

_WORD = re.compile(r"\S+\s*")
_EDGE = re.compile(r"^\W+|\W+$")
_MOST_WORDS = 400

Segments = list[tuple[str, bool]]


def differences(one: str, other: str) -> tuple[Segments, Segments]:
    """Both texts as segments, each with whether it stands on this side only. Case and punctuation at the edges of words
    do not count; beyond _MOST_WORDS words nothing is compared, since the comparison is quadratic."""
    left, right = _WORD.findall(one), _WORD.findall(other)
    if not left or not right or max(len(left), len(right)) > _MOST_WORDS:
        return [(one, False)] * bool(one), [(other, False)] * bool(other)
    blocks = SequenceMatcher(None, _keys(left), _keys(right), autojunk=False).get_opcodes()
    pairs: tuple[Segments, Segments] = ([], [])
    for kind, a, b, c, d in blocks:
        for side, words in zip(pairs, (left[a:b], right[c:d]), strict=True):
            if words:
                side.append(("".join(words), kind != "equal"))
    return pairs


def _keys(words: Sequence[str]) -> list[str]:
    return [_EDGE.sub("", word.strip().casefold()) or word.strip() for word in words]
