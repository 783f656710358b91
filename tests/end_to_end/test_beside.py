"""Text beside the samples: what no proxy reads is compared nonetheless, or counted."""

import gzip
import json
import shutil

import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest

from carto_audit.benchmarks.index import build_index
from carto_audit.contamination.check import check_contamination
from carto_audit.contamination.detectability import QUICK_FORMS, measure_detectability
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.search import search_beside
from carto_audit.curation.curate import curate, read_decisions
from carto_audit.data.batch import iter_texts, read_batch, read_texts
from carto_audit.data.duplicates import find_duplicates
from carto_audit.data.segments import read_segments
from tests.support.audits import GATE, sentences, strings_of_bytes
from tests.support.quizzes import BELL, ITEMS, quiz, write_quiz

QUICK = ["--folds", 1, "--epochs", 2]
PIECES = [BELL[start : start + 30] for start in range(0, len(BELL), 30)]
CHAT = [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Well enough, thank you."}]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return build_index([quiz(tmp_path_factory.mktemp("quiz") / "quiz.jsonl")])


def write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def found_in(batch, index):
    found = check_contamination(batch, index, measure_detectability(index, find_matches, forms=QUICK_FORMS))
    return [(m["row"], m["tier"], m["segment"]) for m in found.matches.to_pylist()]


def cut(k):
    """An item in labels, of the third row alone; every column says one word in the others."""
    return {f"l{n}": piece if k == 2 else "web" for n, piece in enumerate(PIECES)}


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("shape", ["text", "chat", "nested", "ids"])
def test_an_item_cut_into_labels_is_found_and_its_columns_are_named(tmp_path, index, suffix, shape):
    texts, options = sentences(12), {}
    rows = [{"text": text, **cut(k)} for k, text in enumerate(texts)]
    if shape == "chat":
        rows = [{"messages": CHAT, **cut(k)} for k in range(12)]
    elif shape == "nested":
        rows, options = (
            [{"data": {"text": t, "more": cut(k)}} for k, t in enumerate(texts)],
            {"text_column": "data.text"},
        )
    elif shape == "ids":
        rows = [{"text": text, "key": BELL[:110] if k == 2 else f"k{k}"} for k, text in enumerate(texts)]
        options = {"id_column": "key"}
    batch = read_batch([write(tmp_path / f"a.{suffix}", rows)], **options)
    assert batch.unread_text_share <= 0.01 or shape == "nested"
    ((row, tier, segment),) = found_in(batch, index)
    assert (row, tier) == (2, "confirmed")
    named = {"nested": ("data.more.l0", f"data.more.l{len(PIECES) - 1}"), "ids": ("key",)}
    assert segment == " to ".join(named.get(shape, ("l0", f"l{len(PIECES) - 1}")))


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("empty", [None, "", " ", "..."])
@pytest.mark.parametrize("ids", [False, True])
def test_labels_of_rows_without_text_are_compared_too(tmp_path, index, suffix, empty, ids):
    rows = [{"text": text, "key": f"k{k}", **cut(0)} for k, text in enumerate(sentences(12))]
    for k in (2, 5):
        rows[k] = {"text": empty, "key": f"k{k}", **cut(2)}
    rows += [{"text": "The last row.", "key": f"last {k}"} for k in range(3)]
    if ids:
        rows[2], rows[5] = ({"text": empty, "key": f"{k} {BELL[:100]}", **cut(0)} for k in (2, 5))
    batch = read_batch([write(tmp_path / f"a.{suffix}", rows)], **({"id_column": "key"} if ids else {}))
    assert [skipped.rows.tolist() for skipped in batch.skipped] == [[2, 5]]
    assert (batch.row.tolist(), batch.trainable.nonzero()[0].tolist()) == (
        list(range(15)),
        [k for k in range(15) if k not in (2, 5)],
    )
    assert {row for row, _, _ in found_in(batch, index)} == {2, 5}
    assert not find_duplicates(batch, tmp_path / "work").exact[:12].any()


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_parts_behind_a_text_are_where_their_words_stand(tmp_path, suffix):
    rows = [
        {"text": f"Row {k} says: snow.", "b": "x" * k, "a": ["first é", None, "second"], "n": k, "z": None}
        for k in range(40, 44)
    ]
    batch = read_batch([write(tmp_path / f"a.{suffix}", rows)], text_column="text")
    texts = read_texts(batch, range(4), beside=True)
    for k, parts in read_segments(batch, range(4)).items():
        assert [(part.name, texts[k][part.start : part.end]) for part in parts] == [
            ("a", "first é\nsecond"),
            ("b", rows[k]["b"]),
        ]
        assert texts[k].endswith(rows[k]["b"])
    assert [chunk.texts for chunk in iter_texts(batch)] == [[row["text"] for row in rows]]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (json.dumps({"text": f"{BELL} ~"}).encode().replace(b"~", b"\xff"), "undecodable"),
        (b'{"text": "nothing to see", "text": ' + json.dumps(BELL).encode() + b"}", "repeated_keys"),
        (b'{"text": ' + json.dumps(BELL).encode() + b', "text": "nothing to see"}', "repeated_keys"),
    ],
)
def test_a_row_that_readers_repair_in_different_ways_is_compared_and_never_handed_on(tmp_path, index, line, reason):
    lines = [json.dumps({"text": text}).encode() for text in sentences(200)]
    lines[7] = line
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    batch = read_batch([tmp_path / "a.jsonl"])
    assert [(skipped.reason, skipped.rows.tolist()) for skipped in batch.skipped] == [(reason, [7])]
    assert found_in(batch, index) == [(7, "confirmed", "")]

    folder = tmp_path / "audit"
    folder.mkdir()
    scores = {"sample_id": batch.sample_id, "row": batch.row, "quadrant": pa.nulls(200, pa.string())}
    scores |= {"action": ["keep"] * 200, "weight": [1.0] * 200, "reasons": [""] * 200}
    pq.write_table(pa.table(scores), folder / "scores.parquet")
    decisions = read_decisions(folder, batch)
    assert decisions.is_removed().nonzero()[0].tolist() == [7]
    curate(batch, decisions, tmp_path / "out")
    kept = (tmp_path / "out" / "curated" / "a.jsonl").read_bytes().splitlines()
    assert kept == lines[:7] + lines[8:]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("numbers", "share"),
    [
        (list(BELL.encode()), 0.5),
        ([float(number) for number in BELL.encode()], 0.5),
        ([[number] for number in BELL.encode()], 0.5),
        ([-100] * 9 + list(BELL.encode()), 0.5),
        ([1] * 60 + [0] * 40, 0),
        ([k * 7 % 16 for k in range(90)], 0),
        (list(range(200)), 0),
        ([(k * 37 % 255) - 127 for k in range(90)], 0),
        ([3, 141, 59, 26], 0),
        ([k / 7 for k in range(1, 60) if k % 7], 0),
    ],
)
def test_lists_of_numbers_that_may_be_tokens_are_unread_text_and_masks_are_not(tmp_path, suffix, numbers, share):
    rows = [{"text": text, "input_ids": numbers} for text in sentences(24)]
    batch = read_batch([write(tmp_path / f"a.{suffix}", rows)])
    assert batch.layout.columns == ("text",)
    assert batch.unread_text_share == 0 if share == 0 else batch.unread_text_share > share


@pytest.mark.parametrize("name", ["README.md", "LICENSE", ".notes/words", "CHANGELOG.md"])
def test_a_file_beside_the_data_that_holds_an_item_is_data_that_went_unread(tmp_path, index, name):
    write(tmp_path / "a.jsonl", [{"text": text} for text in sentences(12)])
    beside = tmp_path / name
    beside.parent.mkdir(exist_ok=True)
    beside.write_text("# A batch\n\nTwelve rows of prose.\n")
    harmless = search_beside(read_batch([tmp_path]), index, find_matches)
    assert harmless.delivery.unread == ()
    beside.write_text(f"# A batch\n\nTwelve rows of prose. {BELL} Nobody knew.\n")
    (unread,) = search_beside(read_batch([tmp_path]), index, find_matches).delivery.unread
    assert (unread.name, unread.reason) == (name, "holds_items")


def test_an_item_that_a_document_says_beside_its_rows_is_data_that_went_unread(tmp_path, index):
    rows = [{"text": text} for text in sentences(40)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"version": "1.0", "data": rows, "note": "Forty rows of prose."}))
    assert search_beside(read_batch([path]), index, find_matches).delivery.unread == ()
    path.write_text(json.dumps({f"l{k}": piece for k, piece in enumerate(PIECES)} | {"data": rows}))
    batch = read_batch([path])
    assert batch.unread_text_share < 0.05
    (unread,) = search_beside(batch, index, find_matches).delivery.unread
    assert (unread.name, unread.reason) == ("a.json, beside its rows", "holds_items")


class Words(pa.ExtensionType):
    """Strings under a name of their own."""

    def __init__(self):
        super().__init__(pa.string(), "test.words")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls()


SHORT = BELL[:110]  # as short as a label
NOTES = [SHORT if k == 3 else "web" for k in range(12)]
DIGESTS = pa.array([SHORT.encode() if k == 3 else bytes(110) for k in range(12)], pa.binary(110))
STRAY = strings_of_bytes([b"\xff"] * 12)
ODD_COLUMNS = {
    "one length": DIGESTS,
    "dictionary": DIGESTS.dictionary_encode(),
    "extension": pa.ExtensionArray.from_storage(Words(), pa.array(NOTES)),
    "list": pa.ListArray.from_arrays(
        pa.array(range(0, 25, 2), pa.int32()), strings_of_bytes([v.encode() for note in NOTES for v in (note, "\x00")])
    ),
    "struct": pa.StructArray.from_arrays([STRAY, pa.array(NOTES)], ["lang", "note"]),
    "name twice": pa.StructArray.from_arrays([pa.array(NOTES), pa.nulls(12, pa.string())], ["a", "a"]),
}


@pytest.mark.parametrize("name", ODD_COLUMNS)
def test_columns_of_any_make_are_counted_and_compared(tmp_path, index, name):
    path = tmp_path / "a.arrow"
    table = pa.table({"text": sentences(12), "odd": ODD_COLUMNS[name]})
    with pa_ipc.new_file(path, table.schema) as file:
        file.write_table(table)
    batch = read_batch([path])
    assert batch.layout.columns == ("text",)
    assert [(column.name, column.n_bytes >= len(SHORT)) for column in batch.unread] == [("odd", True)]
    assert [row for row, _, _ in found_in(batch, index)] == [3]


def test_a_conversation_in_json_text_with_a_key_twice_is_the_text_that_it_is(tmp_path, index):
    twice = f'[{{"role": "user", "content": {json.dumps(BELL)}, "content": "How are you?"}}]'
    rows = [{"messages": twice if k == 3 else json.dumps(CHAT)} for k in range(12)]
    assert [row for row, _, _ in found_in(read_batch([write(tmp_path / "a.parquet", rows)]), index)] == [3]


def test_kinds_of_parts_that_say_something_are_read(tmp_path, index):
    pieces = [{"type": BELL[start : start + 20]} for start in range(0, len(BELL), 20)]
    rows = [
        {"messages": [{"role": "user", "content": pieces if k == 3 else [{"type": "text", "text": "Hm?"}]}]}
        for k in range(12)
    ]
    assert [row for row, _, _ in found_in(read_batch([write(tmp_path / "a.jsonl", rows)]), index)] == [3]


def test_the_index_of_a_table_of_pandas_is_a_column(tmp_path, index):
    table = {
        "columns": ["text"],
        "index": [BELL, *(f"row {k}" for k in range(11))],
        "data": [[t] for t in sentences(12)],
    }
    (tmp_path / "a.json").write_text(json.dumps(table))
    assert [row for row, _, _ in found_in(read_batch([tmp_path / "a.json"], text_column="text"), index)] == [0]


@pytest.mark.parametrize("where", ["column", "metadata", "key", "row"])
def test_names_and_metadata_are_compared(tmp_path, index, where):
    table = pa.table({"text": sentences(12), BELL if where == "column" else "n": range(12)})
    metadata = {"note": BELL} if where == "metadata" else None
    path = tmp_path / "a.parquet"
    if where == "key":
        path = tmp_path / "a.json"
        path.write_text(json.dumps({BELL: 0, "data": table.to_pylist()}))
    elif where == "row":
        path = write(
            tmp_path / "a.jsonl", [row | ({BELL: 1} if k == 5 else {}) for k, row in enumerate(table.to_pylist())]
        )
        assert [row for row, _, _ in found_in(read_batch([path]), index)] == [5]
        return
    else:
        pq.write_table(table.replace_schema_metadata(metadata), path)
    (unread,) = search_beside(read_batch([path]), index, find_matches).delivery.unread
    assert unread.reason == "holds_items"


@pytest.mark.parametrize("name", ["b.csv.gz", "LICENSE.zip", ".backup.tar.gz", "README.md.xz"])
def test_what_is_packed_beside_the_data_is_looked_into_or_counted(tmp_path, index, name):
    write(tmp_path / "a.jsonl", [{"text": text} for text in sentences(12)])
    (tmp_path / name).write_bytes(gzip.compress(f'"{BELL}"\n'.encode()))
    (unread,) = search_beside(read_batch([tmp_path]), index, find_matches).delivery.unread
    assert unread.name == name


def test_what_was_found_beside_the_data_makes_an_audit_inconclusive(tmp_path, carto, thin):
    write_quiz(tmp_path / "ours.jsonl", ITEMS[:2])
    delivery = tmp_path / "delivery"
    delivery.mkdir()
    write(delivery / "a.jsonl", [{"text": text} for text in sentences(48)])
    (delivery / "README.md").write_text(f"Rows. {BELL}\n")
    rule = "  - {id: unread, metric: batch.unread_file_share, max: 0, severity: reject, reason: all of it}\n"
    (tmp_path / "gate.yaml").write_text(GATE + rule)
    ended = carto(
        *("ingest", delivery, "--benchmark", tmp_path / "ours.jsonl", "--policy", tmp_path / "gate.yaml"),
        *("--out", tmp_path / "out", *QUICK),
    )
    assert ended.code == 3, ended.err
    (other,) = json.loads((tmp_path / "out" / "report.json").read_text())["batch"]["delivery"]["not_read"]
    assert (other["name"], other["reason"], other["explanation"]) == (
        "README.md",
        "holds_items",
        "not data by its name, but it holds benchmark items",
    )


def test_a_baseline_is_believed_as_far_as_its_statement_and_its_signature(tmp_path, carto, thin, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "may.jsonl", [{"text": text} for text in sentences(48)])
    (tmp_path / "gate.yaml").write_text(GATE)
    assert carto("ingest", "may.jsonl", "--policy", "gate.yaml", "--out", "may", *QUICK).code == 0
    ingest = ("ingest", "may.jsonl", "--policy", "gate.yaml", "--out", "june", *QUICK, "--baseline")

    alone = carto(
        "ingest", "may.jsonl", "--policy", "gate.yaml", "--out", "june", *QUICK, "--baseline-key", "nobody.pub"
    )
    assert alone.code == 2
    assert "--baseline" in alone.err

    shutil.copytree("may", "edited")
    report = json.loads((tmp_path / "edited" / "report.json").read_text())
    report["metrics"]["duplicates.token_share"] = 0.3
    (tmp_path / "edited" / "report.json").write_text(json.dumps(report))
    edited = carto(*ingest, "edited")
    assert edited.code == 3
    assert edited.err.count("\n") == 1
    assert "edited: cannot be relied upon: report.json" in edited.err

    for name in ("ours.key", "other.key"):
        assert carto("attest", "--new-key", name).code == 0
    unsigned = carto(*ingest, "may", "--baseline-key", "ours.key.pub")
    assert unsigned.code == 3
    assert "missing: the audit is not signed" in unsigned.err
    assert carto("attest", "may", "--key", "ours.key").code == 0
    stranger = carto(*ingest, "may", "--baseline-key", "other.key.pub")
    assert stranger.code == 3
    assert "signatures was made with the key" in stranger.err
    assert not (tmp_path / "june").exists()
    assert carto(*ingest, "may", "--baseline-key", "ours.key.pub").code == 0
