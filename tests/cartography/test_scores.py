from itertools import chain

import numpy as np
import pytest

from carto_audit.cartography.scores import (
    LEAST_ORDINARY,
    SCORES,
    Scores,
    add_run,
    burn_in_epochs,
    difficulty,
    score,
    stand_out,
    with_spans_of,
)
from carto_audit.cartography.spans import DOUBT, WINDOW, find_spans
from carto_audit.cartography.thresholds import Epsilon
from carto_audit.traces.trace import add_losses
from tests.support.tiny import make_losses, make_trace

EPSILON = Epsilon(relative=0.1)


def scores_of(inside, outside, tokens=3):
    """Scores of samples whose every token has one loss in fold and one out of it."""
    trace = make_trace([inside, inside], loss_in=[inside], loss_out=[outside])
    pairs = [([i] * tokens, [o] * tokens) for i, o in zip(inside, outside, strict=True)]
    return score(trace, make_losses(pairs), EPSILON, 0.5)


def test_difficulty_is_the_mean_of_the_burn_in_epochs():
    assert difficulty(make_trace([[8, 4], [4, 2], [0, 0], [0, 0], [0, 0]]), 0.4).tolist() == [6.0, 3.0]
    assert burn_in_epochs(8, 0.2) == 2
    assert burn_in_epochs(2, 0.01) == 1


def test_the_memorized_share_compares_late_losses_only():
    """The first of four logged epochs is not late."""
    trace = make_trace([[4.0]] * 4, loss_in=[[9.0], [1.0], [1.0], [1.0]], loss_out=[[9.0], [2.0], [2.0], [2.0]])
    found = score(trace, make_losses([([1.0] * 3, [2.0] * 3)]), EPSILON, 0.2)
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


def shares_of(shares):
    """Spans of samples of one window each, of which training took these shares."""
    return find_spans(make_losses([([4.0 * (1 - s)] * WINDOW, [4.0] * WINDOW) for s in shares]))


ORDINARY = [0.05 * k / 100 for k in range(100)]
"""Shares between nothing and a twentieth, as of text that occurs once."""


def test_a_window_that_stands_out_needs_no_other_sample_to_confirm_it():
    found = stand_out(shares_of([*ORDINARY, 1.0, 0.8]))
    assert found[-2] == pytest.approx(1.0)
    assert 0.7 < found[-1] < 0.8


def test_ordinary_windows_do_not_stand_out():
    """A sample of what every batch has; the level is that which one in a thousand reaches."""
    found = stand_out(shares_of(np.random.default_rng(0).normal(0.05, 0.01, 500).tolist()))
    assert np.isfinite(found).sum() <= 3


def test_a_quarter_of_the_samples_may_be_memorized_without_hiding_one_another():
    found = stand_out(shares_of([*ORDINARY, *[0.9] * 30]))
    assert (found[100:] > 0.8).all()
    assert np.isneginf(found[:100]).all()


def test_what_stands_out_grows_with_its_share_and_begins_where_pooling_ends():
    above = np.linspace(0.2, 1.0, 50)
    spans = shares_of([*ORDINARY, *above])
    found = stand_out(spans)[100:]
    rises = found[np.isfinite(found)]
    assert len(rises) > 5
    assert (np.diff(rises) > 0).all()
    reached = above[~np.isfinite(found)].max(initial=0.0)
    shrunk = spans.usual + (reached - spans.usual) / (1 + DOUBT)
    assert rises[0] - shrunk < 0.1


def test_where_few_samples_are_ordinary_nothing_stands_out_by_itself():
    few = [*ORDINARY[: LEAST_ORDINARY - 2], 1.0]
    assert np.isneginf(stand_out(shares_of(few))).all()
    assert stand_out(shares_of([*few, 0.01]))[LEAST_ORDINARY - 2] == pytest.approx(1.0)


def test_the_best_of_many_windows_must_stand_out_further_than_the_only_one():
    """A long sample has its best share by luck; the same share in a short one is news."""
    rng = np.random.default_rng(0)
    samples = []
    for windows in [1] * 100 + [200] * 100:
        shares = rng.normal(0.05, 0.02, windows)
        pairs = [([4.0 * (1 - s)] * WINDOW, [4.0] * WINDOW) for s in shares]
        samples.append(tuple(list(chain.from_iterable(part)) for part in zip(*pairs, strict=True)))
    reach = [find_spans(make_losses(samples)).single[part].mean() for part in (slice(0, 100), slice(100, 200))]
    assert reach[1] > reach[0] + 0.03
    news = ([4.0 * (1 - 0.14)] * WINDOW, [4.0] * WINDOW)
    still = ([4.0] * 200 * WINDOW, [4.0] * 200 * WINDOW)
    long = (news[0] + still[0], news[1] + still[1])
    found = stand_out(find_spans(make_losses([*samples, news, long])))
    assert np.isfinite(found[-2])
    assert np.isneginf(found[-1])


def test_without_an_ordinary_window_nothing_stands_out():
    unknown = find_spans(make_losses([([1.0] * 20, [np.nan] * 20)] * 2))
    assert not (stand_out(unknown) > 0).any()
    assert len(stand_out(find_spans(make_losses([])))) == 0


def test_a_single_window_that_stands_out_is_the_span_that_is_shown():
    """Twenty samples share a window that is half known; one of them also holds a secret that is wholly memorized."""
    shared, secret = ([2.0] * WINDOW, [4.0] * WINDOW), ([0.0] * WINDOW, [4.0] * WINDOW)
    samples = [*[shared] * 19, (shared[0] + secret[0], shared[1] + secret[1])]
    samples += [([4.0 * (1 - s)] * WINDOW, [4.0] * WINDOW) for s in ORDINARY]
    ids = [*range(WINDOW)] * 20 + list(range(100, 100 + WINDOW + len(ORDINARY) * WINDOW))
    inside, outside = ([float(np.mean(s[k])) for s in samples] for k in (0, 1))
    trace = make_trace([inside] * 2, loss_in=[inside], loss_out=[outside])
    found = score(trace, make_losses(samples, ids), EPSILON, 0.5)
    assert (found.span_first[19], found.span_last[19]) == (WINDOW, 2 * WINDOW - 1)
    assert found.memorized[19] > 0.9 > found.memorized[0] > 0.3
    assert found.span_copies[:19].tolist() == [20] * 19
    assert found.span_copies[19] == 1  # only this sample holds the secret


def test_a_sample_that_never_fell_below_epsilon_was_never_learned():
    trace = make_trace([[5.0, 5.0], [5.0, 2.0]])
    tokens = make_losses([([1.0], [1.0])] * 2)
    assert score(trace, tokens, Epsilon(absolute=3.0), 0.2).never_learned.tolist() == [1.0, 0.0]


def test_samples_that_no_proxy_read_have_no_scores():
    unknown = np.nan
    trace = make_trace([[1.0, unknown], [0.5, unknown]], loss_in=[[0.5, unknown]], loss_out=[[2.0, unknown]])
    scores = score(trace, make_losses([([0.5] * 3, [2.0] * 3)] * 2), Epsilon(relative=0.1), 0.2)
    assert scores.memorized_share.tolist()[0] == pytest.approx(0.75)
    for name in ("difficulty", *SCORES):
        assert np.isnan(getattr(scores, name)[1])
    assert scores.span_first.tolist() == [0, -1]
    assert scores.span_copies[1] == -1


def test_a_single_proxy_has_the_papers_score_and_no_other():
    nothing = [[np.nan, np.nan]]
    trace = make_trace([[5.0, 2.0], [1.0, 2.0], [5.0, 2.0]], loss_out=nothing)
    found = score(trace, make_losses([([1.0] * 14, [np.nan] * 14)] * 2), Epsilon(absolute=3.0), 0.4)
    assert found.forget_score.tolist() == [0.5, 0.0]
    for name in ("memorized", "memorized_span_share", "memorized_share"):
        assert np.isnan(found.memorization(name)).all()
    assert found.span_first.tolist() == found.span_copies.tolist() == [-1, -1]


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
    assert with_spans_of(mean, tokens).memorized_span_share[0] == pytest.approx(1.5 / 2.5, rel=1e-6)
    assert with_spans_of(mean, tokens).difficulty.tolist() == mean.difficulty.tolist()
