"""What a vendor ships: figures, no text, a root; the same bytes for the same salt, and nothing that tells of a row without it."""

import json
import re
import shutil
import stat

import numpy as np
import pyarrow.parquet as pq
import pytest

from carto_audit.data.batch import read_batch
from carto_audit.runtime.files import read_table
from carto_audit.vendors import merkle
from carto_audit.vendors.rows import SCHEMA, leaf_digests, row_digests
from tests.support.audits import write_parquet
from tests.vendors.conftest import texts_of_june


@pytest.fixture
def home(pair, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(pair.home, tmp_path / "home")


def statement_of(folder):
    return json.loads((folder / "summary.intoto.json").read_text())["predicate"]


def summarize(carto, home, *more, audit="june-audit", out="again"):
    return carto("summarize", home / audit, home / "june.parquet", "--out", home / out, *more)


def test_a_row_per_row_with_the_audits_figures_and_no_text(pair):
    table = read_table(pair.summary / "summary.parquet")
    scores = read_table(pair.theirs / "scores.parquet")
    assert table.schema.equals(SCHEMA)
    assert table["row"].to_pylist() == list(range(len(texts_of_june())))
    trained = table["trained"].to_numpy(zero_copy_only=False)
    for name in ("difficulty", "memorization", "loss_in", "loss_out", "copies"):
        ours = scores[name].to_numpy(zero_copy_only=False)
        assert np.array_equal(table[name].to_numpy(zero_copy_only=False)[trained], ours[trained])
    flagged = table.filter(table["flagged"])["quadrant"].to_pylist()
    assert set(flagged) <= {"hotspot_memorized", "noisy_outlier"}
    everything = b"".join(path.read_bytes() for path in pair.summary.iterdir())
    said = [" ".join(text.split()[:2]).encode() for text in texts_of_june()]
    assert not [words for words in said if words in everything]


def test_the_statement_says_the_recipe_the_counts_and_the_root(pair):
    said = statement_of(pair.summary)
    report = json.loads((pair.theirs / "report.json").read_text())
    table = read_table(pair.summary / "summary.parquet")
    assert said["rows"]["root"] == merkle.root_of(merkle.levels_of(leaf_digests(table))).hex()
    assert said["batch"]["sha256"] == report["batch"]["sha256"]
    recipe = said["recipe"]
    assert (recipe["epochs"], recipe["folds"], recipe["seed"], recipe["policy"]) == (8, 2, 7, "default")
    assert recipe["sampling_key"] is None
    assert recipe["policy_sha256"] == report["policy"]["sha256"]
    assert said["detection"] == {n: v for n, v in report["metrics"].items() if n.startswith("detection.")}
    quadrants = report["map"]["quadrants"]
    for key in ("rows", "tokens"):
        both = quadrants["hotspot_memorized"][key] + quadrants["noisy_outlier"][key]
        assert said["masses"]["memorized"][key] == both
        assert said["masses"]["hotspot_memorized"][key] == quadrants["hotspot_memorized"][key]
    assert said["masses"]["memorized"]["token_share"] == pytest.approx(report["metrics"]["memorized.token_share"])


def test_the_same_salt_gives_the_same_bytes_and_another_one_another_root(home, carto):
    again = summarize(carto, home, "--salt", home / "june-summary.salt", "--key", home / "vendor.key")
    assert again.code == 0, again.err
    for path in (home / "june-summary").iterdir():
        assert (home / "again" / path.name).read_bytes() == path.read_bytes()
    assert summarize(carto, home, out="salted").code == 0
    assert statement_of(home / "salted")["rows"]["root"] != statement_of(home / "june-summary")["rows"]["root"]


def test_the_salt_lies_beside_the_summary_for_its_owner_alone(home, carto):
    ended = summarize(carto, home)
    salt = home / "again.salt"
    assert ended.code == 0
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600
    assert len(salt.read_bytes()) == 32
    assert str(salt) in ended.out
    inside = summarize(carto, home, "--salt", home / "more" / "salt", out="more")
    assert inside.code == 2
    assert "the salt would lie in the summary" in inside.err
    everything = b"".join(path.read_bytes() for path in (home / "again").iterdir())
    assert salt.read_bytes() not in everything
    assert salt.read_bytes().hex().encode() not in everything


def test_rows_that_say_the_same_have_digests_that_differ_and_so_has_one_row_under_two_salts(tmp_path):
    batch = read_batch([write_parquet(tmp_path / "b.parquet", ["the same", "the same", None, " "])])
    first, second = (row_digests(batch, bytes([k]) * 32) for k in range(2))
    assert len({*first, *second}) == 8


def test_what_a_row_says_beside_its_text_is_committed_to(tmp_path):
    batches = [
        read_batch([write_parquet(tmp_path / name / "b.parquet", ["one text", "two texts"], label=["a", label])])
        for name, label in (("x", "b"), ("y", "c"))
    ]
    first, second = (row_digests(batch, bytes(32)) for batch in batches)
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_a_key_that_drew_the_rows_is_disclosed_and_without_it_one_line_says_the_way_out(home, carto):
    keyed = {"audit": "june-checked"}
    ended = summarize(carto, home, **keyed)
    assert ended.code == 2
    assert "audit again with --sampling-key FILE, or --seed N, then summarize" in ended.err
    (home / "other.key").write_bytes(bytes(32))
    ended = summarize(carto, home, "--sampling-key", home / "other.key", **keyed)
    assert ended.code == 2
    assert "not the key of this audit" in ended.err
    ended = summarize(carto, home, "--sampling-key", home / "other.key")
    assert ended.code == 2
    assert "drew its rows by its seed alone" in ended.err
    assert not (home / "again").exists()
    assert summarize(carto, home, "--sampling-key", home / "buyer.key", **keyed).code == 0
    disclosed = statement_of(home / "again")["recipe"]["sampling_key"]
    assert bytes.fromhex(disclosed) == (home / "buyer.key").read_bytes()


def test_an_audit_that_was_changed_or_is_of_another_batch_is_not_summarized(home, carto):
    other = write_parquet(home / "other.parquet", texts_of_june()[1:])
    ended = carto("summarize", home / "june-audit", other, "--out", home / "again")
    assert ended.code == 3
    assert re.search(r"cannot be summarized: \S*other\.parquet: changed", ended.err)
    scores = home / "june-audit" / "scores.parquet"
    pq.write_table(read_table(scores).slice(1), scores)
    ended = summarize(carto, home)
    assert ended.code == 3
    assert "cannot be summarized: scores.parquet: changed" in ended.err
    assert not (home / "again").exists()


def test_a_folder_with_other_files_is_left_alone(home, carto):
    (home / "again").mkdir()
    (home / "again" / "notes.txt").write_text("mine")
    ended = summarize(carto, home)
    assert ended.code == 2
    assert "holds other files" in ended.err
    assert [path.name for path in (home / "again").iterdir()] == ["notes.txt"]
