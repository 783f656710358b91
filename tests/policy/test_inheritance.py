"""What `extends` inherits, what it may override, and what a lock forbids."""

from pathlib import Path

import pytest

from carto_audit.policy.model import load_policy
from tests.support.policy_texts import HEAD, WAIVER, WHOLE, refusal, writer


@pytest.fixture
def write(tmp_path):
    return writer(tmp_path)


def child(body, parent="base.yaml"):
    return f"{HEAD}extends: {parent}\n{body}"


def test_a_child_inherits_overrides_by_id_and_adds(write):
    write(WHOLE + "never_drop: true\ninterventions:\n  noisy_outlier: {action: downweight, weight: 0.5}\n", "base.yaml")
    policy = load_policy(
        write(
            child(
                "map:\n  memorization: {threshold: {absolute: 0.3}}\n"
                "interventions:\n  hotspot_memorized: {action: downweight, weight: 0.25}\n"
                "rules:\n  - {id: new, metric: batch.rows, min: 5, severity: warn, reason: tiny}\n"
                "  - {id: mass, max: 0.5, reason: ours}\n"
            )
        )
    )
    assert [rule.id for rule in policy.rules] == ["mass", "size", "power", "new"]
    assert (policy.rules[0].max, policy.rules[0].severity, policy.rules[0].reason) == (0.5, "reject", "ours")
    assert policy.rules[1].reason == "too small"
    assert policy.map.memorization.score == "memorized_span_share"
    assert policy.map.memorization.threshold.absolute == 0.3
    assert policy.map.difficulty.threshold.percentile == 75
    assert policy.interventions["noisy_outlier"].weight == 0.5
    assert policy.interventions["hotspot_memorized"].weight == 0.25
    assert policy.never_drop


@pytest.mark.parametrize("threshold", ["{percentile: 95}", "{reference_percentile: 95}", "{absolute: 0.3}"])
def test_a_childs_threshold_replaces_the_whole_of_its_parents(write, threshold):
    """A percentile beside an inherited dose would silently be the stricter of two."""
    write(WHOLE, "base.yaml")
    policy = load_policy(write(child(f"map: {{memorization: {{threshold: {threshold}}}}}\n")))
    assert policy.map.memorization.threshold.control_dose is None
    assert len(policy.map.memorization.threshold.ways) == 1


def test_a_changed_rule_needs_its_own_reason(write):
    write(WHOLE, "base.yaml")
    lines = refusal(write(child("rules: [{id: mass, max: 0.5}]\n")))
    assert lines == ["policy.yaml:4:9: rules.0.reason: this key is missing"]


def test_a_disabled_rule_stays_in_sight_and_an_override_brings_it_back(write):
    write(WHOLE, "base.yaml")
    path = write(child("rules: [{id: size, disabled: true, reason: all batches are small}]\n"), "off.yaml")
    policy = load_policy(path)
    assert [rule.id for rule in policy.active_rules] == ["mass", "power"]
    assert policy.resolved()["rules"][1]["reason"] == "all batches are small"
    back = load_policy(write(child("rules: [{id: size, min: 10, reason: but not this small}]\n", "off.yaml")))
    assert [rule.id for rule in back.active_rules] == ["mass", "size", "power"]


@pytest.mark.parametrize("entry", ["{id: masss, max: 0.5, reason: r}", "{id: masss, disabled: true, reason: r}"])
def test_overriding_a_rule_that_does_not_exist_is_refused(write, entry):
    write(WHOLE, "base.yaml")
    (line, *_) = refusal(write(child(f"rules: [{entry}]\n")))
    assert line == (
        'policy.yaml:4:9: rules.0.metric: this key is missing, and no inherited rule is called "masss"; '
        'did you mean "mass"?'
    )


def test_an_inherited_rule_cannot_move_to_another_metric(write):
    write(WHOLE, "base.yaml")
    lines = refusal(write(child("rules: [{id: mass, metric: batch.rows, max: 1, reason: r}]\n")))
    assert "give a rule about another metric another id" in lines[0]


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ("max: 0.06", "loosened from 0.05 to 0.06"),
        ("severity: warn", "lowered to a warning"),
        ("disabled: true", "disabled"),
        ("locked: false", "unlocked"),
    ],
)
def test_a_locked_rule_cannot_be_weakened(write, entry, what):
    write(WHOLE.replace("id: mass,", "id: mass, locked: true,"), "base.yaml")
    (line,) = refusal(write(child(f"rules: [{{id: mass, {entry}, reason: r}}]\n")))
    assert line.startswith("policy.yaml:4:20: rules.0.")
    assert line.endswith(f"base.yaml:7 and cannot be {what}")


def test_a_lock_holds_for_grandchildren_and_for_min(write):
    write(WHOLE.replace("id: power,", "id: power, locked: true,"), "base.yaml")
    write(child("rules: [{id: power, min: 0.95, reason: tighter}]\n"), "middle.yaml")
    (line,) = refusal(write(child("rules: [{id: power, min: 0.92, reason: looser}]\n", "middle.yaml")))
    assert line.endswith("cannot be loosened from 0.95 to 0.92")


def test_a_locked_rule_may_be_tightened_and_waived(write):
    write(WHOLE.replace("id: mass,", "id: mass, locked: true,"), "base.yaml")
    policy = load_policy(write(child(f"rules: [{{id: mass, max: 0.01, reason: r}}]\nwaivers:\n{WAIVER}")))
    assert (policy.rules[0].max, policy.rules[0].locked, len(policy.waivers)) == (0.01, True, 1)


def test_the_map_under_a_locked_rule_cannot_move(write):
    write(WHOLE.replace("id: mass,", "id: mass, locked: true,"), "base.yaml")
    (line,) = refusal(write(child("map: {memorization: {threshold: {control_dose: 16}}}\n")))
    assert line == (
        'policy.yaml:4:22: map.memorization.threshold: the locked rule "mass" is measured with this; it cannot change'
    )
    assert "map.loss_on: the locked rule" in refusal(write(child("map: {loss_on: completions}\n"), "narrow.yaml"))[0]
    same = load_policy(write(child("map: {memorization: {threshold: {control_dose: 4}}}\n"), "same.yaml"))
    assert same.map.memorization.threshold.control_dose == 4


def test_a_locked_power_rule_leaves_the_thresholds_free(write):
    write(WHOLE.replace("id: power,", "id: power, locked: true,"), "base.yaml")
    assert load_policy(write(child("map: {memorization: {threshold: {control_dose: 16}}}\n")))
    assert "locked" in refusal(write(child("map: {memorization: {score: forget_score}}\n"), "other.yaml"))[0]


def test_a_circle_of_policies_is_shown(write):
    write(child("", "c.yaml"), "b.yaml")
    write(child("", "a.yaml"), "c.yaml")
    (line,) = refusal(write(child("", "b.yaml"), "a.yaml"))
    assert (
        line == "c.yaml:3:1: extends: the policies extend each other in a circle: a.yaml -> b.yaml -> c.yaml -> a.yaml"
    )


def test_a_policy_cannot_extend_itself(write):
    (line,) = refusal(write(child("", "policy.yaml")))
    assert line.endswith("in a circle: policy.yaml -> policy.yaml")


def test_eight_files_may_extend_each_other_and_nine_may_not(write):
    write(WHOLE, "p0.yaml")
    for depth in range(1, 9):
        write(child("", f"p{depth - 1}.yaml"), f"p{depth}.yaml")
    folder = write(WHOLE).parent
    assert load_policy(folder / "p7.yaml").rules
    assert "more than 8 policies extend each other" in refusal(folder / "p8.yaml")[0]


def test_extends_starts_at_the_file_that_names_it(write, tmp_path):
    (tmp_path / "sub").mkdir()
    write(WHOLE, "base.yaml")
    assert load_policy(write(child("", "../base.yaml"), "sub/policy.yaml")).rules


def test_a_file_may_carry_a_built_in_name_when_it_is_written_as_a_path(write, monkeypatch):
    path = write(WHOLE, "strict")
    monkeypatch.chdir(path.parent)
    assert load_policy("strict").name == "strict"
    assert load_policy("./strict").name == "test"
    assert load_policy(Path("strict")).name == "test"


def test_an_unreadable_parent_does_not_make_inherited_keys_look_missing(write):
    lines = refusal(write(child("rulez: []\n", "nowhere.yaml")))
    assert lines[0].startswith(
        'policy.yaml:3:1: extends: no policy file and no built-in policy is called "nowhere.yaml"'
    )
    assert lines[1:] == ['policy.yaml:4:1: rulez: unknown key; did you mean "rules"?']


def test_mistakes_in_parent_and_child_are_reported_each_in_its_own_file_and_once(write):
    write(WHOLE.replace("severity: warn", "severity: wern"), "base.yaml")
    lines = refusal(write(child("wavers: []\n")))
    assert [line.split(": ")[0] for line in lines] == ["base.yaml:8:49", "policy.yaml:4:1"]


def test_never_drop_conflicts_with_an_inherited_removal(write):
    (line,) = refusal(write(child("never_drop: true\n", "strict")))
    assert line.startswith("policy.yaml:4:1: never_drop: never_drop is true, so noisy_outlier may not be removed")


def test_a_child_renews_a_waiver(write):
    write(WHOLE + "waivers:\n" + WAIVER, "base.yaml")
    renewed = WAIVER.replace("2027-03-31", "2027-06-30")
    (waiver,) = load_policy(write(child("waivers:\n" + renewed))).waivers
    assert waiver.expires.month == 6


def test_a_rule_may_have_one_waiver_per_subject_and_a_child_renews_only_its_own(write):
    first, second = (WAIVER.replace("rule: mass,", f"rule: mass, subject: vendor-{name}-*,") for name in "ab")
    write(WHOLE + "waivers:\n" + first + second, "base.yaml")
    renewed = second.replace("2027-03-31", "2027-06-30")
    waivers = load_policy(write(child("waivers:\n" + renewed))).waivers
    assert [(waiver.subject, waiver.expires.month) for waiver in waivers] == [("vendor-a-*", 3), ("vendor-b-*", 6)]
    lines = refusal(write(WHOLE + "waivers:\n" + first + first, "twice.yaml"))
    assert lines == ['twice.yaml:12:6: waivers.1.rule: "mass" is already in this list; keep one entry']


def test_a_locked_increase_cannot_be_loosened(write):
    write(WHOLE.replace("id: mass,", "id: mass, locked: true,").replace("max: 0.05", "max_increase: 0.05"), "base.yaml")
    (line,) = refusal(write(child("rules: [{id: mass, max_increase: 0.06, reason: r}]\n")))
    assert line.endswith("cannot be loosened from 0.05 to 0.06")
    assert load_policy(write(child("rules: [{id: mass, max_increase: 0.04, reason: r}]\n"))).rules[0].limit == 0.04
    assert (
        "exactly one of max, min and max_increase"
        in refusal(write(child("rules: [{id: mass, max: 1, reason: r}]\n")))[0]
    )


def test_a_place_is_shown_as_it_was_given_through_the_chain(write, monkeypatch, tmp_path):
    (tmp_path / "sub").mkdir()
    write(WHOLE, "base.yaml")
    write(child("rules: [{id: size, min: 5, reason: r}]\n", "../base.yaml"), "sub/policy.yaml")
    monkeypatch.chdir(tmp_path)
    policy = load_policy("sub/policy.yaml")
    assert policy.place("rules", "size").file == "sub/policy.yaml"
    assert policy.place("rules", "mass").file == "base.yaml"
    monkeypatch.chdir(tmp_path / "sub")
    assert load_policy("policy.yaml").place("rules", "mass").file == "../base.yaml"
