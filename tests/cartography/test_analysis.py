"""What one or several runs of losses show, on losses written by hand."""

from dataclasses import replace

import numpy as np
import pytest

from carto_audit.cartography.analysis import (
    SEED_SPREAD,
    AnalysisSettings,
    TracedSamples,
    analyze_losses,
    average_run,
    is_recurring,
    line_controls,
)
from carto_audit.cartography.proof import Found
from carto_audit.cartography.quadrants import UNMAPPED
from carto_audit.cartography.scores import SCORES
from carto_audit.cartography.spans import DOUBT, WINDOW
from carto_audit.cartography.thresholds import Epsilon, Threshold
from tests.support.tiny import make_controls, make_duplicates, make_losses, make_scores, make_trace

N, REFERENCES = 80, 2
DOSES = [4] * 4 + [4] * 4 + [1, 0, 0]
CONTROLS = make_controls(DOSES, secrets=[0] * 4 + [1] * 4 + [2, 3, 4], edited=[1, 3, 5, 7])
UNSEEN = 4.0

SETTINGS = AnalysisSettings(
    score="memorized",
    epsilon=Epsilon(absolute=3.0),
    burn_in_share=0.5,
    measure="evaluation",
    dose=4,
    thresholds=(Threshold(percentile=50), Threshold(control_dose=4)),
)


def samples(**changes):
    everyone = TracedSamples(
        n_tokens=np.full(N, WINDOW),
        group=np.arange(N),
        usable=np.ones(N, bool),
        severed_tokens=np.zeros(N, int),
        duplicates=make_duplicates(range(N)),
        references=REFERENCES,
        controls=CONTROLS,
        frequent=20,
        weight=np.ones(N),
        undrawn_tokens=0,
        frequent_runs=1,
    )
    return replace(everyone, **changes)


def run_of(taken, planted=2.5, once=0.5, references=0.0, untrained=(), equal=()):
    """A run in which training took so many nats per token: from each of the batch, from the reference, from controls
    planted four times, and half a nat from one planted once. Every text is one window of its own, save copies of
    controls and rows of the batch that are `equal`. What is `untrained` owns no token."""
    planted = planted if np.ndim(planted) else [planted] * 8
    gains = [*taken, *[references] * REFERENCES, *planted, once, 0.0, 0.0]
    known = np.ones(len(gains), bool)
    known[list(untrained)] = False
    inside = np.where(known, UNSEEN - np.array(gains), np.nan)
    outside = np.where(known, UNSEEN, np.nan)
    pairs = [([a] * w, [b] * w) for a, b, w in zip(inside, outside, WINDOW * known, strict=True)]
    own = 1000 + np.arange(len(gains))[:, None] * WINDOW + np.arange(WINDOW)
    begin = N + REFERENCES
    for rows in (slice(begin, begin + 4), slice(begin + 4, begin + 8), list(equal)):
        own[rows] = own[rows][:1]
    losses = make_losses(pairs, ids=own[known].ravel())
    learned = known & np.array([*[True] * (N + REFERENCES), *(dose > 0 for dose in DOSES)])
    train = np.where(learned, [[UNSEEN + 1], [UNSEEN]] @ np.ones((1, len(gains))), np.nan)
    return make_trace(train, loss_in=[inside], loss_out=[outside]), losses


def ordinary(strong=(), by=UNSEEN):
    """Nats taken from each sample of the batch: little, save from the `strong` ones."""
    taken = np.linspace(0.0, 0.2, N)
    taken[list(strong)] = by
    return taken.tolist()


def analyzed(runs, samples, settings=SETTINGS, seed=0):
    """What so many runs show together."""
    averaged = None
    for trace, losses in runs:
        averaged = average_run(averaged, trace, losses, samples, settings)
    return analyze_losses(averaged, samples, settings, seed)


def test_what_is_memorized_like_the_controls_is_flagged_and_says_why():
    analysis = analyzed([run_of(ordinary([3, 7]))], samples(), SETTINGS, seed=0)
    assert np.flatnonzero(analysis.quadrant >= 2).tolist() == [3, 7]
    assert analysis.datamap.memorization.drawn.way == "control_dose"
    assert set(analysis.reasons.ruler) == {1, 4}
    assert analysis.reasons.words(3).startswith("recollected")
    assert analysis.reasons.words(0) == ""
    assert analysis.agreement is None


def test_scores_and_statistics_are_the_batchs_alone():
    analysis = analyzed([run_of(ordinary([3]))], samples(), SETTINGS, seed=0)
    assert len(analysis.scores.memorized) == len(analysis.quadrant) == N
    assert len(analysis.control_scores.memorized) == len(CONTROLS)
    assert {len(values) for values in analysis.statistics.values()} == {N}
    assert set(SCORES) <= set(analysis.statistics)
    assert {"lt_iqr", "learn_time", "near_duplicate_count", "mosaic_count"} <= set(analysis.statistics)
    assert (
        sum(
            analysis.masses[part].rows
            for part in ("stable_easy", "ambiguous_hard", "hotspot_memorized", "noisy_outlier")
        )
        == N
    )


def test_power_is_measured_for_every_score_and_baseline():
    analysis = analyzed([run_of(ordinary([3]))], samples(), SETTINGS, seed=0)
    assert set(analysis.statistics) == set(analysis.power)
    for name in ("memorized", "memorized_share", "mosaic_count"):
        power = analysis.power[name]["random"]["alone"]["4"]
        assert power.auc > 0.9, name
        assert (power.secrets, power.copies) == (2, 8)
    assert analysis.power["forget_absolute"]["random"]["alone"]["4"].auc == 0.5


def test_all_that_was_mapped_is_the_yardstick_for_losses_and_counts_alike():
    """Half of the batch are memorized copies, and a quarter has kin on the other side: both lower the power of every score."""
    found = samples(
        duplicates=make_duplicates([0] * 40 + list(range(40, N))),
        group=np.array([0] * 40 + list(range(40, N))),
        severed_tokens=np.where(np.arange(N) < 20, 12, 0),
    )
    power = analyzed([run_of(ordinary(range(40)))], found).power
    for name in ("memorized", "memorized_share", "near_duplicate_count"):
        assert power[name]["random"]["alone"]["4"].auc == pytest.approx(0.5), name
    fewer = analyzed([run_of(ordinary(range(40)), untrained=range(40))], found).power
    for name in ("memorized", "memorized_share", "near_duplicate_count"):
        assert fewer[name]["random"]["alone"]["4"].auc == 1.0, name


def test_the_samples_that_share_a_run_are_counted_and_boilerplate_is_not():
    rows = range(10, 15)
    shared = analyzed([run_of(ordinary(), equal=rows, untrained=[3])], samples()).statistics["shared_run_count"]
    assert np.isnan(shared[3])
    assert shared[10:15].tolist() == [5] * 5
    assert set(np.delete(shared, [3, *rows]).tolist()) == {1}
    frequent = analyzed([run_of(ordinary(), equal=rows)], samples(frequent=4))
    assert set(frequent.statistics["shared_run_count"].tolist()) == {1}
    assert frequent.power["shared_run_count"]["random"]["alone"]["4"].auc == 1.0


def test_exact_and_edited_copies_are_compared():
    analysis = analyzed(
        [run_of(ordinary(), planted=[2.5, 0.0] * 4)], samples(), replace(SETTINGS, score="memorized_share"), seed=0
    )
    assert set(analysis.by_copy) == {"exact", "edited"}
    assert (analysis.by_copy["exact"].auc, analysis.by_copy["exact"].copies) == (1.0, 4)
    assert analysis.by_copy["edited"].auc < 0.5


def test_the_reference_sets_lines_and_counts_nowhere():
    """Its two samples are memorized like nothing else, and no mass, score or power moves."""
    settings = replace(
        SETTINGS, score="memorized_share", thresholds=(Threshold(percentile=50), Threshold(reference_percentile=50))
    )
    by_reference = analyzed([run_of(ordinary([3]), references=1.0)], samples(), settings, seed=0)
    assert by_reference.datamap.memorization.value == pytest.approx(0.25)
    assert np.flatnonzero(by_reference.quadrant >= 2).tolist() == [3]
    quiet = analyzed(
        [run_of(ordinary([3]), references=0.0)], samples(), replace(SETTINGS, score="memorized_share"), seed=0
    )
    noisy = analyzed(
        [run_of(ordinary([3]), references=3.9)], samples(), replace(SETTINGS, score="memorized_share"), seed=0
    )
    assert quiet.masses == noisy.masses
    assert quiet.power["memorized_share"] == noisy.power["memorized_share"]
    assert quiet.datamap.memorization == noisy.datamap.memorization


def test_samples_that_were_not_trained_on_have_no_place_and_no_statistic():
    analysis = analyzed([run_of(ordinary([3]), untrained=[5])], samples(), SETTINGS, seed=0)
    assert np.flatnonzero(analysis.quadrant == UNMAPPED).tolist() == [5]
    assert np.flatnonzero(analysis.quadrant >= 2).tolist() == [3]
    for name, values in analysis.statistics.items():
        assert np.isnan(values[5]), name
        assert np.isfinite(values[4]), name


def test_several_runs_are_averaged_and_their_agreement_is_reported():
    """One run flags samples 3 and 7, the other 3 and 9; together only the mean counts. The runs may come one by one."""
    first, second = ordinary([3, 7]), ordinary([3, 9])
    analysis = analyzed((run_of(taken) for taken in (first, second)), samples(), SETTINGS, seed=0)
    assert analysis.agreement == pytest.approx(1 / 3)
    mean = (np.array(first) + second) / 2
    assert analysis.scores.memorized_share.tolist() == pytest.approx((mean / UNSEEN).tolist(), abs=1e-6)
    assert analysis.scores.memorized_span_share.tolist() == pytest.approx((mean / UNSEEN).tolist(), abs=1e-6)
    assert analysis.trace.loss_in[0, 7] == pytest.approx(UNSEEN - mean[7], abs=1e-6)
    alone = analyzed([run_of(mean.tolist())], samples(), SETTINGS, seed=0)
    assert analysis.quadrant.tolist() == alone.quadrant.tolist()


def test_runs_that_flag_the_same_agree_wholly_also_when_they_flag_nothing():
    assert analyzed([run_of(ordinary([3])) for _ in range(3)], samples(), SETTINGS, seed=0).agreement == 1.0
    assert analyzed([run_of(ordinary()) for _ in range(2)], samples(), SETTINGS, seed=0).agreement == 1.0


def test_without_controls_of_the_dose_there_is_no_map_and_no_mass():
    settings = replace(SETTINGS, dose=16, thresholds=(Threshold(percentile=50), Threshold(control_dose=16)))
    analysis = analyzed([run_of(ordinary([3]))], samples(), settings, seed=0)
    assert analysis.datamap is None
    assert analysis.masses == {}
    assert (analysis.quadrant == UNMAPPED).all()
    assert set(analysis.reasons.recall.tolist()) == {-1}
    assert analysis.power["memorized"]["random"]["alone"]["4"].auc > 0.9
    assert (analysis.found, analysis.false_alarms, analysis.stretches) == ({}, None, None)


def test_the_policy_says_which_losses_are_difficulty():
    """Training met 5 nats in its first epoch; evaluated after it, everything is at 4 to one proxy and at 3 to the other."""
    for measure, expected in (("training", UNSEEN + 1), ("evaluation", UNSEEN - 0.5)):
        analysis = analyzed([run_of(np.ones(N))], samples(), replace(SETTINGS, measure=measure))
        assert set(analysis.scores.difficulty.tolist()) == {expected}


def test_the_dose_that_is_asked_about_sets_what_a_text_is_worth():
    """A share of five eighths in four samples: with dose 4 its square, with dose 1 more."""
    scores = {
        dose: analyzed([run_of(ordinary())], samples(), replace(SETTINGS, dose=dose)).control_scores.memorized[0]
        for dose in (1, 4)
    }
    assert scores[4] == pytest.approx(0.625**2)
    assert scores[1] == pytest.approx(0.625 ** (1 + 4**-DOUBT))


def line_of(scores_of, samples, settings=SETTINGS):
    batch, _, planted = samples.parts(average_run(None, *scores_of, samples, settings).scores)
    return line_controls(batch, planted, samples, settings)


def test_the_line_is_set_by_secrets_of_the_dose_by_twins_and_by_what_does_not_recur():
    equal = samples(duplicates=make_duplicates([0, 0, 0, 0, *range(4, N)]))
    controls = line_of(run_of(ordinary(), equal=range(10, 14), untrained=[20]), equal)
    assert controls.dose == 4
    assert controls.level.tolist() == pytest.approx([0.625**2] * 2)
    assert controls.half.tolist() == [0, 1]
    assert len(controls.ordinary) == len(controls.n_tokens) == N - 4 - 4 - 1
    assert len(controls.twins) == 2
    assert line_of(run_of(ordinary(), once=UNSEEN), samples(), replace(SETTINGS, dose=1)).level.tolist() == [1.0]


@pytest.mark.parametrize("doses", [[0, 0], [4, 4], [1, 0]])
def test_without_secrets_of_the_dose_or_without_twins_nothing_sets_a_line(doses):
    values, everyone = np.zeros(N + REFERENCES + 2), samples(controls=make_controls(doses))
    batch, _, planted = everyone.parts(make_scores(values, values))
    assert line_controls(batch, planted, everyone, SETTINGS) is None


def test_secrets_that_were_not_measured_set_no_line():
    values = np.array([*[0.0] * (N + REFERENCES), np.nan, 0.5, 0.0])
    for doses, level in (([4, 1, 0], None), ([4, 4, 0], [0.5])):
        everyone = samples(controls=make_controls(doses))
        batch, _, planted = everyone.parts(make_scores(values, values))
        controls = line_controls(batch, planted, everyone, SETTINGS)
        assert (controls.level.tolist() if controls else None) == level


@pytest.mark.parametrize(("dose", "least"), [(1, 2), (2, 2), (4, 4)])
def test_a_text_recurs_where_so_many_samples_hold_it_or_are_copies(dose, least):
    copies, clusters = np.arange(N) % 6 + 1, np.arange(N) // 6 % 6 + 1
    everyone = samples(duplicates=replace(make_duplicates(range(N)), cluster_size=clusters))
    batch = make_scores(np.zeros(N), np.zeros(N), copies=copies)
    expected = np.maximum(copies, clusters) >= least
    assert is_recurring(batch, everyone.duplicates, dose).tolist() == expected.tolist()


def test_of_each_dose_it_is_told_how_many_secrets_lie_above_the_line():
    analysis = analyzed([run_of(ordinary(), once=UNSEEN)], samples())
    assert analysis.found == {1: Found(dose=1, found=1, secrets=1), 4: Found(dose=4, found=2, secrets=2)}
    assert analyzed([run_of(ordinary(), once=0.5)], samples()).found[1].found == 0


def test_half_of_the_copies_must_lie_above_the_line():
    """Copies of one secret weigh together as windows; a score of whole samples tells them apart."""
    settings = replace(
        SETTINGS, score="memorized_share", thresholds=(Threshold(percentile=50), Threshold(absolute=0.5))
    )
    for above, found in ((1, 1), (2, 2)):
        planted = [*[3.0] * 4, *[3.0] * above, *[0.0] * (4 - above)]
        assert analyzed([run_of(ordinary(), planted=planted)], samples(), settings).found[4].found == found


def test_secrets_that_set_the_line_are_found_by_the_line_of_the_others_alone():
    """One secret is known by heart, the other scores 0.3: above a line that both set, below one that the first sets."""
    run = run_of(ordinary(), planted=[*[UNSEEN] * 4, *[2.2] * 4])
    analysis = analyzed([run], samples())
    assert analysis.control_scores.memorized[[0, 4]].tolist() == pytest.approx([1.0, 0.55**2])
    assert analysis.datamap.memorization.value < 0.55**2
    assert analysis.found[4] == Found(dose=4, found=1, secrets=2)


@pytest.mark.parametrize("rule", [Threshold(absolute=0.2), Threshold(control_dose=4, percentile=99)])
def test_secrets_that_did_not_set_the_line_are_found_by_it(rule):
    run = run_of(ordinary(), planted=[*[UNSEEN] * 4, *[2.2] * 4])
    analysis = analyzed([run], samples(), replace(SETTINGS, thresholds=(Threshold(percentile=50), rule)))
    assert analysis.datamap.memorization.drawn.way != "control_dose"
    assert analysis.found[4] == Found(dose=4, found=2, secrets=2)


def test_false_alarms_are_the_share_of_ordinary_tokens_above_the_line():
    tokens = np.where(np.arange(N) == 3, 120, 12)
    found = analyzed([run_of(ordinary([3, 7], by=UNSEEN), untrained=[9])], samples(n_tokens=tokens))
    assert found.false_alarms == pytest.approx(132 / (132 + 12 * 77))
    assert analyzed([run_of(ordinary())], samples()).false_alarms == 0


def test_text_that_recurs_as_often_as_the_dose_is_no_false_alarm():
    """Four rows hold one memorized text, and four others are copies; three are too few, and a row alone is one."""
    rows = range(10, 14)
    analysis = analyzed([run_of(ordinary([3, *rows]), equal=rows)], samples())
    assert np.flatnonzero(analysis.quadrant >= 2).tolist() == [3, *rows]
    assert analysis.false_alarms == pytest.approx(1 / (N - 4))
    copies = samples(duplicates=make_duplicates([*range(10), *[10] * 4, *range(14, N)]))
    assert analyzed([run_of(ordinary([3, *rows]))], copies).false_alarms == pytest.approx(1 / (N - 4))
    three = analyzed([run_of(ordinary(rows[:3]), equal=rows[:3])], samples())
    assert three.false_alarms == pytest.approx(3 / N)
    everything = samples(duplicates=make_duplicates([0] * N))
    assert analyzed([run_of(ordinary())], everything).false_alarms is None


def test_the_memorized_stretches_are_those_of_the_batch():
    """The controls and the reference are memorized too."""
    analysis = analyzed([run_of(ordinary([3, 7]), references=UNSEEN)], samples())
    found = analysis.stretches[0]
    assert found.sample.tolist() == np.flatnonzero(analysis.quadrant >= 2).tolist() == [3, 7]
    assert (found.first.tolist(), found.tokens.tolist()) == ([0, 0], [WINDOW] * 2)
    assert found.text[0] != found.text[1]
    assert len(analyzed([run_of(ordinary())], samples()).stretches[0].sample) == 0


def test_of_several_runs_the_stretches_are_those_of_the_mean_losses():
    """Sample 7 is known by heart in one of two runs, sample 3 in both."""
    analysis = analyzed([run_of(ordinary([3, 7])), run_of(ordinary([3]))], samples())
    assert analysis.stretches[0].sample.tolist() == [3]
    assert analysis.control_scores.memorized[0] == pytest.approx(0.625**2)  # the dose counts here too


def test_masses_are_less_sure_the_more_the_runs_differ_and_surer_the_more_there_are():
    alike, unlike = (
        analyzed([run_of(ordinary([3, 7])), run_of(ordinary(other))], samples()) for other in ([3, 7], [3])
    )
    once = analyzed([run_of(ordinary([3, 7]))], samples())
    assert once.spread == pytest.approx(1.96 * SEED_SPREAD, rel=0.001)
    assert alike.spread == pytest.approx(once.spread / 2**0.5)
    assert unlike.spread > 2 * alike.spread
    low, high = once.masses["memorized"].token_interval
    assert low < once.masses["memorized"].token_share < high


def test_runs_that_rank_samples_alike_agree_on_what_is_difficult():
    assert analyzed([run_of(ordinary())], samples()).difficulty_agreement is None
    easy, hard = run_of(ordinary()), run_of(ordinary())
    ranks = np.linspace(1.0, 5.0, len(easy[0].loss_out[0]), dtype=np.float32)
    one, other, against = (
        replace(easy[0], loss_out=np.tile(r, (len(easy[0].loss_out), 1))) for r in (ranks, 2 * ranks, ranks[::-1])
    )
    assert analyzed([(one, easy[1]), (other, hard[1])], samples()).difficulty_agreement == pytest.approx(1.0)
    assert analyzed([(one, easy[1]), (against, hard[1])], samples()).difficulty_agreement == pytest.approx(-1.0)
    alike = run_of(np.ones(N))
    assert analyzed([alike, alike], samples()).difficulty_agreement is None  # there is no rank


def test_the_surer_an_interval_must_be_the_wider_it_is():
    sure = analyzed([run_of(ordinary([3, 7]))], samples(), replace(SETTINGS, confidence=0.99))
    usual = analyzed([run_of(ordinary([3, 7]))], samples())
    assert sure.spread > usual.spread
    assert sure.found[4].at_least < usual.found[4].at_least


def test_a_score_of_whole_samples_tells_of_no_stretch():
    settings = replace(SETTINGS, score="memorized_share")
    assert analyzed([run_of(ordinary([3]))], samples(), settings).stretches is None


def test_what_is_too_frequent_is_boilerplate_of_the_batch_and_not_memorized():
    """Five rows hold one text that training took; the controls are copies of four."""
    rows = range(10, 15)
    run = run_of(ordinary([3, *rows]), equal=rows)
    often = analyzed([run], samples(frequent=4))
    assert often.boilerplate.sample.tolist() == list(rows)
    assert often.boilerplate.tokens.tolist() == [WINDOW] * 5
    assert often.stretches[0].sample.tolist() == [3]
    usual = analyzed([run], samples(frequent=5))
    assert len(usual.boilerplate.sample) == 0
    assert usual.stretches[0].sample.tolist() == [3, *rows]
    everywhere = analyzed([run], samples(frequent=3))
    assert everywhere.boilerplate.sample.tolist() == list(rows)  # and not the controls
