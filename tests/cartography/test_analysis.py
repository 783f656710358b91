"""What one or several runs of losses show, on losses written by hand."""

from dataclasses import replace

import numpy as np
import pytest

from carto_audit.cartography.analysis import AnalysisSettings, TracedSamples, analyze_losses, average_run
from carto_audit.cartography.quadrants import UNMAPPED
from carto_audit.cartography.scores import SCORES
from carto_audit.cartography.spans import WINDOW
from carto_audit.cartography.thresholds import Epsilon, Threshold
from tests.support.tiny import make_controls, make_duplicates, make_losses, make_trace

N, REFERENCES = 80, 2
DOSES = [4] * 4 + [4] * 4 + [1, 0, 0]
CONTROLS = make_controls(DOSES, secrets=[0] * 4 + [1] * 4 + [2, 3, 4], edited=[1, 3, 5, 7])
UNSEEN = 4.0

SETTINGS = AnalysisSettings(
    score="memorized",
    epsilon=Epsilon(absolute=3.0),
    burn_in_share=0.5,
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
    )
    return replace(everyone, **changes)


def run_of(taken, planted=2.5, once=0.5, references=0.0, untrained=()):
    """A run in which training took so many nats per token: from each of the batch, from the reference, from controls
    planted four times, and half a nat from one planted once. Every text is one window of its own, save copies."""
    planted = planted if np.ndim(planted) else [planted] * 8
    gains = [*taken, *[references] * REFERENCES, *planted, once, 0.0, 0.0]
    known = np.ones(len(gains), bool)
    known[list(untrained)] = False
    inside = np.where(known, UNSEEN - np.array(gains), np.nan)
    outside = np.where(known, UNSEEN, np.nan)
    pairs = [([a] * WINDOW, [b] * WINDOW) for a, b in zip(inside, outside, strict=True)]
    own = 1000 + np.arange(len(gains))[:, None] * WINDOW + np.arange(WINDOW)
    begin = N + REFERENCES
    for rows in (slice(begin, begin + 4), slice(begin + 4, begin + 8)):
        own[rows] = own[rows][0]  # copies of one secret
    losses = make_losses(pairs, ids=own.ravel())
    learned = known & np.array([*[True] * (N + REFERENCES), *(dose > 0 for dose in DOSES)])
    train = np.where(learned, [[UNSEEN + 1], [UNSEEN]] @ np.ones((1, len(gains))), np.nan)
    return make_trace(train, loss_in=[inside], loss_out=[outside]), losses


def ordinary(strong=(), by=3.9):
    """Nats taken from each sample of the batch: little, save from the `strong` ones."""
    taken = np.linspace(0.0, 0.2, N)
    taken[list(strong)] = by
    return taken.tolist()


def analyzed(runs, samples, settings, seed):
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


def test_copies_in_the_batch_are_no_yardstick_for_losses_but_one_for_counts():
    """Memorized copies would make controls look weak; a count of copies must be judged against them."""
    clusters = [0] * 40 + list(range(40, N))
    found = samples(duplicates=make_duplicates(clusters), group=np.array(clusters))
    analysis = analyzed([run_of(ordinary(range(40)))], found, SETTINGS, seed=0)
    assert analysis.power["memorized"]["random"]["alone"]["4"].auc == 1.0
    assert analysis.power["near_duplicate_count"]["random"]["alone"]["4"].auc == pytest.approx(0.5)


def test_samples_with_kin_on_the_other_side_are_no_yardstick_either():
    severed = np.where(np.arange(N) < 20, 12, 0)
    analysis = analyzed([run_of(ordinary(range(20)))], samples(severed_tokens=severed), SETTINGS, seed=0)
    assert analysis.power["memorized"]["random"]["alone"]["4"].auc == 1.0
    blunt = analyzed([run_of(ordinary(range(20)))], samples(), SETTINGS, seed=0)
    assert blunt.power["memorized"]["random"]["alone"]["4"].auc < 0.8


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
    assert analysis.quadrant[5] == UNMAPPED
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
    settings = replace(SETTINGS, thresholds=(Threshold(percentile=50), Threshold(control_dose=16)))
    analysis = analyzed([run_of(ordinary([3]))], samples(), settings, seed=0)
    assert analysis.datamap is None
    assert analysis.masses == {}
    assert (analysis.quadrant == UNMAPPED).all()
    assert set(analysis.reasons.recall.tolist()) == {-1}
    assert analysis.power["memorized"]["random"]["alone"]["4"].auc > 0.9
