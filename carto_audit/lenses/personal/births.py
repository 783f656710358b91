"""Dates of birth: a whole date beside a word of birth, in English, German and French. A year or a day alone is none."""

import re
from collections.abc import Iterator

Interval = tuple[int, int]

_MONTH = (
    r"(?i:jan(?:uary|uar|\.)?|janv(?:ier|\.)|jänner|feb(?:ruary|ruar|\.)?|févr(?:ier|\.)|fevrier|mar(?:ch|s"
    r"|\.)?|mär(?:z|\.)|märz"
    r"|apr(?:il|\.)?|avr(?:il|\.)|may|mai|june?|jun(?:i|\.)|juin|july?|jul(?:i|\.)|juil(?:let|\.)|aug(?:ust|\.)?|août|aout"
    r"|sept?(?:ember|embre|\.)?|oct(?:ober|obre|\.)?|okt(?:ober|\.)?|nov(?:ember|embre|\.)?|dec(?:ember|\.)?|déc(?:embre|\.)"
    r"|decembre|dez(?:ember|\.)?)"
)
_DAY, _MONTH_NUMBER, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:1[6-9]\d\d|20\d\d)"

DATE = (
    rf"(?<![\w/.-])(?:{_YEAR} ?[-/.] ?{_MONTH_NUMBER} ?[-/.] ?{_DAY}"
    rf"|(?:{_DAY} ?[-/.] ?{_MONTH_NUMBER}|{_MONTH_NUMBER} ?[-/.] ?{_DAY}) ?[-/.] ?(?:{_YEAR}|\d\d)"
    rf"|{_DAY}(?:st|nd|rd|th|er|\.)?(?: of)?[ -]?{_MONTH} ?,?[ -]?{_YEAR}"
    rf"|{_MONTH} {_DAY}(?:st|nd|rd|th)? ?,? {_YEAR}"
    r"|(?:19\d\d|20\d\d)(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?![\w]|[-/]\d)"
)
"""A whole date with a year, as it is written in the three languages; the day and the month in either order."""

_LINK = (
    r"(?:[\s\"'“„:=|>,(\[*_\\–-]|</?\w{1,8}>|(?i:it|it['’]s|is|was|falls|fell|on|the|day|ist|war|am|den|lautet|fällt|auf"
    r"|est|tombe|le)(?=\s)"
    r"|\([^()\n]{1,30}\)){0,10}"
)
"""What may stand between a word of birth and the date: signs, marks of HTML and a few small words."""

_WORDS = (
    r"(?:,?[ \n](?!(?:died|dead|and|who|when|until|before|after|since|but|raised|und|gestorben|starb|et|mort"
    r"|released|published)\b)"
    r"[^\s.;()]{1,24}){0,8}?"
)
"""Names and places between "born" and the date."""

_BEFORE = re.compile(
    r"(?<![^\W_])(?:(?i:d\.? ?o\.? ?b\b\.?|date[ _-]?of[ _-]?birth|birth[ _-]?da(?:te|y)|born|geburts(?:datum"
    r"|tag)|geboren|geb\."
    r"|date[ _-]?de[ _-]?naissance|naissance|née?|né\(e\)|anniversaire)"
    rf"(?:{_LINK}|(?<=[a-zé)]){_WORDS} ?(?:,? ?(?:on|am|le|the) )?)|b\. ?|(?<=\()\* ?)(?P<date>{DATE})"
)
_AFTER = re.compile(
    rf"(?P<date>{DATE})(?:(?: in(?: [^\s.;]{{1,24}}){{1,2}})? geboren\b"
    r"| (?:is|was|ist|est) (?:\w{1,8} )?(?i:birthday|geburtstag|anniversaire)\b"
    r"|,?(?: [^\s.;]{1,24}){1,5}? was born\b(?! (?:on|to die)\b))"
)
_HINTS = ("born", "birth", "geb", "naissance", "né", "annivers", "dob", "d.o.b", "d. o. b", "b. ", "(*")


def birth_dates(text: str) -> Iterator[Interval]:
    """Whole dates that a word of birth stands beside."""
    lowered = text.lower()
    if any(hint in lowered for hint in _HINTS):
        for pattern in (_BEFORE, _AFTER):
            yield from (found.span("date") for found in pattern.finditer(text))
