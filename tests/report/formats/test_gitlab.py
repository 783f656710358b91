import json

from hypothesis import given
from jsonschema import Draft7Validator

from carto_audit.report.formats.gitlab import render_gitlab
from tests.support.hostile_facts import hostile_facts, slim_facts

ISSUES = Draft7Validator(
    {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["description", "check_name", "fingerprint", "severity", "location"],
            "properties": {
                "description": {"type": "string", "minLength": 1},
                "check_name": {"type": "string", "minLength": 1},
                "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
                "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
                "location": {
                    "type": "object",
                    "required": ["path", "lines"],
                    "properties": {
                        "path": {"type": "string", "minLength": 1, "not": {"pattern": "^\\./"}},
                        "lines": {
                            "type": "object",
                            "required": ["begin"],
                            "properties": {"begin": {"type": "integer", "minimum": 1}},
                        },
                    },
                },
            },
        },
    }
)
"""The code quality format, field by field as GitLab's documentation states it; GitLab publishes no schema of its own."""


def issues_of(facts):
    text = render_gitlab(facts)
    assert text.startswith("[")
    issues = json.loads(text)
    assert not list(ISSUES.iter_errors(issues))
    prints = [issue["fingerprint"] for issue in issues]
    assert len(set(prints)) == len(prints)
    return issues


def test_the_schema_refuses_an_issue_without_a_place():
    issues = json.loads(render_gitlab(slim_facts()))
    del issues[0]["location"]["lines"]
    assert list(ISSUES.iter_errors(issues))


def test_severities_say_what_stops_the_merge():
    facts = slim_facts()
    facts["findings"][1] |= {"file": "ours.yaml", "line": 7}
    shown = [(issue["check_name"], issue["severity"]) for issue in issues_of(facts)]
    assert shown == [
        ("carto-audit/hotspot-mass", "blocker"),
        ("carto-audit/benchmark-items", "blocker"),
        ("carto-audit/near-copies", "minor"),
        ("carto-audit/noise", "info"),
        ("carto-audit/policy", "minor"),
        ("carto-audit/detection", "minor"),
    ]
    assert issues_of(facts)[0]["location"] == {"path": "ours.yaml", "lines": {"begin": 7}}
    assert issues_of(facts)[-1]["location"]["path"] == "ours.yaml"
    assert "Waived: logs are wanted here" in issues_of(facts)[3]["description"]


def test_an_accepted_batch_without_warnings_is_an_empty_report():
    facts = slim_facts()
    facts["findings"], facts["warnings"], facts["detection"]["warnings"] = facts["findings"][:1], [], []
    assert issues_of(facts) == []


@given(facts=hostile_facts())
def test_hostile_text_leaves_the_report_valid(facts):
    for issue in issues_of(facts):
        assert issue["description"].isprintable()
        assert issue["location"]["path"].isprintable()
