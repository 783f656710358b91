"""What a proxy says after a prompt is the same in company as alone."""

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from carto_audit.proxies import generation
from carto_audit.proxies.generation import greedy, sample

pytestmark = pytest.mark.usefixtures("one_thread")


def alone(proxy, prompt, length, bos):
    """The greedy output by whole forward passes, without padding and without a cache."""
    ids = [bos, *prompt.tolist()]
    for _ in range(length):
        with torch.no_grad():
            ids.append(int(proxy.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    return ids[1 + len(prompt) :]


@pytest.fixture(scope="module")
def prompts(reciters):
    """Openings of known and of unknown passages, of every length from none to 20 tokens."""
    return [reciters.groups[2 * (k % 2)][k][:k] for k in range(21)]


def test_prompts_of_different_lengths_are_continued_as_if_alone(reciters, prompts):
    proxy, lengths = reciters.trained[0], [k % 6 for k in range(len(prompts))]
    said = greedy(proxy, prompts, lengths)
    for prompt, length, tokens in zip(prompts, lengths, said, strict=True):
        assert tokens.tolist() == alone(proxy, prompt, length, reciters.bos)


def test_small_minibatches_say_the_same(reciters, prompts, monkeypatch):
    lengths = [8] * len(prompts)
    whole = greedy(reciters.trained[0], prompts, lengths)
    monkeypatch.setattr(generation, "MINIBATCH_TOKENS", 64)
    parts = greedy(reciters.trained[0], prompts, lengths)
    assert [tokens.tolist() for tokens in parts] == [tokens.tolist() for tokens in whole]


def test_a_generation_config_of_the_proxys_own_neither_stops_nor_filters(reciters):
    proxy, prompt = reciters.trained[0], reciters.groups[0][0][:8]
    first = alone(proxy, prompt, 1, reciters.bos)[0]
    proxy.model.generation_config = GenerationConfig(eos_token_id=first, suppress_tokens=[first], pad_token_id=0)
    assert greedy(proxy, [prompt], [5])[0].tolist() == alone(proxy, prompt, 5, reciters.bos)


def test_nothing_is_said_about_nothing(reciters):
    assert greedy(reciters.fresh[0], [], []) == []
    assert sample(reciters.fresh[0], [], 5, 3, 0) == []


def test_equal_seeds_draw_alike_and_others_do_not(reciters, prompts):
    first, again, other = (sample(reciters.fresh[0], prompts, 6, 3, seed) for seed in (1, 1, 2))
    assert all(tokens.shape == (3, 6) for tokens in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_draws_are_as_frequent_as_they_are_likely(reciters, temperature):
    proxy, prompt = reciters.trained[0], reciters.groups[2][0][:1]
    with torch.no_grad():
        logits = proxy.model(input_ids=torch.tensor([[reciters.bos, *prompt.tolist()]])).logits[0, -1]
    likely = torch.softmax(logits / temperature, -1).numpy()
    drawn = sample(proxy, [prompt], 1, 4000, 0, temperature)[0][:, 0]
    frequency = np.bincount(drawn, minlength=len(likely)) / len(drawn)
    top = np.argsort(-likely)[:5]
    assert np.abs(frequency - likely)[top].max() < 4 * np.sqrt(0.25 / 4000)


def test_at_a_low_temperature_draws_are_the_greedy_output(reciters, prompts):
    said = greedy(reciters.trained[0], prompts, [4] * len(prompts))
    drawn = sample(reciters.trained[0], prompts, 4, 2, 0, temperature=1e-4)
    assert all((outputs == tokens).all() for outputs, tokens in zip(drawn, said, strict=True))
