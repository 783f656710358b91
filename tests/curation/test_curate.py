"""The batch divided: real files of every format, and the command on a finished audit. CARTO_AUDIT_EXAMPLES=2000 tries more."""

import csv
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.curation.curate import CURATED, QUARANTINE, Decisions, curate, read_decisions
from carto_audit.curation.sample_weights import read_weights, sampler
from carto_audit.data.batch import read_batch
from carto_audit.data.readers import read_records, read_schema
from carto_audit.data.skips import SKIP_REASONS
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.audits import run_process, snapshot, strings_of_bytes, write_parquet
from tests.support.repository import ROOT

EXAMPLES = int(os.environ.get("CARTO_AUDIT_EXAMPLES", "50"))
DOCUMENT = ROOT / "docs" / "curation.md"


def decide(batch, weights):
    """Decisions with these weights; rows without text, or that readers repair, are quarantined whatever they say."""
    weight = np.array(weights, dtype=float)
    usable = np.zeros(batch.rows, dtype=bool)
    usable[batch.row[batch.trainable]] = True
    weight[~usable] = 0
    action = np.where(usable, np.where(weight > 0, "keep", "remove"), "unusable")
    reason = np.where(weight > 0, "", "because").astype(object)
    return Decisions(action=action, weight=weight, reason=reason)


def parts_of(out):
    return [
        pa.concat_tables([pq.read_table(f) for f in sorted((out / name).iterdir())]) for name in (CURATED, QUARANTINE)
    ]


def test_rows_keep_their_order_columns_and_schema_and_get_a_weight(tmp_path):
    columns = {
        "note": pa.array(["a", None, "c", "d"]).dictionary_encode(),
        "when": pa.array([1, 2, 3, None], pa.timestamp("us", tz="UTC")),
        "nested": pa.array([{"x": [1, 2]}, None, {"x": []}, {"x": [3]}]),
        "real": pa.array([np.nan, 1.5, -0.0, None]),
    }
    path = write_parquet(tmp_path / "a.parquet", ["one", "two", "three", "four"], **columns)
    given_table = pq.read_table(path)
    batch = read_batch([path])
    summary = curate(batch, decide(batch, [1, 0, 0.5, 2]), tmp_path / "out")
    curated, quarantine = parts_of(tmp_path / "out")
    assert curated.schema.remove(len(curated.schema) - 1) == given_table.schema
    assert curated.drop_columns("sample_weight").take([1, 2]).equals(given_table.take([2, 3]))  # NaN equals nothing
    assert curated["text"].to_pylist() == ["one", "three", "four"]
    assert curated["sample_weight"].to_pylist() == [1, 0.5, 2]
    assert quarantine["text"].to_pylist() == ["two"]
    assert quarantine["carto_audit_reason"].to_pylist() == ["because"]
    assert (summary["curated_rows"], summary["quarantined_rows"], summary["weight_sum"]) == (3, 1, 3.5)
    assert read_weights(tmp_path / "out" / "weights.parquet").tolist() == [1, 0, 0.5, 2]


def test_categories_as_polars_writes_them_stay_what_they_are(tmp_path):
    """pyarrow can neither filter a dictionary of views nor spell it out."""
    kinds = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, 1], pa.uint32()), pa.array(["a", "b"], pa.string_view()))
    given_table = pa.table({"text": pa.array(["one", "two", "three", "four"], pa.string_view()), "kind": kinds})
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), given_table.schema) as writer:
        writer.write_table(given_table)
    batch = read_batch([tmp_path / "a.arrow"])
    curate(batch, decide(batch, [1, 0, 0.5, 2]), tmp_path / "out")
    curated, quarantine = (
        pa.ipc.open_file(str(tmp_path / "out" / name / "a.arrow")).read_all() for name in (CURATED, QUARANTINE)
    )
    assert curated.schema.remove(2) == quarantine.schema.remove(2) == given_table.schema
    assert (curated["text"].to_pylist(), curated["kind"].to_pylist()) == (["one", "three", "four"], ["a", "a", "b"])
    assert (quarantine["text"].to_pylist(), quarantine["kind"].to_pylist()) == (["two"], ["b"])


def test_rows_without_usable_text_are_quarantined_with_the_reason(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", strings_of_bytes([b"fine", b"\xff\xfe", b"", b"good"]), n=[1, 2, 3, 4])
    batch = read_batch([path])
    table = {
        "sample_id": batch.sample_id,
        "row": batch.row,
        "quadrant": ["stable_easy", "hotspot_memorized"],
        "action": ["keep", "downweight"],
        "weight": [1.0, 0.5],
        "reasons": ["easy", "memorized; recited"],
    }
    pq.write_table(pa.table(table), tmp_path / "scores.parquet")
    decisions = read_decisions(tmp_path, batch)
    assert decisions.reason.tolist() == ["", SKIP_REASONS["undecodable"], "the text has no characters", ""]
    curate(batch, decisions, tmp_path / "out")
    curated, quarantine = parts_of(tmp_path / "out")
    assert (curated["n"].to_pylist(), quarantine["n"].to_pylist()) == ([1, 4], [2, 3])
    removed = read_decisions(tmp_path, batch, ["hotspot_memorized"])
    assert (removed.weight.tolist(), removed.reason[3]) == ([1, 0, 0, 0], "memorized; recited")


def test_scores_of_another_batch_are_refused(tmp_path):
    batch = read_batch([write_parquet(tmp_path / "a.parquet", ["one", "two"])])
    table = {"sample_id": ["a"], "row": [0], "quadrant": [None], "action": ["keep"], "weight": [1.0], "reasons": [""]}
    pq.write_table(pa.table(table), tmp_path / "scores.parquet")
    with pytest.raises(AuditError, match="not those of the batch"):
        read_decisions(tmp_path, batch)


def write_shards(folder):
    folder.mkdir()
    write_parquet(folder / "a.parquet", ["parquet one", "parquet two"], n=[1, 2])
    (folder / "b.jsonl").write_bytes(
        b'{"text": "json one", "mixed": 1, "deep": {"k": [1, {"v": null}]}, "flat": {"k": [1]}, "none": {}}\n'
        b'{"text": "json two", "mixed": "1", "late": 12345678901234567890123}\n'
        b'{"text": "lone \\ud800", "mixed": [1]}\n'
    )
    (folder / "c.csv").write_bytes(b'text,zip,odd\ncsv one,007,\xff\n"csv\ntwo",,x\n')
    table = pa.table({"text": ["arrow one"], "blob": pa.array([b"\x00\xff"])})
    with pa_ipc.new_file(folder / "d.arrow", table.schema) as file:
        file.write_table(table)
    return folder


def test_every_format_keeps_its_values_and_every_row_ends_in_one_part(tmp_path):
    folder = write_shards(tmp_path / "shards")
    before = snapshot(folder)
    batch = read_batch([folder])
    summary = curate(batch, decide(batch, [1, 0, 1, 1, 1, 0, 1, 1]), tmp_path / "out")
    assert snapshot(folder) == before
    assert [f["rows"] for f in summary["files"]] == [2, 3, 2, 1]
    assert (summary["curated_rows"], summary["quarantined_rows"]) == (5, 3)
    curated, quarantine = tmp_path / "out" / CURATED, tmp_path / "out" / QUARANTINE
    assert sorted(file.name for file in curated.iterdir()) == [
        "00000-a.parquet",
        "00001-b.jsonl",
        "00002-c.csv",
        "00003-d.arrow",
    ]
    lines = (folder / "b.jsonl").read_bytes().splitlines(keepends=True)
    assert (curated / "00001-b.jsonl").read_bytes() == b"".join(lines[:2])
    lost = (quarantine / "00001-b.jsonl").read_bytes()
    assert lost == lines[2].replace(b"]}", b'], "carto_audit_reason": "because"}')
    assert (curated / "00002-c.csv").read_bytes() == b'text,zip,odd,sample_weight\n"csv\ntwo",,x,1.0\n'
    with pa_ipc.open_file(curated / "00003-d.arrow") as file:
        assert file.read_all().drop_columns("sample_weight").equals(pa_ipc.open_file(folder / "d.arrow").read_all())
    assert summary["unseen_columns"] == ["mixed", "deep", "flat", "none", "late", "odd", "blob", "n", "zip"]
    assert read_weights(curated).tolist() == [1] * 5


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.zst", "a.jsonl.bz2"])
def test_what_is_compressed_stays_compressed(tmp_path, name):
    rows = b"text,n\none,1\ntwo,2\n" if "csv" in name else b'{"text": "one"}\r\n{"text": "two"}'
    path = tmp_path / name
    with pa.output_stream(
        path, compression={"gz": "gzip", "zst": "zstd", "bz2": "bz2"}[name.rpartition(".")[2]]
    ) as file:
        file.write(rows)
    batch = read_batch([path])
    curate(batch, decide(batch, [0, 1]), tmp_path / "out")
    with pa.input_stream(tmp_path / "out" / CURATED / name, compression="detect") as file:
        kept = file.read()
    assert kept == (b"text,n,sample_weight\ntwo,2,1.0\n" if "csv" in name else b'{"text": "two"}')


@pytest.mark.parametrize("codec", [None, "lz4", "zstd"])
@pytest.mark.parametrize("make", [pa_ipc.new_file, pa_ipc.new_stream], ids=["file", "stream"])
def test_arrow_stays_a_file_or_a_stream_and_as_compressed_as_it_was(tmp_path, make, codec):
    table = pa.table(
        {"text": ["a long sentence " * 200] * 50, "kind": pa.array(["x"] * 50).dictionary_encode()}
    ).replace_schema_metadata({"made": "by us"})
    with make(tmp_path / "a.arrow", table.schema, options=pa_ipc.IpcWriteOptions(compression=codec)) as file:
        file.write_table(table, max_chunksize=20)
    batch = read_batch([tmp_path / "a.arrow"])
    curate(batch, decide(batch, [0] + [1] * 49), tmp_path / "out")
    written = tmp_path / "out" / CURATED / "a.arrow"
    assert written.read_bytes().startswith(b"ARROW1") == (make is pa_ipc.new_file)
    assert (written.stat().st_size < 50_000) == (codec is not None)
    with pa.OSFile(str(written)) as source:
        found = (pa_ipc.open_file if make is pa_ipc.new_file else pa_ipc.open_stream)(source).read_all()
    assert found.drop_columns("sample_weight").equals(table.slice(1), check_metadata=True)


def test_a_csv_file_whose_rows_cannot_be_told_for_certain_keeps_its_values(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'text,note\none,"a\rb"\n"two ""x""","c,d"\n')
    batch = read_batch([tmp_path / "a.csv"])
    summary = curate(batch, decide(batch, [1, 1]), tmp_path / "out")
    assert not summary["files"][0]["byte_for_byte"]
    written = tmp_path / "out" / CURATED / "a.csv"
    (records,) = read_records(written, read_schema(written))
    assert records.drop_columns("sample_weight").to_pylist() == [
        {"text": "one", "note": "a\rb"},
        {"text": 'two "x"', "note": "c,d"},
    ]


def test_one_odd_row_leaves_the_others_as_they_are(tmp_path):
    rows = [b'{"text": "row %d", "n": %d}\n' % (k, k) for k in range(60)]
    rows[7] = b'{"text": 7, "n": {"deep": [1, "x"]}, "text": 7}\n'
    rows[8] = b'{"n": [], "text": "lone \\ud800"}\n'
    (tmp_path / "a.jsonl").write_bytes(b"".join(rows))
    batch = read_batch([tmp_path / "a.jsonl"], text_column="text")
    curate(batch, decide(batch, [1] * 60), tmp_path / "out")
    kept = [row for k, row in enumerate(rows) if k in batch.row[batch.trainable]]
    assert 58 <= len(kept) < 60
    assert (tmp_path / "out" / CURATED / "a.jsonl").read_bytes() == b"".join(kept)


CELLS = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20) | st.floats(allow_nan=False)
BROKEN = st.sampled_from(["a\nb", "a\r\nb", 'a"b', '"', '""', ",", "a,b", " a ", "", "\ufeff", "007"])
WEIGHTS = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=30, max_size=30)


def divided(folder, path, weights):
    """A batch of one file, divided: for each part the rows that it should have, and the file itself."""
    batch = read_batch([path], text_column="text")
    chosen = decide(batch, weights[: batch.rows])
    curate(batch, chosen, folder / "out")
    parts = (np.flatnonzero(chosen.weight > 0), CURATED), (np.flatnonzero(chosen.weight == 0), QUARANTINE)
    return [(rows.tolist(), folder / "out" / name / path.name) for rows, name in parts]


@settings(max_examples=EXAMPLES)
@given(
    rows=st.lists(st.tuples(st.text(max_size=8), CELLS, st.lists(CELLS, max_size=3)), min_size=1, max_size=30),
    weights=WEIGHTS,
    spaces=st.sampled_from(["", " ", "\t"]),
    end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    last=st.booleans(),
)
def test_lines_are_copied_byte_for_byte(tmp_path_factory, rows, weights, spaces, end, last):
    folder = tmp_path_factory.mktemp("any")
    lines = [
        f"{spaces}{json.dumps({'text': f'a{text}', 'cell': cell, 'cells': cells}, ensure_ascii=k % 2 == 0)}{spaces}"
        for k, (text, cell, cells) in enumerate(rows)
    ]
    path = folder / "a.jsonl"
    path.write_bytes((end.join(lines) + end * last).encode("utf-8", "surrogatepass"))
    delivered = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    (kept, curated), (lost, quarantine) = divided(folder, path, weights)
    assert sorted(kept + lost) == list(range(len(rows)))
    assert [line for line in curated.read_bytes().split(b"\n") if line] == [delivered[row] for row in kept]
    for row, line in zip(lost, [line for line in quarantine.read_bytes().split(b"\n") if line], strict=True):
        found = json.loads(line)
        assert found.pop("carto_audit_reason") == "because"
        assert repr(found) == repr(json.loads(delivered[row]))


@settings(max_examples=EXAMPLES)
@given(
    rows=st.lists(st.tuples(BROKEN, st.text(max_size=8) | BROKEN), min_size=1, max_size=30),
    weights=WEIGHTS,
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_csv_rows_keep_their_values(tmp_path_factory, rows, weights, end, quoting):
    folder = tmp_path_factory.mktemp("any")
    path = folder / "a.csv"
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        writer = csv.writer(file, lineterminator=end, quoting=quoting)
        rows = [(f"a {text}", note if note == "a\r\nb" else re.sub(r"[\x00\r]", "", note)) for text, note in rows]
        writer.writerows([("text", "note"), *rows])  # which quotes no carriage return that stands alone
    delivered = [row for batch in read_records(path, read_schema(path)) for row in batch.to_pylist()]
    for rows_of_part, part in divided(folder, path, weights):
        found = [list(row.values()) for batch in read_records(part, read_schema(part)) for row in batch.to_pylist()]
        assert [row[:2] for row in found] == [list(delivered[row].values()) for row in rows_of_part]


@settings(max_examples=EXAMPLES)
@given(
    rows=st.lists(
        st.tuples(st.text(max_size=8), CELLS.filter(lambda x: not isinstance(x, str))), min_size=1, max_size=30
    ),
    weights=WEIGHTS,
    suffix=st.sampled_from(["parquet", "arrow"]),
)
def test_tables_keep_values_and_schema(tmp_path_factory, rows, weights, suffix):
    folder = tmp_path_factory.mktemp("any")
    path = folder / f"a.{suffix}"
    columns = {
        "text": pa.array([f"a{text}".encode("utf-8", "replace").decode() for text, _ in rows], pa.large_string()),
        "n": pa.array([None if cell is None else float(cell) for _, cell in rows], pa.float64()),
        "deep": pa.array([{"x": [text.encode("utf-8", "replace")]} for text, _ in rows]),
    }
    table = pa.table(columns).replace_schema_metadata({"who": "vendor"})
    if suffix == "parquet":
        pq.write_table(table, path)
        table = pq.read_table(path)  # which calls the values of a list by another name
    else:
        with pa_ipc.new_file(path, table.schema) as file:
            file.write_table(table)
    for rows_of_part, part in divided(folder, path, weights):
        found = pq.read_table(part) if suffix == "parquet" else pa_ipc.open_file(part).read_all()
        found = found.drop_columns(found.column_names[-1])
        assert found.schema.equals(table.schema, check_metadata=True)
        assert found.equals(table.take(pa.array(rows_of_part, pa.int64())))


def test_a_weight_column_that_is_there_already_is_named(tmp_path):
    batch = read_batch([write_parquet(tmp_path / "a.parquet", ["one"], sample_weight=[1])])
    with pytest.raises(UsageError, match='has a column "sample_weight" already'):
        curate(batch, decide(batch, [1]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_lines_with_a_weight_of_their_own_are_copied_beside_a_table_and_a_reason_is_named(tmp_path):
    write_parquet(tmp_path / "given" / "a.parquet", ["one", "two"])
    lines = b'{"text": "three"}\n{"text": "four", "sample_weight": 2}\n'
    (tmp_path / "given" / "b.jsonl").write_bytes(lines)
    batch = read_batch([tmp_path / "given"])
    curate(batch, decide(batch, [1, 1, 1, 1]), tmp_path / "out")
    assert (tmp_path / "out" / "curated" / "00001-b.jsonl").read_bytes() == lines
    (tmp_path / "given" / "b.jsonl").write_bytes(lines.replace(b"sample_weight", b"carto_audit_reason"))
    batch = read_batch([tmp_path / "given"])
    with pytest.raises(UsageError, match='has a column "carto_audit_reason" already'):
        curate(batch, decide(batch, [1, 1, 1, 1]), tmp_path / "late")


def test_rows_that_change_while_they_are_read_leave_nothing(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", ["one", "two"])
    batch = read_batch([path])
    write_parquet(path, ["one", "two", "three"])
    with pytest.raises(AuditError, match="the file changed"):
        curate(batch, decide(batch, [1, 0]), tmp_path / "out")
    assert not (tmp_path / "out" / "curation.json").exists()


def read_column(folder, name):
    """The values of a column in all files of a part, whatever their format."""
    found = []
    for file in sorted(folder.iterdir()):
        for records in read_records(file, read_schema(file)):
            found += records.column(name).to_pylist()  # of one column alone: others hold bytes that are no text
    return found


@pytest.fixture(scope="module")
def applied(audited, tmp_path_factory):
    """The hostile audit of conftest, applied."""
    out = tmp_path_factory.mktemp("applied") / "out"
    return run_process("apply", str(audited.folder), "--out", str(out), cwd=audited.cwd), out


def test_apply_accounts_for_every_row_of_a_hostile_batch(audited, applied):
    ended, out = applied
    assert ended.code == 0, ended.err
    summary = json.loads((out / "curation.json").read_text())
    report = json.loads((audited.folder / "report.json").read_text())
    curated = read_weights(out / CURATED).tolist()
    quarantine = read_column(out / QUARANTINE, "carto_audit_reason")
    assert len(curated) + len(quarantine) == report["batch"]["rows"] == summary["batch"]["rows"]
    assert all(quarantine)
    unusable = sum(skipped["rows"] for skipped in report["batch"]["skipped"] if skipped["reason"] != "over_long")
    assert summary["actions"].get("unusable", 0) == unusable > 0
    batch = read_batch([audited.input])
    lost = {row for skipped in batch.skipped if skipped.reason != "over_long" for row in skipped.rows.tolist()}
    scores = pq.read_table(audited.folder / "scores.parquet", columns=["row", "weight"]).to_pylist()
    assert sorted(curated) == sorted(s["weight"] for s in scores if s["weight"] > 0 and s["row"] not in lost)
    assert "\x1b" not in ended.out
    assert not any(line.startswith(("::", "##[")) for line in ended.out.splitlines())


def test_apply_refuses_another_batch_and_a_folder_that_is_not_its_own(audited, applied, carto, tmp_path, monkeypatch):
    monkeypatch.chdir(audited.cwd)
    other = write_parquet(tmp_path / "other.parquet", ["something else"])
    ended = carto("apply", audited.folder, other)
    assert (ended.code, ended.err.count("\n")) == (2, 2)  # one line of progress, one of error
    assert "not the batch that this audit is about" in ended.err
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    ended = carto("apply", audited.folder, "--out", tmp_path / "taken")
    assert ended.code == 2
    assert "is not a curated batch" in ended.err
    ended = carto("apply", audited.folder, "--out", applied[1])
    assert ended.code == 0  # once more over its own


def test_apply_replaces_its_own_folder_whole_and_refuses_one_that_holds_more(audited, carto, tmp_path, monkeypatch):
    monkeypatch.chdir(audited.cwd)
    out = tmp_path / "out"
    batch = read_batch([write_parquet(tmp_path / "old.parquet", ["one", "two"])])
    curate(batch, decide(batch, [1, 0]), out)
    ended = carto("apply", audited.folder, "--out", out)
    assert ended.code == 0, ended.err
    assert not (out / CURATED / "old.parquet").exists()
    (out / CURATED / "mine.parquet").write_text("not ours")
    ended = carto("apply", audited.folder, "--out", out)
    assert ended.code == 2
    assert (out / CURATED / "mine.parquet").read_text() == "not ours"


def test_apply_refuses_decisions_that_changed_since_the_audit(audited, carto, tmp_path):
    folder = Path(shutil.copytree(audited.folder, tmp_path / "audit"))
    table = pq.read_table(folder / "scores.parquet")
    kept = pa.array(["keep"] * table.num_rows)
    pq.write_table(table.set_column(table.schema.get_field_index("action"), "action", kept), folder / "scores.parquet")
    ended = carto("apply", folder, audited.input, "--out", tmp_path / "out")
    assert ended.code == 3
    assert "changed since the audit ended" in ended.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("weight", [-1.0, float("nan"), None, float("inf")])
def test_weights_that_no_audit_gives_are_refused(tmp_path, weight):
    batch = read_batch([write_parquet(tmp_path / "a.parquet", ["one"])])
    table = {
        "sample_id": ["a"],
        "row": [0],
        "quadrant": [None],
        "action": ["keep"],
        "weight": [weight],
        "reasons": [""],
    }
    pq.write_table(pa.table(table), tmp_path / "scores.parquet")
    with pytest.raises(AuditError, match="not what an audit decides"):
        read_decisions(tmp_path, batch)


def test_apply_says_when_the_folder_holds_no_audit(carto, tmp_path):
    ended = carto("apply", tmp_path)
    assert ended.code == 3
    (line,) = ended.err.splitlines()
    assert line.startswith(f"Error: {tmp_path}: not a finished audit: there is no verdict.json in it; name the folder")


def test_a_policy_that_never_drops_refuses_remove(audited, carto, tmp_path):
    facts = json.loads((audited.folder / "report.json").read_text())
    facts["policy"]["resolved"]["never_drop"] = True
    (tmp_path / "report.json").write_text(json.dumps(facts))
    (tmp_path / "verdict.json").write_text("{}")
    ended = carto("apply", tmp_path, "--remove", "hotspot_memorized")
    assert ended.code == 2
    assert "never drops rows" in ended.err


def test_the_sampler_draws_as_often_as_the_weights_say(tmp_path):
    weight = np.repeat([0.0, 0.5, 1.0], 100)
    columns = {"sample_id": [str(k) for k in range(300)], "row": np.arange(300), "sample_weight": weight}
    path = tmp_path / "weights.parquet"
    pq.write_table(pa.table(columns), path)
    drawn = np.bincount(list(sampler(path, num_samples=30_000, seed=1)), minlength=300)
    assert drawn[:100].sum() == 0
    assert drawn[200:].sum() / drawn[100:200].sum() == pytest.approx(2, rel=0.1)
    assert len(sampler(path)) == 200
    assert list(sampler(path, seed=3)) == list(sampler(path, seed=3))


@pytest.mark.parametrize("weights", [[-1.0], [float("nan")], [0.0]], ids=["negative", "nan", "nothing"])
def test_weights_that_nobody_can_draw_by_are_one_line(tmp_path, weights):
    pq.write_table(pa.table({"sample_weight": weights}), tmp_path / "w.parquet")
    with pytest.raises(AuditError, match=r"w\.parquet"):
        sampler(tmp_path / "w.parquet")
    with pytest.raises(AuditError, match="no weights here"):
        read_weights(tmp_path / "absent.parquet")


def test_the_training_example_of_the_document_runs(tmp_path, monkeypatch):
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(example.splitlines()) <= 12
    names = {}
    texts = tmp_path / "vendor_batch-curated" / "curated"
    texts.mkdir(parents=True)
    pq.write_table(pa.table({"text": ["one", "two"] * 8, "sample_weight": [1.0, 0.5] * 8}), texts / "a.parquet")
    monkeypatch.chdir(tmp_path)
    exec(example, names)
    assert names["loss"].item() > 0
