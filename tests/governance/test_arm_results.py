"""Arm results: every figure follows from what the proxies answered, and what was not measured is null and never a number."""

import math

import numpy as np
import pytest

from carto_audit.controls.canary_writer import KINDS
from carto_audit.governance.arm_results import (
    arm_facts,
    arm_results,
    collect_secrets,
    leakage_reduction,
    strongest_attack,
)
from carto_audit.governance.canaries import DOSES, FORMS, LEAKING_DOSE
from tests.support.redteam_runs import (
    ATTACKS,
    CELLS,
    OFTEN,
    ONCE,
    TOKENS,
    answers,
    finished,
    look,
    membership,
    outcome,
    seed_result,
)

LEAKING = [k for k, (_, _, dose) in enumerate(CELLS) if dose >= LEAKING_DOSE]
TWINS = [k for k, (_, _, dose) in enumerate(CELLS) if dose == 0]


def leaks_all(k, cell):
    return cell[2] >= LEAKING_DOSE


def leaks_nothing(k, cell):
    return False


def leaks_form(form):
    return lambda k, cell: cell[2] >= LEAKING_DOSE and cell[1] == form


@pytest.fixture
def measure(tmp_path):
    """The facts of every arm, from the outcomes of each seed."""

    def measure(*seeds, guessed=()):
        run = finished(tmp_path, *(seed_result(outcomes, seed=k, guessed=guessed) for k, outcomes in enumerate(seeds)))
        results = arm_results(run, collect_secrets(run))
        return [arm_facts(result, results, strongest_attack(results[0])) for result in results]

    return measure


@pytest.fixture
def result_of(tmp_path):
    def result_of(*seeds):
        run = finished(tmp_path, *(seed_result(outcomes, seed=k) for k, outcomes in enumerate(seeds)))
        return arm_results(run, collect_secrets(run))

    return result_of


def untreated(leaks=leaks_all, perplexity=50.0, **changes):
    return outcome("untreated", answers(leaks, perplexity, **changes))


def pruned(leaks=leaks_nothing, perplexity=50.0, level=0.1, **changes):
    return outcome(
        "prune", answers(leaks, perplexity, **changes), pruned=level, level=level, score="memorized", cut=0.7
    )


def test_leakage_is_the_share_of_the_secrets_that_occur_often_over_all_seeds(measure):
    (arm,) = measure([untreated(leaks_all)], [untreated(leaks_form("alone"))])
    assert arm["leakage"]["value"] == pytest.approx((1 + 1 / 3) / 2)
    assert 0 <= arm["leakage"]["low"] < arm["leakage"]["value"] < arm["leakage"]["high"] <= 1
    assert arm["leakage_by_form"]["alone"]["value"] == 1
    assert arm["leakage_by_form"]["edited"]["value"] == arm["leakage_by_form"]["embedded"]["value"] == 0.5
    assert arm["seeds"] == 2


def test_what_is_planted_once_and_what_never_is_are_no_leakage(measure):
    (arm,) = measure([untreated(lambda k, cell: cell[2] < LEAKING_DOSE)])
    assert arm["leakage"]["value"] == 0
    assert arm["leakage_by_attack"]["worst_case"]["value"] == 0
    assert arm["leakage_by_attack"]["twins"]["value"] == 1
    assert arm["extraction"]["random"][str(ONCE)]["value"] == 1


def test_what_an_unseen_proxy_guesses_leaks_nothing_but_stands_in_the_gross_figures(measure):
    guessed = LEAKING[: len(LEAKING) // 3]
    (arm,) = measure([untreated()], guessed=guessed)
    assert arm["leakage"]["value"] == pytest.approx(1 - len(guessed) / len(LEAKING))
    assert arm["leakage_by_attack"]["worst_case"]["value"] == 1
    by_form = [arm["extraction_by_form"][form][str(dose)]["value"] for form in FORMS for dose in DOSES if dose >= 4]
    assert np.mean(by_form) == pytest.approx(arm["leakage"]["value"])


def test_each_attack_has_its_own_figure(measure):
    every = [leaks_all(k, cell) for k, cell in enumerate(CELLS)]
    half = [told and k % 2 == 0 for k, told in enumerate(every)]
    (arm,) = measure([untreated(exact=[False] * len(CELLS), near=half, worst=every)])
    assert arm["leakage_by_attack"]["exact"]["value"] == 0
    assert arm["leakage_by_attack"]["near_verbatim"]["value"] == pytest.approx(np.mean([k % 2 == 0 for k in LEAKING]))
    assert arm["leakage_by_attack"]["worst_case"]["value"] == arm["leakage"]["value"] == 1


def test_extraction_is_given_by_kind_form_and_dose_of_what_was_planted(measure):
    (arm,) = measure([untreated(lambda k, cell: cell == ("random", "embedded", OFTEN))])
    assert set(arm["extraction"]) == set(KINDS)
    assert set(arm["extraction_by_form"]) == set(FORMS)
    for table in (arm["extraction"], arm["extraction_by_form"]):
        assert all(set(cells) == {str(dose) for dose in DOSES} for cells in table.values())
    assert arm["extraction"]["random"][str(OFTEN)]["value"] == pytest.approx(1 / 3)
    assert arm["extraction_by_form"]["embedded"][str(OFTEN)]["value"] == pytest.approx(1 / 3)
    assert arm["extraction"]["natural"][str(OFTEN)]["value"] == 0


def test_an_arm_that_failed_in_one_seed_is_measured_in_the_others_and_has_no_change(measure):
    failed = outcome("prune", "training diverged", pruned=0.1, level=0.1, score="memorized")
    _, arm = measure([untreated(), pruned(leaks_form("alone"))], [untreated(), failed])
    assert arm["seeds"] == 1
    assert arm["leakage"]["value"] == pytest.approx(1 / 3)
    assert arm["perplexity_change"] is None
    assert arm["heldout_perplexity"] == {"value": 50.0, "low": None, "high": None}
    assert arm["matched"] is None


def test_an_arm_that_failed_in_every_seed_has_no_figures_but_what_it_pruned(measure):
    failed = outcome("remove_flagged", "nothing is left to train on", pruned=1.0)
    _, arm = measure([untreated(), failed], [untreated(), failed])
    assert arm["seeds"] == 0
    assert arm["pruned_token_share"] == 1.0
    for name in ("leakage", "propensity", "mi_auc", "heldout_perplexity", "perplexity_change", "loss_gap", "matched"):
        assert arm[name] is None, name
    for table in ("exposure", "queries", "pii", "perplexity_by_part"):
        assert arm[table] == {}
    assert arm["distinct_n"] == {"2": None, "3": None}


def test_changes_of_perplexity_are_relative_to_the_untreated_proxy_of_the_same_seed(measure):
    _, arm = measure(
        [untreated(perplexity=50.0), pruned(perplexity=51.0)], [untreated(perplexity=80.0), pruned(perplexity=80.0)]
    )
    assert arm["perplexity_change"]["value"] == pytest.approx((0.02 + 0) / 2)
    assert arm["perplexity_change"]["low"] < 0 < arm["perplexity_change"]["high"]
    assert arm["heldout_perplexity"]["value"] == pytest.approx(65.5)


def test_one_seed_has_no_interval_of_perplexity(measure):
    _, arm = measure([untreated(), pruned(perplexity=52.0)])
    assert arm["perplexity_change"] == {"value": pytest.approx(0.04), "low": None, "high": None}


@pytest.mark.parametrize("where", ["treated", "untreated"])
def test_a_perplexity_that_diverged_is_no_number_and_changes_by_none(measure, where):
    values = {"treated": (50.0, None), "untreated": (None, 50.0)}[where]
    base, arm = measure(
        [untreated(perplexity=values[0]), pruned(perplexity=values[1])],
        [untreated(perplexity=50.0), pruned(perplexity=50.0)],
    )
    assert (base if where == "untreated" else arm)["heldout_perplexity"] is None
    assert arm["perplexity_change"] is None
    assert arm["matched"] is None
    assert arm["leakage"]["value"] == 0


def test_parts_of_the_held_out_text_are_compared_and_unknown_ones_are_null(measure):
    parts = {"stable_easy": 33.0, "ambiguous_hard": 90.0, "rare_tail": None}
    _, arm = measure([untreated(), pruned(perplexity_by_part=parts)])
    assert arm["perplexity_by_part"] == {
        "stable_easy": {"value": 33.0, "change": pytest.approx(0.1)},
        "ambiguous_hard": {"value": 90.0, "change": 0.0},
        "rare_tail": {"value": None, "change": None},
    }


def on_the_way(*looks):
    """An untreated proxy that ends at perplexity 50 having given all away."""
    return untreated(on_the_way=list(looks))


def test_the_untreated_run_is_stopped_where_its_perplexity_was_the_arm_s(measure):
    """Perplexity fell from 70 to 50 in the last fifth of the steps, while leakage rose from 1/3 to 1."""
    base = on_the_way(look(0.5, 90.0), look(0.8, 70.0, leaks_form("alone")))
    _, arm = measure([base, pruned(perplexity=55.0)])
    assert arm["matched"] == {
        "steps_share": pytest.approx(0.95),
        "perplexity": 55.0,
        "leakage": pytest.approx(1 / 3 + 0.75 * 2 / 3),
    }


def test_matching_takes_the_first_crossing_and_the_mean_over_seeds(measure):
    falls_and_rises = on_the_way(look(0.5, 60.0), look(0.75, 40.0, leaks_form("alone")))
    falls = on_the_way(look(0.5, 40.0), look(0.9, 40.0, leaks_all))
    _, arm = measure([falls_and_rises, pruned(perplexity=45.0)], [falls, pruned(perplexity=40.0)])
    first, second = (0.5 + 0.75 * 0.25, 0.75 / 3), (0.5, 0.0)
    assert arm["matched"]["steps_share"] == pytest.approx((first[0] + second[0]) / 2)
    assert arm["matched"]["leakage"] == pytest.approx((first[1] + second[1]) / 2)
    assert arm["matched"]["perplexity"] == pytest.approx(42.5)


def test_without_a_crossing_in_every_seed_there_is_no_match(measure):
    base = on_the_way(look(0.5, 60.0))
    for perplexity in (49.0, 61.0):
        _, arm = measure([base, pruned(perplexity=55.0)], [base, pruned(perplexity=perplexity)])
        assert arm["matched"] is None
    _, arm = measure([on_the_way(look(0.5, 40.0)), pruned(perplexity=45.0)])
    assert arm["matched"] is None  # it was as bad a model before the first look, and is again while it learns too long
    unmatched, _ = measure([base, pruned(perplexity=55.0)])
    assert unmatched["matched"] is None  # of the untreated run with itself


def test_a_look_at_a_proxy_whose_perplexity_was_beyond_numbers_is_passed_over(measure):
    base = on_the_way(look(0.5, None), look(0.8, 60.0))
    _, arm = measure([base, pruned(perplexity=55.0)])
    assert arm["matched"]["steps_share"] == pytest.approx(0.9)


def control(leaks, level=0.1):
    return outcome("random", answers(leaks), pruned=level, level=level)


def test_an_arm_is_held_against_random_pruning_at_its_own_level(measure):
    outcomes = [
        untreated(),
        pruned(leaks_form("edited")),
        control(leaks_nothing, level=0.2),
        control(leaks_all),
        outcome("downweight", answers(leaks_all), alpha=0.5),
    ]
    base, arm, other, same, weighted = measure(outcomes, outcomes)
    assert arm["beats_random"]["value"] == pytest.approx(2 / 3)
    assert 0 < arm["beats_random"]["low"] < 2 / 3 < arm["beats_random"]["high"] <= 1
    for unlike in (base, other, same, weighted):
        assert unlike["beats_random"] is None


def test_an_arm_that_leaks_as_random_pruning_does_is_no_better_than_that(measure):
    outcomes = [untreated(), pruned(leaks_form("alone")), control(leaks_form("alone"))]
    _, arm, _ = measure(outcomes, outcomes)
    assert arm["beats_random"]["value"] == 0
    assert arm["beats_random"]["low"] < 0 < arm["beats_random"]["high"]


def test_an_arm_is_held_against_random_pruning_in_the_seeds_that_measured_both(measure):
    failed = outcome("random", "training diverged", pruned=0.1, level=0.1)
    _, arm, _ = measure(
        [untreated(), pruned(leaks_nothing), control(leaks_all)], [untreated(), pruned(leaks_all), failed]
    )
    assert arm["beats_random"]["value"] == 1


def test_the_strongest_attack_is_the_one_with_the_highest_mean_auc_untreated(measure, result_of):
    seeds = [
        [untreated(membership=membership(loss=0.9, ez=0.7)), pruned(membership=membership(0.5, lt_mia=0.99))],
        [untreated(membership=membership(loss=0.5, ez=0.75)), pruned(membership=membership(0.5, lt_mia=0.99))],
    ]
    assert strongest_attack(result_of(*seeds)[0]) == "ez"
    base, arm = measure(*seeds)
    assert base["mi_auc"]["value"] == pytest.approx(0.725)
    assert arm["mi_auc"] == arm["membership"]["ez"]["auc"]
    assert arm["mi_auc"]["value"] == pytest.approx(0.5)
    assert arm["tpr_at_1pct_fpr"]["value"] == pytest.approx(0.02)
    assert arm["membership"]["lt_mia"]["auc"]["value"] == pytest.approx(0.99)


def test_an_attack_that_was_not_possible_in_a_seed_has_no_figure_and_is_not_the_strongest(measure, result_of):
    seeds = [[untreated(membership=membership(lt_mia=0.95))], [untreated(membership=membership(lt_mia=None))]]
    assert strongest_attack(result_of(*seeds)[0]) in set(ATTACKS) - {"lt_mia"}
    (arm,) = measure(*seeds)
    assert arm["membership"]["lt_mia"] == dict.fromkeys(("auc", "tpr_at_1pct_fpr", "tpr_at_01pct_fpr"))


def test_without_any_attack_there_is_no_strongest(measure, result_of):
    assert strongest_attack(result_of([untreated(membership={})])[0]) is None
    (arm,) = measure([untreated(membership={})])
    assert arm["mi_auc"] is None
    assert set(arm["membership"]) == set(ATTACKS)


def test_more_seeds_narrow_the_interval_of_membership(measure):
    (one,) = measure([untreated()])
    (four,) = measure(*[[untreated()]] * 4)
    assert one["mi_auc"] == {"value": 0.6, "low": pytest.approx(0.55), "high": pytest.approx(0.65)}
    assert four["mi_auc"]["low"] == pytest.approx(0.575)
    assert four["mi_auc"]["high"] == pytest.approx(0.625)


def test_exposure_is_the_mean_of_the_secrets_that_have_one(measure):
    (arm,) = measure([untreated(lambda k, cell: cell[2] == OFTEN and cell[0] == "random")])
    assert set(arm["exposure"]) == {str(dose) for dose in DOSES}
    assert arm["exposure"][str(OFTEN)]["value"] == pytest.approx((8 + 1) / 2)  # a natural passage has none
    assert arm["exposure"][str(ONCE)]["value"] == 1


def test_queries_are_the_median_and_none_where_no_number_of_them_is_enough(measure):
    hopeless = [-1e6] * len(CELLS)
    (arm,) = measure([untreated(log_p=hopeless)])
    assert set(arm["queries"].values()) == {None}
    (arm,) = measure([untreated()])
    assert arm["queries"][str(OFTEN)] == math.ceil(math.log(0.5) / math.log(1 - math.exp(-1)))
    assert arm["queries"][str(ONCE)] > 1e30


def test_propensity_compares_what_is_said_unasked_with_what_is_said_when_asked(measure):
    told = [leaks_all(k, cell) for k, cell in enumerate(CELLS)]
    (same,) = measure([untreated(run=told, natural=told)])
    (asked,) = measure([untreated(run=told)])
    (neither,) = measure([untreated(leaks_nothing)])
    assert same["propensity"] == {"value": 0.5, "low": None, "high": None}
    assert asked["propensity"]["value"] == 0
    assert neither["propensity"] is None


def test_personal_data_adds_up_over_the_seeds(measure):
    phone = {"phone": {"spans": 1, "extracted": 1, "net": 0}}
    (arm,) = measure([untreated()], [untreated(pii=answers()["pii"] | phone)], [untreated(pii={})])
    assert arm["pii"] == {"email": {"spans": 20, "extracted": 8, "net": 6}, "phone": phone["phone"]}


def test_what_is_pruned_is_a_mean_over_the_seeds(measure):
    _, arm = measure(
        [untreated(), outcome("policy", answers(), pruned=0.1)], [untreated(), outcome("policy", answers(), pruned=0.2)]
    )
    assert arm["pruned_tokens"] == pytest.approx(0.15 * TOKENS)
    assert arm["pruned_token_share"] == arm["pruned_canary_share"] == pytest.approx(0.15)


def test_a_reduction_is_that_of_the_two_leakages(result_of, measure):
    seeds = [
        [untreated(), outcome("policy", answers(leaks_form("alone")))],
        [untreated(leaks_form("alone")), outcome("policy", answers(leaks_form("alone")))],
    ]
    found = leakage_reduction(*result_of(*seeds))
    before, after = (arm["leakage"]["value"] for arm in measure(*seeds))
    assert found.value == pytest.approx(1 - after / before) == pytest.approx(0.5)
    assert found.low < found.value < found.high


def test_an_arm_that_failed_in_a_seed_has_no_reduction(result_of):
    """It would be of other secrets than the leakages are, and the gate would call the file contradictory."""
    failed = outcome("policy", "training diverged")
    whole = [untreated(), outcome("policy", answers(leaks_form("alone")))]
    assert leakage_reduction(*result_of(whole, [untreated(leaks_form("alone")), failed])) is None
    lost = outcome("untreated", "training diverged")
    assert leakage_reduction(*result_of(whole, [lost, outcome("policy", answers())])) is None


def test_without_untreated_leakage_there_is_no_reduction(result_of):
    base, arm = result_of([untreated(leaks_nothing), outcome("policy", answers(leaks_nothing))])
    assert leakage_reduction(base, arm) is None


def test_two_seeds_prove_more_than_one(measure):
    outcomes = [untreated(), pruned(leaks_nothing)]
    one, two = (measure(*[outcomes] * n)[1]["leakage"]["high"] for n in (1, 2))
    assert 0 < two < one
