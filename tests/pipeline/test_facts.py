"""The facts of `report.json` that are computed for it."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from carto_audit.cartography.quadrants import QUADRANT_NAMES, UNMAPPED
from carto_audit.pipeline.facts import joined_with_map
from carto_audit.pipeline.item_recall_table import read_testimony


def test_confirmed_rows_are_counted_by_quadrant_and_those_in_the_hotspot_are_dropped_first():
    quadrant = np.array([0, 2, 2, 2, 3, UNMAPPED], np.int8)
    confirmed = np.array([True, True, True, False, False, True])
    by_quadrant, first = joined_with_map(quadrant, np.array([10, 20, 30, 40, 50, 50]), confirmed)
    assert by_quadrant == {
        "stable_easy": {"rows": 1, "tokens": 10},
        "ambiguous_hard": {"rows": 0, "tokens": 0},
        "hotspot_memorized": {"rows": 2, "tokens": 50},
        "noisy_outlier": {"rows": 0, "tokens": 0},
        "unmapped": {"rows": 1, "tokens": 50},
    }
    assert first == {"rows": 2, "tokens": 50, "token_share": pytest.approx(0.25)}


def test_the_report_of_an_audit_tells_which_input_file_holds_what(audited):
    facts = json.loads((audited.folder / "report.json").read_text())
    shards = facts["contamination"]["shards"]
    assert [Path(shard["name"]).name for shard in shards] == facts["batch"]["paths"]
    assert sum(shard["rows"] for shard in shards) == facts["batch"]["rows"]
    counts = {"confirmed_items": 1, "suspected_items": 0, "confirmed_rows": 1, "suspected_rows": 0}
    (dirty,) = (shard for shard in shards if shard["benchmarks"])
    assert dirty["counts"] == counts
    assert list(dirty["benchmarks"].values()) == [counts]
    assert Path(dirty["name"]).name == "script>alert(1)<.parquet"


def test_the_report_of_an_audit_joins_contamination_with_the_map(audited):
    facts = json.loads((audited.folder / "report.json").read_text())["contamination"]
    scores = pq.read_table(audited.folder / "scores.parquet").to_pylist()
    confirmed = [row for row in scores if row["contamination_tier"] == "confirmed"]
    assert confirmed
    for name in QUADRANT_NAMES:
        assert facts["by_quadrant"][name]["rows"] == sum(row["quadrant"] == name for row in confirmed)
    assert sum(mass["rows"] for mass in facts["by_quadrant"].values()) == len(confirmed)
    (benchmark,) = facts["benchmarks"]
    assert (benchmark["items"], benchmark["detectable_items"], benchmark["clean_items"]) == (1, 1, 0)
    assert benchmark["detectability"] == {"embedded": 1.0}
    assert {(match["view"], match["near_variant"]) for match in facts["matches"]} == {("words", False)}
    (voice,) = read_testimony(audited.folder / "testimony.parquet").to_pylist()
    assert (voice["item_id"], voice["rows_trained"], voice["silence"]) == (facts["matches"][0]["item_id"], 1, "")
    assert (
        facts["matches"][0]["testimony"]["loss_in_question"] == voice["loss_in_question"] < voice["loss_out_question"]
    )
    assert (facts["testimony"]["items"], facts["testimony"]["loss_in_answer"]) == (1, voice["loss_in_answer"])
    listed = pq.read_table(audited.folder / "clean_items.parquet").to_pylist()
    assert [(row["benchmark"], row["tier"]) for row in listed] == [(benchmark["name"], "confirmed")]
