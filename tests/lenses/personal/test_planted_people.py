"""Invented people have a value of every class, and every text about them says what it was written for."""

import numpy as np
import pytest

from carto_audit.lenses.personal.content_type import CONTENT_TYPES, content_type
from carto_audit.lenses.personal.finder import LABELS, find_personal
from carto_audit.lenses.personal.planted import COUNTRIES, in_text, write_profile


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(3)
    people = [write_profile(rng) for _ in range(40)]
    return [(person, kind, in_text(person, kind, rng)) for person in people for kind in CONTENT_TYPES]


def test_a_person_has_a_value_of_every_class():
    people = [write_profile(np.random.default_rng(seed)) for seed in range(20)]
    assert {person.country for person in people} == set(COUNTRIES)
    for person in people:
        assert set(person.values) == set(LABELS)
    assert len({person.values["account"] for person in people}) == len(people)


def test_the_same_numbers_give_the_same_person_and_text():
    first, second = (np.random.default_rng(5) for _ in range(2))
    person, again = write_profile(first), write_profile(second)
    assert person == again
    assert in_text(person, "post", first) == in_text(again, "post", second)


def test_the_finder_finds_what_is_planted(planted):
    said, found = dict.fromkeys(LABELS, 0), dict.fromkeys(LABELS, 0)
    for person, _, text in planted:
        values = {(text[value.start : value.end], value.label) for value in find_personal(text)}
        labels = {label for written, label in values if person.values[label] == written}
        assert labels
        for label, value in person.values.items():
            if value in text and not any(
                value in other and other != value and other in text for other in person.values.values()
            ):
                said[label] += 1
                found[label] += label in labels
    assert min(said.values()) > 10
    assert {label: found[label] / said[label] for label in LABELS if found[label] < 0.95 * said[label]} == {}


def test_a_planted_text_is_told_as_its_kind(planted):
    right = [content_type(text) == kind for _, kind, text in planted]
    assert sum(right) >= 0.97 * len(right)
