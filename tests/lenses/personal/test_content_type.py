"""Each rule of the kinds of text decides where it should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.lenses.personal_kinds import KINDS
from carto_audit.lenses.personal.content_type import CONTENT_TYPES, content_type


def test_texts_by_hand_are_told():
    wrong = [(kind, text) for kind, texts in KINDS.items() for text in texts if content_type(text) != kind]
    assert len(wrong) <= 1


@pytest.mark.parametrize("text", ["", "x", "one two", "\ud800", "a,b,c"])
def test_what_fits_no_rule_is_other(text):
    assert content_type(text) == "other"


def test_a_quotation_in_the_first_person_leaves_an_article_one():
    text = (
        "The river rises in the hills. A farmer said that I should not swim in it. "
        + "The town lies below the dam. " * 10
    )
    assert content_type(text) == "article"


@given(st.text(max_size=200))
def test_every_text_has_a_kind(text):
    assert content_type(text) in CONTENT_TYPES
