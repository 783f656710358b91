"""Values to look for: Faker's in four countries, and what Faker has none of, made up here."""

import random
from collections.abc import Callable
from typing import Any

Make = Callable[[Any, random.Random], str]
"""One value, from Faker of a country and a generator of numbers."""

LANGUAGES = {"en_US": "en", "en_GB": "en", "de_DE": "de", "de_AT": "de", "fr_FR": "fr"}

DIAGNOSES_TUNED = {
    "en": (
        "type 2 diabetes",
        "asthma",
        "breast cancer",
        "bipolar disorder",
        "multiple sclerosis",
        "chronic kidney disease",
        "depression",
        "rheumatoid arthritis",
        "HIV",
        "hypertension",
    ),
    "de": ("Diabetes mellitus Typ 2", "Brustkrebs", "Depression", "Asthma bronchiale", "Herzinsuffizienz"),
}
DIAGNOSES_JUDGED = {
    "en": (
        "epilepsy",
        "Crohn's disease",
        "ovarian cancer",
        "generalized anxiety disorder",
        "hepatitis C",
        "Parkinson's disease",
        "congestive heart failure",
        "endometriosis",
        "schizophrenia",
        "sleep apnea",
        "glaucoma",
        "sickle cell anemia",
        "pneumonia",
        "COPD",
        "a herniated disc",
        "gestational diabetes",
        "psoriasis",
        "atrial fibrillation",
        "PTSD",
        "chronic migraine",
    ),
    "de": ("Epilepsie", "Schizophrenie", "Lungenkrebs", "Rheuma", "Multipler Sklerose", "Migräne", "Hepatitis B"),
    "fr": (
        "diabète de type 1",
        "sclérose en plaques",
        "dépression",
        "épilepsie",
        "cancer du sein",
        "asthme",
        "hypertension",
    ),
}

_MONTHS = {
    "en": "January February March April May June July August September October November December".split(),
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split(),
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre".split(),
}
_DATES = {
    "en_US": ("{m:02}/{d:02}/{y}", "{M} {d}, {y}", "{y}-{m:02}-{d:02}", "{m}/{d}/{s}", "{A} {d}, {y}"),
    "de_DE": ("{d:02}.{m:02}.{y}", "{d}. {M} {y}", "{y}-{m:02}-{d:02}", "{d}.{m}.{y}"),
    "en_GB": (
        "{d:02}/{m:02}/{y}",
        "{d} {M} {y}",
        "{d}{o} {M} {y}",
        "{d:02}-{m:02}-{y}",
        "{d} {A} {y}",
        "{d}{o} of {M} {y}",
    ),
    "de_AT": ("{d}. {M} {y}", "{d:02}.{m:02}.{y}", "{d:02}. {m:02}. {y}", "{d:02}.{m:02}.{s}"),
    "fr_FR": ("{d} {M} {y}", "{d:02}/{m:02}/{y}", "{d:02}-{m:02}-{y}", "{d:02}.{m:02}.{y}"),
}


def birth_date(fake: Any, rng: random.Random, locale: str) -> str:
    """A date of birth of a grown person, in a form of the country."""
    day = fake.date_of_birth(minimum_age=18, maximum_age=90)
    month = _MONTHS[LANGUAGES[locale]][day.month - 1]
    ordinal = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}.get(day.day, "th")
    return rng.choice(_DATES[locale]).format(
        d=day.day, m=day.month, y=day.year, s=f"{day.year % 100:02}", M=month, A=month[:3], o=ordinal
    )


def address(fake: Any, rng: random.Random, locale: str) -> str:
    """Faker's address: in its lines, in one line, or in one line with a space before the last part."""
    written = str(fake.address())
    return written if rng.random() < 0.4 else written.replace("\n", ", ")


def shaped(shape: str, rng: random.Random) -> str:
    """The shape with a digit for each `0` and a capital for each `A`."""
    signs = {"0": "0123456789", "A": "ABCDEFGHJKLMNPRSTUVWXYZ"}
    return "".join(rng.choice(signs[sign]) if sign in signs else sign for sign in shape)


_SHAPES: dict[str, dict[str, tuple[str, ...]]] = {
    "licence": {
        "en_US": ("A0000000", "000000000", "A000-0000-0000", "A00000000000", "AA000000", "00-000-0000"),
        "de_DE": ("A000AAA0A00", "A00A0AA0A00"),
        "en_GB": ("AAAAA000000AA0AA", "AAAAA 000000 AA0AA", "AAA99000000A99AA"),
        "de_AT": ("00000000", "00/000000"),
        "fr_FR": ("000000000000", "00AA00000"),
    },
    "health_record": {
        "en_US": ("0000000", "00000000", "A0000000", "000-00-000"),
        "de_DE": ("00000000", "A000000000"),
        "en_GB": ("000000", "A000000", "AB0000000", "00000000"),
        "de_AT": ("0000000", "0000-000000"),
        "fr_FR": ("0000000000", "000000"),
    },
    "passport": {"de_DE": ("C00X00T00", "C0AA00A00")},
}


def from_shape(label: str) -> Callable[[Any, random.Random, str], str]:
    """Numbers of a class, by the shapes of the country."""
    return lambda _, rng, locale: shaped(rng.choice(_SHAPES[label][locale]), rng)


def passport(fake: Any, rng: random.Random, locale: str) -> str:
    """Faker's number of a passport, or one in the form of the country."""
    shapes = _SHAPES["passport"].get(locale)
    return shaped(rng.choice(shapes), rng) if shapes and rng.random() < 0.5 else str(fake.passport_number())


_PAY = {
    "en_US": ("${k},000", "${k}k", "${k},{r}00", "USD {k},000", "${k}{r}00.00"),
    "de_DE": ("{m}.{r}00 €", "{k}.000 Euro", "EUR {k}.000", "{m}{r}00 EUR"),
    "en_GB": ("£{k},000", "£{k}k", "GBP {k},{r}50", "{k},000 pounds", "£{k}{r}00"),
    "de_AT": ("{m}.{r}00 Euro", "€ {m}.{r}00,-", "{m} {r}00 €", "€{k}.000"),
    "fr_FR": ("{k} 000 €", "{m} {r}00 euros", "{k}000 €", "{m}.{r}00 EUR"),
}


def pay(_: Any, rng: random.Random, locale: str) -> str:
    """A sum as pay is written in the country."""
    return rng.choice(_PAY[locale]).format(
        k=rng.randint(21, 190), m=rng.randint(2, 9), r=rng.choice("123456789") + "0"[:0]
    )


def national_id(fake: Any, rng: random.Random, locale: str) -> str:
    """Faker's number; where it has none of the country, one with its check digit."""
    from stdnum.iso7064 import mod_11_10

    if locale in ("de_DE", "de_AT"):
        digits = rng.sample("123456789", 9)
        digits.insert(rng.randint(1, 9), digits[0])
        body = "".join(digits)
        return body + str(mod_11_10.calc_check_digit(body))
    return str(fake.ssn())


def from_faker(*methods: str) -> Callable[[Any, random.Random, str], str]:
    """What one of these methods of Faker gives."""
    return lambda fake, rng, _: str(getattr(fake, rng.choice(methods))())


MAKERS: dict[str, Callable[[Any, random.Random, str], str]] = {
    "email": from_faker("email", "free_email", "company_email", "ascii_email"),
    "phone": from_faker("phone_number"),
    "ip_address": from_faker("ipv4_public"),
    "card": from_faker("credit_card_number"),
    "iban": from_faker("iban"),
    "national_id": national_id,
    "birth_date": birth_date,
    "address": address,
    "passport": passport,
    "licence": from_shape("licence"),
    "health_record": from_shape("health_record"),
    "pay": pay,
    "account": from_faker("user_name"),
}
"""Every class but `diagnosis`, whose values are the lists above."""
