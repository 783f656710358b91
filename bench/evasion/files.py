"""Benchmark items in files that an audit may pass over, and files that change or expand while they are read."""

import json
import lzma
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.corpora import write_texts
from bench.evasion.case import Attack, Case
from bench.evasion.texts import PLANTED, write_lines


def rows_of(texts: Sequence[str]) -> list[dict[str, str]]:
    """Rows with one column."""
    return [{"text": text} for text in texts]


def delivered(case: Case) -> Path:
    """A folder with one ordinary shard."""
    folder = case.delivery()
    write_lines(folder / "part-1.jsonl", rows_of(case.ordinary()))
    return folder


def hidden(case: Case) -> list[str]:
    """A shard whose name begins with a dot; in the twin it does not."""
    folder = delivered(case)
    write_lines(folder / ("part-2.jsonl" if case.harmless else ".part-2.jsonl"), rows_of(case.planted(PLANTED)))
    return case.ingest(folder)


def never_failing(case: Case) -> list[str]:
    """The same, and an option that lets rejections pass."""
    return [*hidden(case), "--fail-on", "never"]


def other_format(case: Case) -> list[str]:
    """A shard in a format that is not read; in the twin a licence lies there."""
    folder = delivered(case)
    (folder / ("LICENSE.txt" if case.harmless else "part-2.txt")).write_text("\n".join(case.planted(PLANTED)))
    return case.ingest(folder)


def side_document(case: Case) -> list[str]:
    """Rows in a document that is called as one about the data; in the twin it is about the data."""
    folder = delivered(case)
    about = {"name": "batch", "files": ["part-1.jsonl"], "rows": 60}
    held = about if case.harmless else {"data": rows_of(case.planted(PLANTED))}
    (folder / "manifest.json").write_text(json.dumps(held))
    return case.ingest(folder)


def side_file(case: Case) -> list[str]:
    """Rows in a file that is called as one beside the data; in the twin it is what its name says."""
    folder = delivered(case)
    lines = [json.dumps(row) for row in rows_of(case.planted(20))]
    (folder / "README.md").write_text("# A batch\n\nSixty rows.\n" if case.harmless else "\n".join(lines))
    return case.ingest(folder)


def link_out(case: Case) -> list[str]:
    """A link to a shard outside of the delivery; in the twin to one inside it."""
    folder = delivered(case)
    target = folder / "part-2.jsonl" if case.harmless else case.folder / "elsewhere.jsonl"
    write_lines(target, rows_of(case.planted(PLANTED)))
    (folder / "part-3.jsonl").symlink_to(target)
    return case.ingest(folder)


def unlisted(case: Case) -> list[str]:
    """An Arrow file that the `state.json` of its folder does not name; in the twin it does."""
    folder = case.delivery()
    for name, texts in (("data-0.arrow", case.ordinary()), ("data-1.arrow", case.planted(PLANTED))):
        table = pa.table({"text": texts})
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    names = ["data-0.arrow", "data-1.arrow"][: 2 if case.harmless else 1]
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    return case.ingest(folder)


def not_chosen(case: Case) -> list[str]:
    """A split that the command does not choose; in the twin there is no other."""
    folder = case.delivery()
    write_texts(folder / "data" / "train-0.parquet", case.ordinary())
    other = "train-1.parquet" if case.harmless else "validation-0.parquet"
    write_texts(folder / "data" / other, case.planted(PLANTED))
    return case.ingest(folder, "--split", "train")


def other_columns(case: Case) -> list[str]:
    """A small shard with other columns than the rest; in the twin it has the same."""
    folder = delivered(case)
    name = "text" if case.harmless else "transcript"
    write_lines(folder / "part-2.jsonl", [{name: text} for text in case.planted(1)])
    return case.ingest(folder)


def pipe(case: Case) -> list[str]:
    """A named pipe, which holds whatever is written into it; in the twin a file."""
    folder = delivered(case)
    if case.harmless:
        write_lines(folder / "part-2.jsonl", rows_of(case.planted(PLANTED)))
    else:
        os.mkfifo(folder / "part-2.jsonl")
    return case.ingest(folder)


def bomb(case: Case) -> list[str]:
    """Some kilobytes that expand to 100 MB; in the twin a compressed shard of ordinary size."""
    folder = delivered(case)
    row = json.dumps({"text": "word " * 200_000}).encode() + b"\n"
    lines = "".join(json.dumps(row) + "\n" for row in rows_of(case.planted(PLANTED))).encode()
    (folder / "part-2.jsonl.xz").write_bytes(lzma.compress((b"" if case.harmless else row * 100) + lines, preset=0))
    return case.ingest(folder)


def delimiters(case: Case) -> list[str]:
    """A table that can be read by two delimiters, one of which hides the items; in the twin there is one."""
    mark = "" if case.harmless else ";"
    rows = [f"{text[:60].replace(',', ' ').replace(';', ' ')}" for text in case.ordinary()]
    rows += [text.replace(",", " ").replace("\n", " ").replace(";", " ").replace('"', " ") for text in case.planted(3)]
    lines = [f"text,n{mark}id", *(f"{row},{k}{mark}x" for k, row in enumerate(rows))]
    (case.folder / "batch.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return case.ingest(case.folder / "batch.csv")


def card(case: Case) -> list[str]:
    """A card whose patterns lead out of the folder; in the twin they stay inside."""
    folder = case.delivery()
    write_texts(folder / "data" / "a.parquet", case.ordinary())
    write_texts(case.folder / "out" / "a.parquet", case.planted(PLANTED))
    where = "data/*.parquet" if case.harmless else "../out/*.parquet"
    head = f'---\nconfigs:\n- config_name: main\n  data_files: "{where}"\n---\n'
    (folder / "README.md").write_text(head)
    return case.ingest(folder, "--config", "main")


def damaged(case: Case) -> list[str]:
    """A shard that was cut short, so that a part of it cannot be read; in the twin it is whole."""
    folder = delivered(case)
    path = write_texts(folder / "part-2.parquet", [*case.ordinary(200)[60:], *case.planted(PLANTED)])
    if not case.harmless:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return case.ingest(folder)


def to_be_swapped(case: Case) -> list[str]:
    """An ordinary shard, and the one that takes its place."""
    folder = delivered(case)
    if case.harmless:
        shutil.copyfile(folder / "part-1.jsonl", case.folder / "other.jsonl")
    else:
        write_lines(case.folder / "other.jsonl", rows_of([*case.ordinary()[:-PLANTED], *case.planted(PLANTED)]))
    return case.ingest(folder)


def swap(case: Case) -> None:
    """Puts the other shard in its place; in the twin a copy of itself."""
    (case.folder / "other.jsonl").replace(case.folder / "batch" / "part-1.jsonl")


def unread_swapped(case: Case) -> list[str]:
    """A Parquet file whose other column changes while the text is read."""
    folder = case.delivery()
    texts = case.ordinary()
    path = folder / "part-1.parquet"
    pq.write_table(pa.table({"text": texts, "n": list(range(len(texts)))}), path)
    other = list(range(len(texts))) if case.harmless else [0] * len(texts)
    pq.write_table(pa.table({"text": texts, "n": other}), case.folder / "other.parquet")
    return case.ingest(folder)


def swap_table(case: Case) -> None:
    """Puts the other table in its place."""
    (case.folder / "other.parquet").replace(case.folder / "batch" / "part-1.parquet")


ATTACKS = {
    "hidden file": Attack(what="a shard whose name begins with a dot", write=hidden),
    "never failing": Attack(what="the same under `--fail-on never`", write=never_failing),
    "other format": Attack(what="a shard in a format that is not read", write=other_format),
    "side document": Attack(what="rows in a `manifest.json`", write=side_document),
    "side file": Attack(what="rows in a `README.md`", write=side_file),
    "link out": Attack(what="a link to a shard outside of the delivery", write=link_out),
    "unlisted file": Attack(what="an Arrow file that `state.json` does not name", write=unlisted),
    "split not chosen": Attack(what="a split beside the one that `--split` chooses", write=not_chosen),
    "other columns": Attack(what="a small shard with other columns", write=other_columns),
    "pipe": Attack(what="a named pipe among the shards", write=pipe),
    "bomb": Attack(what="some kilobytes that expand to 100 MB", write=bomb),
    "two delimiters": Attack(what="a table that two delimiters fit", write=delimiters),
    "card out": Attack(what="a card whose patterns leave the folder", write=card),
    "damaged shard": Attack(what="a shard that was cut short", write=damaged),
    "swapped bytes": Attack(what="a shard replaced between two passes", write=to_be_swapped, meanwhile=swap),
    "unread bytes": Attack(
        what="another column replaced between two passes", write=unread_swapped, meanwhile=swap_table
    ),
}
