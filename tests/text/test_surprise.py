"""Surprise: keys and invented names say more per byte than prose and notices do, to a model that any text can make."""

import math
from itertools import repeat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.controls.canary_writer import SURPRISING, SecretWriter
from carto_audit.text import surprise
from carto_audit.text.surprise import SHORTEST, WINDOW_BYTES, learn_bytes
from tests.support.passages import passages

NOTICES = (
    "This notice forms part of every page of the collection and may be quoted with its source. Questions about rights "
    "go to the office named on the cover.",
    "All rights reserved. No part of this publication may be reproduced without permission of the publisher.",
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and its files.",
)

NO_TEXT = learn_bytes([])


@pytest.fixture(scope="module")
def prose():
    return [text.encode() for text in passages(400)]


@pytest.fixture(scope="module")
def model(prose):
    return learn_bytes(prose[::2])


@pytest.fixture(scope="module")
def usual(model, prose):
    """What prose says that the model has not read."""
    return np.array([model.surprise(text) for text in prose[1::2]])


@pytest.mark.parametrize("kind", ["random", *SURPRISING])
def test_invented_text_is_far_more_surprising_than_prose_and_than_a_notice(model, prose, usual, kind):
    writer = SecretWriter([], [text.decode() for text in prose], np.random.default_rng(0), framed=False)
    found = [model.surprise(writer.secret(kind).text.encode()) for _ in range(30)]
    notices = [model.surprise(notice.encode()) for notice in NOTICES]
    assert np.median(found) > 1.5 * np.median(usual)
    assert min(found) > max(notices)
    if kind in ("hex", "base64", "foreign"):
        assert min(found) > max(usual)


def test_a_notice_says_no_more_than_prose_does(model, usual):
    assert all(model.surprise(notice.encode()) < np.percentile(usual, 95) for notice in NOTICES)


def test_prose_that_was_read_says_less_than_prose_that_was_not(model, prose, usual):
    assert np.mean([model.surprise(text) for text in prose[::2]]) < usual.mean()


def test_a_passage_is_as_surprising_as_its_most_surprising_stretch(model, prose):
    """A key says as much in the middle of prose as at its end, and much more than the prose."""
    key = b"9f1c04be77a2d3581e60c5fa2b9d48e1736f0ac5d28b14e9"
    assert len(key) == WINDOW_BYTES
    before, after = prose[1][:200], prose[3][:200]
    found = [model.surprise(text) for text in (before + key + after, before + after + key, key + before + after)]
    assert min(found) > 1.5 * model.surprise(before + after)
    assert max(found) - min(found) < 0.3


@pytest.mark.parametrize("text", [b"", b"a", b"a" * (SHORTEST - 1), "\u00e9".encode() * (SHORTEST // 2 - 1)])
def test_of_a_passage_that_is_too_short_nothing_is_said(model, text):
    assert math.isnan(model.surprise(text))
    assert math.isnan(NO_TEXT.surprise(text))


def test_the_shortest_passage_and_everything_longer_has_a_surprise(model):
    assert all(math.isfinite(model.surprise((b"k7#Q" * 50)[:length])) for length in range(SHORTEST, 200))


@pytest.mark.parametrize("texts", [[], [b""], [b"", b""], [b"a"], [b"ab"]])
def test_to_a_model_of_nothing_every_byte_says_about_as_much(texts):
    empty = learn_bytes(texts)
    for passage in (b"hello hello hello hello", bytes(range(100, 160))):
        assert empty.surprise(passage) == pytest.approx(math.log(256), rel=0.05)


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__)


def test_no_more_than_a_certain_number_of_bytes_is_learned(monkeypatch):
    monkeypatch.setattr(surprise, "LEARNED_BYTES", 1000)
    whole = learn_bytes([b"ab" * 500])
    assert same(learn_bytes([b"ab" * 500, b"not read"]), whole)
    assert same(learn_bytes([b"ab" * 500 + b"nor this"]), whole)
    assert not same(learn_bytes([b"ab" * 499, b"read"]), whole)
    endless = learn_bytes(repeat(b"a text without end"))
    assert endless.singles.sum() < 1000 + 2 * 100


@given(
    st.lists(st.binary(max_size=40), max_size=8).flatmap(
        lambda texts: st.tuples(st.just(texts), st.permutations(texts))
    )
)
def test_the_order_of_the_texts_does_not_matter(orders):
    one, other = orders
    assert same(learn_bytes(one), learn_bytes(other))


@given(st.lists(st.binary(max_size=60), max_size=5), st.binary(min_size=SHORTEST, max_size=300))
def test_any_bytes_have_a_finite_surprise(texts, passage):
    found = learn_bytes([*texts, passage]).surprise(passage), learn_bytes(texts).surprise(passage)
    assert all(math.isfinite(value) and value >= 0 for value in found)
