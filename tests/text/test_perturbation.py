"""Rewordings: other words of equal frequency, other numbers of equal length, everything else as it was."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.text.perturbation import SHARE, count_words, reword

TEXTS = [
    "The baker sold 16 loaves, and the miller sold 24.",
    "The baker kept one loaf; the miller kept one sack of flour.",
    "Rivers bend, bridges stand, sailors sing, lanterns burn.",
]
VOCABULARY = count_words(TEXTS)
WORD = re.compile(r"\w+")


def reworded(text, count=6, seed=0, vocabulary=VOCABULARY):
    return reword(text, vocabulary, count, np.random.default_rng(seed))


def test_words_are_classed_by_how_often_they_occur():
    assert VOCABULARY.class_of["the"] == 2  # four times
    assert VOCABULARY.class_of["baker"] == VOCABULARY.class_of["sold"] == 1
    assert VOCABULARY.class_of["lanterns"] == 0
    assert "16" not in VOCABULARY.class_of
    assert list(VOCABULARY.classes[1]) == sorted(VOCABULARY.classes[1])


def test_a_word_gives_way_to_one_of_its_class_and_nothing_else_changes():
    text = "Rivers bend; BRIDGES stand, sailors sing: lanterns burn, loaf, sack."
    for other in reworded(text):
        assert WORD.sub("w", other) == WORD.sub("w", text)
        pairs = [(a, b) for a, b in zip(WORD.findall(text), WORD.findall(other), strict=True) if a != b]
        assert len(pairs) == round(SHARE * len(WORD.findall(text)))
        for a, b in pairs:
            assert VOCABULARY.class_of[a.casefold()] == VOCABULARY.class_of[b.casefold()]
            assert (a.istitle(), a.isupper(), a.islower()) == (b.istitle(), b.isupper(), b.islower())


def test_a_number_gives_way_to_another_of_as_many_digits():
    found = {tuple(re.findall(r"\d+", other)) for other in reworded("16, 4096, 7; 0", count=12)}
    assert len(found) > 1
    for numbers in found:
        assert [len(number) for number in numbers] == [2, 4, 1, 1]
        assert numbers != ("16", "4096", "7", "0")


@pytest.mark.parametrize("text", ["", "?!", "the", "3rd", "\x00\u200b"])
def test_a_text_without_an_exchangeable_word_has_no_rewordings(text):
    assert reworded(text) == []


def test_too_few_different_rewordings_are_none_at_all():
    assert reworded("7", count=9) == [] or len(set(reworded("7", count=9))) == 9
    assert reworded("7", count=10) == []  # there are nine other digits


def test_languages_without_spaces_are_reworded_by_character():
    vocabulary = count_words(["下列哪一位钟表匠修好了大钟", "北海的船在夜里回来"])
    text = "钟表匠修好大钟"
    for other in reworded(text, vocabulary=vocabulary):
        assert len(other) == len(text)
        assert sum(a != b for a, b in zip(text, other, strict=True)) == 1


@given(st.text(max_size=120), st.integers(0, 5))
def test_rewordings_are_different_from_the_text_and_from_each_other_and_the_same_each_time(text, seed):
    vocabulary = count_words([text, *TEXTS])
    found = reworded(text, seed=seed, vocabulary=vocabulary)
    assert len(found) in (0, 6)
    assert len({text, *found}) == 1 + len(found)
    assert found == reworded(text, seed=seed, vocabulary=vocabulary)
