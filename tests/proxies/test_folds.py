import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.proxies.folds import assign_folds, sample_groups


@settings(max_examples=60)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(0, 5))
def test_kin_share_a_fold_and_folds_are_balanced(group, seed):
    _, group = np.unique(group, return_inverse=True)
    n_tokens = np.random.default_rng(seed).integers(1, 50, len(group))
    fold = assign_folds(group, n_tokens, 2, seed)
    for g in np.unique(group):
        assert len(set(fold[group == g])) == 1
    sides = np.bincount(fold, n_tokens, minlength=2)
    assert abs(sides[0] - sides[1]) <= np.bincount(group, n_tokens).max()


@settings(max_examples=60)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 2000))
def test_some_samples_are_whole_groups_within_the_limit(group, most):
    _, group = np.unique(group, return_inverse=True)
    n_tokens = np.full(len(group), 20)
    chosen = sample_groups(group, n_tokens, most, 0)
    for g in np.unique(group):
        assert len(set(chosen[group == g])) == 1
    assert chosen.any()
    assert n_tokens[chosen].sum() <= max(most, np.bincount(group, n_tokens).max())


def test_one_huge_group_does_not_starve_the_training_sample():
    group = np.concatenate([np.zeros(1, int), np.arange(1, 400)])
    n_tokens = np.concatenate([[60_000], np.full(399, 100)])
    for seed in range(20):
        assert n_tokens[sample_groups(group, n_tokens, 20_000, seed)].sum() > 19_000
