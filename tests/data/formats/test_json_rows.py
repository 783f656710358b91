"""JSON as tools write it, read alike in batches and benchmarks, or refused in one line."""

import gzip
import json
import lzma

import pytest

from carto_audit.benchmarks.items import read_benchmark
from carto_audit.data.batch import iter_texts, read_batch
from carto_audit.data.formats import json_rows, json_values
from carto_audit.data.readers import has_rows, how_written, read_json, read_records, read_schema
from carto_audit.runtime.errors import AuditError

TEXTS = [f'The keeper of lamp {k} counts the oil — twice, and "writes" it\ndown.' for k in range(40)]
ROWS = [{"text": text, "n": k} for k, text in enumerate(TEXTS)]
COLUMNS = {"text": TEXTS, "n": list(range(40))}


def numbered(column):
    return {str(k): value for k, value in enumerate(column)}


def lines(rows, **options):
    return "".join(json.dumps(row, **options) + "\n" for row in rows)


DOCUMENTS = {
    "lines": lines(ROWS),
    "lines after a blank one": "\n" + lines(ROWS, ensure_ascii=False),
    "list": json.dumps(ROWS),
    "indented list": "\n " + json.dumps(ROWS, indent=2),
    "a value a line": "[" + ",\n".join(json.dumps(row) for row in ROWS) + "]\n",
    "inside": json.dumps({"version": "1.0", "data": ROWS}),
    "inside, first": json.dumps({"examples": ROWS, "canary": "x", "tags": ["a", "b"], "more": {"n": 1}}),
    "inside, indented": json.dumps({"meta": {"rows": 40}, "data": ROWS}, indent=1),
    "pandas table": json.dumps({"schema": {"fields": [{"name": "text"}], "pandas_version": "1.4.0"}, "data": ROWS}),
    "pandas columns": json.dumps({name: numbered(column) for name, column in COLUMNS.items()}),
    "pandas columns as lists": json.dumps(COLUMNS, indent=2),
    "pandas index": json.dumps(numbered(ROWS)),
    "pandas split": json.dumps(
        {"columns": ["text", "n"], "index": [1] * 40, "data": [[row["text"], row["n"]] for row in ROWS]}
    ),
}


def texts_of(path):
    return [text for chunk in iter_texts(read_batch([path])) for text in chunk.texts]


@pytest.mark.parametrize("form", DOCUMENTS)
def test_every_form_of_a_json_file_holds_the_same_rows(tmp_path, form, monkeypatch):
    monkeypatch.setattr(json_values, "BLOCK", 100)  # a value goes on in the next block, and so do numbers
    path = tmp_path / "a.json"
    path.write_text(DOCUMENTS[form], encoding="utf-8")
    assert [row for rows in read_json(path) for row in rows] == ROWS
    assert texts_of(path) == TEXTS
    records = [row for batch in read_records(path, read_schema(path)) for row in batch.to_pylist()]
    assert records == ROWS
    assert bool(how_written(path)) == (not form.startswith("lines"))


@pytest.mark.parametrize("name", ["a.json.gz", "A.JSON.XZ"])
def test_a_document_may_be_compressed_and_in_another_encoding(tmp_path, name):
    path = tmp_path / name
    data = json.dumps(ROWS, ensure_ascii=False).encode("utf-16")
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else lzma.compress(data))
    assert texts_of(path) == TEXTS


@pytest.mark.parametrize("form", ["list", "inside", "pandas columns"])
def test_a_benchmark_is_read_by_the_same_rules(tmp_path, form):
    path = tmp_path / "exam.json"
    path.write_text(DOCUMENTS[form].replace('"text"', '"question"'))
    assert read_benchmark(path).items["question"].to_pylist() == TEXTS


def test_one_object_alone_is_a_row_where_no_list_of_rows_is_in_it(tmp_path):
    rows = {
        "row.json": {"text": "one row of words", "tags": ["a", "b"]},
        "nested.json": {"doc": {"text": "words in a struct", "url": "x"}},
        "chat.json": {
            "id": 7,
            "messages": [{"role": "user", "content": "Who counts the oil?"}],
            "tools": [{"name": "f"}],
        },
        "tags.json": {"text": "one row of words", "tags": []},
        "much.json": {"text": "What is the sum of 17 and 25? 42", "note": "x", "data": []},
        "said.json": {"data": [], "messages": [{"role": "user", "content": "Who?"}]},
    }
    for name, row in rows.items():
        (tmp_path / name).write_text(json.dumps(row))
        assert [row for found in read_json(tmp_path / name) for row in found] == [row], name


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (
            json.dumps({"train": ROWS, "v": 1, "test": ROWS[:1]}),
            r'holds 2 lists of objects: "train", "test"; deliver a file',
        ),
        (json.dumps([*ROWS, 5]), r"entry 41 of the list is not a JSON object"),
        (json.dumps(ROWS)[:-40], r"not JSON: no value at character"),
        (json.dumps(ROWS) + "[1]", r"more than one JSON value"),
        (json.dumps(ROWS[0], indent=1) * 2, r"more than one JSON value; one list, or one object per line"),
        ('{"data": [{"text": "a"}], "data": [{"text": "b"}]}', r"a key stands twice"),
        ('[{"text": "a"} {"text": "b"}]', r'"," is expected at character 15'),
        ("[" * 100_000, r"cannot read as json"),
        ('{"data": [{"text": ' + "[" * 100_000, r"cannot read as json"),
        ('"text"', r"a\.json:1: not a JSON object"),
    ],
)
def test_a_document_that_is_none_is_refused_in_one_line(tmp_path, document, complaint):
    path = tmp_path / "a.json"
    path.write_text(document)
    with pytest.raises(AuditError, match=complaint) as caught:
        read_batch([path])
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "document",
    [
        "[]",
        "{}",
        '{"data": []}',
        " \n",
        '{"version": "1.0", "data": []}',
        '{"columns": ["text", "n"], "index": [], "data": []}',
        '{"info": {"rows": 0}, "examples": [], "tags": ["a"]}',
    ],
)
def test_a_document_without_rows_is_an_empty_shard(tmp_path, document):
    (tmp_path / "a.json").write_text(document)
    (tmp_path / "b.jsonl").write_text(lines(ROWS))
    assert not has_rows(tmp_path / "a.json")
    assert len(read_batch([tmp_path])) == len(ROWS)


def test_text_beside_the_list_is_counted_as_unread(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"note": "w " * 300, "data": ROWS, "kind": "short"}))
    batch = read_batch([path])
    assert {column.name: (column.n_bytes, column.unread_bytes) for column in batch.unread} == {
        "note": (600, 600),
        "kind": (5, 5),  # beside so much, a label is no label
    }
    assert batch.unread_text_share > 0.1


REPEATED = [
    '{"text": "first words", "text": "second words"}',
    '{"id": 4, "text": "words", "meta": {"a": 1, "b": {"c": 1, "c": 2}}}',
    '{"te\\u0078t": "escaped words", "text": "plain words"}',
    '{"text": null, "text": "words"}',
]


@pytest.mark.parametrize("row", REPEATED)
@pytest.mark.parametrize("form", ["{0}\n{1}\n{0}\n", "[{0}, {1}, {0}]", '{{"data": [{0}, {1}, {0}]}}'])
def test_a_row_with_a_key_twice_is_compared_as_it_was_delivered_and_not_mapped(tmp_path, row, form):
    path = tmp_path / "a.json"
    path.write_text(form.format('{"text": "a row of words", "other": {"text": "x"}}', row))
    batch = read_batch([path])
    assert batch.rows == 3
    assert [(skipped.reason, skipped.rows.tolist()) for skipped in batch.skipped] == [("repeated_keys", [1])]
    assert [text for chunk in iter_texts(batch) for text in chunk.texts] == ["a row of words", row, "a row of words"]
    assert batch.trainable.tolist() == [True, False, True]


def test_equal_keys_in_different_objects_are_no_repetition(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "words", "a": {"text": 1}, "b": [{"text": 1}, {"text": 2}]}\n' * 3)
    assert not read_batch([path]).skipped


def test_no_more_than_some_rows_of_a_document_are_held_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "CHUNK_CHARACTERS", 5_000)
    monkeypatch.setattr(json_values, "BLOCK", 1_000)
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"v": 1, "data": [{"text": "x" * 2_000} for _ in range(50)]}))
    assert max(len(rows) for rows in read_json(path)) <= 3
