"""A policy is understood whole or refused, and every refusal says file, line and column."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from carto_audit.errors import UsageError
from carto_audit.metrics import METRICS
from carto_audit.policy import Policy, load_policy
from carto_audit.policy_chain import builtin_policies
from carto_audit.resources import resource_folder

HEAD = "schema_version: 1\nname: test\n"
MAP = """\
map:
  difficulty: {threshold: {percentile: 75}}
  memorization: {score: memorized_span_share, threshold: {control_dose: 4}}
"""
RULES = """\
rules:
  - {id: mass, metric: hotspot_memorized.token_share, max: 0.05, severity: reject, reason: leaks}
  - {id: size, metric: batch.tokens, min: 1000, severity: warn, reason: too small}
  - {id: power, metric: detection.auc_at_dose_4, min: 0.9, severity: reject, reason: must see}
"""
WHOLE = HEAD + MAP + RULES
WAIVER = "  - {rule: mass, owner: me, reason: retired in March, expires: 2027-03-31}\n"


@pytest.fixture
def write(tmp_path):
    def write_policy(text, name="policy.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_policy


def refusal(path):
    """The lines of the error that loading raises, with the folder taken off."""
    with pytest.raises(UsageError) as caught:
        load_policy(path)
    folder = f"{path.parent}/" if isinstance(path, Path) else ""
    return [line.removeprefix(folder) for line in str(caught.value).split("\n")]


# What a policy says


def test_a_whole_policy_loads_with_defaults_filled_in(write):
    policy = load_policy(write(WHOLE))
    assert policy.name == "test"
    assert [rule.id for rule in policy.active_rules] == ["mass", "size", "power"]
    assert (policy.rules[0].limit, policy.rules[1].limit) == (0.05, 1000)
    assert {choice.action for choice in policy.interventions.values()} == {"keep"}
    assert policy.map.memorization.threshold.choice == "control_dose"
    assert policy.map.memorization.epsilon.relative == 0.1
    assert policy.never_drop is False


def test_the_papers_name_for_the_forget_score_is_understood(write):
    policy = load_policy(write(WHOLE.replace("memorized_span_share, thr", "forget_events, thr")))
    assert policy.map.memorization.score == "forget_score"


def test_the_digest_covers_decisions_and_not_their_spelling(write):
    one = load_policy(write(WHOLE))
    other = load_policy(write("# a comment\n" + HEAD + RULES.replace("0.05", "5.0e-2") + MAP, "other.yaml"))
    changed = load_policy(write(WHOLE.replace("0.05", "0.06"), "changed.yaml"))
    assert one.sha256 == other.sha256 != changed.sha256
    assert Policy.model_validate({**one.resolved(), "waivers": []}) == one


def test_resolved_policy_is_plain_json_with_dates_as_text(write):
    resolved = load_policy(write(WHOLE + "waivers:\n" + WAIVER)).resolved()
    assert resolved["waivers"][0]["expires"] == "2027-03-31"
    assert resolved["map"]["memorization"]["threshold"] == {"control_dose": 4}
    assert "extends" not in resolved


# Shipped policies


def test_the_shipped_policies_are_the_promised_ones():
    promised = ("default", "exploratory", "gendatacarto", "regulated-health", "regulated-legal", "strict")
    assert builtin_policies() == promised


@pytest.mark.parametrize("name", builtin_policies())
def test_each_shipped_policy_loads_under_its_own_name_and_gives_reasons(name):
    policy = load_policy(name)
    assert policy.name == name
    assert policy.active_rules
    assert all(len(rule.reason) > 40 for rule in policy.rules)
    assert load_policy(resource_folder("policies") / f"{name}.yaml") == policy


def test_default_lets_no_confirmed_item_and_no_blind_audit_through():
    policy = load_policy("default")
    rules = {rule.metric: rule for rule in policy.rules}
    assert policy.map.memorization.threshold.control_dose == 4
    assert (rules["contamination.confirmed_items"].max, rules["contamination.confirmed_items"].severity) == (
        0,
        "reject",
    )
    assert rules["detection.auc_at_dose_4"].min == 0.9
    assert rules["hotspot_memorized.token_share"].max == 0.05


def test_gendatacarto_has_the_papers_knobs():
    policy = load_policy("gendatacarto")
    assert policy.map.difficulty.threshold.percentile == 75
    assert 0.1 <= policy.map.difficulty.burn_in_share <= 0.2
    assert policy.map.memorization.score == "forget_score"
    assert policy.map.memorization.threshold.percentile == 30
    actions = {name: (choice.action, choice.weight) for name, choice in policy.interventions.items()}
    assert actions == {
        "stable_easy": ("keep", 1),
        "ambiguous_hard": ("upsample", 1.5),
        "hotspot_memorized": ("downweight", 0.5),
        "noisy_outlier": ("remove", 0),
    }


def test_strict_is_nowhere_looser_than_default():
    strict = {rule.id: rule for rule in load_policy("strict").rules}
    for rule in load_policy("default").rules:
        tightened = strict[rule.id]
        assert not tightened.disabled
        assert tightened.severity == rule.severity or tightened.severity == "reject"
        assert tightened.limit <= rule.limit if rule.max is not None else tightened.limit >= rule.limit


@pytest.mark.parametrize("name", ["regulated-health", "regulated-legal"])
def test_regulated_policies_drop_nothing_and_count_from_one_occurrence(name):
    policy = load_policy(name)
    assert policy.never_drop
    assert policy.map.memorization.threshold.control_dose == 1
    hotspots = next(rule for rule in policy.rules if rule.id == "hotspot-mass")
    assert (hotspots.max, hotspots.severity, hotspots.locked) == (0.02, "reject", True)


def test_exploratory_never_rejects_and_needs_no_benchmark():
    for rule in load_policy("exploratory").rules:
        assert rule.severity == "warn"
        assert METRICS[rule.metric].kind != "power"
        assert not rule.metric.startswith("contamination.")


# Mistakes, and where they are


def test_all_mistakes_are_named_at_once_with_their_places(write):
    text = """\
schema_version: 1
name: test
nmae: test
map:
  difficulty: {threshold: {control_dose: 4}}
  memorization: {score: memorised_share, threshold: {percentile: 20, absolute: 1}}
interventions:
  hotspot: {action: keep}
rules:
  - {id: a, metric: batch.rows, severity: rejct, max: 1, reason: r}
  - {id: b, metric: batch.row, severity: warn, sevrity: warn, max: 1, reason: r}
  - {id: b, metric: batch.rows, severity: warn, reason: r}
waivers:
  - {rule: c, owner: me, reason: short, expires: tomorrow}
"""
    assert refusal(write(text)) == [
        'policy.yaml:3:1: nmae: unknown key; did you mean "name"?',
        "policy.yaml:5:16: map.difficulty.threshold: "
        "control_dose measures memorization; cut difficulty by percentile or absolute",
        "policy.yaml:6:18: map.memorization.score: should be 'memorized_span_share', 'memorized_share' or "
        "'forget_score'; did you mean \"memorized_share\"?",
        "policy.yaml:6:42: map.memorization.threshold: "
        "needs exactly one of percentile, absolute, control_dose; has percentile and absolute",
        "policy.yaml:8:3: interventions.hotspot: should be 'stable_easy', 'ambiguous_hard', 'hotspot_memorized' or "
        "'noisy_outlier'; did you mean \"hotspot_memorized\"?",
        "policy.yaml:10:33: rules.0.severity: should be 'reject' or 'warn'; did you mean \"reject\"?",
        'policy.yaml:11:13: rules.1.metric: no metric is called "batch.row"; did you mean "batch.rows"?',
        'policy.yaml:11:48: rules.1.sevrity: unknown key; did you mean "severity"?',
        "policy.yaml:12:5: rules.2: needs exactly one of max and min; for both, write two rules",
        'policy.yaml:12:6: rules.2.id: "b" is already in this list; keep one entry',
        'policy.yaml:14:6: waivers.0.rule: no rule is called "c"',
        "policy.yaml:14:26: waivers.0.reason: should have at least 10 characters",
        "policy.yaml:14:41: waivers.0.expires: should be a date without quotes, such as 2027-03-31",
    ]


@pytest.mark.parametrize(
    ("find", "replace", "message"),
    [
        ("schema_version: 1\n", "", "1:1: schema_version: this key is missing"),
        ("schema_version: 1\n", "schema_version: 2\n", "1:1: schema_version: should be 1"),
        ("schema_version: 1\n", "schema_version: true\n", "should be a number, not true or false"),
        ("name: test", 'name: "\\e[31m"', "name: should match pattern"),
        ("max: 0.05", "max: .nan", "rules.0.max: should be a finite number"),
        ("max: 0.05", "max: .inf", "rules.0.max: should be a finite number"),
        ("max: 0.05", "max: 1e999", "rules.0.max: should be a finite number"),
        ("max: 0.05", "max: -0.1", "is never negative"),
        ("max: 0.05", "max: 5", "ends at 1; 5 % is written 0.05"),
        ("max: 0.05", "max: '0.05'", "should be a valid number"),
        ("max: 0.05", "max: true", "should be a valid number"),
        ("max: 0.05", "max: yes", "should be a valid number"),
        ("max: 0.05", "max: ", "this is empty; write a value or leave the key out"),
        ("max: 0.05", "min: 0.05", 'is better lower, so "min" would pass bad batches; use "max"'),
        ("min: 0.9", "max: 0.9", 'is better higher, so "max" would pass bad batches; use "min"'),
        ("max: 0.05, ", "", "7:5: rules.0: needs exactly one of max and min"),
        ("reason: leaks", "reason: ' '", "should have at least 1 character"),
        (", reason: leaks", "", "rules.0.reason: this key is missing"),
        (", severity: reject, reason: leaks", ", disabled: true", "rules.0.reason: this key is missing"),
        ("id: mass", "id: Mass Rule", "rules.0.id: should match pattern"),
        ("{percentile: 75}", "{percentile: 101}", "should be less than or equal to 100"),
        ("{percentile: 75}", "{}", "needs exactly one of percentile, absolute, control_dose; has none"),
        ("{control_dose: 4}", "{control_dose: 2}", "should be 1, 4 or 16"),
        ("{control_dose: 4}", "{control_dose: true}", "should be a number, not true or false"),
        (MAP, "", "1:1: map: this key is missing"),
        (RULES, "", "1:1: rules: this key is missing"),
        (RULES, "rules: {}\n", "rules: should be a list"),
        (RULES, "rules: [3]\n", "rules.0: should be a mapping of keys"),
        ("name: test\n", "name: test\nname: test\n", "3:1: name: this key is written twice; keep one"),
        ("name: test", "name: *other", "not valid YAML: found undefined alias"),
        ("name: test", "1: test", "a key must be plain text"),
        ("name: test", "name: !!python/object:os.system x", "no tags such as !!python"),
        ("name: test", "name: test\nwaivers: !list []", "no tags such as !!python"),
        ("name: test", "name: 2027-02-31", "2:7: not valid YAML"),
        ("name: test", "name: te\x07st", "2:9: not valid YAML"),
        ("name: test", "name: [", "not valid YAML"),
        (
            "name: test",
            "name: test\nnever_drop: true\ninterventions: {noisy_outlier: {action: remove}}",
            "may not be removed",
        ),
    ],
)
def test_a_mistake_is_refused_and_explained(write, find, replace, message):
    assert find in WHOLE
    lines = refusal(write(WHOLE.replace(find, replace, 1)))
    assert any(message in line for line in lines), lines
    assert all(re.match(r"policy\.yaml(:\d+:\d+)?: ", line) for line in lines), lines


def test_repeated_keys_are_refused_wherever_they_stand(write):
    text = WHOLE.replace("max: 0.05", "max: 0.05, max: 0.9").replace("name: test", "name: test\nname: other")
    assert refusal(write(text)) == [
        "policy.yaml:3:1: name: this key is written twice; keep one",
        "policy.yaml:8:66: max: this key is written twice; keep one",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "policy.yaml:1:1: the file is empty; start with schema_version: 1"),
        (b"# only a comment\n", "policy.yaml:1:1: the file is empty; start with schema_version: 1"),
        (
            b"- 1\n",
            "policy.yaml:1:1: the file must be a mapping of keys at the top level; start with schema_version: 1",
        ),
        (
            b"just text",
            "policy.yaml:1:1: the file must be a mapping of keys at the top level; start with schema_version: 1",
        ),
        (b"\x89PNG\r\n\x1a\n\xff", "policy.yaml: not UTF-8 text; a policy is a YAML file saved as UTF-8"),
        (b"[" * 20_000, "policy.yaml: nested too deeply"),
        (b"a: 1\n---\na: 2\n", "policy.yaml:2:1: not valid YAML: but found another document"),
    ],
)
def test_a_file_that_is_no_policy_is_refused_in_one_line(write, content, message):
    assert refusal(write(content)) == [message]


def test_a_byte_order_mark_and_windows_line_ends_are_fine(write):
    assert load_policy(write(b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode())).name == "test"


def test_an_enormous_file_is_refused_unread(tmp_path):
    path = tmp_path / "policy.yaml"
    with path.open("wb") as stream:
        stream.truncate(100_000_000)
    assert refusal(path) == ["policy.yaml: cannot read the policy: larger than 256 KB; is this a policy?"]


def test_a_folder_and_a_pipe_are_no_policies(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe") == ["pipe: cannot read the policy: not a regular file"]
    assert refusal(tmp_path)[0].endswith("cannot read the policy: not a regular file")


def test_alias_bombs_are_refused(write):
    levels = "".join(f"l{i + 1}: &l{i + 1} [{', '.join([f'*l{i}'] * 9)}]\n" for i in range(30))
    assert any("aliases (*name) are not allowed" in line for line in refusal(write("l0: &l0 [x]\n" + levels)))
    merges = "".join(f"l{i + 1}: &l{i + 1}\n  <<: [{', '.join([f'*l{i}'] * 9)}]\n" for i in range(30))
    assert any("merge keys (<<) are not allowed" in line for line in refusal(write("l0: &l0 {x: 1}\n" + merges)))


def test_a_value_cannot_contain_itself(write):
    assert refusal(write(WHOLE + "waivers: &w [*w]\n"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("strikt", 'did you mean "strict"?'),
        ("nothing/like.it", "built in are default, exploratory"),
        ("\x00", "built in"),
    ],
)
def test_an_unknown_policy_is_answered_with_the_nearest_name(name, hint):
    assert hint in refusal(name)[0]


def test_names_and_values_from_a_policy_reach_the_message_harmless(write):
    lines = refusal(write(HEAD + MAP + 'rules: []\n"\\e[31m\\u202E::error::\\n": 1\n'))
    assert lines == ["policy.yaml:7:1: [31m::error::: unknown key"]


# extends


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


# Waivers


def test_a_child_renews_a_waiver(write):
    write(WHOLE + "waivers:\n" + WAIVER, "base.yaml")
    renewed = WAIVER.replace("2027-03-31", "2027-06-30")
    (waiver,) = load_policy(write(child("waivers:\n" + renewed))).waivers
    assert waiver.expires.month == 6


@pytest.mark.parametrize(
    ("waiver", "message"),
    [
        (WAIVER.replace("rule: mass", "rule: mas"), 'rule: no rule is called "mas"; did you mean "mass"?'),
        (WAIVER.replace("rule: mass", "rule: power"), "asks whether the audit can see at all; that cannot be waived"),
        (WAIVER.replace("rule: mass", "rule: off"), "is disabled, there is nothing to waive"),
        (WAIVER.replace("retired in March", "ok"), "reason: should have at least 10 characters"),
        (WAIVER.replace("owner: me, ", ""), "owner: this key is missing"),
        (WAIVER.replace(", expires: 2027-03-31", ""), "expires: this key is missing"),
        (WAIVER.replace("2027-03-31", "2027-03-31T10:00:00Z"), "should be a date without quotes"),
        (WAIVER.replace("2027-03-31", "20270331"), "should be a date without quotes"),
        (WAIVER.replace("rule: mass", "rule: size, max_value: 3"), "only a rule with max has a largest accepted value"),
        (WAIVER.replace("rule: mass", "rule: mass, max_value: .nan"), "should be a finite number"),
        (WAIVER + WAIVER, '"mass" is already in this list; keep one entry'),
    ],
)
def test_a_waiver_that_waives_nothing_or_hides_who_and_why_is_refused(write, waiver, message):
    off = "  - {id: off, metric: batch.rows, max: 1, severity: warn, disabled: true, reason: r}\n"
    (line,) = refusal(write(WHOLE + off + "waivers:\n" + waiver))
    assert message in line


# Documentation and speed


def test_every_metric_is_documented_as_declared():
    text = (Path(__file__).parent.parent / "docs" / "policy.md").read_text()
    limits = {"lower": "`max`", "higher": "`min`", "neither": "`max` or `min`"}
    documented = re.findall(r"^\| `[a-z_]+\.[a-z0-9_]+` \| (?!required)\w+ \| `m.*$", text, re.MULTILINE)
    assert documented == [
        f"| `{metric.name}` | {metric.unit} | {limits[metric.better]} | "
        f"{'◆ ' if metric.kind == 'power' else ''}{metric.meaning} |"
        for metric in METRICS.values()
    ]


def test_the_documented_example_loads(write):
    text = (Path(__file__).parent.parent / "docs" / "policy.md").read_text()
    (example_policy,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    policy = load_policy(write(example_policy))
    assert policy.name == "acme-clinical"
    assert "memorized-mass" not in [rule.id for rule in policy.active_rules]


def test_the_documented_mistakes_read_as_documented(write):
    text = (Path(__file__).parent.parent / "docs" / "policy.md").read_text()
    (whole,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (shown,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    mistyped = (
        whole.replace("severity: reject", "sevrity: reject").replace("100000", "100 k").replace("suspects", "suspect")
    )
    assert refusal(write(mistyped, "ours.yaml")) == shown.splitlines()


def test_every_key_is_documented():
    text = (Path(__file__).parent.parent / "docs" / "policy.md").read_text()
    for model in (Policy, *(Policy.model_fields[key].annotation for key in ("map",))):
        for key in model.model_fields:
            assert f"`{key}" in text


def test_reading_a_policy_loads_nothing_heavy():
    code = (
        "import sys; from carto_audit.policy import load_policy; from carto_audit import verdict;"
        "load_policy('regulated-health');"
        "print([m for m in ('torch','transformers','pyarrow','matplotlib','numpy','scipy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


# Properties


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("policies") / "policy.yaml"


def loads_or_refuses(path, text):
    """Whether it loads; anything but a policy or a UsageError with a well-formed text fails the test."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        load_policy(path)
    except UsageError as error:
        for line in str(error).split("\n"):
            assert line.startswith(f"{path}:")
            assert line.isprintable()
        return False
    return True


BASE = (resource_folder("policies") / "default.yaml").read_text()
YAMLISH = st.text(st.sampled_from(list("ab1.:-[]{}&*!|>'\"%@`#,?~<=\n\t \\/0exnN_é\u2028\x00\x1b")), max_size=60)
SNIPPETS = st.sampled_from(
    [
        "- ",
        "? ",
        ": ",
        "<<: ",
        "*a",
        "&a ",
        "!!int ",
        "!!set ",
        "!!omap ",
        "!!timestamp ",
        "%YAML 1.1\n---\n",
        "...\n",
        "0o7",
        "0x",
        "1e5",
        ".nan",
        "12:30",
        "2027-01-01",
        "=",
        "null",
        "~",
        "|+\n",
        ">-2\n",
        "extends: default\n",
        "\r",
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.one_of(YAMLISH, st.lists(st.one_of(YAMLISH, SNIPPETS), max_size=12).map("".join), st.text(), st.binary()))
@example("!!binary x")
@example("? {a: 1}\n: 2")
@example("%YAML 1.1\n---\na: 12:30")
def test_no_text_does_anything_but_load_or_be_refused(scratch, text):
    assert not loads_or_refuses(scratch, text)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, len(BASE)), st.integers(0, 12), st.one_of(YAMLISH, SNIPPETS))
def test_damaging_a_policy_anywhere_is_survived(scratch, start, cut, insert):
    loads_or_refuses(scratch, BASE[:start] + insert + BASE[start + cut :])


KEYS = list(re.finditer(r"^(?!#)[ -]*(\w+):|[{,] ?(\w+):", BASE, re.MULTILINE))
LETTERS = st.sampled_from("abcdefghijklmnopqrstuvwxyz_0")


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(KEYS), st.data())
def test_a_mistyped_key_never_passes(scratch, match, data):
    group = 1 if match[1] else 2
    key = match[group]
    at = data.draw(st.integers(0, len(key) - 1))
    letter = data.draw(LETTERS)
    typo = data.draw(
        st.sampled_from([key[:at] + letter + key[at:], key[:at] + letter + key[at + 1 :], key[:at] + key[at + 1 :]])
    )
    if typo and typo != key:
        assert not loads_or_refuses(scratch, BASE[: match.start(group)] + typo + BASE[match.end(group) :])


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(METRICS)), st.data())
def test_a_mistyped_metric_never_passes(scratch, name, data):
    at = data.draw(st.integers(0, len(name) - 1))
    typo = name[:at] + data.draw(LETTERS) + name[at + 1 :]
    if typo not in METRICS:
        text = HEAD + MAP + f"rules: [{{id: a, metric: {typo}, max: 0.5, severity: warn, reason: r}}]\n"
        assert not loads_or_refuses(scratch, text)
