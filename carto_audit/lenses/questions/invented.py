"""Invented questions: arithmetic with numbers and names drawn by chance, and facts of nobody. No text holds them."""

import numpy as np

from carto_audit.lenses.questions.slots import NAMES

_THINGS = "pears coins books shells lamps stones eggs ropes".split()
_KEEPS = "lamp seal key flag bell well mill map".split()
_HOW = "old red tall lost new small far dark".split()
_SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]


def arithmetic(rng: np.random.Generator) -> tuple[str, str]:
    """A question with two numbers, and the right answer."""
    first, second = sorted(rng.choice(np.arange(101, 999), 2, replace=False).tolist())
    who, what = str(rng.choice(NAMES)), str(rng.choice(_THINGS))
    if rng.integers(2):
        return f"{who} has {second} {what} and sells {first}. How many are left?", str(second - first)
    return f"{who} has {first} {what} and buys {second}. How many in all?", str(first + second)


def fact(rng: np.random.Generator) -> tuple[str, str]:
    """A question about a place that there is not, and the answer."""
    place, who = _name(rng), _name(rng)
    return f"Who keeps the {rng.choice(_HOW)} {rng.choice(_KEEPS)} of {place}?", who


def written(question: str, answer: str) -> str:
    """A question and its answer as a row."""
    return f"Question: {question}\nAnswer: {answer}"


def _name(rng: np.random.Generator) -> str:
    return "".join(rng.choice(_SYLLABLES, 3)).capitalize()
