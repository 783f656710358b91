"""Numbers that name a person: telephone numbers and national identifiers, each checked by the library that knows it.

Candidates are found by regex; phonenumbers and python-stdnum check them. After _MOST_CHECKS of them a window is not worth the
time: the rest counts as found.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module

import phonenumbers

Interval = tuple[int, int]

_MOST_CHECKS = 60

_REGIONS = ("US", "IN", "ES", "BR", "JP", "AU", "FR")
"""Countries where many numbers are written without a prefix and have a fixed length, which keeps dates and sums out."""

_NATIONAL = (
    "at.vnr be.nn bg.egn br.cpf ca.sin ch.ssn cn.ric cz.rc de.idnr dk.cpr ee.ik es.dni es.nie fi.hetu fr.nir gb.nhs gr.amka "
    "hr.oib ie.pps in_.aadhaar in_.pan it.codicefiscale kr.rrn mx.curp nl.bsn no.fodselsnummer pl.pesel pt.cc ro.cnp "
    "se.personnummer tr.tckimlik us.itin za.idnr"
).split()
"""Identifiers of persons that carry a check of their own, by country."""

_PHONE = re.compile(r"(?<![\w+])[+(]{0,2}\d(?:[ ().\-/]{0,2}\d){6,15}(?!\w)")
_TOKEN = re.compile(r"(?<![\w.])(?=[A-Za-z]{0,6}\d)[A-Za-z0-9]{2,18}(?:[.\-/+ ][A-Za-z0-9]{1,11}){0,4}(?![\w])")


def phones(text: str) -> Iterator[Interval]:
    """Telephone numbers with a prefix in any country, and those without one that are valid in a large country."""
    checked = 0
    for found in _PHONE.finditer(text):
        digits = sum(c.isdigit() for c in found.group())
        if found.group().startswith(("+", "00", "(")):
            sure = digits >= 8
        else:
            # With a trunk zero, or ten digits in groups as in North America; not the dates that prose is full of.
            sure = digits >= 9 and (
                found.group().startswith("0")
                or re.fullmatch(r"(?:1[ .-])?\d{3}[ .-]\d{3}[ .-]\d{4}", found.group()) is not None
            )
        if not sure and digits >= 9:
            checked += 1
            sure = checked > _MOST_CHECKS or _is_phone(found.group())
        if sure:
            yield found.span()


def identifiers(text: str) -> Iterator[Interval]:
    """National identifiers whose check digits hold, written with or without separators."""
    checked = 0
    for found in _TOKEN.finditer(text):
        for start, end in _readings(found):
            written = text[start:end]
            letters, digits = (sum(check(c) for c in written) for check in (str.isalpha, str.isdigit))
            if digits < 6 or letters + digits < 8 + (not letters):
                continue
            checked += 1
            if checked > _MOST_CHECKS or any(is_valid(written) for is_valid in _validators()):
                yield start, end
                break


def _readings(found: re.Match[str]) -> list[Interval]:
    """The whole candidate, and its parts between spaces: words may stand beside a number."""
    whole = [found.span()]
    parts = [(found.start() + part.start(), found.start() + part.end()) for part in re.finditer(r"\S+", found.group())]
    return whole + parts if len(parts) > 1 else whole


def _is_phone(written: str) -> bool:
    for region in _REGIONS:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(written, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False


@cache
def _validators() -> tuple[Callable[[str], bool], ...]:
    return tuple(import_module(f"stdnum.{name}").is_valid for name in _NATIONAL)
