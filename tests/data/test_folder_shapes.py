"""Whole folders as vendors deliver them: every file in them is read or named with a reason, and the shares of bytes add up."""

import gzip
import json
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest

from carto_audit.data.batch import read_batch
from carto_audit.data.hub_layout import HubChoice
from carto_audit.data.shards import find_shards
from carto_audit.pipeline.facts import delivery_facts
from carto_audit.runtime.errors import CartoError
from carto_audit.text.untrusted import safe_inline

TEXTS = ["a row of some words", "another row of other words"]
TABLE = pa.table({"text": TEXTS})
JSONL = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()
CSV = b"text\n" + "\n".join(TEXTS).encode() + b"\n"
CARD = b"""---
configs:
- config_name: en
  data_files:
  - split: train
    path: en/train-*.jsonl
  - split: test
    path: [en/test.jsonl]
- config_name: de
  data_files: "de/*.jsonl"
  default: true
---
# words
"""


def put(data):
    return lambda path: path.write_bytes(data)


def parquet(path):
    pq.write_table(TABLE, path)


def arrow(path):
    with path.open("wb") as stream, pa_ipc.new_stream(stream, TABLE.schema) as writer:
        writer.write_table(TABLE)


def cut_parquet(path):
    parquet(path)
    path.write_bytes(path.read_bytes()[:-30])


def link(target):
    return lambda path: path.symlink_to(target)


def hard(target):
    return lambda path: os.link(path.parent / target, path)


def locked(path):
    path.write_bytes(JSONL)
    path.chmod(0)


def bound(path):
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def folder(path):
    path.mkdir()


def state(*names):
    return put(json.dumps({"_data_files": [{"filename": name} for name in names]}).encode())


def odd(name):
    return os.fsdecode(name)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A folder: how each file is made, why some are not read, what of it is chosen, and how it is refused, if so."""

    files: dict[str, object]
    unread: dict[str, str] = field(default_factory=dict)
    side: dict[str, str] = field(default_factory=dict)
    chosen: HubChoice | None = None
    refused: str = ""
    rows: int | None = None


GOOD = {"good.jsonl": put(JSONL)}
EN = {"en/train-1.jsonl": put(JSONL), "en/train-2.jsonl": put(JSONL), "en/test.jsonl": put(JSONL)}
HUB = {"README.md": put(CARD), **EN, "de/a.jsonl": put(JSONL)}
NAMED_SPLITS = {f"data/{split}-00000-of-00001.parquet": parquet for split in ("train", "validation", "test")}
SAVED = {
    "dataset_dict.json": put(b'{"splits": ["train"]}'),
    "train/data-00000-of-00001.arrow": arrow,
    "train/state.json": state("data-00000-of-00001.arrow"),
    "train/dataset_info.json": put(b'{"features": {}}'),
}
SAVED_SIDES = dict.fromkeys(("dataset_dict.json", "train/state.json", "train/dataset_info.json"), "side_file")

SHAPES = {
    "one file": Shape(files=GOOD, rows=2),
    "nested folders": Shape(files=GOOD | {"a/b.jsonl": put(JSONL), "a/b/c/d.csv": put(CSV)}, rows=6),
    "deep nesting": Shape(files={"/".join("d" * 60) + "/a.jsonl": put(JSONL)}, rows=2),
    "empty folders": Shape(files=GOOD | {"empty": folder, "also": folder, "also/deep": folder}, rows=2),
    "a hidden shard": Shape(files=GOOD | {".b.jsonl": put(JSONL)}, unread={".b.jsonl": "hidden"}, rows=2),
    "a hidden folder": Shape(files=GOOD | {".x/y/b.parquet": parquet}, unread={".x/y/b.parquet": "hidden"}, rows=2),
    "version control": Shape(
        files=GOOD | {".git/config": put(b"x"), ".git/objects/ab/cd": put(b"x"), ".gitattributes": put(b"x")},
        side={".git/config": "hidden", ".git/objects/ab/cd": "hidden", ".gitattributes": "side_file"},
        rows=2,
    ),
    "what Spark leaves": Shape(
        files={
            "part-00000.parquet": parquet,
            ".part-00000.parquet.crc": put(b"crc"),
            "_SUCCESS": put(b""),
            "_metadata": put(b"PAR1"),
            "_temporary/0/part-00001.parquet": parquet,
        },
        unread={"_temporary/0/part-00001.parquet": "hidden"},
        side={".part-00000.parquet.crc": "side_file", "_SUCCESS": "side_file", "_metadata": "side_file"},
        rows=2,
    ),
    "a licence and a card": Shape(
        files=GOOD | {"LICENSE": put(b"x"), "README.md": put(b"# x"), "a.jsonl.sha256": put(b"x")},
        side={"LICENSE": "side_file", "README.md": "side_file", "a.jsonl.sha256": "side_file"},
        rows=2,
    ),
    "notes and sheets": Shape(
        files=GOOD | {"notes.txt": put(b"x"), "b.xlsx": put(b"x"), "c.jsonl.7z": put(b"x"), "plain": put(b"x")},
        unread=dict.fromkeys(("notes.txt", "b.xlsx", "c.jsonl.7z", "plain"), "unknown_format"),
        rows=2,
    ),
    "links inside": Shape(
        files=GOOD | {"again.jsonl": link("good.jsonl"), "sub": folder, "sub/up.jsonl": link("../good.jsonl")},
        side={"again.jsonl": "same_file", "sub/up.jsonl": "same_file"},
        rows=2,
    ),
    "links out": Shape(
        files=GOOD
        | {"host.jsonl": link("/etc/hostname"), "etc": link("/etc"), "beside.jsonl": link("../beside.jsonl")},
        unread=dict.fromkeys(("host.jsonl", "etc", "beside.jsonl"), "link_out"),
        rows=2,
    ),
    "links to nothing and in circles": Shape(
        files=GOOD | {"gone.jsonl": link("nowhere"), "a.jsonl": link("b.jsonl"), "b.jsonl": link("a.jsonl")},
        unread=dict.fromkeys(("gone.jsonl", "a.jsonl", "b.jsonl"), "dangling_link"),
        rows=2,
    ),
    "links to folders in a loop": Shape(
        files=GOOD | {"sub": folder, "sub/up": link(".."), "here": link("."), "sub/same": link("../sub")},
        side=dict.fromkeys(("sub/up", "here", "sub/same"), "same_file"),
        rows=2,
    ),
    "a link through a link": Shape(
        files=GOOD | {"one.jsonl": link("two.jsonl"), "two.jsonl": link("good.jsonl")},
        side=dict.fromkeys(("one.jsonl", "two.jsonl"), "same_file"),
        rows=2,
    ),
    "hard links": Shape(files=GOOD | {"hard.jsonl": hard("good.jsonl")}, rows=4),
    "pipes and sockets": Shape(
        files=GOOD | {"p.jsonl": os.mkfifo, "s.csv": bound, "sub": folder, "sub/p": os.mkfifo},
        unread=dict.fromkeys(("p.jsonl", "s.csv", "sub/p"), "not_regular"),
        rows=2,
    ),
    "shards of nothing": Shape(
        files=GOOD
        | {"a.jsonl": put(b""), "b.csv": put(b"text\n"), "c.json": put(b"[]"), "d.json": put(b'{"data": []}')},
        side=dict.fromkeys(("a.jsonl", "b.csv", "c.json", "d.json"), "empty"),
        rows=2,
    ),
    "only shards of nothing": Shape(
        files={"a.jsonl": put(b""), "b.csv": put(b"text\n")}, refused="zero rows|no columns"
    ),
    "files of no bytes": Shape(
        files=GOOD | {"done": put(b""), "a.parquet": put(b""), ".keep.jsonl": put(b"")},
        side={"done": "unknown_format", "a.parquet": "empty", ".keep.jsonl": "hidden"},
        rows=2,
    ),
    "upper case": Shape(
        files={"A.JSONL": put(JSONL), "B.PARQUET": parquet, "C.Csv": put(CSV), "README.MD": put(b"# x")},
        side={"README.MD": "side_file"},
        rows=6,
    ),
    "compressed": Shape(
        files={"a.jsonl.gz": put(gzip.compress(JSONL)), "b.CSV.GZ": put(gzip.compress(CSV)), "c.parquet.gz": put(b"x")},
        unread={"c.parquet.gz": "unknown_format"},
        rows=4,
    ),
    "a broken archive": Shape(files=GOOD | {"a.jsonl.gz": put(b"no gzip")}, refused=r"a\.jsonl\.gz: cannot read"),
    "mixed formats": Shape(
        files={"a.parquet": parquet, "b.arrow": arrow, "c.jsonl": put(JSONL), "d.csv": put(CSV), "e.tsv": put(CSV)},
        rows=10,
    ),
    "a truncated table": Shape(files=GOOD | {"a.parquet": cut_parquet}, refused=r"a\.parquet: cannot read as parquet"),
    "text called a table": Shape(files=GOOD | {"a.parquet": put(JSONL)}, refused=r"a\.parquet: cannot read as parquet"),
    "names that are not UTF-8": Shape(
        files={odd(b"r\xf6ws.jsonl"): put(JSONL), odd(b"\xff\xfe"): put(b"x"), odd(b"\xff/a.csv"): put(CSV)},
        unread={odd(b"\xff\xfe"): "unknown_format"},
        rows=4,
    ),
    "names with line breaks and escape codes": Shape(
        files={"a\n::error::b.jsonl": put(JSONL), "\x1b[31mred.txt": put(b"x"), "\u202ebackwards.csv": put(CSV)},
        unread={"\x1b[31mred.txt": "unknown_format"},
        rows=4,
    ),
    "names with spaces and quotes": Shape(
        files={" a .jsonl": put(JSONL), 'it\'s "b".csv': put(CSV), "$(reboot).jsonl": put(JSONL)}, rows=6
    ),
    "names like options and patterns": Shape(
        files={"--policy=x.jsonl": put(JSONL), "-rf.csv": put(CSV), "[a]*.jsonl": put(JSONL), "**": put(b"x")},
        unread={"**": "unknown_format"},
        rows=6,
    ),
    "a very long name": Shape(
        files={"n" * 240 + ".jsonl": put(JSONL), "m" * 250: put(b"x")}, unread={"m" * 250: "unknown_format"}
    ),
    "a folder called like a shard": Shape(
        files={"part.parquet/a.jsonl": put(JSONL), "b.jsonl/c.csv": put(CSV)}, rows=4
    ),
    "saved to disk": Shape(files=SAVED, side=SAVED_SIDES, rows=2),
    "saved to disk, with a cache": Shape(
        files=SAVED | {"train/cache-9f.arrow": arrow},
        side=SAVED_SIDES,
        unread={"train/cache-9f.arrow": "not_listed"},
        rows=2,
    ),
    "a hub folder with configurations": Shape(files=HUB, side={"README.md": "side_file"}, rows=8),
    "a hub folder, one configuration": Shape(
        files=HUB,
        chosen=HubChoice(config="en", split=None),
        side={"README.md": "side_file"},
        unread={"de/a.jsonl": "not_chosen"},
        rows=6,
    ),
    "a hub folder, one split": Shape(
        files=HUB | {".hidden.jsonl": put(JSONL), "x.txt": put(b"x")},
        chosen=HubChoice(config="en", split="train"),
        side={"README.md": "side_file"},
        unread={
            ".hidden.jsonl": "hidden",
            "x.txt": "unknown_format",
            "de/a.jsonl": "not_chosen",
            "en/test.jsonl": "not_chosen",
        },
        rows=4,
    ),
    "a hub folder, splits by name": Shape(
        files=NAMED_SPLITS,
        chosen=HubChoice(config=None, split="validation"),
        unread={
            "data/test-00000-of-00001.parquet": "not_chosen",
            "data/train-00000-of-00001.parquet": "not_chosen",
        },
        rows=2,
    ),
    "a JSON document of the schema": Shape(
        files=GOOD | {"dataset_info.json": put(b'{"features": {}}'), "croissant.json": put(b'{"name": "x"}')},
        side=dict.fromkeys(("dataset_info.json", "croissant.json"), "side_file"),
        rows=2,
    ),
    "rows called like a schema": Shape(files=GOOD | {"state.json": put(JSONL), "manifest.json": put(JSONL)}, rows=6),
    "a manifest of other columns": Shape(
        files={"a.jsonl": put(JSONL * 50), "manifest.csv": put(b"file,sha256\na.jsonl,9f\nb.jsonl,8e\n")},
        unread={"manifest.csv": "other_columns"},
        rows=100,
    ),
    "two kinds of rows": Shape(
        files={"a.jsonl": put(JSONL), "b.csv": put(b"file,sha256\na.jsonl,9f\nb.jsonl,8e\n")},
        refused='no column "text"',
    ),
    "a shard that nobody may read": Shape(
        files=GOOD | {"b.jsonl": locked}, refused=r"b\.jsonl: .*[Pp]ermission denied"
    ),
}


def shown(name):
    """A name as errors and reports show it."""
    return safe_inline(os.fsencode(name).decode("utf-8", "backslashreplace"), 160)


def build(root, files):
    (root.parent / "beside.jsonl").write_bytes(JSONL)
    for name, make in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)


def everything(root):
    """All that lies in a folder but folders, links to them included, by name."""
    found = []
    for above, folders, files in os.walk(root):
        links = [name for name in folders if (Path(above) / name).is_symlink()]
        found += [str((Path(above) / name).relative_to(root)) for name in (*files, *links)]
    return sorted(found)


@pytest.mark.parametrize("name", SHAPES)
def test_of_a_folder_of_any_shape_every_file_is_read_or_named_and_every_byte_counted(tmp_path, name):
    shape, root = SHAPES[name], tmp_path / "given"
    if locked in shape.files.values() and os.geteuid() == 0:
        pytest.skip("root may read everything")
    build(root, shape.files)
    delivery = find_shards([root], choice=shape.chosen)
    read = [str(path.relative_to(root)) for path in delivery.paths]
    expected = {shown(key): (why, True) for key, why in shape.unread.items()}
    expected |= {shown(key): (why, False) for key, why in shape.side.items()}
    assert {other.name: (other.reason, other.is_data) for other in delivery.others} == expected
    assert len(delivery.others) == len(expected)
    assert sorted([*read, *shape.unread, *shape.side]) == everything(root)
    facts = delivery_facts(delivery, shape.chosen)
    on_disk = sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    counted = [facts[key] for key in ("read_bytes", "unread_bytes", "side_bytes")]
    assert sum(counted) == on_disk
    assert sum(count / on_disk for count in counted if on_disk) == pytest.approx(1 if on_disk else 0)
    assert delivery.unread_share == len(shape.unread) / (len(shape.unread) + len(read))
    if shape.refused:
        with pytest.raises(CartoError, match=shape.refused) as caught:
            read_batch([root], choice=shape.chosen)
        assert "\n" not in str(caught.value)
        return
    batch = read_batch([root], choice=shape.chosen)
    assert batch.paths == delivery.paths
    assert batch.rows == (shape.rows or len(read) * len(TEXTS))
