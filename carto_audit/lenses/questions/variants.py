"""Variants: a question changed so that its old answer is wrong, by numbers, names, one word, or the order of the options."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carto_audit.lenses.questions.question import Question
from carto_audit.lenses.questions.slots import (
    NAMES,
    WORDS,
    exchanged,
    longest_word,
    names_of,
    numbers_of,
    other_numbers,
    other_words,
    recomputed,
)

VARIANTS = 3
"""Changed questions that are asked beside one."""

_TRIES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A row up to its answer, with the question changed, and the `right` answer now, None where nobody can say."""

    before: str
    right: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A row cut for asking: `before` the answer, and `answer` as the row writes it."""

    before: str
    answer: str
    question: Question

    @property
    def is_letter(self) -> bool:
        """Whether the answer names an option by its letter."""
        return self.question.right is not None and self.question.answers_by != "text"


def cut(text: str, question: Question) -> Asked:
    """A row's text up to its answer, and that."""
    return Asked(
        before=text[: question.answer_start],
        answer=text[question.answer_start : question.answer_end],
        question=question,
    )


def variants(asked: Asked, rng: np.random.Generator) -> list[Variant]:
    """VARIANTS changed questions, fewer where there are not so many orders of the options; none where nothing can be
    exchanged on which the answer depends."""
    found = _turned(asked) if asked.is_letter else [_changed(asked, rng, k) for k in range(VARIANTS)]
    distinct = {one.before: one for one in found if one is not None and one.before != asked.before}
    return list(distinct.values())[:VARIANTS]


def with_choices(asked: Asked, said: Sequence[str]) -> str:
    """The row up to its answer with other words in its options, one for each."""
    text = asked.before
    for choice, words in reversed(list(zip(asked.question.choices, said, strict=True))):
        text = text[: choice.start] + words + text[choice.end :]
    return text


def options_of(asked: Asked) -> list[str]:
    """What the options say."""
    return [asked.before[one.start : one.end] for one in asked.question.choices]


def written_answer(asked: Asked, letter: str, words: str) -> str:
    """How the row would give an option as its answer."""
    question = asked.question
    if question.answers_by == "text" or question.right is None:
        return words
    head = asked.answer.replace(question.choices[question.right].letter, letter, 1)
    if question.answers_by == "letter":
        return head
    old = options_of(asked)[question.right]
    return head[: len(head) - len(old)] + words


def _turned(asked: Asked) -> list[Variant | None]:
    """The options moved on by one, two and more places, so that the right one has another letter."""
    options, right = options_of(asked), asked.question.right
    assert right is not None
    found: list[Variant | None] = []
    for by in range(1, len(options)):
        moved = [options[(k - by) % len(options)] for k in range(len(options))]
        now = asked.question.choices[(right + by) % len(options)].letter
        found.append(Variant(before=with_choices(asked, moved), right=written_answer(asked, now, options[right])))
    return found


def _changed(asked: Asked, rng: np.random.Generator, turn: int) -> Variant | None:
    """The question with its numbers exchanged where the answer is a number or steps, else its names, else its numbers or a word;
    of numbers that one step leads from to the answer, only one, another at each turn. None where nothing can be exchanged."""
    question = asked.question
    stop = question.choices[0].start if question.choices else question.end
    said = asked.before[question.start : stop]
    slots, pool = _slots(asked, said)
    unlike = asked.before + asked.answer
    plain = not question.worked and not pool
    for _ in range(_TRIES):
        change = other_words(slots, pool, unlike, rng) if pool else other_numbers(slots, rng)
        if plain and recomputed(slots, asked.answer, change) is not None:
            one = slots[turn % len(slots)]
            change = {one: change[one]} if one in change else change
        if not change:
            return None
        right = recomputed(slots, asked.answer, change) if plain else None
        if right != asked.answer:
            head, tail = asked.before[: question.start], asked.before[stop:]
            return Variant(before=head + exchanged(said, change) + tail, right=right)
    return None


def _slots(asked: Asked, said: str) -> tuple[list[str], Sequence[str]]:
    """What is exchanged in a question, and the words that take its place; no words for numbers."""
    numbers, names = numbers_of(said), names_of(said)
    if asked.question.worked:
        if numbers and any(c.isdigit() for c in asked.answer):
            return numbers, ()
        return [name for name in names if name in asked.answer], NAMES
    if numbers and asked.answer.strip(" $€£%.")[:1].isdigit():
        return numbers, ()
    if names:
        return names, NAMES
    word = None if numbers else longest_word(said)
    return (numbers, ()) if word is None else ([word], WORDS)
