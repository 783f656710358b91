"""Slots: what in a question can be exchanged so that its answer changes: numbers, names, else one word."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from math import prod

import numpy as np

NAMES = (
    "Amara Bettina Corwin Delphine Emeka Fiorella Gustav Hanneke Ignatius Jolanda Kasimir Leocadia Matteo Nadine Oswin Priska "
    "Quirin Rosalba Severin Tamsin Ulrich Valeska Wendel Xenia Yorick Zelda"
).split()
"""Names that take the place of others."""

WORDS = "anchor basket candle dolphin engine feather garden harbor island jacket kettle lantern".split()
"""Words that take the place of one, where a question has neither numbers nor names."""

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_PIECE = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
_NAME = re.compile(r"(?<![\w'’])[^\W\d_]{3,}(?!['’]t)")
_LOWER = re.compile(r"(?<![\w'])[a-z]{4,}(?![\w'])")
_COMMON = set(
    "a after all an and are as at because before both but by can complete compute consider did do does during each "
    "every find for from given has have he her his how i if in is it its let many most much name of on one or our she since some "
    "statement suppose that the their there these they this those to was we were what when where which while who whom whose why "
    "will with would you your assume calculate determine evaluate solve two three four five six seven eight nine ten".split()
)
_NOT_SLOTS = frozenset(
    "what which with when where whose there their they this that these those does have from would many".split()
)
_MOST_NUMBERS = 6
_TRIES, _LARGEST = 20, 1e12


def numbers_of(text: str) -> list[str]:
    """The distinct numbers of a text, in order."""
    return list(dict.fromkeys(_NUMBER.findall(text)))


def names_of(text: str) -> list[str]:
    """The distinct words of a text that are written as names: with a capital letter, and no word that begins sentences."""
    found = dict.fromkeys(word for word in _NAME.findall(text) if word[0].isupper() and word[1:].islower())
    return [word for word in found if word.lower() not in _COMMON]


def longest_word(text: str) -> str | None:
    """The longest plain word of a text, the first of several."""
    words = [word for word in _LOWER.findall(text) if word not in _NOT_SLOTS]
    return max(words, key=len, default=None)


def other_numbers(numbers: Sequence[str], rng: np.random.Generator) -> dict[str, str]:
    """For every number another one of as many digits, written alike; none for one of which no other is free."""
    found: dict[str, str] = {}
    for number in numbers:
        for _ in range(_TRIES):
            low = 0 if number[0] == "0" and len(number) > 1 else 1
            digits = [str(rng.integers(0 if k else low, 10)) if c.isdigit() else c for k, c in enumerate(number)]
            drawn = "".join(digits)
            if drawn != number and drawn not in found.values():
                found[number] = drawn
                break
    return found


def other_words(words: Sequence[str], pool: Sequence[str], avoid: str, rng: np.random.Generator) -> dict[str, str]:
    """For every word another one of the pool, none that `avoid` holds, as far as these go."""
    free = [word for word in pool if word not in avoid]
    drawn = rng.permutation(len(free)).tolist()
    return {word: free[k] for word, k in zip(words, drawn, strict=False)}


def exchanged(text: str, change: Mapping[str, str]) -> str:
    """A text with words and numbers exchanged, all at once."""
    return _PIECE.sub(lambda piece: change.get(piece[0], piece[0]), text)


def recomputed(numbers: Sequence[str], answer: str, change: Mapping[str, str]) -> str | None:
    """The answer to a question whose numbers are exchanged, where one step over them leads to the old answer: the sum or product
    of all, or a difference, quotient, sum or product of two. None where none does."""
    right, old = _value(answer), [_value(number) for number in numbers]
    new = [_value(change.get(number, number)) for number in numbers]
    if right is None or not 2 <= len(numbers) <= _MOST_NUMBERS:
        return None
    for then, now in zip(_results(old), _results(new), strict=True):
        if then == right:
            return None if now is None else _written(now)
    return None


def _results(numbers: Sequence[float | None]) -> Iterator[float | None]:
    """What single steps over the numbers lead to, always in the same order."""
    known = [number for number in numbers if number is not None]
    whole = len(known) == len(numbers)
    yield sum(known) if whole else None
    yield prod(known) if whole else None
    for a, b in permutations(numbers, 2):
        if a is None or b is None:
            yield from (None, None, None, None)
        else:
            yield from (a - b, a / b if b else None, a + b, a * b)


def _value(number: str) -> float | None:
    try:
        return float(number.replace(",", "").strip(" $€£%."))
    except ValueError:
        return None


def _written(value: float) -> str | None:
    return str(int(value)) if value.is_integer() and abs(value) < _LARGEST else None
