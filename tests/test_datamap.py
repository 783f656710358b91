import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import make_scores

from carto_audit.controls import Controls
from carto_audit.datamap import UNMAPPED, cut, draw_map, masses, partition
from carto_audit.thresholds import QUADRANTS, Threshold


def controls_of(doses):
    n = len(doses)
    return Controls(texts=["x"] * n, secret=np.arange(n), form=np.array(["alone"] * n), dose=np.array(doses))


@pytest.mark.parametrize(
    ("d", "m", "name"),
    [
        (1, 0.1, "stable_easy"),
        (3, 0.1, "ambiguous_hard"),
        (1, 0.9, "hotspot_memorized"),
        (3, 0.9, "noisy_outlier"),
        (2, 0.5, "stable_easy"),  # on both thresholds
        (2.001, 0.5, "ambiguous_hard"),
        (2, 0.501, "hotspot_memorized"),
    ],
)
def test_each_sample_lands_in_the_papers_quadrant(d, m, name):
    assert partition(np.array([d]), np.array([m]), 2.0, 0.5).tolist() == [QUADRANTS.index(name)]


def test_an_unscored_sample_is_on_no_quadrant():
    assert partition(np.array([np.nan, 1.0]), np.array([0.1, np.nan]), 2.0, 0.5).tolist() == [UNMAPPED, UNMAPPED]


def test_a_threshold_is_a_percentile_an_absolute_or_a_dose():
    values = np.arange(101.0)
    assert cut(Threshold(percentile=75), values)[0] == 75
    assert cut(Threshold(absolute=0.3), values)[0] == 0.3
    dose, null = np.array([0.4, 0.5, 0.9]), np.linspace(0, 0.2, 100)
    assert cut(Threshold(control_dose=4), values, dose, null) == (0.5, "median of secrets planted 4 times")


def test_a_dose_below_the_null_is_replaced_by_the_nulls_99th_percentile():
    null = np.linspace(0, 1, 101)
    value, words = cut(Threshold(control_dose=1), np.array([]), np.array([0.3]), null)
    assert value == pytest.approx(0.99)
    assert words.startswith("99th percentile of never-planted secrets")


def test_without_controls_of_the_dose_there_is_no_map():
    rules = (Threshold(percentile=75), Threshold(control_dose=4))
    scores, tokens = make_scores([1, 2], [0.1, 0.2]), np.array([5, 5])
    assert draw_map(scores, tokens, "memorized_span_share", rules, make_scores([1], [0.1]), controls_of([0])) is None


def test_the_map_says_what_each_threshold_flags():
    rules = (Threshold(percentile=50), Threshold(control_dose=4))
    scores = make_scores([1, 2, 3, 4], [0.1, 0.2, 0.9, 0.1])
    planted = make_scores([1, 1, 1], [0.5, 0.5, 0.0])
    drawn = draw_map(scores, np.array([10, 10, 10, 70]), "memorized_share", rules, planted, controls_of([4, 4, 0]))
    assert drawn.memorization.value == 0.5
    assert drawn.memorization.flagged_share == pytest.approx(0.1)
    assert "4 times" in drawn.memorization.words
    assert "fixed share" in drawn.difficulty.words
    assert [QUADRANTS[q] for q in drawn.quadrant] == ["stable_easy", "stable_easy", "noisy_outlier", "ambiguous_hard"]


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=40))
def test_quadrant_shares_add_up_to_the_mapped_tokens(codes):
    quadrant = np.array(codes, np.int8)
    tokens = np.arange(1, len(codes) + 1)
    found = masses(quadrant, tokens, np.arange(len(codes)), whole=False, seed=0)
    assert sum(found[q].tokens for q in QUADRANTS) == tokens[quadrant >= 0].sum()
    total = sum(found[q].token_share for q in QUADRANTS)
    assert total == pytest.approx(1.0 if (quadrant >= 0).any() else 0.0)
    assert found["memorized"].tokens == found["hotspot_memorized"].tokens + found["noisy_outlier"].tokens


def test_a_share_of_the_whole_batch_is_exact_and_one_of_a_sample_is_an_interval():
    quadrant = np.array([2] * 10 + [0] * 90, np.int8)
    tokens, group = np.full(100, 7), np.arange(100)
    whole = masses(quadrant, tokens, group, whole=True, seed=0)["hotspot_memorized"]
    assert whole.token_interval == (0.1, 0.1)
    sampled = np.concatenate([quadrant, np.full(100, UNMAPPED, np.int8)])
    estimate = masses(sampled, np.full(200, 7), np.arange(200), whole=False, seed=0)["hotspot_memorized"]
    low, high = estimate.token_interval
    assert estimate.token_share == pytest.approx(0.1)
    assert 0.03 < low < 0.1 < high < 0.2


def test_the_interval_is_wider_when_the_flagged_samples_are_kin():
    quadrant = np.array([2] * 10 + [0] * 90 + [UNMAPPED], np.int8)
    tokens = np.full(101, 7)
    alone = masses(quadrant, tokens, np.arange(101), whole=False, seed=0)["memorized"].token_interval
    kin = np.arange(101)
    kin[:10] = 0
    together = masses(quadrant, tokens, kin, whole=False, seed=0)["memorized"].token_interval
    assert together[1] - together[0] > 1.5 * (alone[1] - alone[0])


def test_nothing_seen_in_a_sample_is_not_nothing_there():
    quadrant = np.array([0] * 20 + [UNMAPPED] * 980, np.int8)
    found = masses(quadrant, np.full(1000, 7), np.arange(1000), whole=False, seed=0)["hotspot_memorized"]
    assert found.token_share == 0
    assert found.token_interval[1] > 0.1


def test_an_over_long_sample_does_not_make_a_whole_map_an_estimate():
    quadrant = np.array([2, 0, 0, 0, UNMAPPED], np.int8)
    found = masses(quadrant, np.array([5, 5, 5, 5, 900]), np.arange(5), whole=True, seed=0)["hotspot_memorized"]
    assert found.token_interval == (0.25, 0.25)
