"""Numbers that name a person: telephone numbers and national identifiers, each checked by the library that knows it.

Numbers that name none, such as those of books, are told as well.

Candidates are found by regex; phonenumbers and python-stdnum check them. After _MOST_CHECKS of them a window is not worth the
time: the rest counts as found.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module

Interval = tuple[int, int]

_MOST_CHECKS = 60

_REGIONS = ("US", "IN", "ES", "BR")
"""Countries where many numbers are written without a prefix or a trunk zero and have a fixed length, which keeps dates and sums
out."""

_NATIONAL = (
    "at.vnr be.nn bg.egn br.cpf ca.sin ch.ssn cn.ric cz.rc de.idnr dk.cpr ee.ik es.dni es.nie fi.hetu fr.nir gb.nhs gr.amka "
    "hr.oib ie.pps in_.aadhaar in_.pan it.codicefiscale kr.rrn mx.curp nl.bsn no.fodselsnummer pl.pesel pt.cc ro.cnp "
    "se.personnummer tr.tckimlik us.itin za.idnr"
).split()
"""Identifiers of persons that carry a check of their own, by country."""

_PHONE = re.compile(r"(?<![\w+])([+(]{0,2}\d(?:[ ().\-/]{0,2}\d){6,15})(?:[ ,]{0,2}(?:x|[Ee]xt\.?) ?\d{1,6})?(?!\w)")
"""The number, and the extension behind it."""
_PLAIN = re.compile(
    r"00?[.,]\d.*"  # decimals
    r"|[01]+(?:[ -][01]+)+"  # bits
    r"|\d+\.\d{5,}"  # a decimal, or the end of a DOI
    r"|\d{5}-\d{4}"  # a ZIP code
    r"|\d\d?([./-])\d\d?\1\d{4}-\d\d?\1\d\d?\1\d{4}"  # from one date to another
    r"|(?:\d+\.)*\d\.(?:\d+\.)+\d+|\d+(?:\.\d+)+\.\d"  # a version
)
"""What is written like no telephone number and no identifier, unless a prefix says so."""

_NIR = re.compile(r"(?<![\d.])[12378] \d\d \d\d \d[\dAB] \d{3} \d{3} \d\d(?!\d)")
"""The French number in its seven groups, more than `_TOKEN` reads."""

_MOST_NUMBER_GROUPS = 4
"""Groups of digits alone in which an identifier is written; more are the numbers of a table."""

_BOOK = re.compile(r"(?<![\w-])97[89][ -]?\d(?:[ -]?\d){9}(?!\w)")
_NAMED_BOOK = re.compile(r"(?i)(?<=ISBN)(?:-1[03])?:? {0,2}(\d(?:[ -]?\d){8}[ -]?[\dX])(?!\w)")
_PUBLIC = re.compile(
    r"(?<![\w.])10\.\d{4,9}/[^\s\"'<>]{1,200}"  # DOI
    r"|(?<![\w.])arXiv:\d{4}\.\d{4,5}"
    r"|(?<![\w-])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![\w-])"  # UUID
    r"|(?<![\w.-])\d{4}([-/])(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])(?:[T ][012]\d(?=:[0-5]\d))?"  # a date, its hour
)

_CURRENCY = "USD|EUR|GBP|CHF|JPY|CNY|INR|IDR|BRL|SEK|NOK|DKK|CZK|PLN"
_SUM = re.compile(
    rf"(?<!\w)(?:[$€£¥₹]|(?:{_CURRENCY}) ?)\d{{1,3}}(?:[ .,]\d{{3}}){{0,5}}(?![ .,]?\d)"
    rf"|(?<![\w.,])\d{{1,3}}(?:[ .,]\d{{3}}){{1,5}}(?:[.,]\d\d)?(?= ?(?:[$€£¥₹]|(?:{_CURRENCY}|Kč|kr|zł)\b))"
)

_TOKEN = re.compile(r"(?<![\w.])(?=[A-Za-z]{0,6}\d)[A-Za-z0-9]{2,18}(?:[.\-/+ ][A-Za-z0-9]{1,11}){0,4}(?![\w])")


def phones(text: str) -> Iterator[Interval]:
    """Telephone numbers with a prefix in any country, and those without one that are valid in a large country."""
    checked = 0
    for found in _PHONE.finditer(text):
        # A bracket that is not closed belongs to the sentence.
        written = found.group(1) if ")" in found.group(1) else found.group(1).lstrip("(")
        digits = sum(c.isdigit() for c in written)
        bare = not written.startswith(("+", "("))
        if bare and _PLAIN.fullmatch(written):
            continue
        if not bare or written.startswith("00"):
            sure = digits >= 8
        else:
            # With a trunk zero, or ten digits in groups as in North America; not the dates that prose is full of.
            sure = digits >= 9 and (
                written.startswith("0") or re.fullmatch(r"(?:1[ .-])?\d{3}[ .-]\d{3}[ .-]\d{4}", written) is not None
            )
        if not sure and digits >= 9:
            checked += 1
            sure = checked > _MOST_CHECKS or _is_phone(written)
        if sure:
            yield found.end(1) - len(written), found.end()


def identifiers(text: str) -> Iterator[Interval]:
    """National identifiers whose check digits hold, written with or without separators."""
    checked = 0
    yield from (found.span() for found in _NIR.finditer(text) if _is_nir(found.group()))
    for found in _TOKEN.finditer(text):
        for start, end in _readings(found):
            written = text[start:end]
            letters, digits = (sum(check(c) for c in written) for check in (str.isalpha, str.isdigit))
            if digits < 6 or letters + digits < 8 + (not letters):
                continue
            if _PLAIN.fullmatch(written):
                continue
            if not letters and len(re.findall(r"\d+", written)) > _MOST_NUMBER_GROUPS:
                continue
            checked += 1
            if checked > _MOST_CHECKS or any(_holds(is_valid, written) for is_valid in _validators()):
                yield start, end
                break


def public_numbers(text: str) -> Iterator[Interval]:
    """Numbers that name no person: of books, with their check digit; of articles; UUIDs; dates, with the hour that follows;
    sums of money."""
    from stdnum import (
        isbn,
    )  # this library and the other take a tenth of a second: only who looks for numbers waits for them

    yield from (found.span() for found in _BOOK.finditer(text) if isbn.is_valid(found.group()))
    yield from (found.span(1) for found in _NAMED_BOOK.finditer(text) if isbn.is_valid(found.group(1)))
    for pattern in (_PUBLIC, _SUM):
        yield from (found.span() for found in pattern.finditer(text))


def _readings(found: re.Match[str]) -> list[Interval]:
    """The whole candidate, and its parts between spaces: words may stand beside a number."""
    whole = [found.span()]
    parts = [(found.start() + part.start(), found.start() + part.end()) for part in re.finditer(r"\S+", found.group())]
    return whole + parts if len(parts) > 1 else whole


def _is_phone(written: str) -> bool:
    import phonenumbers

    for region in _REGIONS:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(written, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False


def _holds(is_valid: Callable[[str], bool], written: str) -> bool:
    try:
        return is_valid(written)
    except (LookupError, ValueError, ArithmeticError):
        # A check of the library may fall over a number that it cannot place: it is masked rather than shown.
        return True


def _is_nir(written: str) -> bool:
    return bool(import_module("stdnum.fr.nir").is_valid(written))


@cache
def _validators() -> tuple[Callable[[str], bool], ...]:
    return tuple(import_module(f"stdnum.{name}").is_valid for name in _NATIONAL)
