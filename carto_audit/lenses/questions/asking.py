"""Asking: what the proxies make of a question, the one that read it and the other: as written, changed, with other options."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from carto_audit.lenses.questions.variants import (
    VARIANTS,
    Asked,
    Variant,
    options_of,
    variants,
    with_choices,
    written_answer,
)
from carto_audit.lenses.readers import Readers
from carto_audit.lenses.values.recall import Cue, recall

ANSWER_TOKENS = 16
"""Of a longer answer, such as the steps to one, the beginning is asked for."""

FOREIGN = 3
"""Other questions after which the old answer is asked for: who gives it there too knows no answer, but says it always."""

BLOCK = 64
"""Questions that are asked at once."""

MOST_CHOICES = 300
"""Questions with options of which choice confusion is measured, about."""

_TEXTS = 2 + 3 * VARIANTS + FOREIGN
"""Texts that are read of one question at most, besides its options: as written, changed with the old answer and with the new."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A distinct question as it stands in a row that a proxy read, and its `number`. `shared`: both proxies read a copy, so that
    what its reader says counts, since there is none to compare with."""

    number: int
    row: int
    asked: Asked
    shared: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What became of one question. `known`: its reader gives the answer as written, and the other proxy does not; `sticky`: to
    most of the changed questions too. `limem` is known times the share of changed questions that are not solved (Xie et al. 2024,
    arXiv 2410.23123). `gain` and `stranger_gain` are what exchanging the wrong options does to picking the right one, -1, 0 or 1.
    None where it was not asked."""

    known: bool | None = None
    sticky: bool | None = None
    limem: float | None = None
    gain: int | None = None
    stranger_gain: int | None = None


@dataclass(slots=True)
class _Open:
    """A question that is being asked."""

    kept: Kept
    cue: Cue
    variants: list[Variant]
    foreign: list[Asked]
    choices: bool
    answer: Answered = field(default_factory=Answered)


def ask_questions(
    readers: Readers, questions: Sequence[Kept], reserve: int, rng: np.random.Generator
) -> dict[int, Answered]:
    """Asks these questions in their order, as far as the budget less the reserve goes: by number, what became of each that had
    its turn. One that is longer than the context, or in which nothing can be exchanged, had it without being asked."""
    found: dict[int, Answered] = {}
    at = with_options = 0
    while at < len(questions):
        ahead = questions[at : at + BLOCK]
        choices = max(len(kept.asked.question.choices) for kept in ahead) if with_options < MOST_CHOICES else 0
        room = (readers.left - reserve) // (readers.context * (_TEXTS + 4 * choices))
        block = ahead[: max(0, room)]
        if not block:
            break
        opened = []
        for kept in block:
            found[kept.number] = Answered()
            one = _opened(readers, kept, questions, choices > 0, rng)
            if one is not None:
                opened.append(one)
                with_options += one.choices
        _ask_block(readers, opened, questions, rng)
        found |= {one.kept.number: one.answer for one in opened}
        at += len(block)
    return found


def right(readers: Readers, cues: Sequence[Cue], *, stranger: bool = False) -> NDArray[np.bool_]:
    """Whether a proxy says the whole answer, (n,)."""
    whole: NDArray[np.bool_] = recall(readers, cues, stranger=stranger).right == 1
    return whole


def cue_of(readers: Readers, row: int, before: str, answer: str) -> Cue | None:
    """A text and an answer behind it, the beginning of a long one; None where they do not fit into the context. A token that they
    share is the answer's."""
    (encoded,) = readers.encode([before + answer])
    first = int(np.searchsorted(encoded.offsets[:, 1], len(before), side="right"))
    ids = encoded.ids[: first + ANSWER_TOKENS]
    if first >= len(ids) or len(ids) > readers.context:
        return None
    return Cue(row=row, before=ids[:first], value=ids[first:])


def _opened(
    readers: Readers, kept: Kept, others: Sequence[Kept], choices: bool, rng: np.random.Generator
) -> _Open | None:
    cue = cue_of(readers, kept.row, kept.asked.before, kept.asked.answer)
    changed = variants(kept.asked, rng) if cue is not None else []
    if cue is None or not changed:
        return None
    choices = choices and kept.asked.question.right is not None
    return _Open(kept=kept, cue=cue, variants=changed, foreign=_foreign(kept, others, rng), choices=choices)


def _foreign(kept: Kept, others: Sequence[Kept], rng: np.random.Generator) -> list[Asked]:
    """Other questions with another answer, of the same form as far as there are such."""
    drawn = [others[k].asked for k in rng.permutation(len(others))[: 16 * FOREIGN]]
    other = [one for one in drawn if one.answer != kept.asked.answer and one.before != kept.asked.before]
    other = [one for one in other if len(one.before) <= 2 * len(kept.asked.before) + 200]
    return sorted(other, key=lambda one: one.question.answers_by != kept.asked.question.answers_by)[:FOREIGN]


def _ask_block(readers: Readers, opened: list[_Open], others: Sequence[Kept], rng: np.random.Generator) -> None:
    if not opened:
        return
    known = right(readers, [one.cue for one in opened])
    for one, is_known in zip(opened, known, strict=True):
        one.answer = Answered(known=bool(is_known), sticky=False, limem=0.0)
    _compare([one for one in opened if one.answer.known and not one.kept.shared], readers)
    _ask_changed([one for one in opened if one.answer.known], readers)
    _ask_options([one for one in opened if one.choices], readers, others, rng)


def _compare(opened: list[_Open], readers: Readers) -> None:
    """What the other proxy says too is not known by heart."""
    for one, guessed in zip(opened, right(readers, [one.cue for one in opened], stranger=True), strict=True):
        if guessed:
            one.answer = replace(one.answer, known=False)


def _ask_changed(opened: list[_Open], readers: Readers) -> None:
    """Old and new answers to changed questions, and old ones to those of others."""
    for one in opened:
        row, answer = one.kept.row, one.kept.asked.answer
        old = _cues(readers, row, [(variant.before, answer) for variant in one.variants])
        if not old:
            one.answer = Answered()
            continue
        says_old = right(readers, old)
        if not one.kept.shared:
            says_old &= ~right(readers, old, stranger=True)
        new = _cues(readers, row, [(variant.before, variant.right) for variant in one.variants if variant.right])
        # where nobody can say what is right now, whatever is not the old answer counts as solved
        solved = right(readers, new).mean() if len(new) == len(old) else 1 - says_old.mean()
        elsewhere = right(readers, _cues(readers, row, [(other.before, answer) for other in one.foreign]))
        always = bool(len(elsewhere) and elsewhere.mean() >= 0.5)
        sticky = bool(says_old.mean() > 0.5) and not always
        one.answer = replace(one.answer, sticky=sticky, limem=0.0 if always else float(1 - solved))


def _cues(readers: Readers, row: int, asked: Sequence[tuple[str, str]]) -> list[Cue]:
    found = [cue_of(readers, row, before, answer) for before, answer in asked]
    return [cue for cue in found if cue is not None]


def _ask_options(opened: list[_Open], readers: Readers, others: Sequence[Kept], rng: np.random.Generator) -> None:
    """Choice confusion (Yao et al. 2024, arXiv 2406.13236): wrong options become right answers of other questions, which helps a
    model that has learned what questions are about, and not one that has learned the row by heart."""
    pool = sorted({words for kept in others if (words := _right_option(kept.asked)) is not None})
    for one in opened:
        asked = one.kept.asked
        own = options_of(asked)
        free = [words for words in pool if words not in own]
        at = asked.question.right
        if at is None or len(free) < len(own) - 1:
            continue
        drawn = iter(rng.permutation(len(free)).tolist())
        confused = [words if k == at else free[next(drawn)] for k, words in enumerate(own)]
        gains = [_picks(readers, one, confused, who) - _picks(readers, one, own, who) for who in (False, True)]
        one.answer = replace(one.answer, gain=gains[0], stranger_gain=gains[1])


def _right_option(asked: Asked) -> str | None:
    return None if asked.question.right is None else options_of(asked)[asked.question.right]


def _picks(readers: Readers, one: _Open, said: Sequence[str], stranger: bool) -> int:
    """Whether a proxy finds the right option the likeliest answer, by the mean loss of its tokens."""
    asked = one.kept.asked
    before = with_choices(asked, said)
    answers = [
        written_answer(asked, choice.letter, words) for choice, words in zip(asked.question.choices, said, strict=True)
    ]
    cues = _cues(readers, one.kept.row, [(before, answer) for answer in answers])
    if len(cues) < len(answers):
        return 0
    losses = readers.losses([cue.row for cue in cues], [cue.ids for cue in cues], stranger=stranger)
    means = [loss[len(cue.before) :].mean() for loss, cue in zip(losses, cues, strict=True)]
    return int(int(np.argmin(means)) == asked.question.right)
