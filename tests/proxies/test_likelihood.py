"""What a proxy makes of tokens, against plain arithmetic on its logits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from carto_audit.proxies.likelihood import neighbour_losses, read_statistics, text_losses

pytestmark = pytest.mark.usefixtures("one_thread")


def log_probabilities(proxy, text, bos):
    """(T, V), of one text alone."""
    with torch.no_grad():
        logits = proxy.model(input_ids=torch.tensor([[bos, *text[:-1].tolist()]]), use_cache=False).logits[0]
    return torch.log_softmax(logits.double(), -1).numpy()


@pytest.fixture(scope="module")
def texts(reciters):
    """Known and unknown passages of 1 to 32 tokens."""
    return [text[: 1 + 3 * k] for k, text in enumerate([*reciters.groups[0][:6], *reciters.groups[2][:5]])]


def test_a_token_loses_the_same_in_company_as_alone(reciters, texts):
    found = text_losses(reciters.trained[0], texts)
    for text, losses in zip(texts, found, strict=True):
        log_p = log_probabilities(reciters.trained[0], text, reciters.bos)
        assert losses == pytest.approx(-log_p[np.arange(len(text)), text], abs=1e-4)


def test_the_statistics_are_those_of_the_whole_vocabulary(reciters, texts):
    proxy = reciters.trained[0]
    found = read_statistics(proxy, texts)
    for text, statistics in zip(texts, found, strict=True):
        log_p = log_probabilities(proxy, text, reciters.bos)
        truth, p = log_p[np.arange(len(text)), text], np.exp(log_p)
        mean = (p * log_p).sum(1)
        spread = np.sqrt((p * (log_p - mean[:, None]) ** 2).sum(1))
        rank = (log_p > truth[:, None]).sum(1)
        assert statistics.loss == pytest.approx(-truth, abs=1e-4)
        assert statistics.z == pytest.approx((truth - mean) / spread, rel=1e-2, abs=1e-2)
        assert statistics.right.tolist() == (log_p.argmax(1) == text).tolist()
        assert statistics.log_rank == pytest.approx(np.log1p(rank) / np.log(log_p.shape[1] + 1), abs=1e-4)
        assert statistics.margin == pytest.approx(truth - log_p.max(1), abs=1e-4)


def test_a_large_vocabulary_is_read_in_small_minibatches(reciters, texts, monkeypatch):
    whole = read_statistics(reciters.trained[0], texts)
    monkeypatch.setattr("carto_audit.proxies.likelihood.MINIBATCH_LOGITS", 40 * reciters.spec.vocab_size)
    parts = read_statistics(reciters.trained[0], texts)
    assert all(part.loss == pytest.approx(one.loss, abs=1e-4) for part, one in zip(parts, whole, strict=True))


def test_only_what_fits_the_context_is_read(reciters, texts):
    short = replace(reciters.trained[0], spec=replace(reciters.spec, context=8))
    whole = read_statistics(reciters.trained[0], texts)
    begun = read_statistics(short, texts)
    for all_of_it, some in zip(whole, begun, strict=True):
        assert some.loss == pytest.approx(all_of_it.loss[:8], abs=1e-4)


def test_the_loss_of_neighbours_is_the_mean_of_their_means(reciters, texts):
    groups = [texts[:1], texts[1:4], texts[4:]]
    each = [part.mean() for part in text_losses(reciters.fresh[0], texts)]
    found = neighbour_losses(reciters.fresh[0], groups)
    assert found == pytest.approx([each[0], np.mean(each[1:4]), np.mean(each[4:])], abs=1e-5)


def test_of_no_texts_there_is_nothing_to_say(reciters):
    assert text_losses(reciters.fresh[0], []) == []
    assert read_statistics(reciters.fresh[0], []) == []
