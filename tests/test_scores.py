import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.controls import Controls
from carto_audit.scores import (
    FLOOR,
    WINDOW,
    Scores,
    beaten_share,
    burn_in_epochs,
    detection_power,
    difficulty,
    epsilon_levels,
    flag_level,
    forget_scores,
    measure_detection,
    score,
    span_shares,
    wilson,
)
from carto_audit.thresholds import Epsilon
from carto_audit.trace import TokenLosses, Trace

losses = st.floats(0.0625, 9, width=32)


def trace_of(train, out=None):
    train = np.array(train, np.float32)
    late = np.full((1, train.shape[1]), 1.0, np.float32)
    return Trace(
        train=train, loss_in=late, loss_out=late if out is None else np.array(out, np.float32), logged=(len(train),)
    )


def tokens_of(samples):
    """TokenLosses from a list of (loss_in, loss_out) lists."""
    sizes = [len(inside) for inside, _ in samples]
    inside, outside = (np.concatenate([np.asarray(s[k], np.float32) for s in samples]) for k in (0, 1))
    return TokenLosses(
        loss_in=inside, loss_out=outside, offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    )


def test_a_forget_event_is_a_rise_from_below_to_above():
    falls_rises_stays = np.array([[5, 5, 1], [1, 1, 1], [5, 1, 1], [1, 1, 1], [5, 1, 1]], float)
    assert forget_scores(falls_rises_stays, np.full(3, 2.0)).tolist() == [0.5, 0.0, 0.0]


def test_a_loss_on_the_level_is_neither_below_nor_above():
    assert forget_scores(np.array([[2.0], [3.0], [1.0], [2.0]]), np.array([2.0])).tolist() == [0.0]


def test_the_forget_score_reaches_at_most_half_of_its_transitions():
    seesaw = np.array([[1], [5]] * 8, float)
    assert forget_scores(seesaw, np.array([2.0])).tolist() == [8 / 15]


def test_epsilon_is_absolute_relative_or_of_unseen_losses():
    trace = trace_of([[4, 3], [2, 3]], out=[[1.0, 3.0]])
    assert epsilon_levels(trace, Epsilon(absolute=1.5)).tolist() == [1.5, 1.5]
    assert epsilon_levels(trace, Epsilon(relative=0.5)).tolist() == [2.5, 3.5]
    assert epsilon_levels(trace, Epsilon(held_out_percentile=50)).tolist() == [2.0, 2.0]


def test_difficulty_is_the_mean_of_the_burn_in_epochs():
    assert difficulty(trace_of([[8, 4], [4, 2], [0, 0], [0, 0], [0, 0]]), 0.4).tolist() == [6.0, 3.0]
    assert burn_in_epochs(8, 0.2) == 2
    assert burn_in_epochs(2, 0.01) == 1


def test_a_memorized_window_scores_and_is_located():
    unseen, seen = [4.0] * 40, [4.0] * 14 + [0.4] * WINDOW + [4.0] * 14
    share, first, last = span_shares(tokens_of([(unseen, unseen), (seen, unseen)]))
    assert share.tolist() == pytest.approx([0.0, 0.9])
    assert (first[1], last[1]) == (14, 14 + WINDOW - 1)


def test_what_a_stranger_finds_easy_cannot_score():
    easy = [0.1] * 20
    share, _, _ = span_shares(tokens_of([([0.0] * 20, easy)]))
    assert share[0] == pytest.approx(0.1 / FLOOR)


def test_a_sample_shorter_than_the_window_is_its_own_window():
    share, first, last = span_shares(tokens_of([([1.0], [4.0]), ([1.0, 1.0], [2.0, 2.0])]))
    assert share.tolist() == pytest.approx([0.75, 0.5])
    assert (first.tolist(), last.tolist()) == ([0, 0], [0, 1])


@given(st.lists(st.lists(st.tuples(losses, losses), min_size=1, max_size=30), min_size=1, max_size=8))
def test_spans_agree_with_a_plain_loop(samples):
    shares, first, last = span_shares(tokens_of([tuple(zip(*s, strict=True)) for s in samples]))
    for i, sample in enumerate(samples):
        inside, outside = (np.array(x, np.float64) for x in zip(*sample, strict=True))
        width = min(WINDOW, len(sample))
        windows = [slice(k, k + width) for k in range(len(sample) - width + 1)]
        expected = [(outside[w].sum() - inside[w].sum()) / max(outside[w].sum(), width * FLOOR) for w in windows]
        assert shares[i] == pytest.approx(max(expected), abs=1e-6)
        assert expected[first[i]] == pytest.approx(max(expected), abs=1e-6)
        assert last[i] - first[i] + 1 == width


def test_samples_that_no_proxy_read_have_no_scores():
    unknown = np.float32(np.nan)
    trace = Trace(
        train=np.array([[1.0, unknown], [0.5, unknown]], np.float32),
        loss_in=np.array([[0.5, unknown]], np.float32),
        loss_out=np.array([[2.0, unknown]], np.float32),
        logged=(2,),
    )
    scores = score(trace, tokens_of([([0.5] * 3, [2.0] * 3)] * 2), Epsilon(relative=0.1), 0.2)
    assert scores.memorized_share.tolist()[0] == pytest.approx(0.75)
    for name in ("difficulty", "forget_score", "memorized_share", "memorized_span_share"):
        assert np.isnan(getattr(scores, name)[1])
    assert scores.span_first.tolist() == [0, -1]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_the_auc_counts_wins_and_half_the_ties(ordinary, planted):
    wins = np.mean([(p > o) + 0.5 * (p == o) for p in planted for o in ordinary])
    assert beaten_share(np.array(ordinary, float), np.array(planted, float)).mean() == pytest.approx(wins)


def test_power_is_perfect_apart_blind_on_equal_values_and_absent_without_controls():
    ordinary, tokens = np.linspace(0, 1, 200), np.full(200, 10)
    perfect = detection_power(ordinary, tokens, np.full(8, 2.0), np.repeat([0, 1], 4))
    assert (perfect.auc, perfect.recall_at_1pct, perfect.secrets, perfect.copies) == (1.0, 1.0, 2, 8)
    assert perfect.ci == wilson(1.0, 2)
    blind = detection_power(np.zeros(200), tokens, np.zeros(8), np.arange(8))
    assert (blind.auc, blind.recall_at_5pct) == (0.5, 0.0)
    assert detection_power(ordinary, tokens, np.full(3, np.nan), np.arange(3)) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 50)), min_size=1, max_size=40), st.floats(0, 1))
def test_at_most_the_given_share_of_tokens_is_above_the_flag_level(pairs, share):
    values, tokens = (np.array(x) for x in zip(*pairs, strict=True))
    level = flag_level(values.astype(float), tokens, share)
    assert tokens[values > level].sum() <= share * tokens.sum() + 1e-9


def test_detection_is_measured_per_score_form_and_dose():
    def scores(values):
        values = np.asarray(values, float)
        nothing = np.full(len(values), -1)
        return Scores(
            difficulty=values, forget_score=np.zeros(len(values)), memorized_share=values, memorized_span_share=values,
            span_first=nothing, span_last=nothing, loss_in=values, loss_out=values, never_learned=values > 9,
        )  # fmt: skip

    controls = Controls(
        texts=["x"] * 6,
        secret=np.array([0, 0, 0, 0, 1, 2]),
        form=np.array(["alone"] * 4 + ["embedded", "alone"]),
        dose=np.array([4] * 4 + [1, 0]),
    )
    table = measure_detection(scores(np.linspace(0, 1, 50)), np.full(50, 5), scores([2, 2, 2, 2, 0.5, 0.1]), controls)
    assert table["memorized_span_share"]["random"]["alone"]["4"].auc == 1.0
    assert table["memorized_share"]["random"]["embedded"]["1"].auc == pytest.approx(0.5)
    assert table["forget_score"]["random"]["alone"]["4"].auc == 0.5
    assert "4" not in table["memorized_share"]["random"]["embedded"]


def test_few_secrets_never_give_a_narrow_interval():
    low, high = detection_power(np.linspace(0, 1, 200), np.full(200, 10), np.full(16, 2.0), np.zeros(16)).ci
    assert low < 0.5
    assert high == 1.0
    assert wilson(0.5, 100) == pytest.approx((0.404, 0.596), abs=0.001)


def test_without_an_unseen_level_the_forget_score_is_unknown_not_zero():
    trace = trace_of([[4, 3], [2, 3]], out=[[np.nan, np.nan]])
    levels = epsilon_levels(trace, Epsilon(held_out_percentile=50))
    assert np.isnan(forget_scores(trace.train, levels)).all()
