"""The experiment: what one seed fixes before any arm is tried, on real text."""

from types import SimpleNamespace

import numpy as np
import pytest

from carto_audit.data.batch import read_batch
from carto_audit.data.duplicates import find_duplicates
from carto_audit.engines.engine import Engine
from carto_audit.governance import experiment
from carto_audit.governance import run as redteam
from carto_audit.governance.arms import Arm
from carto_audit.governance.experiment import divide, prepare, prepare_batch
from carto_audit.pipeline.options import AuditOptions
from carto_audit.policy.model import load_policy
from carto_audit.proxies.model import PRESETS
from carto_audit.proxies.proxy_choice import choose_proxy
from carto_audit.proxies.tokens import encode_batches
from carto_audit.runtime.errors import AuditError
from tests.support.small_redteams import THIN, write_batch


class AuditedError(Exception):
    """Instead of the audit, which is long: what it was asked."""


def audited(inputs, *, options, **others):
    raise AuditedError(inputs, options)


def test_the_audit_of_the_planted_batch_leaves_no_row_out_for_want_of_room(tmp_path, monkeypatch):
    """The copies come on top of `max_tokens`. A secret that the audit did not read has no score, and no score prunes it."""
    monkeypatch.setitem(PRESETS, "nano", THIN)
    monkeypatch.setattr(experiment, "run_audit", audited)
    batch = read_batch([write_batch(tmp_path / "batch.parquet")])
    given = AuditOptions(proxy="nano", device="cpu", max_tokens=11_000, epochs=2, seed=0)
    stock = prepare_batch(batch, given, "cpu", tmp_path)
    with pytest.raises(AuditedError) as asked:
        prepare(stock, load_policy("default"), given, 2, "cpu", tmp_path)
    paths, options = asked.value.args
    planted = read_batch(paths)
    encoder = choose_proxy(
        planted, find_duplicates(planted, tmp_path), name=options.proxy, most=10**6, seed=options.seed, device="cpu"
    ).encoder
    tokens = encode_batches([planted], encoder, tmp_path / "tokens.bin").n_tokens.sum()
    ordinary = divide(stock, given.max_tokens, 4, given.seed)[0]
    assert stock.n_tokens.sum() > 1.28 * given.max_tokens  # there was more text than may be trained on
    assert stock.n_tokens[ordinary].sum() == pytest.approx(given.max_tokens, rel=0.05)
    assert len(planted) > ordinary.sum()
    assert 1.2 * tokens < options.max_tokens


def test_an_arm_that_ends_its_worker_each_time_is_called_by_its_name(tmp_path, monkeypatch):
    def poisoned(engine, function, setting, shards, *, named, **more):
        raise AuditError(named(shards[0]))

    monkeypatch.setattr(Engine, "map_shards", poisoned)
    fixed = SimpleNamespace(recipe=SimpleNamespace(device="cpu"), plan=None, folder=tmp_path)
    with pytest.raises(AuditError, match=r'^the arm "prune 5 % at random"$'):
        redteam.try_arms(fixed, [Arm(kind="random", level=0.05, weight=np.ones(3))])


def test_a_result_that_another_run_took_away_is_an_error_and_no_empty_arm(tmp_path, monkeypatch):
    """An arm without answers and without a failure would be missing from every table, and nobody told."""
    monkeypatch.setattr(Engine, "map_shards", lambda *given, **more: iter(()))
    recipe = SimpleNamespace(device="cuda")
    fixed = SimpleNamespace(recipe=recipe, plan=None, folder=tmp_path)
    with pytest.raises(AuditError, match="run the same command again"):
        redteam.try_arms(fixed, [Arm(kind="untreated", weight=np.ones(3))])
