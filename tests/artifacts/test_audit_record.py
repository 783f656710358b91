"""A finished audit is read whole or refused, and its numbers are set only beside those that mean the same."""

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.artifacts.audit_record import Setting, compare, moved_keys, read_baseline, read_record
from carto_audit.policy.metrics import METRICS, Measurement
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.records import report, write_audit

SETTING = Setting(proxy="nano", epochs=8, folds=2, repeats=1)
SAME = frozenset({("gsm8k", "cd" * 32)})


def compared(folder, metrics, drawn=None, benchmarks=SAME, setting=SETTING):
    record = read_baseline(folder)
    measured = {name: Measurement.exact(value) for name, value in metrics.items()}
    return compare(record, measured, drawn=drawn or record.map, benchmarks=benchmarks, setting=setting)


def test_a_record_holds_the_numbers_with_their_intervals_and_leaves_out_what_was_not_measured(tmp_path):
    record = read_record(write_audit(tmp_path / "may"))
    assert (record.name, record.status, record.day.isoformat()) == ("may", "accepted", "2026-11-20")
    assert record.measurements["hotspot_memorized.token_share"] == Measurement(value=0.04, low=0.035, high=0.045)
    assert record.measurements["duplicates.token_share"] == Measurement.exact(0.1)
    assert "repeats.agreement" not in record.measurements


def test_the_record_of_a_real_audit_holds_what_its_report_says(audited):
    record = read_record(audited.folder)
    facts = json.loads((audited.folder / "report.json").read_text())
    assert {n: m.value for n, m in record.measurements.items()} == {
        n: v for n, v in facts["metrics"].items() if v is not None
    }
    assert record.batch_sha256 == facts["batch"]["sha256"]
    assert record.map == facts["policy"]["resolved"]["map"]
    assert record.outcomes["items"] == "failed"
    assert len(record.benchmarks) == 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda f: (f / "verdict.json").unlink(), "not a finished audit: there is no verdict.json"),
        (lambda f: (f / "report.json").unlink(), "report.json: cannot read: No such file"),
        (lambda f: shutil.rmtree(f), "not a finished audit"),
        (lambda f: (f / "report.json").write_bytes(b"\xff{"), "is not one that this version reads"),
        (lambda f: (f / "report.json").write_text("[]"), "is not one that this version reads"),
        (lambda f: write_audit(f, {**report(), "schema_version": 2}), "schema_version: Input should be 1"),
        (lambda f: write_audit(f, {**report(), "metrics": {"batch.rows": "3"}}), "metrics.batch.rows"),
        (lambda f: write_audit(f, {**report(), "metrics": {"\x1b[31m::error::": "3"}}), "metrics.[31m"),
        (lambda f: write_audit(f, {**report(), "run": {**report()["run"], "started_at": "May"}}), "says no date"),
    ],
)
def test_a_folder_that_is_no_finished_audit_is_refused_in_one_line(tmp_path, spoil, words):
    spoil(write_audit(tmp_path / "may"))
    with pytest.raises(AuditError) as caught:
        read_baseline(tmp_path / "may")
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("status", ["rejected", "inconclusive"])
def test_a_batch_that_was_not_accepted_is_no_baseline(tmp_path, status):
    folder = write_audit(tmp_path / "may", status=status)
    with pytest.raises(UsageError, match=f"this batch was {status}, so it is no baseline"):
        read_baseline(folder)
    assert read_record(folder).status == status


def test_only_what_moved_is_a_fact(tmp_path):
    facts = compared(
        write_audit(tmp_path / "may"), {"duplicates.token_share": 0.3, "batch.skipped_row_share": 0.0}
    ).facts()
    moved = {change["metric"]: (change["before"], change["now"]) for change in facts["changes"]}
    assert moved["duplicates.token_share"] == (0.1, 0.3)
    assert moved["memorized.token_share"] == (0.05, None)
    assert "batch.skipped_row_share" not in moved
    assert (facts["audit"], facts["status"], facts["warnings"]) == ("may", "accepted", [])


def test_numbers_of_another_map_or_of_other_benchmarks_are_not_compared(tmp_path):
    folder = write_audit(tmp_path / "may")
    drawn = {**read_record(folder).map, "difficulty": {"threshold": {"percentile": 50.0}, "burn_in_share": 0.2}}
    found = compared(
        folder,
        {"hotspot_memorized.token_share": 0.04, "memorized.token_share": 0.05, "contamination.confirmed_items": 0},
        drawn=drawn,
        benchmarks=frozenset({("mmlu", "ef" * 32)}),
    )
    assert (
        found.change("hotspot_memorized.token_share").incomparable == "measured with another map.difficulty.threshold"
    )
    assert found.change("memorized.token_share").incomparable == ""
    assert found.change("contamination.confirmed_items").incomparable == "measured against other benchmarks"


def test_another_proxy_or_schedule_is_said(tmp_path):
    other = Setting(proxy="small", epochs=4, folds=2, repeats=1)
    found = compared(write_audit(tmp_path / "may"), {}, setting=other)
    assert [warning.split(", this batch")[0] for warning in found.warnings] == [
        "the baseline was measured with the proxy nano",
        "the baseline was measured with epochs 8",
    ]


def test_every_part_of_the_map_moves_just_the_metrics_that_are_measured_with_it():
    base = {"difficulty": {"threshold": 1}, "memorization": {"score": "a", "threshold": 1, "epsilon": 1}}
    other = {**base, "memorization": {"score": "b", "threshold": 1, "epsilon": 1}}
    moved = {name for name, metric in METRICS.items() if moved_keys(metric, base, other)}
    assert moved == {name for name, metric in METRICS.items() if "memorization.score" in metric.map_keys}


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
    )
)
def test_no_json_does_anything_but_be_read_or_refused(tmp_path_factory, content):
    folder = write_audit(tmp_path_factory.getbasetemp() / "any", {**report(), "metrics": content, "run": content})
    with pytest.raises(AuditError):
        read_record(folder)
