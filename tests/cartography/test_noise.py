import inspect

import numpy as np

import carto_audit.cartography.scores
import carto_audit.runtime.progress
from carto_audit.cartography.noise import find_noise, incompressible
from tests.support.tiny import make_batch, make_scores


def test_random_characters_do_not_compress_and_language_and_code_do(tmp_path):
    rng = np.random.default_rng(0)
    random_text = bytes(rng.integers(33, 127, 600).astype(np.uint8)).decode()
    code = inspect.getsource(carto_audit.cartography.scores)[:1200]
    batch = make_batch(tmp_path, [random_text, code, inspect.getdoc(inspect.getsource) * 3, "x9q!"])
    assert incompressible(batch, np.ones(4, bool), carto_audit.runtime.progress.SILENT).tolist() == [
        True,
        False,
        False,
        False,
    ]


def test_only_candidates_are_compressed(tmp_path):
    rng = np.random.default_rng(0)
    batch = make_batch(tmp_path, [bytes(rng.integers(33, 127, 600).astype(np.uint8)).decode()])
    assert not incompressible(batch, np.zeros(1, bool), carto_audit.runtime.progress.SILENT).any()


def test_a_sample_that_its_own_proxy_never_learned_is_noise(tmp_path):
    batch = make_batch(tmp_path, ["plain words that any model can learn"] * 40)
    loss_in = [2.0] * 39 + [9.0]
    scores = make_scores(loss_in, loss_in, [3.0] * 40)
    assert find_noise(batch, np.ones(40, bool), scores).tolist() == [False] * 39 + [True]
    assert not find_noise(batch, np.arange(40) < 39, scores).any()
