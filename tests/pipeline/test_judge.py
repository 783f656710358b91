"""Whole audits: the last accepted batch beside this one, demanded benchmarks, and places that CI can point at."""

import json

import pytest

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
