"""Arms: what is done with a batch is one weight per row, and every level has controls of the same mass."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from carto_audit.data.duplicates import find_duplicates
from carto_audit.governance.arms import KINDS, Arm, Plan, Ranked, cut_score, plan_arms, prune, title_of, without_repeats
from tests.support.tiny import make_batch, make_duplicates

PLAN = Plan(levels=(0.05, 0.2), alphas=(0.5, 0.1), scores=("memorized", "forget_score"))


@st.composite
def scored_rows(draw):
    """Tokens and scores of some rows, of which some have no score and some share one."""
    n = draw(st.integers(1, 40))
    tokens = draw(arrays.arrays(np.int64, n, elements=st.integers(1, 500)))
    values = st.one_of(st.just(np.nan), st.sampled_from([0.0, 0.5, 1.0]), st.floats(-1e6, 1e6))
    return tokens, draw(arrays.arrays(np.float64, n, elements=values)), draw(st.floats(0.001, 0.999))


def ranked(n=400, seed=0, **changes):
    rng = np.random.default_rng(seed)
    score = rng.random(n)
    score[::7] = np.nan
    given_facts = {
        "n_tokens": rng.integers(5, 60, n),
        "scores": {"memorized": score, "forget_score": rng.random(n)},
        "flagged": score > 0.9,
        "policy_weight": np.where(score > 0.95, 0.0, np.where(score > 0.9, 0.3, 1.0)),
        "duplicates": make_duplicates([min(k, k // 4 * 4) if k < 120 else k for k in range(n)]),
    }
    return Ranked(**(given_facts | changes))


def gone(weight):
    return np.flatnonzero(weight == 0)


@given(scored_rows())
def test_pruning_stays_below_its_level_and_leaves_rows_without_a_score(rows):
    tokens, score, level = rows
    weight = prune(tokens, score, level)
    assert set(weight.tolist()) <= {0.0, 1.0}
    assert tokens[gone(weight)].sum() <= level * tokens.sum()
    assert not np.isnan(score[gone(weight)]).any()


@given(scored_rows())
def test_pruning_goes_from_the_highest_score_down_and_spares_only_what_does_not_fit(rows):
    tokens, score, level = rows
    weight = prune(tokens, score, level)
    assert_the_kept_do_not_fit(np.flatnonzero((weight > 0) & np.isfinite(score)), tokens, score, level, weight)


@given(scored_rows())
def test_the_cut_lies_below_all_that_was_pruned_and_above_what_comes_next(rows):
    tokens, score, level = rows
    weight = prune(tokens, score, level)
    cut = cut_score(score, weight)
    assert (cut is None) == (not len(gone(weight)))
    if cut is not None:
        assert (score[gone(weight)] > cut).all()
        assert_the_kept_do_not_fit(np.flatnonzero((weight > 0) & (score > cut)), tokens, score, level, weight)


def assert_the_kept_do_not_fit(kept, tokens, score, level, weight):
    for i in kept:
        before = (weight == 0) & ((score > score[i]) | ((score == score[i]) & (np.arange(len(score)) < i)))
        assert tokens[before].sum() + tokens[i] > level * tokens.sum() - 1e-6


def test_one_long_row_does_not_spare_the_others():
    weight = prune(np.array([900, 20, 20, 60]), np.array([0.9, 0.8, 0.7, 0.1]), 0.05)
    assert gone(weight).tolist() == [1, 2]


def test_scores_that_are_infinite_rank_nothing():
    weight = prune(np.full(4, 10), np.array([np.inf, 0.4, 0.3, -np.inf]), 0.5)
    assert gone(weight).tolist() == [1, 2]


def test_the_untreated_batch_comes_first_and_every_level_has_its_controls():
    arms = plan_arms(PLAN, ranked(), seed=0)
    assert [arm.kind for arm in arms] == [
        "untreated",
        *2 * ["prune", "prune", "random", "deduplicate"],
        *2 * ["downweight"],
        "remove_flagged",
        "policy",
    ]
    assert {arm.kind for arm in arms} == set(KINDS)
    assert (arms[0].weight == 1).all()
    assert [arm.score for arm in arms if arm.kind == "prune"] == 2 * ["memorized", "forget_score"]
    assert [arm.level for arm in arms if arm.kind == "random"] == [0.05, 0.2]
    assert [arm.alpha for arm in arms if arm.kind == "downweight"] == [0.5, 0.1]
    assert len({arm.key for arm in arms}) == len(arms)


def test_random_pruning_takes_as_much_as_pruning_by_score_and_looks_at_no_score():
    rows = ranked(n=4000)
    total = rows.n_tokens.sum()
    arms = plan_arms(PLAN, rows, seed=0)
    for level in PLAN.levels:
        control = next(arm for arm in arms if (arm.kind, arm.level) == ("random", level))
        assert rows.n_tokens[gone(control.weight)].sum() == pytest.approx(level * total, abs=float(rows.n_tokens.max()))
        mean = np.nanmean(rows.scores["memorized"][gone(control.weight)])
        assert abs(mean - 0.5) < 0.15
        assert np.isnan(rows.scores["memorized"][gone(control.weight)]).any()


def test_a_long_row_does_not_end_random_pruning():
    """One row in five is too long for the level. Whichever comes first, the control prunes nearly as much as is allowed."""
    tokens = np.where(np.arange(100) % 5, 10, 200)
    for seed in range(20):
        rows = ranked(n=100, n_tokens=tokens, duplicates=make_duplicates(range(100)))
        arms = plan_arms(Plan(levels=(0.03,), alphas=(), scores=()), rows, seed)
        control = next(arm for arm in arms if arm.kind == "random")
        assert 0.9 * 0.03 < tokens[gone(control.weight)].sum() / tokens.sum() <= 0.03


def test_random_pruning_depends_on_the_seed_alone():
    once, again, other = (plan_arms(PLAN, ranked(), seed) for seed in (1, 1, 2))
    at = next(k for k, arm in enumerate(once) if arm.kind == "random")
    assert once[at].digest == again[at].digest != other[at].digest
    assert all(a.digest == b.digest for a, b in zip(once, other, strict=True) if a.kind != "random")


def test_deduplication_keeps_one_of_each_cluster():
    rows = ranked(duplicates=make_duplicates([0, 0, 0, 3, 3, *range(5, 400)]))
    arm = next(a for a in plan_arms(PLAN, rows, 0) if (a.kind, a.level) == ("deduplicate", 0.2))
    assert gone(arm.weight).tolist() == [1, 2, 4]


def test_deduplication_of_real_copies_takes_exact_ones_first(tmp_path):
    passage = [f"word{k}" for k in range(40)]
    near = [*passage[:20], "another", *passage[21:]]
    texts = [" ".join(passage), " ".join(near), " ".join(passage), "a text that nobody repeats"]
    duplicates = find_duplicates(make_batch(tmp_path, texts), tmp_path)
    assert duplicates.exact.tolist() == [False, False, True, False]
    assert duplicates.near.tolist() == [False, True, False, False]
    rows = ranked(n=4, n_tokens=np.full(4, 10), duplicates=duplicates)
    for level, wanted in ((0.3, [2]), (0.6, [1, 2]), (0.99, [1, 2])):
        arms = plan_arms(Plan(levels=(level,), alphas=(), scores=()), rows, 0)
        assert gone(next(a for a in arms if a.kind == "deduplicate").weight).tolist() == wanted


def test_down_weighting_and_removal_touch_flagged_rows_alone():
    rows = ranked()
    for arm in plan_arms(PLAN, rows, 0):
        if arm.kind in ("downweight", "remove_flagged"):
            assert (arm.weight[~rows.flagged] == 1).all()
            assert (arm.weight[rows.flagged] == (arm.alpha or 0.0)).all()


def test_the_policy_s_arm_has_the_weights_that_it_gives():
    rows = ranked()
    assert plan_arms(PLAN, rows, 0)[-1].weight.tolist() == rows.policy_weight.tolist()


@given(
    arrays.arrays(np.float64, 12, elements=st.sampled_from([0.0, 0.1, 1.0])),
    arrays.arrays(np.float64, 12, elements=st.sampled_from([0.0, 0.1, 1.0])),
)
def test_arms_have_one_digest_if_and_only_if_their_weights_are_equal(first, second):
    one, other = Arm(kind="policy", weight=first), Arm(kind="prune", level=0.1, score="memorized", weight=second)
    assert (one.digest == other.digest) == np.array_equal(first, second)
    assert without_repeats([one, other]) == ([one] if np.array_equal(first, second) else [one, other])


def test_of_arms_with_equal_weights_the_first_stays():
    rows = ranked(flagged=np.zeros(400, bool), policy_weight=np.ones(400))
    arms = plan_arms(PLAN, rows, 0)
    kept = without_repeats(arms)
    assert [arm.kind for arm in kept] == [arm.kind for arm in arms[: 1 + 4 * len(PLAN.levels)]]


@pytest.mark.parametrize("arm", plan_arms(PLAN, ranked(), 0), ids=lambda arm: "-".join(map(str, arm.key)))
def test_every_arm_has_a_title_of_its_own(arm):
    titles = [title_of(*other.key) for other in plan_arms(PLAN, ranked(), 0)]
    assert title_of(*arm.key).strip()
    assert titles.count(title_of(*arm.key)) == 1
