"""Keys in text: keys, tokens, passwords and private keys in code, configuration and prose. Linear time, nothing is asked online.

A key is told by the form that its issuer gave it, or by the name before it and by looking drawn. What has neither, such as forty
hexadecimal digits alone, is not told from a digest and not found.
"""

import re
import string
from collections.abc import Iterable, Iterator

from carto_audit.lenses.keys.forms import FORMS, Form
from carto_audit.lenses.keys.named import NAMED, Named
from carto_audit.lenses.values.value import Value

_FINDERS: tuple[Form | Named, ...] = (*FORMS, *NAMED)
_NEEDLES = [(word, place) for place, each in enumerate(_FINDERS) if not each.ignores_case for word in each.needles]
_LOW_NEEDLES = [(word, place) for place, each in enumerate(_FINDERS) if each.ignores_case for word in each.needles]

KEY_LABELS: tuple[str, ...] = tuple(dict.fromkeys(("private_key", *(each.label for each in _FINDERS))))
"""All labels, the most telling first: where two findings overlap, the label that stands first here holds.

`private_key` is what stands between the markers of a PEM block, `url_password` the password in `://user:password@host`,
`connection_password` that of `Server=…;Password=…`, `auth_header` what follows `Authorization: Bearer` or `Basic`;
`model_service_key`, `registry_token`, `messaging_key` and `service_token` are keys with a prefix of services that run models,
host packages, send messages, and of others; `password_assignment` and `generic_api_key` are told by their names.
"""

_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\\{1,2}[nr]|[\s\"'+]){0,64}")
_AGE = re.compile(r"(?<![A-Za-z0-9])AGE-SECRET-KEY-1[A-Z0-9]{58}(?![A-Za-z0-9])")
_BODY = re.compile(r"[A-Za-z0-9+/]{40}")
_LONGEST_BODY = 16_384

_ASCII_LOWER = {ord(c): ord(c.lower()) for c in string.ascii_uppercase}


def find_keys(text: str) -> list[Value]:
    """Keys in `text`, in order and disjoint, each without the name or the marker before it. Labels are those of KEY_LABELS.

    Any text is taken, and costs a bounded number of steps a character. Keys that documentations print for everyone, blanks to be
    filled in and public keys are left out.
    """
    low = _lowered(text)
    found = list(_private_keys(text))
    wanted = {place for needle, place in _NEEDLES if needle in text}
    wanted |= {place for needle, place in _LOW_NEEDLES if needle in low}
    for place in wanted:
        found += _FINDERS[place].found(text, low)
    return list(_disjoint(found))


def _lowered(text: str) -> str:
    """In lower case and of the same length, which some capital letters do not keep."""
    low = text.lower()
    return low if len(low) == len(text) else text.translate(_ASCII_LOWER)


def _private_keys(text: str) -> Iterator[Value]:
    """What stands between the markers of a private key; up to the end of the text, where the second one was cut off."""
    if "PRIVATE KEY" in text:
        for match in _BEGIN.finditer(text):
            start = match.end()
            stop = text.find("-----", start)
            body = _shorn(text[start : min(stop if stop >= 0 else len(text), start + _LONGEST_BODY)])
            if _BODY.search(body):
                yield Value(start=start, end=start + len(body), label="private_key")
    if "AGE-SECRET-KEY-1" in text:
        for match in _AGE.finditer(text):
            yield Value(start=match.start(), end=match.end(), label="private_key")


def _shorn(body: str) -> str:
    """Without white space, quotes and written line feeds at its end."""
    end = len(body)
    while end:
        if body[end - 1].isspace() or body[end - 1] in "\"'+\\":
            end -= 1
        elif body[end - 1] in "nr" and body[end - 2 : end - 1] == "\\":
            end -= 2
        else:
            break
    return body[:end]


def _disjoint(found: Iterable[Value]) -> Iterator[Value]:
    """Of values that overlap the one with the most telling label."""
    last: Value | None = None
    for value in sorted(found, key=lambda each: (each.start, each.end)):
        if last is not None and value.start < last.end:
            last = min(last, value, key=lambda each: KEY_LABELS.index(each.label))
        else:
            if last is not None:
                yield last
            last = value
    if last is not None:
        yield last
