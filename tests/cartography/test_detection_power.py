"""How well a score tells controls from ordinary text, against plain counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.cartography.detection_power import (
    Ordinary,
    average_precision,
    beaten_share,
    detection_power,
    flag_level,
    measure_detection,
)
from carto_audit.cartography.intervals import wilson
from tests.support.tiny import make_controls

few = st.lists(st.integers(0, 5), min_size=1, max_size=20)


def floats(values):
    return np.array(values, float)


def ordinary_of(values, tokens=10):
    return Ordinary.of(floats(values), np.full(len(values), tokens))


def power_of(ordinary, planted, secret=None, twins=None):
    planted = floats(planted)
    secret = np.arange(len(planted)) if secret is None else np.asarray(secret)
    return detection_power(ordinary_of(ordinary), planted, secret, None if twins is None else floats(twins))


@given(few, few)
def test_the_auc_counts_wins_and_half_the_ties(ordinary, planted):
    wins = np.mean([(p > o) + 0.5 * (p == o) for p in planted for o in ordinary])
    assert beaten_share(floats(ordinary), floats(planted)).mean() == pytest.approx(wins)
    assert power_of(ordinary, planted).auc == pytest.approx(wins)


@given(few, few)
def test_average_precision_is_the_mean_share_of_planted_ones_at_or_above_each(ordinary, planted):
    shares = [
        sum(p >= level for p in planted) / (sum(p >= level for p in planted) + sum(o >= level for o in ordinary))
        for level in planted
    ]
    assert average_precision(np.sort(floats(ordinary)), floats(planted)) == pytest.approx(np.mean(shares))
    assert power_of(ordinary, planted).average_precision == pytest.approx(np.mean(shares))


@given(few, few, few)
def test_the_auc_against_twins_counts_twins_only(ordinary, planted, twins):
    wins = np.mean([(p > t) + 0.5 * (p == t) for p in planted for t in twins])
    assert power_of(ordinary, planted, twins=twins).auc_twins == pytest.approx(wins)


def test_without_twins_there_is_no_auc_against_them():
    assert power_of([0, 1], [2.0]).auc_twins is None
    assert power_of([0, 1], [2.0], twins=[np.nan]).auc_twins is None


def test_power_is_perfect_apart_blind_on_equal_values_and_absent_without_controls():
    apart = np.linspace(0, 1, 200)
    perfect = power_of(apart, [2.0] * 8, secret=np.repeat([0, 1], 4))
    assert (perfect.auc, perfect.average_precision, perfect.recall_at_1pct) == (1.0, 1.0, 1.0)
    assert (perfect.secrets, perfect.copies) == (2, 8)
    assert perfect.ci == wilson(1.0, 2)
    blind = power_of([0.0] * 200, [0.0] * 8)
    assert (blind.auc, blind.recall_at_1pct, blind.recall_at_2pct, blind.recall_at_5pct) == (0.5, 0.0, 0.0, 0.0)
    assert power_of(apart, [np.nan] * 3) is None
    assert power_of(apart, [np.nan, 2.0]).copies == 1


def test_few_secrets_never_give_a_narrow_interval():
    low, high = power_of(np.linspace(0, 1, 200), [2.0] * 16, secret=np.zeros(16, int)).ci
    assert low < 0.5
    assert high == 1.0
    assert wilson(0.5, 100) == pytest.approx((0.404, 0.596), abs=0.001)


def test_many_copies_of_few_secrets_are_no_more_proof_than_few():
    rng = np.random.default_rng(0)
    values, secret = rng.normal(1, 1, 400), np.repeat(np.arange(4), 100)
    few_secrets = power_of(rng.normal(0, 1, 500), values, secret=secret).ci
    many_secrets = power_of(rng.normal(0, 1, 500), values).ci
    assert few_secrets[1] - few_secrets[0] > 2 * (many_secrets[1] - many_secrets[0])


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 50)), min_size=1, max_size=40), st.floats(0, 0.99))
def test_at_most_the_given_share_of_tokens_is_above_the_flag_level(pairs, share):
    values, tokens = (np.array(x) for x in zip(*pairs, strict=True))
    level = flag_level(values.astype(float), tokens, share)
    assert tokens[values > level].sum() <= share * tokens.sum() + 1e-9
    lower = values[values < level]  # and the next lower level would flag too much
    assert not len(lower) or tokens[values > lower.max()].sum() > share * tokens.sum() - 1e-9


def test_recall_counts_copies_above_the_level_that_flags_so_many_ordinary_tokens():
    ordinary = np.arange(100.0)  # the levels are 98, 97 and 94
    power = power_of(ordinary, [98.5, 97.5, 95.5, 50.0])
    assert (power.recall_at_1pct, power.recall_at_2pct, power.recall_at_5pct) == (0.25, 0.5, 0.75)


def test_ordinary_values_that_are_unknown_do_not_count():
    known = ordinary_of([1.0, np.nan, 3.0])
    assert known.values.tolist() == [1.0, 3.0]
    assert Ordinary.of(floats([np.nan]), np.array([5])) is None


def test_detection_is_measured_by_score_kind_form_and_dose():
    controls = make_controls(
        [4, 4, 4, 4, 1, 0, 4],
        secrets=[0, 0, 0, 0, 1, 2, 3],
        kinds=["random"] * 6 + ["natural"],
        forms=["alone"] * 4 + ["embedded", "alone", "alone"],
    )
    ordinary = np.linspace(0, 1, 50)
    found = np.concatenate([ordinary, [2, 2, 2, 2, 0.5, 0.1, -1]])
    table = measure_detection(
        {"found": found, "blind": np.zeros(57), "unknown": np.full(57, np.nan)},
        np.full(50, 5),
        controls,
    )
    assert set(table) == {"found", "blind"}
    four = table["found"]["random"]["alone"]["4"]
    assert (four.auc, four.auc_twins, four.secrets, four.copies) == (1.0, 1.0, 1, 4)
    assert table["found"]["random"]["embedded"]["1"].auc == pytest.approx(0.5)
    assert table["found"]["random"]["embedded"]["1"].auc_twins is None  # the twins are of another form
    assert table["found"]["natural"]["alone"]["4"].auc == 0.0
    assert table["found"]["random"]["alone"]["0"].auc == pytest.approx(0.1, abs=0.02)
    assert table["blind"]["random"]["alone"]["4"].auc == 0.5
    assert "4" not in table["found"]["random"]["embedded"]
    assert set(table["found"]) == {"random", "natural"}


def test_every_mapped_sample_is_ordinary_whatever_is_in_it():
    """Ten strongly memorized samples are the yardstick too; those that were not trained on are none."""
    values = np.concatenate([np.linspace(0, 1, 30), np.full(10, 9.0), np.full(60, np.nan), [2.0]])
    table = measure_detection({"score": values}, np.full(100, 5), make_controls([4]))
    assert table["score"]["random"]["alone"]["4"].auc == 0.75
    unmapped = np.where(np.arange(101) < 100, np.nan, values)
    assert measure_detection({"score": unmapped}, np.full(100, 5), make_controls([4])) == {}
