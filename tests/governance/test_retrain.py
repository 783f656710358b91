"""Retraining: equal seeds give equal proxies, a weight is how often a row is read, and nothing else differs between arms."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.governance.retrain import Recipe, _minibatches, count_steps, retrain
from carto_audit.proxies.likelihood import text_losses
from carto_audit.proxies.minibatches import cut_sequences, pad
from carto_audit.runtime.errors import AuditError
from tests.support.tiny import SPEC, make_store, random_samples

pytestmark = pytest.mark.usefixtures("one_thread")

CYCLE = [5, 9, 2, 60, 33, 17, 8, 41, 26, 50, 3, 12]
"""What some samples repeat again and again, so that a proxy learns it soon, or never read it."""


def recipe(folder, samples, steps=20, **changes):
    store = make_store(folder, samples)
    parts = {
        "spec": SPEC,
        "store": store,
        "samples": np.arange(len(samples)),
        "steps": steps,
        "weight_decay": 0.0,
        "seed": 0,
        "device": "cpu",
    }
    return Recipe(**(parts | changes))


def loss_of(proxy, ids):
    return float(text_losses(proxy, [np.asarray(ids, np.int64)])[0].mean())


def read_by(recipe, weight, minibatches):
    """How often each sample is read, over so many minibatches."""
    times = np.zeros(len(recipe.samples))
    source = _minibatches(recipe, np.asarray(weight, float))
    for _ in range(minibatches):
        sequences, chosen = next(source)
        opens = sequences.start[chosen] == recipe.store.offsets[sequences.sample[chosen]]
        np.add.at(times, sequences.sample[chosen][opens], 1)
    return times


def test_equal_seeds_give_equal_weights_bit_for_bit_and_others_do_not(tmp_path):
    given_samples = recipe(tmp_path, random_samples(30))
    weight = np.where(np.arange(30) % 3, 1.0, 0.5)
    once, again = (retrain(given_samples, weight).model.state_dict() for _ in range(2))
    other = retrain(dataclasses.replace(given_samples, seed=1), weight).model.state_dict()
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert not any(torch.equal(once[name], other[name]) for name in once if "proj" in name)


def test_a_row_of_weight_0_is_never_read(tmp_path):
    """Whatever stands in such rows, the proxy is the same; and it does not know what they say."""
    n = 30
    weight = np.where(np.arange(n) < 10, 0.0, 1.0)
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    others = random_samples(20, seed=1)
    sizes = [36] * 10
    hidden = [random_samples(1, seed=k + 50, longest=2)[0] * size for k, size in enumerate(sizes)]
    said = [(CYCLE * 3)[:size] for size in sizes]
    with_cycle = recipe(tmp_path / "a", said + others, steps=90)
    without = recipe(tmp_path / "b", hidden + others, steps=90)
    blind = retrain(with_cycle, weight)
    assert all(
        torch.equal(a, b)
        for a, b in zip(blind.model.parameters(), retrain(without, weight).model.parameters(), strict=True)
    )
    knowing = retrain(with_cycle, np.ones(n))
    assert loss_of(knowing, CYCLE * 2) < 2
    assert loss_of(blind, CYCLE * 2) > 3.5


@pytest.mark.parametrize("alpha", [0.5, 0.25])
def test_a_row_of_half_the_weight_is_read_half_as_often(tmp_path, alpha):
    given_samples = recipe(tmp_path, random_samples(200, longest=12))
    weight = np.where(np.arange(200) < 100, alpha, 1.0)
    times = read_by(given_samples, weight, 900)
    assert times[:100].mean() / times[100:].mean() == pytest.approx(alpha, rel=0.1)
    assert times[:100].min() > 0  # drawn anew in each epoch: no row is dropped for good
    assert times[100:].max() - times[100:].min() <= 1


@given(st.lists(st.sampled_from([0.0, 0.3, 1.0, 1.5, 3.0]), min_size=2, max_size=12).filter(any))
def test_in_every_epoch_a_row_is_read_its_weight_rounded_down_or_up(tmp_path_factory, weights):
    given_samples = recipe(tmp_path_factory.mktemp("rows"), [[k + 1] * 3 for k in range(len(weights))])
    source = _minibatches(given_samples, np.array(weights))
    for _ in range(20):
        times = np.bincount(next(source)[0].sample, minlength=len(weights))
        assert (np.floor(weights) <= times).all()
        assert (times <= np.ceil(weights)).all()


def test_a_weight_above_one_reads_a_row_more_than_once_in_an_epoch(tmp_path):
    given_samples = recipe(tmp_path, [[k + 1] * 3 for k in range(8)])
    sequences, _ = next(_minibatches(given_samples, np.array([2.0] + [1.0] * 7)))
    assert np.bincount(sequences.sample).tolist() == [2, *[1] * 7]


def test_an_arm_takes_as_many_steps_whatever_its_weights_are(tmp_path):
    given_samples = recipe(tmp_path, random_samples(40))
    for weight in (np.ones(40), np.full(40, 0.2), np.where(np.arange(40) < 38, 0.0, 1.0)):
        seen = []
        retrain(
            given_samples, weight, pauses=range(1, 100), look=lambda proxy, step, seen=seen: seen.append((step, proxy))
        )
        assert [step for step, _ in seen] == list(range(1, given_samples.steps + 1))


def test_the_steps_of_an_untreated_epoch_read_every_sample_once(tmp_path):
    samples = random_samples(40)
    steps = count_steps(SPEC, make_store(tmp_path, samples), np.arange(40), 3)
    given_samples = recipe(tmp_path, samples, steps=steps)
    assert steps % 3 == 0
    assert read_by(given_samples, np.ones(40), steps // 3).tolist() == [1.0] * 40


def test_looks_see_the_proxy_on_its_way_and_change_nothing(tmp_path):
    given_samples = recipe(tmp_path, [(CYCLE * 3)[: 20 + k % 9] for k in range(40)], steps=30)
    seen = []

    def look(proxy, step):
        assert not proxy.model.training
        seen.append((step, loss_of(proxy, CYCLE * 2)))

    looked_at = retrain(given_samples, np.ones(40), pauses=[1, 15, 30, 31], look=look)
    assert [step for step, _ in seen] == [1, 15, 30]
    losses = [loss for _, loss in seen]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == loss_of(looked_at, CYCLE * 2)
    assert not looked_at.model.training
    alone = retrain(given_samples, np.ones(40))
    assert all(torch.equal(a, b) for a, b in zip(looked_at.model.parameters(), alone.model.parameters(), strict=True))


def test_nothing_left_to_train_on_is_one_line(tmp_path):
    with pytest.raises(AuditError, match=r"^nothing is left to train on$"):
        retrain(recipe(tmp_path, random_samples(8)), np.zeros(8))


def test_a_loss_that_diverges_is_one_line_that_says_the_way_out(tmp_path):
    wild = dataclasses.replace(SPEC, learning_rate=float("inf"))
    with pytest.raises(AuditError, match=r"^step \d+: the loss is \S+: training diverged; try another proxy or seed$"):
        retrain(recipe(tmp_path, random_samples(12), spec=wild), np.ones(12))


def test_a_sample_that_is_read_twice_opens_with_bos_both_times(tmp_path):
    long = list(range(1, 31))
    store = make_store(tmp_path, [[40, 41], long, [50]])
    sequences = cut_sequences(store, np.array([1, 1, 0, 1]), SPEC.context)
    inputs, targets, real = pad(store.ids(), 0, sequences, np.arange(len(sequences)))
    firsts = dict(zip(range(len(sequences)), inputs[:, 0].tolist(), strict=True))
    opened = {k: sequences.start[k] == store.offsets[sequences.sample[k]] for k in firsts}
    assert sum(opened.values()) == 4
    for k, first in firsts.items():
        assert first == (0 if opened[k] else long[SPEC.context - 1])
    assert sorted(targets[real].tolist()) == sorted(3 * long + [40, 41])
