"""Invented people: a value of every class that the finder finds, drawn anew for each, and short texts that say them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from carto_audit.lenses.personal.content_type import ContentType
from carto_audit.lenses.personal.planted_texts import BODIES, CONTENT, SENTENCES

Country = Literal["US", "GB", "DE", "FR"]
COUNTRIES: tuple[Country, ...] = ("US", "GB", "DE", "FR")

_FIRST = (
    "Aldra Benno Corvin Delphy Edrick Fenja Gerwin Hadley Ilka Jorvik Kestrel Liora Marnix Nerys Orla Perrin "
    "Quilla Rosmar Sorrel "
    "Tamsin Ulric Verity Wystan Ysolde"
).split()
_FIRST_PARTS, _LAST_PARTS = (
    "Ash Bram Cor Dun Eld Farn Grim Hol Ing Kel Lang Mar Nor Ost Pell Quarr Rad Stav Thorn Ulm Vald Wick Yar Zell".split(),
    "bach bury croft dale den field ford gard ham hurst ley lund mere more ner row stad ström ton vik wald "
    "well worth".split(),
)
_STREETS = "Alder Birch Canal Chapel Elm Foundry Garden Harbour Juniper Linden Mill Orchard Quarry Rowan Station Willow".split()
_CONDITIONS = (
    "type 1 diabetes|asthma|epilepsy|rheumatoid arthritis|bipolar disorder|multiple sclerosis|Crohn's "
    "disease|hepatitis C|psoriasis"
    "|chronic kidney disease|generalized anxiety disorder|ulcerative colitis|atrial fibrillation|coeliac disease|glaucoma"
    "|breast cancer|hypertension|narcolepsy|sickle cell anemia|fibromyalgia"
).split("|")
_STAGES = ("", "early ", "severe ", "mild ", "recurrent ", "chronic ")
_MONTHS = "January February March April May June July August September October November December".split()
_INWARD = tuple("ABDEFGHJLNPQRSTUWXYZ")
"""Letters at the end of British postcodes."""
_DE_PREFIXES = ("030 23125", "069 90009", "040 66969", "0221 4710", "089 99998")
_FR_PREFIXES = ("01 99 00", "02 61 91", "03 53 01", "04 65 71", "05 36 49", "06 39 98")
_GB_PREFIXES = (
    "07700 900",
    "0113 496 0",
    "0114 496 0",
    "0115 496 0",
    "0116 496 0",
    "0117 496 0",
    "0118 496 0",
    "0121 496 0",
)
"""Numbers that the authorities of the countries keep free for stories, so that nobody is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A person who does not exist: his country, his name, and a value for every class of `personal.LABELS`."""

    country: Country
    name: str
    values: Mapping[str, str]


def write_profile(rng: np.random.Generator) -> Profile:
    """A new person of a country drawn by lot. Telephone numbers are of the ranges that are kept free for stories, addresses of
    mail at example.org; check digits hold, and no number is copied from anywhere."""
    country: Country = COUNTRIES[int(rng.integers(len(COUNTRIES)))]
    first, last = _pick(rng, _FIRST), _surname(rng)
    login = f"{first.lower()}{_surname(rng).lower().replace('ö', 'o')}{rng.integers(10, 10**4)}"
    values = {
        "email": f"{first.lower()}.{login[len(first) :]}@example.{_pick(rng, ('org', 'com', 'net'))}",
        "phone": _PHONES[country](rng),
        "ip_address": f"{rng.integers(60, 100)}." + ".".join(str(part) for part in rng.integers(1, 255, 3)),
        "card": _card(rng),
        "iban": _iban(country, rng),
        "national_id": _NATIONAL_IDS[country](rng),
        "passport": _shaped({"US": "A00000000", "GB": "000000000", "DE": "C00X00T00", "FR": "00AA00000"}[country], rng),
        "licence": _shaped(
            {"US": "A000-0000-0000", "GB": "AAAAA000000AA0AA", "DE": "A000AAA0A00", "FR": "000000000000"}[country], rng
        ),
        "health_record": _shaped(_pick(rng, ("A0000000", "00000000", "000-00-000")), rng),
        "birth_date": _birth_date(country, rng),
        "address": _ADDRESSES[country](rng),
        "pay": _pay(country, rng),
        "diagnosis": _pick(rng, _STAGES) + _pick(rng, _CONDITIONS),
        "account": login,
    }
    return Profile(country=country, name=f"{first} {last}", values=values)


def in_text(profile: Profile, content_type: ContentType, rng: np.random.Generator) -> str:
    """A short text of this kind with one to four values of the person, as they stand in `profile.values`. "
    "Which ones is drawn."""
    most = 4 if content_type in ("record", "chat", "article") else 2
    labels = rng.permutation(list(profile.values))[: int(rng.integers(1, most + 1))].tolist()
    if content_type == "record":
        return _record(profile, labels, rng)
    said = [_pick(rng, SENTENCES[label]).replace("{}", profile.values[label]) for label in labels]
    if content_type == "chat":
        return _chat(profile, said, rng)
    if content_type in ("article", "other"):
        said = [_pick(rng, CONTENT[label]).replace("{}", profile.values[label]) for label in labels]
    body = _pick(rng, BODIES[content_type])
    return body.format(
        name=profile.name,
        said=" ".join(said),
        place=_surname(rng),
        other=_pick(rng, _FIRST),
        street=_pick(rng, _STREETS),
        price=int(rng.integers(15, 900)),
        number=int(rng.integers(2, 40)),
    )


def _record(profile: Profile, labels: list[str], rng: np.random.Generator) -> str:
    names = {
        "ip_address": "IP address",
        "national_id": {"US": "SSN", "GB": "NHS number", "DE": "Steuer-ID", "FR": "NIR"}[profile.country],
        "passport": "Passport number",
        "licence": "Driver's license number",
        "health_record": "MRN",
        "birth_date": "Date of birth",
        "pay": "Salary",
        "account": "Username",
        "iban": "IBAN",
    }
    fields = [("Name", profile.name), ("File", f"{_surname(rng)} {rng.integers(2, 99)}")]
    fields += [(names.get(label, label.capitalize()), profile.values[label]) for label in labels]
    fields.append(("Status", _pick(rng, ("active", "closed", "in review"))))
    if rng.random() < 0.3:
        return "{" + ", ".join(f'"{name}": "{value}"' for name, value in fields) + "}"
    return "\n".join(f"{name}: {value}" for name, value in fields)


def _chat(profile: Profile, said: list[str], rng: np.random.Generator) -> str:
    me, other = profile.name.split()[0].lower(), _pick(rng, [name.lower() for name in _FIRST])
    other = f"{other}{rng.integers(2, 99)}"
    turns = [f"{other}: {_pick(rng, ('hey, are you there?', 'hi, did you send it?', 'what do you still need?'))}"]
    for sentence in said:
        turns += [f"{me}: {sentence}", f"{other}: {_pick(rng, ('ok', 'thanks, noted', 'got it', 'and the rest?'))}"]
    return "\n".join([*turns, f"{me}: {_pick(rng, ('bye', 'see you', 'that is all'))}"])


def _pick(rng: np.random.Generator, among: "list[str] | tuple[str, ...]") -> str:
    return among[int(rng.integers(len(among)))]


def _surname(rng: np.random.Generator) -> str:
    return _pick(rng, _FIRST_PARTS) + _pick(rng, _LAST_PARTS)


def _digits(rng: np.random.Generator, count: int) -> str:
    return "".join(map(str, rng.integers(0, 10, count)))


def _shaped(shape: str, rng: np.random.Generator) -> str:
    """The shape with a digit for each `0` and a capital for each `A`."""
    signs = {"0": "0123456789", "A": "BCDFGHJKLMNPRSTVWXZ"}
    return "".join(_pick(rng, tuple(signs[sign])) if sign in signs else sign for sign in shape)


def _card(rng: np.random.Generator) -> str:
    from stdnum import luhn

    body = "4" + _digits(rng, 14)
    number = body + str(luhn.calc_check_digit(body))
    return " ".join(number[k : k + 4] for k in range(0, 16, 4)) if rng.random() < 0.5 else number


def _iban(country: Country, rng: np.random.Generator) -> str:
    from stdnum.iso7064 import mod_97_10

    land = "DE" if country == "US" else country
    body = {"DE": "0" * 18, "GB": "AAAA" + "0" * 14, "FR": "0" * 23}[land]
    account = _shaped(body, rng)
    number = land + f"{98 - int(mod_97_10.checksum(account + land + '00')):02}" + account
    return " ".join(number[k : k + 4] for k in range(0, len(number), 4)) if rng.random() < 0.5 else number


def _us_id(rng: np.random.Generator) -> str:
    return f"{rng.integers(100, 665)}-{rng.integers(10, 99)}-{rng.integers(1000, 9999)}"


def _gb_id(rng: np.random.Generator) -> str:
    """A number of the health service: ten times the first digit, nine times the second and so on, modulo 11."""
    while True:
        body = "4" + _digits(rng, 8)
        check = -sum(weight * int(digit) for weight, digit in zip(range(10, 1, -1), body, strict=True)) % 11
        if check < 10:
            return f"{body[:3]} {body[3:6]} {body[6:]}{check}"


def _de_id(rng: np.random.Generator) -> str:
    from stdnum.iso7064 import mod_11_10

    digits = rng.permutation(list("123456789")).tolist()
    digits.insert(int(rng.integers(2, 10)), digits[0])
    body = "".join(digits)
    return body + str(mod_11_10.calc_check_digit(body))


def _fr_id(rng: np.random.Generator) -> str:
    sex, year, month = rng.integers(1, 3), rng.integers(40, 99), rng.integers(1, 13)
    body = f"{sex}{year:02}{month:02}{rng.integers(21, 95):02}{rng.integers(1, 990):03}{rng.integers(1, 990):03}"
    key = f"{97 - int(body) % 97:02}"
    return f"{body[0]} {body[1:3]} {body[3:5]} {body[5:7]} {body[7:10]} {body[10:]} {key}"


_NATIONAL_IDS: Mapping[Country, Callable[[np.random.Generator], str]] = {
    "US": _us_id,
    "GB": _gb_id,
    "DE": _de_id,
    "FR": _fr_id,
}
_PHONES: Mapping[Country, Callable[[np.random.Generator], str]] = {
    "US": lambda rng: f"({rng.integers(201, 990)}) 555-01{_digits(rng, 2)}",
    "GB": lambda rng: _pick(rng, _GB_PREFIXES) + _digits(rng, 3),
    "DE": lambda rng: _pick(rng, _DE_PREFIXES) + _digits(rng, 3),
    "FR": lambda rng: f"{_pick(rng, _FR_PREFIXES)} {_digits(rng, 2)} {_digits(rng, 2)}",
}


def _house(rng: np.random.Generator) -> int:
    return int(rng.integers(2, 180))


_ADDRESSES: Mapping[Country, Callable[[np.random.Generator], str]] = {
    "US": lambda rng: (
        f"{rng.integers(100, 9999)} {_pick(rng, _STREETS)} {_pick(rng, ('Street', 'Avenue', 'Lane', 'Road'))}, "
        f"{_surname(rng)}, "
        f"{_pick(rng, ('OH', 'TX', 'CA', 'NY', 'WA', 'GA'))} {rng.integers(10000, 99999)}"
    ),
    "GB": lambda rng: (
        f"{_house(rng)} {_pick(rng, _STREETS)} {_pick(rng, ('Road', 'Close', 'Street', 'Terrace'))}, {_surname(rng)}, "
        f"{_pick(rng, ('LS', 'YO', 'NR', 'BS', 'PL'))}{rng.integers(1, 30)} "
        f"{rng.integers(1, 9)}{_pick(rng, _INWARD)}{_pick(rng, _INWARD)}"
    ),
    "DE": lambda rng: (
        f"{_pick(rng, _FIRST_PARTS)}{_pick(rng, ('straße', 'weg', 'gasse', 'allee'))} {_house(rng)}, "
        f"{rng.integers(10115, 99998)} {_surname(rng)}"
    ),
    "FR": lambda rng: (
        f"{_house(rng)} {_pick(rng, ('rue', 'avenue', 'boulevard'))} de {_surname(rng)}, "
        f"{rng.integers(10000, 95999)} {_surname(rng)}"
    ),
}


def _birth_date(country: Country, rng: np.random.Generator) -> str:
    year, month, day = int(rng.integers(1936, 2006)), int(rng.integers(1, 13)), int(rng.integers(1, 29))
    named = rng.random() < 0.5
    if country == "US":
        return f"{_MONTHS[month - 1]} {day}, {year}" if named else f"{month:02}/{day:02}/{year}"
    if country == "GB":
        return f"{day} {_MONTHS[month - 1]} {year}" if named else f"{day:02}/{month:02}/{year}"
    return f"{day:02}.{month:02}.{year}" if country == "DE" else f"{day:02}/{month:02}/{year}"


def _pay(country: Country, rng: np.random.Generator) -> str:
    amount, rest = int(rng.integers(21, 190)), int(rng.integers(0, 1000))
    form = {"US": "${},{:03}", "GB": "£{},{:03}", "DE": "{}.{:03} €", "FR": "{} {:03} €"}[country]
    return form.format(amount, rest)
