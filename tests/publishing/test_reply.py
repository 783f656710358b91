"""A reply tells a vendor which rows are in the way and why, and nothing of ours."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carto_audit.artifacts.audit_folder import open_audit_folder
from carto_audit.artifacts.real_run_facts import CONTROL
from carto_audit.publishing.reply import make_reply, render_reply


@pytest.fixture(scope="module")
def lighter(audited, tmp_path_factory):
    """The audit that many tests look at, with some rows weighed less."""
    folder = shutil.copytree(audited.folder, tmp_path_factory.mktemp("lighter") / "audit")
    table = pq.read_table(folder / "scores.parquet")
    for name, value in (("weight", 0.5), ("action", "downweight")):
        values = [value] * 6 + table[name].to_pylist()[6:]
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.array(values, table.schema.field(name).type))
    pq.write_table(table, folder / "scores.parquet")
    return folder


@pytest.fixture(scope="module")
def replied(lighter, tmp_path_factory):
    """The lines and the page of the reply to it."""
    from carto_audit.cli import main as cli

    out = tmp_path_factory.mktemp("reply") / "to the vendor"
    command = ["reply", str(lighter), "--out", str(out)]
    assert cli.run(lambda: cli.cli.main(command, "carto-audit", standalone_mode=False)) == 0
    assert sorted(path.name for path in out.iterdir()) == ["reply.html", "rows.jsonl"]
    lines = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    return lines, (out / "reply.html").read_text()


def test_every_row_that_is_not_taken_as_it_is_stands_in_the_file_once_and_no_other(lighter, replied):
    scores = pq.read_table(lighter / "scores.parquet").to_pylist()
    matched = {
        match["row"]
        for match in pq.read_table(lighter / "matches.parquet").to_pylist()
        if match["tier"] in ("confirmed", "suspected")
    }
    wanted = {row["row"]: row for row in scores if row["weight"] < 1 or row["row"] in matched}
    lines, _ = replied
    assert [line["row"] for line in lines] == sorted(wanted)
    assert len(lines) > 6
    for line in lines:
        assert (line["decision"], line["reason"]) == (wanted[line["row"]]["action"], wanted[line["row"]]["reasons"])
        assert ("evaluation_items" in line) == (line["row"] in matched)


def test_nothing_of_a_benchmark_leaves_the_house_but_where_its_text_stands(audited, replied):
    matches = pq.read_table(audited.folder / "matches.parquet").to_pylist()
    lines, page = replied
    told = json.dumps(lines)
    for match in matches:
        for ours in (match["benchmark"], match["item_id"]):
            assert json.dumps(ours)[1:-1] not in told
    item = next(line for line in lines if "evaluation_items" in line)["evaluation_items"][0]
    assert set(item) <= {"tier", "start", "end", "segment"}
    assert "evaluation text" in page


def test_the_name_of_a_benchmark_is_told_where_that_is_asked_for(audited):
    folder = open_audit_folder(audited.folder)
    name = pq.read_table(audited.folder / "matches.parquet")["benchmark"][0].as_py()
    rows = make_reply(folder, name_benchmarks=True).rows
    assert name in {item["benchmark"] for row in rows for item in row.get("evaluation_items", [])}


def test_hostile_text_stays_text_and_the_page_runs_nothing(replied):
    _, page = replied
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "{{" not in page.split("</style>")[1].replace("{{ 7*7 }}", "")
    assert "49" not in page.split("<h1")[0].split("</style>")[1]


def test_controls_are_no_rows_of_the_vendor(audited, tmp_path):
    folder = shutil.copytree(audited.folder, tmp_path / "audit")
    table = pq.read_table(folder / "scores.parquet")
    reasons = pa.array([CONTROL] * len(table), table.schema.field("reasons").type)
    pq.write_table(
        table.set_column(table.schema.get_field_index("reasons"), "reasons", reasons), folder / "scores.parquet"
    )
    assert make_reply(open_audit_folder(folder)).rows == []


def test_a_delivery_without_such_rows_has_a_page_that_says_so(audited, tmp_path):
    folder = shutil.copytree(audited.folder, tmp_path / "audit")
    table = pq.read_table(folder / "scores.parquet")
    weight = pa.array([1.0] * len(table))
    pq.write_table(
        table.set_column(table.schema.get_field_index("weight"), "weight", weight), folder / "scores.parquet"
    )
    (folder / "matches.parquet").unlink()
    assert "No single row is in the way." in render_reply(make_reply(open_audit_folder(folder)))


def test_scores_of_another_make_are_refused_in_one_line(audited, tmp_path, carto):
    folder = shutil.copytree(audited.folder, tmp_path / "audit")
    pq.write_table(pq.read_table(folder / "scores.parquet").drop_columns(["reasons"]), folder / "scores.parquet")
    ended = carto("reply", folder, "--out", tmp_path / "r")
    assert ended.code == 3
    assert "run the audit again" in ended.err
    assert not (tmp_path / "r").exists()
