"""What a compressed Arrow file expands to is told and refused before any of it is expanded."""

import io
import random
import struct
import subprocess
import sys

import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc as pa_ipc
import pytest

from carto_audit.data.batch import read_batch
from carto_audit.data.formats import columnar
from carto_audit.data.formats.arrow_messages import expanded_sizes
from carto_audit.data.readers import read_columns
from carto_audit.runtime.errors import AuditError
from tests.support.repository import ROOT

WAYS = {"file": pa_ipc.new_file, "stream": pa_ipc.new_stream}
TABLE = pa.table(
    {
        "text": ["words " * 1000] * 50 + ["short"],
        "n": list(range(51)),
        "kind": pa.array(["a", "b", "c"] * 17).dictionary_encode(),
        "nested": [[{"a": "zz"}, None]] * 51,
    }
)


def written(way, codec, table=TABLE, rows=20, **options):
    sink = io.BytesIO()
    with WAYS[way](sink, table.schema, options=pa_ipc.IpcWriteOptions(compression=codec, **options)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue()


def sizes(data, way):
    return list(expanded_sizes(io.BytesIO(data), len(data), is_file=way == "file"))


@pytest.mark.parametrize(
    "options", [{}, {"use_legacy_format": True, "metadata_version": pa_ipc.MetadataVersion.V4}], ids=str
)
@pytest.mark.parametrize("codec", ["lz4", "zstd"])
@pytest.mark.parametrize("way", WAYS)
def test_a_compressed_file_says_what_it_expands_to_and_others_say_nothing(way, codec, options):
    batches = [batch.get_total_buffer_size() for batch in TABLE.to_batches(max_chunksize=20)]
    found = [size for size in sizes(written(way, codec, **options), way) if size > 1000]
    assert len(found) == len(batches) == 3
    plain = [len(written(way, None, TABLE.slice(start, 20), **options)) for start in (0, 20, 40)]
    for size, whole in zip(found, plain, strict=True):
        assert 0.9 * whole - 2000 < size < whole
    assert not any(sizes(written(way, None, **options), way))


def test_a_feather_file_is_one_too(tmp_path):
    pyarrow.feather.write_feather(TABLE, tmp_path / "a.feather", compression="zstd")
    data = (tmp_path / "a.feather").read_bytes()
    assert sum(sizes(data, "file")) > 300_000


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_file_raises_nothing_but_value_errors(way):
    data, rng = written(way, "zstd"), random.Random(0)
    damaged = 0
    for _ in range(2000):
        changed = bytearray(data)
        for place in rng.sample(range(len(data)), 8):
            changed[place] = rng.randrange(256)
        try:
            sizes(bytes(changed), way)
        except ValueError:
            damaged += 1
    assert 0 < damaged < 2000


def bomb(path, way, codec, size):
    """Two rows in one record batch that is much smaller than it says."""
    path.write_bytes(written(way, codec, pa.table({"text": ["a row of some words", "w" * size]})))
    return path


@pytest.mark.parametrize("way", WAYS)
def test_a_record_batch_that_is_too_much_is_refused_before_it_is_expanded(tmp_path, way):
    path = bomb(tmp_path / "a.arrow", way, "zstd", 80 << 20)
    program = (
        "import sys, pyarrow; from pathlib import Path; from carto_audit.data.batch import read_batch\n"
        "try: read_batch([Path(sys.argv[1])])\n"
        "except Exception as error: print(error)\n"
        "print(pyarrow.default_memory_pool().max_memory())"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True, cwd=ROOT)
    said, most = done.stdout.splitlines()
    assert "a.arrow: expands to more than 67,108,864 bytes" in said
    assert "limits.expansion" in said
    assert int(most) < 16 << 20


def test_a_batch_within_the_limits_that_cannot_be_held_is_refused(tmp_path, monkeypatch):
    path = bomb(tmp_path / "a.arrow", "file", "lz4", 1 << 24)
    assert len(read_batch([path])) == 2
    monkeypatch.setattr(columnar, "LARGEST_READ", 1 << 23)
    with pytest.raises(
        AuditError, match=r"a\.arrow: a record batch expands to 16,[0-9,]* bytes, more than the 8,388,608"
    ):
        read_batch([path])


def test_a_length_that_a_file_claims_beyond_its_end_is_refused_without_making_room(tmp_path):
    whole = written("stream", None, pa.table({"text": ["one two three"]}))
    body = struct.pack("<q", list(pa_ipc.MessageReader.open_stream(whole))[1].body.size)
    assert whole.count(body) == 1
    path = tmp_path / "a.arrow"
    path.write_bytes(whole.replace(body, struct.pack("<q", 1 << 55)))
    with pytest.raises(AuditError, match=r"a\.arrow: cannot read as arrow: .*for message body"):
        read_batch([path])


STRANGE = b"caf\xe9 au lait, as somebody wrote it"
TEXTS = {
    "string": pa.array([b"one two three", STRANGE]).cast(pa.binary()).view(pa.string()),
    "large": pa.array([b"one two three", STRANGE], pa.large_binary()).view(pa.large_string()),
    "dictionary": pa.DictionaryArray.from_arrays(
        pa.array([1, 0, 1]), pa.array([b"one two", STRANGE]).view(pa.string())
    ),
    "list": pa.ListArray.from_arrays(
        pa.array([0, 1, 2], pa.int32()), pa.array([b"one two", STRANGE]).view(pa.string())
    ),
    "map": pa.MapArray.from_arrays(
        pa.array([0, 1, 2], pa.int32()), pa.array(["a", "b"]), pa.array([b"one two", STRANGE]).view(pa.string())
    ),
    "struct": pa.StructArray.from_arrays([pa.array([b"one two", STRANGE]).view(pa.string())], ["text"]),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_text_that_is_not_utf8_is_no_damage(tmp_path, kind):
    path = tmp_path / "a.arrow"
    path.write_bytes(written("stream", None, pa.table({"text": TEXTS[kind]})))
    (found,) = columnar.arrow_batches(path, None)
    assert len(found) == len(TEXTS[kind])


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("way", WAYS)
def test_values_that_would_lie_outside_of_the_file_are_refused(tmp_path, kind, way):
    table = pa.table({"text": TEXTS[kind]})
    whole = written(way, None, table)
    buffers = [buffer.to_pybytes() for buffer in places_of(TEXTS[kind])]
    path, refused = tmp_path / "a.arrow", 0
    for buffer in buffers:
        at = whole.rindex(buffer)
        width = 8 if kind in ("large", "dictionary") and buffer is buffers[0] else 4
        for wrong in (-1, 1 << 30):
            place = at + width  # the second one
            path.write_bytes(whole[:place] + wrong.to_bytes(width, "little", signed=True) + whole[place + width :])
            with pytest.raises(AuditError, match=r"a\.arrow: cannot read as arrow: "):
                list(read_columns(path, ["text"]))
            refused += 1
    assert refused >= 2


def places_of(column):
    """The buffers that say where values begin, or which of a dictionary they are."""
    if isinstance(column, pa.DictionaryArray):
        return [column.indices.buffers()[1], column.dictionary.buffers()[1]]
    if isinstance(column, pa.MapArray):
        return [column.buffers()[1], column.items.buffers()[1]]
    if isinstance(column, pa.ListArray):
        return [column.buffers()[1], column.values.buffers()[1]]
    return [column.field(0).buffers()[1]] if isinstance(column, pa.StructArray) else [column.buffers()[1]]


def delivered(tmp_path, data):
    path = tmp_path / "batch.arrow"
    path.write_bytes(data)
    return read_batch([path])


@pytest.mark.parametrize("options", [{}, {"use_legacy_format": True}], ids=str)
@pytest.mark.parametrize("codec", [None, "lz4"])
@pytest.mark.parametrize("way", WAYS)
def test_bytes_that_no_message_holds_are_refused(tmp_path, way, codec, options):
    data, other = written(way, codec, **options), written("stream", codec, **options)
    assert len(delivered(tmp_path, data)) == 51
    assert len(delivered(tmp_path, data if way == "file" else data + b"\0" * 64)) == 51
    hidden = {
        "file": [b"JUNKJUNK" + data[8:]],  # another reader may take what stands before for a stream
        "stream": [data + other, data + b"the footer of nothing"],
    }
    for wrong in hidden[way]:
        with pytest.raises(AuditError, match=r"batch\.arrow: cannot read as arrow: .*(no part of|begins with)"):
            delivered(tmp_path, wrong)


def test_a_record_batch_that_the_footer_does_not_list_is_refused(tmp_path):
    """The last of three is struck off the list: the count goes from three to two, the rows stay in the file."""
    data = bytearray(written("file", None))
    (length,) = struct.unpack_from("<i", data, len(data) - 10)
    footer = len(data) - 10 - length
    root = footer + struct.unpack_from("<I", data, footer)[0]
    fields = root - struct.unpack_from("<i", data, root)[0]
    records = root + struct.unpack_from("<H", data, fields + 4 + 2 * 3)[0]
    count = records + struct.unpack_from("<I", data, records)[0]
    assert struct.unpack_from("<I", data, count)[0] == 3
    struct.pack_into("<I", data, count, 2)
    assert pa_ipc.open_file(pa.BufferReader(bytes(data))).read_all().num_rows == 40
    with pytest.raises(AuditError, match="no part of the Arrow data"):
        delivered(tmp_path, bytes(data))
