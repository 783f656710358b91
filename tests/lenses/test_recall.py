"""What comes out of the proxy that read it: asked for by its own context, net of the proxy that did not read it."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom

from carto_audit.lenses.readers import UNREAD, Proxies, Readers
from carto_audit.lenses.values.heads import behind, head_words
from carto_audit.lenses.values.recall import CONTEXT_TOKENS, MOST_VALUE_TOKENS, cut_cues
from carto_audit.lenses.values.survey import (
    BOTH,
    CUES,
    ERROR,
    HIGHEST_LINE,
    LEAST_SINGLE,
    LOT_ERROR,
    LOWEST_LINE,
    Counts,
    _in_one_row,
    _line,
    count_values,
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
    assert (counts.total, counts.asked, counts.memorized, counts.extracted, counts.shared) == (4, 3, 2, 2, 0)


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


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 200))
def test_no_more_of_all_values_than_the_bound_says(seen, others, unasked):
    asked, total = seen + others, seen + others + unasked
    counts = Counts(total=total, read=total, asked=asked, memorized=seen, extracted=0, shared=0)
    bound = counts.among_all(seen)
    unread = Counts(total=total + 7, read=total, asked=asked, memorized=seen, extracted=0, shared=0)
    assert unread.among_all(seen).high == bound.high + 7  # which are unread is the vendor's choice
    assert seen == bound.low <= bound.value <= bound.high <= seen + unasked
    if bound.high < seen + unasked:
        assert hypergeom.cdf(seen, total, int(bound.high) + 1, asked) <= ERROR
    if bound.high > seen:
        assert hypergeom.cdf(seen, total, int(bound.high), asked) > ERROR


def test_the_line_lies_above_what_reading_takes_away_of_values_that_stand_once():
    rows, values = np.array([0, 1, 2, 2, 3, 4, 4]), np.array([0, 0, 1, 1, 2, 3, 4])
    assert _in_one_row(rows, values, 6).tolist() == [False, True, True, True, True, False]
    rng = np.random.default_rng(0)
    assert _line(rng.uniform(0, 0.4, 50)) == LOWEST_LINE
    assert _line(rng.uniform(0.9, 1, 50)) == HIGHEST_LINE
    assert _line(np.full(LEAST_SINGLE - 1, 0.1)) == HIGHEST_LINE  # too few to say
    few = np.array([0.1, 0.2, 0.3, 0.4, 0.7])
    assert _line(few) == 0.7
    many = rng.uniform(0.5, 0.8, 400)
    assert 0.02 <= (many > _line(many)).mean() <= 0.05


def test_a_value_is_held_against_others_of_its_batch(look):
    once = [f"k{a}{b}" for a in "xyz" for b in "xy"]
    found = look([*once, "kay one", "kay two"], [0] * 6 + [1, 1])
    assert found.line == LOWEST_LINE
    assert found.memorized.tolist() == [False] * 6 + [True]
    assert look(["kay"], [1]).line == HIGHEST_LINE


def test_a_value_that_only_rows_hold_which_a_lot_left_out_is_told_from_others_that_nobody_read(look):
    texts = ["kay kcd", "kay kee", "kff", "kgg"]
    found = look(texts, [1, UNREAD, UNREAD, UNREAD], held_out=[False, True, True, False])
    assert [found.written[k] for k in np.flatnonzero(found.held_out)] == ["kay", "kee", "kff"]
    spans = found.spans()
    assert set(spans.filter(spans["held_out"])["value"].to_pylist()) == {2, 3}
    counts = count_values(spans, missed=0.04)
    assert (counts.total, counts.read, counts.held_out) == (5, 2, 2)
    assert counts.among_all(0).high == 1  # kgg, which stands in text that had no chance to be read
    assert counts.among_all(counts.extracted).high == 1 + 1
    assert count_values(spans, missed=0.11).among_all(0).high == 3
    assert count_values(spans).among_all(0).high == 3


@given(st.integers(0, 30), st.integers(0, 30), st.floats(0.001, 0.099))
def test_of_what_a_lot_left_out_no_more_is_hidden_than_the_bound_says(seen, held_out, missed):
    total = seen + 10 + held_out
    read = {"total": total, "read": total - held_out, "asked": total - held_out, "memorized": seen, "extracted": 0}
    high = Counts(**read, shared=0, held_out=held_out, missed=missed).among_all(seen).high
    hidden = int(high) - seen
    assert 0 <= hidden <= held_out
    assert hidden == 0 or seen  # one that comes out would not have been left out by so rare a lot
    if hidden < held_out:
        assert binom.cdf(seen, seen + hidden + 1, 1 - missed) <= LOT_ERROR
    if hidden:
        assert binom.cdf(seen, seen + hidden, 1 - missed) > LOT_ERROR


def test_without_any_value_there_is_nothing_to_bound(look):
    spans = look(["no value"], [0]).spans()
    assert isinstance(spans, pa.Table)
    counts = count_values(spans)
    assert (counts.total, counts.among_all(0).high) == (0, 0)
