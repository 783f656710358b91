"""A policy is understood whole or refused, and every refusal says file, line and column."""

import re
import subprocess
import sys

import pytest

from carto_audit.cartography.scores import SCORES
from carto_audit.policy.inheritance import builtin_policies
from carto_audit.policy.metrics import METRICS
from carto_audit.policy.model import Policy, load_policy
from carto_audit.runtime.resources import resource_folder
from tests.support.policy_texts import HEAD, MAP, RULES, WAIVER, WHOLE, refusal, writer
from tests.support.repository import ROOT


@pytest.fixture
def write(tmp_path):
    return writer(tmp_path)


# What a policy says


def test_a_whole_policy_loads_with_defaults_filled_in(write):
    policy = load_policy(write(WHOLE))
    assert policy.name == "test"
    assert [rule.id for rule in policy.active_rules] == ["mass", "size", "power"]
    assert (policy.rules[0].limit, policy.rules[1].limit) == (0.05, 1000)
    assert {choice.action for choice in policy.interventions.values()} == {"keep"}
    assert policy.map.memorization.threshold.ways == ("control_dose",)
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


@pytest.mark.parametrize("score", SCORES)
def test_every_score_that_an_audit_measures_may_be_chosen_and_no_other(write, score):
    assert load_policy(write(WHOLE.replace("memorized_span_share", score))).map.memorization.score == score
    assert "did you mean" in refusal(write(WHOLE.replace("memorized_span_share", f"{score}s")))[0]


def test_a_dose_and_a_percentile_may_stand_together_and_stay_together_when_resolved(write):
    policy = load_policy(write(WHOLE.replace("{control_dose: 4}", "{percentile: 95, control_dose: 4}")))
    assert policy.map.memorization.threshold.ways == ("percentile", "control_dose")
    assert policy.resolved()["map"]["memorization"]["threshold"] == {"percentile": 95, "control_dose": 4}


@pytest.mark.parametrize("axis", ["difficulty", "memorization"])
def test_either_axis_may_be_cut_by_a_trusted_reference(write, axis):
    given = "{percentile: 75}" if axis == "difficulty" else "{control_dose: 4}"
    policy = load_policy(write(WHOLE.replace(given, "{reference_percentile: 99}")))
    assert getattr(policy.map, axis).threshold.reference_percentile == 99


# Shipped policies


def test_the_shipped_policies_are_the_promised_ones():
    promised = (
        "default",
        "exploratory",
        "gendatacarto",
        "playbook-regulated",
        "regulated-health",
        "regulated-legal",
        "strict",
        "vendor",
    )
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
    assert rules["detection.found_at_dose_4"].min == 0.75
    assert rules["hotspot_memorized.token_share"].max == 0.10
    for metric in ("memorized.token_share", "memorized.span_token_share", "boilerplate.surprising_token_share"):
        assert rules[metric].severity == "reject"
    assert policy.map.memorization.score == "memorized"
    assert rules["kinship.severed_token_share"].max == 0.05
    assert rules["kinship.severed_token_share"].severity == "reject"


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
def test_regulated_policies_drop_nothing_and_prove_two_occurrences(name):
    policy = load_policy(name)
    assert policy.never_drop
    assert policy.map.memorization.threshold.control_dose == policy.demanded_dose == 2
    proofs = {r.metric: (r.severity, r.locked) for r in policy.active_rules if r.metric.startswith("detection.")}
    assert proofs == {"detection.found_at_dose_2": ("reject", True)}
    rules = {rule.id: rule for rule in policy.active_rules}
    for name, most in (("memorized-passages", 0.04), ("sensitive-passages", 0)):
        assert (rules[name].max <= most, rules[name].severity, rules[name].locked) == (True, "reject", True)


def test_the_playbook_flags_four_fifths_and_drops_nothing():
    policy = load_policy("playbook-regulated")
    assert policy.never_drop
    assert (policy.map.memorization.score, policy.map.memorization.threshold.percentile) == ("forget_score", 20)
    assert {policy.interventions[name].action for name in ("hotspot_memorized", "noisy_outlier")} == {"downweight"}


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
        "control_dose measures memorization; cut difficulty by percentile, reference_percentile or absolute",
        "policy.yaml:6:18: map.memorization.score: should be 'memorized', 'memorized_span_share', "
        "'memorized_share' or 'forget_score'; did you mean \"memorized_share\"?",
        "policy.yaml:6:42: map.memorization.threshold: "
        "needs exactly one of percentile, absolute, control_dose, reference_percentile, or control_dose and percentile "
        "together; has percentile and absolute",
        "policy.yaml:8:3: interventions.hotspot: should be 'stable_easy', 'ambiguous_hard', 'hotspot_memorized' or "
        "'noisy_outlier'; did you mean \"hotspot_memorized\"?",
        "policy.yaml:10:33: rules.0.severity: should be 'reject' or 'warn'; did you mean \"reject\"?",
        'policy.yaml:11:13: rules.1.metric: no metric is called "batch.row"; did you mean "batch.rows"?',
        'policy.yaml:11:48: rules.1.sevrity: unknown key; did you mean "severity"?',
        "policy.yaml:12:5: rules.2: needs exactly one of max, min and max_increase; for two limits, write two rules",
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
        ("max: 0.05, ", "", "7:5: rules.0: needs exactly one of max, min and max_increase"),
        ("reason: leaks", "reason: ' '", "should have at least 1 character"),
        (", reason: leaks", "", "rules.0.reason: this key is missing"),
        (", severity: reject, reason: leaks", ", disabled: true", "rules.0.reason: this key is missing"),
        ("id: mass", "id: Mass Rule", "rules.0.id: should match pattern"),
        ("{percentile: 75}", "{percentile: 101}", "should be less than or equal to 100"),
        ("{percentile: 75}", "{}", "or control_dose and percentile together; has none"),
        ("{control_dose: 4}", "{control_dose: 4, absolute: 0.5}", "has absolute and control_dose"),
        (
            "{control_dose: 4}",
            "{control_dose: 4, reference_percentile: 9}",
            "has control_dose and reference_percentile",
        ),
        ("{percentile: 75}", "{percentile: 75, control_dose: 4}", "control_dose measures memorization"),
        ("{control_dose: 4}", "{reference_percentile: 101}", "should be less than or equal to 100"),
        ("{control_dose: 4}", "{control_dose: 3}", "should be 1, 2, 4, 8, 16 or 64"),
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


# Waivers


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
    text = (ROOT / "docs" / "policy.md").read_text()
    limits = {"lower": "`max`", "higher": "`min`", "neither": "`max` or `min`"}
    documented = re.findall(r"^\| `[a-z_]+\.[a-z0-9_]+` \| (?!required)\w+ \| `m.*$", text, re.MULTILINE)
    assert documented == [
        f"| `{metric.name}` | {metric.unit} | {limits[metric.better]} | "
        f"{'◆ ' if metric.of_audit else ''}{metric.meaning} |"
        for metric in METRICS.values()
    ]


def test_the_documented_example_loads(write):
    text = (ROOT / "docs" / "policy.md").read_text()
    example_policy, *_ = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    policy = load_policy(write(example_policy))
    assert policy.name == "acme-clinical"
    assert "memorized-mass" not in [rule.id for rule in policy.active_rules]


def test_the_documented_mistakes_read_as_documented(write):
    text = (ROOT / "docs" / "policy.md").read_text()
    whole, *_ = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    shown, *_ = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    mistyped = (
        whole.replace("severity: reject", "sevrity: reject").replace("100000", "100 k").replace("suspects", "suspect")
    )
    assert refusal(write(mistyped, "ours.yaml")) == shown.splitlines()


def test_every_key_is_documented():
    text = (ROOT / "docs" / "policy.md").read_text()
    for model in (Policy, *(Policy.model_fields[key].annotation for key in ("map",))):
        for key in model.model_fields:
            assert f"`{key}" in text


def test_reading_a_policy_loads_nothing_heavy():
    code = (
        "import sys; from carto_audit.policy.model import load_policy; from carto_audit.gate import verdict;"
        "load_policy('regulated-health');"
        "print([m for m in ('torch','transformers','pyarrow','matplotlib','numpy','scipy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("metric", [name for name, metric in METRICS.items() if metric.better == "higher"])
def test_an_increase_of_what_is_better_high_is_no_limit(write, metric):
    rule = f"  - {{id: more, metric: {metric}, max_increase: 0.1, severity: warn, reason: r}}\n"
    (line,) = refusal(write(WHOLE + rule))
    assert 'is better higher, so "max_increase" would pass bad batches; use "min"' in line
