from dataclasses import replace

import numpy as np
import pytest

from carto_audit.cartography.scores import (
    SCORES,
    Scores,
    add_run,
    burn_in_epochs,
    difficulty,
    score,
    with_spans_of,
)
from carto_audit.cartography.spans import WINDOW, Occurrences
from carto_audit.cartography.thresholds import Epsilon
from carto_audit.traces.trace import add_losses
from tests.support.tiny import make_losses, make_trace

EPSILON = Epsilon(relative=0.1)
FOUR = Occurrences(dose=4, frequent=100)


def scores_of(inside, outside, tokens=3):
    """Scores of samples whose every token has one loss in fold and one out of it."""
    trace = make_trace([inside, inside], loss_in=[inside], loss_out=[outside])
    pairs = [([i] * tokens, [o] * tokens) for i, o in zip(inside, outside, strict=True)]
    return score(trace, make_losses(pairs), EPSILON, 0.5, FOUR)


def logged_trace(train, loss_in, loss_out, logged):
    """A trace evaluated after the epochs `logged`."""
    return replace(make_trace(train, loss_in=loss_in, loss_out=loss_out), logged=logged)


@pytest.mark.parametrize(
    ("epochs", "share", "burn_in"),
    [
        *[(12, 0.2, 2), (12, 0.25, 3), (12, 0.9, 3), (8, 0.2, 2), (8, 1.0, 2), (7, 1.0, 1), (40, 0.1, 4), (4, 0.01, 1)],
        *[(3, 0.2, 0.75), (2, 0.2, 0.5), (2, 0.01, 0.5), (1, 0.25, 0.25)],
    ],
)
def test_the_burn_in_is_never_more_than_a_quarter_and_a_whole_number_where_that_can_be(epochs, share, burn_in):
    assert burn_in_epochs(epochs, share) == burn_in


def test_by_training_difficulty_is_the_mean_of_the_burn_in_epochs():
    trace = make_trace([[8, 4], [4, 2], *[[0, 0]] * 6])
    assert difficulty(trace, 0.25, "training").tolist() == [6.0, 3.0]
    assert difficulty(trace, 0.01, "training").tolist() == [8.0, 4.0]


@pytest.mark.parametrize(
    ("logged", "share", "read"), [((2, 4, 7, 8), 0.25, 2.0), ((1, 4, 7, 8), 0.25, 4.0), ((1, 2, 7, 8), 0.01, 1.0)]
)
def test_by_evaluation_difficulty_is_the_mean_loss_to_both_proxies_at_the_end_of_the_burn_in(logged, share, read):
    """The first logged epoch that is not before the end; here the mean loss is the number of the epoch."""
    unseen, seen = ([[epoch + by, epoch + by] for epoch in logged] for by in (0.5, -0.5))
    trace = logged_trace([[9.0, 9.0]] * 8, seen, unseen, logged)
    assert difficulty(trace, share, "evaluation").tolist() == [read, read]
    found = score(trace, make_losses([([1.0], [1.0])] * 2), EPSILON, share, FOUR)
    assert found.difficulty.tolist() == [read, read]  # what is meant where nothing is said
    by_training = score(trace, make_losses([([1.0], [1.0])] * 2), EPSILON, share, FOUR, "training")
    assert by_training.difficulty.tolist() == [9.0, 9.0]


@pytest.mark.parametrize(
    ("logged", "read"), [((0.5, 1, 2), 0.5), ((1, 2), 1.0)], ids=["inside an epoch", "whole epochs"]
)
def test_of_two_epochs_difficulty_is_read_within_the_first_where_that_was_evaluated(logged, read):
    """Of a trace with whole epochs alone, after the first. What scores average over are the two."""
    losses = [[float(epoch)] for epoch in logged]
    trace = logged_trace([[9.0], [8.0]], losses, losses, logged)
    assert difficulty(trace, 0.2, "evaluation").tolist() == [read]
    assert difficulty(trace, 0.2, "training").tolist() == [9.0]
    assert score(trace, make_losses([([1.0], [1.0])]), EPSILON, 0.2, FOUR).loss_out.tolist() == [1.5]


def test_the_measures_of_difficulty_differ_in_whether_the_time_of_reading_counts():
    """Two samples alike, of which one was read early in the first epoch, when everything was hard."""
    trace = make_trace([[8.0, 5.0], *[[1.0, 1.0]] * 3], loss_in=[[3.0, 3.0]] * 4, loss_out=[[4.0, 4.0]] * 4)
    assert np.diff(difficulty(trace, 0.25, "training")) == -3
    assert np.diff(difficulty(trace, 0.25, "evaluation")) == 0


@pytest.mark.parametrize("measure", ["evaluation", "training"])
def test_what_was_not_trained_on_has_no_difficulty_though_it_was_evaluated(measure):
    """Never-planted secrets are evaluated and never trained on."""
    trace = make_trace([[4.0, np.nan]] * 4, loss_in=[[1.0, 1.0]] * 4, loss_out=[[2.0, 2.0]] * 4)
    found = difficulty(trace, 0.25, measure)
    assert np.isfinite(found).tolist() == [True, False]


def test_to_a_single_proxy_difficulty_is_its_own_loss_at_the_end_of_the_burn_in():
    seen, nothing = [[3.0, 2.0], [1.0, 1.0], [0.0, 0.0]], [[np.nan, np.nan]] * 3
    trace = logged_trace([[9.0, np.nan]] * 8, seen, nothing, (2, 7, 8))
    found = difficulty(trace, 0.25, "evaluation")
    assert found[0] == 3.0
    assert np.isnan(found[1])


def test_the_memorized_share_compares_late_losses_only():
    """The first of four logged epochs is not late."""
    trace = make_trace([[4.0]] * 4, loss_in=[[9.0], [1.0], [1.0], [1.0]], loss_out=[[9.0], [2.0], [2.0], [2.0]])
    found = score(trace, make_losses([([1.0] * 3, [2.0] * 3)]), EPSILON, 0.2, FOUR)
    assert (found.loss_in[0], found.loss_out[0], found.memorized_share[0]) == (1.0, 2.0, 0.5)


def test_every_selectable_score_is_an_attribute_and_the_default_comes_first():
    found = scores_of([0.5, 1.0], [2.0, 1.0])
    assert SCORES[0] == "memorized"
    assert list(found.selectable()) == list(SCORES)
    for name in SCORES:
        assert np.array_equal(found.memorization(name), getattr(found, name))


def test_the_scores_agree_on_who_is_memorized_and_say_where():
    found = scores_of([0.5, 2.0], [2.0, 2.0], tokens=20)
    for name in ("memorized", "memorized_span_share", "memorized_share"):
        values = found.memorization(name)
        assert values[0] > values[1]
    assert (found.span_last - found.span_first + 1).tolist() == [12, 12]
    assert found.span_copies.tolist() == [1, 1]


def test_a_single_window_that_is_known_by_heart_is_the_span_that_is_shown():
    """Twenty samples share a window that is half known; one of them also holds a secret that is wholly memorized."""
    shared, secret = ([2.0] * WINDOW, [4.0] * WINDOW), ([0.0] * WINDOW, [4.0] * WINDOW)
    samples = [*[shared] * 19, (shared[0] + secret[0], shared[1] + secret[1])]
    ids = [*range(WINDOW)] * 20 + list(range(100, 100 + WINDOW))
    inside, outside = ([float(np.mean(s[k])) for s in samples] for k in (0, 1))
    trace = make_trace([inside] * 2, loss_in=[inside], loss_out=[outside])
    found = score(trace, make_losses(samples, ids), EPSILON, 0.5, FOUR)
    assert (found.span_first[19], found.span_last[19]) == (WINDOW, 2 * WINDOW - 1)
    assert found.memorized[19] > 0.9 > found.memorized[0] > 0.3
    assert found.span_copies[:19].tolist() == [20] * 19
    assert found.span_copies[19] == 1  # only this sample holds the secret
    assert found.shared_runs.tolist() == [20] * 20


def test_how_often_a_text_occurs_and_should_occur_sets_its_score():
    trace = make_trace([[4.0] * 4])
    tokens = make_losses([([1.0] * WINDOW, [4.0] * WINDOW)] * 4, ids=[*range(WINDOW)] * 4)
    four, often, once, frequent = (
        score(trace, tokens, EPSILON, 0.5, Occurrences(dose=dose, frequent=most)).memorized[0]
        for dose, most in ((4, 4), (16, 4), (1, 4), (4, 3))
    )
    assert four == pytest.approx(0.75**2)
    assert once > four > often > frequent == 0.0
    again = with_spans_of(score(trace, tokens, EPSILON, 0.5, FOUR), tokens, Occurrences(dose=1, frequent=4))
    assert again.memorized.tolist() == [once] * 4


def test_a_sample_that_never_fell_below_epsilon_was_never_learned():
    trace = make_trace([[5.0, 5.0], [5.0, 2.0]])
    tokens = make_losses([([1.0], [1.0])] * 2)
    assert score(trace, tokens, Epsilon(absolute=3.0), 0.2, FOUR).never_learned.tolist() == [1.0, 0.0]


def test_samples_that_no_proxy_read_have_no_scores():
    unknown = np.nan
    trace = make_trace([[1.0, unknown], [0.5, unknown]], loss_in=[[0.5, unknown]], loss_out=[[2.0, unknown]])
    scores = score(trace, make_losses([([0.5] * 3, [2.0] * 3)] * 2), Epsilon(relative=0.1), 0.2, FOUR)
    assert scores.memorized_share.tolist()[0] == pytest.approx(0.75)
    for name in ("difficulty", *SCORES):
        assert np.isnan(getattr(scores, name)[1])
    assert scores.span_first.tolist() == [0, -1]
    assert scores.span_copies[1] == -1


def test_a_single_proxy_has_the_papers_score_and_no_other():
    nothing = [[np.nan, np.nan]]
    trace = make_trace([[5.0, 2.0], [1.0, 2.0], [5.0, 2.0]], loss_out=nothing)
    found = score(trace, make_losses([([1.0] * 14, [np.nan] * 14)] * 2), Epsilon(absolute=3.0), 0.4, FOUR)
    assert found.forget_score.tolist() == [0.5, 0.0]
    for name in ("memorized", "memorized_span_share", "memorized_share"):
        assert np.isnan(found.memorization(name)).all()
    assert found.span_first.tolist() == found.span_copies.tolist() == [-1, -1]
    assert found.shared_runs.tolist() == [1, 1]  # which takes no training


def test_scores_can_be_selected_by_slice_index_or_mask():
    found = scores_of([0.5, 1.0, 1.5], [2.0, 2.0, 2.0])
    for chosen in (slice(1, 3), np.array([1, 2]), np.array([False, True, True])):
        part = found.select(chosen)
        assert isinstance(part, Scores)
        for name in Scores.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(part, name), getattr(found, name)[1:])


def test_scores_of_several_runs_are_averaged_and_spans_come_from_the_mean_losses():
    ins, outs = ([0.5, 1.0], [1.5, 1.0], [1.0, 1.0]), ([2.0, 2.0], [3.0, 2.0], [2.5, 2.0])
    mean, tokens = None, None
    for number, (inside, outside) in enumerate(zip(ins, outs, strict=True), start=1):
        mean = add_run(mean, scores_of(inside, outside), number)
        fresh = make_losses([([i] * 3, [o] * 3) for i, o in zip(inside, outside, strict=True)])
        tokens = add_losses(tokens, fresh, number)
    assert mean.loss_in.tolist() == pytest.approx([1.0, 1.0])
    assert mean.loss_out.tolist() == pytest.approx([2.5, 2.0])
    assert mean.memorized_share[0] == pytest.approx(np.mean([0.75, 0.5, 0.6]))
    assert mean.memorized_span_share[0] == pytest.approx(0.6)  # still the last run's
    assert with_spans_of(mean, tokens, FOUR).memorized_span_share[0] == pytest.approx(1.5 / 2.5, rel=1e-6)
    assert with_spans_of(mean, tokens, FOUR).difficulty.tolist() == mean.difficulty.tolist()
