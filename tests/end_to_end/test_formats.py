"""One batch in every format gives the same scores and figures; how a file is written is found or said, and recorded."""

import csv
import io
import json
import lzma

import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest

from tests.support.audits import GATE, sentences

IDS = [f"row-{k}" for k in range(48)]
TEXTS = [f'{text} "Größe", {k}; | so' for k, text in enumerate(sentences(48))]
TABLE = pa.table({"id": IDS, "text": TEXTS, "note": [f"a short note {k}" for k in range(48)]})
ROWS = TABLE.to_pylist()


def delimited(delimiter, encoding="utf-8"):
    def write(path):
        sink = io.StringIO()
        writer = csv.writer(sink, delimiter=delimiter)
        writer.writerow(TABLE.column_names)
        writer.writerows(row.values() for row in ROWS)
        path.write_bytes(sink.getvalue().encode(encoding))

    return write


def arrow(path):
    with pa_ipc.new_stream(str(path), TABLE.schema) as writer:
        writer.write_table(TABLE)


def lines(path):
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


WRITERS = {
    "batch.jsonl": lines,
    "batch.json": lambda path: path.write_text(json.dumps(ROWS)),
    "inside.json": lambda path: path.write_text(json.dumps({"version": 1, "data": ROWS})),
    "batch.jsonl.XZ": lambda path: path.write_bytes(
        lzma.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode())
    ),
    "batch.tsv": delimited("\t"),
    "semicolon.csv": delimited(";"),
    "excel.csv": delimited(",", "utf-16"),
    "batch.arrow": arrow,
}


@pytest.fixture
def audited(carto, tmp_path, thin):
    (tmp_path / "gate.yaml").write_text(GATE)

    def audit(path, *options):
        out = tmp_path / f"{path.name}-audit"
        arguments = ["--policy", tmp_path / "gate.yaml", "--folds", 1, "--epochs", 2, "--seed", 0, "--out", out]
        ended = carto("ingest", path, *arguments, "--id-column", "id", *options)
        assert ended.code == 0, ended.err
        return out, ended

    return audit


def test_every_format_gives_the_same_scores_and_figures(audited, tmp_path):
    pq.write_table(TABLE, tmp_path / "batch.parquet")
    first, _ = audited(tmp_path / "batch.parquet")
    scores, metrics = (
        pq.read_table(first / "scores.parquet"),
        json.loads((first / "report.json").read_text())["metrics"],
    )
    for name, write in WRITERS.items():
        write(tmp_path / name)
        out, _ = audited(tmp_path / name)
        assert pq.read_table(out / "scores.parquet").equals(scores), name
        assert json.loads((out / "report.json").read_text())["metrics"] == metrics, name


def test_what_is_not_as_usual_is_told_recorded_and_used_when_the_batch_is_divided(
    carto, audited, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "odd.csv"
    path.write_bytes("".join(f"{row['id']};'{row['text']}'\n" for row in ROWS).encode("cp1252"))
    said = [
        "--encoding",
        "cp1252",
        "--csv-delimiter",
        ";",
        "--csv-header",
        "no",
        "--csv-quote",
        "'",
        "--text-column",
        "f1",
    ]
    out, ended = audited(path, *said, "--id-column", "f0")
    how = "; between fields, quote ', no header, cp1252"
    assert f"odd.csv: read as {how}" in " ".join(ended.err.split())
    assert json.loads((out / "report.json").read_text())["batch"]["reading"] == {
        "given": {"encoding": "cp1252", "csv_delimiter": ";", "csv_header": "no", "csv_quote": "'"},
        "found": [{"how": how, "files": 1, "first": "odd.csv"}],
    }
    assert carto("apply", out, path, "--out", tmp_path / "divided").code == 0
    parts = [pq.read_table(tmp_path / "divided" / part / "odd.parquet") for part in ("curated", "quarantine")]
    assert sorted(text for part in parts for text in part["f1"].to_pylist()) == sorted(TEXTS)


def test_a_wrong_word_for_how_files_are_read_is_a_usage_error(carto, batch_file):
    for said in (["--encoding", "utf-9"], ["--csv-delimiter", "::"], ["--csv-header", "maybe"]):
        ended = carto("ingest", batch_file, *said)
        assert ended.code == 2
        assert said[0] in ended.err


def test_a_row_with_a_key_twice_is_named_with_its_line(audited, tmp_path):
    path = tmp_path / "twice.jsonl"
    lines(path)
    found = path.read_text().splitlines()
    found[6] = found[6].replace('"note"', '"text"')
    path.write_text("\n".join(found))
    out, ended = audited(path)
    (skipped,) = json.loads((out / "report.json").read_text())["batch"]["skipped"]
    assert skipped["reason"] == "repeated_keys"
    assert skipped["examples"] == [{"row": 6, "file": "twice.jsonl", "file_row": 7}]
    assert "1 repeated_keys" in ended.out
