import gzip
import json
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.data.layouts import plain
from carto_audit.data.readers import ROWS_PER_READ, column_types
from carto_audit.data.shards import expand_paths, read_rows
from carto_audit.runtime.errors import AuditError, UsageError

TEXTS = ["plain words", "grüße, 東京 😀", None, "", "two\nlines, \"quoted\", and 'more'"]
ROWS = [json.dumps({"text": text, "id": str(k)}) for k, text in enumerate(TEXTS)]


def read(path, text="text", ids=None):
    """All texts and ids of a shard."""
    parts = list(read_rows(path, plain(text), ids))
    texts = [value.decode("utf-8") if value is not None else None for part in parts for value in part.text.to_pylist()]
    return texts, [i for part in parts for i in part.ids.to_pylist()] if ids else None


def write_ipc(path, array, opener):
    with opener(path, pa.schema({"text": array.type})) as writer:
        writer.write(pa.record_batch({"text": array}))
    return path


KINDS = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()]


def in_kind(kind):
    textual = kind in (pa.string(), pa.large_string(), pa.string_view())
    return pa.array([t if t is None or textual else t.encode() for t in TEXTS], kind)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_parquet_and_arrow_of_every_text_type_give_the_same_texts(tmp_path, kind):
    column = in_kind(kind)
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    write_ipc(tmp_path / "file.arrow", column, pa_ipc.new_file)
    write_ipc(tmp_path / "stream.arrow", column, pa_ipc.new_stream)
    for path in sorted(tmp_path.iterdir()):
        assert read(path)[0] == TEXTS, path.name


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_dictionary_columns_are_decoded(tmp_path, kind):
    """Views too: categories, as Polars writes them."""
    column = pa.DictionaryArray.from_arrays(pa.array(range(len(TEXTS)), pa.uint32()), in_kind(kind))
    pq.write_table(pa.table({"text": in_kind(pa.string()).dictionary_encode()}), tmp_path / "a.parquet")
    write_ipc(tmp_path / "a.arrow", column, pa_ipc.new_stream)
    assert read(tmp_path / "a.parquet")[0] == read(tmp_path / "a.arrow")[0] == TEXTS


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4", "brotli"])
def test_parquet_with_several_row_groups_and_any_compression_is_read_in_order(tmp_path, compression):
    texts = [f"row {k}" for k in range(2 * ROWS_PER_READ + 7)]
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"other": range(len(texts)), "text": texts}), path, row_group_size=700, compression=compression
    )
    assert read(path)[0] == texts
    assert max(len(part.text) for part in read_rows(path, plain("text"), None)) <= ROWS_PER_READ


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.jsonl.gz", "a.jsonl.zst", "a.jsonl.bz2"])
def test_json_lines_plain_and_compressed_give_the_same_texts(tmp_path, name):
    path, data = tmp_path / name, "\n".join(ROWS).encode()
    with pa.output_stream(str(path), compression="detect") as stream:
        stream.write(data)
    assert read(path, ids="id") == (TEXTS, [str(k) for k in range(len(TEXTS))])


def test_json_lines_may_have_blank_lines_a_byte_order_mark_and_no_last_newline(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n\r\n  \n{"text": "two"}')
    assert read(path)[0] == ["one", "two"]


def test_json_scalars_count_as_text_and_a_missing_key_as_null(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"text": 5}\n{"text": true}\n{"other": 1}\n')
    assert read(path)[0] == ["one", "5", "true", None]


def test_a_lone_surrogate_or_a_stray_byte_in_json_spoils_its_own_row_only(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a \\ud800 b"}\n{"text": "c \xff d"}\n{"text": "\\ud83d\\ude00"}\n')
    rows = [value for part in read_rows(path, plain("text"), None) for value in part.text.to_pylist()]
    assert rows[2] == "😀".encode()
    for row in rows[:2]:
        with pytest.raises(UnicodeDecodeError):
            row.decode("utf-8")


def test_csv_cells_may_hold_quotes_commas_and_newlines(tmp_path):
    path = tmp_path / "a.csv"
    texts = [text for text in TEXTS if text is not None]
    pa_csv.write_csv(pa.table({"id": range(len(texts)), "text": texts}), path)
    assert read(path, ids="id") == (texts, ["0", "1", "2", "3"])
    with pa.output_stream(f"{path}.gz", compression="gzip") as stream:
        stream.write(path.read_bytes())
    assert read(Path(f"{path}.gz"))[0] == texts


def test_a_csv_cell_is_the_text_that_stands_there_even_if_it_looks_like_something_else(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,text\n007,words\n1e3,NULL\nx,3.50\ny,true\n")
    assert read(path, ids="id") == (["words", "NULL", "3.50", "true"], ["007", "1e3", "x", "y"])


@settings(max_examples=40)
@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=40)), min_size=1))
def test_any_text_survives_every_format(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("any")
    column = pa.array(texts, pa.string())
    pq.write_table(pa.table({"text": column}), folder / "a.parquet")
    write_ipc(folder / "a.arrow", column, pa_ipc.new_file)
    (folder / "a.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    for path in folder.iterdir():
        assert read(path)[0] == texts, path.name


@settings(max_examples=60)
@given(st.binary(max_size=200), st.sampled_from([".parquet", ".arrow", ".csv", ".jsonl", ".jsonl.gz", ".jsonl.zst"]))
def test_junk_is_refused_in_one_line_or_read_and_nothing_else(tmp_path_factory, junk, suffix):
    path = tmp_path_factory.mktemp("junk") / f"junk{suffix}"
    path.write_bytes(junk)
    complaint = ""
    try:
        for name in list(column_types(path))[:1]:
            list(read_rows(path, plain(name), None))
    except AuditError as error:
        complaint = str(error)
    assert "\n" not in complaint
    assert not complaint or str(path) in complaint


def _whole_files(folder):
    pq.write_table(pa.table({"text": [f"row {k} with some words" for k in range(5000)]}), folder / "a.parquet")
    write_ipc(folder / "a.arrow", pa.array([f"row {k}" for k in range(5000)]), pa_ipc.new_file)
    lines = "".join(f'{{"text": "row {k}"}}\n' for k in range(5000)).encode()
    (folder / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    (folder / "a.jsonl.zst").write_bytes(pa.compress(lines, "zstd", asbytes=True))
    (folder / "a.jsonl").write_bytes(lines[: len(lines) // 2 * 2 - 3])


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.jsonl.gz", "a.jsonl.zst", "a.jsonl"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_a_file_cut_short_is_one_clear_line(tmp_path, name, share):
    _whole_files(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    cut = int(len(whole) * share)
    while whole[cut - 1 : cut] in (b"\n", b"}"):  # cut a plain text inside a line
        cut -= 1
    path.write_bytes(whole[:cut])
    with pytest.raises(AuditError, match=rf"{name}(:\d+)?: (cannot read|not JSON)") as caught:
        assert column_types(path)
        list(read_rows(path, plain("text"), None))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_column_name_that_occurs_twice_is_one_clear_line(tmp_path, name):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(table, path)
    else:
        with pa_ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    with pytest.raises(AuditError, match=r'"text" exists 2 times'):
        list(read_rows(path, plain("text"), None))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        ('["a"]', "not a JSON object"),
        ("[" * 100_000, "not JSON"),
        ('{"a": ' + "9" * 5000, "not JSON"),
    ],
    ids=["cut", "list", "deep", "digits"],
)
def test_a_line_that_is_no_json_object_is_named_by_its_number(tmp_path, line, complaint):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "fine"}}\n\n{line}\n')
    with pytest.raises(AuditError, match=rf"a\.jsonl:3: {complaint}"):
        list(read_rows(path, plain("text"), None))


def test_a_column_that_cannot_hold_ids_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "key": [[1], [2]]}), path)
    with pytest.raises(AuditError, match=r'a\.parquet: column "key": cannot serve as ids'):
        list(read_rows(path, plain("text"), "key"))


UUIDS = [uuid.UUID(int=number + 10**37).bytes for number in range(2)]


@pytest.mark.parametrize("kind", [pa.binary(16), pa.binary(), pa.large_binary(), pa.uuid()], ids=str)
def test_ids_of_bytes_become_hexadecimal_digits_in_every_typed_format(tmp_path, kind):
    column = pa.array(UUIDS, kind)
    table = pa.table({"text": ["a", "b"], "key": column})
    pq.write_table(table, tmp_path / "a.parquet")
    with pa_ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    for path in sorted(tmp_path.iterdir()):
        assert read(path, ids="key") == (["a", "b"], [value.hex() for value in UUIDS]), path.name


def test_ids_of_bytes_that_are_text_stay_text_and_none_stays_none(tmp_path):
    path = tmp_path / "a.parquet"
    keys = pa.array([b"row-1", "grün".encode(), b"\xff", b"a\n", None])
    pq.write_table(pa.table({"text": list("abcde"), "key": keys}), path)
    assert read(path, ids="key")[1] == ["row-1", "grün", "ff", "610a", None]


def test_ids_of_any_simple_type_become_text(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "n": [7, 8], "d": pa.array(["x", "y"]).dictionary_encode()}), path)
    assert read(path, ids="n")[1] == ["7", "8"]
    assert read(path, ids="d")[1] == ["x", "y"]
    assert read(path, ids="text") == (["a", "b"], ["a", "b"])


def _touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def test_folders_and_globs_give_their_shards_sorted_and_each_once(tmp_path):
    names = ["b.parquet", "a.jsonl", "sub/c.csv", ".hidden/d.csv", ".e.csv", "notes.txt", "f.arrow"]
    _touch(*(tmp_path / name for name in names))
    shards = [tmp_path / name for name in ("a.jsonl", "b.parquet", "f.arrow", "sub/c.csv")]
    assert expand_paths([tmp_path]) == tuple(shards)
    assert expand_paths([f"{tmp_path}/**/*.csv"]) == (shards[3],)
    assert expand_paths([shards[1], tmp_path, f"{tmp_path}/*.parquet"]) == (shards[1], shards[0], *shards[2:])


def test_one_file_under_two_names_is_read_once(tmp_path, monkeypatch):
    _touch(tmp_path / "a.csv", tmp_path / "sub" / "b.csv")
    monkeypatch.chdir(tmp_path)
    assert expand_paths(["a.csv", tmp_path / "a.csv", "sub/../a.csv"]) == (Path("a.csv"),)


@pytest.mark.parametrize(
    "name", ["a[1].csv", "[bold].csv", "wei\u00df \u202e.csv", "a*b.csv", "\n::error::.csv", "$(x).csv"]
)
def test_a_file_with_an_odd_name_is_itself_not_a_pattern(tmp_path, name):
    _touch(tmp_path / name, tmp_path / "a1.csv")
    assert expand_paths([tmp_path / name]) == (tmp_path / name,)
    assert tmp_path / name in expand_paths([tmp_path])


@pytest.mark.parametrize(
    ("given_path", "error", "complaint"),
    [
        ("missing.parquet", UsageError, "no such file or folder"),
        ("*.parquet", UsageError, "no such file or folder"),
        ("notes.txt", UsageError, "unknown format"),
        ("empty", AuditError, "nothing to audit"),
    ],
)
def test_nothing_to_read_is_one_clear_line(tmp_path, given_path, error, complaint):
    _touch(tmp_path / "notes.txt", tmp_path / "empty" / "notes.txt")
    with pytest.raises(error, match=complaint) as caught:
        expand_paths([tmp_path / given_path])
    assert given_path in str(caught.value)
    assert "\n" not in str(caught.value)
