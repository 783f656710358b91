"""One row of an audit on a screen, found by its id or its number, and hostile text in it stays text."""

import shutil

import pyarrow.parquet as pq
import pytest

from carto_audit.artifacts.audit_folder import open_audit_folder
from carto_audit.report.formats.sample_card import find_sample, sparkline
from carto_audit.text.untrusted import safe_inline


@pytest.fixture(scope="module")
def scores(audited):
    return pq.read_table(audited.folder / "scores.parquet").to_pylist()


def first(rows, holds):
    return next(row for row in rows if holds(row))


def shown(carto, folder, row):
    """What is printed of a row, in one line."""
    ended = carto("show", folder, f"row:{row}")
    assert ended.code == 0
    return " ".join(ended.out.replace("│", " ").split())


def test_a_memorized_row_tells_its_decision_its_passage_and_its_losses(audited, scores, carto):
    row = first(scores, lambda r: r["quadrant"] in ("hotspot_memorized", "noisy_outlier"))
    said = shown(carto, audited.folder, row["row"])
    assert f"Row {row['row']:,}" in said
    assert f"Decision {row['action']}" in said
    assert f"characters {row['span_start']:,} to {row['span_end']:,}" in said
    assert "Loss, seen" in said
    assert "Loss, unseen" in said


def test_the_copies_of_a_row_are_named(audited, scores, tmp_path, carto):
    folder = shutil.copytree(audited.folder, tmp_path / "audit")
    table = pq.read_table(folder / "scores.parquet")
    clusters = [0, 0, 0, *table["cluster_id"].to_pylist()[3:]]
    pq.write_table(
        table.set_column(table.schema.get_field_index("cluster_id"), "cluster_id", [clusters]),
        folder / "scores.parquet",
    )
    first_rows = [row["row"] for row in scores[:3]]
    said = shown(carto, folder, first_rows[0])
    assert f"2 other rows of the same cluster: {first_rows[1]:,}, {first_rows[2]:,}" in said


def test_an_item_that_a_row_holds_is_named_with_its_place(audited, carto):
    match = pq.read_table(audited.folder / "matches.parquet").to_pylist()[0]
    said = " ".join(carto("show", audited.folder, f"row:{match['row']}").out.replace("│", " ").split())
    assert safe_inline(match["benchmark"], 400).replace("::", ": :") in said
    assert f"characters {match['sample_start']:,} to {match['sample_end']:,}" in said


def test_every_row_can_be_shown_by_its_id_and_nothing_of_it_reaches_the_terminal_raw(audited, scores, carto):
    ids = [row["sample_id"] for row in scores]
    once = [name for name in ids if ids.count(name) == 1]
    assert any(not name.isprintable() for name in once), "the batch has hostile ids"
    ended = carto("show", audited.folder, "--", *once[:40], *(name for name in once if not name.isprintable()))
    assert ended.code == 0
    assert all(line.isprintable() for line in ended.out.splitlines())
    assert "\n::" not in ended.out


def test_an_id_that_several_rows_have_is_refused_with_a_row_to_name(audited, tmp_path, carto):
    folder = shutil.copytree(audited.folder, tmp_path / "audit")
    table = pq.read_table(folder / "scores.parquet")
    column = table.schema.get_field_index("sample_id")
    pq.write_table(table.set_column(column, "sample_id", [["same"] * len(table)]), folder / "scores.parquet")
    ended = carto("show", folder, "same")
    assert ended.code == 2
    assert 'samples have the id "same"; name one by its row, as in row:0' in ended.err
    assert carto("show", folder, "row:0").code == 0


@pytest.mark.parametrize("name", ["row:999999", "nobody", "\x1b[31mred"])
def test_a_row_that_is_not_there_is_refused_in_one_line(audited, carto, name):
    ended = carto("show", audited.folder, name)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.strip().isprintable()
    assert "counted from 0" in ended.err


def test_scores_of_another_make_are_refused_in_one_line(audited, tmp_path, carto):
    folder = shutil.copytree(audited.folder, tmp_path / "audit")
    pq.write_table(pq.read_table(folder / "scores.parquet").drop_columns(["cluster_id"]), folder / "scores.parquet")
    ended = carto("show", folder, "row:0")
    assert ended.code == 3
    assert "run the audit again" in ended.err


def test_what_the_report_quotes_is_quoted_and_nothing_else(audited, scores):
    folder = open_audit_folder(audited.folder)
    risky = folder.report["riskiest"][0]
    assert find_sample(folder, f"row:{risky['row']}").excerpt == risky["excerpt"]
    quiet = first(scores, lambda r: r["row"] not in {one["row"] for one in folder.report["riskiest"]})
    assert find_sample(folder, f"row:{quiet['row']}").excerpt is None


def test_a_sparkline_rises_with_its_values_and_is_flat_where_they_are():
    assert sparkline([0.0, 1.0, 2.0]) == "▁▅█"
    assert sparkline([3.0, 3.0]) == "▁▁"
