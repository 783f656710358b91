"""A question and its answer, as a row writes them."""

from dataclasses import dataclass
from typing import Literal

AnswersBy = Literal["letter", "text", "both"]
"""What an answer to a multiple choice is: `B`, `crimson`, or `B. crimson`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """An option: its letter, and the characters [start, end) of what it says."""

    letter: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """Where a row asks, characters [start, end), options included, and where it answers, [answer_start, answer_end). `worked`
    says whether steps lead to the answer, which then begins with them, or follow it. Of a multiple choice `choices` are the
    options; `right`, which of them is the answer, and `answers_by`, how the row says so, None where no option is."""

    start: int
    end: int
    answer_start: int
    answer_end: int
    worked: bool
    choices: tuple[Choice, ...] = ()
    right: int | None = None
    answers_by: AnswersBy = "text"
