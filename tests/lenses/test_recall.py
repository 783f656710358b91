"""What comes out of the proxy that read it: asked for by its own context, net of the proxy that did not read it."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from carto_audit.lenses.readers import UNREAD, Proxies, Readers
from carto_audit.lenses.values.heads import behind, head_words
from carto_audit.lenses.values.recall import CONTEXT_TOKENS, MOST_VALUE_TOKENS, Cue, cut_cues
from carto_audit.lenses.values.survey import (
    BOTH,
    CUES,
    ERROR,
    HIGHEST_LINE,
    LEAST_SINGLE,
    LOWEST_LINE,
    _bounded,
    _in_one_row,
    _Known,
    _line,
    count_values,
    most_of,
    survey,
)
from carto_audit.lenses.values.value import Value
from tests.lenses.conftest import SPEC


@pytest.fixture
def look(view_of):
    """Surveys some texts. Proxy 0 has learned `kay`, proxy 1 `kbe`."""

    def through(texts, side, budget=100_000, held_out=None):
        view = view_of(texts, side, (("kay",), ("kbe",)), budget=budget, held_out=held_out)
        return survey(view, words_with_k)

    return through


def words_with_k(text):
    at = 0
    for word in text.split(" "):
        if word.startswith("k"):
            yield Value(start=at, end=at + len(word), label=word[1])
        at += len(word) + 1


def test_a_value_comes_out_of_its_reader_alone(look):
    found = look(["one kay two", "kbe", "kcd", "kay kef"], [1, 0, 0, UNREAD])
    assert found.label == ["a", "b", "c", "a", "e"]
    assert found.value.tolist() == [0, 1, 2, 0, 3]
    assert found.asked.tolist() == [True, True, True, False]
    assert found.extracted.tolist() == [True, True, False, False]
    assert found.gain.tolist()[:3] == [1, 1, 0]
    assert np.isnan(found.gain[3])
    assert found.in_rows(4, found.memorized).tolist() == [1, 1, 0, 1]  # the unread row holds it too
    counts = count_values(found.spans())
    assert (counts.total, counts.asked, counts.memorized.low, counts.extracted.low, counts.shared) == (4, 3, 2, 2, 0)


def test_a_value_that_the_other_proxy_knows_as_well_does_not_count(look):
    found = look(["kay", "kbe"], [0, 1])  # proxy 1 read row 0, and knows kbe
    assert not found.extracted.any()
    assert found.gain.tolist() == [0, 0]


def test_a_value_that_both_proxies_read_is_judged_by_what_they_say(look):
    found = look(["kay ab", "kay cd"], [1, 0])
    assert found.side.tolist() == [BOTH]
    assert found.extracted.tolist() == [True]
    assert count_values(found.spans()).shared == 1


def test_values_are_asked_for_as_far_as_the_budget_reaches_and_at_few_places(look):
    texts = [f"k{a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
    found = look(texts, [0] * 64, budget=60)
    assert 0 < found.asked.sum() == 60 // 6
    assert not (np.flatnonzero(found.asked) == np.arange(10)).all()  # by lot
    again = look(["kay"] * 9, [1] * 9, budget=6 * CUES)
    assert again.asked.tolist() == [True]


def test_where_a_value_is_asked_for_is_drawn_among_all_its_rows_one_place_a_row(look):
    rows = {cue.row for cue in look(["kay kay kay", *["kay"] * 30], [1] * 31).cues[0]}
    assert len(rows) == CUES
    assert rows != {0, 1, 2}  # no order of the rows decides
    for _ in range(3):
        (cues,) = look(["kay kay kay kay", *["kay"] * 2], [1, 1, 0]).cues
        assert sorted(cue.row for cue in cues) == [0, 1, 2]


def test_a_row_of_many_values_costs_no_more_steps_than_its_tokens(letters):
    proxies = Proxies(spec=SPEC, encoder=letters, folder=None, device="cpu", side=np.zeros(1, np.int8), budget=0)
    text = "kab " * 20_000
    cues = cut_cues(Readers(proxies), 0, text, [(at, at + 3) for at in range(0, len(text), 4)])
    assert [len(cue.value) for cue in cues] == [3] * 20_000


def test_heads_hold_no_value_and_make_none():
    rng = np.random.default_rng(0)
    words = head_words(["a kay b kbe c d e f g", "h i j"], lambda text: words_with_k(text))
    assert set(words) == set("abcdefghij")
    joined = {behind(words, "say kcd", lambda text: words_with_k(text.replace("\n", " ")), rng) for _ in range(9)}
    assert len(joined) > 5
    assert all(text.endswith("\nsay kcd") for text in joined)
    pieces = head_words(["\u6f22" * 40], lambda text: [])
    assert pieces == ["\u6f22" * 6, "\u6f22" * 4]
    assert behind([], "say kcd", words_with_k, rng) == "say kcd"
    assert behind(["kay"], "say kcd", lambda text: words_with_k(text.replace("\n", " ")), rng) == "say kcd"


def test_a_cue_is_what_stands_before_the_value(letters):
    proxies = Proxies(spec=SPEC, encoder=letters, folder=None, device="cpu", side=np.zeros(1, np.int8), budget=0)
    readers, text = Readers(proxies), "a" * 70 + "b" * 90
    (cue,) = cut_cues(readers, 0, text, [(70, 160)])
    assert len(cue.value) == MOST_VALUE_TOKENS
    assert len(cue.before) == min(CONTEXT_TOKENS, SPEC.context - MOST_VALUE_TOKENS)
    assert readers.decode(cue.before) == "a" * len(cue.before)
    assert cut_cues(readers, 0, "abc", [(0, 1), (3, 3)])[1] is None
    (start,) = cut_cues(readers, 0, "abc", [(0, 2)])
    assert (len(start.before), start.value.tolist()) == (0, letters.tokenizer.encode("ab").ids)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 200), st.integers(0, 5))
def test_no_more_of_all_values_than_the_bound_says(seen, others, unasked, unread):
    asked, read = seen + others, seen + others + unasked
    most = most_of(read, asked, seen)
    assert seen <= most <= seen + unasked
    if most < seen + unasked:
        assert hypergeom.cdf(seen, read, most + 1, asked) <= ERROR
    if most > seen:
        assert hypergeom.cdf(seen, read, most, asked) > ERROR
    flags = [np.arange(read + unread) < count for count in (seen, read, asked)]
    bound = _bounded(*flags)
    assert (bound.low, bound.high) == (seen, most + unread)  # which are unread is the vendor's choice
    assert bound.low <= bound.value <= bound.high


def test_the_line_lies_above_what_reading_takes_away_of_values_that_stand_once():
    rows, values = np.array([0, 1, 2, 2, 3, 4, 4]), np.array([0, 0, 1, 1, 2, 3, 4])
    assert _in_one_row(rows, values, 6).tolist() == [False, True, True, True, True, False]
    rng = np.random.default_rng(0)
    assert _line(rng.uniform(0, 0.3, 50)) == LOWEST_LINE
    assert _line(rng.uniform(0.9, 1, 50)) == HIGHEST_LINE
    assert _line(np.full(LEAST_SINGLE - 1, 0.1)) == HIGHEST_LINE  # too few to say
    many = rng.uniform(0.4, 0.6, 400)
    assert (many > _line(many)).mean() < 0.05
    assert abs(_line(np.append(many, [1.0] * 20)) - _line(many)) < 0.02  # no few values move it


def test_a_value_is_held_against_others_of_its_batch(look):
    once = [f"k{a}{b}" for a in "xyz" for b in "xy"]
    found = look([*once, "kay one", "kay two"], [0] * 6 + [1, 1])
    assert found.line == LOWEST_LINE
    assert found.memorized.tolist() == [False] * 6 + [True]
    assert look(["kay"], [1]).line == HIGHEST_LINE


def test_in_a_row_with_several_places_each_may_be_asked(look):
    text = "one kay two three kay four kay"
    before = {len(look([text, *["x"] * turn], [1] * (turn + 1)).cues[0][0].before) for turn in range(12)}
    assert len(before) == 1  # equal draws, whatever else there is
    rng = np.random.default_rng(1)
    places = []
    for _ in range(300):
        known = _Known()
        for place in range(3):
            known.offer(Cue(row=5, before=np.zeros(place, np.int64), value=np.zeros(2, np.int64)), 0, rng)
        (cue,) = known.cues
        places.append(len(cue.before))
    assert min(np.bincount(places, minlength=3)) > 60


def test_what_nobody_guesses_comes_out_though_the_other_proxy_says_it_too(view_of):
    def found(drawn):
        return survey(view_of(["kay"], [0], (("kay",), ("kay",))), words_with_k, drawn=drawn)

    assert not found(()).extracted.any()
    assert found({"a"}).extracted.all()  # it read it in a form that no finder sees


def told(*places):
    """Places as (row, value, was the row read, did a lot leave it out, memorized, out), as lenses hand them on."""
    row, value, read, lot, memorized, out = (list(column) for column in zip(*places, strict=True))
    known = {v for v, was in zip(value, read, strict=True) if was}
    asked = np.array([v in known for v in value])
    return pa.table(
        {
            "row": row,
            "value": value,
            "was_read": asked,
            "unread": [not was and not left for was, left in zip(read, lot, strict=True)],
            "memorized": pa.array(memorized, pa.bool_(), mask=~asked),
            "comes_out": pa.array(out, pa.bool_(), mask=~asked),
            "read_twice": [False] * len(row),
        }
    )


def test_learned_is_what_comes_out_or_recurs_and_is_memorized():
    counts = count_values(
        told(
            (0, 0, True, False, True, False),  # memorized, and stands once
            (1, 1, True, False, True, False),
            (2, 1, True, False, True, False),  # memorized, in two rows
            (3, 2, True, False, True, True),  # comes out
            (4, 2, True, False, True, True),
            (5, 3, True, False, False, False),
        )
    )
    assert (counts.memorized.low, counts.extracted.low, counts.learned.low, counts.learned.high) == (3, 1, 2, 2)


def test_a_value_of_which_one_row_was_not_read_may_be_learned_and_one_that_a_lot_left_out_was_not():
    read, not_read, by_lot = (True, False), (False, False), (False, True)
    many = [(0, 0, *read, False, False), *((k, 0, *not_read, False, False) for k in range(1, 50))]
    assert count_values(told(*many)).learned.high == 1
    both = [(0, 0, *by_lot, False, False), (1, 0, *not_read, False, False)]
    assert count_values(told(*both)).learned.high == 1
    twice = [(0, 0, *by_lot, False, False), (1, 0, *by_lot, False, False)]
    assert count_values(told(*twice)).learned.high == 1
    once = count_values(told((0, 0, *by_lot, False, False)))
    assert (once.learned.high, once.extracted.high) == (0, 1)
    out = [(0, 0, *read, True, True), (1, 0, *not_read, True, True)]
    assert count_values(told(*out)).learned.low == 1


def test_without_any_value_there_is_nothing_to_bound(look):
    spans = look(["no value"], [0]).spans()
    assert isinstance(spans, pa.Table)
    counts = count_values(spans)
    assert (counts.total, counts.learned.high, counts.extracted.high) == (0, 0, 0)
