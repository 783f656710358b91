"""Utility: perplexity, variety, and a rare tail that is really rare."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.governance.attacks.utility import LEAST_CLUSTERED, TAIL_SHARE, distinct_n, perplexity, rare_tail
from carto_audit.proxies.tokens import encode_batches, train_encoder
from tests.support.passages import passages
from tests.support.tiny import make_batch, make_store, random_samples

COMMON, RARE = 380, 14


def test_perplexity_is_of_all_tokens_and_not_of_texts():
    losses = [np.log([2.0, 2.0, 2.0]), np.log([32.0])]
    assert perplexity(losses) == pytest.approx(2 ** ((3 * 1 + 5) / 4))
    assert perplexity(losses, np.array([True, False])) == pytest.approx(2)


def test_perplexity_of_nothing_is_unknown():
    assert perplexity([]) is None
    assert perplexity([np.empty(0)]) is None
    assert perplexity([np.ones(3)], np.array([False])) is None


@pytest.mark.parametrize("loss", [800.0, np.inf, np.nan])
def test_a_perplexity_beyond_any_float_is_unknown(loss):
    assert perplexity([np.array([loss])]) is None


def test_distinct_n_counts_n_grams_over_all_outputs():
    outputs = [np.array([1, 2, 1, 2]), np.array([1, 2, 3])]
    assert distinct_n(outputs, 2) == pytest.approx(3 / 5)  # 12 21 12 12 23
    assert distinct_n(outputs, 3) == pytest.approx(3 / 3)
    assert distinct_n(outputs, 5) is None
    assert distinct_n([], 2) is None


@given(st.lists(st.lists(st.integers(0, 5), max_size=12), max_size=6), st.integers(1, 4))
def test_distinct_n_is_a_share_and_repeating_an_output_never_raises_it(outputs, n):
    arrays = [np.array(output, np.int64) for output in outputs]
    share = distinct_n(arrays, n)
    assert (share is None) == (not any(len(output) >= n for output in outputs))
    if share is not None:
        assert 0 < share <= 1
        assert distinct_n(arrays + arrays, n) == pytest.approx(share / 2)


@pytest.fixture(scope="module")
def encyclopedia(tmp_path_factory):
    """Openings of paragraphs and, scattered among them, tables of numbers; which are those."""
    folder = tmp_path_factory.mktemp("encyclopedia")
    rng = np.random.default_rng(0)
    tables = [" ".join(f"{number:.3f}" for number in rng.random(50)) for _ in range(RARE)]
    texts = [text[:300] for text in passages(COMMON)] + tables
    order = rng.permutation(COMMON + RARE)
    batch = make_batch(folder, [texts[k] for k in order])
    encoder = train_encoder(batch, np.zeros(len(batch), bool), 1024, 0)
    return encode_batches([batch], encoder, folder / "tokens.bin"), order >= COMMON


def test_a_rare_topic_among_real_texts_is_found_from_nearly_every_start(encyclopedia):
    """Ten starts of k-means, each of which settles where it settles."""
    store, rare = encyclopedia
    tails = np.array([rare_tail(store, np.arange(len(rare)), seed) for seed in range(10)])
    assert (tails.mean(1) > 0).all()
    assert (tails.mean(1) <= TAIL_SHARE).all()
    assert tails[:, rare].mean() >= 0.6
    assert tails[:, ~rare].mean() < TAIL_SHARE


def test_the_rare_tail_belongs_to_the_samples_and_not_to_their_places(encyclopedia):
    store, rare = encyclopedia
    samples = np.random.default_rng(1).permutation(len(rare))
    tails = np.array([rare_tail(store, samples, seed) for seed in range(10)])
    assert tails[:, rare[samples]].mean() >= 0.6
    assert (rare_tail(store, samples, 0) == tails[0]).all()


def test_of_too_few_samples_none_is_rare(encyclopedia):
    store, _ = encyclopedia
    few, enough = (rare_tail(store, np.arange(n), 0) for n in (LEAST_CLUSTERED - 1, LEAST_CLUSTERED))
    assert few.shape == (LEAST_CLUSTERED - 1,)
    assert not few.any()
    assert enough.shape == (LEAST_CLUSTERED,)
    assert rare_tail(store, np.empty(0, np.int64), 0).shape == (0,)


@pytest.mark.parametrize("samples", [[[7]] * 400, random_samples(400, longest=3)], ids=["all-equal", "a-token-or-two"])
def test_samples_without_topics_are_clustered_without_a_warning(tmp_path, samples):
    tail = rare_tail(make_store(tmp_path, samples), np.arange(400), 0)
    assert tail.mean() <= TAIL_SHARE
