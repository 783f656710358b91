import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import make_store

import carto_audit.folds
from carto_audit.folds import LARGEST_GROUP_SHARE, LOWEST_CAP, RUN_TOKENS, assign_folds, find_kin, sample_groups


def kin_of(folder, samples, vocab_size=60_000):
    n = len(samples)
    return find_kin(make_store(folder, samples, vocab_size), np.arange(n), np.zeros(n, bool), np.ones(n, bool), folder)


def unique_runs(n, length=30):
    return [list(range(length * i, length * i + length)) for i in range(n)]


def test_samples_that_share_a_rare_run_are_kin(tmp_path):
    samples = unique_runs(20)
    secret = list(range(50_000, 50_000 + RUN_TOKENS))
    for i in (3, 8, 15):
        samples[i] = samples[i][:10] + secret + samples[i][10:]
    group = kin_of(tmp_path, samples).group
    assert len({group[3], group[8], group[15]}) == 1
    assert len(set(group)) == 18


def test_a_shared_run_one_token_short_binds_nobody(tmp_path):
    samples = unique_runs(6)
    for i in (1, 4):
        samples[i] = samples[i] + list(range(50_000, 50_000 + RUN_TOKENS - 1))
    assert len(set(kin_of(tmp_path, samples).group)) == 6


def test_boilerplate_binds_nobody_and_is_counted(tmp_path):
    header = list(range(50_000, 50_000 + RUN_TOKENS))
    kinship = kin_of(tmp_path, [header + body for body in unique_runs(LOWEST_CAP + 1)])
    assert len(set(kinship.group)) == LOWEST_CAP + 1
    assert kinship.boilerplate_runs == 1


def test_going_on_alike_after_boilerplate_binds_nobody(tmp_path):
    header = list(range(50_000, 50_000 + RUN_TOKENS))
    samples = [header + body for body in unique_runs(LOWEST_CAP + 8)]
    for i in (2, 5):
        samples[i] = header + [55_000, 55_001, 55_002] + samples[i][RUN_TOKENS:]
    assert len(set(kin_of(tmp_path, samples).group)) == len(samples)


def test_a_secret_in_the_slot_of_a_template_binds(tmp_path):
    header, tail = list(range(50_000, 50_020)), list(range(51_000, 51_020))
    slots = unique_runs(LOWEST_CAP + 8, RUN_TOKENS)
    slots[7] = slots[2]
    group = kin_of(tmp_path, [header + slot + tail for slot in slots]).group
    assert group[7] == group[2]
    assert len(set(group)) == len(slots) - 1


def test_a_chain_of_kin_does_not_swallow_the_batch(tmp_path):
    """A~B~C~…: each sample shares a run with the next one only."""
    links = [list(range(50_000 + 12 * i, 50_012 + 12 * i)) for i in range(41)]
    bodies = unique_runs(40)
    kinship = kin_of(tmp_path, [links[i] + bodies[i] + links[i + 1] for i in range(40)])
    assert kinship.largest_share <= LARGEST_GROUP_SHARE


def test_duplicates_stay_kin_whatever_the_cap(tmp_path):
    samples = unique_runs(30)
    cluster = np.arange(30)
    cluster[20:] = 20
    store = make_store(tmp_path, samples, 60_000)
    assert len(set(find_kin(store, cluster, np.zeros(30, bool), np.ones(30, bool), tmp_path).group[20:])) == 1


def test_partitions_on_disk_change_nothing(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    samples = [rng.integers(0, 3, 40).tolist() for _ in range(60)]
    whole = kin_of(tmp_path, samples)
    monkeypatch.setattr(carto_audit.folds, "_PARTITION_TOKENS", 300)
    monkeypatch.setattr(carto_audit.folds, "_BLOCK_TOKENS", 100)
    parts = kin_of(tmp_path, samples)
    assert (whole.group == parts.group).all()
    assert whole.boilerplate_runs == parts.boilerplate_runs
    assert not list(tmp_path.glob("runs-*"))


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
def test_a_training_sample_holds_whole_groups_within_the_limit(group, most):
    _, group = np.unique(group, return_inverse=True)
    n_tokens = np.full(len(group), 20)
    chosen = sample_groups(group, n_tokens, most, 0)
    for g in np.unique(group):
        assert len(set(chosen[group == g])) == 1
    assert chosen.any()
    assert n_tokens[chosen].sum() <= max(most, np.bincount(group, n_tokens).max())


def test_without_a_limit_everything_is_trained_on():
    assert sample_groups(np.arange(9), np.full(9, 5), None, 0).all()


def test_a_large_cluster_of_copies_does_not_switch_kinship_off(tmp_path):
    """60 near copies hold more than a third of the tokens; 10 other samples share an embedded secret."""
    samples = unique_runs(100)
    for i in range(40, 50):
        samples[i] = samples[i] + list(range(50_000, 50_000 + RUN_TOKENS))
    cluster = np.arange(160)
    cluster[100:] = 100
    samples += [list(range(40_000 + i, 40_060 + i)) for i in range(60)]
    everyone = np.ones(160, bool)
    kinship = find_kin(make_store(tmp_path, samples, 60_000), cluster, ~everyone, everyone, tmp_path)
    assert kinship.cap == kinship.usual_cap
    assert len(set(kinship.group[40:50])) == 1


def test_what_is_not_trained_on_binds_nobody(tmp_path):
    samples = unique_runs(10)
    samples.append([token for sample in samples for token in sample] * 3)
    usable = np.arange(11) < 10
    kinship = find_kin(make_store(tmp_path, samples, 60_000), np.arange(11), ~np.ones(11, bool), usable, tmp_path)
    assert len(set(kinship.group[:10])) == 10
    assert kinship.largest_share <= LARGEST_GROUP_SHARE


def test_one_huge_group_does_not_starve_the_training_sample():
    group = np.concatenate([np.zeros(1, int), np.arange(1, 400)])
    n_tokens = np.concatenate([[60_000], np.full(399, 100)])
    for seed in range(20):
        assert n_tokens[sample_groups(group, n_tokens, 20_000, seed)].sum() > 19_000
