"""The command that plants: what it refuses, in one line and with which code, and that nothing is left behind then."""

import json

import pytest

from tests.real_runs.conftest import write_text
from tests.support.audits import FRAGMENTS, sentences, snapshot, write_parquet


@pytest.fixture
def text(tmp_path):
    write_text(tmp_path / "text.jsonl")
    return tmp_path / "text.jsonl"


def error_of(ended):
    """The one line of the error, after lines of progress."""
    assert ended.out == ""
    *progress, line = ended.err.splitlines()
    assert all(one.startswith("· ") for one in progress)
    assert line.startswith("Error: ")
    assert line.isprintable()
    return line


def test_one_hundredth_without_room_says_how_many_tokens_are_missing_and_plants_nothing(carto, text, tmp_path):
    ended = carto("plant", text, "--out", tmp_path / "out")
    assert ended.code == 3
    line = error_of(ended)
    assert "1.0 % of" in line
    assert "and a proof takes 30: about" in line
    assert "tokens are missing; plant in a larger batch, or raise the share: --share 0." in line
    assert [path.name for path in tmp_path.iterdir()] == ["text.jsonl"]
    share = line.rpartition("--share ")[2]
    ended = carto("plant", text, "--out", tmp_path / "out", "--share", share, "--quiet")
    assert ended.code == 0
    assert ended.out == f"{tmp_path / 'out' / 'batch'}\n"
    facts = json.loads((tmp_path / "out" / "plant.json").read_text())
    assert sum(one["secrets"] for one in facts["secrets"] if one["dose"] == 4) >= 30
    assert facts["tokens"]["missing"] > 0


def test_a_folder_that_is_not_a_planted_batch_is_refused_and_one_that_is_replaced(carto, text, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    ended = carto("plant", text, "--out", tmp_path / "taken", "--share", "0.4")
    assert (ended.code, "exists and is not a planted batch" in error_of(ended)) == (2, True)
    assert carto("plant", text, "--out", tmp_path / "out", "--share", "0.4", "--hold-out", "10").code == 0
    assert carto("plant", text, "--out", tmp_path / "out", "--share", "0.4", "--hold-out", "20").code == 0
    assert json.loads((tmp_path / "out" / "plant.json").read_text())["held_out_rows"] == 20
    (tmp_path / "out" / "batch" / "mine.jsonl").write_text("{}")
    before = snapshot(tmp_path / "out")
    ended = carto("plant", text, "--out", tmp_path / "out", "--share", "0.4")
    assert (ended.code, "exists and is not a planted batch" in error_of(ended)) == (2, True)
    assert snapshot(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("batch", "out"), [(".", "."), (".", "out"), ("text.jsonl", "."), ("text.jsonl", "text.jsonl"), ("*", "out")]
)
def test_the_batch_and_the_folder_lie_apart(carto, text, tmp_path, batch, out):
    ended = carto("plant", tmp_path / batch, "--out", tmp_path / out, "--share", "0.4")
    assert ended.code == 2
    assert "choose another --out" in error_of(ended)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--share", "0"], "share"),
        (["--share", "nan"], "share"),
        (["--doses", "4,x"], "is no list of whole numbers"),
        (["--doses", "0"], "--doses 0: a whole number, from 1 to 256"),
        (["--doses", "9999"], "--doses 9999: a whole number, from 1 to 256"),
        (["--packing", "bfd"], "need a --tokenizer"),
        (["--max-length", "64"], "need a --tokenizer"),
        (["--hold-out", "399"], "more than half of the 400 rows"),
        (["--tokenizer", "nowhere\x1b[31m"], "no tokenizer in this checkpoint"),
        (["--text-column", "nope"], 'no column "nope"'),
        (["--layout", "chat"], "it has no columns of the layout chat"),
        (["--policy", "nope"], "nope"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error_of_one_line(carto, text, tmp_path, options, said):
    ended = carto("plant", text, "--out", tmp_path / "out", *options)
    assert ended.code == 2
    assert said in ended.err
    assert "\x1b" not in ended.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.jsonl", b"", 3),
        ("a.jsonl", b'{"text": "one row"}\n{"text": ', 3),
        ("a.parquet", b"PAR1 not one PAR1", 3),
        ("a.jsonl", b'{"text": "one row alone of this batch"}\n', 3),
        ("a.jsonl", b'{"text": "  "}\n' * 40, 3),
        ("a.zip", b"PK", 2),
    ],
    ids=["empty", "torn", "no table", "one row", "blank", "another format"],
)
def test_what_is_no_batch_is_one_line(carto, tmp_path, name, data, code):
    (tmp_path / name).write_bytes(data)
    ended = carto("plant", tmp_path / name, "--out", tmp_path / "out", "--share", "0.4")
    assert (ended.code, len(error_of(ended)) < 400) == (code, True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_batch_of_copies_lends_no_text_and_is_told_so(carto, tmp_path):
    write_parquet(tmp_path / "a.parquet", sentences(20) * 50)
    ended = carto("plant", tmp_path / "a.parquet", "--out", tmp_path / "out")
    assert ended.code == 3
    assert "too few rows share no passage with others" in error_of(ended)


def test_a_hostile_batch_is_planted_and_nothing_that_it_says_reaches_the_terminal(carto, tmp_path):
    texts = [f"{FRAGMENTS[k % len(FRAGMENTS)]} {text} {FRAGMENTS[k % 7]}" for k, text in enumerate(sentences(500))]
    name = "::error::{{ 7*7 }}[bold]=1+1\x1b[31m\u202e.jsonl"
    rows = [{"[red]\x1b[31m::error::": FRAGMENTS[k % 9], "text": text} for k, text in enumerate(texts)]
    (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = carto("plant", tmp_path / name, "--out", tmp_path / "out", "--share", "0.4", "--hold-out", "20")
    assert ended.code == 0
    assert not any(line.startswith(("::", "##[")) for line in (ended.out + ended.err).splitlines())
    assert not {"\x1b", "\u202e"} & set(ended.out + ended.err + (tmp_path / "out" / "plant.json").read_text())
    (planted,) = (tmp_path / "out" / "batch").iterdir()
    assert planted.name.isprintable()
    delivered = (tmp_path / name).read_bytes().splitlines()
    kept = [line for line in planted.read_bytes().splitlines() if line in set(delivered)]
    assert len(kept) > 400
