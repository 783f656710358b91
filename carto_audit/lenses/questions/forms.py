"""Forms of rows that ask and answer: marked by words, turns of a chat, options, a last line `#### 42`, paragraphs."""

import re
from collections.abc import Sequence
from dataclasses import replace

from carto_audit.lenses.questions.question import AnswersBy, Choice, Question

MOST_CHARACTERS = 16_000
"""Of a row, what is searched for a question."""

SHORT, SHORT_WORDS = 120, 20
"""Characters and words of a short answer."""

MOST_CHOICE = 500
"""Characters of an option, and of an answer that is one."""

MOST_OPTIONS = 10

FEWEST_QUESTION = 8
"""Characters of a question."""

_ASKS = re.compile(
    r"^[ \t#>*]*(?:question|problem|q)[ \t]{0,2}\d{0,4}[ \t]{0,2}\**[:.)]\**\s*", re.IGNORECASE | re.MULTILINE
)
_REPLIES = re.compile(
    r"^[ \t#>*]*(?:(?:the[ \t]+)?(?:correct[ \t]+)?answer|solution|ans|a)[ \t]{0,2}\d{0,4}[ \t]{0,2}\**:\**[ \t]*\n?[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_REPLIES_INSIDE = re.compile(r"(?<=\s)(?:Answer|ANSWER|A):[ \t]*")
_TURN = re.compile(r"(?:\A|(?<=\n\n))([A-Za-z_]{2,12}): ")
_ASKING_ROLES = {"user", "human", "prompter", "customer"}
_REPLYING_ROLES = {"assistant", "gpt", "model", "chatbot", "bot"}
_LAST_LINE = re.compile(r"\n####[ \t]*(\S[^\n]{0,60})\s*\Z")
_IN_THE_END = re.compile(r"(?:the (?:final )?answer is|\\boxed\{|\n####)\s*\S", re.IGNORECASE)
_LETTER = re.compile(r"(?:\A|(?<=\n))[ \t]*[(\[]?([A-J])[.):\]][ \t]+")
_LETTER_INSIDE = re.compile(r"(?:\A|(?<=\s))\(([A-J])\)[ \t]*")
_ANSWER_LETTER = re.compile(r"[(\[]?([A-J])(?:[.):\]]+(?:\s+|\Z)|\Z)")
_NUMBER = re.compile(r"[-$€£]?\d[\d,./: ]*%?")
_REQUESTS = re.compile(
    r"(?:what|who|whom|whose|when|where|which|why|how|is|are|was|were|do|does|did|can|compute|calculate|solve|find|name|list"
    r"|give|translate|complete|choose|evaluate|simplify|classify|determine)\b",
    re.IGNORECASE,
)


def find_question(text: str) -> Question | None:
    """The first question of a row with a short answer, None where it has none."""
    text = text[:MOST_CHARACTERS]
    for find in (_in_a_chat, _marked, _with_a_last_line, _listed, _in_paragraphs):
        found = find(text)
        if found is not None:
            return found
    return None


def _in_a_chat(text: str) -> Question | None:
    """A turn that asks and the turn that answers it, as a conversation is written."""
    turns = list(_TURN.finditer(text))
    ends = [turn.start() for turn in turns[1:]] + [len(text)]
    for k in range(len(turns) - 1):
        asks, replies = turns[k], turns[k + 1]
        if asks[1].lower() not in _ASKING_ROLES or replies[1].lower() not in _REPLYING_ROLES:
            continue
        start, end = _trimmed(text, asks.end(), ends[k])
        found = _answered(text, start, end, replies.end(), ends[k + 1])
        if found and (found.choices or _requests(text[start:end])):
            return found
    return None


def _marked(text: str) -> Question | None:
    """`Question: … Answer: …`, each on a line of its own or both on one; the question's mark may be missing where it asks by its
    form."""
    asks = _ASKS.search(text)
    start = asks.end() if asks else 0
    replies = _REPLIES.search(text, start) or (_REPLIES_INSIDE.search(text, start) if asks else None)
    if replies is None:
        return None
    begin, end = _trimmed(text, start, replies.start())
    another = _ASKS.search(text, replies.end())
    found = _answered(text, begin, end, replies.end(), another.start() if another else len(text))
    if found is None or asks or found.choices:
        return found
    plainly = not replies[0].strip(" \t#>*").lower().startswith("a:") and "?" in text[begin:end]
    return found if plainly else None


def _with_a_last_line(text: str) -> Question | None:
    """A question, its solution, and in the end `#### 42`."""
    last = _LAST_LINE.search(text)
    if last is None:
        return None
    first = text.find("\n")
    begin, end = _trimmed(text, 0, first)
    if not (_NUMBER.fullmatch(last[1].strip()) or "?" in text[begin:end]):
        return None
    return _answered(text, begin, end, first, len(text))


def _listed(text: str) -> Question | None:
    """Paragraphs of which one is said again among the last, which are the options: how columns are read."""
    parts = _paragraphs(text)
    said = [text[start:end] for start, end in parts]
    for k in range(max(1, len(parts) - MOST_OPTIONS - 1), len(parts) - 2):
        if said[k] in said[k + 1 :] and len(set(said[k + 1 :])) == len(said) - k - 1:
            (start, end), (answer, stop) = parts[k - 1], parts[k]
            if end - start >= FEWEST_QUESTION and stop - answer <= MOST_CHOICE:
                return Question(start=start, end=end, answer_start=answer, answer_end=stop, worked=False)
    return None


def _in_paragraphs(text: str) -> Question | None:
    """A paragraph that ends by asking, and a short last one."""
    parts = _paragraphs(text)
    if not 2 <= len(parts) <= 4:
        return None
    (start, end), (answer, stop) = parts[-2:]
    said = text[answer:stop]
    if text[end - 1] not in "?？" or said[-1] in "?？:" or not _is_short(said):
        return None
    return _answered(text, start, end, answer, stop)


def _answered(text: str, start: int, end: int, replies: int, stop: int) -> Question | None:
    """The question [start, end) with what answers it in [replies, stop): something short, alone, before an explanation or after
    steps; or an option."""
    begin, stop = _trimmed(text, replies, stop)
    if end - start < FEWEST_QUESTION or begin >= stop:
        return None
    said = text[begin:stop]
    whole = Question(start=start, end=end, answer_start=begin, answer_end=stop, worked=False)
    choices = _choices(text, start, end)
    if choices:
        line = begin + len(said.split("\n", 1)[0].rstrip())
        found = _chosen(text, replace(whole, answer_end=line, worked=line < stop, choices=choices))
        if found is not None:
            return found
        whole = replace(whole, choices=choices)
    if _IN_THE_END.search(f"\n{said}"):
        bare = re.fullmatch(r"####[ \t]*(.+)", said)
        return replace(whole, answer_start=stop - len(bare[1])) if bare else replace(whole, worked=True)
    first = said.split("\n", 1)[0].rstrip()
    if not _is_short(first):
        return None
    return replace(whole, answer_end=begin + len(first), worked=len(first) < len(said))


def _chosen(text: str, question: Question) -> Question | None:
    """The question with the option that its answer names; None where it names none."""
    said = text[question.answer_start : question.answer_end]
    options = [text[one.start : one.end] for one in question.choices]
    letter = _ANSWER_LETTER.match(said)
    letters = [one.letter for one in question.choices]
    if letter and letter[1] in letters:
        right, rest = letters.index(letter[1]), said[letter.end() :].strip()
        if not rest or rest == options[right]:
            by: AnswersBy = "both" if rest else "letter"
            return replace(question, right=right, answers_by=by)
    if said in options:
        return replace(question, right=options.index(said), answers_by="text")
    return None


def _choices(text: str, start: int, end: int) -> tuple[Choice, ...]:
    """The options in a question: a run of letters from A, the last one that there is, each on a line or in parentheses."""
    for letters in (_LETTER, _LETTER_INSIDE):
        marks = list(letters.finditer(text, start, end))
        run = _last_run(marks)
        if len(run) >= 2:
            ends = [one.start() for one in run[1:]] + [end]
            parts = [_trimmed(text, one.end(), stop) for one, stop in zip(run, ends, strict=True)]
            if all(0 < stop - begin <= MOST_CHOICE for begin, stop in parts):
                return tuple(Choice(letter=m[1], start=b, end=e) for m, (b, e) in zip(run, parts, strict=True))
    return ()


def _last_run(marks: Sequence[re.Match[str]]) -> list[re.Match[str]]:
    run: list[re.Match[str]] = []
    for mark in marks:
        if mark[1] == "A":
            run = [mark]
        elif run and ord(mark[1]) == ord(run[-1][1]) + 1:
            run.append(mark)
    return run


def _requests(said: str) -> bool:
    return "?" in said or "？" in said or "__" in said or bool(_REQUESTS.match(said))


def _is_short(said: str) -> bool:
    return 0 < len(said) <= SHORT and len(said.split()) <= SHORT_WORDS and "\n" not in said


def _paragraphs(text: str) -> list[tuple[int, int]]:
    """Where the paragraphs stand, without the space around them."""
    found, at = [], 0
    for part in text.split("\n\n"):
        start, end = _trimmed(text, at, at + len(part))
        found += [(start, end)] if start < end else []
        at += len(part) + 2
    return found


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """[start, end) without the space at both ends."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
