from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import carto_audit.proxies.shared_runs
from carto_audit.proxies.kinship import LARGEST_GROUP_SHARE, find_kin
from carto_audit.proxies.shared_runs import (
    EXAMPLES,
    HIGHEST_CAP,
    LOWEST_CAP,
    RUN_TOKENS,
    RUN_WEIGHT,
    SHORTEST_RUN,
    Boilerplate,
    shared_runs,
)
from tests.support.tiny import make_store

VOCABULARY = 60_000


def kin_of(folder, samples, cluster=None, copies=None, usable=None, piece_weight=None):
    """The kinship of samples of token ids; by default nothing is a duplicate and every token is one byte."""
    n = len(samples)
    return find_kin(
        make_store(folder, samples, VOCABULARY),
        np.arange(n) if cluster is None else cluster,
        np.zeros(n, bool) if copies is None else copies,
        np.ones(n, bool) if usable is None else usable,
        folder,
        piece_weight=np.ones(VOCABULARY, np.int64) if piece_weight is None else piece_weight,
    )


def unique_runs(n, length=30):
    return [list(range(length * i, length * i + length)) for i in range(n)]


def chain(n, seed=0):
    """A~B~C~…: each sample shares one run with the next one only, (n, 30) tokens."""
    rng = np.random.default_rng(seed)
    links, bodies = rng.integers(0, VOCABULARY, (n + 1, RUN_TOKENS)), rng.integers(0, VOCABULARY, (n, 6))
    return np.concatenate([links[:-1], bodies, links[1:]], axis=1)


def runs_of(sample, piece_weight):
    """Every run of a sample, written as the definition reads."""
    runs = set()
    for begin in range(len(sample)):
        for end in range(begin + SHORTEST_RUN, min(begin + RUN_TOKENS, len(sample)) + 1):
            if end - begin == RUN_TOKENS or sum(piece_weight[t] for t in sample[begin:end]) >= RUN_WEIGHT:
                runs.add(tuple(sample[begin:end]))
                break
    return runs


def test_samples_that_share_a_rare_run_are_kin(tmp_path):
    samples = unique_runs(20)
    secret = list(range(50_000, 50_000 + RUN_TOKENS))
    for i in (3, 8, 15):
        samples[i] = samples[i][:10] + secret + samples[i][10:]
    group = kin_of(tmp_path, samples).group
    assert len({group[3], group[8], group[15]}) == 1
    assert len(set(group)) == 18


def test_runs_that_occur_once_are_written_nowhere(tmp_path):
    """Files are a flag for each token, and a few bytes for runs that share their place in the filter with others."""
    store = make_store(tmp_path, np.random.default_rng(0).integers(0, VOCABULARY, (4000, 50)), VOCABULARY)
    weight = np.ones(VOCABULARY, np.int64)
    with shared_runs(store, np.zeros(4000, bool), weight, tmp_path):
        spilled = sum(path.stat().st_size for path in tmp_path.iterdir() if path != store.path)
    assert spilled < 1.2 * store.offsets[-1]


def test_what_repeats_itself_is_not_alone_though_it_has_no_kin(tmp_path):
    """Nobody may hold it out as text in which nothing recurs, however short its period is."""
    bodies, secret = unique_runs(4), list(range(50_000, 50_000 + RUN_TOKENS))
    kinship = kin_of(tmp_path, [bodies[0], bodies[1] + secret + [1, 2] + secret, bodies[2], [7] * 40, bodies[3]])
    assert len(set(kinship.group)) == 5
    assert kinship.alone.tolist() == [True, False, True, False, True]


def test_who_has_kin_is_not_alone(tmp_path):
    bodies = unique_runs(3)
    assert kin_of(tmp_path, [bodies[0], bodies[1], bodies[0] + [9]]).alone.tolist() == [False, True, False]


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


def test_a_run_binds_where_it_lies_outside_boilerplate(tmp_path):
    """It goes on after boilerplate in two samples, and stands alone at another place of both."""
    header = list(range(50_000, 50_000 + RUN_TOKENS))
    samples = [header + body for body in unique_runs(LOWEST_CAP + 8)]
    for i in (2, 5):
        samples[i] = header + [55_000, 55_001, 55_002] + samples[i][RUN_TOKENS:] + header[3:] + [55_000, 55_001, 55_002]
    group = kin_of(tmp_path, samples).group
    assert group[2] == group[5]
    assert len(set(group)) == len(samples) - 1


def test_a_secret_in_the_slot_of_a_template_binds(tmp_path):
    header, tail = list(range(50_000, 50_020)), list(range(51_000, 51_020))
    slots = unique_runs(LOWEST_CAP + 8, RUN_TOKENS)
    slots[7] = slots[2]
    group = kin_of(tmp_path, [header + slot + tail for slot in slots]).group
    assert group[7] == group[2]
    assert len(set(group)) == len(slots) - 1


def form(values, labels):
    """Labels as long as a run, with a short value after each."""
    return [token for label, value in zip(labels, values, strict=True) for token in (*label, *value)]


def test_short_values_between_frequent_labels_bind(tmp_path):
    """No run of twelve tokens lies outside the labels; three values of four tokens each are as long."""
    rng = np.random.default_rng(0)
    labels = rng.integers(50_000, 60_000, (4, RUN_TOKENS)).tolist()
    filled = rng.integers(0, 40_000, (LOWEST_CAP + 8, 4, 4))
    filled[7, :3] = filled[2, :3]
    filled[9, :2] = filled[3, :2]
    group = kin_of(tmp_path, [form(values.tolist(), labels) for values in filled]).group
    assert group[7] == group[2]
    assert len(set(group)) == len(filled) - 1, "two values are shorter than a run"


def test_values_of_a_form_that_lie_on_both_sides_are_severed(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(50_000, 60_000, (3, RUN_TOKENS)).tolist()
    values = rng.integers(0, 40_000, (3, 4)).tolist()
    samples = [form(values, labels) for _ in range(LOWEST_CAP)]
    samples = [[*chain_link, *sample] for chain_link, sample in zip(chain(LOWEST_CAP).tolist(), samples, strict=True)]
    others = [form(rng.integers(0, 40_000, (3, 4)).tolist(), labels) for _ in range(20)]
    kinship = kin_of(tmp_path, samples + others)
    assert kinship.severed[:LOWEST_CAP].sum() > LOWEST_CAP / 2
    assert not kinship.severed[LOWEST_CAP:].any()


def test_few_tokens_that_span_sixty_bytes_bind(tmp_path):
    long = list(range(50_000, 50_000 + SHORTEST_RUN + 1))
    piece_weight = np.ones(VOCABULARY, np.int64)
    piece_weight[long] = RUN_WEIGHT // len(long)
    samples = unique_runs(20, 5)
    for i in (1, 4):
        samples[i] = samples[i] + long
    group = kin_of(tmp_path, samples, piece_weight=piece_weight).group
    assert group[1] == group[4]
    assert len(set(group)) == 19
    piece_weight[long[2]] -= 1
    assert len(set(kin_of(tmp_path, samples, piece_weight=piece_weight).group)) == 20


def test_fewer_long_pieces_than_the_shortest_run_bind_nobody(tmp_path):
    ruler = list(range(50_000, 50_000 + SHORTEST_RUN - 1))
    piece_weight = np.ones(VOCABULARY, np.int64)
    piece_weight[ruler] = 10 * RUN_WEIGHT
    samples = [sample + ruler for sample in unique_runs(6)]
    assert len(set(kin_of(tmp_path, samples, piece_weight=piece_weight).group)) == 6


def test_a_run_does_not_leave_its_sample(tmp_path):
    """The same tokens, once inside one sample and once across the border of two."""
    run = list(range(50_000, 50_000 + RUN_TOKENS))
    samples = [*unique_runs(6), run]
    samples[1] = samples[1] + run[:6]
    samples[2] = run[6:] + samples[2]
    assert len(set(kin_of(tmp_path, samples).group)) == 7


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_chain_of_kin_is_cut_into_a_few_large_pieces(tmp_path, shuffled):
    n = 5000
    place = (
        np.random.default_rng(1).permutation(n) if shuffled else np.arange(n)
    )  # sample k is link place[k] of the chain
    kinship = kin_of(tmp_path, chain(n)[place])
    along = np.empty(n, np.int64)
    along[place] = kinship.group
    torn = along[1:] != along[:-1]
    assert kinship.largest_share <= LARGEST_GROUP_SHARE
    assert len(set(along)) <= 8
    assert torn.sum() <= 8
    severed = np.empty(n, bool)
    severed[place] = kinship.severed
    assert (severed == (np.append(torn, False) | np.insert(torn, 0, False))).all()


def test_what_a_full_star_turns_away_stays_together(tmp_path):
    """A hub that shares another run with each of 3,000 samples, which have nothing else in common."""
    rng = np.random.default_rng(0)
    links, bodies = rng.integers(0, VOCABULARY, (3000, RUN_TOKENS)), rng.integers(0, VOCABULARY, (3000, 200))
    kinship = kin_of(tmp_path, [links.ravel(), *np.concatenate([links, bodies], axis=1)])
    assert kinship.largest_share <= LARGEST_GROUP_SHARE
    assert len(set(kinship.group)) <= 5
    away = kinship.group != kinship.group[0]
    assert kinship.severed[0]
    assert (kinship.severed[1:] == away[1:]).all()


def test_a_chain_elsewhere_does_not_loosen_other_kin(tmp_path):
    """The rare run is shared by more samples than any link of the chain, and would be the first to give way."""
    secret = list(range(RUN_TOKENS))
    samples = [list(sample) for sample in chain(400)]
    samples += [sample + secret for sample in unique_runs(20, 40)[1:]]
    kinship = kin_of(tmp_path, samples)
    assert kinship.severed[:400].any()
    assert len(set(kinship.group[400:])) == 1
    assert not kinship.severed[400:].any()


def test_the_least_shared_text_gives_way_first(tmp_path):
    """Samples i and i + 60 share a long passage; i, i + 1 and i + 2 share a run, rarer or not, which chains the pairs."""
    rng = np.random.default_rng(0)
    own, glue = rng.integers(0, VOCABULARY, (60, 3 * RUN_TOKENS)), rng.integers(0, VOCABULARY, (62, RUN_TOKENS))
    gaps = rng.integers(0, VOCABULARY, (3, 60, 1))
    left = np.concatenate([own, gaps[0], glue[:60], gaps[1], glue[1:61], gaps[2], glue[2:]], axis=1)
    kinship = kin_of(tmp_path, [*left, *np.concatenate([own, rng.integers(0, VOCABULARY, (60, 39))], axis=1)])
    assert (kinship.group[:60] == kinship.group[60:]).all()
    assert 2 < len(set(kinship.group)) < 8
    assert kinship.severed[:60].any()
    assert not kinship.severed[60:].any()


def test_severed_tokens_are_those_of_the_shared_runs(tmp_path):
    kinship = kin_of(tmp_path, chain(400))
    counts = set(kinship.severed_tokens.tolist())
    assert kinship.severed.any()
    assert counts <= {0, RUN_TOKENS, 2 * RUN_TOKENS}


def test_duplicates_are_never_severed(tmp_path):
    """A chain whose samples are near copies in threes, of neighbours and of distant ones."""
    cluster = np.arange(900)
    cluster[300:600] = cluster[600:] = cluster[:300]
    kinship = kin_of(tmp_path, chain(900), cluster)
    assert (kinship.group == kinship.group[cluster]).all()
    assert kinship.severed.any()
    assert kinship.largest_share <= LARGEST_GROUP_SHARE


def test_a_copy_of_a_severed_sample_is_severed(tmp_path):
    samples = [list(sample) for sample in chain(300)]
    n, original = len(samples), np.flatnonzero(kin_of(tmp_path, samples).severed)
    cluster = np.concatenate([np.arange(n), original])
    copies = np.arange(len(cluster)) >= n
    kinship = kin_of(tmp_path, samples + [samples[i] for i in original], cluster, copies)
    assert kinship.severed.any()
    assert (kinship.severed[n:] == kinship.severed[original]).all()


def test_duplicates_are_kin_without_a_shared_run(tmp_path):
    cluster = np.arange(30)
    cluster[20:] = 20
    assert len(set(kin_of(tmp_path, unique_runs(30), cluster).group[20:])) == 1


def test_the_report_can_quote_boilerplate(tmp_path):
    header, footer = list(range(50_000, 50_040)), list(range(51_000, 51_020))
    samples = unique_runs(LOWEST_CAP + 30)
    for i in range(3, LOWEST_CAP + 30):
        samples[i] = samples[i] + footer
    for i in range(7, LOWEST_CAP + 8):
        samples[i] = samples[i][:5] + header + samples[i][5:]
    kinship = kin_of(tmp_path, samples)
    assert kinship.boilerplate == (
        Boilerplate(sample=3, first=30, last=49, samples=LOWEST_CAP + 27),
        Boilerplate(sample=7, first=5, last=44, samples=LOWEST_CAP + 1),
    )
    assert kinship.boilerplate_runs == 20 - RUN_TOKENS + 1 + 40 - RUN_TOKENS + 1
    assert kinship.cap == LOWEST_CAP
    assert len(set(kinship.group)) == len(samples)


def test_boilerplate_ends_with_its_sample(tmp_path):
    samples = [list(range(50_000, 50_020))] * (LOWEST_CAP + 1)
    assert kin_of(tmp_path, samples).boilerplate == (Boilerplate(sample=0, first=0, last=19, samples=LOWEST_CAP + 1),)


def test_the_most_frequent_boilerplate_is_quoted(tmp_path):
    samples = [[] for _ in range(LOWEST_CAP + 20)]
    for k in range(EXAMPLES + 3):  # the later the commoner, each after a token of the sample's own
        for i in range(LOWEST_CAP + 10 + k):
            samples[i] += [100 * i + k, *range(50_000 + 100 * k, 50_000 + 100 * k + 15)]
    found = kin_of(tmp_path, samples).boilerplate
    quoted = range(EXAMPLES + 2, 2, -1)
    assert [example.first for example in found] == [16 * k + 1 for k in quoted]
    assert [example.samples for example in found] == [LOWEST_CAP + 10 + k for k in quoted]


@pytest.mark.parametrize(("n", "cap"), [(100, LOWEST_CAP), (5000, 50), (40_000, HIGHEST_CAP)])
def test_the_cap_follows_the_size_of_the_batch(tmp_path, n, cap):
    assert kin_of(tmp_path, np.arange(n)[:, None] % 7).cap == cap


def test_without_boilerplate_nothing_is_quoted_or_severed(tmp_path):
    kinship = kin_of(tmp_path, unique_runs(5, 3))
    assert kinship.boilerplate == ()
    assert kinship.boilerplate_runs == 0
    assert not kinship.severed.any()


def test_partitions_and_blocks_change_nothing(tmp_path):
    """Samples of zeros and ones: many runs are boilerplate, more are shared, and groups are cut."""
    rng = np.random.default_rng(0)
    samples = [(rng.random(int(rng.integers(1, 400))) < 0.3).astype(int).tolist() for _ in range(90)] + [*chain(60)]
    whole = kin_of(tmp_path, samples)
    with patch.multiple(carto_audit.proxies.shared_runs, _PARTITION_TOKENS=300, _BLOCK_TOKENS=100):
        parts = kin_of(tmp_path, samples)
    assert (whole.group == parts.group).all()
    assert (whole.severed == parts.severed).all()
    assert (whole.alone == parts.alone).all()
    assert whole.boilerplate == parts.boilerplate
    assert whole.boilerplate_runs == parts.boilerplate_runs > 0
    assert whole.severed.any()
    assert not list(tmp_path.glob("*runs-*"))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), min_size=2, max_size=25),
    st.lists(st.integers(1, 30), min_size=10, max_size=10),
    st.sampled_from([20, 100, 1 << 20]),
    st.integers(0, 9),
)
def test_samples_that_share_a_rare_run_share_a_group_or_are_severed(tmp_path_factory, blocks, sizes, tokens, seed):
    """Samples of blocks out of ten: equal blocks are equal text, and the pieces of each have one size."""
    rng = np.random.default_rng(seed)
    piece_weight = np.repeat(sizes, VOCABULARY // 10)
    text = [(VOCABULARY // 10 * b + rng.integers(0, 6000, int(rng.integers(2, 14)))).tolist() for b in range(10)]
    samples = [[token for b in sample for token in text[b]] for sample in blocks]
    with patch.multiple(carto_audit.proxies.shared_runs, _PARTITION_TOKENS=tokens, _BLOCK_TOKENS=tokens):
        kinship = kin_of(tmp_path_factory.mktemp("kin"), samples, piece_weight=piece_weight)
    runs = [runs_of(sample, piece_weight) for sample in samples]
    kin = np.array([[not a.isdisjoint(b) for b in runs] for a in runs])
    apart = kinship.group[:, None] != kinship.group
    assert (kinship.severed == (kin & apart).any(axis=1)).all()
    reached = np.linalg.matrix_power(kin | np.eye(len(kin), dtype=bool), len(kin))
    if not kinship.severed.any():
        assert (reached == ~apart).all()
    n_tokens = np.array([len(sample) for sample in samples])
    share = kinship.largest_share * n_tokens.sum()
    assert share <= max(LARGEST_GROUP_SHARE * n_tokens.sum(), n_tokens.max() + 0.1 * n_tokens.sum()) + 1e-6


def test_a_large_cluster_of_copies_does_not_switch_kinship_off(tmp_path):
    """60 near copies hold more than a third of the tokens; 10 other samples share an embedded secret."""
    samples = unique_runs(100)
    for i in range(40, 50):
        samples[i] = samples[i] + list(range(50_000, 50_000 + RUN_TOKENS))
    cluster = np.arange(160)
    cluster[100:] = 100
    samples += [list(range(40_000 + i, 40_060 + i)) for i in range(60)]
    kinship = kin_of(tmp_path, samples, cluster)
    assert kinship.largest_share > LARGEST_GROUP_SHARE
    assert len(set(kinship.group[40:50])) == 1
    assert not kinship.severed.any()


def test_what_is_not_trained_on_binds_nobody(tmp_path):
    samples = unique_runs(10)
    samples.append([token for sample in samples for token in sample] * 3)
    kinship = kin_of(tmp_path, samples, usable=np.arange(11) < 10)
    assert len(set(kinship.group[:10])) == 10
    assert kinship.largest_share <= LARGEST_GROUP_SHARE
