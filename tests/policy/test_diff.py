"""Stricter is stricter, looser is looser, and what is neither is not called so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.policy.diff import diff_policies
from carto_audit.policy.inheritance import builtin_policies
from carto_audit.policy.metrics import METRICS
from carto_audit.policy.model import load_policy
from tests.support.policy_texts import HEAD, WAIVER, WHOLE, writer


@pytest.fixture
def write(tmp_path):
    return writer(tmp_path)


@pytest.mark.parametrize(
    ("find", "replace", "words"),
    [
        ("max: 0.05", "max: 0.02", ["stricter rules.mass: max 0.05 -> max 0.02"]),
        ("max: 0.05", "max: 0.5", ["looser   rules.mass: max 0.05 -> max 0.5"]),
        ("min: 0.9", "min: 0.95", ["stricter rules.power: min 0.9 -> min 0.95"]),
        ("min: 1000", "min: 10", ["looser   rules.size: min 1000 -> min 10"]),
        ("severity: warn", "severity: reject", ["stricter rules.size: warn -> reject"]),
        ("max: 0.05, severity: reject", "max: 0.05, severity: warn", ["looser   rules.mass: reject -> warn"]),
        ("min: 0.9, severity: reject", "min: 0.9, severity: warn", ["changed  rules.power: reject -> warn"]),
        ("id: mass", "id: mass, locked: true", ["stricter rules.mass: not locked -> locked"]),
        ("reason: leaks", "reason: other words", []),
        ("name: test", "name: other", []),
        (
            "id: mass",
            "id: lump",
            [
                "gone     rules.mass: hotspot_memorized.token_share max 0.05, reject",
                "new      rules.lump: hotspot_memorized.token_share max 0.05, reject",
            ],
        ),
        (
            "max: 0.05",
            "disabled: true, max: 0.05",
            ["gone     rules.mass: hotspot_memorized.token_share max 0.05, reject"],
        ),
        (
            "max: 0.05",
            "max_increase: 0.05",
            [
                "changed  rules.mass: hotspot_memorized.token_share max 0.05, reject -> "
                "hotspot_memorized.token_share max_increase 0.05, reject"
            ],
        ),
        (
            "control_dose: 4",
            "control_dose: 1",
            ["stricter map.memorization.threshold: control_dose 4 -> control_dose 1"],
        ),
        ("control_dose: 4", "absolute: 0.1", ["changed  map.memorization.threshold: control_dose 4 -> absolute 0.1"]),
        ("percentile: 75", "percentile: 50", ["changed  map.difficulty.threshold: percentile 75 -> percentile 50"]),
        ("name: test\n", "name: test\nnever_drop: true\n", ["changed  never_drop: false -> true"]),
        (
            "name: test\n",
            "name: test\ninterventions: {noisy_outlier: {action: remove}}\n",
            ["changed  interventions.noisy_outlier: keep -> remove"],
        ),
    ],
)
def test_a_change_is_said_in_words(write, find, replace, words):
    one, other = load_policy(write(WHOLE)), load_policy(write(WHOLE.replace(find, replace, 1), "other.yaml"))
    assert [difference.words for difference in diff_policies(one, other)] == words


def test_waivers_and_benchmarks_come_and_go(write):
    items = "  - {id: items, metric: contamination.confirmed_items, max: 0, severity: reject, reason: r}\n"
    one = load_policy(write(WHOLE + items + "benchmarks: [a]\n"))
    other = load_policy(write(WHOLE + items + "benchmarks: [b]\nwaivers:\n" + WAIVER, "other.yaml"))
    assert [difference.words for difference in diff_policies(one, other)] == [
        "gone     benchmarks.a: every batch was compared with it",
        "new      benchmarks.b: every batch is compared with it",
        "new      waivers.mass: by me until 2027-03-31",
    ]


def test_a_change_of_a_parent_shows_in_its_child(write):
    write(WHOLE, "base.yaml")
    before = load_policy(write(HEAD + "extends: base.yaml\n"))
    write(WHOLE.replace("max: 0.05", "max: 0.5"), "base.yaml")
    after = load_policy(write(HEAD + "extends: base.yaml\n"))
    assert [difference.direction for difference in diff_policies(before, after)] == ["looser"]


@pytest.mark.parametrize("one", builtin_policies())
@pytest.mark.parametrize("other", builtin_policies())
def test_there_is_a_difference_exactly_where_the_decisions_differ(one, other):
    assert (diff_policies(load_policy(one), load_policy(other)) == []) == (one == other)


OPPOSITE = {"stricter": "looser", "looser": "stricter", "new": "gone", "gone": "new", "changed": "changed"}
LIMITED = sorted(name for name, metric in METRICS.items() if metric.better == "lower" and metric.unit == "share")


@given(st.sampled_from(LIMITED), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["reject", "warn"]), st.booleans())
def test_the_way_back_is_the_opposite(tmp_path_factory, metric, one, other, severity, locked):
    write = writer(tmp_path_factory.getbasetemp())
    rule = f"  - {{id: r, metric: {metric}, max: {one!r}, severity: reject, reason: r}}\n"
    changed = f"  - {{id: r, metric: {metric}, max: {other!r}, severity: {severity}, locked: {str(locked).lower()}, reason: r}}\n"
    a, b = load_policy(write(WHOLE + rule, "a.yaml")), load_policy(write(WHOLE + changed, "b.yaml"))
    there, back = diff_policies(a, b), diff_policies(b, a)
    assert [OPPOSITE[difference.direction] for difference in there] == [difference.direction for difference in back]
    assert [(d.after, d.before) for d in there] == [(d.before, d.after) for d in back]
