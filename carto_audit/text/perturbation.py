"""Perturbation: a text with some words exchanged for others of equal frequency. Costs no dictionary and no model."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from carto_audit.text.words import word_spans

SHARE = 0.15
"""Of the words, so many are exchanged. The more, the easier any reader tells the original, whether it knows it or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The words of some texts by frequency class: the binary logarithm of how often one occurs, rounded down.

    Words of one class exchange for one another. A dictionary of synonyms would keep the meaning, but there is none for
    every language, program and trade that a benchmark may be about; and it is the exact words that a proxy remembers.
    """

    classes: Mapping[int, Sequence[str]]
    class_of: Mapping[str, int]


def count_words(texts: Iterable[str]) -> Vocabulary:
    """The vocabulary of these texts, in any case. Numbers are left out: they exchange for numbers."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word in (text[a:b].casefold() for a, b in word_spans(text).tolist()) if word.isalpha())
    class_of = {word: count.bit_length() - 1 for word, count in counts.items()}
    classes: dict[int, list[str]] = {}
    for word in sorted(class_of):
        classes.setdefault(class_of[word], []).append(word)
    return Vocabulary(classes=classes, class_of=class_of)


def reword(text: str, vocabulary: Vocabulary, count: int, rng: np.random.Generator) -> list[str]:
    """`count` different rewordings of a text; none where so many cannot be made. Everything but the words stays as it is.

    A word that the vocabulary lacks counts as one that occurs once.
    """
    spans = [(a, b) for a, b in word_spans(text).tolist() if _is_exchangeable(text[a:b], vocabulary)]
    exchanged = max(1, round(SHARE * len(spans)))
    found: dict[str, None] = {}
    for _ in range(2 * count if spans else 0):
        chosen = sorted(rng.choice(len(spans), exchanged, replace=False).tolist())
        parts, end = [], 0
        for a, b in (spans[k] for k in chosen):
            parts += [text[end:a], _other(text[a:b], vocabulary, rng)]
            end = b
        found["".join([*parts, text[end:]])] = None
    return list(found)[:count] if len(found) >= count else []


def _is_exchangeable(word: str, vocabulary: Vocabulary) -> bool:
    return _is_number(word) or len(_class(word, vocabulary)) > 1


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal()


def _class(word: str, vocabulary: Vocabulary) -> Sequence[str]:
    """The words that may stand for this one; none for what is neither a word nor a number."""
    return vocabulary.classes.get(vocabulary.class_of.get(word.casefold(), 0), ()) if word.isalpha() else ()


def _other(word: str, vocabulary: Vocabulary, rng: np.random.Generator) -> str:
    """Another word of the same class and case, or another number of as many digits."""
    if _is_number(word):
        first = int(rng.integers(1, 10)) if word[0] != "0" else 0
        digits = str(first) + "".join(str(digit) for digit in rng.integers(0, 10, len(word) - 1))
        return digits if digits != word else digits[:-1] + str(9 - int(digits[-1]))
    alike = _class(word, vocabulary)
    at = int(rng.integers(len(alike) - 1))
    other = alike[at] if alike[at] != word.casefold() else alike[-1]
    return other.upper() if len(word) > 1 and word.isupper() else other.capitalize() if word[:1].isupper() else other
