import pytest

from carto_audit.report.formats.annotations import MOST_BENCHMARKS, annotations, batch_name, policy_file, remarks
from tests.support.hostile_facts import slim_facts
from tests.support.report_facts import make_facts


def by_rule(facts):
    return {annotation.rule: annotation for annotation in annotations(facts)}


def test_what_is_wrong_comes_worst_first_and_what_passed_does_not_come():
    facts = slim_facts()
    facts["findings"][0] |= {"outcome": "underpowered"}
    facts["findings"][-1] |= {"outcome": "not_measured", "observed": None}
    shown = [(annotation.rule, annotation.level) for annotation in annotations(facts)]
    assert shown == [
        ("skipped", "error"),
        ("power", "error"),
        ("hotspot-mass", "error"),
        ("benchmark-items", "error"),
        ("near-copies", "warning"),
        ("noise", "note"),
    ]


def test_a_rule_that_only_warns_is_an_error_when_it_could_not_be_judged():
    facts = slim_facts()
    facts["findings"] = [facts["findings"][0] | {"severity": "warn", "outcome": "not_measured", "observed": None}]
    assert [(a.level, a.title, a.blind) for a in annotations(facts)] == [("error", "power: not measured", True)]


def test_an_annotation_says_value_limit_reason_and_the_benchmarks_that_were_hit():
    shown = by_rule(slim_facts())
    assert shown["hotspot-mass"].title == "hotspot-mass: rejects: 8.2 %, at most 2.0 %"
    assert "easy and memorized text is what a model gives away first." in shown["hotspot-mass"].message
    assert "orchard_math: 3 confirmed, 1 suspected." in shown["benchmark-items"].message
    assert "orchard_reading" not in shown["benchmark-items"].message
    assert "orchard_math" not in shown["hotspot-mass"].message


def test_only_so_many_benchmarks_are_named():
    facts = slim_facts()
    hit = facts["contamination"]["benchmarks"][0]
    facts["contamination"]["benchmarks"] = [hit | {"name": f"set{i}"} for i in range(MOST_BENCHMARKS + 3)]
    message = by_rule(facts)["benchmark-items"].message
    assert "set4: 3 confirmed, 1 suspected; 3 more." in message
    assert "set5" not in message


def test_an_annotation_lies_where_the_policy_sets_the_rule():
    facts = slim_facts()
    facts["findings"][1] |= {"file": "./policies/ours.yaml", "line": 12, "column": 5}
    shown = by_rule(facts)
    assert (shown["hotspot-mass"].file, shown["hotspot-mass"].line, shown["hotspot-mass"].column) == (
        "policies/ours.yaml",
        12,
        5,
    )
    assert (shown["near-copies"].file, shown["near-copies"].line, shown["near-copies"].column) == ("default", 1, 1)
    assert policy_file(facts) == "policies/ours.yaml"
    assert policy_file(slim_facts()) == "default"


def test_a_waiver_is_said_in_the_policy_s_words():
    facts = slim_facts()
    assert by_rule(facts)["noise"].waiver == "logs are wanted here (data-governance, until 2026-06-30)"
    facts["policy"]["resolved"]["waivers"][0]["owner"] = "someone else"
    assert by_rule(facts)["noise"].waiver == "waived by data-governance"
    assert by_rule(facts)["hotspot-mass"].waiver is None


def test_a_fingerprint_stays_when_the_value_or_the_place_changes_and_differs_by_rule_and_batch():
    before, facts = by_rule(slim_facts()), slim_facts()
    facts["findings"][1] |= {"observed": 0.5, "line": 99, "explanation": "other", "reason": "other"}
    assert by_rule(facts)["hotspot-mass"].fingerprint == before["hotspot-mass"].fingerprint
    assert len({a.fingerprint for a in before.values()}) == len(before)
    facts["batch"]["paths"] = ["another.parquet"]
    assert not {a.fingerprint for a in annotations(facts)} & {a.fingerprint for a in before.values()}


def test_no_rule_at_all_is_an_error_of_its_own():
    facts = slim_facts()
    facts["findings"] = []
    assert [(a.rule, a.level) for a in annotations(facts)] == [("no-rules", "error")]


def test_an_outcome_that_this_version_does_not_know_is_never_left_out():
    facts = slim_facts()
    facts["findings"][1]["outcome"] = "excused"
    with pytest.raises(ValueError, match="excused"):
        annotations(facts)


def test_every_warning_of_the_audit_is_a_remark_once():
    facts = make_facts()
    facts["warnings"] = ["waiver of x expired", "notice: the waiver of y ends on 2026-07-01", "waiver of x expired"]
    said = [(remark.level, remark.topic, remark.message) for remark in remarks(facts)]
    assert said == [
        ("warning", "policy", "waiver of x expired"),
        ("note", "policy", "the waiver of y ends on 2026-07-01"),
        ("warning", "detection", facts["detection"]["warnings"][0]),
    ]


@pytest.mark.parametrize(
    ("paths", "name"),
    [(["a/b.parquet"], "b.parquet"), (["a", "b", "c"], "a and 2 more"), ([], "batch"), (["\x1b"], "batch")],
)
def test_a_batch_is_called_by_its_first_file(paths, name):
    facts = slim_facts()
    facts["batch"]["paths"] = paths
    assert batch_name(facts) == name
