"""Files with control rows between their own: real files of every format. CARTO_AUDIT_EXAMPLES=2000 tries more."""

import csv
import json
import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.controls.run_secrets import Copy
from carto_audit.curation.division import is_plain_lines
from carto_audit.data.batch import read_batch, read_texts
from carto_audit.data.readers import read_records, read_schema
from carto_audit.real_runs.beside_values import Ids
from carto_audit.real_runs.control_rows import control_row
from carto_audit.real_runs.donors import new_lines, new_records, read_donors
from carto_audit.real_runs.planted_files import Changes, planted_suffix, write_planted
from carto_audit.runtime.errors import AuditError

EXAMPLES = int(os.environ.get("CARTO_AUDIT_EXAMPLES", "10"))
PLACES = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=6)
REMOVED = st.lists(st.booleans(), min_size=30, max_size=30)


def planted(path, places, removed, **how):
    """The planted file beside a batch of one file, the changes, and the secrets in the order of the file."""
    batch = read_batch([path], **how)
    rng = np.random.default_rng(0)
    usable = np.zeros(batch.rows, dtype=bool)
    usable[batch.row] = True
    donors = read_donors(path, batch.reading, batch.layout, usable)
    before = np.sort((np.array(places) * batch.rows).astype(np.int64))
    made = []
    for number in range(len(before)):
        said = f"secret number {number} is {rng.bytes(4).hex()}"
        copy = Copy(text=said, start=0, end=len(said), free_start=0, free_end=len(said), edited=False)
        donor = number % len(donors)
        row = control_row(batch.layout, donors.rows[donor], copy, column=donors.column, asked="And?", other="No.")
        made.append((donor, row))
    gone = np.array(removed[: batch.rows], dtype=bool) & (rng.random(batch.rows) < 0.5)
    gone[0] = False
    like = made, batch.id_column, Ids(batch.sample_id.to_pylist() if batch.id_column else (), rng), rng
    lines = is_plain_lines(path, batch.reading)
    changes = Changes(
        removed=gone,
        before=before,
        lines=new_lines(donors, *like) if lines else (),
        records=None if lines else new_records(donors, *like),
    )
    out = path.parent / "out" / f"a{planted_suffix(path, batch.reading)}"
    written = write_planted(path, batch.reading, changes, out, lambda _: None)
    again = read_batch([out], layout=batch.layout, id_column=batch.id_column)
    assert again.rows == int((~gone).sum()) + len(before)
    where = [int(np.searchsorted(again.row, place)) for place in changes.places()]
    texts = read_texts(again, where)
    assert [texts[sample] for sample in where] == [row.text for _, row in made]
    return out, changes, written


@settings(max_examples=EXAMPLES)
@given(
    rows=st.lists(st.tuples(st.text(max_size=8), st.integers(-9, 9) | st.none()), min_size=1, max_size=30),
    places=PLACES,
    removed=REMOVED,
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    last=st.booleans(),
)
def test_lines_that_stay_are_equal_byte_for_byte_and_in_order(tmp_path_factory, rows, places, removed, end, last):
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    lines = [json.dumps({"text": f"a{text}", "n": n}, ensure_ascii=k % 2 == 0) for k, (text, n) in enumerate(rows)]
    path.write_bytes((end.join(lines) + end * last).encode("utf-8", "surrogatepass"))
    delivered = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    out, changes, written = planted(path, places, removed, text_column="text")
    found = [line for line in out.read_bytes().split(b"\n") if line.strip()]
    is_new = changes.is_new()
    assert written.copied
    assert [line for line, new in zip(found, is_new, strict=True) if not new] == [
        line for line, gone in zip(delivered, changes.removed, strict=True) if not gone
    ]
    for line in (line for line, new in zip(found, is_new, strict=True) if new):
        assert line.endswith(b"\r") == (end == "\r\n" and (last or len(rows) > 1))
        assert json.loads(line).keys() == {"text", "n"}


@settings(max_examples=EXAMPLES)
@given(
    rows=st.lists(
        st.tuples(
            st.text(max_size=8) | st.sampled_from(["a\nb", 'a"b', ",", "a,b", "\ufeff", "007"]),
            st.text(max_size=8) | st.sampled_from(["", '""', "a\rb", "1"]),
        ),
        min_size=1,
        max_size=30,
    ),
    places=PLACES,
    removed=REMOVED,
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_csv_rows_that_stay_keep_their_values(tmp_path_factory, rows, places, removed, end, quoting):
    path = tmp_path_factory.mktemp("any") / "a.csv"
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        writer = csv.writer(file, lineterminator=end, quoting=quoting)
        rows = [tuple(re.sub(r"[\x00\r\t;|]", "", cell) for cell in (f"a {text}", note)) for text, note in rows]
        writer.writerows([("text", "note"), *rows])
    delivered = values_of_file(path)
    out, changes, _ = planted(path, places, removed, text_column="text")
    assert [row for row, new in zip(values_of_file(out), changes.is_new(), strict=True) if not new] == [
        row for row, gone in zip(delivered, changes.removed, strict=True) if not gone
    ]


def values_of_file(path):
    return [list(row.values()) for batch in read_records(path, read_schema(path)) for row in batch.to_pylist()]


@settings(max_examples=EXAMPLES)
@given(
    rows=st.lists(st.tuples(st.text(max_size=8), st.none() | st.floats(allow_nan=False)), min_size=1, max_size=30),
    places=PLACES,
    removed=REMOVED,
    suffix=st.sampled_from(["parquet", "arrow"]),
    coded=st.booleans(),
)
def test_tables_keep_values_and_schema(tmp_path_factory, rows, places, removed, suffix, coded):
    path = tmp_path_factory.mktemp("any") / f"a.{suffix}"
    texts = [f"a{text}".encode("utf-8", "replace").decode() for text, _ in rows]
    columns = {
        "prompt": pa.array(texts, pa.large_string()),
        "completion": pa.array(texts).dictionary_encode() if coded else pa.array(texts, pa.string_view()),
        "n": pa.array([number for _, number in rows], pa.float64()),
        "kind": pa.array(["x", "y"] * len(rows))[: len(rows)].dictionary_encode(),
        "when": pa.array([None] + [10**12] * (len(rows) - 1), pa.timestamp("us", tz="UTC")),
        "deep": pa.array([{"x": [text]} for text in texts]),
        "vector": pa.array([[1.0, 2.0]] * len(rows), pa.list_(pa.float32(), 2)),
    }
    table = pa.table(columns).replace_schema_metadata({"who": "vendor"})
    if suffix == "parquet":
        pq.write_table(table, path, row_group_size=7)
        table = pq.read_table(path)
    else:
        with pa_ipc.new_file(path, table.schema) as file:
            file.write_table(table, max_chunksize=7)
    out, changes, _ = planted(path, places, removed)
    found = pq.read_table(out) if suffix == "parquet" else pa_ipc.open_file(out).read_all()
    assert found.schema.equals(table.schema, check_metadata=True)
    rows, is_new = found.to_pylist(), changes.is_new()
    assert [repr(row) for row, new in zip(rows, is_new, strict=True) if not new] == [
        repr(row) for row, gone in zip(table.to_pylist(), changes.removed, strict=True) if not gone
    ]
    new = [rows[place] for place in changes.places()]
    assert all(row["deep"] == {"x": []} for row in new)
    assert {row["kind"] for row in new} <= {"x", "y"}


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.zst", "a.jsonl.xz"])
def test_what_is_compressed_stays_compressed(tmp_path, name):
    rows = [f"row {k} of the delivery" for k in range(6)]
    data = (
        "text,n\n" + "".join(f"{row},1\n" for row in rows)
        if "csv" in name
        else "".join(f'{{"text": "{row}"}}\n' for row in rows)
    )
    write_compressed(tmp_path / name, data.encode())
    out, _, written = planted(tmp_path / name, [0.5], [False] * 30)
    assert written.copied
    assert out.read_bytes()[:2] == (tmp_path / name).read_bytes()[:2]


def write_compressed(path, data):
    if path.suffix == ".xz":
        import lzma

        path.write_bytes(lzma.compress(data))
        return
    with pa.output_stream(path, compression={".gz": "gzip", ".zst": "zstd"}[path.suffix]) as file:
        file.write(data)


CHATS = [
    {"id": k, "messages": [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": said}]}
    for k, said in enumerate(["one of two kinds", [{"type": "text", "text": "another of two kinds"}]] * 6)
]


@pytest.mark.parametrize(
    ("name", "data", "suffix"),
    [
        ("a.json", json.dumps(CHATS), "parquet"),
        ("a.json", json.dumps({"version": 1, "data": CHATS}), "parquet"),
        ("a.json", "".join(json.dumps(row) + "\n" for row in CHATS), "json"),
        ("a.tsv", "prompt\tcompletion\n" + "".join(f"what is {k}\tthis is {k}\n" for k in range(9)), "parquet"),
        ("a.csv", "prompt;completion\n" + "".join(f"what is {k};this is {k}\n" for k in range(9)), "parquet"),
    ],
    ids=["list", "inside", "lines", "tabs", "semicolons"],
)
def test_what_is_not_written_in_its_own_way_becomes_a_table_that_reads_the_same(tmp_path, name, data, suffix):
    (tmp_path / name).write_text(data)
    out, changes, written = planted(tmp_path / name, [0.2, 0.7, 0.7], [False, True] * 15)
    assert out.suffix == f".{suffix}"
    assert written.converted == (suffix == "parquet")
    delivered, found = (texts_of(path) for path in (tmp_path / name, out))
    assert [text for text, new in zip(found, changes.is_new(), strict=True) if not new] == [
        text for text, gone in zip(delivered, changes.removed, strict=True) if not gone
    ]


def texts_of(path):
    batch = read_batch([path])
    texts = read_texts(batch, range(len(batch)))
    return [texts[k] for k in range(len(batch))]


def test_a_key_that_a_donor_lacks_is_written_where_the_secret_needs_it(tmp_path):
    rows = [{"title": f"the title of row {k}", "n": k} for k in range(6)]
    rows += [
        {"title": f"the title of row {k}", "body": f"and what row {k} says to all of us who read it"} for k in range(30)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out, changes, _ = planted(tmp_path / "a.jsonl", [0.1, 0.4, 0.8], [False] * 36)
    new = [json.loads(out.read_text().splitlines()[place]) for place in changes.places()]
    assert [list(row) for row in new] == [["title", "n", "body"]] * 3


def test_ids_of_control_rows_are_new_ones(tmp_path):
    path = tmp_path / "a.parquet"
    texts = [f"row {k} of the delivery" for k in range(12)]
    pq.write_table(pa.table({"id": pa.array(range(12), pa.int32()), "text": texts}), path)
    out, changes, _ = planted(path, [0.1, 0.5, 0.5], [False] * 30, id_column="id")
    assert sorted(np.array(pq.read_table(out)["id"])[changes.places()].tolist()) == [12, 13, 14]


def test_a_file_that_changed_since_it_was_read_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one of two rows"}\n{"text": "two of two rows"}\n')
    changes = Changes(removed=np.zeros(3, dtype=bool), before=np.array([1]), lines=[b'{"text": "new"}'])
    batch = read_batch([path])
    with pytest.raises(AuditError, match="the files changed"):
        write_planted(path, batch.reading, changes, tmp_path / "out.jsonl", lambda _: None)
    changes = Changes(removed=np.zeros(1, dtype=bool), before=np.array([0]), lines=[b'{"text": "new"}'])
    with pytest.raises(AuditError, match="the files changed"):
        write_planted(path, batch.reading, changes, tmp_path / "out.jsonl", lambda _: None)
