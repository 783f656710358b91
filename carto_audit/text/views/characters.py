"""Characters written by their numbers or as signs: dumps, lists of codes, Morse, tag characters and letters in boxes."""

import re

from carto_audit.text.views.reading import Reading
from carto_audit.text.views.signs import BOXED, DIGIT, all_of, any_of
from carto_audit.text.views.steps import Step

_LEAST_BOXED = 8
_LEAST_CODES = 24  # digits

_DUMP = re.compile(r"(?:^[0-9A-Fa-f]{6,8}(?:: |  )[^\n]{4,100}(?:\n|\Z)){3,100000}", re.MULTILINE)
_DUMPED = re.compile(r"\n[0-9A-Fa-f]{6,8}(?:: |  )")
_DUMP_LINE = re.compile(
    r"^[0-9A-Fa-f]{6,8}(?:: ((?:[0-9A-Fa-f]{2,4} )+)|  ((?:[0-9A-Fa-f]{2} {1,60})+)\|)", re.MULTILINE
)
_CALL = r"[cC][hH](?:[rR]|[aA][rR])\(\d{2,3}\)[ +&.,|]{0,3}"
_CALLS = re.compile(rf"{_CALL}(?:{_CALL}){{7,50000}}")
_OCTAL = re.compile(
    r"[01](?<![0-9].)[0-7]{2}[ ,\n\"']{1,4}(?:[01][0-7]{2}[ ,\n\"']{1,4}){10,50000}[01][0-7]{2}(?![0-9])"
)
_BYTE = r"[0U](?:(?<=0)x|(?<=U)\+00)[0-9A-Fa-f]{2}(?:[,; \n\"']{1,4}|\b)"
_BYTES = re.compile(rf"{_BYTE}(?:{_BYTE}){{11,50000}}")
_PLACE = r"(?:[1-9]|1\d|2[0-6])"
_PLACES = re.compile(rf"(?<![\w.-]){_PLACE}(?:-{_PLACE})*(?:[ ,/]{{1,3}}{_PLACE}(?:-{_PLACE})*){{5,50000}}(?![\w.-])")
_MORSE = re.compile(r"(?<!\S)[.-]{1,6}(?: / |[ /\n]{1,2})(?:[.-]{1,6}(?: / |[ /\n]{1,2}|\Z)){14,50000}")
_ITS_LETTERS = (
    "a.- b-... c-.-. d-.. e. f..-. g--. h.... i.. j.--- k-.- l.-.. m-- n-. o--- p.--. q--.- r.-. s... t- u..- v...- w.-- x-..- "
    "y-.-- z--.. 0----- 1.---- 2..--- 3...-- 4....- 5..... 6-.... 7--... 8---.. 9----."
).split()
_LETTER_OF = {code[1:]: code[0] for code in _ITS_LETTERS}
_BOXES = (
    {0xE0000 + k: k for k in range(0x20, 0x7F)}
    | {0x1F1E6 + k: ord("a") + k for k in range(26)}
    | {0x1F150 + k: ord("a") + k for k in range(26)}
    | {0x1F170 + k: ord("a") + k for k in range(26)}
)
_BOX = re.compile("[\U000e0020-\U000e007e\U0001f1e6-\U0001f1ff\U0001f150-\U0001f169\U0001f170-\U0001f189]+")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{8,50000}")


def _dumps(reading: Reading) -> Reading:
    return reading.substituted("hex", _DUMP, _undumped) if _DUMPED.search(reading.text) else reading


def _undumped(match: re.Match[str]) -> str:
    digits = "".join(line[1] or line[2] for line in _DUMP_LINE.finditer(match[0])).replace(" ", "")
    if not digits or len(digits) % 2:
        return match[0]
    return f" {bytes.fromhex(digits).decode('utf-8', 'replace')} "


def _codes(reading: Reading) -> Reading:
    reading = reading.substituted("decimal codes", _CALLS, lambda m: _said(re.findall(r"\d+", m[0]), 10))
    reading = reading.substituted("octal codes", _OCTAL, lambda m: _said(re.findall(r"\d+", m[0]), 8))
    return reading.substituted("hex", _BYTES, lambda m: _said(re.findall(r"(?:0x|U\+00)(\w\w)", m[0]), 16))


def _said(numbers: list[str], base: int) -> str:
    data = bytes(min(255, int(number, base)) for number in numbers)
    return f" {data.decode('utf-8', 'replace')} "


def _places(reading: Reading) -> Reading:
    """Letters by their places in the alphabet: "2-18-15-14-26-5"."""
    return reading.substituted("places in the alphabet", _PLACES, _by_place)


def _by_place(match: re.Match[str]) -> str:
    if match[0].count("-") < _LEAST_BOXED:
        return match[0]
    return re.sub(r"\d+", lambda m: chr(96 + int(m[0])), match[0]).replace("-", "")


def _morse(reading: Reading) -> Reading:
    return reading.substituted("Morse", _MORSE, _from_morse)


def _from_morse(match: re.Match[str]) -> str:
    words = re.split(r"/|\n|  ", match[0])
    return f" {' '.join(''.join(_LETTER_OF.get(code, '') for code in word.split()) for word in words)} "


def _boxes(reading: Reading) -> Reading:
    """Tag characters, which nobody sees, and letters in boxes and circles that Unicode calls signs."""
    reading = reading.substituted("letters in signs", _SELECTORS, _selected)
    return reading.substituted("letters in signs", _BOX, lambda match: match[0].translate(_BOXES))


def _selected(match: re.Match[str]) -> str:
    """Variation selectors as the bytes that their numbers are."""
    data = bytes(ord(c) - 0xFE00 if ord(c) < 0x10000 else ord(c) - 0xE0100 + 16 for c in match[0])
    return f" {data.decode('utf-8', 'replace')} "


BOXES = Step(shows=any_of(BOXED, least=_LEAST_BOXED), apply=_boxes)
DUMPS = Step(shows=all_of(any_of(DIGIT, least=_LEAST_CODES), any_of("\n", least=2)), apply=_dumps)
"""To be undone before other runs of hexadecimal digits are; and before characters that nobody sees are dropped."""

CHARACTERS = (
    Step(shows=any_of(DIGIT, least=_LEAST_CODES), apply=_codes),
    Step(shows=all_of(any_of(DIGIT, least=_LEAST_CODES), any_of("-", least=12)), apply=_places),
    Step(shows=any_of("-", least=12), apply=_morse),
)
"""Each of them only where so much of it stands together that it can hardly be anything else."""
