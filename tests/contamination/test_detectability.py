from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.benchmarks.index import build_index
from carto_audit.contamination.detectability import (
    FORMS,
    QUESTION_FORMS,
    QUICK_FORMS,
    Detectability,
    measure_detectability,
    rewrap,
)
from carto_audit.contamination.matching import find_matches
from carto_audit.text.words import hash_words
from tests.support.quizzes import BELL, HAN, ITEMS, quiz

IDS = [item["item_id"] for item in ITEMS]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quiz")
    return build_index([quiz(folder / "quiz.jsonl"), quiz(folder / "one.jsonl", ITEMS[:1])])


@pytest.fixture(scope="module")
def measured(index):
    return measure_detectability(index, find_matches)


def found_in(measured, form):
    flags = measured.detectable if form == "detectable" else measured.found[FORMS.index(form)]
    return {item_id for item_id, found in zip(IDS, flags, strict=False) if found}


@pytest.mark.parametrize("form", [*QUESTION_FORMS, "detectable"])
def test_what_a_question_alone_tells_is_found_in_every_form_and_script(measured, form):
    assert found_in(measured, form) >= {"bell", "again", "sheep", "han", "arabic"}
    assert "blank" not in found_in(measured, form)
    assert not any(item_id.startswith("true") for item_id in found_in(measured, form))


def test_a_wording_that_many_items_share_is_found_with_its_options_only(measured):
    assert found_in(measured, "with_options") >= {f"true{k}" for k in range(30)} | {"bell", "sheep"}
    assert "blank" not in found_in(measured, "with_options")


def test_shares_are_told_by_benchmark_and_the_lowest_is_the_policy_s(measured, index):
    shares = measured.shares(index, 0)
    assert list(shares) == [*FORMS, "detectable"]
    assert shares["detectable"] == pytest.approx(measured.detectable[: len(ITEMS)].mean())
    assert shares["with_options"] > 0.9
    assert measured.shares(index, 1)["detectable"] == 1.0
    assert measured.lowest_share(index) == shares["detectable"] < 0.25


def test_a_finder_that_finds_nothing_leaves_nothing_detectable(index):
    blind = measure_detectability(index, lambda texts, index: [])
    assert not blind.found.any()
    assert blind.lowest_share(index) == 0.0


def test_an_item_is_detectable_only_when_it_is_found_in_every_form(index):
    def blind_to_capitals(texts, index):
        return [match for match in find_matches(texts, index) if BELL.upper() not in texts[match.row]]

    half_blind = measure_detectability(index, blind_to_capitals)
    assert half_blind.found[FORMS.index("embedded"), 0]
    assert not half_blind.found[FORMS.index("recased"), 0]
    assert not half_blind.detectable[0]


@pytest.mark.parametrize(("item", "tier", "found"), [("bell", 2, False), ("bell", 3, True), ("blank", 4, False)])
def test_only_the_planted_item_counts_and_only_from_suspected_on(index, item, tier, found):
    def find(texts, index):
        return [SimpleNamespace(row=0, item=IDS.index(item), group=-1, tier=tier)]

    assert measure_detectability(index, find).found[0].any() == found


def test_a_few_forms_are_quicker_and_say_which(index):
    quick = measure_detectability(index, find_matches, forms=QUICK_FORMS)
    assert quick.forms == ("embedded",)
    assert list(quick.shares(index, 0)) == ["embedded", "detectable"]
    assert np.array_equal(quick.detectable, quick.found[0])


def test_without_items_the_share_is_none_at_all(index):
    empty = Detectability(
        forms=FORMS, found=np.zeros((len(FORMS), len(index.item_benchmark)), dtype=bool), disguised=()
    )
    assert empty.shares(index, 0)["detectable"] == 0.0


@settings(deadline=None)
@given(st.text("ab 谁修好\nم-'…", max_size=80), st.integers(1, 9))
def test_rewrapping_keeps_every_word_and_no_line_is_longer(text, width):
    wrapped = rewrap(text, width)
    assert np.array_equal(hash_words([wrapped]).values, hash_words([text]).values)
    assert all(len(line.split()) <= width for line in wrapped.splitlines())


def test_text_without_spaces_is_broken_between_its_characters():
    lines = rewrap(HAN, 8).splitlines()
    assert len(lines) == 1  # four parts of eight characters in a line of eight
    assert [len(part) for part in lines[0].split()] == [8, 8, 8, 3]
