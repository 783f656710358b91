"""Where inside a sample the memorized text lies, against a plain loop over all windows of all samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.cartography import spans
from carto_audit.cartography.spans import DOUBT, FLOOR, MOST_PER_TOKEN, WINDOW, find_spans
from tests.support.tiny import make_losses

UNSEEN = 4.0
TAKEN = 3.0
SHARE = TAKEN / UNSEEN


def passage(before=0, inside=WINDOW, after=0):
    """Losses (in, out) of a sample of which training took TAKEN nats from every token of one passage."""
    seen = [UNSEEN] * before + [UNSEEN - TAKEN] * inside + [UNSEEN] * after
    return seen, [UNSEEN] * len(seen)


def shrunk(share, copies, usual=0.0):
    return usual + (share - usual) * copies / (copies + DOUBT)


def oracle(samples, ids):
    """Per window of each sample (share, pooled, first, last, copies, single) by plain loops, and what is usual."""
    found, at = [], 0
    for number, (inside, outside) in enumerate(samples):
        width = min(WINDOW, len(inside))
        for first in range(len(inside) - width + 1 if width else 0):
            cells = range(first, first + width)
            text = tuple(ids[at + k] for k in cells)
            gain = sum(min(outside[k] - inside[k], MOST_PER_TOKEN) for k in cells)
            taken, unseen = sum(outside[k] - inside[k] for k in cells), sum(outside[k] for k in cells)
            found.append((number, first, text, gain, taken, unseen))
        at += len(inside)
    by_text = {}
    for number, _, text, gain, _, unseen in found:
        by_text.setdefault(text, []).append((number, gain, unseen))

    def pooled_share(windows):
        gain, unseen = (np.mean([w[k] for w in windows]) for k in (1, 2))
        return gain / max(unseen, WINDOW * FLOOR)

    once = [pooled_share(windows) for windows in by_text.values() if len(windows) == 1]
    usual = float(np.mean(once)) if once else 0.0
    rows = [[] for _ in samples]
    for number, first, text, gain, taken, unseen in found:
        copies = len({w[0] for w in by_text[text]})
        evidence = shrunk(pooled_share(by_text[text]), copies, usual)
        share, single = taken / max(unseen, len(text) * FLOOR), gain / max(unseen, WINDOW * FLOOR)
        rows[number].append((share, evidence, first, first + len(text) - 1, copies, single))
    return rows, usual


def test_a_memorized_window_is_found_and_located():
    found = find_spans(make_losses([passage(inside=0, after=40), passage(before=14, after=14)]))
    assert found.share.tolist() == pytest.approx([0.0, SHARE])
    assert (found.first[1], found.last[1], found.copies[1]) == (14, 14 + WINDOW - 1, 1)


def test_equal_windows_of_several_samples_are_averaged_and_weigh_by_the_number_of_samples():
    text = list(range(WINDOW))
    strong, weak = ([UNSEEN - t] * WINDOW for t in (TAKEN, 1.0))
    losses = make_losses([(strong, [UNSEEN] * WINDOW), (weak, [UNSEEN] * WINDOW)], ids=text * 2)
    found = find_spans(losses)
    mean = (SHARE + 1.0 / UNSEEN) / 2
    assert found.pooled.tolist() == pytest.approx([shrunk(mean, 2)] * 2)
    assert found.copies.tolist() == [2, 2]
    assert found.share.tolist() == pytest.approx([SHARE, 0.25])


@pytest.mark.parametrize("copies", [1, 2, 4, 16])
def test_a_text_is_trusted_the_more_the_more_samples_hold_it(copies):
    """Beside it stand so many unmemorized windows that the usual share is about nothing."""
    text = list(range(WINDOW))
    noise = make_losses([passage(inside=0, after=4000)]).loss_in
    ids = text * copies + list(range(100, 100 + len(noise)))
    found = find_spans(make_losses([passage()] * copies + [(noise, noise)], ids=ids))
    assert found.pooled[0] == pytest.approx(shrunk(SHARE, copies), abs=2e-4)
    assert found.copies[0] == copies


def test_a_window_that_occurs_once_is_shrunk_towards_what_is_usual():
    found = find_spans(make_losses([passage()]))
    assert found.pooled[0] == pytest.approx(SHARE)  # it is itself what is usual
    found = find_spans(make_losses([passage(), passage(inside=0, after=WINDOW)]))
    usual = SHARE / 2
    assert found.pooled.tolist() == pytest.approx([shrunk(SHARE, 1, usual), shrunk(0.0, 1, usual)])


def test_a_text_twice_in_one_sample_counts_for_one_sample():
    text = list(range(WINDOW))
    found = find_spans(make_losses([passage(inside=2 * WINDOW)], ids=text * 2))
    assert found.copies.tolist() == [1]


def test_boilerplate_that_everybody_knows_scores_near_nothing_however_many_samples_hold_it():
    """Both proxies have read it: a stranger is hardly surprised, and training takes nothing more."""
    header = list(range(WINDOW))
    known = ([0.3] * WINDOW, [0.35] * WINDOW)
    for copies in (4, 400):
        assert find_spans(make_losses([known] * copies, ids=header * copies)).pooled.max() < 0.05


def test_what_a_stranger_finds_easy_cannot_score():
    found = find_spans(make_losses([([0.0] * 20, [0.1] * 20)]))
    assert found.share[0] == pytest.approx(0.1 / FLOOR)
    assert found.pooled[0] == pytest.approx(0.1 / FLOOR)


def test_one_surprising_token_is_no_passage():
    """Training took twenty nats from one name and nothing from the rest."""
    inside = [1.0] * WINDOW
    outside = [21.0] + [1.0] * (WINDOW - 1)
    found = find_spans(make_losses([(inside, outside)]))
    assert found.share[0] == pytest.approx(20 / (20 + WINDOW))
    assert found.pooled[0] == pytest.approx(MOST_PER_TOKEN / (20 + WINDOW))


def test_a_sample_shorter_than_the_window_is_its_own_window():
    found = find_spans(make_losses([([1.0], [4.0]), ([1.0, 1.0], [2.0, 2.0])]))
    assert found.share.tolist() == pytest.approx([0.75, 0.5])
    assert (found.first.tolist(), found.last.tolist()) == ([0, 0], [0, 1])


def test_a_short_sample_is_not_the_beginning_of_a_long_one():
    """The same first tokens in another width are another text."""
    found = find_spans(make_losses([passage(inside=5), passage(inside=WINDOW)], ids=[*range(5), *range(WINDOW)]))
    assert found.copies.tolist() == [1, 1]


def test_few_surprising_tokens_are_no_passage_in_the_pooled_share():
    """A sample of two tokens is measured against a whole window."""
    found = find_spans(make_losses([([0.0] * 2, [3.0] * 2)]))
    assert found.share[0] == pytest.approx(1.0)
    assert found.pooled[0] == pytest.approx(6.0 / (WINDOW * FLOOR))


def test_samples_without_tokens_have_no_span():
    nothing = ([], [])
    found = find_spans(make_losses([nothing, passage(), nothing]))
    assert np.isnan(found.share[[0, 2]]).all()
    assert np.isnan(found.pooled[[0, 2]]).all()
    for places in (found.first, found.last, found.copies):
        assert places[[0, 2]].tolist() == [-1, -1]
    assert found.copies[1] == 1
    only = find_spans(make_losses([nothing]))
    assert np.isnan(only.share).all()
    assert len(find_spans(make_losses([])).share) == 0


def test_without_a_second_proxy_nothing_is_known_and_nothing_breaks():
    unknown = [float("nan")] * 30
    found = find_spans(make_losses([([1.0] * 30, unknown)] * 3, ids=[*range(30)] * 3))
    assert np.isnan(found.share).all()
    assert np.isnan(found.pooled).all()


losses = st.floats(0.0625, 9, width=32)
sample = st.lists(st.tuples(losses, losses, st.integers(0, 1)), max_size=2 * WINDOW)


def as_losses(drawn):
    """Samples of few distinct tokens, so that windows recur."""
    pairs = [([c[0] for c in cells], [c[1] for c in cells]) for cells in drawn]
    return pairs, [c[2] for cells in drawn for c in cells]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(sample, st.just([(1.0, 4.0, 0)] * (WINDOW + 2))), min_size=1, max_size=8))
def test_spans_agree_with_a_plain_loop(drawn):
    pairs, ids = as_losses(drawn)
    found = find_spans(make_losses(pairs, ids))
    expected, usual = oracle(pairs, ids)
    assert found.usual == pytest.approx(usual, abs=1e-6)
    for i, rows in enumerate(expected):
        if not rows:
            assert found.first[i] == found.single_first[i] == -1
            continue
        assert found.share[i] == pytest.approx(max(row[0] for row in rows), abs=1e-6)
        best = max(row[1] for row in rows)
        assert found.pooled[i] == pytest.approx(best, abs=1e-6)
        chosen = next(row for row in rows if row[2] == found.first[i])
        assert chosen[1] == pytest.approx(best, abs=1e-6)
        assert (found.last[i], found.copies[i]) == chosen[3:5]
        assert found.single[i] == pytest.approx(max(row[5] for row in rows), abs=1e-6)
        alone = next(row for row in rows if row[2] == found.single_first[i])
        assert alone[5] == pytest.approx(found.single[i], abs=1e-6)
        assert (found.single_last[i], found.single_copies[i]) == alone[3:5]


@settings(deadline=None, max_examples=30)
@given(st.lists(sample, min_size=1, max_size=8), st.integers(1, 5))
def test_the_size_of_the_blocks_changes_nothing(drawn, block):
    pairs, ids = as_losses(drawn)
    whole = find_spans(make_losses(pairs, ids))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spans, "_BLOCK", block)
        parts = find_spans(make_losses(pairs, ids))
    for name in ("share", "pooled", "single", "usual"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-9)
    np.testing.assert_array_equal(parts.copies < 0, whole.copies < 0)


def test_finding_spans_changes_no_loss():
    losses = make_losses([passage(before=3), passage()], ids=[*range(15), *range(12)])
    before = losses.loss_in.copy(), losses.loss_out.copy(), losses.ids.copy()
    find_spans(losses)
    for kept, now in zip(before, (losses.loss_in, losses.loss_out, losses.ids), strict=True):
        assert np.array_equal(kept, now)
