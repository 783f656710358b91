"""Planting, end to end on real batches of several formats and layouts: what stays, is added, is taken out, and is told."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import carto_audit
from carto_audit.controls.run_choices import DOSES
from carto_audit.data.batch import iter_texts, read_batch, read_texts
from carto_audit.data.readers import read_records, read_schema
from carto_audit.real_runs.options import PlantOptions
from carto_audit.real_runs.plant import plant_batch
from carto_audit.runtime.errors import AuditError
from tests.real_runs.conftest import (
    LEARNED,
    SAID,
    plant,
    write_prompts,
    write_questions,
    write_text,
)
from tests.support.audits import sentences, snapshot


def rows_of(path):
    if path.suffix == ".jsonl":
        return path.read_bytes().splitlines(keepends=True)
    return [repr(row) for batch in read_records(path, read_schema(path)) for row in batch.to_pylist()]


def test_rows_that_stay_are_as_they_were_delivered_and_in_order(planted):
    """Byte for byte where they are lines."""
    delivered = rows_of(planted.path)
    gone = {row["row"] for role in ("held_out", "lent") for row in planted.role(role)}
    new = {row["row"] for row in planted.role("planted")}
    found = rows_of(planted.out / "batch" / planted.path.name)
    assert len(gone) == planted.facts["held_out_rows"] + planted.facts["lent_rows"]
    assert len(found) == len(delivered) - len(gone) + len(new) == planted.facts["planted"]["rows"]
    assert [row for k, row in enumerate(found) if k not in new] == [
        row for k, row in enumerate(delivered) if k not in gone
    ]


def test_the_planted_batch_is_read_like_the_delivered_one_and_controls_stand_where_they_should(planted):
    delivered, batch = read_batch([planted.path]), read_batch([planted.out / "batch"])
    assert batch.layout == delivered.layout
    assert batch.sha256 == planted.facts["planted"]["sha256"]
    assert delivered.sha256 == planted.facts["batch"]["sha256"]
    rows = planted.role("planted")
    where = [int(np.searchsorted(batch.row, row["row"])) for row in rows]
    texts = read_texts(batch, where)
    assert [texts[sample] for sample in where] == [row["text"] for row in rows]
    kept = read_texts(delivered, range(len(delivered)))
    assert all(kept[row["row"]] == row["text"] for role in ("held_out", "lent") for row in planted.role(role))


def test_every_secret_is_planted_as_often_as_its_dose_in_what_trainers_learn(planted):
    by_secret = {}
    for row in planted.role("planted"):
        secret = row["text"][row["secret_start"] : row["secret_end"]]
        learned = json.dumps(json.loads(row["values"])[LEARNED[planted.path.name]], ensure_ascii=False)
        assert (
            secret in json.loads(f"[{learned}]")[0]
            if isinstance(json.loads(learned), str)
            else secret in learned.replace('\\"', '"')
        )
        by_secret.setdefault(row["secret"], []).append((secret, row))
    for copies in by_secret.values():
        assert {row["dose"] for _, row in copies} == {len(copies)}
        assert len({secret for secret, row in copies if not row["edited"]}) == 1
    assert {len(copies) for copies in by_secret.values()} >= {4}
    assert set(planted.facts["doses"]) == set(DOSES)
    told = sum(one["copies"] for one in planted.facts["secrets"])
    assert told == len(planted.role("planted")) == sum(file["planted_rows"] for file in planted.facts["files"])
    assert planted.facts["tokens"]["share"] <= 0.45


def test_twins_and_rows_held_out_do_not_occur_in_the_planted_batch(planted):
    texts = "\n".join(text for chunk in iter_texts(read_batch([planted.out / "batch"])) for text in chunk.texts)
    twins = planted.role("twin")
    assert len(twins) == planted.facts["twins"] > 200
    assert {row["kind"] for row in twins} >= {row["kind"] for row in planted.role("planted")}
    assert not [row for row in twins if row["text"][row["secret_start"] : row["secret_end"]] in texts]
    assert len(planted.role("held_out")) == 30
    assert not [row for row in planted.role("held_out") if row["text"] in texts]
    assert not [row for row in planted.role("lent") if row["text"] in texts]


def test_controls_lie_anywhere_in_the_batch(planted):
    places = np.array([row["row"] for row in planted.role("planted")]) / planted.facts["planted"]["rows"]
    assert np.histogram(places, bins=4, range=(0, 1))[0].min() > len(places) / 8


def test_what_is_secret_is_only_the_auditors_and_the_statement_quotes_none_of_it(planted):
    assert {path.name for path in planted.out.iterdir()} == {"batch", "controls.parquet", "plant.json", "trace.key"}
    assert all((planted.out / name).stat().st_mode & 0o777 == 0o600 for name in ("controls.parquet", "trace.key"))
    assert len((planted.out / "trace.key").read_bytes()) == 32
    statement = (planted.out / "plant.json").read_text()
    assert not any(row["text"][row["secret_start"] : row["secret_end"]] in statement for row in planted.role("planted"))
    assert not any(text[:30] in statement for text in SAID)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A folder of three files of one layout in three formats, and two folders in which their names are the same."""
    folder = tmp_path_factory.mktemp("shards") / "given"
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
    texts = sentences(450, seed=9)
    lines = [json.dumps({"doc": f"d-{k}", "text": text}) for k, text in enumerate(texts[:150])]
    (folder / "one" / "part.jsonl").write_text("\n".join(lines))
    (folder / "two" / "part.csv").write_text(
        "doc,text\n" + "".join(f"d-{k},{t}\n" for k, t in enumerate(texts[150:300]))
    )
    table = {"doc": [f"d-{k}" for k in range(150)], "text": texts[300:]}
    (folder / "two" / "part.json").write_text(
        json.dumps([{"doc": d, "text": t} for d, t in zip(*table.values(), strict=True)])
    )
    return plant(folder, folder.parent / "planted", "--share", "0.4", "--hold-out", "10", "--doses", "4", "--seed", "2")


def test_controls_are_spread_over_all_files_each_in_its_format_or_as_told(shards):
    before = snapshot(shards.path)
    files = {file["delivered"]: file for file in shards.facts["files"]}
    assert {name: file["file"] for name, file in files.items()} == {
        "one/part.jsonl": "one/part.jsonl",
        "two/part.csv": "two/part.csv",
        "two/part.json": "two/part.parquet",
    }
    assert [file["converted"] for file in files.values()] == [False, False, True]
    assert [file["byte_for_byte"] for file in files.values()] == [True, True, False]
    assert all(file["planted_rows"] > 10 for file in files.values())
    assert {row["file"] for row in shards.role("planted")} == {file["file"] for file in files.values()}
    assert all(row["doc"].startswith("d-") for row in pq.read_table(shards.out / "batch/two/part.parquet").to_pylist())
    assert snapshot(shards.path) == before


def test_the_same_seed_plants_the_same_and_no_seed_never_does(tmp_path):
    write_text(tmp_path / "text.jsonl")
    how = ("--share", "0.4", "--hold-out", "10", "--doses", "4")
    one, two = (plant(tmp_path / "text.jsonl", tmp_path / name, *how, "--seed", "3") for name in ("one", "two"))
    other = plant(tmp_path / "text.jsonl", tmp_path / "two", *how)  # in the place of its own folder
    assert one.controls == two.controls
    assert one.facts["planted"] == two.facts["planted"]
    assert one.facts["controls"]["commitment"] != two.facts["controls"]["commitment"]
    secrets = {row["text"] for row in other.role("planted") if row["kind"] == "hex"}
    assert not secrets & {row["text"] for row in one.role("planted")}


def test_the_library_plants_and_gives_the_controls_to_who_holds_them(tmp_path):
    write_prompts(tmp_path / "p.parquet")
    options = PlantOptions(share=0.4, hold_out=0, doses=(), seed=4)
    found = carto_audit.plant(tmp_path / "p.parquet", out=tmp_path / "out", options=options)
    assert found.batch == tmp_path / "out" / "batch"
    roles = found.controls()["role"].to_pylist()
    assert roles.count("held_out") == 0 < roles.count("planted")
    assert {one["dose"] for one in found.facts["secrets"]} == {4}
    (tmp_path / "out" / "controls.parquet").write_bytes(b"")
    with pytest.raises(AuditError, match="not the controls of this commitment"):
        found.controls()


def test_answers_of_a_word_lend_no_passage_and_their_questions_do(tmp_path):
    rows = [{"question": text, "answer": f"it is {k}"} for k, text in enumerate(sentences(400, seed=12))]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = plant(
        tmp_path / "a.jsonl", tmp_path / "out", "--share", "0.5", "--hold-out", "10", "--doses", "4", "--seed", "5"
    )
    assert {row["kind"] for row in found.role("planted")} >= {"natural", "rare_suffix"}
    assert {row["form"] for row in found.role("planted")} == {"alone", "embedded"}
    lent = " ".join(row["text"] for row in found.role("lent"))
    passages = [row for row in found.role("planted") if row["kind"] == "natural" and not row["edited"]]
    assert all(row["text"][row["secret_start"] : row["secret_end"]] in lent for row in passages)
    planted = " ".join(row["text"] for row in found.role("planted"))
    assert not any(row["text"][row["secret_start"] : row["secret_end"]] in planted for row in found.role("twin"))


def test_rows_that_share_their_passages_are_neither_held_out_nor_lent(tmp_path):
    texts = sentences(300, seed=11)
    rows = [*texts, *(f"{texts[k]} And once more." for k in range(0, 300, 2))]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
    found = plant(tmp_path / "a.jsonl", tmp_path / "out", "--share", "0.4", "--hold-out", "40", "--seed", "5")
    taken = [row["row"] for role in ("held_out", "lent") for row in found.role(role)]
    assert len(found.role("held_out")) == 40
    assert found.role("lent")
    assert all(row % 2 == 1 and row < 300 for row in taken)


def test_a_batch_in_which_nothing_can_be_planted_leaves_no_folder(tmp_path, monkeypatch):
    write_text(tmp_path / "text.jsonl")
    monkeypatch.setattr(
        "carto_audit.real_runs.plant.write_sealed", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
    )
    with pytest.raises(AuditError, match="cannot write: No space left"):
        plant_batch(
            [tmp_path / "text.jsonl"],
            tmp_path / "out",
            policy=carto_audit.load_policy("default"),
            options=PlantOptions(share=0.4, hold_out=10, doses=()),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["text.jsonl"]


def test_the_planted_batch_can_be_planted_again(tmp_path):
    """Its controls are rows like any other."""
    write_questions(tmp_path / "q.csv")
    first = plant(
        tmp_path / "q.csv", tmp_path / "one", "--share", "0.3", "--doses", "4", "--hold-out", "5", "--seed", "6"
    )
    second = plant(
        first.out / "batch", tmp_path / "two", "--share", "0.3", "--doses", "4", "--hold-out", "5", "--seed", "7"
    )
    assert second.facts["batch"]["sha256"] == first.facts["planted"]["sha256"]
