"""Whole audits: the last accepted batch beside this one, demanded benchmarks, and places that CI can point at."""

import json

import pytest

from carto_audit.pipeline.judge import is_undecided
from carto_audit.policy.metrics import Measurement
from carto_audit.policy.model import load_policy
from tests.support.audits import GATE, NO_ITEMS, sentences, write_parquet
from tests.support.quizzes import BELL, ITEMS, write_quiz

QUICK = ["--folds", 1, "--epochs", 2]
DRIFT = "  - {id: drift, metric: duplicates.token_share, max_increase: 0.05, severity: reject, reason: vendors drift}\n"


@pytest.fixture
def house(tmp_path, monkeypatch, thin):
    """A folder with an accepted audit of May, a batch of June with more copies and a benchmark item, and policies."""
    monkeypatch.chdir(tmp_path)
    write_parquet(tmp_path / "may.parquet", sentences(48))
    june = [*sentences(40, seed=1), *sentences(1, seed=1) * 7, f"They say: {BELL} Nobody knew."]
    write_parquet(tmp_path / "june.parquet", june)
    write_quiz(tmp_path / "ours.jsonl", ITEMS[:2])
    (tmp_path / "benchmarks.yaml").write_text("schema_version: 1\nbenchmarks: {ours: {path: ours.jsonl}}\n")
    (tmp_path / "gate.yaml").write_text(GATE)
    (tmp_path / "drift.yaml").write_text(GATE + DRIFT)
    (tmp_path / "demand.yaml").write_text(GATE + NO_ITEMS + "benchmarks: [ours]\n")
    (tmp_path / "typo.yaml").write_text(GATE + NO_ITEMS + "benchmarks: [our]\n")
    return tmp_path


def findings(folder):
    return {finding["rule"]: finding for finding in json.loads((folder / "verdict.json").read_text())["findings"]}


def test_a_batch_is_held_against_the_last_accepted_one(carto, house):
    assert carto("ingest", "may.parquet", "--policy", "gate.yaml", "--out", "may", *QUICK).code == 0
    grown = carto("ingest", "june.parquet", "--policy", "drift.yaml", "--baseline", "may", "--out", "june", *QUICK)
    assert grown.code == 1, grown.err
    drift = findings(house / "june")["drift"]
    assert (drift["outcome"], drift["file"], drift["line"], drift["column"]) == ("failed", "drift.yaml", 9, 5)
    facts = json.loads((house / "june" / "report.json").read_text())
    verdict = json.loads((house / "june" / "verdict.json").read_text())
    (moved,) = [c for c in facts["baseline"]["changes"] if c["metric"] == "duplicates.token_share"]
    assert moved["before"] == 0
    assert moved["now"] == pytest.approx(drift["observed"]) == facts["metrics"]["duplicates.token_share"]
    assert verdict["baseline"] == facts["baseline"]
    assert verdict["baseline"]["audit"] == "may"
    page = (house / "june" / "report.html").read_text()
    assert "Since the last accepted batch" in page
    assert "an increase of at most 5.0" in page

    alone = carto("ingest", "june.parquet", "--policy", "drift.yaml", "--out", "alone", *QUICK)
    assert alone.code == 3
    assert "name its audit with --baseline" in findings(house / "alone")["drift"]["explanation"]
    assert "Since the last accepted batch" not in (house / "alone" / "report.html").read_text()

    refused = carto("ingest", "june.parquet", "--policy", "drift.yaml", "--baseline", "june", "--out", "x", *QUICK)
    assert (refused.code, (house / "x").exists()) == (2, False)
    assert "june: this batch was rejected, so it is no baseline" in refused.err


def test_a_demanded_benchmark_is_looked_for_without_a_flag(carto, house):
    ended = carto("ingest", "june.parquet", "--policy", "demand.yaml", "--out", "june", *QUICK)
    assert ended.code == 1, ended.err
    assert findings(house / "june")["items"]["outcome"] == "failed"
    named = json.loads((house / "june" / "report.json").read_text())["contamination"]["benchmarks"]
    assert [benchmark["name"] for benchmark in named] == ["ours"]


def test_a_demanded_benchmark_that_nobody_lists_ends_before_the_training(carto, house):
    ended = carto("ingest", "june.parquet", "--policy", "typo.yaml", "--out", "june", *QUICK)
    assert (ended.code, (house / "june").exists()) == (2, False)
    (line,) = ended.err.splitlines()
    assert line == (
        'Error: typo.yaml:10:14: the policy "gate" demands the benchmark "our", which benchmarks.yaml does not list; '
        'did you mean "ours"?; add it there under benchmarks:'
    )
    (house / "benchmarks.yaml").unlink()
    assert "there is no benchmarks.yaml here" in carto("ingest", "june.parquet", "--policy", "typo.yaml").err


RULES = """schema_version: 1
name: two-limits
map: {difficulty: {threshold: {percentile: 75}}, memorization: {score: memorized, threshold: {control_dose: 4}}}
rules:
  - {id: mass, metric: memorized.token_share, max: 0.1, severity: reject, reason: too much}
  - {id: easy, metric: hotspot_memorized.token_share, max: 0.05, severity: warn, reason: too much}
  - {id: copies, metric: duplicates.token_share, max: 0.2, severity: reject, reason: deduplicate}
  - {id: proof, metric: detection.found_at_dose_4, min: 0.75, severity: reject, reason: show it}
"""


@pytest.mark.parametrize(
    ("mass", "copies", "proof", "easy", "undecided"),
    [
        ((0.05, 0.09), (0.1, 0.1), (0.8, 0.9), (0.0, 0.0), False),
        ((0.05, 0.11), (0.1, 0.1), (0.8, 0.9), (0.0, 0.0), True),
        ((0.11, 0.12), (0.1, 0.1), (0.8, 0.9), (0.0, 0.0), False),  # rejected, whatever another pair shows
        ((0.05, 0.11), (0.3, 0.3), (0.8, 0.9), (0.0, 0.0), False),
        ((0.05, 0.09), (0.1, 0.3), (0.8, 0.9), (0.0, 0.0), False),  # no training shows copies
        ((0.05, 0.09), (0.1, 0.1), (0.7, 0.9), (0.0, 0.0), True),
        ((0.05, 0.11), (0.1, 0.1), (0.4, 0.5), (0.0, 0.0), False),  # too far from a proof
        ((0.05, 0.09), (0.1, 0.1), (0.8, 0.9), (0.0, 0.1), False),  # a warning is no verdict
    ],
)
def test_what_lies_on_both_sides_of_a_limit_is_undecided(tmp_path, mass, copies, proof, easy, undecided):
    (tmp_path / "policy.yaml").write_text(RULES)
    measured = {
        "memorized.token_share": Measurement(value=mass[0], low=mass[0], high=mass[1]),
        "hotspot_memorized.token_share": Measurement(value=easy[0], low=easy[0], high=easy[1]),
        "duplicates.token_share": Measurement(value=copies[0], low=copies[0], high=copies[1]),
        "detection.found_at_dose_4": Measurement(value=proof[1], low=proof[0], high=1.0),
    }
    assert is_undecided(load_policy(tmp_path / "policy.yaml"), measured) == undecided
