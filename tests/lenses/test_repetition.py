"""Repetition: copies, weights and epochs make effective repeats; what the band holds is counted exactly."""

import numpy as np
import pytest

from carto_audit.lenses.declared.repetition import REPETITION, RepetitionOptions
from carto_audit.lenses.shipped.repetition import RepetitionLens
from carto_audit.lenses.testing import look_here
from carto_audit.lenses.view import Kin, LensView, Offered
from tests.support.audits import sentences

CLUSTER = np.array([0, 0, 0, 0, 4, 5, 5])
WEIGHTS = np.array([1, 0.5, 0.5, 0, 1.5, 1, 1])
TOKENS = np.array([10, 10, 10, 10, 20, 20, 20])


def summed(**options):
    view = LensView(
        Offered(n_tokens=TOKENS, weights=WEIGHTS, kin=Kin(copies=np.ones(7, np.int64), cluster=CLUSTER)),
        REPETITION.needs,
        0,
    )
    lens, options = RepetitionLens(), RepetitionOptions(**options)
    looked = lens.look(view, options)
    return looked, lens.sum_up(view, looked, options)


def test_effective_repeats_are_the_weights_of_all_copies_times_the_epochs():
    looked, result = summed(planned_epochs=4)
    assert looked.columns["effective_repeats"].to_pylist() == [8, 8, 8, 8, 6, 8, 8]
    assert looked.found.tolist() == [1, 1, 1, 1, 0, 1, 1]
    assert result.metrics == {"harmful_band_token_share": 0, "max_effective_repeats": 8}


@pytest.mark.parametrize(
    ("epochs", "share"), [(4.99, 0), (5, 0.8), (6.7, 1), (500, 1), (500.1, 0.2), (666.6, 0.2), (667, 0)]
)
def test_the_harmful_band_holds_its_ends(epochs, share):
    assert summed(planned_epochs=epochs)[1].metrics["harmful_band_token_share"] == share


def test_the_dose_is_said_of_the_buyers_corpus():
    facts = dict(summed(planned_epochs=5, corpus_tokens=10_000)[1].section.facts)
    # 40 tokens of weight 2 in one cluster of 10 a row, two rows of 20 in the other, five times each
    assert facts["the band's readings, as a share of your corpus"] == "3.0 %"
    assert not any("corpus" in what for what in dict(summed(planned_epochs=5)[1].section.facts))


def test_the_figure_counts_every_token_once():
    for epochs in (0.1, 1, 7, 600):
        (figure,) = summed(planned_epochs=epochs)[1].section.figures
        assert sum(figure.amounts) == TOKENS.sum()


def test_planted_copies_are_counted_in_their_bucket_and_look_alikes_are_not():
    text, *others = sentences(60)
    near = text.replace(text.split()[7], "otherwise", 1)
    run = look_here("repetition", {"planned_epochs": 3}, [text, text, near, *others])
    assert [(one.dose, one.planted, one.counted) for one in run.power] == [
        (2, 20, 20),
        (8, 20, 20),
        (32, 20, 20),
        (0, 40, 0),
    ]
    assert run.columns["effective_repeats"].to_pylist() == [9, 9, 9] + [3] * 59
    assert run.measurements["lens.repetition.max_effective_repeats"].value == 9


def test_where_there_are_too_few_words_nothing_is_planted_and_no_power_is_claimed():
    run = look_here("repetition", {}, ["only these few words", "and these"])
    assert not run.problem
    assert run.power == ()
    assert "lens.repetition.found_at_dose_8" not in run.measurements
