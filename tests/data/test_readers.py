import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest

from carto_audit.benchmarks.items import read_benchmark
from carto_audit.data.layouts import plain
from carto_audit.data.readers import column_types, format_of, read_records, read_schema
from carto_audit.data.shards import expand_paths, read_rows
from carto_audit.runtime.errors import AuditError, UsageError

QUESTIONS = [f"Who sings song {k}?" for k in range(1500)]


def write_json(table, path):
    with pa.output_stream(str(path), compression="detect") as stream:
        stream.write("".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode())


def write_arrow(table, path):
    with pa_ipc.new_file(path, table.schema) as file:
        file.write_table(table)


WRITERS = {
    "parquet": pq.write_table,
    "jsonl": write_json,
    "json": write_json,
    "csv": pa_csv.write_csv,
    "arrow": write_arrow,
}
NAMES = ["a.parquet", "a.pq", "a.jsonl", "a.ndjson", "a.json", "a.jsonl.gz", "a.jsonl.zst", "a.csv", "a.arrow", "a.ipc"]


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_whole_records_and_a_benchmark_are_read_by_one_set_of_readers(tmp_path, name):
    path = tmp_path / name
    WRITERS[format_of(path)](pa.table({"question": QUESTIONS}), path)
    streamed = [value.decode() for rows in read_rows(path, plain("question"), None) for value in rows.text.to_pylist()]
    records = [text for batch in read_records(path, read_schema(path)) for text in batch["question"].to_pylist()]
    assert streamed == records == read_benchmark(path).items["question"].to_pylist() == QUESTIONS


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.arrow", "a.jsonl.gz", "a.jsonl"])
def test_a_broken_file_is_the_same_one_line_to_all_who_read_it(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b'a,b\n"\x00\x1b[31m broken\n,\n')
    said = []
    for read in (
        lambda: [*column_types(path), *read_rows(path, plain("a"), None)],
        lambda: read_schema(path),
        lambda: read_benchmark(path),
    ):
        with pytest.raises(AuditError) as caught:
            read()
        said.append(str(caught.value))
    assert len(set(said)) == 1
    assert said[0].startswith(str(path))
    assert "\n" not in said[0]
    assert "\x1b" not in said[0]


def test_what_may_be_given_instead_is_said_of_all_formats(tmp_path):
    path = tmp_path / "quiz.xlsx"
    path.write_bytes(b"PK\x03\x04\xff")
    way_out = r"give \.parquet, \.jsonl, \.json, \.csv, \.tsv or \.arrow; \.jsonl, .* or \.tsv may be compressed$"
    with pytest.raises(AuditError, match=r"quiz\.xlsx:1: not JSON; .*; " + way_out):
        read_benchmark(path)
    with pytest.raises(UsageError, match=r"quiz\.xlsx: unknown format; " + way_out):
        expand_paths([path])


def test_the_format_follows_from_the_name_alone():
    known = {"a.parquet": "parquet", "a.PQ": "parquet", "a.JSONL.gz": "jsonl", "a.csv.zst": "csv", "a.feather": "arrow"}
    known |= {"a.Json.Xz": "json", "a.TSV.LZ4": "tsv", "a.tab.zstd": "tsv", "a.ndjson.bz2": "jsonl"}
    assert {name: format_of(Path(name)) for name in known} == known
    assert [format_of(Path(name)) for name in ("a.txt", "a", "a.gz", "a.parquet.gz", ".parquet", "a.tar.gz")] == [
        None
    ] * 6


def test_the_columns_of_each_format_are_known_before_reading(tmp_path):
    (tmp_path / "a.csv").write_text("text,n\nwords,1\n")
    (tmp_path / "a.jsonl").write_text('{"text": null}\n{"text": "words", "n": 1}\n')
    pq.write_table(pa.table({"text": ["words"], "n": [1]}), tmp_path / "a.parquet")
    for path in tmp_path.iterdir():
        types = column_types(path)
        assert list(types) == ["text", "n"], path.name
        assert pa.types.is_string(types["text"]) or pa.types.is_large_string(types["text"])
        assert types["n"] == pa.int64()
