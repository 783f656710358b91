"""Decoded text: runs of base64, base32, hex and other codes that decode to text."""

import base64
import binascii
import re
import string
import zlib
from collections.abc import Callable

from carto_audit.text.untrusted import INVISIBLE
from carto_audit.text.views.characters import BOXES, CHARACTERS, DUMPS
from carto_audit.text.views.reading import Reading
from carto_audit.text.views.signs import DIGIT, LONGEST_RUN, any_of
from carto_audit.text.views.steps import Step

_LEAST_TEXT = 0.9  # share of characters of a text that can be printed
_HALF_EMPTY = 0.4  # share of bytes that are 0 from which they are UTF-16
_OFFSETS = 4  # letters of base64 that hold three bytes together: other letters may stand before them
_LEAST_RUN, _LEAST_DIGITS = 24, 48  # characters
_LEAST_PADDED = 3  # words that end in a sign of base64 alone

_PRINTED = (string.printable[:-2] + "\b\x1b").encode()
_PROSE = frozenset(string.ascii_letters + string.digits + " \n\t.,;:!?'\"()-$%")
# A pattern that begins with a set of characters finds its first one fast: what must not stand before it is looked at second.
_HEX = re.compile(
    r"[0-9A-Fa-f](?<![0-9A-Za-z].)(?:(?<=0)x[0-9A-Fa-f])?[0-9A-Fa-f][ :,\n\"']{0,4}"
    r"(?:[0-9A-Fa-f]{2}[ :,\n\"']{0,4}){15,200000}(?![0-9A-Za-z])"
)
_BASE32 = re.compile(r"(?<![A-Za-z0-9+/=])[A-Z2-7]{24,200000}={0,6}(?![A-Za-z0-9+/=])")
_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{20,200000}={0,2}(?:\r?\n[A-Za-z0-9+/_-]{4,200}={0,2}){0,5000}(?![A-Za-z0-9+/_-])"
)
_BASE85 = re.compile(r"(?<!\S)[!-~]{24,200000}(?!\S)")
_BINARY = re.compile(r"[01](?<![0-9].)[01]{7}[ ,\n\"']{0,4}(?:[01]{8}[ ,\n\"']{0,4}){7,100000}(?![0-9])")
_DECIMAL = re.compile(
    r"[13-9](?<![0-9].)(?:(?<=3)[2-9]|(?<=[4-9])[0-9]|(?<=1)(?:[01][0-9]|2[0-6]))[ ,;\n\"']{1,4}"
    r"(?:(?:3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6])[ ,;\n\"']{1,4}){10,100000}"
    r"(?:3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6])(?![0-9])"
)
_UUENCODED = re.compile(r"^begin [0-7]{3} [^\n]{1,100}\n(?:[ -`]{1,62}\n){1,20000}`?\n?end\b", re.MULTILINE)
_ASCII85 = re.compile(r"<~[!-uz\s]{20,200000}~>")
_PACKED = (b"\x1f\x8b", b"x\x01", b"x^", b"x\x9c", b"x\xda")
_MOST_EXPANDED = 1 << 20  # bytes
_PADDED = re.compile(r"[A-Za-z0-9+/]==?(?=\s|$)")
_UNSEEN = re.compile(rf"(?<=[!-~]){INVISIBLE.pattern}+(?=[!-~])")
_TOKEN = re.compile(r"[A-Za-z0-9+/_-]{2,}={0,2}")


def _decode_runs(reading: Reading) -> Reading:
    if not reading.text.isascii():
        reading = reading.substituted("unseen characters", _UNSEEN, "")
    for view, pattern, read in _CODES:
        reading = reading.substituted(view, pattern, _decoder(read))
    return reading


def _decode_digits(reading: Reading) -> Reading:
    for view, pattern, read in _DIGIT_CODES:
        reading = reading.substituted(view, pattern, _decoder(read))
    return reading


def _decoder(read: Callable[[str], bytes]) -> Callable[[re.Match[str]], str]:
    def decoded(match: re.Match[str]) -> str:
        for first in range(_OFFSETS if read is _base64 else 1):
            try:
                text = _text_of(read(match[0][first:]))
            except (ValueError, binascii.Error):
                continue
            if text:
                return f" {text} "
        return match[0]

    return decoded


def _text_of(data: bytes) -> str:
    """What some bytes say, in UTF-8 or UTF-16, codes and markup included; "" or an error where they are no text."""
    if data.count(0) >= _HALF_EMPTY * len(data):
        data = data.strip(b"\xff\xfe").replace(b"\0", b"")
    if len(data) < 8:
        return ""
    others = data.translate(None, _PRINTED)
    if len(others) <= (1 - _LEAST_TEXT) * len(data):
        return data.decode("utf-8", "replace")
    text = data.decode("utf-8")  # bytes at random rarely are
    good = len(data) - len(others) + sum(ord(c) > 127 and c.isalnum() for c in text)
    return text if good >= _LEAST_TEXT * len(text) else ""


def _hex(run: str) -> bytes:
    return bytes.fromhex(re.sub(r"[ :,\n\"']|^0x", "", run))


def _base32(run: str) -> bytes:
    bare = run.rstrip("=")
    return base64.b32decode(bare + "=" * (-len(bare) % 8))


def _base64(run: str) -> bytes:
    bare = re.sub(r"[ \r\n]", "", run).rstrip("=").replace("-", "+").replace("_", "/")
    if len(bare) < 24 or "=" in bare:
        raise ValueError("no run of base64")
    return _expanded(base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True))


def _expanded(data: bytes) -> bytes:
    """What gzip or zlib packed, a megabyte of it at most; other bytes as they are."""
    if not data.startswith(_PACKED):
        return data
    try:
        return zlib.decompressobj(47).decompress(data, _MOST_EXPANDED)
    except zlib.error as error:
        raise ValueError(str(error)) from error


def _uuencoded(run: str) -> bytes:
    return b"".join(binascii.a2b_uu(line) for line in run.split("\n")[1:] if line.strip("` ") not in ("", "end"))


def _ascii85(run: str) -> bytes:
    return base64.a85decode(run, adobe=True)


def _binary(run: str) -> bytes:
    bits = re.sub(r"\D", "", run)
    return bytes(int(bits[k : k + 8], 2) for k in range(0, len(bits), 8))


def _decimal(run: str) -> bytes:
    return bytes(int(code) for code in re.findall(r"\d+", run))


_CODES: tuple[tuple[str, re.Pattern[str], Callable[[str], bytes]], ...] = (
    ("hex", _HEX, _hex),
    ("base32", _BASE32, _base32),
    ("base64", _BASE64, _base64),
    ("uuencode", _UUENCODED, _uuencoded),
    ("base85", _ASCII85, _ascii85),
    ("base85", _BASE85, lambda run: base64.b85decode(run)),
)
_DIGIT_CODES: tuple[tuple[str, re.Pattern[str], Callable[[str], bytes]], ...] = (
    ("hex", _HEX, _hex),
    ("binary", _BINARY, _binary),
    ("decimal codes", _DECIMAL, _decimal),
)


def _decode_tokens(reading: Reading) -> Reading:
    """Words that are base64 each, where most of a stretch are."""
    if len(_PADDED.findall(reading.text)) < _LEAST_PADDED:
        return reading
    edits = []
    for match in _TOKEN.finditer(reading.text):
        if len(match[0]) % 4 == 0:
            try:
                text = base64.b64decode(match[0], validate=True).decode("ascii")
            except (ValueError, binascii.Error):
                continue
            if all(c in _PROSE for c in text):
                edits.append((match.start(), match.end(), text))
    padded = sum(reading.text[end - 1] == "=" for _, end, _ in edits)
    return reading.replaced("base64", edits) if padded >= _LEAST_PADDED else reading


DECODED = (
    BOXES,
    DUMPS,
    Step(shows=any_of(LONGEST_RUN, least=_LEAST_RUN), apply=_decode_runs),
    Step(shows=any_of(DIGIT, least=_LEAST_DIGITS), apply=_decode_digits),
    Step(shows=any_of("=", least=_LEAST_PADDED), apply=_decode_tokens),
    *CHARACTERS,
)
"""Codes. What they hold may be a code again, or markup."""
