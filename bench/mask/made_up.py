"""Made-up secrets and personal data, in the forms in which they are written. Check digits are computed here, not by the mask."""

import base64
import json
import random
import string
from collections.abc import Callable, Mapping, Sequence

ALPHANUMERIC = string.ascii_letters + string.digits
UPPER = string.ascii_uppercase + string.digits
BASE32 = string.ascii_uppercase + "234567"

Maker = Callable[[random.Random], str]


def text_of(rng: random.Random, alphabet: str, length: int) -> str:
    """So many characters of an alphabet."""
    return "".join(rng.choices(alphabet, k=length))


def digits(rng: random.Random, length: int) -> str:
    """So many digits."""
    return text_of(rng, string.digits, length)


def luhn_digit(body: str) -> str:
    """The digit that makes `body` and it pass Luhn."""
    total = sum(sum(divmod(2 * int(c), 10)) if k % 2 == 0 else int(c) for k, c in enumerate(reversed(body)))
    return str(-total % 10)


def weighted(body: str, weights: Sequence[int]) -> int:
    """The sum of digits times weights."""
    return sum(int(c) * weight for c, weight in zip(body, weights, strict=True))


def grouped(text: str, sizes: Sequence[int], separator: str) -> str:
    """The text in groups of these sizes."""
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    return separator.join(part for part in parts if part)


def email(rng: random.Random) -> str:
    first, last = (
        rng.choice(("ana", "Bo", "chidi", "d", "élise", "WEI")),
        rng.choice(("ortiz", "lee", "Okoro", "o'neil")),
    )
    local = rng.choice(
        (f"{first}.{last}", f"{first}_{last}", f"{first}+news", f"{last}{rng.randrange(100)}", f"{first}-{last}")
    )
    host = rng.choice(
        ("example.com", "mail.example.co.uk", "uni-beispiel.de", "x.io", "EXAMPLE.ORG", "bücher.example", "a.museum")
    )
    return f"{local}@{host}"


def card(rng: random.Random) -> str:
    start, length = rng.choice(
        (
            ("4", 16),
            ("51", 16),
            ("55", 16),
            ("2221", 16),
            ("6011", 16),
            ("34", 15),
            ("37", 15),
            ("6221", 19),
            ("3056", 14),
        )
    )
    body = start + digits(rng, length - len(start) - 1)
    number = body + luhn_digit(body)
    sizes = {15: (4, 6, 5), 14: (4, 6, 4)}.get(length, (4, 4, 4, 4, 3))
    return grouped(number, sizes, rng.choice(("", " ", "-")))


_IBANS: Mapping[str, str] = {
    "DE": "n" * 18,
    "GB": "aaaa" + "n" * 14,
    "FR": "n" * 10 + "c" * 11 + "nn",
    "NL": "aaaa" + "n" * 10,
    "NO": "n" * 11,
    "CH": "n" * 5 + "c" * 12,
    "ES": "n" * 20,
    "PL": "n" * 24,
    "MT": "aaaa" + "n" * 5 + "c" * 18,
    "BE": "n" * 12,
    "SA": "nn" + "c" * 18,
}


def iban(rng: random.Random) -> str:
    country = rng.choice(sorted(_IBANS))
    alphabets = {"n": string.digits, "a": string.ascii_uppercase, "c": UPPER}
    account = "".join(rng.choice(alphabets[kind]) for kind in _IBANS[country])
    check = 98 - int("".join(str(int(c, 36)) for c in f"{account}{country}00")) % 97
    number = f"{country}{check:02}{account}"
    return rng.choice((number, grouped(number, [4] * 9, " ")))


def ssn(rng: random.Random) -> str:
    area = rng.choice([k for k in range(1, 900) if k != 666])
    return rng.choice("- ").join((f"{area:03}", f"{rng.randrange(1, 100):02}", f"{rng.randrange(1, 10000):04}"))


def ipv4(rng: random.Random) -> str:
    return ".".join(str(rng.randrange(1, 256)) for _ in range(4))


def ipv6(rng: random.Random) -> str:
    words = [f"{rng.randrange(65536):x}" for _ in range(8)]
    return rng.choice(
        (
            ":".join(words),
            ":".join(words).upper(),
            f"2001:db8::{words[0]}:{words[1]}",
            f"fe80::{words[0]}:{words[1]}:{words[2]}:{words[3]}",
            f"::ffff:{ipv4(rng)}",
            f"fd{rng.randrange(256):02x}:{words[0]}:{words[1]}::1",
            f"{words[0]}:{words[1]}:{words[2]}:{words[3]}::",
        )
    )


def phone_abroad(rng: random.Random) -> str:
    """With the prefix of a country."""
    return rng.choice(
        (
            f"+1 415 555 {digits(rng, 4)}",
            f"+1-212-555-{digits(rng, 4)}",
            f"+1 (646) 555-{digits(rng, 4)}",
            f"+49 30 {digits(rng, 8)}",
            f"+49 (0)171 {digits(rng, 7)}",
            f"+44 20 7946 {digits(rng, 4)}",
            f"+33 6 {digits(rng, 2)} {digits(rng, 2)} {digits(rng, 2)} {digits(rng, 2)}",
            f"+91 98{digits(rng, 3)} {digits(rng, 5)}",
            f"+81-90-{digits(rng, 4)}-{digits(rng, 4)}",
            f"+5511 9{digits(rng, 4)}-{digits(rng, 4)}",
            f"+86 138 {digits(rng, 4)} {digits(rng, 4)}",
            f"0049 89 {digits(rng, 7)}",
            f"+4179{digits(rng, 7)}",
            f"+1.415.555.{digits(rng, 4)}",
            f"+353 87 {digits(rng, 3)} {digits(rng, 4)}",
        )
    )


def phone_at_home(rng: random.Random) -> str:
    """As it is written in its own country."""
    return rng.choice(
        (
            f"(415) 555-{digits(rng, 4)}",
            f"415-555-{digits(rng, 4)}",
            f"212.555.{digits(rng, 4)}",
            f"020 7946 {digits(rng, 4)}",
            f"06 {digits(rng, 2)} {digits(rng, 2)} {digits(rng, 2)} {digits(rng, 2)}",
            f"030 {digits(rng, 8)}",
            f"0171/{digits(rng, 7)}",
            f"98{digits(rng, 3)} {digits(rng, 5)}",
            f"090-{digits(rng, 4)}-{digits(rng, 4)}",
            f"0412 {digits(rng, 3)} {digits(rng, 3)}",
            f"(11) 9{digits(rng, 4)}-{digits(rng, 4)}",
            f"612 {digits(rng, 3)} {digits(rng, 3)}",
            f"1-800-555-{digits(rng, 4)}",
            f"555-{digits(rng, 4)}",
        )
    )


def cloud_key(rng: random.Random) -> str:
    return rng.choice(
        (
            rng.choice(("AKIA", "ASIA")) + text_of(rng, BASE32, 16),
            "AIza" + text_of(rng, ALPHANUMERIC + "_-", 35),
            "GOCSPX-" + text_of(rng, ALPHANUMERIC + "_-", 28),
            "ya29." + text_of(rng, ALPHANUMERIC + "_-", 60),
            f"dop_v1_{text_of(rng, '0123456789abcdef', 64)}",
            f"dapi{text_of(rng, '0123456789abcdef', 32)}",
        )
    )


def forge_key(rng: random.Random) -> str:
    """Of a code or package host."""
    return rng.choice(
        (
            f"gh{rng.choice('pousr')}_{text_of(rng, ALPHANUMERIC, 36)}",
            f"github_pat_{text_of(rng, ALPHANUMERIC, 22)}_{text_of(rng, ALPHANUMERIC, 59)}",
            f"glpat-{text_of(rng, ALPHANUMERIC + '_-', 20)}",
            f"npm_{text_of(rng, ALPHANUMERIC, 36)}",
            f"pypi-AgEIcHlwaS5vcmc{text_of(rng, ALPHANUMERIC + '_-', 80)}",
            f"hf_{text_of(rng, string.ascii_letters, 34)}",
        )
    )


def chat_key(rng: random.Random) -> str:
    return rng.choice(
        (
            f"xox{rng.choice('bpas')}-{digits(rng, 12)}-{digits(rng, 12)}-{text_of(rng, ALPHANUMERIC, 24)}",
            f"xapp-1-A{text_of(rng, UPPER, 10)}-{digits(rng, 13)}-{text_of(rng, '0123456789abcdef', 64)}",
            f"T{text_of(rng, UPPER, 8)}/B{text_of(rng, UPPER, 10)}/{text_of(rng, ALPHANUMERIC, 24)}",
            f"{digits(rng, 10)}:AA{text_of(rng, ALPHANUMERIC + '_-', 33)}",
            f"sk-{text_of(rng, ALPHANUMERIC, 48)}",
            f"sk-ant-api03-{text_of(rng, ALPHANUMERIC + '_-', 93)}AA",
            f"sk-proj-{text_of(rng, ALPHANUMERIC + '_-', 48)}",
        )
    )


def payment_key(rng: random.Random) -> str:
    """Of a payment, mail or shop service."""
    return rng.choice(
        (
            f"sk_live_{text_of(rng, ALPHANUMERIC, 24)}",
            f"sk_test_{text_of(rng, ALPHANUMERIC, 24)}",
            f"rk_live_{text_of(rng, ALPHANUMERIC, 24)}",
            f"whsec_{text_of(rng, ALPHANUMERIC, 32)}",
            f"SG.{text_of(rng, ALPHANUMERIC + '_-', 22)}.{text_of(rng, ALPHANUMERIC + '_-', 43)}",
            f"shpat_{text_of(rng, '0123456789abcdef', 32)}",
            f"SK{text_of(rng, '0123456789abcdef', 32)}",
        )
    )


def jwt(rng: random.Random) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")

    claims = {"sub": digits(rng, 10), "iat": rng.randrange(10**9, 2 * 10**9)}
    return f"{part({'alg': rng.choice(('HS256', 'RS256'))})}.{part(claims)}.{text_of(rng, ALPHANUMERIC + '_-', 43)}"


def pem(rng: random.Random) -> str:
    kind = rng.choice(
        (
            "RSA PRIVATE KEY",
            "EC PRIVATE KEY",
            "OPENSSH PRIVATE KEY",
            "PRIVATE KEY",
            "ENCRYPTED PRIVATE KEY",
            "PGP PRIVATE KEY BLOCK",
        )
    )
    newline = rng.choice(("\n", "\n", "\\n"))
    body = newline.join(text_of(rng, ALPHANUMERIC + "+/", 64) for _ in range(rng.randrange(3, 20)))
    return f"-----BEGIN {kind}-----{newline}{body}={newline}-----END {kind}-----"


def url_password(rng: random.Random) -> str:
    return f"{rng.choice(('bob', 'svc-deploy', 'admin'))}:{text_of(rng, ALPHANUMERIC + '!$*_-', rng.randrange(6, 20))}"


def password(rng: random.Random) -> str:
    return rng.choice(
        (
            text_of(rng, ALPHANUMERIC + "!#$%&*", rng.randrange(6, 16)),
            f"correct{rng.randrange(1000)}horse",
            "hunter2",
            "Sommer2024!",
        )
    )


def key_material(rng: random.Random) -> str:
    return rng.choice(
        (
            text_of(rng, ALPHANUMERIC + "+/", 40),
            text_of(rng, ALPHANUMERIC, 43),
            f"{text_of(rng, ALPHANUMERIC + '+/', 86)}==",
        )
    )


def _cpf(rng: random.Random) -> str:
    body = digits(rng, 9)
    for length in (9, 10):
        body += str(weighted(body, range(length + 1, 1, -1)) * 10 % 11 % 10)
    return rng.choice((body, f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}"))


def _dni(rng: random.Random) -> str:
    first, number = rng.choice((("", ""), ("X", "0"), ("Y", "1"))), digits(rng, 8)
    number = number[1:] if first[0] else number
    return f"{first[0]}{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[int(first[1] + number) % 23]}"


def _pesel(rng: random.Random) -> str:
    body = f"{rng.randrange(40, 99)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}{digits(rng, 4)}"
    return body + str(-weighted(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10)


def _swiss(rng: random.Random) -> str:
    body = f"756{digits(rng, 9)}"
    return grouped(body + str(-weighted(body, (1, 3) * 6) % 10), (3, 4, 4, 2), ".")


def _nhs(rng: random.Random) -> str:
    while True:
        body = digits(rng, 9)
        check = -weighted(body, range(10, 1, -1)) % 11
        if check < 10:
            return grouped(f"{body}{check}", (3, 3, 4), rng.choice((" ", "-")))


def _nir(rng: random.Random) -> str:
    body = (
        f"{rng.choice('12')}{rng.randrange(40, 99)}{rng.randrange(1, 13):02}{rng.randrange(1, 96):02}{digits(rng, 6)}"
    )
    number = f"{body}{97 - int(body) % 97:02}"
    return rng.choice((number, grouped(number, (1, 2, 2, 2, 3, 3, 2), " ")))


def _bsn(rng: random.Random) -> str:
    while True:
        body = f"{rng.randrange(1, 10)}{digits(rng, 7)}"
        check = weighted(body, range(9, 1, -1)) % 11
        if check < 10:
            return f"{body}{check}"


def _hetu(rng: random.Random) -> str:
    day = f"{rng.randrange(1, 29):02}{rng.randrange(1, 13):02}{rng.randrange(40, 99)}"
    serial = f"{rng.randrange(2, 900):03}"
    return f"{day}-{serial}{'0123456789ABCDEFHJKLMNPRSTUVWXY'[int(day + serial) % 31]}"


def _swedish(rng: random.Random) -> str:
    body = f"{rng.randrange(40, 99)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}{rng.randrange(1, 999):03}"
    return f"{body[:6]}-{body[6:]}{luhn_digit(body)}"


def _turkish(rng: random.Random) -> str:
    body = f"{rng.randrange(1, 10)}{digits(rng, 8)}"
    body += str((7 * sum(map(int, body[::2])) - sum(map(int, body[1::2]))) % 10)
    return body + str(sum(map(int, body)) % 10)


_NATIONAL: tuple[Maker, ...] = (_cpf, _dni, _pesel, _swiss, _nhs, _nir, _bsn, _hetu, _swedish, _turkish)


def national_id(rng: random.Random) -> str:
    return rng.choice(_NATIONAL)(rng)


def long_number(rng: random.Random) -> str:
    """Of nine digits or more, whatever it is: an account, a customer, an order."""
    return digits(rng, rng.randrange(9, 20))


FIXED: Mapping[str, Maker] = {
    "e-mail address": email,
    "card number": card,
    "IBAN": iban,
    "US social security number": ssn,
    "IPv4 address": ipv4,
    "IPv6 address": ipv6,
    "telephone number with a prefix": phone_abroad,
    "national id with a check digit": national_id,
    "key of a cloud": cloud_key,
    "key of a code or package host": forge_key,
    "key of a chat or model service": chat_key,
    "key of a payment or mail service": payment_key,
    "JSON web token": jwt,
    "private key (PEM)": pem,
    "password in a URL": url_password,
    "number of nine digits or more": long_number,
}
"""Classes with a fixed form or a check digit: the bar holds for them."""

FREE: Mapping[str, Maker] = {
    "telephone number without a prefix": phone_at_home,
    "password after its name": password,
    "key without a known form": key_material,
}
"""Classes that only a context or a guess tells."""
