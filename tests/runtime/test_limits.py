"""Deliveries that ask for more than a machine has: refused in one line, while they are read."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carto_audit.data.batch import read_batch
from carto_audit.policy.model import load_policy
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.limits import Limits, Watch
from carto_audit.runtime.progress import SILENT


def one_value(path, value, rows):
    """A Parquet file that says one value once, for so many rows."""
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value]))
    pq.write_table(pa.table({"text": column}), path, store_schema=False, write_statistics=False)
    return path


def test_a_value_that_stands_for_a_million_rows_is_refused_before_it_fills_the_memory(tmp_path):
    path = one_value(tmp_path / "a.parquet", "words of one row " * 200, 1_000_000)
    assert path.stat().st_size < 100_000
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(AuditError, match=r"a\.parquet: expands to more than .* bytes.*limits\.expansion"):
        read_batch([path])
    assert pa.default_memory_pool().max_memory() < max(before, 300 << 20)


def test_a_long_value_is_decoded_for_few_rows_at_once(tmp_path):
    path = one_value(tmp_path / "a.parquet", "many words " * 500_000, 1_000)
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(AuditError, match=r"limits\.expansion"):
        read_batch([path])
    assert pa.default_memory_pool().max_memory() < max(before, 1 << 30)


@pytest.mark.parametrize("name", ["a.jsonl.zst", "a.csv.gz"])
def test_what_expands_to_blank_lines_is_refused(tmp_path, name):
    with pa.output_stream(tmp_path / name, compression="detect") as file:
        file.write(b'{"text": "words of one row"}\n' if "jsonl" in name else b"text\nwords of one row\n")
        for _ in range(100):
            file.write(b" " * (1 << 20) + b"\n" if "jsonl" in name else b"\n" * (1 << 20))
    with pytest.raises(AuditError, match=r"limits\.expansion"):
        read_batch([tmp_path / name])


@pytest.mark.parametrize("limits", [Limits(rows=5), Limits(text_bytes=100)])
def test_rows_and_bytes_have_limits(tmp_path, limits):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"words of row {k}"}) + "\n" for k in range(20)))
    (name,) = limits.model_fields_set
    with pytest.raises(AuditError, match=rf"limits\.{name}; raise it under limits: in the policy"):
        read_batch([tmp_path / "a.jsonl"], limits=limits)
    assert read_batch([tmp_path / "a.jsonl"], limits=Limits(rows=20)).rows == 20


def test_a_stage_that_takes_too_long_ends():
    now = [0.0]
    watch = Watch(SILENT, 10, lambda: now[0])
    watch.begin("contamination")
    with watch.task("Looking") as advance:
        now[0] = 9.0
        advance(1)
        watch.begin("tokens")
        now[0] = 18.0
        advance(1)
        now[0] = 30.0
        with pytest.raises(AuditError, match=r'the stage "tokens" took longer than limits\.stage_seconds'):
            advance(1)


def test_a_policy_sets_limits_and_one_without_keeps_its_digest(tmp_path):
    plain = load_policy("default")
    assert "limits" not in plain.resolved()
    path = tmp_path / "ours.yaml"
    path.write_text("schema_version: 1\nname: default\nextends: default\nlimits: {rows: 1000}\n")
    ours = load_policy(path)
    assert (ours.limits.rows, ours.limits.expansion) == (1000, Limits().expansion)
    assert ours.sha256 != plain.sha256
    path.write_text("schema_version: 1\nname: ours\nextends: default\nlimits: {row: 0, rows: 0}\n")
    with pytest.raises(UsageError, match=r'limits\.row: unknown key; did you mean "rows"'):
        load_policy(path)
