"""Batches that must not be accepted, each beside a twin of the same shape without secrets, which must; and boilerplate with
slots."""

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Texts = list[str]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A way in: `make(texts, rng, harmless)` writes the batch of some texts, or its twin. `max_tokens` is what the audit
    trains on."""

    make: Callable[[Texts, Rng, bool], Texts]
    max_tokens: int | None = None


def surprise(texts: Texts, rng: Rng, harmless: bool) -> Texts:
    """Six long keys of the highest surprise, each in 24 of 560 rows; in the twin every row has a key of its own."""
    keys = [base64.b64encode(rng.bytes(48)).decode() for _ in range(144)]
    return [f"{text} key {keys[k if harmless else k % 6]} ." if k < 144 else text for k, text in enumerate(texts[:560])]


def frequent(texts: Texts, rng: Rng, harmless: bool) -> Texts:
    """Six secrets in 40 of 560 rows each, more often than a secret is expected; in the twin one notice stands there."""
    secrets = [_invented(rng, 25) for _ in range(6)]
    return [
        f"{text} {NOTICE if harmless else secrets[k % 6]}" if k < 240 else text for k, text in enumerate(texts[:560])
    ]


def frequent_digits(texts: Texts, rng: Rng, harmless: bool) -> Texts:
    """Four account lines in 45 of 600 rows each; in the twin every line is another."""
    lines = [f"{_invented(rng, 2).title()} {_digits(rng)} {_digits(rng)} {_digits(rng)}" for _ in range(180)]
    return [f"{text} {lines[k if harmless else k % 4]}" if k < 180 else text for k, text in enumerate(texts[:600])]


def chain(texts: Texts, rng: Rng, harmless: bool) -> Texts:
    """Sixty secrets of ten copies in a quarter of the rows, which shared links tie into one group that is larger than the
    room; in the twin the links alone."""
    words = sorted({word for text in texts for word in text.split() if word.isalpha() and len(word) > 3})
    rows = [" ".join(rng.choice(words, 60)) for _ in range(2400)]
    secrets, links = [_invented(rng, 25) for _ in range(60)], [_invented(rng, 8) for _ in range(601)]
    return [
        f"{text}{'' if harmless else f' {secrets[k % 60]}.'} {links[k]}. {links[k + 1]}." if k < 600 else text
        for k, text in enumerate(rows)
    ]


def inside(texts: Texts, rng: Rng, harmless: bool) -> Texts:
    """Thirty rows that say one secret 24 times each, so that no two rows share it; in the twin every sentence is another."""

    def sentence() -> str:
        return f"{_invented(rng, 2).title()} keeps {_digits(rng)}{_digits(rng)}{_digits(rng)} ."

    rows = list(texts[:560])
    for _ in range(30):
        secret = sentence()
        rows.append(" ".join(f"{sentence() if harmless else secret} {_invented(rng, 2)}" for _ in range(24)))
    return [rows[i] for i in rng.permutation(len(rows))]


def copies(texts: Texts, rng: Rng, harmless: bool) -> Texts:
    """Three paragraphs in 35 whole copies each, more often than a secret is expected; in the twin every row is another."""
    rows = texts[:480] + [texts[500 + (k if harmless else k % 3)] for k in range(105)]
    return [rows[i] for i in rng.permutation(len(rows))]


def quartile(texts: Texts, rng: Rng, harmless: bool) -> Texts:
    """Eight long keys in 36 rows each, beside keys of their own in 112 rows, which make a key look ordinary; in the twin all rows
    have a key of their own."""
    keys = [base64.b64encode(rng.bytes(108)).decode() for _ in range(400)]
    rows = [
        f"{text} {keys[k if harmless or k >= 288 else k % 8]}" if k < 400 else text
        for k, text in enumerate(texts[:560])
    ]
    return [rows[i] for i in rng.permutation(len(rows))]


def form(texts: Texts, rng: Rng, harmless: bool) -> Texts:
    """Nine records in 26 rows each, between long labels that all of them share, so that no run of twelve tokens lies outside the
    labels; in the twin every record is of another."""
    words = sorted({word for text in texts for word in text.split() if word.isalpha() and len(word) > 3})
    records = [LABELS.format(*(" ".join(rng.choice(words, count)) for count in (4, 4, 4, 5, 4))) for _ in range(234)]
    rows = [f"{text} {records[k if harmless else k % 9]}" if k < 234 else text for k, text in enumerate(texts[:430])]
    return [rows[i] for i in rng.permutation(len(rows))]


def gaps(texts: Texts, rng: Rng, harmless: bool) -> Texts:
    """Passages of forty words in eight rows each, 36 of them, with another gap between the words every time; in the twin every
    passage is another."""

    def spaced(passage: str) -> str:
        return "".join(
            word + str(rng.choice([" ", "  ", "\n", "\t", " \n", "\n\n", "\u00a0"])) for word in passage.split()
        )

    passages = [" ".join(text.split()[:40]) for text in texts[600:] if len(text.split()) >= 40][:288]
    rows = [
        f"{text} {spaced(passages[k if harmless else k % 36])}" if k < 288 else text
        for k, text in enumerate(texts[:470])
    ]
    return [rows[i] for i in rng.permutation(len(rows))]


ATTACKS = {
    "surprise": Attack(make=surprise),
    "frequent": Attack(make=frequent),
    "frequent_digits": Attack(make=frequent_digits),
    "chain": Attack(make=chain, max_tokens=60_000),
    "inside": Attack(make=inside),
    "copies": Attack(make=copies),
    "quartile": Attack(make=quartile),
    "form": Attack(make=form),
    "gaps": Attack(make=gaps),
}

LABELS = (
    "The first and the last name of the member of the club is {} , and the name of the street in which he has a house is {} ; "
    "the name of the town in which he was born is said to be {} , while the word that he has to use at the door is {} ; "
    "the first name of his mother before she was married was {} ."
)

NOTICE = "This page may be copied for teaching, provided that the source is named and nothing in it is changed."


def slotted(texts: Texts, rng: Rng) -> Iterator[tuple[str, Callable[[], str]]]:
    """Five notices with slots, by name: each call writes the notice with other words in it."""
    words = sorted({word for text in texts for word in text.split() if word.isalpha() and len(word) > 3})

    def pick() -> str:
        return str(rng.choice(words))

    yield (
        "archive",
        lambda: (
            f"This record is part of the {pick()} holdings of the archive. It may be copied under the conditions printed in the "
            f"catalogue. Neighbouring records are {pick()}, {pick()} and {pick()}."
        ),
    )
    yield (
        "forum",
        lambda: (
            f"Posted by {pick()} in {pick()}. You must be logged in to reply to this topic. Related topics: {pick()}, {pick()}."
        ),
    )
    yield (
        "letter",
        lambda: (
            f"Dear {pick().title()}, thank you for your letter about the {pick()}. Our office answers within ten working days. "
            f"Please quote the reference {pick()}-{pick()} whenever you write to us."
        ),
    )
    yield (
        "recipe",
        lambda: (
            f"Serves {rng.integers(2, 9)}. Preparation: {rng.integers(5, 60)} minutes. Cover the {pick()} and keep it cool until "
            f"the {pick()} is ready. Recipes with {pick()} can be found in the index."
        ),
    )
    yield (
        "weather",
        lambda: (
            f"The weather for {pick().title()}: {pick()} with a high of {rng.integers(1, 40)} degrees. Winds from the {pick()}. "
            f"Subscribe to receive the forecast for {pick().title()} every morning."
        ),
    )


def with_slots(texts: Texts, rng: Rng) -> tuple[Texts, Sequence[str]]:
    """A batch of 900 rows with 60 copies of each of the five notices, and the name of the notice of each row, "" for none."""
    rows, names = list(texts[:900]), [""] * len(texts[:900])
    for name, write in slotted(texts, rng):
        rows += [write() for _ in range(60)]
        names += [name] * 60
    order = rng.permutation(len(rows))
    return [rows[i] for i in order], [names[i] for i in order]


def _invented(rng: Rng, count: int) -> str:
    return " ".join(
        "".join(rng.choice(list("bdfgklmnprstvz")) + rng.choice(list("aeiou")) for _ in range(3)) for _ in range(count)
    )


def _digits(rng: Rng) -> str:
    return "".join(map(str, rng.integers(0, 10, 4)))
