"""Annotated text without its annotations: numbers of lines and lists, timecodes, notes, tags of words, parts of words.

Every one of them is guessed from its regularity, so the text as it stands is always compared as well.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import groupby

import numpy as np

from carto_audit.text.folding import fold
from carto_audit.text.views.reading import Reading, line_matches
from carto_audit.text.views.signs import FIELD, FOREIGN, GLUED, MIXED, NOTE, ORNAMENT, PART, all_of, any_of
from carto_audit.text.views.steps import Step

DIGITS_INSIDE = "digits inside words"
"""The view that leaves out digits beside letters, so that numbers beside letters are none for it."""

_LEAST = 3
"""Lines, marks or words that must look alike."""

_LEAST_TAGGED = 5
_LEAST_GLUED, _GLUED_WITHIN = 12, 400  # words, and characters
_LEAST_RECORDS = 8
_MOST_WORDS = 3  # in a field, on average: what is longer is read where it stands
_LEAST_COLUMNS = 3
_MOST_COLUMNS = 40
_LONGEST_LINE = 80  # characters, on average

_TIMECODE_LINE = re.compile(
    r"[ \t]*(?:\d{1,6}[ \t]*\r?\n[ \t]*)?(?:\d{1,2}:)?\d{1,2}:\d{2}[.,]\d{1,3}[ \t]*-->[^\n]{0,120}$", re.MULTILINE
)
_TIMESTAMP = re.compile(r"[\[(<]?(?<![\d:])\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,3})?(?![\d:])[\])>]?")
_LOG_PREFIX = re.compile(
    r"[ \t]*\[?\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?[\d.,:Z+-]{0,12}\]?(?:[ \t]+\[?[A-Z]{3,8}\]?:?)?[ \t]",
    re.MULTILINE,
)
_SPEAKER = re.compile(r"[ \t]*[A-Z][A-Za-z]{0,20}(?:[ .][A-Za-z0-9]{1,12}){0,2}:[ \t]", re.MULTILINE)
_NUMBERED = re.compile(r"[ \t]*[\[(#]?(\d{1,7})[\])]?[.:),|\]]?(?:[ \t]|(?<=[.:),|\]])(?=\S)|$)[ \t|]*", re.MULTILINE)
_LETTERED = re.compile(r"[ \t]*\(?([a-zA-Z]|[ivx]{1,4})[.)][ \t]", re.MULTILINE)
_CALL_OPEN = re.compile(
    r"^[ \t]*(?:[A-Za-z_][\w.:]{0,40}[ \t]*\([ \t]*|[A-Za-z_][\w:.]{0,40}[ \t]*(?:<<|=|\+=)[ \t]*)f?[\"']", re.MULTILINE
)
_CALL_CLOSE = re.compile(r"(?:\\n)?[\"'][ \t]*+(?:<<[^\n]{0,80}|\)[ \t]*+[;,]?|[;,])?[ \t]*+$", re.MULTILINE)
_NOTE = re.compile(
    r"\[(?:\d{1,4}|[a-z]|citation needed|note \d+|sic)\]|(?<=\w)\^\d{1,3}|[\u00b9\u00b2\u00b3\u2070-\u2079]+"
)
_TAGGED = re.compile(r"[/_|](?<=[^\s/_|].)(?:[A-Z]{1,5}\d?\$?|[BIO](?:-[A-Z]{2,5})?|[.,:])(?=\s|$)")
_BRACKETED_TAG = re.compile(r"\([A-Z]{1,5}\$? (?=[^\s()]+\))")
_JOINERS = (
    ("@@ ", re.compile(r"@@[ \n]")),
    (" ##", re.compile(r"[ \n]##(?=\w)")),
    ("\uffed", re.compile(r"[ ]?\uffed[ ]?")),
)
_WORD_MARKS = "\u2581\u0120"  # of sentencepiece, and of byte-level BPE
_MARKED_PIECE = re.compile(f" ?([{_WORD_MARKS}])|(?<=\\S) (?=\\S)")
_GLUED_WORD = re.compile(  # more numbers in one are no word, but a code
    r"(?<![A-Za-z0-9])(?:[A-Za-z]+[0-9]{1,9}(?:[A-Za-z]+[0-9]{1,9})?[A-Za-z]*|[0-9]{1,9}[A-Za-z]+(?:[0-9]{1,9}[A-Za-z]*)?)(?![A-Za-z0-9])"
)
_FIELD = re.compile(r"""(["'])([A-Za-z_][\w:.-]{0,30})\1[ ]{0,2}:[ ]{0,2}(?:"([^"\n]{1,80})"|'([^'\n]{1,80})')""")
_LINE_FIELD = re.compile(
    r"^[ \t]{0,20}(?:-[ ]{1,4})?([A-Za-z_][\w.-]{0,30}):[ ]{1,4}([^\s\"'][^\n\"']{0,79})$", re.MULTILINE
)
_BETWEEN_SPACES, _BETWEEN_COMMAS = re.compile(r"\S+"), re.compile(r"[^,;|\t]+")
_LEET = str.maketrans("4301578@$!|", "aeoistbasil")
_LEET_WORD = re.compile(r"(?<![\w@$!|])(?=[\w@$!|]*[A-Za-z])(?=[\w@$!|]*[0-9@$!|])[\w@$!|]{2,30}")
_LEET_NUMBER = re.compile(r"(?<![\w@$!|])[4301578]{1,4}(?![\w@$!|])")


def _timecodes(reading: Reading) -> Reading:
    for pattern, least in ((_TIMECODE_LINE, 1), (_LOG_PREFIX, _LEAST), (_TIMESTAMP, _LEAST)):
        matches = pattern.finditer(reading.text) if pattern is _TIMESTAMP else line_matches(pattern, reading.text)
        found = [match.span() for match in matches]
        if len(found) >= least:
            reading = reading.replaced("timecodes", [(*span, " ") for span in found])
    return reading


def _speakers(reading: Reading) -> Reading:
    found = [match.span() for match in line_matches(_SPEAKER, reading.text)]
    return reading.replaced("speakers", [(*span, " ") for span in found]) if len(found) >= _LEAST else reading


def _numbers(reading: Reading) -> Reading:
    """Numbers at the beginning of lines that count: at least three lines, each number above the one before."""
    for pattern in (_NUMBERED, _LETTERED):
        reading = reading.replaced("line numbers", list(_counting(pattern, reading.text, pattern is _NUMBERED)))
    return reading


def _counting(pattern: re.Pattern[str], text: str, counts_up: bool) -> Iterator[tuple[int, int, str]]:
    found = list(line_matches(pattern, text))
    run: list[re.Match[str]] = []
    for match in [*found, None]:
        if match is not None and (not run or not counts_up or int(match[1]) > int(run[-1][1])):
            run.append(match)
            continue
        if len(run) >= _LEAST:
            yield from ((m.start(), m.end(), "" if m.start() == 0 else " ") for m in run)
        run = [match] if match is not None else []


def _calls(reading: Reading) -> Reading:
    if len(_CALL_OPEN.findall(reading.text)) < _LEAST - 1:
        return reading
    reading = reading.substituted("string literals", _CALL_CLOSE, " ")
    return reading.substituted("string literals", _CALL_OPEN, " ")


def _notes(reading: Reading) -> Reading:
    if len(_NOTE.findall(reading.text)) < _LEAST:
        return reading
    return reading.substituted("notes", _NOTE, " ")


def _word_tags(reading: Reading) -> Reading:
    for pattern in (_TAGGED, _BRACKETED_TAG):
        if len(pattern.findall(reading.text)) >= _LEAST_TAGGED:
            reading = reading.substituted("word tags", pattern, "")
    return reading


def _columns(reading: Reading) -> Reading:
    """Lines of as many columns, one word in each: only the column with the most different words is left."""
    n_lines = reading.text.count("\n") + 1
    if n_lines < _LEAST_TAGGED or len(reading.text) > _LONGEST_LINE * n_lines:
        return reading
    if _may_hold_columns([len(line.split()) for line in reading.text.split("\n")]):
        changed = _columns_of(reading, _BETWEEN_SPACES)
        if changed is not reading:
            return changed
    marks = sum(map(reading.text.count, ",;|\t"))
    return _columns_of(reading, _BETWEEN_COMMAS) if marks >= _LEAST_TAGGED * (_LEAST_COLUMNS - 1) else reading


def _may_hold_columns(counts: list[int]) -> bool:
    """Whether as many lines in a row have the same number of fields as a table has at least."""
    return any(
        _LEAST_COLUMNS <= count <= _MOST_COLUMNS and len([*same]) >= _LEAST_TAGGED for count, same in groupby(counts)
    )


def _columns_of(reading: Reading, field: re.Pattern[str]) -> Reading:
    edits: list[tuple[int, int, str]] = []
    lines: list[tuple[int, list[tuple[int, int]]]] = []
    place = 0
    for line in [*reading.text.split("\n"), ""]:
        fields = [(place + m.start(), place + m.end()) for m in field.finditer(line)]
        if lines and len(fields) != len(lines[-1][1]):
            edits += _other_columns(reading.text, [fields for _, fields in lines])
            lines = []
        if _LEAST_COLUMNS <= len(fields) <= _MOST_COLUMNS:
            lines.append((place, fields))
        place += len(line) + 1
    return reading.replaced("columns", edits)


def _other_columns(text: str, lines: list[list[tuple[int, int]]]) -> Iterator[tuple[int, int, str]]:
    if len(lines) < _LEAST_TAGGED:
        return
    columns = [[text[line[k][0] : line[k][1]] for line in lines] for k in range(len(lines[0]))]
    words = [len({cell for cell in column if any(map(str.isalpha, cell))}) for column in columns]
    most = max(words)
    # Other columns repeat a few tags; a table in which all columns vary is no list of words.
    if sum(count > 0.7 * most for count in words) > 2 or most < _LEAST_TAGGED:
        return
    kept = next(k for k, count in enumerate(words) if count >= 0.9 * most)
    for line in lines:
        for k, (start, end) in enumerate(line):
            if k != kept:
                yield start, end, " "


def _word_parts(reading: Reading) -> Reading:
    for sign, pattern in _JOINERS:
        if reading.text.count(sign) >= _LEAST:
            reading = reading.substituted("word parts", pattern, "")
    if sum(map(reading.text.count, _WORD_MARKS)) >= _LEAST_TAGGED:
        reading = reading.substituted("word parts", _MARKED_PIECE, lambda match: " " if match[1] else "")
    return reading


def _ornaments(reading: Reading) -> Reading:
    """Signs that fold to letters, such as a trade mark, left out: inside words they are ornaments, elsewhere letters."""
    is_sign = Counter(reading.text)
    signs = {c for c in is_sign if ord(c) > 127 and unicodedata.category(c)[0] == "S" and _has_letters(c)}
    if sum(is_sign[c] for c in signs) < _LEAST:
        return reading
    return reading.replaced("ornaments", [(k, k + 1, "") for k, c in enumerate(reading.text) if c in signs])


def _has_letters(character: str) -> bool:
    return any(map(str.isalnum, unicodedata.normalize("NFKC", character)))


_LINES = any_of("\n", least=_LEAST - 1)

ANNOTATED = (
    Step(shows=any_of("\n", least=_LEAST_TAGGED - 1), apply=_columns),
    Step(shows=any_of(":", least=_LEAST), apply=_timecodes),
    Step(shows=all_of(any_of(":", least=_LEAST), _LINES), apply=_speakers),
    Step(shows=all_of(any_of('"', "'", least=2), any_of("\n")), apply=_calls),
    Step(shows=_LINES, apply=_numbers),
    Step(shows=any_of(NOTE, least=_LEAST), apply=_notes),
    Step(shows=any_of("/", "_", "|", "(", least=_LEAST_TAGGED), apply=_word_tags),
    Step(shows=any_of(PART, least=_LEAST), apply=_word_parts),
)


def _plain_letters(reading: Reading) -> Reading:
    """Digits that stand for letters as those letters, where some words mix both."""
    if len(_LEET_WORD.findall(reading.text)) < _LEAST_TAGGED:
        return reading
    reading = reading.substituted("digits for letters", _LEET_WORD, lambda match: match[0].translate(_LEET))
    return reading.substituted("digits for letters", _LEET_NUMBER, lambda match: match[0].translate(_LEET))


def _without_digits(reading: Reading) -> Reading:
    """Words without the digits beside their letters, where many stand close together."""
    words = list(_GLUED_WORD.finditer(reading.text))
    begins = np.array([word.start() for word in words], dtype=np.int64)
    last = begins[_LEAST_GLUED - 1 :]
    many = np.flatnonzero(last - begins[: len(last)] <= _GLUED_WITHIN)
    some = sorted({k for first in many.tolist() for k in range(first, first + _LEAST_GLUED)})
    return reading.replaced(DIGITS_INSIDE, [(*words[k].span(), re.sub("[0-9]", "", words[k][0])) for k in some])


def _without_others(reading: Reading) -> Reading:
    """Words of ASCII without letters of other scripts, where some stand between theirs."""
    others = "".join(sorted(c for c in set(reading.text) if ord(c) > 127 and _is_other(c)))
    inside = re.compile(f"(?<=[A-Za-z])[{others}]{{1,9}}(?=[ ]?[A-Za-z])") if others else None
    if inside is None or len(inside.findall(reading.text)) < _LEAST_TAGGED:
        return reading
    return reading.substituted("letters among others", inside, "")


@cache
def _is_other(character: str) -> bool:
    return character.isalnum() and (character in "\u00aa\u00ba" or not fold(character).isascii())


def _by_fields(reading: Reading) -> Reading:
    """Many records of a word or two read field by field: `[{"id": "1", "word": "how"}, {"id": "2", "word": "many"}]`."""
    values: dict[str, list[tuple[int, int]]] = {}
    for match in _FIELD.finditer(reading.text):
        values.setdefault(match[2], []).append(match.span(3) if match[3] else match.span(4))
    for match in _LINE_FIELD.finditer(reading.text):
        values.setdefault(match[1], []).append(match.span(2))
    spans: list[tuple[int, int]] = []
    for field in values.values():
        words = sum(reading.text.count(" ", begin, end) + 1 for begin, end in field)
        if len(field) >= _LEAST_RECORDS and words <= _MOST_WORDS * len(field):
            spans += field
    if not spans:
        return reading
    places = np.concatenate([np.append(np.arange(begin, end), end - 1) for begin, end in spans])
    text = "".join(f"{reading.text[begin:end]} " for begin, end in spans)
    return reading.reordered("fields", places, text, (min(spans)[0], max(spans)[1]))


LETTER_GUESSES = (
    Step(shows=any_of(ORNAMENT, least=_LEAST), apply=_ornaments),
    Step(shows=any_of(FOREIGN, least=_LEAST_TAGGED), apply=_without_others),
    Step(shows=any_of(MIXED, least=_LEAST), apply=_plain_letters),
    Step(shows=any_of(GLUED, least=_LEAST_GLUED), apply=_without_digits),
)
"""Views that may be wrong about the whole text, so each of them is a reading of its own, and all together are one."""

_RECORDS = all_of(any_of(":", least=2 * _LEAST_RECORDS), any_of("\n", least=2 * _LEAST_RECORDS - 1))
_FIELDS = (Step(shows=lambda signs: _RECORDS(signs) | signs.has(FIELD, _LEAST_RECORDS), apply=_by_fields),)

GUESSES = (*LETTER_GUESSES, *_FIELDS)
"""Guesses about letters, and about what belongs together."""
