"""Compressed files and other encodings: read where they are declared, else refused with the likely one named."""

import bz2
import gzip
import json
import lzma

import pyarrow as pa
import pytest

from carto_audit.data.batch import iter_texts, read_batch
from carto_audit.data.formats.opened import Reading
from carto_audit.data.readers import has_rows
from carto_audit.runtime.errors import AuditError, UsageError

TEXTS = [f"Der Wächter zählt das Öl der Lampe {k} „zweimal“ und schließt müde die Tür." for k in range(60)]
CSV = "id,text\n" + "".join(f"{k},{text}\n" for k, text in enumerate(TEXTS))
JSONL = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in TEXTS)
ARRAY = json.dumps([{"text": text} for text in TEXTS], ensure_ascii=False)
FILES = {"a.csv": CSV, "a.tsv": CSV.replace(",", "\t"), "a.jsonl": JSONL, "a.json": ARRAY}


def by_arrow(codec):
    def compress(data):
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(data)
        return sink.getvalue().to_pybytes()

    return compress


COMPRESSIONS = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": by_arrow("zstd"),
    "zstd": by_arrow("zstd"),
    "lz4": by_arrow("lz4"),
}


def texts_of(path, **reading):
    batch = read_batch([path], reading=Reading(**reading))
    assert not batch.skipped
    return [text for chunk in iter_texts(batch) for text in chunk.texts]


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("name", FILES)
def test_every_text_format_may_be_compressed_in_one_piece_or_several(tmp_path, name, suffix):
    data, compress = FILES[name].encode(), COMPRESSIONS[suffix]
    for path, packed in (
        (tmp_path / f"{name}.{suffix}", compress(data)),
        (tmp_path / f"{name}.{suffix}".upper(), compress(data[:999]) + compress(data[999:])),
    ):
        path.write_bytes(packed)
        assert has_rows(path)
        assert texts_of(path) == TEXTS


@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize("keep", [0.1, 0.9])
def test_a_compressed_file_cut_short_is_one_clear_line(tmp_path, suffix, keep):
    packed = COMPRESSIONS[suffix](JSONL.encode() * 50)
    path = tmp_path / f"a.jsonl.{suffix}"
    path.write_bytes(packed[: int(len(packed) * keep)])
    with pytest.raises(AuditError, match=r"a\.jsonl\.\w+(:\d+)?: (cannot read|not JSON)") as caught:
        read_batch([path])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", FILES)
def test_a_byte_order_mark_declares_the_encoding(tmp_path, name, encoding):
    (tmp_path / name).write_bytes(FILES[name].encode(encoding))
    assert texts_of(tmp_path / name) == texts_of(tmp_path / name, encoding="cp1252") == TEXTS


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", FILES)
def test_another_encoding_is_refused_with_its_name_and_read_where_it_is_declared(tmp_path, name, encoding):
    (tmp_path / name).write_bytes(FILES[name].encode(encoding))
    with pytest.raises(AuditError, match=rf"{name}: not UTF-8; it looks like {encoding}: declare it with ") as caught:
        read_batch([tmp_path / name])
    assert "\n" not in str(caught.value)
    assert texts_of(tmp_path / name, encoding=encoding) == TEXTS


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Вчера торговец ушёл медленно, и сторож сказал нет.", "cp1251"),
        ("昨日、商人はゆっくりと去った。", "cp932"),
        ("昨天商人慢慢地离开了。", "gb18030"),
        ("L'été dernier, le garçon a mangé à la crêperie.", "cp1252"),
        ("The keeper said “no, not today” and left – slowly.", "cp1252"),
    ],
)
def test_the_likely_encoding_is_named(tmp_path, text, encoding):
    (tmp_path / "a.csv").write_bytes(("text\n" + f"{text}\n" * 40).encode(encoding))
    with pytest.raises(AuditError, match=f"it looks like {encoding}: "):
        read_batch([tmp_path / "a.csv"])


def test_some_stray_bytes_spoil_their_own_rows_only(tmp_path):
    data = JSONL.encode().splitlines()
    data[7] = b'{"text": "' + b"\xff\xfe" * 40 + b'"}'
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(data))
    batch = read_batch([tmp_path / "a.jsonl"])
    assert [(skipped.reason, skipped.rows.tolist()) for skipped in batch.skipped] == [("undecodable", [7])]
    (tmp_path / "a.jsonl").write_bytes(JSONL.encode("cp1252") + b'{"text": "plain words"}\n')
    declared = read_batch([tmp_path / "a.jsonl"], reading=Reading(encoding="utf-8"))
    assert (len(declared), declared.trainable.sum()) == (61, 1)


@pytest.mark.parametrize(
    "said",
    [
        {"encoding": "utf-9"},
        {"encoding": "base64"},
        {"encoding": "a\x00b"},
        {"csv_delimiter": "::"},
        {"csv_delimiter": "\n"},
        {"csv_quote": "é"},
        {"csv_header": "maybe"},
    ],
)
def test_what_makes_no_sense_is_a_usage_error(said):
    with pytest.raises(UsageError, match=next(iter(said))):
        Reading(**said)


@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_what_follows_a_compressed_file_is_refused(tmp_path, suffix):
    """Python's own reader of xz passes over it."""
    path = tmp_path / f"a.jsonl.{suffix}"
    path.write_bytes(COMPRESSIONS[suffix](JSONL.encode()) + b"words that nobody reads")
    with pytest.raises(AuditError, match=r"a\.jsonl\.\w+: cannot read as jsonl"):
        texts_of(path)


def test_zeros_that_pad_an_xz_file_are_no_text(tmp_path):
    (tmp_path / "a.jsonl.xz").write_bytes(lzma.compress(JSONL.encode()) + bytes(4096))
    assert texts_of(tmp_path / "a.jsonl.xz") == TEXTS
