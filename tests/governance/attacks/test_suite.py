"""The examination and the arms that take it: answers are plain JSON, finished arms are kept, one that fails harms no other."""

import json
import multiprocessing
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from carto_audit.engines.engine import Engine
from carto_audit.governance.arms import Arm
from carto_audit.governance.attacks.extraction import Target
from carto_audit.governance.attacks.membership import fit_attack, learned_features, neighbours
from carto_audit.governance.attacks.suite import AttackPlan, MembershipTexts, Secrets, quick_check, run_attacks
from carto_audit.governance.retrain import Recipe, retrain
from carto_audit.governance.run import Trial, try_arm, try_arms
from carto_audit.proxies.likelihood import one_thread, read_statistics
from carto_audit.proxies.loaded_proxy import LoadedProxy
from carto_audit.proxies.model import build_proxy
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import json_bytes
from tests.support.tiny import SPEC, make_store

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = replace(SPEC, context=48, hidden_size=48, minibatch_tokens=512, learning_rate=1e-2)
SECRETS, COPIES, ROWS, OUTSIDE = 3, 10, 30, 30
HALF = 12
"""Tokens of a secret that are given, and that are wanted."""


def texts(rng, count, length=24):
    return [rng.integers(1, 64, length).astype(np.int64) for _ in range(count)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Rows of which some repeat secrets, texts that nobody reads, and every question about them. The last secret is a twin."""
    rng = np.random.default_rng(0)
    secrets, rows, outside = texts(rng, SECRETS + 1), texts(rng, ROWS), texts(rng, OUTSIDE)
    planted = [secret for secret in secrets[:SECRETS] for _ in range(COPIES)]
    folder = tmp_path_factory.mktemp("world")
    store = make_store(folder, [text.tolist() for text in [*planted, *rows]])
    recipe = Recipe(
        spec=SPEC,
        store=store,
        samples=np.arange(len(store)),
        steps=120,
        weight_decay=0.0,
        seed=0,
        device="cpu",
    )
    targets = tuple(Target(prompt=secret[:HALF], suffix=secret[HALF:]) for secret in secrets)
    fresh = LoadedProxy(model=build_proxy(SPEC, 9).eval(), spec=SPEC, bos=0, device="cpu")
    asked = (*rows, *outside)
    member = np.arange(len(asked)) < ROWS
    fold = (np.arange(len(asked)) % 2).astype(np.int8)
    with one_thread():
        reference = tuple(read_statistics(fresh, asked))
    features = learned_features(reference, reference)
    unigram = np.ones(SPEC.vocab_size)
    plan = AttackPlan(
        seed=0,
        secrets=Secrets(
            targets=targets,
            bare=(Target(prompt=secrets[0][2:HALF], suffix=secrets[0][HALF:]),),
            owner=np.array([0]),
            free_prompt=tuple(target.prompt for target in targets),
            free=tuple((t.suffix, *texts(rng, 15, HALF)) if k else () for k, t in enumerate(targets)),
            guessed=np.zeros(len(targets), bool),
        ),
        membership=MembershipTexts(
            texts=asked,
            member=member,
            zlib_bytes=np.full(len(asked), 40),
            neighbours=tuple(tuple(neighbours(text, unigram, 2, 0.1, rng)) for text in asked),
            reference=reference,
            fold=fold,
            attacks=(fit_attack(features, member, 0), None),
        ),
        parts={"stable_easy": ~member, "rare_tail": np.zeros(len(asked), bool)},
        repeated=tuple(secrets[:SECRETS]),
        natural_prompts=(np.empty(0, np.int64), outside[0][:5]),
        personal=(Target(prompt=secrets[1][:HALF], suffix=secrets[1][HALF : HALF + 6]),),
        personal_class=("email",),
        personal_guessed=np.array([False]),
    )
    return recipe, plan


@pytest.fixture(scope="module")
def examined(world):
    """What a proxy that read everything answers, and one that read none of the secrets."""
    recipe, plan = world
    without = np.where(np.arange(len(recipe.samples)) < SECRETS * COPIES, 0.0, 1.0)
    with one_thread():
        return [run_attacks(plan, retrain(recipe, weight)) for weight in (np.ones(len(without)), without)]


def test_a_proxy_that_read_the_secrets_gives_them_away_and_one_that_did_not_does_not(examined):
    knowing, blind = examined
    assert knowing["near"] == knowing["worst"] == [True] * SECRETS + [False]
    assert blind["worst"] == [False] * (SECRETS + 1)
    assert min(knowing["log_p"][:SECRETS]) > max(blind["log_p"]) + 10
    assert knowing["loss_gap"] > blind["loss_gap"] + 1
    assert knowing["pii"] == {"email": {"spans": 1, "extracted": 1, "net": 1}}
    assert blind["pii"] == {"email": {"spans": 1, "extracted": 0, "net": 0}}


def test_exposure_is_full_for_what_was_read_and_unknown_where_nothing_is_free(examined):
    knowing, blind = examined
    assert knowing["exposure"][0] is None
    assert knowing["exposure"][1:SECRETS] == [4.0, 4.0]  # the first of 16
    assert blind["exposure"][0] is None
    assert np.mean(blind["exposure"][1:]) < 3.5


def test_every_answer_is_strict_json_and_what_cannot_be_measured_is_null(examined):
    for answers in examined:
        again = json.loads(json_bytes(answers))
        assert again["perplexity_by_part"]["rare_tail"] is None
        assert again["perplexity_by_part"]["stable_easy"] == pytest.approx(again["perplexity"])
        assert len(again["exact"]) == len(again["run"]) == len(again["natural"]) == SECRETS + 1
        for attack in ("loss", "min_k_plus_plus", "ez", "lt_mia"):
            auc = again["membership"][attack]["auc"]
            assert 0 <= auc["low"] <= auc["value"] <= auc["high"] <= 1
        assert again["membership"]["loss"]["tpr_at_01pct_fpr"] is None  # too few held-out texts


def test_members_are_told_by_a_proxy_that_overfits_them(examined):
    assert examined[0]["membership"]["loss"]["auc"]["value"] > 0.8
    assert examined[0]["perplexity"] > SPEC.vocab_size / 2  # random text has nothing to be learned from


def test_a_glance_sees_what_the_examination_sees(world):
    recipe, plan = world
    proxy = retrain(recipe, np.ones(len(recipe.samples)))
    whole, seen = run_attacks(plan, proxy), quick_check(plan, proxy)
    assert seen["worst"] == whole["worst"]
    assert seen["perplexity"] == pytest.approx(whole["perplexity"], rel=1e-6)


def test_asking_twice_gives_the_same_answers(world):
    recipe, plan = world
    proxy = retrain(replace(recipe, steps=20), np.ones(len(recipe.samples)))
    assert run_attacks(plan, proxy) == run_attacks(plan, proxy)


# Arms: side by side, kept, cut short, failed


@pytest.fixture
def experiment(world, tmp_path):
    recipe, plan = world
    return SimpleNamespace(recipe=replace(recipe, steps=10), plan=plan, folder=tmp_path)


@pytest.fixture
def arms(world):
    n = len(world[0].samples)
    return [
        Arm(kind="untreated", weight=np.ones(n)),
        Arm(kind="prune", level=0.5, score="memorized", weight=np.where(np.arange(n) < n // 2, 0.0, 1.0)),
        Arm(kind="remove_flagged", weight=np.zeros(n)),
        Arm(kind="policy", weight=np.ones(n)),
    ]


@pytest.fixture
def alone(monkeypatch):
    """One core: arms are tried one by one in this process."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("arm-*.json")}


def test_an_arm_that_leaves_nothing_fails_alone_and_arms_of_equal_weights_are_one(experiment, arms, alone):
    found = try_arms(experiment, arms)
    assert found[arms[2].digest] == {"failure": "nothing is left to train on"}
    assert len(written(experiment.folder)) == 3
    assert found[arms[0].digest] == found[arms[3].digest]
    for arm in arms[:2]:
        assert np.isfinite(found[arm.digest]["answers"]["perplexity"])
    looks = found[arms[0].digest]["answers"]["on_the_way"]
    assert [look["steps_share"] for look in looks] == sorted({look["steps_share"] for look in looks})
    assert all(0 < look["steps_share"] < 1 for look in looks)
    assert found[arms[1].digest]["answers"]["on_the_way"] == []


def test_finished_arms_are_kept_and_one_that_was_cut_short_is_tried_again(experiment, arms, alone):
    first = try_arms(experiment, arms)
    before = written(experiment.folder)
    cut = experiment.folder / f"arm-{arms[1].digest}.json"
    cut.write_bytes(cut.read_bytes()[:-20])
    assert try_arms(experiment, arms) == first
    after = written(experiment.folder)
    assert {path for path in before if after[path] != before[path]} == {cut}


def test_an_arm_whose_training_diverges_says_so_and_the_others_go_on(experiment, arms, alone):
    wild = replace(experiment.recipe, spec=replace(SPEC, learning_rate=float("inf")))
    found = try_arms(SimpleNamespace(recipe=wild, plan=experiment.plan, folder=experiment.folder), arms)
    assert "training diverged" in found[arms[0].digest]["failure"]
    assert found[arms[2].digest] == {"failure": "nothing is left to train on"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk without room")
def test_a_disk_that_fills_up_while_an_arm_is_written_is_one_line_and_leaves_none(experiment, arms):
    arm = arms[2]
    (experiment.folder / f".arm-{arm.digest}.json.{os.getpid()}.tmp").symlink_to("/dev/full")
    trial = Trial(recipe=experiment.recipe, attacks=experiment.plan, folder=experiment.folder)
    with pytest.raises(AuditError, match=r"json: cannot write: No space left on device; free some space"):
        try_arm(trial, arm)
    assert list(experiment.folder.iterdir()) == []


def kill_the_first_worker(killed):
    while not killed:
        killed += multiprocessing.active_children()[:1]
        time.sleep(0.05)
    killed[0].kill()


def test_arms_come_out_the_same_in_processes_of_their_own_one_of_which_is_killed(
    experiment, arms, monkeypatch, tmp_path
):
    engine = Engine(workers=2)
    threading.Thread(target=kill_the_first_worker, args=([],), daemon=True).start()
    together = try_arms(experiment, arms[:2], engine=engine)
    assert (engine.tally.workers, engine.tally.retries) == (2, 1)
    (tmp_path / "alone").mkdir()
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    one_by_one = replace_folder(experiment, tmp_path / "alone")
    assert try_arms(one_by_one, arms[:2]) == together


def replace_folder(experiment, folder):
    return SimpleNamespace(recipe=experiment.recipe, plan=experiment.plan, folder=folder)
