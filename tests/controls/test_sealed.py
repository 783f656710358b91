"""The sealed table of controls: it is read back as it was written, and not at all where anything of it changed."""

import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carto_audit.controls.sealed import SCHEMA, commitment_of, read_sealed, write_sealed
from carto_audit.runtime.errors import AuditError

ROWS = [
    {
        "role": "planted",
        "secret": 0,
        "kind": "hex",
        "form": "alone",
        "dose": 4,
        "edited": False,
        "text": "ab",
        "values": "{}",
    },
    {"role": "held_out", "dose": 0, "edited": False, "text": "a row", "file": "a.jsonl", "row": 7, "values": "{}"},
]


@pytest.fixture
def sealed(tmp_path):
    path = tmp_path / "controls.parquet"
    return path, write_sealed(path, pa.Table.from_pylist(ROWS, schema=SCHEMA))


def test_a_sealed_table_is_read_back_as_it_was_and_nobody_else_may_read_it(sealed):
    path, commitment = sealed
    assert read_sealed(path, commitment).equals(pa.Table.from_pylist(ROWS, schema=SCHEMA))
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["controls.parquet"]


def test_the_same_controls_have_another_commitment_every_time(sealed, tmp_path):
    again = write_sealed(tmp_path / "again.parquet", pa.Table.from_pylist(ROWS, schema=SCHEMA))
    assert again != sealed[1]
    assert sealed[1] != hashlib.sha256(sealed[0].read_bytes()).hexdigest()  # a digest of the file says nothing about it


def test_a_changed_file_and_a_wrong_commitment_are_one_line(sealed):
    path, commitment = sealed
    with pytest.raises(AuditError, match="not the controls of this commitment"):
        read_sealed(path, commitment[:-1] + ("0" if commitment[-1] != "0" else "1"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(AuditError, match="changed since") as caught:
        read_sealed(path, commitment)
    assert "\n" not in str(caught.value)
    with pytest.raises(AuditError, match="cannot read the controls"):
        read_sealed(path.with_name("absent.parquet"), commitment)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b"PAR1 no parquet PAR1"),
        lambda path: pq.write_table(pa.table({"text": ["a"]}), path),
        lambda path: pq.write_table(pa.Table.from_pylist(ROWS, schema=SCHEMA), path),
        lambda path: write_sealed(path, pa.Table.from_pylist([{**ROWS[0], "role": "\x1b[31mspy"}], schema=SCHEMA)),
    ],
    ids=["no table", "another table", "no salt", "another role"],
)
def test_whoever_commits_to_something_else_is_told_so(tmp_path, make):
    path = tmp_path / "controls.parquet"
    make(path)
    with pytest.raises(AuditError, match="no controls: ") as caught:
        read_sealed(path, commitment_of(path))
    assert str(caught.value).isprintable()
