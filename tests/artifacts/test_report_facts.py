"""The shipped schema of `report.json` is the types' own, holds for real audits, and knows typos."""

import json
from dataclasses import fields
from typing import get_args

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from carto_audit.artifacts import evidence_facts
from carto_audit.artifacts.report_facts import (
    FindingFacts,
    ReportFacts,
    WaiverFacts,
    report_schema,
    report_type,
    schema_text,
)
from carto_audit.cartography.baselines import DeltaStep
from carto_audit.cartography.datamap import Cut
from carto_audit.cartography.detection_power import Power
from carto_audit.cartography.reasons import RECALLS
from carto_audit.contamination.check import BenchmarkResult, Counts, ShardResult
from carto_audit.gate.verdict import Finding
from carto_audit.gate.waivers import WaiverUse
from carto_audit.pipeline.item_recall_table import Summary
from carto_audit.publishing.public_report import public_facts
from carto_audit.text.redaction import Excerpt, Excerpts
from tests.support.report_facts import make_facts
from tests.support.repository import ROOT


def complaints(facts):
    return [error.message for error in Draft202012Validator(report_schema()).iter_errors(facts)]


def test_the_shipped_schema_is_current():
    assert (ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8") == schema_text(), (
        "carto-audit report --schema > docs/report.schema.json"
    )
    Draft202012Validator.check_schema(report_schema())


def test_a_real_audit_is_described_by_the_schema_and_has_every_key(audited):
    facts = json.loads((audited.folder / "report.json").read_text())
    assert complaints(facts) == []
    assert set(ReportFacts.__annotations__) - set(facts) == {
        "cross_batch",
        "decisions",
        "lenses",
        "operating",
        "published",
        "real_run",
        "remote",
        "vendor",
    }  # nothing was fetched or measured of its policy; no lens, ledger or decisions were named, no vendor summarized it


def test_the_facts_that_tests_use_and_what_is_published_of_them_are_described_too():
    facts = make_facts()
    assert complaints(facts) == []
    assert complaints(public_facts(facts, "ab" * 32)) == []


def _set(facts, path, value):
    *folders, last = path.split(".")
    for name in folders:
        facts = facts[int(name) if name.isdigit() else name]
    facts[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("verdict.statuss", "accepted"),
        ("verdict.status", "fine"),
        ("verdict.complete", 1),
        ("batch.rows", "many"),
        ("batch.rows", 1.5),
        ("findings.0.severty", "warn"),
        ("findings.0.severity", "mild"),
        ("map.quadrants.elsewhere", {}),
        ("contamination.matches.0.tier", "perhaps"),
        ("riskiest.0.losses.train", [None, "1"]),
        ("metric_intervals.hotspot_memorized.token_share", [0.1]),
    ],
)
def test_an_unknown_key_and_a_wrong_type_are_refused(path, value):
    facts = make_facts()
    if path.startswith("metric_intervals."):
        facts["metric_intervals"]["hotspot_memorized.token_share"] = value
    else:
        _set(facts, path, value)
    assert complaints(facts)


def test_reading_ignores_a_later_key_and_refuses_a_missing_one():
    facts = make_facts()
    report_type().validate_python({**facts, "lenses": {}, "verdict": {**facts["verdict"], "trend": "better"}})
    del facts["verdict"]["complete"]
    with pytest.raises(ValidationError, match=r"verdict\.complete"):
        report_type().validate_python(facts)


@pytest.mark.parametrize(
    ("part", "made_of"),
    [
        (FindingFacts, Finding),
        (WaiverFacts, WaiverUse),
        (evidence_facts.PowerFacts, Power),
        (evidence_facts.SweepFacts, DeltaStep),
        (evidence_facts.ExcerptFacts, Excerpt),
        (evidence_facts.BenchmarkFacts, BenchmarkResult),
        (evidence_facts.MatchCountFacts, Counts),
        (evidence_facts.ShardFacts, ShardResult),
        (evidence_facts.RecallMeans, Summary),
        (evidence_facts.CutFacts, Cut),
    ],
)
def test_a_part_that_is_a_value_of_the_library_has_its_fields(part, made_of):
    keys = set(part.__annotations__) | {
        key for base in part.__orig_bases__ for key in getattr(base, "__annotations__", ())
    }
    added = {FindingFacts: {"subject"}, evidence_facts.CutFacts: {"drawn"}}.get(part, set())
    assert keys - added == {field.name for field in fields(made_of)}


def test_every_part_of_the_schema_says_what_it_is():
    schema = report_schema()
    assert all(part["description"] for part in (schema, *schema["$defs"].values()))


def test_words_that_another_wing_declares_are_the_same_there():
    assert get_args(evidence_facts.Recall) == RECALLS
    assert get_args(ReportFacts.__annotations__["excerpts"]) == get_args(Excerpts)
