"""The demo from end to end: what is planted is found, and what is harmless is left alone."""

import json
import os
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from carto_audit.data.demo_batch import BATCH, KINDS, ROWS, by_kind, count_flagged, read_found, read_truth, write_demo


@pytest.fixture(scope="module")
def demo():
    """What `make demo` left: its folder, the facts and the scores."""
    if "CARTO_AUDIT_DEMO" not in os.environ:
        pytest.skip("needs a finished demo: make demo, then set CARTO_AUDIT_DEMO=demo")
    folder = Path(os.environ["CARTO_AUDIT_DEMO"])
    audit = folder / "vendor_batch-audit"
    return folder, json.loads((audit / "report.json").read_text()), read_found(audit)


@pytest.fixture(scope="module")
def flagged(demo):
    """By kind, which share of the rows is flagged."""
    folder, _, scores = demo
    return {
        kind: count_flagged(rows, kind) / len(rows)
        for kind, rows in by_kind(read_truth(folder), scores).items()
        if rows
    }


def test_the_demo_shows_a_rejection(demo):
    _, facts, _ = demo
    assert facts["verdict"] == {"status": "rejected", "exit_code": 1, "complete": True}
    failed = {f["rule"] for f in facts["findings"] if f["outcome"] == "failed" and f["severity"] == "reject"}
    assert "benchmark-items" in failed


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        ("secret_once", 0, 0.5),
        ("secret_four", 0.8, 1),
        ("secret_ten", 1, 1),
        ("copy", 1, 1),
        ("near_copy", 0.75, 1),
        ("benchmark", 1, 1),
        ("noise", 0.95, 1),
        ("profile", 0.6, 1),
        ("key", 0.6, 1),
        ("question", 0.6, 1),
        ("table", 0.6, 1),
        ("boilerplate", 0, 0.1),
        ("recurring", 0.5, 1),
        ("", 0, 0.03),
    ],
)
def test_what_was_planted_is_flagged_as_it_should_be_expected(flagged, kind, least, most):
    assert least <= flagged[kind] <= most


def test_every_kind_is_in_the_table_and_the_doses_rise(demo, flagged):
    assert set(flagged) == set(KINDS)
    assert flagged["secret_once"] <= flagged["secret_twice"] <= flagged["secret_ten"]
    found = {one["dose"]: one for one in demo[1]["detection"]["found"]}
    assert found[4]["secrets"] >= 30
    assert found[4]["at_least"] >= 0.75


@pytest.mark.parametrize("form", ["alone", "embedded"])
def test_the_default_score_sees_secrets_that_the_papers_score_does_not(demo, form):
    scores = demo[1]["detection"]["scores"]
    assert scores["memorized"]["random"][form]["4"]["auc"] >= 0.8  # a sixth of the batch is memorized too
    assert scores["forget_score"]["random"][form]["4"]["auc"] <= 0.7


def test_no_secret_of_the_batch_is_repeated_by_the_report(demo):
    folder, _, _ = demo
    page = (folder / "vendor_batch-audit/report.html").read_text()
    texts, truth = pq.read_table(folder / BATCH)["text"].to_pylist(), read_truth(folder)
    for row in truth["secret_once"] + truth["secret_four"] + truth["secret_ten"]:
        (secret,) = re.findall(r"\d{4} \d{4} \d{4} \d{4}", texts[row])
        assert secret not in page


def test_equal_seeds_give_equal_batches(demo, tmp_path):
    first, second = demo[0] / BATCH, write_demo(tmp_path)
    assert first.read_bytes() == second.read_bytes()
    assert pq.read_table(first).num_rows == ROWS
