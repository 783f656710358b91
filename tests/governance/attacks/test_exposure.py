"""Exposure: bits between its bounds, full for what was learned by heart, and that of chance for the rest."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.governance.attacks.exposure import candidate_losses, exposure
from carto_audit.proxies.likelihood import text_losses

HALF = 16
losses = st.floats(0, 1e3)

pytestmark = pytest.mark.usefixtures("one_thread")


@given(losses, st.lists(losses, max_size=70))
def test_exposure_lies_between_0_and_all_bits_of_the_candidates(loss, candidates):
    bits = exposure(loss, np.array(candidates))
    assert 0 <= bits <= math.log2(1 + len(candidates))
    assert exposure(loss + 1, np.array(candidates)) <= bits


def test_the_likeliest_has_all_bits_and_the_unlikeliest_none():
    others = np.arange(1.0, 64.0)
    assert exposure(0.5, others) == 6
    assert exposure(32.5, others) == pytest.approx(6 - math.log2(33))
    assert exposure(99.0, others) == 0


def test_a_tie_counts_against_the_secret():
    assert exposure(1.0, np.array([1.0, 1.0, 1.0])) == 0


def exposures(reciters, proxy, texts):
    """The second half of each text among those of 63 other passages, after its own first half."""
    rng = np.random.default_rng(0)
    others = [text[HALF:] for group in reciters.groups[2:] for text in group]
    suffixes = [[text[HALF:], *(others[k] for k in rng.choice(len(others), 63, replace=False))] for text in texts]
    found = candidate_losses(proxy, [text[:HALF] for text in texts], suffixes)
    return np.array([exposure(part[0], part[1:]) for part in found])


def test_what_was_learned_by_heart_is_fully_exposed(reciters):
    assert exposures(reciters, reciters.trained[0], reciters.groups[0]).mean() > 5.9


def test_an_untrained_proxy_exposes_what_chance_does(reciters):
    chance = 6 - np.log2(np.arange(1, 65)).mean()
    found = exposures(reciters, reciters.fresh[0], reciters.groups[0])
    assert abs(found.mean() - chance) < 4 * found.std() / math.sqrt(len(found))


def test_a_candidates_loss_is_that_of_its_tokens_after_the_prompt(reciters):
    proxy, text, other = reciters.trained[0], reciters.groups[0][0], reciters.groups[1][0]
    found = candidate_losses(
        proxy,
        [text[:HALF], text[:4], np.empty(0, np.int64)],
        [[text[HALF:], other[:5]], [text[4:]], []],
    )
    whole, mixed = text_losses(proxy, [text, np.concatenate([text[:HALF], other[:5]])])
    assert [len(part) for part in found] == [2, 1, 0]
    assert found[0] == pytest.approx([whole[HALF:].sum(), mixed[HALF:].sum()], abs=1e-3)
    assert found[1] == pytest.approx([whole[4:].sum()], abs=1e-3)
