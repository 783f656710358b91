"""What authors say of themselves adds up over their rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.lenses.personal_data import authors_told
from bench.lenses.personal_kinds import ATTRIBUTE_SENTENCES
from carto_audit.lenses.personal.cues import ATTRIBUTES, author_cues


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("I am a nurse here in Leeds.", {"occupation", "place"}),
        ("My wife and our daughter", {"relationship", "children"}),
        ("He is a nurse, and his wife lives in Leeds.", set()),
        ("I am 30 minutes away and I am in a hurry.", set()),
        ("I have a cold drink.", set()),
    ],
)
def test_only_the_author_counts(text, cues):
    assert author_cues(text) == cues


def test_nearly_every_sentence_by_hand_is_told():
    told = [name in author_cues(text) for name, texts in ATTRIBUTE_SENTENCES.items() for text in texts]
    assert sum(told) >= len(told) - 2
    assert tuple(ATTRIBUTE_SENTENCES) == ATTRIBUTES


def test_an_author_with_five_cues_in_five_rows_is_told_from_two_hundred_others():
    ordinary = [
        "The bus was late again.",
        "What a game, what a goal!",
        "Does the shop open on Sundays?",
        "I liked the old one.",
    ]
    told, others = authors_told(ordinary, 10, 0)
    assert told >= 9
    assert others < 2


@given(st.text(max_size=200))
def test_any_text_gives_known_attributes(text):
    assert author_cues(text) <= set(ATTRIBUTES)
