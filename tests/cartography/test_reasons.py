"""Why a sample is flagged, in terms of the controls."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.cartography.reasons import (
    AROUND,
    FEWEST_OF_KIND,
    MOST_RECOLLECTED,
    MOST_SHOWN,
    NO_RECALL,
    RECALLS,
    control_ruler,
    equivalent_dose,
    give_reasons,
    heats,
    riskiest,
)
from tests.support.tiny import make_controls, make_losses, make_scores

RULER = {1: 0.1, 4: 0.4, 16: 0.8}


def reasons_of(memorization, loss_out=None, copies=None, clusters=None, flagged=None, ruler=RULER):
    n = len(memorization)
    return give_reasons(
        make_scores([1.0] * n, memorization, loss_out or [2.0] * n, copies),
        "memorized",
        np.ones(n, bool) if flagged is None else np.array(flagged),
        np.array([1] * n if clusters is None else clusters),
        ruler,
    )


def kinds(reasons):
    return [RECALLS[code] if code != NO_RECALL else None for code in reasons.recall]


def test_the_ruler_is_the_median_of_the_planted_controls_by_dose():
    controls = make_controls([4, 4, 4, 1, 16, 0, 0])
    planted = np.array([0.2, 0.4, 0.9, 0.1, np.nan, 0.7, 0.7])
    assert control_ruler(planted, controls) == {1: 0.1, 4: 0.4}
    assert list(control_ruler(planted, controls)) == [1, 4]
    assert control_ruler(np.array([0.5]), make_controls([0])) == {}


def test_a_mark_of_the_ruler_has_its_own_dose_and_between_marks_doses_grow_by_factors():
    found = equivalent_dose(np.array([0.1, 0.25, 0.4, 0.6, 0.8]), RULER)
    assert found.tolist() == pytest.approx([1, 2, 4, 8, 16])


def test_nothing_is_read_off_beyond_the_ends_of_the_ruler():
    assert equivalent_dose(np.array([-5.0, 0.0, 0.9, 5.0]), RULER).tolist() == [1, 1, 16, 16]


@pytest.mark.parametrize("ruler", [{}, {4: 0.4}, {1: 0.4, 4: 0.4}, {1: 0.4, 4: 0.1}, {1: 0.1, 4: 0.5, 16: 0.3}])
def test_a_ruler_that_does_not_rise_measures_nothing(ruler):
    assert np.isnan(equivalent_dose(np.array([0.2, 0.5]), ruler)).all()


def test_an_unknown_score_has_no_dose():
    assert np.isnan(equivalent_dose(np.array([np.nan]), RULER)).all()


@given(st.lists(st.floats(-1, 2), min_size=2, max_size=20))
def test_a_higher_score_never_has_a_lower_dose(values):
    doses = equivalent_dose(np.sort(values), RULER)
    assert (np.diff(doses) >= 0).all()
    assert doses.min() >= 1
    assert doses.max() <= 16


def test_what_many_hold_is_recited_what_a_stranger_nearly_knows_reconstructed_the_rest_recollected():
    few, many = MOST_RECOLLECTED, MOST_RECOLLECTED + 1
    reasons = reasons_of(
        [0.5] * 8, loss_out=[2.0, 2.0, 0.1, 2.0, 2.0, 2.0, 2.0, 2.0], copies=[few, many, 1, 1, 1, 1, 1, 1]
    )
    assert kinds(reasons)[:4] == ["recollect", "recite", "reconstruct", "recollect"]
    assert kinds(reasons_of([0.5], copies=[1], clusters=[many])) == ["recite"]


def test_copies_are_those_of_the_span_or_of_the_sample_whichever_is_more_and_at_least_one():
    assert reasons_of([0.5] * 3, copies=[3, 1, -1], clusters=[1, 7, 1]).copies.tolist() == [3, 7, 1]


def test_what_is_not_flagged_has_no_recall_and_no_words():
    reasons = reasons_of([0.5, 0.5], flagged=[True, False])
    assert kinds(reasons) == ["recollect", None]
    assert reasons.words(1) == ""
    assert np.isfinite(reasons.equivalent_dose).all()


def test_without_unseen_losses_nothing_counts_as_known():
    assert kinds(reasons_of([0.5, 0.5], loss_out=[np.nan, np.nan])) == ["recollect", "recollect"]


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (0.05, "memorized at most like a secret that occurs once"),
        (0.25, "memorized like a secret that occurs about 2 times"),
        (0.4, "memorized like a secret that occurs about 4 times"),
        (0.61, "memorized like a secret that occurs about 8 times"),
        (0.9, "memorized at least like a secret that occurs 16 times"),
        (np.nan, ""),
    ],
)
def test_the_dose_is_said_in_words(score, words):
    assert reasons_of([score]).dose_words(0) == words


def test_a_dose_between_once_and_one_and_a_half_times_is_about_once():
    assert reasons_of([0.11]).dose_words(0) == "memorized like a secret that occurs about once"


def test_one_clause_says_the_recall_the_copies_and_the_dose():
    dose = "memorized like a secret that occurs about 4 times"
    reasons = reasons_of([0.4] * 3, copies=[9, 1, 3])
    assert reasons.words(0) == f"recited: this text occurs 9 times; {dose}"
    assert reasons.words(1) == f"recollected: this text occurs once; {dose}"
    assert reasons.words(2) == f"recollected: this text occurs 3 times; {dose}"
    assert reasons_of([0.4], ruler={}).words(0) == "recollected: this text occurs once"
    known = reasons_of([0.4] * 8, loss_out=[0.1] + [2.0] * 7, ruler={})
    assert known.words(0) == "reconstructed: a template that an unseen proxy nearly knows"


def shown(scores, group=None, recall=None):
    n = len(scores)
    recall = np.full(n, 2) if recall is None else recall
    return riskiest(np.asarray(scores, float), np.arange(n) if group is None else np.array(group), recall)


def test_the_riskiest_samples_come_first_and_each_group_of_kin_once():
    scores = [0.1, 0.9, np.nan, 0.9, 0.5, 0.8]
    assert shown(scores) == [1, 3, 5, 4, 0]
    assert shown(scores, group=[0, 1, 2, 1, 4, 1]) == [1, 4, 0]
    assert shown([np.nan] * 3) == []
    assert shown(scores, recall=np.array([2, 2, 2, NO_RECALL, NO_RECALL, 2])) == [
        1,
        5,
        0,
    ]  # what is not flagged is no risk
    assert len(shown(np.arange(500))) == MOST_SHOWN


def test_many_recited_samples_leave_room_for_the_other_kinds_of_recall():
    recall = np.array([0] * 200 + [1] * 30 + [2] * 3 + [NO_RECALL] * 10)
    chosen = shown(np.arange(243)[::-1], recall=recall)
    assert len(chosen) == MOST_SHOWN
    assert chosen == sorted(chosen)  # still by memorization
    kinds = [int((recall[chosen] == code).sum()) for code in (0, 1, 2)]
    assert kinds == [MOST_SHOWN - FEWEST_OF_KIND - 3, FEWEST_OF_KIND, 3]


def spanned(first, last, n):
    """Scores of one sample of `n` tokens with a span, and its losses: training halves them inside the span."""
    inside = [2.0] * n
    inside[first : last + 1] = [1.0] * (last - first + 1)
    scores = make_scores([1.0], [0.5])
    for name, place in (("span_first", first), ("span_last", last)):
        object.__setattr__(scores, name, np.array([place]))
    return scores, make_losses([(inside, [2.0] * n)]), {0: np.stack([np.arange(n), np.arange(n) + 1], axis=1)}


def test_the_heat_is_what_training_took_around_the_span():
    scores, tokens, offsets = spanned(100, 111, 300)
    heat = heats([0], scores, tokens, offsets)[0]
    assert heat.offsets[0].tolist() == [100 - AROUND, 101 - AROUND]
    assert heat.offsets[-1].tolist() == [111 + AROUND, 112 + AROUND]
    assert heat.share.tolist() == [0.0] * AROUND + [0.5] * 12 + [0.0] * AROUND


def test_the_heat_ends_where_the_sample_ends():
    scores, tokens, offsets = spanned(2, 9, 10)
    heat = heats([0], scores, tokens, offsets)[0]
    assert len(heat.share) == len(heat.offsets) == 10


def test_the_heat_stays_between_nothing_and_all_and_easy_tokens_stay_cold():
    scores = spanned(0, 3, 4)[0]
    tokens = make_losses([([0.0, 9.0, 0.0, 1.0], [5.0, 1.0, 0.1, 1.0])])
    heat = heats([0], scores, tokens, {0: np.zeros((4, 2), np.int64)})[0]
    assert heat.share.tolist() == pytest.approx([1.0, 0.0, 0.1, 0.0])


def test_a_sample_without_located_tokens_has_no_heat():
    scores, tokens, _ = spanned(0, 3, 4)
    assert heats([0], scores, tokens, {}) == {}
