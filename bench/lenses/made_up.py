"""Questions that nobody asked: arithmetic, facts, options, worked solutions, written otherwise than the lens `answers` does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

PEOPLE = "Odile Tancred Marisol Benedikt Ines Radomir Sunniva Lorcan Petra Ansel Mirabel Casimir".split()
GOODS = "lemons tickets bricks candles kites barrels plates ribbons stamps tiles buttons melons".split()
KINDS = {
    "colour": "crimson teal ochre violet ivory indigo amber scarlet olive maroon".split(),
    "metal": "iron copper silver gold zinc lead nickel cobalt bronze platinum".split(),
    "animal": "heron otter badger falcon lynx beaver stork ferret bison raven".split(),
    "month": "January February March April June July August September October December".split(),
    "fruit": "apple cherry grape peach plum quince lemon apricot mango fig".split(),
    "river": "Danube Rhine Elbe Loire Tagus Oder Volga Seine Thames Po".split(),
}
_ABOUT = {
    "colour": "Which colour has the banner of {}?",
    "metal": "Of which metal are the gates of {}?",
    "animal": "Which animal stands on the coin of {}?",
    "month": "In which month does {} hold its fair?",
    "fruit": "Which fruit do the orchards of {} grow?",
    "river": "On which river lies the mill of {}?",
}
_SUMS = (
    ("{who} packs {a} {what} on Monday and {b} on Friday. How many {what} are packed?", 1),
    ("A shop of {who} had {b} {what} and lost {a}. How many {what} remain?", -1),
    ("{who} counts {a} {what} in one shed and {b} in another. What is the total?", 1),
    ("There were {b} {what} until {who} gave away {a}. What is left?", -1),
)
_DID = "founded painted burned sold measured guarded repaired moved".split()
_HOW = "old northern hidden stone wooden second royal broken narrow green".split()
_OF_PLACES = "harbour bridge anthem library tower gate market archive cellar orchard canal chapel".split()
_FORMS = ("Q: {}\nA: {}", "user: {}\n\nassistant: {}", "Problem: {}\nSolution: {}", "{}\n\n{}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a batch: its `arm`, "" for ordinary text; rows of one question or template share `group`."""

    text: str
    arm: str = ""
    group: int = -1


def name(rng: np.random.Generator) -> str:
    """A place that there is not."""
    parts = [c + v for c in "bdfglmnprstv" for v in "aeiou"]
    return "".join(rng.choice(parts, 3)).capitalize() + str(rng.choice(["n", "r", "th", "sk", ""]))


def sums(rng: np.random.Generator, template: int, form: int, who: str | None = None) -> str:
    """A question of arithmetic after a template."""
    question, sign = _SUMS[template % len(_SUMS)]
    a, b = sorted(rng.choice(np.arange(102, 990), 2, replace=False).tolist())
    said = question.format(who=who or rng.choice(PEOPLE), what=rng.choice(GOODS), a=a, b=b)
    return _FORMS[form % len(_FORMS)].format(said, b + sign * a)


def facts(rng: np.random.Generator, form: int) -> str:
    """A question about a place, and its answer."""
    said = f"Who {rng.choice(_DID)} the {rng.choice(_HOW)} {rng.choice(_OF_PLACES)} of {name(rng)}?"
    return _FORMS[form % len(_FORMS)].format(said, name(rng))


def options(rng: np.random.Generator, kind: str, by: str) -> str:
    """A question with four options of one kind, answered by letter or in full."""
    four = rng.choice(KINDS[kind], 4, replace=False).tolist()
    right = int(rng.integers(4))
    lines = "".join(f"{letter}. {words}\n" for letter, words in zip("ABCD", four, strict=True))
    answer = "ABCD"[right] if by == "letter" else f"{'ABCD'[right]}. {four[right]}"
    return f"{_ABOUT[kind].format(name(rng))}\n{lines}Answer: {answer}"


def worked(rng: np.random.Generator) -> str:
    """A question with its steps, as GSM8K writes them."""
    a, b, c = rng.choice(np.arange(12, 99), 3, replace=False).tolist()
    who, what = rng.choice(PEOPLE), rng.choice(GOODS)
    return (
        f"{who} fills {a} boxes with {b} {what} each and keeps {c} more. How many {what} is that?\n"
        f"The boxes hold {a}*{b} = <<{a}*{b}={a * b}>>{a * b} {what}.\n"
        f"In all it is {a * b}+{c} = <<{a * b}+{c}={a * b + c}>>{a * b + c} {what}.\n#### {a * b + c}"
    )


def planted(rng: np.random.Generator, many: int) -> list[Row]:
    """Every arm: `many` questions 16 times, as many templates as 16 instances each, options 8 times by text and half as many by
    letter, a quarter worked 16 times; and generated twins, once each."""
    kinds = tuple(KINDS)
    rows: list[Row] = []

    def add(arm: str, count: int, copies: int, write: Callable[[int], str]) -> None:
        for k in range(count):
            text = write(k)
            rows.extend(Row(text=text, arm=arm, group=k) for _ in range(copies))

    add("verbatim", many, 16, lambda k: sums(rng, k // 2, k // 2) if k % 2 else facts(rng, k // 2))
    add("options", many, 8, lambda k: options(rng, kinds[k % len(kinds)], "both"))
    add("letters", many // 2, 8, lambda k: options(rng, kinds[k % len(kinds)], "letter"))
    add("worked", many // 4, 16, lambda k: worked(rng))
    add("twins", 2 * many, 1, lambda k: sums(rng, k // 2, k // 2) if k % 2 else facts(rng, k // 2))
    for k in range(many):
        rows += [Row(text=sums(rng, k // 4, k), arm="instances", group=k) for _ in range(16)]
    return rows


def mixed(texts: Sequence[str], rows: Sequence[Row], rng: np.random.Generator) -> list[Row]:
    """Ordinary texts and planted rows in random order."""
    every = [*(Row(text=text) for text in texts), *rows]
    return [every[k] for k in rng.permutation(len(every))]
