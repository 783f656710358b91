import pytest

from carto_audit.report.narrative import (
    detection_sentences,
    forgetting_sentence,
    item_sentences,
    overview,
    weakest_by_dose,
)
from tests.support.report_facts import make_facts


def with_auc(dose, auc, secrets=16):
    """Facts in which random secrets inside other text have this AUC at this dose."""
    facts = make_facts()
    cell = facts["detection"]["scores"]["memorized"]["random"]["embedded"][str(dose)]
    cell.update(auc=auc, ci=[max(auc - 0.3, 0.0), min(auc + 0.1, 1.0)], secrets=secrets)
    return facts


def test_the_weakest_kind_speaks_for_each_dose_and_twins_for_none():
    weakest = weakest_by_dose(make_facts())
    assert [(cell.dose, cell.auc) for cell in weakest] == [(1, 0.58), (4, 0.93), (16, 0.96), (64, 0.97)]
    assert {cell.what for cell in weakest} == {"random secrets inside other text"}


def test_the_reading_names_the_dose_that_is_seen_and_what_can_pass_below_it():
    first, second, third = detection_sentences(make_facts())
    assert first.startswith(
        "Every kind of planted secret stands out from ordinary text once it occurs 4 times; hardest"
    )
    assert "random secrets inside other text, with AUC 0.93 (0.88 to 0.98) on 16 secrets" in first
    assert second.startswith("A secret that occurs only once can go undetected")
    assert "97.0 % of those planted 4 times" in third


def test_a_kind_that_is_not_seen_at_the_highest_dose_is_never_called_seen():
    reading = detection_sentences(with_auc(64, 0.7))
    assert reading[0].startswith("Even at 64 times")
    assert "treat what is flagged as a lower bound" in reading[1]
    assert not any("Every kind" in sentence for sentence in reading)


def test_a_wide_interval_is_said():
    assert any("far lower" in sentence for sentence in detection_sentences(with_auc(4, 0.92, secrets=1)))
    assert not any("far lower" in sentence for sentence in detection_sentences(make_facts()))


def test_without_controls_nothing_is_read():
    facts = make_facts()
    facts["detection"].update(scores={}, above_line={})
    assert detection_sentences(facts) == []
    assert overview(facts)["detection"].startswith("not measured")


@pytest.mark.parametrize(
    ("auc", "words"),
    [
        (0.97, "detects every kind of secret that occurs 4 times; weakest AUC 0.93 (0.88 to 0.98)"),
        (0.8, "only partly detects some secrets that occur 64 times; weakest AUC 0.80 (0.50 to 0.90)"),
        (0.65, "hardly detects some secrets that occur 64 times; weakest AUC 0.65 (0.35 to 0.75)"),
        (0.5, "does not detect some secrets that occur 64 times; weakest AUC 0.50 (0.20 to 0.60)"),
    ],
)
def test_detection_at_a_glance_claims_no_more_than_the_weakest_kind(auc, words):
    assert overview(with_auc(64, auc))["detection"] == words


def test_forget_events_are_called_stable_only_when_every_margin_agrees():
    steps = [{"agreement": None}, {"agreement": 0.95}, {"agreement": 0.9}]
    assert "are stable here: from each margin to the next at least 90.0 %" in forgetting_sentence(steps)
    assert "are not stable" in forgetting_sentence([*steps, {"agreement": 0.1}])
    assert forgetting_sentence(steps[:1]) == ""


def test_what_the_proxies_show_is_told_with_what_it_cannot_show():
    testimony = make_facts()["contamination"]["testimony"]
    asked, gained, silent, limits = item_sentences(testimony)
    assert asked.startswith("Two proxies were asked about 3 items")
    assert (
        gained
        == "Having read an item lowers the loss of its question by 0.50 and that of its answer by 1.00 nats per token."
    )
    assert silent.startswith("1 item was not asked about: rows with it lie on both sides")
    assert "decides nothing" in limits
    assert "a low figure proves nothing" in limits


def test_without_figures_only_the_silence_is_told():
    testimony = make_facts()["contamination"]["testimony"]
    testimony.update(items=0, loss_in_question=None, loss_out_question=None, loss_in_answer=None, loss_out_answer=None)
    silent, limits = item_sentences(testimony)
    assert "not asked about" in silent
    assert "decides nothing" in limits
    assert item_sentences(None) == []
