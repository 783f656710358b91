"""Files that are changed while they are audited: in every format, in every way, between any two passes."""

import io
import os
import pickle
import shutil

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest

from carto_audit.data.batch import iter_texts, read_batch, read_texts
from carto_audit.data.readers import read_records, read_schema
from carto_audit.runtime import sealed_path
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.sealed_path import BLOCK, open_bytes, seal, seal_all


def write_stream(table, path):
    with pa_ipc.new_stream(path, table.schema) as file:
        file.write_table(table)


def write_file(table, path):
    with pa_ipc.new_file(path, table.schema) as file:
        file.write_table(table)


def write_lines(table, path):
    with pa.output_stream(str(path), compression="detect") as stream:
        pa_csv.write_csv(table, stream) if ".csv" in path.name else stream.write(
            "".join(f'{{"text": "{text}", "n": 1}}\n' for text in table["text"].to_pylist()).encode()
        )


WRITERS = {
    "a.parquet": pq.write_table,
    "a.jsonl": write_lines,
    "a.jsonl.gz": write_lines,
    "a.csv": write_lines,
    "a.csv.zst": write_lines,
    "a.arrow": write_file,
    "a.feather": write_stream,
}


def write(path, word):
    texts = [f"{word} {number} reads as a sentence" for number in range(50)]
    WRITERS[path.name](pa.table({"text": texts, "n": list(range(50))}), path)
    return path


def rename_over(path, other):
    other.replace(path)


def rewrite_in_place(path, other):
    """With the times of before, as far as a program can set them."""
    times = path.stat()
    with path.open("r+b") as stream:
        stream.write(other.read_bytes())
        stream.truncate()
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def rewrite_unnoticed(path, other):
    """As `rewrite_in_place`, by someone who can set every time that the system tells."""
    rewrite_in_place(path, other)
    sealed_path._status = lambda path: ("as it was",)


WAYS = [rename_over, rewrite_in_place, rewrite_unnoticed]

PASSES = {
    "iter_texts": lambda batch: list(iter_texts(batch)),
    "read_texts": lambda batch: read_texts(batch, [0]),
    "read_records": lambda batch: list(read_records(batch.paths[0], read_schema(batch.paths[0]))),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("read", PASSES.values(), ids=PASSES)
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_changed_between_two_passes_is_one_line(tmp_path, monkeypatch, name, read, way):
    path = write(tmp_path / name, "first")
    (tmp_path / "other").mkdir()
    other = write(tmp_path / "other" / name, "other")
    if way is rewrite_unnoticed:
        monkeypatch.setattr(sealed_path, "_status", lambda path: ("as it was",))
    batch = read_batch([path])
    read(batch)
    way(path, other)
    with pytest.raises(AuditError, match="the file changed while it was audited; run again"):
        read(batch)


@pytest.mark.parametrize("way", WAYS[:2])
def test_the_digest_is_that_of_the_bytes_that_were_read_at_whatever_moment_the_file_is_swapped(
    tmp_path, monkeypatch, way
):
    """At each opening of the file inside the first pass: what is read is what the digest says, or nothing is."""
    opened, moments = [], [0]
    real = sealed_path.open_regular

    def counted(path, *, follow):
        opened.append(path)
        if len(opened) == moments[-1]:
            way(path, other)
        return real(path, follow=follow)

    monkeypatch.setattr(sealed_path, "open_regular", counted)
    (tmp_path / "other").mkdir()
    ends = []
    for moment in range(1, 30):
        moments.append(moment)
        path = write(tmp_path / "a.parquet", "first")
        other = write(tmp_path / "other" / "a.parquet", "other")
        opened.clear()
        try:
            batch = read_batch([path])
            word = next(iter_texts(batch)).texts[0].split()[0]
        except AuditError:
            ends.append("refused")
            continue
        copy = write(tmp_path / "other" / "a.parquet", word)
        assert seal(copy).seal.sha256 == batch.sha256
        ends.append(word)
    assert (ends[0], ends[-1]) == ("other", "first")  # before it was hashed, and when all was read
    assert "refused" in ends


def test_a_column_that_no_pass_reads_cannot_change_either(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["one sentence"] * 9, "n": list(range(9))}), path)
    batch = read_batch([path], text_column="text")
    pq.write_table(pa.table({"text": ["one sentence"] * 9, "n": [0] * 9}), path)
    with pytest.raises(AuditError, match="the file changed"):
        list(iter_texts(batch))


def test_a_file_that_was_only_touched_is_read_on(tmp_path):
    path = write(tmp_path / "a.jsonl", "first")
    batch = read_batch([path])
    path.touch()
    shutil.copyfile(path, tmp_path / "b.jsonl")
    (tmp_path / "b.jsonl").replace(path)
    assert len(next(iter_texts(batch)).texts) == 50


@pytest.mark.parametrize("change", ["gone", "pipe", "shorter", "longer"])
def test_whatever_stands_there_instead_is_one_line(tmp_path, change):
    path = write(tmp_path / "a.jsonl", "first")
    batch = read_batch([path])
    data = path.read_bytes()
    path.unlink()
    if change == "pipe":
        os.mkfifo(path)
    elif change != "gone":
        path.write_bytes(data[:-1] if change == "shorter" else data + b"\n")
    with pytest.raises(AuditError, match="the file changed"):
        list(iter_texts(batch))


def test_a_sealed_file_reads_as_the_file_does(tmp_path):
    path = tmp_path / "bytes"
    data = bytes(range(256)) * (3 * BLOCK // 256) + b"the rest"
    path.write_bytes(data)
    (sealed,) = seal_all([path])
    assert sealed == path
    assert pickle.loads(pickle.dumps(sealed)).seal == sealed.seal
    with open_bytes(sealed) as stream:
        assert stream.read() == data
        for place, count in [(0, 3), (BLOCK - 2, 5), (2 * BLOCK, BLOCK + 7), (len(data) - 3, 99), (len(data) + 9, 1)]:
            stream.seek(place)
            assert stream.read(count) == data[place : place + count]
        assert stream.seek(-4, io.SEEK_END) == len(data) - 4
        assert stream.read() == b"rest"
