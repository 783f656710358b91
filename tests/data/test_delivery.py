"""Every file of a delivery is read once, or named once with the right reason, and every byte is counted."""

import bz2
import gzip
import json
import lzma
import os
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carto_audit.data.batch import read_batch
from carto_audit.data.delivery import EXPLANATIONS, find_delivery
from carto_audit.data.formats.side_files import SIDE_FILES
from carto_audit.data.readers import format_of
from carto_audit.runtime.errors import AuditError, UsageError

ROW = b'{"text": "a row of some words"}\n'
TABLE = pa.table({"text": ["a row of some words"]})


def holding(data):
    return lambda path: path.write_bytes(data)


def lz4(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def parquet(table=TABLE):
    return lambda path: pq.write_table(table, path)


def arrow(new):
    def make(path):
        with new(str(path), TABLE.schema) as writer:
            writer.write_table(TABLE)

    return make


def link(target):
    return lambda path: path.symlink_to(target)


def hard_link(path):
    os.link(path.parent / "good.jsonl", path)


def bound_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # its full name may be too long for a socket
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def odd(name):
    return os.fsdecode(name)


READ, DATA, SIDE = "read", True, False
PARTS = {
    "rows.jsonl": (holding(ROW), READ),
    "rows.JSONL": (holding(ROW), READ),
    "rows.ndjson": (holding(ROW), READ),
    "rows.json": (holding(ROW), READ),
    "rows.jsonl.gz": (holding(gzip.compress(ROW)), READ),
    "rows.JSONL.GZ": (holding(gzip.compress(ROW)), READ),
    "rows.jsonl.bz2": (holding(bz2.compress(ROW)), READ),
    "rows.csv": (holding(b"text\na row\n"), READ),
    "rows.Csv.Gz": (holding(gzip.compress(b"text\na row\n")), READ),
    "rows.parquet": (parquet(), READ),
    "rows.PARQUET": (parquet(), READ),
    "rows.pq": (parquet(), READ),
    "data-00000-of-00001.arrow": (arrow(pa.ipc.new_stream), READ),
    "rows.feather": (arrow(pa.ipc.new_file), READ),
    "hard.jsonl": (hard_link, READ),
    odd(b"r\xf6ws.jsonl"): (holding(ROW), READ),
    odd(b"r\xf6ws.parquet"): (lambda path: path.write_bytes(parquet_bytes()), READ),
    "_rows.jsonl": (holding(ROW), READ),
    "README.jsonl": (holding(ROW), READ),
    "state.jsonl": (holding(ROW), READ),
    "dataset_dict.json": (holding(ROW * 2), READ),
    "rows.jsonl.xz": (holding(lzma.compress(ROW)), READ),
    "rows.Jsonl.LZ4": (holding(lz4(ROW)), READ),
    "rows.jsonl.zstd": (holding(pa.compress(ROW, "zstd", asbytes=True)), READ),
    "rows.tsv": (holding(b"text\nsome words\n"), READ),
    "rows.jsonl.7z": (holding(b"7z"), ("unknown_format", DATA)),
    "rows.xlsx": (holding(b"text\n"), ("unknown_format", DATA)),
    "rows.jsonl.gz.1": (holding(gzip.compress(ROW)), ("unknown_format", DATA)),
    "rows.parquet.gz": (holding(b"x"), ("unknown_format", DATA)),
    "rows": (holding(ROW), ("unknown_format", DATA)),
    "jsonl": (holding(ROW), ("unknown_format", DATA)),
    odd(b"\xff\xfe"): (holding(ROW), ("unknown_format", DATA)),
    "done": (holding(b""), ("unknown_format", SIDE)),
    ".rows.jsonl": (holding(ROW), ("hidden", DATA)),
    ".jsonl": (holding(ROW), ("hidden", DATA)),
    ".rows.jsonl.7z": (holding(b"7z"), ("hidden", DATA)),
    ".cache/rows.parquet": (parquet(), ("hidden", DATA)),
    "_temporary/0/rows.jsonl": (holding(ROW), ("hidden", DATA)),
    ".cache/config": (holding(b"x"), ("hidden", SIDE)),
    ".later.jsonl": (holding(b""), ("hidden", SIDE)),
    "out.jsonl": (link("/etc/hostname"), ("link_out", DATA)),
    "up.jsonl": (link("../beside.jsonl"), ("link_out", DATA)),
    "folder": (link("/etc"), ("link_out", DATA)),
    "nothing.jsonl": (link("nowhere.jsonl"), ("dangling_link", DATA)),
    "circle.jsonl": (link("circle.jsonl"), ("dangling_link", DATA)),
    "again.jsonl": (link("good.jsonl"), ("same_file", SIDE)),
    "here": (link("."), ("same_file", SIDE)),
    "pipe.jsonl": (os.mkfifo, ("not_regular", DATA)),
    "socket.csv": (bound_socket, ("not_regular", DATA)),
    "README.md": (holding(b"# words"), ("side_file", SIDE)),
    "LICENSE": (holding(b"words"), ("side_file", SIDE)),
    ".gitattributes": (holding(b"words"), ("side_file", SIDE)),
    "_SUCCESS": (holding(b""), ("side_file", SIDE)),
    "_metadata": (holding(b"PAR1"), ("side_file", SIDE)),
    ".rows.parquet.crc": (holding(b"crc"), ("side_file", SIDE)),
    "dataset_info.json": (holding(b'{\n  "features": {}\n}\n'), ("side_file", SIDE)),
    "state.json": (holding(b'{"_split": null}'), ("side_file", SIDE)),
    "manifest.json": (
        holding(b'{"items": [{"path": "good.jsonl", "rows": 1}], "name": "of one row"}'),
        ("side_file", SIDE),
    ),
    "empty.jsonl": (holding(b""), ("empty", SIDE)),
    "empty.parquet": (holding(b""), ("empty", SIDE)),
    "blank.jsonl": (holding(b"\n \n"), ("empty", SIDE)),
    "empty.jsonl.gz": (holding(gzip.compress(b"")), ("empty", SIDE)),
    "header.csv": (holding(b"text\n"), ("empty", SIDE)),
    "no-rows.parquet": (parquet(TABLE.slice(0, 0)), ("empty", SIDE)),
    "no-columns.parquet": (parquet(pa.table({})), ("empty", SIDE)),
}
"""Files of a delivery: how each is made, and what becomes of it beside a good shard."""


def parquet_bytes():
    sink = pa.BufferOutputStream()
    pq.write_table(TABLE, sink)
    return sink.getvalue().to_pybytes()


def build(folder, names, below=""):
    (folder / below).mkdir(parents=True)
    (folder / below / "good.jsonl").write_bytes(ROW)
    (folder.parent / "beside.jsonl").write_bytes(ROW)
    for name in names:
        path = folder / below / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PARTS[name][0](path)


def shown(path):
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def check(folder, names, below=""):
    """Each file is read or named, never both, with its reason and its bytes."""
    delivery = find_delivery([folder])
    others = {other.name: other for other in delivery.others}
    assert len(others) == len(delivery.others)
    read = {path.relative_to(folder): size for path, size in zip(delivery.paths, delivery.sizes, strict=True)}
    expected = {Path(below, name): PARTS[name][1] for name in names} | {Path(below, "good.jsonl"): READ}
    assert {name for name, what in expected.items() if what == READ} == set(read)
    assert {shown(name): what for name, what in expected.items() if what != READ} == {
        name: (other.reason, other.is_data) for name, other in others.items()
    }
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(read.values()) + sum(other.n_bytes for other in others.values()) == sum(f.stat().st_size for f in files)
    unread = [what for what in expected.values() if what != READ and what[1]]
    assert delivery.unread_share == len(unread) / (len(unread) + len(read))
    return delivery


@pytest.mark.parametrize("name", PARTS, ids=ascii)
def test_a_file_beside_a_good_shard_is_read_or_named_with_its_reason(tmp_path, name):
    build(tmp_path / "given", [name])
    check(tmp_path / "given", [name])


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_all_of_them_together_each_count_once_and_what_is_read_can_be_read(tmp_path, below):
    names = [name for name in PARTS if name != "up.jsonl"]  # one folder down it leads to no other place
    build(tmp_path / "given", names, below)
    delivery = check(tmp_path / "given", names, below)
    batch = read_batch([tmp_path / "given"])
    assert batch.paths == delivery.paths == batch.delivery.paths
    assert min(batch.file_rows) >= 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(names=st.sets(st.sampled_from(sorted(PARTS)), max_size=12))
def test_any_of_them_each_count_once(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("delivery") / "given"
    build(folder, names)
    check(folder, names)


def test_every_reason_has_its_words_and_a_case():
    reasons = {what[0] for _, what in PARTS.values() if what != READ}
    of_whole_folders = {
        "missing",
        "not_listed",
        "not_chosen",
        "other_columns",
        "holds_items",
    }  # which have tests of their own
    assert reasons == set(EXPLANATIONS) - of_whole_folders


def test_no_side_file_has_a_suffix_of_data():
    for pattern in SIDE_FILES:
        assert format_of(Path(pattern.replace("*", "x"))) is None


# Several inputs, globs, and what is given itself


def test_what_lies_behind_two_inputs_counts_once_and_reading_comes_first(tmp_path):
    build(tmp_path / "given", [".cache/rows.parquet", "again.jsonl"])
    folder = tmp_path / "given"
    delivery = find_delivery([folder, folder / ".cache", folder / "good.jsonl", tmp_path / "given/../given"])
    assert [path.name for path in delivery.paths] == ["rows.parquet", "good.jsonl"]
    assert [(other.name, other.reason) for other in delivery.others] == [("again.jsonl", "same_file")]


def test_a_link_into_another_input_leads_to_what_is_counted(tmp_path):
    build(tmp_path / "given", ["up.jsonl"])
    delivery = find_delivery([tmp_path / "given", tmp_path / "beside.jsonl"])
    assert [path.name for path in delivery.paths] == ["good.jsonl", "beside.jsonl"]
    assert [other.reason for other in delivery.others] == ["same_file"]


def test_a_link_that_is_given_is_followed_and_one_that_a_glob_finds_is_not(tmp_path):
    build(tmp_path / "given", ["up.jsonl", "again.jsonl"])
    assert [path.name for path in find_delivery([tmp_path / "given" / "up.jsonl"]).paths] == ["up.jsonl"]
    delivery = find_delivery([f"{tmp_path}/given/*.jsonl"])
    assert [path.name for path in delivery.paths] == ["good.jsonl"]
    assert [(other.name, other.reason) for other in delivery.others] == [
        ("again.jsonl", "same_file"),
        ("up.jsonl", "link_out"),
    ]


def test_a_glob_that_finds_only_the_link_does_not_count_its_target(tmp_path):
    build(tmp_path / "given", ["again.jsonl", "rows.csv"])
    delivery = find_delivery(
        [f"{tmp_path}/given/a*", tmp_path / "given" / "rows.csv"][1:] + [f"{tmp_path}/given/[ar]*"]
    )
    assert [(other.name, other.reason) for other in delivery.others] == [("again.jsonl", "link_out")]


def test_a_glob_names_what_it_matches_and_walks_folders(tmp_path):
    build(tmp_path / "given", ["rows.xlsx", "_SUCCESS"], "part.parquet")
    delivery = find_delivery([f"{tmp_path}/given/*.parquet"])
    assert [path.name for path in delivery.paths] == ["good.jsonl"]
    assert [other.reason for other in delivery.others] == ["side_file", "unknown_format"]


@pytest.mark.parametrize("rows", ['[{"text": "a few words of prose"}]', '["a few words of prose"]'])
@pytest.mark.parametrize("name", ["manifest.json", "dataset_info.json", "state.json"])
def test_rows_of_prose_are_no_document_about_the_data_whatever_the_file_is_called(tmp_path, name, rows):
    build(tmp_path / "given", [])
    (tmp_path / "given" / name).write_text(f'{{"version": 1, "data": {rows}}}')
    assert {path.name for path in find_delivery([tmp_path / "given"]).paths} == {"good.jsonl", name}


@pytest.mark.parametrize("name", [".rows.jsonl", "state.json", "empty.jsonl", "_temporary/0/rows.jsonl"])
def test_a_file_that_is_given_itself_is_read_whatever_it_is_called(tmp_path, name):
    build(tmp_path / "given", [name])
    delivery = find_delivery([tmp_path / "given" / name])
    assert (delivery.paths, delivery.others) == ((tmp_path / "given" / name,), ())


@pytest.mark.parametrize("name", ["rows.xlsx", "pipe.jsonl", "nothing.jsonl"])
def test_a_file_that_cannot_be_read_and_is_given_itself_is_a_usage_error(tmp_path, name):
    build(tmp_path / "given", [name])
    with pytest.raises(UsageError):
        find_delivery([tmp_path / "given" / name])


def test_a_folder_with_nothing_to_read_says_what_it_holds(tmp_path):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "rows\x1b[31m.xlsx").write_text("x")
    (tmp_path / "given" / "z.xz").write_text("x")
    with pytest.raises(AuditError, match=r"nothing to audit; it holds rows\[31m\.xlsx and 1 more$"):
        find_delivery([tmp_path / "given"])


def test_empty_shards_alone_are_an_error_of_one_line(tmp_path):
    for name in ("a.jsonl", "b.csv"):
        (tmp_path / name).write_text("")
    with pytest.raises(AuditError, match="zero rows"):
        read_batch([tmp_path])


def test_what_the_audit_itself_keeps_is_not_of_the_delivery(tmp_path):
    build(tmp_path / "given", [".cache/rows.parquet"])
    assert find_delivery([tmp_path / "given"], apart=tmp_path / "given" / ".cache").others == ()


def test_a_large_json_document_or_one_of_lines_is_data(tmp_path, monkeypatch):
    build(tmp_path / "given", ["state.json"])
    monkeypatch.setattr("carto_audit.data.formats.side_files.LARGEST_DOCUMENT", 10)
    assert len(find_delivery([tmp_path / "given"]).paths) == 2


def test_names_are_made_safe_to_print(tmp_path):
    build(tmp_path / "given", [])
    (tmp_path / "given" / "\x1b[31m\n::error::\u202e.txt").write_text("x")
    (other,) = find_delivery([tmp_path / "given"]).others
    assert other.name == "[31m ::error::.txt"


def test_unread_data_is_refused_in_one_line_that_names_the_first_and_counts(tmp_path):
    build(tmp_path / "given", ["rows.xlsx", "rows.jsonl.7z", ".rows.jsonl", "README.md"])
    with pytest.raises(AuditError, match=r"^\.rows\.jsonl \(hidden\) and 2 more data files are not read; "):
        find_delivery([tmp_path / "given"]).check_read()
    build(tmp_path / "good", ["README.md"])
    find_delivery([tmp_path / "good"]).check_read()


def test_the_bytes_of_a_batch_are_those_of_the_files_that_are_read(tmp_path):
    build(tmp_path / "one", ["rows.csv"])
    build(tmp_path / "two", ["rows.csv", "README.md", "rows.xlsx", "empty.parquet", "again.jsonl"])
    assert read_batch([tmp_path / "one"]).sha256 == read_batch([tmp_path / "two"]).sha256


def saved(folder, names, listed):
    folder.mkdir()
    for name in names:
        arrow(pa.ipc.new_stream)(folder / name)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in listed]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {}}))
    return folder


def test_of_a_saved_data_set_the_files_of_its_state_are_read_and_others_named(tmp_path):
    names = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow", "cache-9f.arrow"]
    folder = saved(tmp_path / "train", names, names[:2])
    (folder / "rows.jsonl").write_bytes(ROW)
    (folder / "sub").mkdir()
    (folder / "sub" / "rows.jsonl").write_bytes(ROW)
    delivery = find_delivery([tmp_path])
    assert [path.name for path in delivery.paths] == [*names[:2], "rows.jsonl"]  # the last in a folder without a state
    assert [(other.name, other.reason, other.is_data) for other in delivery.others] == [
        ("train/cache-9f.arrow", "not_listed", True),
        ("train/dataset_info.json", "side_file", False),
        ("train/rows.jsonl", "not_listed", True),
        ("train/state.json", "side_file", False),
    ]


def test_what_a_state_names_and_is_not_there_counts_as_unread(tmp_path):
    saved(tmp_path / "train", ["a.arrow"], ["a.arrow", "b.arrow", "../../etc/hostname", "..", "\ud800"])
    delivery = find_delivery([tmp_path / "train"])
    assert [path.name for path in delivery.paths] == ["a.arrow"]
    assert sorted((other.name, other.reason, other.is_data) for other in delivery.others) == [
        (".._.._etc_hostname", "missing", True),
        ("?", "missing", True),
        ("_", "missing", True),
        ("b.arrow", "missing", True),
        ("dataset_info.json", "side_file", False),
        ("state.json", "side_file", False),
    ]


@pytest.mark.parametrize("state", ["{}", "[1]", '{"_data_files": 5}', '{"_data_files": [1]}', "no JSON"])
def test_another_state_says_nothing_of_files(tmp_path, state):
    folder = saved(tmp_path / "train", ["a.arrow", "b.arrow"], [])
    (folder / "state.json").write_text(state)
    assert [path.name for path in find_delivery([folder]).paths if path.suffix == ".arrow"] == ["a.arrow", "b.arrow"]


def test_the_schema_of_a_saved_data_set_is_not_its_rows(tmp_path):
    names = ["data-00000-of-00001.arrow", "state.json", "dataset_info.json"]
    build(tmp_path / "saved", names)
    (tmp_path / "saved" / "good.jsonl").unlink()
    assert json.loads((tmp_path / "saved" / "state.json").read_text()) == {"_split": None}
    assert read_batch([tmp_path / "saved"]).file_names == ("data-00000-of-00001.arrow",)


@pytest.mark.parametrize("address", ["hf://datasets/org/name", "s3://bucket/part.parquet", "gs:bucket/x.jsonl"])
def test_an_address_of_elsewhere_is_refused_with_the_way_out(tmp_path, address):
    with pytest.raises(
        UsageError,
        match="no such file or folder; only what a command takes as its BATCH is fetched: download this first",
    ):
        find_delivery([Path(address)])
