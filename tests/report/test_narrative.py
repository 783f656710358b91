from carto_audit.report.narrative import (
    detection_sentences,
    doubts,
    forgetting_sentence,
    item_sentences,
    overview,
    verdict_sentence,
    weakest_by_dose,
)
from tests.support.report_facts import make_facts


def with_found(**changes):
    """Facts in which so much was found of the secrets that the policy asks about."""
    facts = make_facts()
    next(one for one in facts["detection"]["found"] if one["dose"] == 4).update(changes)
    return facts


def test_the_weakest_kind_speaks_for_each_dose_and_twins_for_none():
    weakest = weakest_by_dose(make_facts())
    assert [(cell.dose, cell.auc) for cell in weakest] == [(1, 0.58), (4, 0.93), (16, 0.96), (64, 0.97)]
    assert {cell.what for cell in weakest} == {"random secrets inside other text"}


def test_the_reading_says_what_was_found_how_sure_that_is_and_what_can_pass_below_it():
    first, second, third = detection_sentences(make_facts())
    assert first.startswith(
        "The line flags 34 of 36 secrets planted 4 times (at least 83 %, with 95 % confidence) and 0.4 % of ordinary text."
    )
    assert first.endswith("It was set by one half of these secrets and judged by the other.")
    assert second == "Above it lie also 3 of 12 planted once, 10 of 10 planted 16 times."
    assert third.startswith("A secret that occurs only once can go undetected")


def test_where_little_is_proved_what_is_flagged_is_called_a_lower_bound():
    assert any("a lower bound" in sentence for sentence in detection_sentences(with_found(found=20, at_least=0.41)))
    assert not any("a lower bound" in sentence for sentence in detection_sentences(make_facts()))


def test_a_batch_without_room_for_a_proof_says_how_much_is_missing():
    facts = make_facts()
    facts["detection"]["missing_tokens"] = 12_000
    assert detection_sentences(facts)[-1] == (
        "The batch lacks about 12,000 tokens for as many secrets as a proof should rest on."
    )


def test_without_controls_nothing_is_read():
    facts = make_facts()
    facts["detection"].update(scores={}, above_line={}, found=[])
    assert detection_sentences(facts) == []
    assert overview(facts)["detection"].startswith("not measured")


def test_detection_at_a_glance_is_what_was_found_and_how_sure_it_is():
    assert overview(with_found(found=20, secrets=36, at_least=0.41))["detection"] == (
        "flags 20 of 36 secrets planted 4 times (at least 41 %) and 0.4 % of ordinary text"
    )


def test_an_audit_that_could_not_see_names_the_rules_that_fail_all_the_same():
    facts = make_facts()
    facts["verdict"]["status"] = "inconclusive"
    assert verdict_sentence(facts).endswith(
        "2 rules of the policy “default” reject the batch whatever that would have shown. Read: text of 2,060 rows."
    )


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


def test_doubts_are_said_with_their_figures_and_only_where_there_are_any():
    facts = make_facts()
    facts["metrics"] |= {"batch.unmapped_token_share": 0.0, "kinship.severed_token_share": 0.0}
    assert doubts(facts) == []
    facts["metrics"] |= {"batch.undrawn_token_share": 0.12, "boilerplate.token_share": 0.005}
    facts["detection"]["capacity_ratio"] = 14.2
    assert doubts(facts) == [
        "The proxy is small for this batch (capacity ratio 14.20): it has room for little but copies.",
        "12.0 % of the tokens had no chance to be drawn.",
    ]
    assert doubts(with_found(at_least=0.41))[0] == (
        "The line flags 34 of 36 secrets planted 4 times (at least 41 %) and 0.4 % of ordinary text: "
        "more is not proved of what the policy asks about."
    )
    facts["detection"]["found"] = []
    assert doubts(facts)[0].startswith("No secret of this audit's own could be judged")
