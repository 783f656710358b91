"""Every class of value is found where it stands, and what only looks like one is left alone."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.lenses.personal.finder import LABELS, find_personal
from carto_audit.lenses.values.value import Value


def found(text):
    return [(text[value.start : value.end], value.label) for value in find_personal(text)]


@pytest.mark.parametrize(
    ("text", "value", "label"),
    [
        ("Write to jane.doe@example.com today.", "jane.doe@example.com", "email"),
        ("Ring (0113) 496 0123 after six.", "(0113) 496 0123", "phone"),
        ("Ring 234-567-8901x123 after six.", "234-567-8901x123", "phone"),
        ("It came from 84.17.51.203 at noon.", "84.17.51.203", "ip_address"),
        ("Charge 4111 1111 1111 1111 please.", "4111 1111 1111 1111", "card"),
        ("Charge 676119545405 please.", "676119545405", "card"),
        ("Pay to GB69SMUV68757738930555 please.", "GB69SMUV68757738930555", "iban"),
        ("Her SSN is 123-45-6789.", "123-45-6789", "national_id"),
        ("NI: ZZ 51 78 12 T.", "ZZ 51 78 12 T", "national_id"),
        ("NHS number 401 023 2137.", "401 023 2137", "national_id"),
        ("Taxed as 14156397826 there.", "14156397826", "national_id"),
        ("She was born in Leeds on 4 July 1950 and", "4 July 1950", "birth_date"),
        ("DOB (dd/mm/yyyy): 04/07/1950", "04/07/1950", "birth_date"),
        ("On 4 July 1950 she was born.", "4 July 1950", "birth_date"),
        ("Er wurde am 4. Juli 1950 in Kiel geboren.", "4. Juli 1950", "birth_date"),
        ("née à Lille le 1er août 1950", "1er août 1950", "birth_date"),
        ("at 12 Elm Street, Springfield, OH 45501-1234.", "12 Elm Street, Springfield, OH 45501-1234", "address"),
        ("at Flat 3, 12 High Street\nLeeds\nLS1 4DY", "Flat 3, 12 High Street\nLeeds\nLS1 4DY", "address"),
        ("am Lindenweg 5a, 24103 Kiel", "Lindenweg 5a, 24103 Kiel", "address"),
        ("au 12 bis, rue de la Paix, 75002 Paris.", "12 bis, rue de la Paix, 75002 Paris", "address"),
        ("lives at 12 High Street, Leeds.", "12 High Street, Leeds", "address"),
        ("Passport no. C01X00T47 expires", "C01X00T47", "passport"),
        ('"passport_number": "198391454"', "198391454", "passport"),
        ("her driver's license is S123-4567-8901.", "S123-4567-8901", "licence"),
        ("MRN 00482913 MONDAY", "00482913", "health_record"),
        ("Patienten-Nr. 4829135", "4829135", "health_record"),
        ("He was diagnosed with type 2 diabetes last year.", "type 2 diabetes", "diagnosis"),
        ("I suffer from chronic migraine.", "chronic migraine", "diagnosis"),
        ("Je souffre de sclérose en plaques.", "sclérose en plaques", "diagnosis"),
        ("ICD-10: E11.9", "E11.9", "diagnosis"),
        ("My salary is $54,000 a year.", "$54,000", "pay"),
        ("Ich verdiene 3.200 € im Monat.", "3.200 €", "pay"),
        ("Username: jdoe", "jdoe", "account"),
        ("follow me on Twitter: @j_doe", "j_doe", "account"),
    ],
)
def test_a_value_is_found_to_the_character(text, value, label):
    assert found(text) == [(value, label)]


@pytest.mark.parametrize(
    "text",
    [
        "It was released on 4 July 1950.",
        "He was born in Leeds and died on 4 July 1950.",
        "The film suffers from poor pacing.",
        "The median income of $29,000 rose.",
        "He needs to pay $100 for it.",
        "Difference: 34500-33000=1500, or <<60000-10800=49200>>",
        "from 192.168.17.4, 192.0.2.1, 84.17.51.0/24 and version 7.1.4.34",
        "Decimal('888565290') and f(3221225985)",
        "USERNAME is set, and we handle errors here",
        "mail optik-users@lists.sourceforge.net or one@one.org",
        "During 1992, Powell invested.",
        "the passport of a country and a driving licence",
        "born in 1950, raised in Kiel",
    ],
)
def test_what_only_looks_like_a_value_is_left_alone(text):
    assert found(text) == []


def test_of_two_that_overlap_the_surer_one_stays():
    assert found("Passport number: 234 567 8901") == [("234 567 8901", "passport")]
    assert found("login: jane@example.com") == [("jane@example.com", "email")]


def test_numbers_of_a_long_table_are_asked_one_by_one():
    rows = "\n".join(f"{k} {k * 7919 % 90000 + 10000} {k * 104729 % 90000 + 10000}" for k in range(400))
    assert len(found(rows)) < 40


@given(st.text(max_size=200) | st.text("aZ9 .,@:/-€(\n", max_size=200))
def test_any_text_gives_disjoint_values_in_order(text):
    values = find_personal(text)
    edges = [edge for value in values for edge in (value.start, value.end)]
    assert edges == sorted(edges)
    assert all(value.start < value.end <= len(text) and value.label in LABELS for value in values)


@pytest.mark.parametrize("text", ["\ud800 born 1/1/1950 \udfff", "", "DOB: ٠٤/٠٧/١٩٥٠ 4111", "²³ " * 50])
def test_strange_text_is_no_error(text):
    assert all(isinstance(value, Value) for value in find_personal(text))


@pytest.mark.parametrize("unit", ["12 Aa AB1 2CD ", "born in ", "rue a ", "passport (", "diagnosed with ", "Aa, "])
def test_twice_the_text_takes_about_twice_as_long(unit):
    def seconds(size):
        text = unit * (size // len(unit))
        start = time.process_time()
        find_personal(text)
        return time.process_time() - start

    assert seconds(20_000) < 6 * seconds(5_000) + 0.3
