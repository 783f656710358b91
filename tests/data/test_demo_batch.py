"""The demo from end to end: what is planted is found, and what is harmless is left alone."""

import json

import pyarrow.parquet as pq
import pytest

from carto_audit.cli.main import cli, run
from carto_audit.data.demo_batch import BATCH, KINDS, ROWS, count_found, read_truth, write_demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    code = run(lambda: cli.main(["demo", "--out", str(folder)], standalone_mode=False))
    audit = folder / "vendor_batch-audit"
    facts = json.loads((audit / "report.json").read_text())
    return folder, code, facts, pq.read_table(audit / "scores.parquet")


def found_share(demo, kind):
    folder, _, _, scores = demo
    rows = read_truth(folder)[kind]
    return count_found(scores, rows, kind) / len(rows)


def test_the_demo_shows_a_rejection_and_exits_well(demo):
    _, code, facts, _ = demo
    assert code == 0
    assert facts["verdict"] == {"status": "rejected", "exit_code": 1, "complete": True}
    failed = {f["rule"] for f in facts["findings"] if f["outcome"] == "failed" and f["severity"] == "reject"}
    assert "benchmark-items" in failed


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_planted_is_found(demo, kind):
    assert found_share(demo, kind) >= 0.9


def test_ordinary_text_is_mostly_left_alone(demo):
    folder, _, _, scores = demo
    ordinary = scores.take(read_truth(folder)[""]).to_pylist()
    memorized = [row for row in ordinary if row["quadrant"] in ("hotspot_memorized", "noisy_outlier")]
    assert len(memorized) <= 0.1 * len(ordinary)


@pytest.mark.parametrize("form", ["alone", "embedded"])
def test_the_default_score_sees_secrets_that_the_papers_score_does_not(demo, form):
    scores = demo[2]["detection"]["scores"]
    assert scores["memorized"]["random"][form]["4"]["auc"] >= 0.9
    assert scores["forget_score"]["random"][form]["4"]["auc"] <= 0.7


def test_no_secret_of_the_batch_is_repeated_by_the_report(demo):
    folder, _, _, _ = demo
    page = (folder / "vendor_batch-audit/report.html").read_text()
    for text in pq.read_table(folder / BATCH)["text"].to_pylist():
        if "accepts the passphrase " in text:
            secret = text.split("accepts the passphrase ")[1][:19]
            assert secret not in page


def test_equal_seeds_give_equal_batches(demo, tmp_path):
    first, second = demo[0] / BATCH, write_demo(tmp_path)
    assert first.read_bytes() == second.read_bytes()
    assert pq.read_table(first).num_rows == ROWS
