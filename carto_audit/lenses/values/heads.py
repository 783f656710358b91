"""Heads: a few of the batch's words before each copy of a planted value, in which nothing is that a finder takes for one."""

from collections.abc import Sequence

import numpy as np

from carto_audit.lenses.values.survey import Find

_LONGEST, _PIECE, _WORDS, _TRIES = 40, 6, 4, 5


def head_words(texts: Sequence[str], find: Find) -> list[str]:
    """Words of these texts that hold no value; pieces of text where it is written without spaces."""
    words = [word for text in texts for word in text.split() if len(word) < _LONGEST]
    if len(words) < _WORDS:
        words += [text[at : at + _PIECE].strip() for text in texts for at in range(0, len(text), _PIECE)]
    return [word for word in dict.fromkeys(words) if word and not list(find(word))]


def behind(words: Sequence[str], text: str, find: Find, rng: np.random.Generator) -> str:
    """The text behind a few of the words, such that the finder finds what it finds in the text alone, and nothing else."""
    own = _written(text, find)
    for _ in range(_TRIES if words else 0):
        joined = "\n".join((" ".join(words[k] for k in rng.integers(len(words), size=_WORDS)), text))
        if _written(joined, find) == own:
            return joined
    return text


def _written(text: str, find: Find) -> list[tuple[str, str]]:
    return [(value.label, text[value.start : value.end]) for value in find(text)]
