"""What comes out of the proxy that read it: asked for by its own context, net of the proxy that did not read it."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom
from tokenizers import Tokenizer, models, pre_tokenizers

from carto_audit.lenses.readers import UNREAD, Proxies, Readers
from carto_audit.lenses.values.recall import CONTEXT_TOKENS, MOST_VALUE_TOKENS, cut_cues
from carto_audit.lenses.values.survey import CUES, ERROR, Counts, count_values, survey
from carto_audit.lenses.values.value import Value
from carto_audit.lenses.view import LensView, Offered, RowTexts
from carto_audit.proxies.model import ProxySpec
from carto_audit.proxies.tokens import Encoder
from carto_audit.traces.trace import TokenStatistics

SPEC = ProxySpec(
    name="x", vocab_size=9, context=80, hidden_size=8, layers=1, heads=1, learning_rate=1e-3, minibatch_tokens=64
)
LEARNED = {0: "kay", 1: "kbe"}
"""What proxy 0 and proxy 1 have learned by heart."""


@pytest.fixture
def encoder():
    """A token per character."""
    alphabet = {c: k for k, c in enumerate("abcdefghijklmnopqrstuvwxyz0123456789 .=")}
    tokenizer = Tokenizer(models.WordLevel({**alphabet, "?": len(alphabet)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return Encoder(tokenizer=tokenizer, bos=0, vocab_size=len(alphabet) + 1, checkpoint=None)


@pytest.fixture
def look(encoder, monkeypatch):
    """Surveys some texts; `side` says who read them. A proxy says every token that belongs to a value it has learned."""

    def statistics(proxy, texts, most_logits):
        learned = encoder.tokenizer.encode(LEARNED[proxy]).ids
        found = []
        for text in texts:
            right = np.zeros(len(text))
            for k in range(len(text) - len(learned) + 1):
                if text[k : k + len(learned)].tolist() == learned:
                    right[k : k + len(learned)] = 1
            found.append(TokenStatistics(loss=right, z=right, right=right, log_rank=right, margin=right))
        return found

    monkeypatch.setattr(Readers, "_proxy", lambda self, index: index)
    monkeypatch.setattr("carto_audit.proxies.likelihood.read_statistics", statistics)

    def through(texts, side, budget=100_000):
        proxies = Proxies(
            spec=SPEC, encoder=encoder, folder=None, device="cpu", side=np.array(side, np.int8), budget=budget
        )
        chunks = iter([RowTexts(start=0, texts=texts), None])
        view = LensView(
            Offered(n_tokens=np.ones(len(texts), np.int64), proxies=proxies),
            ("texts", "proxies"),
            3,
            lambda question: next(chunks),
        )
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
    assert found.net.tolist()[:3] == [1, 1, 0]
    assert np.isnan(found.net[3])
    assert found.in_rows(4, found.memorized).tolist() == [1, 1, 0, 1]  # the unread row holds it too
    counts = count_values(found.spans())
    assert (counts.total, counts.asked, counts.memorized, counts.extracted, counts.shared) == (4, 3, 2, 2, 0)


def test_a_value_that_the_other_proxy_knows_as_well_does_not_count(look):
    found = look(["kay", "kbe"], [0, 1])  # proxy 1 read row 0, and knows kbe
    assert not found.extracted.any()
    assert found.net.tolist() == [0, 0]


def test_a_value_that_both_proxies_read_is_judged_by_what_they_say(look):
    found = look(["kay ab", "kay cd"], [1, 0])
    assert found.shared.tolist() == [True]
    assert found.extracted.tolist() == [True]
    assert count_values(found.spans()).shared == 1


def test_values_are_asked_for_as_far_as_the_budget_reaches_and_at_few_places(look):
    texts = [f"k{a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
    found = look(texts, [0] * 64, budget=60)
    assert 0 < found.asked.sum() == 60 // 6
    assert not (np.flatnonzero(found.asked) == np.arange(10)).all()  # by lot
    again = look(["kay"] * 9, [1] * 9, budget=6 * CUES)
    assert again.asked.tolist() == [True]


def test_a_cue_is_what_stands_before_the_value(encoder):
    proxies = Proxies(spec=SPEC, encoder=encoder, folder=None, device="cpu", side=np.zeros(1, np.int8), budget=0)
    readers, text = Readers(proxies), "a" * 70 + "b" * 90
    (cue,) = cut_cues(readers, 0, text, [(70, 160)])
    assert len(cue.value) == MOST_VALUE_TOKENS
    assert len(cue.before) == min(CONTEXT_TOKENS, SPEC.context - MOST_VALUE_TOKENS)
    assert set(cue.before) == {0}
    assert cut_cues(readers, 0, "abc", [(0, 1), (3, 3)])[1] is None
    (start,) = cut_cues(readers, 0, "abc", [(0, 2)])
    assert (len(start.before), start.value.tolist()) == (0, [0, 1])


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 200))
def test_no_more_of_all_values_than_the_bound_says(seen, others, unasked):
    asked, total = seen + others, seen + others + unasked
    counts = Counts(total=total, asked=asked, memorized=seen, extracted=0, shared=0)
    bound = counts.among_all(seen)
    assert seen == bound.low <= bound.value <= bound.high <= seen + unasked
    if bound.high < seen + unasked:
        assert hypergeom.cdf(seen, total, int(bound.high) + 1, asked) <= ERROR
    if bound.high > seen:
        assert hypergeom.cdf(seen, total, int(bound.high), asked) > ERROR


def test_without_any_value_there_is_nothing_to_bound(look):
    spans = look(["no value"], [0]).spans()
    assert isinstance(spans, pa.Table)
    counts = count_values(spans)
    assert (counts.total, counts.among_all(0).high) == (0, 0)
