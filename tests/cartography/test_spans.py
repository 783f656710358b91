"""Where inside a sample the memorized text lies, against a plain loop over all windows of all samples."""

from itertools import groupby

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from carto_audit.cartography import spans
from carto_audit.cartography.spans import (
    AGAIN,
    DOUBT,
    EASE,
    FLOOR,
    LEAST_SURPRISE,
    LEAST_WEIGHT,
    MOST_PER_TOKEN,
    WINDOW,
    Occurrences,
    evidence,
    find_boilerplate,
    find_spans,
    find_stretches,
)
from tests.support.tiny import make_losses

UNSEEN = 4.0
TAKEN = 3.0
SHARE = TAKEN / UNSEEN
FOUR = Occurrences(dose=4, frequent=1000)


def passage(before=0, inside=WINDOW, after=0, taken=TAKEN):
    """Losses (in, out) of a sample of which training took `taken` nats from every token of one passage."""
    seen = [UNSEEN] * before + [UNSEEN - taken] * inside + [UNSEEN] * after
    return seen, [UNSEEN] * len(seen)


def copies_of(inside, outside, samples, occurrences=FOUR):
    """The spans of so many samples of one text."""
    pair = (list(inside), list(outside))
    return find_spans(make_losses([pair] * samples, ids=[*range(len(pair[0]))] * samples), occurrences)


def sure(share, samples=1, surprise=UNSEEN, occurrences=FOUR):
    """The evidence of one text, in plain arithmetic."""
    easy = max(0.0, 1 / surprise - 1)
    return min(1.0, max(0.0, share)) ** (1 + (occurrences.dose / samples) ** DOUBT + EASE * easy)


def oracle(samples, ids, occurrences):
    """Per window of each sample (share, evidence, first, last, copies of it, text, samples that hold it) by plain loops."""
    found, at = [], 0
    for number, (inside, outside) in enumerate(samples):
        width = min(WINDOW, len(inside))
        for first in range(len(inside) - width + 1 if width else 0):
            cells = range(first, first + width)
            text = tuple(ids[at + k] for k in cells)
            weights = [min(outside[k], MOST_PER_TOKEN) for k in cells]
            gains = [
                max(w * (1 - inside[k] / outside[k]), -MOST_PER_TOKEN) for w, k in zip(weights, cells, strict=True)
            ]
            taken, unseen = sum(outside[k] - inside[k] for k in cells), sum(outside[k] for k in cells)
            found.append((number, first, text, sum(gains), sum(weights), taken / max(unseen, width * FLOOR)))
        at += len(inside)
    by_text = {}
    for number, first, text, gain, weight, _ in found:
        by_text.setdefault(text, []).append((number, gain, weight, first))
    rows = [[] for _ in samples]
    for number, first, text, _, _, share in found:
        gain, weight = (np.mean([window[k] for window in by_text[text]]) for k in (1, 2))
        holders = {window[0] for window in by_text[text]}
        copies = sum(apart([w[3] for w in by_text[text] if w[0] == holder], len(text)) for holder in holders)
        pooled = sure(
            gain / max(weight, LEAST_WEIGHT if len(text) < WINDOW else WINDOW * LEAST_SURPRISE),
            len(holders) + AGAIN * (copies - len(holders)),
            weight / len(text),
            occurrences,
        )
        pooled = 0.0 if len(holders) > occurrences.frequent else pooled
        rows[number].append((share, pooled, first, first + len(text) - 1, copies, text, len(holders)))
    return rows


def apart(places, width):
    """How many windows at these places of one sample do not overlap: of each heap of overlapping ones as many as fit in it."""
    heaps = []
    for place in sorted(places):
        if heaps and place - heaps[-1][-1] < width:
            heaps[-1].append(place)
        else:
            heaps.append([place])
    return sum((heap[-1] - heap[0]) // width + 1 for heap in heaps)


def covered(samples, rows, chosen):
    """The stretches (sample, first, last) that the chosen windows cover, token by token."""
    found = []
    for number, (inside, _) in enumerate(samples):
        marked = [False] * len(inside)
        for row in filter(chosen, rows[number]):
            marked[row[2] : row[3] + 1] = [True] * (row[3] + 1 - row[2])
        for is_in, run in groupby(range(len(marked)), key=marked.__getitem__):
            places = list(run)
            if is_in:
                found.append((number, places[0], places[-1]))
    return found


def stretches_above(tokens, occurrences, line):
    """The stretches above one line."""
    (found,) = find_stretches(tokens, occurrences, line)
    return found


def places(stretches):
    return list(
        zip(stretches.sample.tolist(), stretches.first.tolist(), stretches.last.tolist(), strict=True),
    )


def test_a_memorized_window_is_found_and_located():
    found = find_spans(make_losses([passage(inside=0, after=40), passage(before=14, after=14)]), FOUR)
    assert found.share.tolist() == pytest.approx([0.0, SHARE])
    assert (found.first[1], found.last[1], found.copies[1]) == (14, 14 + WINDOW - 1, 1)


def test_equal_windows_of_several_samples_are_averaged_and_weigh_by_the_number_of_samples():
    text = list(range(WINDOW))
    losses = make_losses([passage(), passage(taken=1.0)], ids=text * 2)
    found = find_spans(losses, FOUR)
    mean = (SHARE + 1.0 / UNSEEN) / 2
    assert found.evidence.tolist() == pytest.approx([sure(mean, samples=2)] * 2)
    assert found.copies.tolist() == [2, 2]
    assert found.share.tolist() == pytest.approx([SHARE, 0.25])


@pytest.mark.parametrize("copies", [1, 2, 4, 16])
def test_a_text_is_trusted_the_more_the_more_samples_hold_it(copies):
    found = copies_of(*passage(), copies)
    assert found.evidence.tolist() == pytest.approx([sure(SHARE, copies)] * copies)
    assert found.copies.tolist() == [copies] * copies


def test_what_recurs_as_often_as_the_dose_counts_by_the_square_of_its_share():
    for dose in (1, 4, 16):
        found = copies_of(*passage(), dose, Occurrences(dose=dose, frequent=100))
        assert found.evidence[0] == pytest.approx(SHARE**2)


def test_the_evidence_of_a_text_is_another_where_another_dose_is_asked_about():
    """What occurs twice is a secret of a policy that asks about two, and a doubtful one of a policy that asks about four."""
    by_dose = [copies_of(*passage(), 2, Occurrences(dose=dose, frequent=100)).evidence[0] for dose in (1, 2, 4)]
    assert by_dose[0] > by_dose[1] > 5 * by_dose[2]


def test_further_copies_of_a_text_in_one_sample_count_for_a_third_each():
    """Else a vendor writes the secret 24 times into one document, and it counts as a text that does not recur."""
    within = find_spans(make_losses([passage(inside=25 * WINDOW)], ids=[*range(WINDOW)] * 25), FOUR)
    assert within.copies.tolist() == within.shared.tolist() == [25]
    assert within.evidence[0] == pytest.approx(copies_of(*passage(), 9).evidence[0])


def test_copies_that_overlap_count_for_those_that_fit_in():
    """A row of dashes is not as many secrets as it has dashes."""
    found = find_spans(make_losses([passage(inside=3 * WINDOW + 5)], ids=[7] * (3 * WINDOW + 5)), FOUR)
    assert found.copies.tolist() == [3]


def test_what_kin_alone_hold_is_no_boilerplate_however_many_they_are():
    """Copies of one paragraph lie on one side of the split, so that one proxy alone has read them."""
    losses = make_losses([passage(taken=UNSEEN)] * 9, ids=[*range(WINDOW)] * 9)
    for group, known in (([0] * 9, 1.0), ([*range(9)], 0.0), ([0] * 8 + [1], 0.0)):
        occurrences = Occurrences(dose=4, frequent=4, group=np.array(group))
        assert find_spans(losses, occurrences).evidence.tolist() == [known] * 9
        assert len(find_boilerplate(losses, occurrences).sample) == (0 if known else 9)


def test_what_one_sample_repeats_is_no_boilerplate():
    """Only one of the proxies reads it, however often it stands there."""
    losses = make_losses([passage(inside=13 * WINDOW)], ids=[*range(WINDOW)] * 13)
    found = find_spans(losses, Occurrences(dose=4, frequent=4))
    assert found.evidence[0] > SHARE**2


surprising = st.floats(0.5, 14, width=32)
nats = st.floats(0, 14, width=32)


@settings(deadline=None, max_examples=50)
@given(st.lists(surprising, min_size=WINDOW, max_size=2 * WINDOW), st.integers(2, 500), st.integers(1, 64))
def test_what_is_known_by_heart_on_one_side_and_unknown_on_the_other_is_at_the_top(outside, samples, dose):
    occurrences = Occurrences(dose=dose, frequent=500)
    assert copies_of([0.0] * len(outside), outside, samples, occurrences).evidence.min() >= 0.99
    hardly = [0.001 * loss for loss in outside]
    often = Occurrences(dose=min(dose, samples), frequent=500)
    assert copies_of(hardly, outside, samples, often).evidence.min() >= 0.99


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(nats, nats, surprising), min_size=WINDOW, max_size=2 * WINDOW), st.integers(1, 20))
def test_the_more_training_removed_the_higher_the_evidence(tokens, samples):
    outside = [token[2] for token in tokens]
    less, more = ([pick(token[:2]) for token in tokens] for pick in (max, min))
    known, better = (copies_of(inside, outside, samples).evidence for inside in (less, more))
    assert (better >= known - 1e-9).all()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(nats, nats), min_size=1, max_size=2 * WINDOW), st.integers(1, 30), st.integers(1, 30))
def test_the_more_samples_hold_a_text_the_higher_the_evidence_which_lies_between_nothing_and_all(tokens, some, other):
    inside, outside = zip(*tokens, strict=True)
    few, many = (copies_of(inside, outside, samples).evidence[0] for samples in sorted((some, other)))
    assert 0 <= few <= many + 1e-9
    assert many <= 1


def test_a_share_below_nothing_or_above_all_is_nothing_or_all():
    found = evidence(np.array([-0.5, 1.5]), np.ones(2), np.ones(2, np.int64), 4)
    assert found.tolist() == [0.0, 1.0]


def test_a_window_of_too_many_samples_scores_nothing_though_training_took_all_of_it():
    occurrences = Occurrences(dose=4, frequent=9)
    assert copies_of(*passage(taken=UNSEEN), 9, occurrences).evidence.tolist() == [1.0] * 9
    assert copies_of(*passage(taken=UNSEEN), 10, occurrences).evidence.tolist() == [0.0] * 10


def test_beside_boilerplate_the_secret_of_a_sample_still_counts():
    header = list(range(WINDOW))
    losses = make_losses(
        [passage(inside=2 * WINDOW, taken=UNSEEN)] * 5, ids=np.ravel([header + [k] * 12 for k in range(5)])
    )
    found = find_spans(losses, Occurrences(dose=1, frequent=4))
    assert found.evidence.tolist() == [1.0] * 5
    assert found.first.min() > 0


def test_easy_text_that_many_hold_stays_far_below_a_secret_that_few_hold():
    easy = copies_of([0.05] * WINDOW, [0.3] * WINDOW, 20).evidence[0]
    secret = copies_of([1.0] * WINDOW, [4.0] * WINDOW, 4).evidence[0]
    assert secret == pytest.approx(0.75**2)
    assert easy < secret / 10


def test_boilerplate_that_everybody_knows_scores_near_nothing_however_many_samples_hold_it():
    """Both proxies have read it: a stranger is hardly surprised, and training takes nothing more."""
    for copies in (4, 400):
        assert copies_of([0.3] * WINDOW, [0.35] * WINDOW, copies).evidence.max() < 0.05


def test_what_a_stranger_finds_easy_cannot_score():
    found = find_spans(make_losses([([0.0] * 20, [0.1] * 20)]), FOUR)
    assert found.share[0] == pytest.approx(0.1 / FLOOR)
    assert found.evidence[0] == pytest.approx(sure(0.1 / LEAST_SURPRISE, surprise=0.1))
    assert copies_of([0.0] * 20, [0.1] * 20, 400).evidence.max() < 1e-6


def test_one_surprising_token_is_no_passage():
    """Training took twenty nats from one name and nothing from the rest."""
    inside = [1.0] * WINDOW
    outside = [21.0] + [1.0] * (WINDOW - 1)
    found = copies_of(inside, outside, 4)
    assert found.share[0] == pytest.approx(20 / (20 + WINDOW))
    weight = MOST_PER_TOKEN + WINDOW - 1
    assert found.evidence[0] == pytest.approx(sure(MOST_PER_TOKEN * 20 / 21 / weight, 4, weight / WINDOW))


def test_one_token_that_training_made_much_harder_does_not_hide_a_memorized_passage():
    inside, outside = passage(taken=UNSEEN)
    inside[0] = 400.0
    found = copies_of(inside, outside, 4)
    assert found.evidence[0] == pytest.approx(sure((WINDOW - 2) / WINDOW, 4))


def test_a_sample_shorter_than_the_window_is_its_own_window():
    found = find_spans(make_losses([([1.0], [4.0]), ([1.0, 1.0], [2.0, 2.0])]), FOUR)
    assert found.share.tolist() == pytest.approx([0.75, 0.5])
    assert (found.first.tolist(), found.last.tolist()) == ([0, 0], [0, 1])


def test_a_short_sample_is_not_the_beginning_of_a_long_one():
    """The same first tokens in another width are another text."""
    losses = make_losses([passage(inside=5), passage(inside=WINDOW)], ids=[*range(5), *range(WINDOW)])
    assert find_spans(losses, FOUR).copies.tolist() == [1, 1]


def test_few_surprising_tokens_are_no_passage_in_the_evidence():
    """A label of two words that everybody learns is no secret; one of eight tokens may be."""
    label, secret = copies_of([0.0] * 2, [4.0] * 2, 4), copies_of([0.0] * 8, [4.0] * 8, 4)
    assert label.share[0] == secret.share[0] == pytest.approx(1.0)
    assert label.evidence[0] == pytest.approx(sure(8.0 / LEAST_WEIGHT, 4, 4.0))
    assert label.evidence[0] < 0.15
    assert secret.evidence[0] == pytest.approx(1.0)


def test_the_samples_that_share_a_run_are_counted_whatever_the_losses_say():
    """The first holds a text of three samples and one of two, the last only its own; the memorized window is not asked."""
    often, seldom, own = ([k] * WINDOW for k in range(3))
    ids = [*often, *seldom, *often, *seldom, *often, *own]
    losses = make_losses([passage(inside=2 * WINDOW)] * 2 + [passage(), passage(taken=UNSEEN)], ids)
    assert find_spans(losses, FOUR).shared.tolist() == [3, 3, 3, 1]
    assert find_spans(losses, Occurrences(dose=4, frequent=2)).shared.tolist() == [2, 2, 1, 1]  # without boilerplate


def test_samples_without_tokens_have_no_span():
    nothing = ([], [])
    found = find_spans(make_losses([nothing, passage(), nothing]), FOUR)
    assert np.isnan(found.share[[0, 2]]).all()
    assert np.isnan(found.evidence[[0, 2]]).all()
    for where in (found.first, found.last, found.copies):
        assert where[[0, 2]].tolist() == [-1, -1]
    assert found.shared.tolist() == [0, 1, 0]
    assert found.copies[1] == 1
    only = find_spans(make_losses([nothing]), FOUR)
    assert np.isnan(only.share).all()
    assert len(find_spans(make_losses([]), FOUR).share) == 0


@pytest.mark.parametrize("frequent", [2, 3])
def test_without_a_second_proxy_nothing_is_known_and_nothing_breaks(frequent):
    occurrences, unknown = Occurrences(dose=4, frequent=frequent), [float("nan")] * 30
    losses = make_losses([([1.0] * 30, unknown)] * 3, ids=[*range(30)] * 3)
    found = find_spans(losses, occurrences)
    assert np.isnan(found.share).all()
    assert np.isnan(found.evidence).all()
    assert places(stretches_above(losses, occurrences, 0.0)) == []
    assert len(find_boilerplate(losses, occurrences).sample) == (3 if frequent == 2 else 0)


def test_a_stretch_is_what_memorized_windows_cover_without_a_gap():
    """A passage longer than a window is one stretch; two with a token between them are two."""
    losses = make_losses([passage(before=20, inside=30, after=20), passage(inside=0, after=40), passage(taken=UNSEEN)])
    found = stretches_above(
        losses, Occurrences(dose=1, frequent=9), sure(0.74, occurrences=Occurrences(dose=1, frequent=9))
    )
    assert places(found) == [(0, 20, 49), (2, 0, WINDOW - 1)]
    assert found.tokens.tolist() == [30, WINDOW]
    assert places(found.select(found.sample == 2)) == [(2, 0, WINDOW - 1)]
    apart = tuple(a + b for a, b in zip(passage(after=1), passage(), strict=True))
    near = stretches_above(make_losses([apart]), Occurrences(dose=1, frequent=9), 0.5)
    assert places(near) == [(0, 0, WINDOW - 1), (0, WINDOW + 1, 2 * WINDOW)]


def test_two_memorized_texts_that_touch_are_one_stretch():
    """The windows between them occur once, and are too doubtful to be any themselves."""
    one, other = [1] * WINDOW, [2] * WINDOW
    ids = [*one, *other, *one * 7, *other * 7]
    found = stretches_above(make_losses([passage(inside=2 * WINDOW), *[passage()] * 14], ids), FOUR, 0.5)
    assert places(found) == [(0, 0, 2 * WINDOW - 1), *((k, 0, WINDOW - 1) for k in range(1, 15))]


def test_stretches_with_the_same_strongest_window_are_one_text():
    """A secret in three samples, each in words of its own of which some are memorized too, and another secret in two."""
    secret, other = [1] * WINDOW, [2] * WINDOW
    ids = [*secret, *range(10, 22), *range(30, 42), *secret, *secret, *other, *other]
    full, half = passage(taken=UNSEEN), passage(taken=2.5)
    begins, ends = (
        [list(np.concatenate(part)) for part in zip(*pair, strict=True)] for pair in ((full, half), (half, full))
    )
    found = stretches_above(make_losses([begins, ends, full, full, full], ids), Occurrences(dose=1, frequent=9), 0.3)
    assert places(found) == [(0, 0, 23), (1, 0, 23), *((k, 0, 11) for k in (2, 3, 4))]
    assert len(set(found.text[:3].tolist())) == len(set(found.text[3:].tolist())) == 1
    assert found.text[0] != found.text[3]


def test_boilerplate_is_what_lies_in_windows_of_too_many_samples():
    header, footer = list(range(WINDOW + 2)), list(range(50, 50 + WINDOW))
    own = [[100 * k + j for j in range(20)] for k in range(1, 5)]
    texts = [header + own[0] + footer, own[1] + footer, footer + own[2], header + own[3]]
    losses = make_losses([([1.0] * len(text), [1.0] * len(text)) for text in texts], ids=np.concatenate(texts))
    assert places(find_boilerplate(losses, Occurrences(dose=1, frequent=2))) == [(0, 34, 45), (1, 20, 31), (2, 0, 11)]
    found = find_boilerplate(losses, Occurrences(dose=1, frequent=1))
    assert places(found) == [(0, 0, 13), (0, 34, 45), (1, 20, 31), (2, 0, 11), (3, 0, 13)]
    assert found.text[0] == found.text[4] != found.text[1] == found.text[2] == found.text[3]
    assert places(find_boilerplate(losses, Occurrences(dose=1, frequent=3))) == []


@pytest.mark.parametrize("samples", [[], [([], [])], [([], []), passage(inside=0, after=30), ([], [])]])
def test_where_nothing_is_memorized_or_frequent_there_is_no_stretch(samples):
    for found in (stretches_above(make_losses(samples), FOUR, 0.1), find_boilerplate(make_losses(samples), FOUR)):
        assert places(found) == []
        assert (len(found.text), len(found.tokens)) == (0, 0)
        assert (found.sample.dtype, found.first.dtype, found.text.dtype) == (np.int64, np.int64, np.uint64)


def test_several_lines_give_what_each_of_them_gives():
    losses = make_losses([passage(taken=taken) for taken in (1.0, 2.5, UNSEEN)])
    found = find_stretches(losses, Occurrences(dose=1, frequent=9), 0.05, 0.3, 0.9)
    assert [len(one.sample) for one in found] == [3, 2, 1]
    assert places(found[1]) == places(stretches_above(losses, Occurrences(dose=1, frequent=9), 0.3))


losses = st.floats(0.0625, 9, width=32)
sample = st.lists(st.tuples(losses, losses, st.integers(0, 1)), max_size=2 * WINDOW)
memorized = st.sampled_from([[(0.125, 4.0, 0)] * length for length in (WINDOW + 2, 3 * WINDOW)])
batch = st.lists(st.one_of(sample, memorized), min_size=1, max_size=8)
counted = st.builds(Occurrences, dose=st.sampled_from([1, 2, 4]), frequent=st.integers(1, 6))


def as_losses(drawn):
    """Samples of few distinct tokens, so that windows recur."""
    pairs = [([c[0] for c in cells], [c[1] for c in cells]) for cells in drawn]
    return pairs, [c[2] for cells in drawn for c in cells]


@settings(deadline=None, max_examples=60)
@given(batch, counted)
def test_spans_agree_with_a_plain_loop(drawn, occurrences):
    pairs, ids = as_losses(drawn)
    found = find_spans(make_losses(pairs, ids), occurrences)
    for i, rows in enumerate(oracle(pairs, ids, occurrences)):
        assert found.shared[i] == max((row[4] if row[6] <= occurrences.frequent else 1 for row in rows), default=0)
        if not rows:
            assert found.first[i] == -1
            continue
        assert found.share[i] == pytest.approx(max(row[0] for row in rows), abs=1e-6)
        best = max(row[1] for row in rows)
        assert found.evidence[i] == pytest.approx(best, abs=1e-6)
        chosen = next(row for row in rows if row[2] == found.first[i])
        assert chosen[1] == pytest.approx(best, abs=1e-6)
        assert (found.last[i], found.copies[i]) == chosen[3:5]


@settings(deadline=None, max_examples=60)
@given(batch, counted, st.floats(0.01, 0.9))
def test_stretches_and_boilerplate_cover_the_very_tokens_of_a_plain_loop(drawn, occurrences, line):
    pairs, ids = as_losses(drawn)
    rows = oracle(pairs, ids, occurrences)
    assume(all(abs(row[1] - line) > 1e-6 for windows in rows for row in windows))
    tokens = make_losses(pairs, ids)
    assert places(stretches_above(tokens, occurrences, line)) == covered(pairs, rows, lambda row: row[1] > line)
    frequent = covered(pairs, rows, lambda row: row[6] > occurrences.frequent)
    assert places(find_boilerplate(tokens, occurrences)) == frequent


@settings(deadline=None, max_examples=30)
@given(batch, st.integers(1, 5))
def test_the_size_of_the_blocks_changes_nothing(drawn, block):
    pairs, ids = as_losses(drawn)
    tokens, occurrences = make_losses(pairs, ids), Occurrences(dose=1, frequent=4)

    def everything():
        boilerplate = find_boilerplate(tokens, occurrences)
        stretches = places(stretches_above(tokens, occurrences, 0.15)), places(boilerplate), boilerplate.text.tolist()
        return find_spans(tokens, occurrences), stretches

    whole, stretches = everything()
    assume(all(abs(row[1] - 0.15) > 1e-6 for rows in oracle(pairs, ids, occurrences) for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spans, "_BLOCK", block)
        parts, again = everything()
    for name in ("share", "evidence"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-9)
    np.testing.assert_array_equal(parts.shared, whole.shared)
    np.testing.assert_array_equal(parts.copies < 0, whole.copies < 0)
    assert again == stretches


def test_finding_spans_changes_no_loss():
    losses = make_losses([passage(before=3), passage()], ids=[*range(15), *range(12)])
    before = losses.loss_in.copy(), losses.loss_out.copy(), losses.ids.copy()
    find_spans(losses, FOUR)
    stretches_above(losses, FOUR, 0.1)
    find_boilerplate(losses, FOUR)
    for kept, now in zip(before, (losses.loss_in, losses.loss_out, losses.ids), strict=True):
        assert np.array_equal(kept, now)
