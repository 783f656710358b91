"""Decoded text: runs of base64, base32, hex and other codes that decode to text, and texts under a simple cipher."""

import base64
import binascii
import re
import string
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from carto_audit.text.views.characters import CHARACTERS, DUMPS
from carto_audit.text.views.reading import Reading
from carto_audit.text.views.signs import DIGIT, LONGEST_RUN, any_of
from carto_audit.text.views.steps import Step
from carto_audit.text.words import Ragged, hash_words

_LEAST_TEXT = 0.9  # share of characters of a text that are letters, digits, spaces or marks of prose
_LEAST_RUN, _LEAST_DIGITS = 24, 48  # characters
_LEAST_MARKERS = 3
"""Different frequent words of English that a text must hold under a cipher."""

_PROSE = frozenset(string.ascii_letters + string.digits + " \n\t.,;:!?'\"()-$%")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:0x)?((?:[0-9A-Fa-f]{2}[ :,\n]?){16,200000})(?![0-9A-Za-z])")
_BASE32 = re.compile(r"(?<![A-Za-z0-9+/=])[A-Z2-7]{24,200000}={0,6}(?![A-Za-z0-9+/=])")
_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{20,200000}={0,2}(?:\r?\n[A-Za-z0-9+/_-]{4,200}={0,2}){0,5000}(?![A-Za-z0-9+/_-])"
)
_BASE85 = re.compile(r"(?<!\S)[!-~]{24,200000}(?!\S)")
_BINARY = re.compile(r"(?<![0-9])(?:[01]{8}[ ,\n]?){8,100000}(?![0-9])")
_DECIMAL = re.compile(
    r"(?<![0-9])(?:(?:3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6])[ ,;]{1,2}){11,100000}"
    r"(?:3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6])(?![0-9])"
)
_UUENCODED = re.compile(r"^begin [0-7]{3} [^\n]{1,100}\n(?:[ -`]{1,62}\n){1,20000}`?\n?end\b", re.MULTILINE)
_ASCII85 = re.compile(r"<~[!-uz\s]{20,200000}~>")
_PACKED = (b"\x1f\x8b", b"x\x01", b"x^", b"x\x9c", b"x\xda")
_MOST_EXPANDED = 1 << 20  # bytes
_PADDED = re.compile(r"[A-Za-z0-9+/]==?(?=\s|$)")
_TOKEN = re.compile(r"[A-Za-z0-9+/_-]{2,}={0,2}")

_MARKERS = (
    "the and for how many she her his with that each are was what which from they all have this not did were following "
    "when would their there been will your about into than only other some time these two may then first any over most "
    "under between same does where who statement true because after before has had more much per day total"
).split()
_LOWER = string.ascii_lowercase
_KEYS, _NEXT_KEYS = "qwertyuiopasdfghjklzxcvbnm", "wertyuiopqsdfghjklaxcvbnmz"
_UPRIGHT = "abcdefghijklmnopqrtuvwyz"
_FLIPPED = "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹʇnʌʍʎz"
_DOUBLED = re.compile(r"([^\W\d_])\1")
_WORD_OR_NOT = re.compile(r"([^\W_]+)|[\W_]+")


def _decode_runs(reading: Reading) -> Reading:
    for view, pattern, read in _CODES:
        reading = reading.substituted(view, pattern, _decoder(read))
    return reading


def _decode_digits(reading: Reading) -> Reading:
    for view, pattern, read in _DIGIT_CODES:
        reading = reading.substituted(view, pattern, _decoder(read))
    return reading


def _decoder(read: Callable[[str], bytes]) -> Callable[[re.Match[str]], str]:
    def decoded(match: re.Match[str]) -> str:
        try:
            text = read(match[0]).decode("utf-8")
        except (ValueError, binascii.Error):
            return match[0]
        return f" {text} " if _is_text(text) else match[0]

    return decoded


def _is_text(text: str) -> bool:
    """Whether it reads like prose, or like letters of another script; bytes at random rarely are UTF-8 at all."""
    if len(text) < 8:
        return False
    good = sum(c in _PROSE or (ord(c) > 127 and c.isalnum()) for c in text)
    return good >= _LEAST_TEXT * len(text)


def _hex(run: str) -> bytes:
    return bytes.fromhex(re.sub(r"[ :,\n]|^0x", "", run))


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
    if len(_PADDED.findall(reading.text)) < _LEAST_MARKERS:
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
    return reading.replaced("base64", edits) if padded >= _LEAST_MARKERS else reading


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cipher:
    """A table that leads from written letters to the ones that were meant, and whether the text stands in reverse."""

    name: str
    table: dict[int, int]
    is_reversed: bool = False
    doubles: bool = False

    def written(self, word: str) -> str:
        """A word under the cipher."""
        written = word.translate({plain: code for code, plain in self.table.items() if chr(plain).islower()})
        written = written[::-1] if self.is_reversed else written
        return "".join(c + c for c in written) if self.doubles else written


@cache
def _ciphers() -> tuple[dict[int, int], list[_Cipher]]:
    """Which cipher the hash of a word is a marker of, and the ciphers."""
    found = [_Cipher(name=f"rot{shift}", table=_alphabet(_LOWER[shift:] + _LOWER[:shift])) for shift in range(1, 26)]
    found += [
        _Cipher(name="atbash", table=_alphabet(_LOWER[::-1])),
        _Cipher(name="reversed", table={}, is_reversed=True),
        _Cipher(name="rot47", table={33 + (k + 47) % 94: 33 + k for k in range(94)}),
        _Cipher(name="shifted keys", table=str.maketrans(_NEXT_KEYS + _NEXT_KEYS.upper(), _KEYS + _KEYS.upper())),
        _Cipher(name="shifted keys", table=str.maketrans(_KEYS + _KEYS.upper(), _NEXT_KEYS + _NEXT_KEYS.upper())),
        _Cipher(name="upside down", table=str.maketrans(_FLIPPED, _UPRIGHT), is_reversed=True),
        _Cipher(name="doubled letters", table={}, doubles=True),
    ]
    words: dict[int, int] = {}
    for number, cipher in enumerate(found):
        hashes = hash_words([cipher.written(word) for word in _MARKERS])
        single = hashes.offsets[:-1][np.diff(hashes.offsets) == 1]  # under some ciphers a word falls apart
        for value in hashes.values[single].tolist():
            words.setdefault(value, number)
    for value in hash_words(_MARKERS).values.tolist():
        words.pop(value, None)
    return words, found


def _alphabet(cipher: str) -> dict[int, int]:
    """What undoes the cipher that writes the letter `cipher[k]` for the k-th letter."""
    return str.maketrans(cipher + cipher.upper(), _LOWER + _LOWER.upper())


def ciphers_of(words: Ragged, most: int) -> Iterator[tuple[int, int]]:
    """Texts that hold enough frequent words under a cipher, each with that cipher's number; at most so many a text."""
    markers, _ = _ciphers()
    known = np.array(sorted(markers), dtype=np.uint64)
    may_be = np.zeros(1 << 16, dtype=bool)  # by the first bits, so that most words cost one look
    may_be[known >> np.uint64(48)] = True
    maybe = np.flatnonzero(may_be[words.values >> np.uint64(48)])
    hits = maybe[np.isin(words.values[maybe], known)]
    owner = np.searchsorted(words.offsets, hits, side="right") - 1
    seen: dict[int, dict[int, set[int]]] = {}
    for text, value in zip(owner.tolist(), words.values[hits].tolist(), strict=True):
        seen.setdefault(text, {}).setdefault(markers[value], set()).add(value)
    for text, distinct in seen.items():
        likely = sorted((-len(found), cipher) for cipher, found in distinct.items() if len(found) >= _LEAST_MARKERS)
        yield from ((text, cipher) for _, cipher in likely[:most])


def deciphered(reading: Reading, number: int) -> Iterator[Reading]:
    """The whole text with one cipher undone; where words stand in reverse, their order may or may not."""
    cipher = _ciphers()[1][number]
    size = len(reading.text)
    places = np.arange(size, dtype=np.int64)
    if cipher.doubles:
        yield reading.substituted(cipher.name, _DOUBLED, lambda match: match[1])
        return
    text = reading.text.translate(cipher.table)
    if cipher.is_reversed:
        places, text = places[::-1], text[::-1]
    yield reading.reordered(cipher.name, places, text, (0, size))
    if cipher.is_reversed and not cipher.table:
        order = np.concatenate(
            [np.arange(m.start(), m.end())[:: -1 if m[1] else 1] for m in _WORD_OR_NOT.finditer(reading.text)]
        )
        text = "".join(reading.text[k] for k in order.tolist())
        yield reading.reordered("words reversed", order, text, (0, size))


_RUNS = Step(shows=any_of(LONGEST_RUN, least=_LEAST_RUN), apply=_decode_runs)

DECODED = (
    DUMPS,
    _RUNS,
    _RUNS,
    Step(shows=any_of(DIGIT, least=_LEAST_DIGITS), apply=_decode_digits),
    Step(shows=any_of("=", least=_LEAST_MARKERS), apply=_decode_tokens),
    *CHARACTERS,
)
"""Codes, one within another undone as well."""
