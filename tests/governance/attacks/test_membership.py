"""Membership attacks: chance where nothing was learned, certainty where everything was, and honest intervals between."""

import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.governance.attacks.membership import (
    fit_attack,
    learned_features,
    measure_membership,
    membership_scores,
    neighbours,
    true_positive_rate,
)
from carto_audit.proxies.likelihood import neighbour_losses, one_thread, read_statistics
from carto_audit.traces.trace import TokenStatistics

pytestmark = pytest.mark.usefixtures("one_thread")

ATTACKS = ("loss", "zlib", "min_k", "min_k_plus_plus", "reference", "neighbourhood", "ez")
few = st.lists(st.integers(0, 5), min_size=1, max_size=20)


class Attacked:
    """A proxy attacked with members and with others, against a reference that never read either."""

    def __init__(self, reciters, target, reference, members, others):
        texts = [*members, *others]
        ours, theirs = (read_statistics(proxy, texts) for proxy in (target, reference))
        rng = np.random.default_rng(0)
        near = [neighbours(text, reciters.unigram, 4, 0.1, rng) for text in texts]
        size = [len(zlib.compress(reciters.encoder.tokenizer.decode(text.tolist()).encode())) for text in texts]
        self.member = np.arange(len(texts)) < len(members)
        self.features = learned_features(ours, theirs)
        self.scores = membership_scores(
            ours,
            theirs,
            np.array(size),
            neighbour_losses(target, near),
        )


def attacks(reciters, proxies):
    """The first proxy attacked where the truth is known, then the second, with texts that the first attack never saw."""
    first, second, others, more = reciters.groups
    with one_thread():
        known = Attacked(reciters, proxies[0], proxies[1], first, others)
        unknown = Attacked(reciters, proxies[1], proxies[0], second, more)
    unknown.scores["lt_mia"] = fit_attack(known.features, known.member, 0).score(unknown.features)
    return unknown


@pytest.fixture(scope="module")
def overtrained(reciters):
    return attacks(reciters, reciters.trained)


@pytest.fixture(scope="module")
def untrained(reciters):
    return attacks(reciters, reciters.fresh)


def auc(attacked, name):
    return measure_membership(attacked.scores[name], attacked.member, 0).auc


@pytest.mark.parametrize("name", [*ATTACKS, "lt_mia"])
def test_members_of_an_overtrained_proxy_are_told(overtrained, name):
    assert auc(overtrained, name).value > 0.95


@pytest.mark.parametrize("name", [*ATTACKS, "lt_mia"])
def test_an_untrained_proxy_gives_chance(untrained, name):
    """60 against 60: the standard deviation of the AUC is 0.053, and of eight attacks one is easily two of them off."""
    assert 0.3 < auc(untrained, name).value < 0.7


def test_the_error_shift_needs_the_mistakes_of_both(reciters, overtrained):
    """Of the target's alone one or none is left in a text that it knows, and chance decides."""
    second, more = reciters.groups[1], reciters.groups[3]
    ours, theirs = (read_statistics(proxy, [*second, *more]) for proxy in reversed(reciters.trained))
    flawless = [replace(text, right=np.ones(len(text.right))) for text in theirs]
    alone = membership_scores(ours, flawless, np.ones(len(ours)), np.zeros(len(ours)))["ez"]
    assert measure_membership(alone, overtrained.member, 0).auc.value < auc(overtrained, "ez").value - 0.05


def test_there_are_no_other_attacks(overtrained):
    assert set(overtrained.scores) == {*ATTACKS, "lt_mia"}


def reading(loss, right=None, z=None):
    """Statistics with these losses; what is not given is of no account."""
    loss = np.array(loss, float)
    right = np.zeros(len(loss)) if right is None else np.array(right, float)
    z = -loss if z is None else np.array(z, float)
    return TokenStatistics(loss=loss, z=z, right=right, log_rank=loss / 9, margin=-loss)


def test_each_score_is_its_formula():
    target = [reading([1, 2, 3, 4, 10], right=[1, 0, 0, 0, 0], z=[5, 4, 3, 2, -7])]
    reference = [reading([2, 1, 5, 5, 9], right=[1, 1, 0, 0, 0])]
    found = membership_scores(target, reference, np.array([40]), np.array([4.5]))
    assert {name: values.tolist() for name, values in found.items()} == {
        "loss": [-4.0],
        "zlib": [-0.5],
        "min_k": [-10.0],
        "min_k_plus_plus": [-7.0],
        "reference": [pytest.approx(0.4)],
        "neighbourhood": [0.5],
        "ez": [pytest.approx(3 / 5)],  # up by 2 and 1, down by 1 and 1; the first token is right twice
    }


def test_min_k_takes_a_fifth_of_the_tokens_and_one_at_least():
    target = [reading(np.arange(10.0)), reading([3.0, 1.0])]
    found = membership_scores(target, target, np.ones(2), np.zeros(2))
    assert found["min_k"].tolist() == [-8.5, -3.0]


@pytest.mark.parametrize(
    ("target", "reference", "expected"),
    [
        (reading([1, 1], right=[1, 1]), reading([2, 3], right=[1, 1]), 0.5),
        (reading([1, 1]), reading([1, 1]), 0.5),
        (reading([1, 1], right=[1, 1]), reading([9, 9], right=[0, 0]), 1.0),
        (reading([9, 9]), reading([1, 1], right=[1, 1]), 0.0),
    ],
    ids=["nobody errs", "nothing moved", "the target errs no more", "all is worse"],
)
def test_the_error_shift_is_finite_where_its_ratio_is_not(target, reference, expected):
    assert membership_scores([target], [reference], np.ones(1), np.zeros(1))["ez"].tolist() == [expected]


@given(st.integers(1, 50), st.floats(0, 1), st.integers(0, 3))
def test_neighbours_differ_in_their_share_of_tokens_at_most(size, rate, seed):
    unigram = np.array([0.0, 2.0, 1.0, 5.0])
    text = np.zeros(size, np.int64)  # a token that is never drawn
    near = neighbours(text, unigram, 3, rate, np.random.default_rng(seed))
    assert [int((copy != text).sum()) for copy in near] == [max(1, round(rate * size))] * 3
    assert not text.any()


def test_neighbours_are_drawn_by_frequency():
    unigram = np.array([0.0, 1.0, 3.0])
    (near,) = neighbours(np.zeros(4000, np.int64), unigram, 1, 1.0, np.random.default_rng(0))
    assert (near == 2).mean() == pytest.approx(0.75, abs=0.03)


def floats(values):
    return np.array(values, float)


def measured(inside, outside, seed=0):
    values = floats([*inside, *outside])
    return measure_membership(values, np.arange(len(values)) < len(inside), seed)


@given(few, few)
def test_the_auc_counts_wins_and_half_the_ties(inside, outside):
    found = measured(inside, outside).auc
    assert found.value == pytest.approx(np.mean([(a > b) + 0.5 * (a == b) for a in inside for b in outside]))
    assert 0 <= found.low <= found.high <= 1


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.lists(st.integers(0, 50), min_size=100, max_size=250))
def test_the_true_positive_rate_lets_no_more_others_pass_than_allowed(inside, outside):
    best = max(
        np.mean(floats(inside) > level)
        for level in [*outside, *inside]
        if np.sum(floats(outside) > level) <= len(outside) // 100
    )
    assert true_positive_rate(floats(inside), floats(outside), 0.01) == pytest.approx(best)
    assert measured(inside, outside).tpr_at_1pct_fpr.value == pytest.approx(best)


@pytest.mark.parametrize(("others", "one", "tenth"), [(99, False, False), (100, True, False), (1000, True, True)])
def test_a_rate_that_so_few_others_cannot_show_is_not_given(others, one, tenth):
    found = measured(np.arange(50), np.arange(others))
    assert (found.tpr_at_1pct_fpr is not None) == one
    assert (found.tpr_at_01pct_fpr is not None) == tenth


def test_without_members_or_without_others_there_is_nothing_to_measure():
    assert measured([], [1.0]) is None
    assert measured([1.0], []) is None
    assert measured([np.nan], [1.0]) is None


def test_unknown_scores_are_left_out():
    assert measured([3, 4, np.nan], [np.nan, 1, 3.5]) == measured([3, 4], [1, 3.5])


def test_perfect_separation_of_few_is_no_proof():
    found = measured(np.arange(10) + 100, np.arange(20)).auc
    assert found.value == found.high == 1
    assert found.low == pytest.approx(0.722, abs=0.001)  # Wilson's, of ten


def test_an_interval_holds_the_truth_as_often_as_it_says():
    """Normal scores one standard deviation apart have an AUC of 0.760, and 9.2 % of the members lie above 99 % of the others."""
    rng = np.random.default_rng(0)
    held = {"auc": 0, "tpr": 0}
    for k in range(200):
        found = measured(rng.normal(1, 1, 150), rng.normal(0, 1, 400), seed=k)
        held["auc"] += found.auc.low <= 0.7602 <= found.auc.high
        held["tpr"] += found.tpr_at_1pct_fpr.low <= 0.0924 <= found.tpr_at_1pct_fpr.high
    assert 0.9 <= held["auc"] / 200 <= 0.99
    assert held["tpr"] / 200 >= 0.85


def test_equal_seeds_give_equal_intervals(untrained):
    one, again, other = (measure_membership(untrained.scores["loss"], untrained.member, seed) for seed in (4, 4, 5))
    assert one == again
    assert one.auc.value == other.auc.value
    assert one.auc != other.auc


def test_many_scores_are_resampled_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(0.5, 1, 300), rng.normal(0, 1, 300)
    whole = measured(inside, outside)
    monkeypatch.setattr("carto_audit.governance.attacks.membership._BLOCK", 7000)  # eleven resamples at a time
    parts = measured(inside, outside)
    assert parts.auc.value == whole.auc.value
    assert (parts.auc.low, parts.auc.high) == pytest.approx((whole.auc.low, whole.auc.high), abs=0.01)


def test_the_learned_attack_pools_every_statistic_of_both_proxies_and_their_difference():
    found = learned_features([reading([1, 2, 6])], [reading([2, 2, 2])])
    assert found.shape == (1, 60)
    means, deviations, least, tenth = found.reshape(4, 15)
    assert means[[0, 5, 10]].tolist() == [3, 2, 1]
    assert deviations[[0, 5, 10]] == pytest.approx([np.std([1, 2, 6]), 0, np.std([-1, 0, 4])])
    assert least[[0, 5, 10]].tolist() == [1, 2, -1]
    assert tenth[0] == pytest.approx(1.2)


def test_the_learned_attack_finds_the_one_feature_that_tells():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 20))
    member = features[:, 3] * 100 + rng.normal(size=400) * 50 > 80  # a minority
    features[:, 7] = 5  # a constant tells nothing
    attack = fit_attack(features[:200], member[:200], 0)
    assert np.abs(attack.weights).argmax() == 3
    assert attack.weights[7] == 0
    found, best = (
        measure_membership(values[200:], member[200:], 0).auc.value
        for values in (attack.score(features), features[:, 3])
    )
    assert best - 0.04 < found


def test_the_learned_attack_learns_nothing_from_chance():
    rng = np.random.default_rng(1)
    features, member = rng.normal(size=(300, 60)), rng.random(300) < 0.5
    attack = fit_attack(features, member, 0)
    fresh, truth = rng.normal(size=(1000, 60)), rng.random(1000) < 0.5
    assert np.abs(attack.score(fresh)).mean() < 1
    assert abs(measure_membership(attack.score(fresh), truth, 0).auc.value - 0.5) < 0.07


def test_the_learned_attack_weighs_both_sides_alike():
    rng = np.random.default_rng(0)
    member = np.arange(550) < 500
    features = rng.normal(size=(550, 1)) + member[:, None]
    attack = fit_attack(features, member, 0)
    assert attack.score(np.array([[0.5]]))[0] == pytest.approx(0, abs=0.3)  # half-way between the two


def test_equal_seeds_fit_equal_attacks(overtrained):
    one, again = (fit_attack(overtrained.features, overtrained.member, 2) for _ in range(2))
    assert np.array_equal(one.score(overtrained.features), again.score(overtrained.features))
