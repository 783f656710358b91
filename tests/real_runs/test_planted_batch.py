"""A planted batch read back: from what `plant` wrote, and from nothing else."""

import json

import pytest

from carto_audit.real_runs.planted_batch import read_plant
from carto_audit.runtime.errors import AuditError
from tests.real_runs.conftest import plant, write_text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("given")
    write_text(place / "text.jsonl")
    return plant(place / "text.jsonl", place / "out", "--share", "0.4", "--hold-out", "10", "--doses", "4").out


def test_a_planted_batch_is_read_back_with_its_controls(folder):
    found = read_plant(folder)
    assert found.batch.is_dir()
    roles = found.controls()["role"].to_pylist()
    assert roles.count("held_out") == found.facts["held_out_rows"] == 10
    assert roles.count("planted") == sum(one["copies"] for one in found.facts["secrets"])


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: None,
        lambda facts: [facts],
        lambda facts: {**facts, "schema_version": 2},
        lambda facts: {**facts, "controls": {"file": "../../etc/passwd", "commitment": "0" * 64}},
        lambda facts: {**facts, "planted": {**facts["planted"], "folder": "/"}},
        lambda facts: {**facts, "controls": {**facts["controls"], "commitment": 7}},
        lambda facts: {**facts, "batch": {**facts["batch"], "sha256": "\x1b[31m"}},
        lambda facts: {key: value for key, value in facts.items() if key != "planted"},
    ],
)
def test_a_statement_that_plant_did_not_write_is_one_line(folder, tmp_path, change):
    facts = json.loads((folder / "plant.json").read_text())
    (tmp_path / "plant.json").write_text(json.dumps(change(facts)))
    with pytest.raises(AuditError, match="does not say what was planted") as caught:
        read_plant(tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("data", [b"", b"\xff\xfe{", b"[" * 100_000])
def test_a_statement_that_is_no_json_is_one_line(tmp_path, data):
    (tmp_path / "plant.json").write_bytes(data)
    with pytest.raises(AuditError, match="is not JSON"):
        read_plant(tmp_path)


def test_a_folder_without_a_statement_is_one_line(tmp_path):
    with pytest.raises(AuditError, match=r"plant\.json: No such file"):
        read_plant(tmp_path)


def test_controls_of_another_planting_are_refused(folder, tmp_path):
    write_text(tmp_path / "text.jsonl")
    other = plant(tmp_path / "text.jsonl", tmp_path / "out", "--share", "0.4", "--hold-out", "10", "--doses", "4").out
    (other / "controls.parquet").write_bytes((folder / "controls.parquet").read_bytes())
    with pytest.raises(AuditError, match="not the controls of this commitment"):
        read_plant(other).controls()
