import dataclasses
import multiprocessing
import os
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest
import torch

import carto_audit.proxies.cross_fit
from carto_audit.engines.engine import Engine
from carto_audit.proxies.cross_fit import (
    FoldJob,
    FoldRun,
    TrainConfig,
    cross_fit,
    train_fold,
    work_of,
)
from carto_audit.proxies.minibatches import cut_sequences, minibatches, pad
from carto_audit.proxies.model import PRESETS, build_proxy, capacity_ratio, choose_preset, parameters_of, token_losses
from carto_audit.proxies.training_step import learning_rate, training_step
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.progress import Progress
from tests.support.tiny import SPEC, make_store, random_samples

CONFIG = TrainConfig(epochs=4, folds=2, seed=0, device="cpu", threads=1)
CORES = os.cpu_count() or 1


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    """Proxies train in this process, except where a test is about workers: starting two costs ten times their training."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


@pytest.fixture
def workers(monkeypatch):
    """A process for each proxy."""
    monkeypatch.setattr(os, "cpu_count", lambda: max(2, CORES))


def job(folder, samples=None, learned=None, spec=SPEC, config=CONFIG):
    store = make_store(folder, samples or random_samples(12))
    scored = np.arange(len(store))
    return FoldJob(
        index=0,
        spec=spec,
        config=config,
        store=store,
        learned=scored if learned is None else learned,
        scored=scored,
        folder=folder,
    )


def trained_on_all_but_the_last(folder, samples):
    """Losses of a proxy that takes none of the last token of each sample."""
    store = make_store(folder, samples)
    flags = np.ones(int(store.offsets[-1]), bool)
    flags[store.offsets[1:] - 1] = False
    flags.tofile(store.flags)
    store = dataclasses.replace(store, n_learned=store.n_tokens - 1)
    everything = np.ones(len(store), bool)
    return store, cross_fit(SPEC, CONFIG, store, np.arange(len(store)) % 2, everything, everything, folder)


def test_what_takes_no_loss_has_none_and_teaches_nothing(tmp_path):
    """A sample's last token is input to nothing, so that it can matter as a target alone."""
    samples = [sample for sample in random_samples(12) if len(sample) > 1]
    others = [[*sample[:-1], 63 - sample[-1]] for sample in samples]
    found = []
    for name, some in (("one", samples), ("other", others)):
        (tmp_path / name).mkdir()
        found.append(trained_on_all_but_the_last(tmp_path / name, some))
    (store, (trace, tokens)), (_, (other_trace, other_tokens)) = found
    assert (trace.train == other_trace.train).all()
    assert (trace.loss_out == other_trace.loss_out).all()
    assert (tokens.loss_in == other_tokens.loss_in).all()
    last = store.offsets[1:] - 1
    assert not tokens.loss_in[last].any()
    assert tokens.loss_in[last - 1].all()
    mean = np.add.reduceat(tokens.loss_out, store.offsets[:-1]) / (store.n_tokens - 1)
    assert trace.late.loss_out.mean(axis=0) == pytest.approx(mean, rel=1e-4)


def test_every_token_is_the_target_of_exactly_one_sequence(tmp_path):
    store = make_store(tmp_path, random_samples(30, longest=70))
    sequences = cut_sequences(store, np.arange(30), 16)
    covered = np.concatenate([np.arange(a, b) for a, b in zip(sequences.start, sequences.stop, strict=True)])
    assert sorted(covered) == list(range(store.offsets[-1]))
    assert (sequences.stop - sequences.start).max() <= 16


def test_minibatches_hold_every_sequence_once_within_the_budget(tmp_path):
    sequences = cut_sequences(make_store(tmp_path, random_samples(80)), np.arange(80), 16)
    length = sequences.stop - sequences.start
    for rng in (None, np.random.default_rng(0)):
        plan = list(minibatches(sequences, 64, rng))
        assert sorted(np.concatenate(plan)) == list(range(len(sequences)))
        assert max(len(chosen) * length[chosen].max() for chosen in plan) <= 64


def test_a_later_sequence_opens_with_the_token_before_it(tmp_path):
    store = make_store(tmp_path, [list(range(1, 21))])
    sequences = cut_sequences(store, np.array([0]), 16)
    inputs, targets, real = pad(store.ids(), 0, sequences, np.array([0, 1]))
    assert inputs[0].tolist() == [0, *range(1, 16)]
    assert inputs[1, :4].tolist() == [16, 17, 18, 19]
    assert targets[1, :4].tolist() == [17, 18, 19, 20]
    assert real.sum(1).tolist() == [16, 4]


def test_padding_does_not_change_a_sample_loss(tmp_path):
    run = FoldRun(job(tmp_path, [[5, 6, 7], list(range(1, 15))]), lambda n: None)
    with torch.no_grad():
        alone, _, _ = run.losses(run.scored, np.array([0]))
        together, counts, _ = run.losses(run.scored, np.array([0, 1]))
    assert counts.tolist() == [3, 14]
    torch.testing.assert_close(together[:3], alone)


def test_the_built_in_path_gives_the_losses_of_the_whole_model(tmp_path):
    run = FoldRun(job(tmp_path, [[5, 6, 7], list(range(1, 15))]), lambda n: None)
    inputs, targets, real = pad(run.ids, 0, run.scored, np.array([0, 1]))
    with torch.no_grad():
        ours = token_losses(run.model, inputs, targets, real, built_in=True)
        whole = token_losses(run.model, inputs, targets, real, built_in=False)
    torch.testing.assert_close(ours, whole)


def test_token_weighted_mean_of_sample_losses_is_the_minibatch_loss(tmp_path):
    one_step = dataclasses.replace(SPEC, minibatch_tokens=10_000)
    samples = random_samples(10, longest=16)
    run = FoldRun(job(tmp_path, samples, spec=one_step), lambda n: None)
    with torch.no_grad():
        losses, _, _ = run.losses(run.learned, np.arange(len(run.learned)))
    run.train_epoch()
    n_tokens = np.array([len(s) for s in samples])
    assert np.average(run.train_loss[0], weights=n_tokens) == pytest.approx(losses.mean().item(), rel=1e-5)


def test_logged_losses_are_those_before_the_step(tmp_path):
    """The first epoch's loss of the first minibatch is that of the untrained model."""
    one_step = dataclasses.replace(SPEC, minibatch_tokens=10_000)
    run = FoldRun(job(tmp_path, spec=one_step), lambda n: None)
    run.train_epoch()
    assert run.train_loss[0].mean() == pytest.approx(np.log(64), rel=0.05)


def test_a_resumed_run_ends_like_an_undisturbed_one(tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    whole.mkdir(), halves.mkdir()
    train_fold(job(whole), lambda n: None)
    first = FoldRun(job(halves), lambda n: None)
    first.train_epoch()
    first.evaluate(1)  # the first of four epochs is logged
    first.save(halves / "proxy-0.pt")
    told = []
    train_fold(job(halves), told.append)
    states = [torch.load(folder / "proxy-0.pt", weights_only=True) for folder in (whole, halves)]
    for a, b in zip(*(state["arrays"] for state in states), strict=True):
        assert torch.equal(a, b)
    for name, weight in states[0]["model"].items():
        assert torch.equal(weight, states[1]["model"][name])
    n_tokens = sum(len(s) for s in random_samples(12))
    assert told[0] == n_tokens + n_tokens // 3


def test_a_non_finite_loss_stops_with_one_clear_line(tmp_path):
    run = FoldRun(job(tmp_path, spec=dataclasses.replace(SPEC, learning_rate=float("inf"))), lambda n: None)
    with pytest.raises(
        AuditError, match=r"^proxy 1, epoch \d+, step \d+: the loss is \S+: training diverged; try another"
    ):
        for _ in range(4):
            run.train_epoch()


def cross(folder, fold, config=CONFIG, learnable=None):
    store = make_store(folder, random_samples(24))
    everyone = np.ones(24, bool)
    return store, cross_fit(SPEC, config, store, fold, everyone if learnable is None else learnable, everyone, folder)


def test_an_out_of_fold_loss_comes_from_a_proxy_that_never_saw_the_sample(tmp_path):
    """Changing one sample changes its own in-fold losses, and no loss of the proxy that is blind to it."""
    fold = np.array([0, 1] * 12, np.int8)
    config = dataclasses.replace(CONFIG, device="cpu")
    samples = random_samples(24)
    changed = [list(s) for s in samples]
    changed[3] = [63 - t for t in changed[3]]  # sample 3 is in fold 1: only proxy 0 learns it
    traces = []
    for name, data in (("a", samples), ("b", changed)):
        folder = tmp_path / name
        folder.mkdir()
        store = make_store(folder, data)
        everyone = np.ones(24, bool)
        traces.append(cross_fit(SPEC, config, store, fold, everyone, everyone, folder)[0])
    a, b = traces
    others = np.arange(24) != 3
    blind_to_3 = fold == 1  # their out-of-fold losses come from proxy 1, as does that of sample 3
    assert np.array_equal(a.loss_out[:, blind_to_3 & others], b.loss_out[:, blind_to_3 & others])
    assert not np.array_equal(a.loss_in[:, blind_to_3 & others], b.loss_in[:, blind_to_3 & others])


def test_losses_fall_in_fold_and_are_unknown_where_nothing_was_learned(tmp_path):
    fold = np.array([0, 1] * 12, np.int8)
    learnable = np.arange(24) < 20
    store, (trace, tokens) = cross(tmp_path, fold, dataclasses.replace(CONFIG, epochs=12, burn_in=3), learnable)
    assert trace.train.shape == (12, 24)
    assert trace.logged == (3, 6, 10, 11, 12)
    assert trace.late.logged == (10, 11, 12)
    assert np.isnan(trace.train[:, 20:]).all()
    assert np.isfinite(trace.loss_out).all()
    assert trace.train[-1, :20].mean() < trace.train[0, :20].mean()
    assert trace.loss_in[-1, :20].mean() < trace.loss_out[-1, :20].mean()
    assert trace.loss_out.shape == (5, 24)
    for i in range(24):
        owned = slice(store.offsets[i], store.offsets[i + 1])
        assert tokens.loss_out[owned].mean() == pytest.approx(trace.late.loss_out[:, i].mean(), rel=1e-3)


def test_one_fold_has_no_out_of_fold_losses(tmp_path):
    _, (trace, _) = cross(tmp_path, np.zeros(24, np.int8), dataclasses.replace(CONFIG, folds=1))
    assert np.isnan(trace.loss_out).all()
    assert np.isfinite(trace.train).all()


def test_a_side_without_text_is_refused_in_one_line(tmp_path):
    with pytest.raises(AuditError, match="one group of kin"):
        cross(tmp_path, np.zeros(24, np.int8))


class Killing(Progress):
    """Kills one worker when the first of its work is told."""

    def __init__(self):
        self.killed, self.heard = [], 0

    @contextmanager
    def task(self, label, total=None, unit=""):
        yield self.advance

    def advance(self, amount):
        self.heard += amount
        if amount > 0 and not self.killed:
            self.killed = multiprocessing.active_children()[:1]
            self.killed[0].kill()


@pytest.mark.usefixtures("workers")
def test_a_proxy_whose_worker_is_lost_is_begun_again_and_learns_the_same(tmp_path):
    samples, everyone, fold = random_samples(24), np.ones(24, bool), np.array([0, 1] * 12, np.int8)
    found, killing = [], Killing()
    for name, progress in (("undisturbed", Progress()), ("killed", killing)):
        (tmp_path / name).mkdir()
        store, engine = make_store(tmp_path / name, samples), Engine(workers=1 + (name == "killed"))
        given = (store, fold, everyone, everyone, tmp_path / name, progress, engine)
        found.append(cross_fit(SPEC, CONFIG, *given))
    assert engine.tally.retries == 1
    total = sum(work_of(job(tmp_path, samples, np.flatnonzero(fold != k)), CONFIG.epochs) for k in range(2))
    assert killing.heard == pytest.approx(total, rel=0.02)
    for name in ("train", "loss_in", "loss_out"):
        assert np.array_equal(*(getattr(trace, name) for trace, _ in found))
    assert multiprocessing.active_children() == []


def test_a_proxy_that_ends_its_worker_each_time_would_be_named(tmp_path, monkeypatch):
    def poisoned(engine, function, setting, shards, *, named, **more):
        raise AuditError(named(shards[1]))

    monkeypatch.setattr(Engine, "map_shards", poisoned)
    with pytest.raises(AuditError, match=r"^proxy 2 of 2$"):
        cross(tmp_path, np.array([0, 1] * 12, np.int8))


def test_what_goes_wrong_in_the_training_is_raised_here(tmp_path):
    store, everyone = make_store(tmp_path, random_samples(24)), np.ones(24, bool)
    store.path.unlink()
    with pytest.raises(FileNotFoundError, match=r"tokens\.bin"):
        cross_fit(SPEC, CONFIG, store, np.array([0, 1] * 12, np.int8), everyone, everyone, tmp_path)


def test_a_state_that_cannot_be_read_is_not_continued(tmp_path):
    (tmp_path / "proxy-0.pt").write_bytes(b"not a checkpoint")
    run = FoldRun(job(tmp_path), lambda n: None)
    run.resume(tmp_path / "proxy-0.pt")
    assert run.epoch == 0
    assert not (tmp_path / "proxy-0.pt").exists()


def test_the_learning_rate_warms_up_peaks_and_ends_at_a_tenth():
    rates = [learning_rate(step, 100, 1.0) for step in range(101)]
    assert rates[0] < rates[5] < rates[10] == pytest.approx(1.0)
    assert rates[100] == pytest.approx(0.1)


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_are_those_of_the_real_model(name):
    with torch.device("meta"):
        model = build_proxy(PRESETS[name], 0)
    assert sum(p.numel() for p in model.parameters()) == parameters_of(PRESETS[name])


def test_the_preset_grows_with_the_batch_but_never_on_a_cpu():
    assert [choose_preset(n, "cuda") for n in (10**5, 10**7, 10**9)] == ["nano", "small", "base"]
    assert choose_preset(10**12, "cpu") == "nano"


def test_capacity_ratio_is_information_over_storage():
    assert capacity_ratio(3600, 2.0, 1000) == pytest.approx(2.0)


def test_token_losses_are_kept_for_scored_samples_only(tmp_path):
    """A batch may hold a thousand times the tokens that are trained on."""
    store, scored = make_store(tmp_path, random_samples(24)), np.arange(24) % 3 > 0
    fold = np.array([0, 1] * 12, np.int8)
    trace, tokens = cross_fit(SPEC, CONFIG, store, fold, scored, scored, tmp_path)
    assert len(tokens.loss_in) == store.n_tokens[scored].sum()
    assert (np.diff(tokens.offsets) == store.n_tokens * scored).all()
    assert tokens.ids.dtype == store.ids().dtype
    for i in np.flatnonzero(scored):
        owned = slice(tokens.offsets[i], tokens.offsets[i + 1])
        assert tokens.loss_in[owned].mean() == pytest.approx(trace.late.loss_in[:, i].mean(), rel=1e-3)
        assert tokens.ids[owned].tolist() == store.ids()[store.offsets[i] : store.offsets[i + 1]].tolist()


@pytest.mark.parametrize(
    ("epochs", "burn_in", "logged", "late"),
    [
        (1, 0.25, (0.25, 1), (1,)),
        (2, 0.5, (0.5, 1, 2), (1, 2)),
        (3, 0.75, (0.75, 1, 2, 3), (1, 2, 3)),
        (2, 1, (1, 2), (1, 2)),
        (4, 1, (1, 2, 3, 4), (2, 3, 4)),
        (8, 2, (2, 4, 6, 7, 8), (6, 7, 8)),
        (12, 2, (2, 6, 10, 11, 12), (10, 11, 12)),
    ],
)
def test_losses_are_evaluated_late_after_the_burn_in_and_halfway(epochs, burn_in, logged, late):
    config = dataclasses.replace(CONFIG, epochs=epochs, burn_in=burn_in)
    assert (config.logged, config.late) == (logged, late)


def test_early_evaluations_do_not_enter_the_token_losses(tmp_path):
    """They are the mean of the late epochs, which are lower than the early ones."""
    fold = np.array([0, 1] * 12, np.int8)
    store, (trace, tokens) = cross(tmp_path, fold, dataclasses.replace(CONFIG, epochs=12))
    assert trace.loss_in[0].mean() > trace.loss_in[-1].mean()
    weights = store.n_tokens
    assert tokens.loss_in.mean() == pytest.approx(
        np.average(trace.loss_in[-3:].mean(axis=0), weights=weights), rel=1e-4
    )
    assert tokens.loss_in.mean() < np.average(trace.loss_in.mean(axis=0), weights=weights) - 1e-4


def test_at_the_end_of_the_burn_in_losses_are_those_of_the_mean_weights_of_half_an_epoch(tmp_path):
    run = FoldRun(job(tmp_path, config=dataclasses.replace(CONFIG, epochs=8, burn_in=2)), lambda n: None)
    run.train_epoch()
    assert run.average is None
    weights, step = [], training_step

    def recorded(model, *others):
        step(model, *others)
        weights.append({name: value.clone() for name, value in model.state_dict().items()})

    with patch.object(carto_audit.proxies.cross_fit, "training_step", recorded):
        run.train_epoch()
    run.evaluate(2)
    assert run.average is None  # later evaluations are of the weights as they are
    late = weights[len(weights) // 2 :]
    assert 2 <= len(late) < len(weights)
    plain, mean = FoldRun(run.job, lambda n: None), FoldRun(run.job, lambda n: None)
    plain.model.load_state_dict(weights[-1])
    mean.model.load_state_dict({name: sum(w[name] for w in late) / len(late) for name in late[0]})
    for other in (plain, mean):
        other.evaluate(2)
    assert np.allclose(run.scored_loss[0], mean.scored_loss[0], atol=1e-5)
    assert not np.allclose(run.scored_loss[0], plain.scored_loss[0], atol=1e-4)


@pytest.mark.parametrize("minibatch_tokens", [16, 10_000])
def test_a_burn_in_that_ends_inside_an_epoch_is_evaluated_there(tmp_path, minibatch_tokens):
    """By the mean of the weights over its second half, of at least one step; the last two epochs are what scores average."""
    spec = dataclasses.replace(SPEC, minibatch_tokens=minibatch_tokens)
    run = FoldRun(job(tmp_path, spec=spec, config=dataclasses.replace(CONFIG, epochs=2, burn_in=0.5)), lambda n: None)
    weights, step = [], training_step

    def recorded(model, *others):
        step(model, *others)
        weights.append({name: value.clone() for name, value in model.state_dict().items()})

    with patch.object(carto_audit.proxies.cross_fit, "training_step", recorded):
        run.train_epoch()
    end = max(1, len(weights) // 2)
    assert (end == 1) == (minibatch_tokens == 10_000)
    assert not run.token_loss.any()
    halfway = run.scored_loss[0].copy()
    mean = FoldRun(run.job, lambda n: None)
    chosen = weights[end // 2 : end]
    mean.model.load_state_dict({name: sum(w[name] for w in chosen) / len(chosen) for name in chosen[0]})
    mean.evaluate(0.5)
    assert np.allclose(halfway, mean.scored_loss[0], atol=1e-5)
    last = FoldRun(run.job, lambda n: None)
    last.model.load_state_dict(weights[-1])
    for other in (run, last):
        other.evaluate(1)
    assert (run.scored_loss[1] == last.scored_loss[1]).all()
    assert np.allclose(halfway, run.scored_loss[1]) == (end == 1)


def test_a_look_inside_an_epoch_changes_nothing_of_the_training(tmp_path):
    states = []
    for name, burn_in in (("inside", 0.5), ("whole", 1)):
        folder = tmp_path / name
        folder.mkdir()
        train_fold(job(folder, config=dataclasses.replace(CONFIG, epochs=2, burn_in=burn_in)), lambda n: None)
        states.append(torch.load(folder / "proxy-0.pt", weights_only=True))
    inside, whole = states
    for name, weight in inside["model"].items():
        assert torch.equal(weight, whole["model"][name])
    (train, scored, tokens), (whole_train, whole_scored, whole_tokens) = inside["arrays"], whole["arrays"]
    assert torch.equal(train, whole_train)
    assert torch.equal(scored[1:], whole_scored)
    assert torch.equal(tokens, whole_tokens)


def test_what_scores_average_over_is_read_by_the_weights_as_they_are():
    assert [dataclasses.replace(CONFIG, epochs=n, burn_in=1).averaged for n in (2, 3, 4, 8)] == [None, None, 1, 1]


@pytest.mark.parametrize(("epochs", "burn_in", "looks"), [(4, 1, 4), (2, 0.5, 3)])
def test_the_work_told_is_the_work_foreseen(tmp_path, epochs, burn_in, looks):
    told = []
    task = job(tmp_path, config=dataclasses.replace(CONFIG, epochs=epochs, burn_in=burn_in))
    train_fold(task, told.append)
    n_tokens = task.store.n_tokens.sum()
    foreseen = work_of(task, task.config.epochs)
    assert foreseen == epochs * n_tokens + looks * (n_tokens // 3)
    assert sum(told) == pytest.approx(foreseen, rel=0.02)  # each minibatch rounds its third down
