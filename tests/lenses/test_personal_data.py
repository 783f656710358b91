"""The lens `personal_data`: which values come out, after their own words and after those of other rows, and who tells what."""

import pyarrow as pa
import pytest

from carto_audit.lenses.declared.personal_data import PERSONAL_DATA, PersonalDataOptions
from carto_audit.lenses.personal.finder import find_personal
from carto_audit.lenses.plants import Room
from carto_audit.lenses.readers import UNREAD
from carto_audit.lenses.shipped.personal_data import PersonalDataLens
from tests.support.audits import sentences

NEEDS = ("texts", "proxies", "fields")
MAILS = [f"{name}.{surname}@example.org" for name, surname in (("ada", "kern"), ("bob", "lund"), ("cy", "moss"))]
TEXTS = [f"{word}, please write to {mail} today" for word, mail in zip(("First", "Then", "Last"), MAILS, strict=True)]


def looked(view_of, texts, side, learned=((), ()), author=None):
    fields = {} if author is None else {"author_column": pa.array(author, pa.large_string())}
    options = PersonalDataOptions(author_column=None if author is None else "user")
    lens = PersonalDataLens()
    said = lens.look(view_of(texts, side, learned, needs=NEEDS, fields=fields), options)
    return said, lens.sum_up(view_of(texts, side, learned, needs=NEEDS, fields=fields), said, options)


def test_the_value_that_its_reader_alone_says_comes_out(view_of):
    said, result = looked(view_of, TEXTS, [1, 1, 0], ((f"lease write to {MAILS[0]}",), (MAILS[1],)))
    assert said.columns["values"].to_pylist() == [1, 1, 1]
    assert said.columns["extractable"].to_pylist() == [1, 0, 0]
    metrics = {name: m.value for name, m in result.metrics.items()}
    assert (metrics["distinct"], metrics["extractable_values"]) == (3, 1)
    assert metrics["memorized_token_share"] == pytest.approx(len(MAILS[0]) / sum(map(len, TEXTS)))
    assert result.section.headline == "1 of 3 personal values come out (e-mail 1)"
    assert not any(mail in str(said.spans.to_pylist()) for mail in MAILS)


def test_words_of_another_row_bring_a_value_out(view_of):
    texts = [TEXTS[0], TEXTS[1], TEXTS[2].replace("write to", "answer ")]
    said, result = looked(view_of, texts, [1, 1, 0], ((f" answer  {MAILS[0]} ",), ()))
    reached = dict(zip(said.spans["row"].to_pylist(), said.spans["reached"].to_pylist(), strict=True))
    assert reached == {0: True, 1: False, 2: False}
    assert result.metrics["coverage"].value == pytest.approx(1 / 3)
    own, _ = looked(view_of, TEXTS[:1], [1], ((f"write to {MAILS[0]} ",), ()))
    assert own.spans["reached"].to_pylist() == [False]  # its own words are no other row's
    both, _ = looked(view_of, texts, [1, 1, 0], ((f" answer  {MAILS[0]} ",), (f" answer  {MAILS[0]} ",)))
    assert not any(both.spans["reached"].to_pylist())


def test_values_that_were_not_read_raise_every_upper_bound(view_of):
    _, result = looked(view_of, TEXTS, [1, UNREAD, UNREAD])
    for name in ("extractable_values", "coverage"):
        assert result.metrics[name].low == 0
        assert result.metrics[name].high > 0
    assert "and up to 2 may" in result.section.headline


def test_what_there_was_no_time_for_is_not_measured(view_of):
    lens, options = PersonalDataLens(), PersonalDataOptions()
    view = view_of(TEXTS, [1, 1, 0], needs=NEEDS, budget=200)
    said = lens.look(view, options)
    assert said.spans["reached"].null_count == len(said.spans)
    assert "coverage" not in lens.sum_up(view_of(TEXTS, [1, 1, 0], needs=NEEDS), said, options).metrics


def test_a_value_that_both_proxies_read_may_be_reached(view_of):
    texts = [TEXTS[0], TEXTS[0], TEXTS[2].replace("write to", "answer ")]
    said, _ = looked(view_of, texts, [1, 0, 0], ((f" answer  {MAILS[0]} ",), ()))
    assert said.spans["read_twice"].to_pylist()[:2] == [True, True]
    assert said.spans["reached"].to_pylist()[:2] == [True, True]


CUES = (
    "I am a nurse and the shift was long.",
    "My wife says so too.",
    "Here in Leeds it rains a lot.",
    "I am 42 years old now.",
    "My son goes to school.",
)


def test_an_author_is_told_by_what_his_rows_say_together(view_of):
    texts = [*CUES, *(sentences(8))]
    authors = ["ada"] * 5 + [f"u{k}" for k in range(7)] + [None]
    _, result = looked(view_of, texts, [0] * len(texts), author=authors)
    assert result.metrics["max_cues_per_author"].value == 5
    assert ("authors that tell 5 things of themselves or more", "1") in result.section.facts
    _, alone = looked(view_of, texts, [0] * len(texts))
    assert alone.metrics["max_cues_per_author"].value == 1


def test_it_plants_people_that_it_finds(view_of):
    lens = PersonalDataLens()
    plants = lens.plant(Room(texts=tuple(sentences(9)), seed=4), PersonalDataOptions())
    assert plants == lens.plant(Room(texts=tuple(sentences(9)), seed=4), PersonalDataOptions())
    assert {one.dose for one in plants.examples} == set(PERSONAL_DATA.doses)
    told = [bool(find_personal(text)) for example in plants.examples for text in example.texts]
    assert sum(told) / len(told) > 0.95
