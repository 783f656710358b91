"""What a report says of audits before it: the counts that the bench kept, for rules that are still the same."""

import json

import pytest

from bench.gate.run import HERE, read_results
from bench.gate.table import operating
from carto_audit.gate import operating as module
from carto_audit.gate.operating import memory_sha256, operating_of
from carto_audit.policy.inheritance import builtin_policies
from carto_audit.policy.model import load_policy
from carto_audit.report.narrative import detection_sentences
from tests.support.report_facts import make_facts

KEPT = json.loads((HERE.parents[1] / "carto_audit" / "gate" / "operating.json").read_text())


def test_what_reports_tell_is_what_the_bench_measured_of_the_rules_as_they_are():
    assert operating(read_results(HERE / "results.jsonl")) == KEPT, "python -m bench.gate.run --only package"
    assert {"default", "strict"} <= set(KEPT) <= set(builtin_policies())


def test_a_policy_of_other_rules_on_memory_was_not_measured(tmp_path):
    child = tmp_path / "ours.yaml"
    child.write_text(
        "schema_version: 1\nname: ours\nextends: default\nrules: [{id: duplicate-mass, max: 0.1, reason: ours}]\n"
    )
    assert operating_of(load_policy(str(child))) == KEPT["default"]["measured"]
    child.write_text(
        "schema_version: 1\nname: ours\nextends: default\nrules: [{id: memorized-mass, max: 0.01, reason: ours}]\n"
    )
    assert memory_sha256(load_policy(str(child))) != KEPT["default"]["memory_sha256"]
    assert operating_of(load_policy(str(child))) is None


@pytest.mark.parametrize("planted", [0.025, 0.1])
def test_a_report_says_how_batches_of_known_mass_ended(planted):
    facts = make_facts()
    facts["operating"] = KEPT["default"]["measured"]
    (cell,) = [one for one in KEPT["default"]["measured"]["masses"] if one["planted"] == planted]
    said = detection_sentences(facts)[-1]
    assert (
        f"of {cell['batches']} batches with {100 * planted:g} % memorized tokens {cell['rejected']} were rejected"
        in said
    )
    assert module.operating_of(load_policy("gendatacarto")) is None
