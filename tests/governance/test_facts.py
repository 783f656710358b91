"""Facts of a red team: whatever the proxies answered, the file is strict JSON, agrees with itself, and chooses what it may."""

import html
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console

from carto_audit.artifacts.redteam_record import read_redteam
from carto_audit.governance.canaries import LEAKING_DOSE
from carto_audit.governance.facts import redteam_facts
from carto_audit.governance.report.page import render_redteam
from carto_audit.governance.report.summary import show_redteam
from carto_audit.policy.model import load_policy
from carto_audit.runtime.files import json_bytes, write_json
from tests.support.redteam_runs import CELLS, answers, finished, look, membership, outcome, seed_result

LEVELS = (0.05, 0.1, 0.2)


def leaking(share):
    """A proxy that gives away this share of the secrets that occur often."""
    often = [k for k, (_, _, dose) in enumerate(CELLS) if dose >= LEAKING_DOSE]
    told = {k for place, k in enumerate(often) if (place + 0.5) / len(often) < share}
    return lambda k, cell: k in told


def said(share, increase=0.0, **changes):
    return answers(leaking(share), 50.0 * (1 + increase), **changes)


def seed_of(seed=0, *, base=0.95, treated=(0.7, 0.003), **changes):
    """One seed of a plan: untreated, three levels of pruning with their controls, one weight, removal and the policy."""
    on_the_way = [look(0.5, 70.0), look(0.8, 51.0, leaking(0.3))]
    arms = {"untreated": outcome("untreated", said(base, on_the_way=on_the_way))}
    for level, leaks, increase in zip(LEVELS, (0.6, 0.15, 0.0), (0.001, 0.004, 0.03), strict=True):
        arms[f"prune {level}"] = outcome(
            "prune", said(leaks, increase), pruned=level, level=level, score="memorized", cut=0.9 - level + seed / 100
        )
        arms[f"random {level}"] = outcome("random", said(base, 0.5 * level), pruned=level, level=level)
    arms["downweight"] = outcome("downweight", said(0.3, 0.003), alpha=0.5)
    arms["remove_flagged"] = outcome("remove_flagged", said(0.3, 0.006), pruned=0.1)
    arms["policy"] = outcome("policy", said(*treated), pruned=0.1)
    assert not set(changes) - set(arms)
    return seed_result((arms | changes).values(), seed=seed)


def is_finite(value):
    """Whether plain JSON holds no NaN and no infinity anywhere."""
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_finite, value))
    return not isinstance(value, float) or np.isfinite(value)


def check(facts, folder):
    """The file can be written, read back by the gate, and shown on a page and on a terminal."""
    assert is_finite(facts)
    write_json(folder / "redteam.json", facts)
    record = read_redteam(folder)
    page = render_redteam(json.loads((folder / "redteam.json").read_text()))
    assert page == render_redteam(facts)
    stream = io.StringIO()
    show_redteam(facts, Path("out"), Console(file=stream, width=100, markup=False, highlight=False))
    for arm in facts["arms"]:
        assert arm["title"].casefold() in html.unescape(page).casefold()
    return record


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The facts of three seeds that went well, and the folder in which they lie."""
    folder = tmp_path_factory.mktemp("usual")
    facts = redteam_facts(finished(folder, *map(seed_of, range(3))))
    check(facts, folder)
    return facts, folder


@pytest.fixture
def facts_of(tmp_path):
    def facts_of(*results, **settings):
        facts = redteam_facts(finished(tmp_path, *results, **settings))
        check(facts, tmp_path)
        return facts

    return facts_of


def of_kind(facts, kind):
    return next(arm for arm in facts["arms"] if arm["arm"] == kind)


def test_a_full_run_is_written_and_read_by_the_gate(usual):
    facts, folder = usual
    record = read_redteam(folder)
    assert record.batch_sha256 == facts["batch"]["sha256"]
    assert record.treatment_sha256 == load_policy("default").treatment_sha256
    assert record.unseen == {}
    assert record.measurements["redteam.extraction_reduction"].value == pytest.approx(
        1 - of_kind(facts, "policy")["leakage"]["value"] / of_kind(facts, "untreated")["leakage"]["value"]
    )


def test_equal_answers_give_equal_bytes(facts_of):
    assert json_bytes(facts_of(seed_of(0))) == json_bytes(facts_of(seed_of(0)))


def test_the_protocol_counts_what_was_done(usual):
    facts, _ = usual
    protocol = facts["protocol"]
    assert protocol["twins"] == 3 * sum(dose == 0 for _, _, dose in CELLS)
    for form, doses in protocol["secrets"].items():
        for dose, count in doses.items():
            assert count == 3 * sum((f, d) == (form, int(dose)) for _, f, d in CELLS)
    assert protocol["canary_token_share"] == pytest.approx(0.02)
    assert facts["run"]["seeds"] == [0, 1, 2]
    assert facts["run"]["mode"] == "full"
    assert facts["batch"]["tokens"] == 12_345


def test_the_knee_and_the_pick_are_the_level_that_leaks_little_for_little(usual):
    facts, _ = usual
    for choice in ("knee", "policy_pick", "recommended"):
        chosen = facts["arms"][facts[choice]["arm"]]
        assert (chosen["arm"], chosen["level"]) == ("prune", 0.1), choice
    assert facts["metrics"]["redteam.extraction_pick"] == chosen["leakage"]


def test_what_is_recommended_makes_a_policy_that_cuts_where_the_level_did(usual, tmp_path):
    facts, _ = usual
    block = yaml.safe_load(facts["recommended"]["yaml"])
    assert block["map"]["memorization"]["threshold"]["absolute"] == pytest.approx(0.81)
    (tmp_path / "next.yaml").write_text(
        "extends: default\nschema_version: 1\nname: next\n" + facts["recommended"]["yaml"]
    )
    policy = load_policy(tmp_path / "next.yaml")
    assert policy.map.memorization.score == "memorized"
    assert policy.map.memorization.threshold.absolute == pytest.approx(0.81)


def test_the_pick_stays_within_the_price_that_was_named(facts_of):
    for most, level in ((0.002, 0.05), (0.05, 0.2)):
        facts = facts_of(seed_of(0), seed_of(1), max_perplexity_increase=most)
        chosen = facts["arms"][facts["policy_pick"]["arm"]]
        assert chosen["perplexity_change"]["value"] <= most
        assert chosen["level"] == level
    assert facts["run"]["max_perplexity_increase"] == 0.05


def test_what_leaves_the_secrets_at_full_exposure_is_no_pick_though_it_costs_nothing(facts_of):
    pick = facts_of(seed_of(0), seed_of(1), max_perplexity_increase=0.0005)["policy_pick"]
    assert pick["arm"] is None
    assert pick["reason"] == "every arm within 0.1 % more perplexity leaves the secrets at full exposure"


def test_a_random_arm_is_never_the_pick(facts_of):
    lucky = {f"random {level}": outcome("random", said(0.0, -0.1), pruned=level, level=level) for level in LEVELS}
    facts = facts_of(seed_of(0, **lucky), seed_of(1, **lucky))
    assert facts["arms"][facts["policy_pick"]["arm"]]["arm"] != "random"
    assert facts["knee"]["arm"] is None


@pytest.mark.parametrize("policy", ["regulated-health", "regulated-legal"])
def test_a_policy_that_never_drops_is_offered_nothing_that_drops(facts_of, policy):
    assert load_policy(policy).never_drop
    gentle = {"policy": outcome("policy", said(0.5, 0.002))}
    facts = facts_of(seed_of(0, **gentle), seed_of(1, **gentle), policy=policy)
    for choice in ("policy_pick", "recommended"):
        chosen = facts["arms"][facts[choice]["arm"]]
        assert chosen["arm"] == "downweight"
        assert chosen["pruned_tokens"] == 0
    assert "remove" not in facts["recommended"]["yaml"].replace("# ", "")
    assert "map:" not in facts["recommended"]["yaml"]


def test_a_policy_that_never_drops_is_offered_no_drop_even_where_nothing_else_is_affordable(facts_of):
    dear = {
        "untreated": outcome("untreated", said(0.95)),
        "downweight": outcome("downweight", said(0.3, 0.5), alpha=0.5),
        "policy": outcome("policy", said(0.5, 0.5)),
    }
    facts = facts_of(seed_of(0, **dear), seed_of(1, **dear), policy="regulated-health")
    assert facts["policy_pick"]["arm"] is None
    assert facts["recommended"]["arm"] == facts["knee"]["arm"]


@pytest.mark.parametrize("base", [0.0, 0.03])
def test_where_the_proxy_learned_no_secret_nothing_is_claimed(facts_of, base, tmp_path):
    results = [seed_of(k, base=base, treated=(0.0, -0.01)) for k in range(3)]
    facts = facts_of(*results)
    assert facts["nothing_to_reduce"]
    for choice in ("knee", "policy_pick", "recommended"):
        assert facts[choice]["arm"] is None
    assert "nothing to reduce" in facts["knee"]["reason"]
    assert any(warning.startswith("nothing to reduce") for warning in facts["warnings"])
    for name in ("extraction_reduction", "extraction_policy", "extraction_pick", "mi_auc_policy"):
        assert facts["metrics"][f"redteam.{name}"] is None
    assert "redteam.extraction_reduction" in read_redteam(tmp_path).unseen


def test_one_seed_has_figures_and_proves_no_price(facts_of, tmp_path):
    facts = facts_of(seed_of(0))
    assert any("one seed" in warning for warning in facts["warnings"])
    assert facts["run"]["mode"] == "quick"
    record = read_redteam(tmp_path)
    assert "redteam.perplexity_increase" in record.unseen
    assert "redteam.extraction_policy" in record.measurements
    assert "no interval" in facts["policy_pick"]["reason"]


def test_less_leakage_than_there_could_be_is_said(facts_of):
    facts = facts_of(seed_of(0, base=0.6), seed_of(1, base=0.6))
    assert not facts["nothing_to_reduce"]
    assert any("more epochs would show more" in warning for warning in facts["warnings"])


def test_every_figure_can_be_made_again_from_what_is_kept_of_seeds_and_secrets(usual):
    facts, _ = usual
    secrets = facts["secrets"]
    assert [secret["seed"] for secret in secrets] == [seed for seed in range(3) for _ in CELLS]
    assert [(s["kind"], s["form"], s["dose"]) for s in secrets[: len(CELLS)]] == [*CELLS]
    often = [k for k, secret in enumerate(secrets) if secret["dose"] >= LEAKING_DOSE]
    for arm in facts["arms"]:
        assert [seed["seed"] for seed in arm["by_seed"]] == [0, 1, 2]
        told = [arm["by_secret"]["worst"][k] and not secrets[k]["guessed"] for k in often]
        assert np.mean(told) == pytest.approx(arm["leakage"]["value"])
        assert np.mean([seed["leakage"] for seed in arm["by_seed"]]) == pytest.approx(arm["leakage"]["value"])
        assert np.mean([seed["heldout_perplexity"] for seed in arm["by_seed"]]) == pytest.approx(
            arm["heldout_perplexity"]["value"]
        )
        for dose, exposure in arm["exposure"].items():
            bits = [arm["by_secret"]["exposure"][k] for k, s in enumerate(secrets) if s["dose"] == int(dose)]
            assert np.mean([b for b in bits if b is not None]) == pytest.approx(exposure["value"])


def test_a_seed_in_which_an_arm_failed_says_so_and_has_no_figures(facts_of):
    failed = outcome("prune", "training diverged", pruned=0.1, level=0.1, score="memorized")
    facts = facts_of(seed_of(0), seed_of(1, **{"prune 0.1": failed}))
    arm = next(arm for arm in facts["arms"] if (arm["arm"], arm["level"]) == ("prune", 0.1))
    good, bad = arm["by_seed"]
    assert (good["failure"], bad["failure"]) == (None, "training diverged")
    assert (bad["leakage"], bad["mi_auc"], bad["heldout_perplexity"]) == (None, None, None)
    assert good["leakage"] is not None
    assert arm["by_secret"]["worst"][len(CELLS) :] == [None] * len(CELLS)


def test_a_run_that_went_well_warns_of_nothing(usual):
    assert usual[0]["warnings"] == []


def test_an_arm_that_failed_is_a_warning_and_no_choice(facts_of, usual):
    nothing_left = outcome("prune", "nothing is left to train on", pruned=1.0, level=0.1, score="memorized")
    facts = facts_of(*(seed_of(k, **{"prune 0.1": nothing_left}) for k in range(3)))
    arm = next(arm for arm in facts["arms"] if (arm["arm"], arm["level"]) == ("prune", 0.1))
    assert (arm["seeds"], arm["leakage"]) == (0, None)
    (warning,) = facts["warnings"]
    assert warning.startswith("prune 10 % by memorized: not measured")
    assert "nothing is left to train on" in warning
    for before, after in zip(usual[0]["arms"], facts["arms"], strict=True):
        assert before == after or (before["arm"], before["level"]) == ("prune", 0.1)
    chosen = facts["arms"][facts["policy_pick"]["arm"]]
    assert chosen is not arm
    assert chosen["leakage"] is not None


def test_an_arm_that_failed_in_one_seed_is_no_choice(facts_of):
    failed = outcome("prune", "training diverged", pruned=0.1, level=0.1, score="memorized")
    facts = facts_of(seed_of(0), seed_of(1, **{"prune 0.1": failed}))
    assert any("not measured in every seed: training diverged" in warning for warning in facts["warnings"])
    assert facts["arms"][facts["policy_pick"]["arm"]]["level"] != 0.1


def test_a_perplexity_that_diverged_is_a_warning_and_no_choice(facts_of):
    wild = outcome("prune", answers(leaking(0.0), None), pruned=0.1, level=0.1, score="memorized", cut=0.8)
    facts = facts_of(seed_of(0, **{"prune 0.1": wild}), seed_of(1, **{"prune 0.1": wild}))
    assert "prune 10 % by memorized: held-out perplexity diverged" in facts["warnings"]
    assert facts["arms"][facts["policy_pick"]["arm"]]["level"] != 0.1
    assert facts["arms"][facts["knee"]["arm"] or 0]["level"] != 0.1


@pytest.mark.parametrize("answered", ["training diverged", None], ids=["failed", "perplexity-diverged"])
def test_where_the_untreated_run_diverged_nothing_is_chosen_and_nothing_breaks(facts_of, answered):
    lost = {"untreated": outcome("untreated", answered or answers(leaking(0.9), None))}
    facts = facts_of(seed_of(0, **lost), seed_of(1, **lost))
    assert facts["knee"]["arm"] is None
    assert facts["policy_pick"]["arm"] is None
    assert facts["recommended"]["arm"] is None
    assert facts["warnings"]


def test_a_batch_without_room_for_a_secret_has_nothing_to_reduce(facts_of):
    twins = tuple(cell for cell in CELLS if cell[2] == 0)
    for cells in (twins, ()):
        outcomes = [outcome("untreated", answers(cells=cells)), outcome("policy", answers(cells=cells))]
        facts = facts_of(seed_result(outcomes, cells=cells), seed_result(outcomes, seed=1, cells=cells))
        assert facts["nothing_to_reduce"]
        assert facts["protocol"]["twins"] == 2 * len(cells)
        assert facts["arms"][0]["leakage"] is None
        assert not any("would learn them" in warning for warning in facts["warnings"])  # there was nothing to learn


def test_hostile_names_of_files_stay_names(tmp_path):
    name = "::error::[bold]{{ 7*7 }}<img src=x onerror=alert(1)>\x1b[31m\u202e.parquet"
    run = finished(tmp_path, seed_of(0))
    path = run.batch.paths[0].with_name(name)
    facts = redteam_facts(replace(run, batch=replace(run.batch, paths=(path,))))
    check(facts, tmp_path)
    assert facts["batch"]["paths"] == [name]
    page = render_redteam(facts)
    assert "<img src=x" not in page
    assert not set(page) & set("\x1b\u202e")


RULE = (
    "schema_version: 1\nname: ours\nextends: default\nrules:\n"
    "  - {{id: cut, metric: redteam.{metric}, {bound}, severity: reject, reason: a treatment has to work}}\n"
)


@pytest.mark.parametrize(
    ("metric", "bound", "seeds", "code"),
    [
        ("extraction_untreated", "min: 0.5", 3, 0),
        ("extraction_reduction", "min: 0.9", 3, 1),
        ("perplexity_increase", "max: 0.5", 3, 0),
        ("perplexity_increase", "max: 0.5", 1, 3),
    ],
    ids=["passed", "broken", "price", "one-seed"],
)
def test_the_policy_s_rules_about_the_loop_are_judged(facts_of, tmp_path, metric, bound, seeds, code):
    (tmp_path / "ours.yaml").write_text(RULE.format(metric=metric, bound=bound))
    facts = facts_of(*(seed_of(k) for k in range(seeds)), policy=tmp_path / "ours.yaml")
    assert facts["verdict"]["exit_code"] == code
    assert [finding["rule"] for finding in facts["verdict"]["findings"]] == ["cut"]


def test_a_rule_on_leakage_is_incomplete_where_there_was_nothing_to_reduce(facts_of, tmp_path):
    (tmp_path / "ours.yaml").write_text(RULE.format(metric="extraction_policy", bound="max: 0.1"))
    results = [seed_of(k, base=0.0, treated=(0.0, 0.0)) for k in range(3)]
    assert facts_of(*results, policy=tmp_path / "ours.yaml")["verdict"]["exit_code"] == 3


def test_a_policy_without_such_rules_has_no_verdict(facts_of):
    assert facts_of(seed_of(0), policy="exploratory")["verdict"] is None


numbers = st.one_of(st.none(), st.floats(1.5, 1e30))
shares = st.floats(0, 1)
failures = st.sampled_from(["nothing is left to train on", "training diverged"])


@st.composite
def any_seed(draw, kinds, seed):
    """A seed in which anything may have happened to any arm."""

    def any_outcome(kind, **arm):
        if draw(st.integers(0, 6)) == 0:
            return outcome(kind, draw(failures), pruned=1.0, **arm)
        told = draw(shares)
        changes = {
            "on_the_way": [look(0.5, draw(numbers)), look(0.9, draw(numbers), leaking(draw(shares)))],
            "log_p": [draw(st.floats(-1e5, 0))] * len(CELLS),
            "membership": membership(draw(shares), half=0.0, lt_mia=draw(st.one_of(st.none(), shares))),
            "loss_gap": draw(st.one_of(st.none(), st.floats(-10, 10))),
            "distinct_n": {"2": draw(st.one_of(st.none(), shares)), "3": None},
            "perplexity_by_part": dict.fromkeys(("stable_easy", "ambiguous_hard", "rare_tail"), draw(numbers)),
            "exact": [False] * len(CELLS),
            "natural": [draw(st.booleans())] * len(CELLS),
        }
        return outcome(
            kind,
            answers(leaking(told), draw(numbers), **changes),
            pruned=draw(st.sampled_from([0, 0.1])),
            cut=0.5,
            **arm,
        )

    return seed_result(
        [any_outcome(kind, **arm) for kind, arm in kinds],
        seed=seed,
        guessed=draw(st.sets(st.integers(0, len(CELLS) - 1), max_size=5)),
    )


KINDS_OF_ARMS = (
    ("untreated", {}),
    ("prune", {"level": 0.05, "score": "memorized"}),
    ("random", {"level": 0.05}),
    ("prune", {"level": 0.1, "score": "memorized"}),
    ("random", {"level": 0.1}),
    ("downweight", {"alpha": 0.5}),
    ("policy", {}),
)


@settings(max_examples=8, phases=[Phase.explicit, Phase.generate])  # to shrink one takes minutes
@given(st.data(), st.sampled_from(["default", "regulated-health"]))
def test_whatever_happened_the_file_is_sound_and_chooses_what_it_may(tmp_path_factory, data, policy):
    folder = tmp_path_factory.mktemp("any")
    seeds = data.draw(st.integers(1, 3))
    facts = redteam_facts(
        finished(folder, *(data.draw(any_seed(KINDS_OF_ARMS, k)) for k in range(seeds)), policy=policy)
    )
    check(facts, folder)
    picked = facts["policy_pick"]["arm"]
    if picked is not None:
        chosen = facts["arms"][picked]
        assert chosen["arm"] != "random"
        assert chosen["seeds"] == seeds
        assert chosen["perplexity_change"]["value"] <= 0.01
        assert not (policy == "regulated-health" and chosen["pruned_tokens"])
    if facts["knee"]["arm"] is not None:
        assert facts["arms"][facts["knee"]["arm"]]["beats_random"]["low"] > 0
