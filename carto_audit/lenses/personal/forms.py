"""Values by form and check digit, as redaction finds them, without examples, networks, decimals and counts."""

import ipaddress
import re
from collections.abc import Iterator

from carto_audit.text.identifiers import identifiers, phones
from carto_audit.text.redaction import labelled_spans

_LABELS = {
    "[email]": "email",
    "[phone]": "phone",
    "[ip]": "ip_address",
    "[card]": "card",
    "[iban]": "iban",
    "[ssn]": "national_id",
    "[id]": "national_id",
}
"""What redaction masks and is a person's, under the name that it has here."""

_CHECKS = {"[phone]": phones, "[id]": identifiers}
"""Redaction masks what is left of a text full of numbers unchecked; here each of them is asked again, alone."""

FORM_LABELS = tuple(dict.fromkeys(_LABELS.values()))

_NO_PERSON = re.compile(
    r"(?i)(?:someone|somebody|user|username|foo|bar|no-?reply|postmaster|mailer-daemon|[\d.]{20,}"
    r"|[\w.-]{1,30}-(?:bugs|users|list|dev))@.*"
    r"|[^@]+@(?:lists?\.|(?:my|your|domain|yourdomain|mydomain|host|server)\.(?:org|com|net)).*"
    r"|(?P<name>[^@]{1,64})@(?P=name)\.\w+"
)
"""Addresses of lists and of examples: also those where the domain is called like the person, such as one@one.org."""

_NETWORK = re.compile(r"/\d|\.[a-zA-Z]")
_EXAMPLES = {"123.45.67.89", "123.123.123.123"}
_LOWEST_IPV4 = 50
"""Four numbers that are all smaller are a version; one in 600 addresses is so too."""

_WITHIN = re.compile(r"(?:[^\W\d]|)-|\w\(|\d\.")
"""Before a number that is part of a name, of a call or of a decimal."""
_DECIMAL = re.compile(r"[+-]?\d+\.\d+")
_NAMED_NUMBER = re.compile(
    r"(?i)(?:id|ssn|sin|bsn|cpr|nif|nie|dni|tax|social|security|insurance|national|number|nr|no|nummer|n°|nº"
    r"|phone|tel|mobile|call|cell)"
    r"[\s.:#=\"'()]{0,5}(?:is |ist |est )?$"
)
_SHORT = 9
"""So many digits without a sign between them pass the check of some country too often: a word has to stand before them."""

_OLD_CARD = re.compile(r"(?<![\w.,-])(?:(?:50|5[6-9]|6\d)\d{10}|(?:1800|2131)\d{11})(?![\w]|[.,-]\d)")
"""Short Maestro and old JCB numbers, which redaction masks as numbers."""
_NEXT_SENTENCE = re.compile(r"(?<=\d{2})\. \d{1,3}$")
_SUM = re.compile(r"[1-9]\d{0,7}(?:(?:-[1-9]\d{0,7})+|/[1-9]\d{0,7})")
_RESULT = re.compile(r" ?(?:=|<<|>>)")
_NAMED_ID = re.compile(r"(?i)\b(?:id|nhs|ssn|sin|tax|insurance|identity|steuer|identifikations)\b.{0,20}$")
_INSURED = re.compile(
    r"(?<!\w)(?!BG|GB|NK|KN|TN|NT)(?:[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]|ZZ) ?\d\d( ?)\d\d\1\d\d ?[A-DT](?!\w)"
)
"""The British national insurance number, which has no check digit. ZZ and T are those of examples."""


def by_form(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and class of what has the form of a value of a person."""
    yield from ((*found.span(), "card") for found in _OLD_CARD.finditer(text) if _passes_luhn(found.group()))
    yield from ((*found.span(), "national_id") for found in _INSURED.finditer(text))
    for start, end, mask in labelled_spans(text):
        label = _LABELS.get(mask)
        tail = _NEXT_SENTENCE.search(text, start, end) if label in ("phone", "ip_address") else None
        end = tail.start() if tail else end
        if label == "email" and _NO_PERSON.fullmatch(text, start, end):
            continue
        if label == "ip_address" and not _is_public(text, start, end):
            continue
        if mask in _CHECKS and not any(True for _ in _CHECKS[mask](text[start:end])):
            continue
        if label in ("phone", "national_id"):
            label = _number(text, start, end, label)
        if label is not None:
            yield start + _unclosed(text[start:end]), end, label


def _is_public(text: str, start: int, end: int) -> bool:
    """Whether this is the address of one machine on the internet: not of a network, of a home network or of an example."""
    try:
        address = ipaddress.ip_address(text[start:end])
    except ValueError:
        return False
    if not address.is_global or address.is_multicast or _NETWORK.match(text, end) or text[start:end] in _EXAMPLES:
        return False
    return address.version == 6 or any(part >= _LOWEST_IPV4 for part in address.packed)


def _number(text: str, start: int, end: int, label: str) -> str | None:
    """The class of a telephone or national number; None for a decimal, a part of a name, and a short run of digits."""
    written, before = text[start:end], text[max(start - 2, 0) : start]
    if _DECIMAL.fullmatch(written) or _WITHIN.fullmatch(before):
        return None
    if _SUM.fullmatch(written) and (before.endswith(("$", "<<", "= ")) or _RESULT.match(text, end)):
        return None
    if (
        label == "phone"
        and _NAMED_ID.search(text, max(start - 40, 0), start)
        and (0, len(written)) in identifiers(written)
    ):
        return "national_id"
    if not written.isdigit():
        return label
    if len(written) <= _SHORT and not (label == "phone" and written.startswith("0")):
        return label if _NAMED_NUMBER.search(text, max(start - 40, 0), start) else None
    if label == "phone" and len(written) > _SHORT + 1 and not written.startswith("0"):
        # A check digit of eleven and more says more than the plan of numbers of some large country.
        return "national_id" if (0, len(written)) in identifiers(written) else label
    return label


def _unclosed(written: str) -> int:
    """Brackets at the beginning that belong to the sentence."""
    return max(written.count("(") - written.count(")"), 0) if written.startswith("(") else 0


def _passes_luhn(digits: str) -> bool:
    from stdnum import luhn

    return bool(luhn.is_valid(digits))
