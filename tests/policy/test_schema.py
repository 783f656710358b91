"""The shipped JSON Schema is the models' own, accepts every policy that loads, and knows typos."""

import json
from datetime import date

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from carto_audit.policy.inheritance import builtin_policies
from carto_audit.policy.lens_metrics import shown_metrics
from carto_audit.policy.schema import policy_schema, schema_text
from carto_audit.runtime.resources import resource_folder
from tests.support.policy_texts import HEAD, MAP, RULES, WAIVER, WHOLE, refusal, writer

FOLDER = resource_folder("policies")


def complaints(text):
    """What a validator says about the text of a policy, dates taken for text as editors do."""
    plain = json.loads(json.dumps(YAML(typ="safe", pure=True).load(text), default=date.isoformat))
    return [error.message for error in Draft202012Validator(policy_schema()).iter_errors(plain)]


def test_the_shipped_schema_is_current():
    assert (FOLDER / "policy.schema.json").read_text(encoding="utf-8") == schema_text(), (
        "carto-audit policy schema > policies/policy.schema.json"
    )
    Draft202012Validator.check_schema(policy_schema())


@pytest.mark.parametrize("name", builtin_policies())
def test_each_shipped_policy_names_the_schema_for_editors_and_fits_it(name):
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    header, _ = text.split("\n", 1)
    assert header == "# yaml-language-server: $schema=policy.schema.json"
    assert (FOLDER / header.split("=")[1]).is_file()
    assert complaints(text) == []


@pytest.mark.parametrize(
    "text",
    [
        WHOLE + "waivers:\n" + WAIVER,
        WHOLE.replace("memorized_span_share", "forget_events"),
        HEAD + "extends: default\n",
        HEAD + "extends: default\nmap: {memorization: {threshold: {control_dose: 1}}}\n",
        HEAD + "extends: default\nrules: [{id: hotspot-mass, max: 0.1, reason: r}]\nbenchmarks: [a, {name: b}]\n",
        WHOLE + "interventions: {noisy_outlier: {action: remove}}\n",
        WHOLE.replace("max: 0.05", "max_increase: 0.05"),
    ],
)
def test_the_schema_accepts_what_the_reader_accepts(text):
    assert complaints(text) == []


@pytest.mark.parametrize(
    ("find", "replace"),
    [
        ("severity: reject", "sevrity: reject"),
        ("severity: reject", "severity: rejct"),
        ("hotspot_memorized.token_share", "hotspot_memorized.token_shares"),
        ("max: 0.05", "max: '0.05'"),
        ("{percentile: 75}", "{percentile: 101}"),
        ("{control_dose: 4}", "{control_dose: 3}"),
        ("name: test", 'name: "\\e"'),
        ("schema_version: 1", "schema_version: 2"),
        (", metric: batch.tokens", ""),
        (MAP, ""),
        (RULES, ""),
        (", reason: leaks", ""),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(tmp_path, find, replace):
    text = WHOLE.replace(find, replace, 1)
    assert complaints(text)
    assert refusal(writer(tmp_path)(text))


def test_everything_that_a_person_writes_is_described():
    schema = policy_schema()
    for part in (schema, *schema["$defs"].values()):
        assert part["description"]
        for name, field in part.get("properties", {}).items():
            assert "description" in field or "$ref" in field or name in ("action", "percentile", "control_dose"), name
    listed = schema["$defs"]["Rule"]["properties"]["metric"]["oneOf"]
    metrics = shown_metrics()
    assert [choice["const"] for choice in listed[:-1]] == [metric.name for metric in metrics]
    assert all(m.meaning in choice["description"] for m, choice in zip(metrics, listed[:-1], strict=True))
    assert listed[-1]["pattern"].startswith("^lens")
