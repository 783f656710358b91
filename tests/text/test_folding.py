import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.text import lookalikes as lookalikes_module
from carto_audit.text.folding import _LAST_LETTER, fold, fold_all, fold_sources
from carto_audit.text.lookalikes import LOOKALIKES
from carto_audit.text.untrusted import INVISIBLE
from carto_audit.text.views.through import _STEPS, readings
from docs.lookalikes import module_text

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


def letters(text):
    return "".join(c for c in fold(text) if c.isalnum())


def hidden_by(code):
    """Whether this character inside a word changes the letters of the word, in every reading of the text."""
    text = " ".join(f"{word[:2]}{chr(code)}{word[2:]}" for word in "Janet sells sixteen ducks".split())
    seen = {letters(text)} | {
        letters(reading.text) for _, reading in readings([text], np.ones((len(_STEPS), 1), dtype=bool))
    }
    return "janetsellssixteenducks" not in seen


def test_no_code_point_that_is_neither_letter_nor_digit_hides_a_word():
    others = [c for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c))[0] not in "LN"]
    signs = [c for c in others if letters(chr(c))]
    assert len(signs) < 1500  # signs that fold to letters, such as a trade mark; looked at one by one
    plain = sorted(set(others) - set(signs))
    text = "".join(f"x{chr(c)}" for c in plain if c not in range(0xD800, 0xE000))
    assert letters(text) == "x" * (len(text) // 2)
    assert [hex(c) for c in signs[::15] if hidden_by(c)] == []


@given(st.lists(TEXTS))
def test_many_texts_fold_as_each_alone(texts):
    assert fold_all(texts) == [fold(text) for text in texts]
    assert fold_all([*texts, "Plain\x00 text"])[-1] == "plain text"


def test_letters_that_nobody_sees_hide_no_word():
    ignorable = [c for c in range(sys.maxunicode + 1) if INVISIBLE.match(chr(c))]
    assert len(ignorable) > 4000
    assert [hex(c) for c in ignorable if letters(f"Ja{chr(c)}net") != "janet"] == []


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("Jаnеt рауs", "Janet pays"),  # Cyrillic
        ("Jαnετ", "Janet"),  # Greek
        ("ᴊᴀɴᴇᴛ", "Janet"),
        ("Jä́ñêţ", "Janet"),
        ("𝐉𝒂𝖓𝕖𝚝 ①⑥", "Janet 16"),
        ("१६ ١٦ ๑๖", "16 16 16"),
        ("مُحَمَّدٌ", "محمد"),
        ("شـــكرا", "شكرا"),
        ("שָׁלוֹם", "שלום"),
        ("한국어", "한국어"),
    ],
)
def test_what_is_drawn_alike_is_compared_alike(written, plain):
    assert fold(written) == fold(plain)


def test_a_lookalike_is_a_letter_for_a_letter_and_a_digit_for_a_digit():
    pairs = list(zip(LOOKALIKES[::2], LOOKALIKES[1::2], strict=True))
    assert len(pairs) > 300
    assert all(like.isascii() and like.isalnum() for _, like in pairs)
    assert all(source.isalpha() == like.isalpha() for source, like in pairs)
    assert all(fold(source) == like for source, like in pairs)
    assert fold("О0") == "o0"  # a Cyrillic letter is no nought


def test_every_character_folds_to_what_folds_to_itself():
    characters = map(chr, (c for c in range(_LAST_LETTER) if c not in range(0xD800, 0xE000)))
    folded = list(dict.fromkeys(map(fold, characters)))
    assert [text for text in folded if fold(text) != text] == []


@settings(deadline=None)
@given(TEXTS)
def test_folding_twice_changes_nothing_more_and_leads_back(text):
    folded = fold(text)
    assert fold(folded) == folded
    starts, ends = fold_sources(text)
    assert len(starts) == len(ends) == len(folded)
    assert all(0 <= start < end <= len(text) for start, end in zip(starts, ends, strict=True))
    assert (starts[1:] >= starts[:-1]).all()


def test_the_table_of_lookalikes_is_the_consortium_s():
    assert Path(lookalikes_module.__file__).read_text(encoding="utf-8") == module_text()
