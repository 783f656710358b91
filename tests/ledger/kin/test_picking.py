import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.ledger.kin.picking import GUARANTEED, KEY_LETTERS, RUN_WORDS, WINDOW, pick_passages
from tests.support.audits import sentences

SALT = 0x1234_5678_9ABC_DEF0
word = st.text("abcdefghij", min_size=1, max_size=7)
around = st.lists(word, max_size=40)


def numbers(picked, text):
    return set(picked.number[picked.text == text].tolist())


@settings(max_examples=150, deadline=None)
@given(
    passage=st.lists(word, min_size=GUARANTEED, max_size=GUARANTEED + 20),
    here=st.tuples(around, around),
    there=st.tuples(around, around),
    salt=st.integers(0, 2**64 - 1),
)
def test_a_passage_of_the_guaranteed_length_is_found_whatever_stands_around_it(passage, here, there, salt):
    texts = ["unlike", *(" ".join([*before, *passage, *after]) for before, after in (here, there)), "anything"]
    together = pick_passages(texts, salt)
    apart = [pick_passages([text], salt) for text in texts]
    assert numbers(together, 1) & numbers(together, 2)
    assert [numbers(together, k) for k in range(4)] == [numbers(one, 0) for one in apart]


def test_what_is_shared_is_inside_the_passage():
    passage = sentences(1, seed=5, words=GUARANTEED)[0]
    before, after, then, other = sentences(4, seed=6, words=20)
    picked = pick_passages([f"{before} {passage} {after}", f"{then} {passage} {other}"], SALT)
    shared = numbers(picked, 0) & numbers(picked, 1)
    assert shared
    for number, first, width in zip(picked.number.tolist(), picked.first, picked.width, strict=True):
        if number in shared:
            assert 20 <= first <= first + width <= 20 + GUARANTEED


def test_other_letters_and_signs_are_the_same_words():
    text = sentences(1, words=30)[0]
    picked = pick_passages([text, text.upper().replace(" ", ",\n ")], SALT)
    assert numbers(picked, 0) == numbers(picked, 1) != set()


@pytest.mark.parametrize(
    "key",
    [
        "9f86d081884c7d659a2feaa0c55ad015",
        "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08",  # longer words are cut in parts
        "400012341234",
        "AKIA4IOSFODNN7EXAMPLE",
    ],
)
def test_a_key_is_found_by_itself(key):
    picked = pick_passages([f"token={key};", f"the password was '{key}' in May", f"x{key}y"], SALT)
    assert numbers(picked, 0) & numbers(picked, 1)
    assert not numbers(picked, 0) & numbers(picked, 2)
    assert picked.words.tolist()[0] >= 2


def test_long_words_without_digits_and_short_numbers_are_no_passages():
    words = "a" * KEY_LETTERS, "internationalization", "4111", "2026", "x1" * (KEY_LETTERS // 2 - 1)
    assert len(pick_passages([f"say {word}" for word in words], SALT).number) == 0
    assert len(pick_passages(["x1" * (KEY_LETTERS // 2)], SALT).number) == 1


def test_what_is_picked_follows_from_the_secret():
    texts = sentences(40, words=60)
    one, other = pick_passages(texts, SALT), pick_passages(texts, SALT + 1)
    assert not set(one.number.tolist()) & set(other.number.tolist())
    places = [set(zip(p.text.tolist(), p.first.tolist(), strict=True)) for p in (one, other)]
    assert len(places[0] & places[1]) < 0.5 * len(places[0])
    assert len(one.number) / one.words.sum() == pytest.approx(2 / (WINDOW + 1), rel=0.2)


def test_texts_of_any_length_and_none_are_read():
    for count in range(RUN_WORDS + WINDOW + 2):
        picked = pick_passages(["", " ".join(f"w{k}" for k in range(count))], SALT)
        assert picked.words.tolist() == [0, count]
        assert (len(picked.number) > 0) == (count >= RUN_WORDS)
    assert len(pick_passages([], SALT).number) == 0
    assert len(pick_passages(["", "…"], SALT).number) == 0


def test_characters_without_spaces_are_words():
    passage = "".join(random.Random(1).choice("天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往") for _ in range(GUARANTEED))
    picked = pick_passages([f"甲乙{passage}丙丁", f"戊己庚{passage}"], SALT)
    assert numbers(picked, 0) & numbers(picked, 1)
