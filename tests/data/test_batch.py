import hashlib
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.benchmarks.items import read_benchmark
from carto_audit.data import batch as batch_module
from carto_audit.data.batch import CHUNK_BYTES, iter_texts, name_samples, read_batch, read_texts
from carto_audit.data.skips import LONGEST_SAMPLE, SKIP_REASONS
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.audits import strings_of_bytes, write_parquet

NOT_UTF8 = [b"fine", b"stray \xff byte", b"lone \xed\xa0\x80 surrogate", b"cut \xe6\x9d"]


def texts_of(batch):
    return [text for chunk in iter_texts(batch) for text in chunk.texts]


def test_every_row_is_a_sample_or_a_skip_with_a_reason(tmp_path):
    texts = ["one", None, "two", "", " \t\n\u2003", "x" * (LONGEST_SAMPLE + 1), "nul \x00 inside"]
    texts += [".", "\u200b\u200b", "\u3164 \u115f", "— ?!", "谁", "7"]
    batch = read_batch([write_parquet(tmp_path / "a.parquet", texts)])
    assert batch.rows == 13
    assert batch.row.tolist() == [0, 2, 5, 6, 11, 12]
    assert batch.trainable.tolist() == [True, True, False, True, True, True]
    assert {s.reason: s.rows.tolist() for s in batch.skipped} == {
        "null": [1],
        "empty": [3],
        "whitespace": [4],
        "wordless": [7, 8, 9, 10],
        "over_long": [5],
    }
    assert all(s.explanation == SKIP_REASONS[s.reason] for s in batch.skipped)
    assert texts_of(batch) == [texts[k] for k in batch.row]
    assert batch.n_bytes.tolist() == [3, 3, LONGEST_SAMPLE + 1, 12, 3, 1]


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_bytes_that_are_not_utf8_in_a_string_column_are_named_and_the_rest_is_compared(tmp_path, suffix):
    column, path = strings_of_bytes(NOT_UTF8), tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table({"text": column}), path)
    else:
        with pa_ipc.new_file(path, pa.schema({"text": pa.string()})) as writer:
            writer.write(pa.record_batch({"text": column}))
    batch = read_batch([path])
    assert texts_of(batch) == ["fine", "stray \ufffd byte", "lone \ufffd surrogate", "cut \ufffd"]
    assert [(s.reason, s.rows.tolist()) for s in batch.skipped] == [("undecodable", [1, 2, 3])]
    assert batch.trainable.tolist() == [True, False, False, False]
    assert batch.lost_bytes == sum(map(len, NOT_UTF8[1:]))


def test_lone_surrogates_in_json_are_named_and_the_rest_is_compared(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"text": "fine"}\n{"text": "lone \\ud800 one"}\n{"text": "stray \xff"}\n{"text": "\\ud83d\\ude00"}\n'
    )
    batch = read_batch([path])
    assert texts_of(batch) == ["fine", "lone \ufffd one", "stray \ufffd", "😀"]
    assert [(s.reason, s.rows.tolist()) for s in batch.skipped] == [("undecodable", [1, 2])]
    assert batch.trainable.tolist() == [True, False, False, True]


def test_text_in_another_encoding_is_lost_and_counted_however_much_of_it_can_be_read(tmp_path):
    texts = ["words of a row " * 20, "\u7b2c\u4e00\u7bc7" * 40, "one word, then " + "\u7b2c\u4e00\u7bc7" * 40]
    rows = [texts[0].encode(), texts[1].encode("gb2312"), texts[2].encode("gb2312")]
    pq.write_table(pa.table({"text": pa.array(rows, pa.binary())}), tmp_path / "a.parquet")
    batch = read_batch([tmp_path / "a.parquet"])
    assert [(s.reason, s.rows.tolist()) for s in batch.skipped] == [("undecodable", [1, 2])]
    assert not batch.trainable[1:].any()
    assert batch.lost_bytes == len(rows[1]) + len(rows[2])


@settings(max_examples=30)
@given(
    st.lists(st.one_of(st.none(), st.text(max_size=30).map(lambda t: t.encode("utf-8", "surrogatepass"))), min_size=1)
)
def test_rows_are_never_lost(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("any") / "a.parquet"
    pq.write_table(pa.table({"text": pa.array([b"words", *values], pa.binary())}), path)
    batch = read_batch([path])
    dropped = {int(row) for s in batch.skipped for row in s.rows} - set(batch.row.tolist())
    assert sorted([*batch.row.tolist(), *dropped]) == list(range(batch.rows))
    kept = [[b"words", *values][k].decode("utf-8", "surrogatepass") for k in batch.row]
    assert texts_of(batch) == [re.sub("[\ud800-\udfff]", "\ufffd", text) for text in kept]
    assert all(
        text == plain for text, plain, whole in zip(texts_of(batch), kept, batch.trainable, strict=True) if whole
    )


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"url": ["u"], "text": ["t"]}, "text"),
        ({"url": ["u"], "content": ["c"], "body": ["b"]}, "content"),
        ({"whatever": ["w"], "n": [1]}, "whatever"),
        ({"text": [1], "story": ["s"]}, "story"),
    ],
)
def test_the_text_column_is_found(tmp_path, columns, found):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path)
    assert read_batch([path]).text_column == found


def test_a_named_text_column_wins_over_a_found_one(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", ["one"], prompt=["two"], **{"meta.text": ["three"]})
    assert texts_of(read_batch([path], text_column="prompt")) == ["two"]
    assert texts_of(read_batch([path], text_column="meta.text")) == ["three"]


@pytest.mark.parametrize(
    ("columns", "options", "complaint"),
    [
        ({"a": ["x"], "b": ["y"]}, {}, "no text column found; name one with text_column; it has: a, b"),
        ({"n": [1]}, {}, "no text column found"),
        ({"text": ["x"]}, {"text_column": "txt"}, 'no column "txt"; it has: text'),
        ({"text": ["x"]}, {"id_column": "id"}, 'no column "id"; it has: text'),
        ({"text": ["x"], "n": [1]}, {"text_column": "n"}, 'column "n" is int64, not text'),
        ({"\x1b[31m\n": ["x"], "b": ["y"]}, {}, r"it has: \[31m, b"),
    ],
)
def test_a_column_that_is_not_there_or_not_text_is_a_usage_error(tmp_path, columns, options, complaint):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(UsageError, match=complaint) as caught:
        read_batch([path], **options)
    assert not set("\x1b\n") & set(str(caught.value))


def test_a_column_missing_in_a_later_shard_is_found_before_reading(tmp_path):
    write_parquet(tmp_path / "a.parquet", ["one"])
    pq.write_table(pa.table({"content": ["two"]}), tmp_path / "b.parquet")
    with pytest.raises(UsageError, match=r'b\.parquet: no column "text"'):
        read_batch([tmp_path])


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        ([], "zero rows"),
        ([None, None, None], "no usable text in 3 rows: 3 null"),
        (["", " ", None], "1 null, 1 empty, 1 whitespace"),
        (["x" * (LONGEST_SAMPLE + 1)], "1 over_long"),
    ],
    ids=["zero", "nulls", "blanks", "long"],
)
def test_a_batch_without_usable_text_is_an_error_that_counts_why(tmp_path, texts, complaint):
    path = write_parquet(tmp_path / "a.parquet", pa.array(texts, pa.string()))
    with pytest.raises(AuditError, match=complaint):
        read_batch([path])


def test_a_column_of_nothing_but_null_type_is_all_null(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", pa.nulls(3))
    with pytest.raises(AuditError, match="3 null"):
        read_batch([path])


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl", "a.arrow", "a.jsonl.gz"])
def test_an_empty_file_is_one_clear_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(AuditError, match=rf"{name}: ") as caught:
        read_batch([tmp_path / name])
    assert "\n" not in str(caught.value)


def test_empty_shards_among_others_do_no_harm(tmp_path):
    write_parquet(tmp_path / "a.parquet", pa.array([], pa.string()))
    write_parquet(tmp_path / "b.parquet", ["one"])
    batch = read_batch([tmp_path])
    assert batch.sample_id.to_pylist() == ["b.parquet:0"]


def test_given_ids_are_kept_and_follow_their_rows(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", ["one", None, "two"], key=["x", "y", "z"])
    batch = read_batch([path], id_column="key")
    assert batch.sample_id.to_pylist() == ["x", "z"]


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (["a", "b", "a", "b"], '2 ids repeat, for example "[ab]"'),
        (["a", None, "c", None], "2 rows have no id"),
        (["\x1b[31m\n", "b", "\x1b[31m\n", "d"], r'1 ids repeat, for example "\[31m"'),
    ],
)
def test_ids_that_repeat_or_are_missing_are_refused(tmp_path, keys, complaint):
    path = write_parquet(tmp_path / "a.parquet", ["one", "two", "three", "four"], key=keys)
    with pytest.raises(AuditError, match=complaint) as caught:
        read_batch([path], id_column="key")
    assert "id_column" in str(caught.value)


def test_ids_may_not_repeat_across_shards(tmp_path):
    for name in ("a.parquet", "b.parquet"):
        write_parquet(tmp_path / name, ["one", "two"], key=["x", name])
    with pytest.raises(AuditError, match='1 ids repeat, for example "x"'):
        read_batch([tmp_path], id_column="key")


def test_made_ids_name_file_and_row_and_do_not_depend_on_where_the_folder_lies(tmp_path):
    for root in ("here", "there/deeper"):
        write_parquet(tmp_path / root / "a.parquet", ["one", "two"])
        write_parquet(tmp_path / root / "sub" / "a.parquet", [None, "three"])
    here, there = (read_batch([tmp_path / root]) for root in ("here", "there/deeper"))
    assert here.sample_id.to_pylist() == ["a.parquet:0", "a.parquet:1", "sub/a.parquet:1"]
    assert here.sample_id == there.sample_id
    assert here.sha256 == there.sha256


def test_shards_of_different_formats_types_and_dictionaries_are_one_batch(tmp_path):
    pq.write_table(pa.table({"text": pa.array(["a b", "c d", "a b"]).dictionary_encode()}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": pa.array(["e f", None]).dictionary_encode()}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"text": pa.array(["g h"], pa.large_string()), "more": [1]}), tmp_path / "c.parquet")
    (tmp_path / "d.jsonl").write_text('{"text": "i j"}\n')
    (tmp_path / "e.csv").write_text("n,text\n1,k l\n")
    batch = read_batch([tmp_path])
    assert texts_of(batch) == ["a b", "c d", "a b", "e f", "g h", "i j", "k l"]
    assert batch.row.tolist() == [0, 1, 2, 3, 5, 6, 7]


def test_a_dictionary_that_grows_from_batch_to_batch_of_a_stream_is_followed(tmp_path):
    path, kind = tmp_path / "a.arrow", pa.dictionary(pa.int32(), pa.string())
    with pa_ipc.new_stream(path, pa.schema({"text": kind})) as writer:
        for values in (["a", "b"], ["c"], ["b", "d"]):
            writer.write(pa.record_batch({"text": pa.array(values).dictionary_encode()}))
    assert texts_of(read_batch([path])) == ["a", "b", "c", "b", "d"]


def test_the_digest_is_that_of_the_file_or_of_the_list_of_digests(tmp_path):
    files = [write_parquet(tmp_path / name, [name]) for name in ("a.parquet", "b.parquet")]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    assert read_batch(files[:1]).sha256 == digests[0]
    assert read_batch(files).sha256 == hashlib.sha256("\n".join(digests).encode()).hexdigest()
    assert read_batch(files[::-1]).sha256 != read_batch(files).sha256


def test_texts_stream_in_chunks_of_bounded_size_that_say_where_they_begin(tmp_path):
    texts = [str(k) * 500_000 for k in range(10)] * 5
    batch = read_batch([write_parquet(tmp_path / "a.parquet", texts)])
    chunks = list(iter_texts(batch))
    assert len(chunks) > 1
    assert [chunk.start for chunk in chunks] == np.cumsum([0, *(len(c.texts) for c in chunks[:-1])]).tolist()
    assert all(sum(map(len, chunk.texts[:-1])) < CHUNK_BYTES for chunk in chunks)
    assert [text for chunk in chunks for text in chunk.texts] == texts


def test_a_chunk_of_tiny_texts_is_bounded_by_their_number(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_module, "CHUNK_SAMPLES", 3)
    batch = read_batch([write_parquet(tmp_path / "a.parquet", ["a", None, "b", "c", "d", "", "e", "f", "g"])])
    chunks = [(chunk.start, chunk.texts) for chunk in iter_texts(batch)]
    assert chunks == [(0, ["a", "b", "c"]), (3, ["d", "e", "f"]), (6, ["g"])]


def test_a_few_texts_are_read_by_sample_not_by_row(tmp_path):
    batch = read_batch([write_parquet(tmp_path / "a.parquet", [None, "one", "", "two", "three"])])
    assert read_texts(batch, [2, 0]) == {0: "one", 2: "three"}
    assert read_texts(batch, []) == {}


@pytest.mark.parametrize("texts", [["one"], ["one", "two", "three"], ["one", None]], ids=["shorter", "longer", "null"])
def test_a_file_that_changes_under_the_audit_is_noticed(tmp_path, texts):
    path = write_parquet(tmp_path / "a.parquet", ["one", "two"])
    batch = read_batch([path])
    write_parquet(path, texts)
    with pytest.raises(AuditError, match="changed while"):
        list(iter_texts(batch))


FAR = {
    "far": pa.array([1_000_000_000_000] * 3, pa.timestamp("s")),
    "before": pa.array([-1_000_000] * 3, pa.date32()),
    "zone": pa.array([1_700_000_000] * 3, pa.timestamp("s", "Vendor/Zone")),
    "nano": pa.array([1_700_000_000_000_000_001] * 3, pa.timestamp("ns")),
    "took": pa.array([2**62] * 3, pa.duration("ns")),
    "clock": pa.array([86_399_999_999_999] * 3, pa.time64("ns")),
    "price": pa.array([None, 1, 2]).cast(pa.decimal128(38, 9)),
    "map": pa.array([[("k", 10**12)]] * 3, pa.map_(pa.string(), pa.timestamp("s"))),
    "inside": pa.array([{"at": 10**12, "by": "x"}] * 3, pa.struct({"at": pa.timestamp("s"), "by": pa.string()})),
    "times": pa.array([[10**12]] * 3, pa.large_list(pa.timestamp("s"))),
    "pair": pa.array([[1, 2]] * 3, pa.list_(pa.duration("ns"), 2)),
    "known": pa.array(["a", "b", "a"]).dictionary_encode(),
    "day": pa.array([10**12] * 3, pa.timestamp("s")).dictionary_encode(),
    "id16": pa.array([bytes(16)] * 3, pa.uuid()),
    "span": pa.array([(1, 2, 3)] * 3, pa.month_day_nano_interval()),
}
THREE = ["first row of words", "second row of words", "third row of words"]


@pytest.mark.parametrize("name", FAR)
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_what_stands_in_another_column_does_not_matter(tmp_path, name, suffix):
    table = (
        pa.table({"text": THREE, "question": THREE, name: FAR[name]}) if name != "span" or suffix == "arrow" else None
    )
    if table is None:
        pytest.skip("Parquet does not store intervals")
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path)
    else:
        with pa_ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    assert texts_of(read_batch([path], text_column="text")) == THREE
    assert read_benchmark(path).items["question"].to_pylist() == THREE


def test_shards_may_differ_in_order_null_types_and_kinds_of_ids(tmp_path):
    columns = {
        "id": pa.array([1, 2]),
        "prompt": pa.array(["Who counts the oil?"] * 2),
        "completion": pa.array(["Ann does."] * 2),
    }
    pq.write_table(pa.table(columns | {"note": pa.nulls(2)}), tmp_path / "a.parquet")
    others = {"completion": pa.nulls(1), "note": ["x"], "prompt": ["Where is the lamp of the keeper?"], "id": ["three"]}
    pq.write_table(pa.table(others), tmp_path / "b.parquet")
    (tmp_path / "c.jsonl").write_text('{"completion": null, "prompt": "When is it dark?", "id": 4}\n')
    (tmp_path / "d.csv").write_text('completion,id,prompt\nAt night.,5,"When, then?"\n')
    batch = read_batch([tmp_path], id_column="id")
    assert batch.sample_id.to_pylist() == ["1", "2", "three", "4", "5"]
    assert texts_of(batch) == [
        *["Who counts the oil?\n\nAnn does."] * 2,
        "Where is the lamp of the keeper?",
        "When is it dark?",
        "When, then?\n\nAt night.",
    ]


@pytest.mark.parametrize("first", ["text", "messages"])
def test_a_first_shard_whose_text_is_all_null_does_not_decide(tmp_path, first):
    value = {"text": "a row of some words", "messages": [{"role": "user", "content": "a row of some words"}]}[first]
    pq.write_table(pa.table({"id": [1, 2], first: pa.nulls(2)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({first: [value] * 2, "id": ["3", "4"]}), tmp_path / "b.parquet")
    batch = read_batch([tmp_path])
    assert (batch.rows, len(batch)) == (4, 2)
    assert texts_of(batch)[0].endswith("a row of some words")


def test_reading_leaves_the_input_as_it_was(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", ["one", "two"])
    path.chmod(0o444)
    before = path.read_bytes(), path.stat().st_mtime_ns
    read_texts(read_batch([path]), [0, 1])
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_what_is_said_in_the_names_of_an_object_is_unread_text(tmp_path):
    said = [f"how many of the {k} lanterns does he carry home to his sister in the village" for k in range(3)]
    rows = [
        {"text": "a plain row", "meta": {"source": "web", **(dict.fromkeys(said, 1) if odd else {})}} for odd in (0, 1)
    ]
    batches = []
    for name, some in (("plain", rows[:1]), ("said", rows)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(map(json.dumps, some)))
        batches.append(read_batch([path]))
    assert [batch.unread_text_share > 0.5 for batch in batches] == [False, True]


def test_bytes_that_are_no_text_are_unread_text_and_what_stands_around_them_is_not(tmp_path):
    path, plain = tmp_path / "rows.jsonl", [b'{"text": "a plain row", "note": "web"}'] * 9
    path.write_bytes(b"\n".join([*plain, b'{"text": "' + b"\xff" * 50 + b'"}', b'{"text": null}']))
    assert 0.1 < read_batch([path]).unread_text_share < 0.7
    path.write_bytes(b"\n".join([*plain, b'{"text": "' + b"all that can be read " * 40 + b'\xff"}', b'{"text": null}']))
    assert 0 < read_batch([path]).unread_text_share < 0.01


def test_samples_are_called_by_their_file_and_their_rows_in_it(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": ""}\n{"text": "two"}\n')
    (tmp_path / "b\x1b.jsonl").write_text('{"text": "three"}\n{"text": "four"}\n')
    batch = read_batch([tmp_path / "a.jsonl", tmp_path / "b\x1b.jsonl"])
    assert [name_samples(batch, *span) for span in ((0, 2), (2, 1), (3, 1), (1, 2))] == [
        "a.jsonl, rows 1 to 3",
        "b.jsonl, rows 1 to 1",
        "b.jsonl, rows 2 to 2",
        "a.jsonl, rows 3 on, and files behind it",
    ]
