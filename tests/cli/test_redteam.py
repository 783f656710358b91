"""What `carto-audit redteam` refuses, each in one line with the way out, before anything is trained or overwritten."""

import pytest

from carto_audit.cartography.scores import SCORES
from tests.end_to_end.test_bad_input import DANGEROUS, assert_one_line, unfinished
from tests.support.audits import FRAGMENTS, GATE, snapshot, write_parquet
from tests.support.small_redteams import QUICK, write_batch


@pytest.fixture
def small(tmp_path):
    """A batch of real text that is too small to divide."""
    return write_batch(tmp_path / "in" / "batch.parquet", rows=30)


def test_a_batch_too_small_to_divide_ends_with_2_and_leaves_no_result(carto, small, tmp_path):
    before = snapshot(small.parent)
    ended = carto("redteam", small, "--out", tmp_path / "out", *QUICK)
    assert_one_line(ended, 2, "too little text to divide", "tokens", "held-out samples")
    assert not list((tmp_path / "out").glob("redteam.*"))
    assert [name for name in unfinished(tmp_path) if name.endswith(".tmp")] == []
    assert snapshot(small.parent) == before


def test_a_single_row_ends_with_2(carto, tmp_path):
    path = write_parquet(tmp_path / "one.parquet", ["one row of text that is all there is"])
    assert_one_line(carto("redteam", path, "--out", tmp_path / "out", "--quick"), 2, "too little text to divide")


def test_rows_that_are_all_copies_of_one_cannot_be_divided(carto, tmp_path):
    path = write_parquet(tmp_path / "same.parquet", ["the same words again and again in every row of it"] * 3000)
    assert_one_line(carto("redteam", path, "--out", tmp_path / "out", "--quick"), 2, "too little text to divide")


def test_a_batch_without_text_ends_with_3(carto, tmp_path):
    path = write_parquet(tmp_path / "none.parquet", [None, "", " "])
    assert_one_line(carto("redteam", path, "--out", tmp_path / "out", "--quick"), 3, "no usable text")


@pytest.mark.parametrize("name", ["memorised", "\x1b[31m::error::", "weight"])
def test_a_score_that_ranks_nothing_ends_with_2_and_names_those_that_do(carto, small, tmp_path, name):
    ended = carto("redteam", small, "--score", name, "--out", tmp_path / "out")
    assert_one_line(ended, 2, "no such score", *SCORES)
    assert not set(ended.err) & DANGEROUS
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ("--level", "1"),
        ("--level", "0"),
        ("--level", "5 %"),
        ("--level", "nan"),
        ("--seeds", "0"),
        ("--epochs", "1"),
        ("--max-perplexity-increase", "-0.1"),
        ("--proxy", "no-such-folder"),
        ("--policy", "no-such-policy"),
    ],
    ids=" ".join,
)
def test_a_setting_that_means_nothing_ends_with_2(carto, small, tmp_path, flags):
    ended = carto("redteam", small, "--out", tmp_path / "out", *flags)
    assert ended.code == 2, ended.err
    assert ended.err.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in ended.err
    assert not list(tmp_path.glob("out/redteam.*"))


@pytest.mark.parametrize("given", ["folder", "files"])
def test_the_folder_of_the_batch_is_no_place_for_the_result(carto, small, given):
    write_batch(small.with_name("more.parquet"), rows=5)
    before = snapshot(small.parent)
    if given == "folder":
        assert_one_line(carto("redteam", small.parent, "--out", small.parent), 2, "choose another --out")
        assert [path.name for path in small.parent.iterdir() if path.is_dir()] == []
    else:
        carto("redteam", small, "--out", small.parent, "--quick")  # beside the batch, which is not written over
    assert {path: after for path, after in snapshot(small.parent).items() if path in before} == before


@pytest.mark.parametrize("place", ["second", "second/below"])
def test_no_folder_of_the_batch_holds_the_result(carto, small, tmp_path, place):
    """`redteam.json` would be read as a shard of the batch the next time."""
    write_batch(tmp_path / "second" / "more.parquet", rows=5)
    before = snapshot(tmp_path)
    ended = carto("redteam", small, tmp_path / "second", "--out", tmp_path / place, *QUICK)
    assert_one_line(ended, 2, "the batch lies there", "choose another --out")
    assert snapshot(tmp_path) == before


def test_a_result_without_a_place_is_named_after_the_batch_as_an_audit_is(carto, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    carto("redteam", f"{small.parent}/*.parquet", *QUICK)
    assert [path.name for path in tmp_path.glob("*-redteam")] == ["in-redteam"]


@pytest.mark.parametrize("name", ["redteam.json", "redteam.html"])
def test_a_batch_with_the_name_of_a_result_is_never_written_over(carto, small, tmp_path, name):
    path = tmp_path / "out" / name
    path.parent.mkdir()
    path.write_bytes(small.read_bytes())
    assert carto("redteam", path, "--out", tmp_path / "out", "--quick").code == 2
    assert path.read_bytes() == small.read_bytes()


@pytest.mark.parametrize("out", ["in/batch.parquet", "in/batch.parquet/below", "/proc/nowhere"])
def test_a_result_that_cannot_be_written_ends_with_3_before_the_batch_is_read(carto, small, tmp_path, out):
    before = snapshot(tmp_path)
    ended = carto("redteam", small, "--out", tmp_path / out)
    assert_one_line(ended, 3, "cannot be written", "choose another --out")
    assert "Reading" not in ended.err
    assert snapshot(tmp_path) == before


def test_a_work_folder_that_is_a_link_is_not_followed(carto, small, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".redteam-work").symlink_to(tmp_path / "elsewhere")
    assert_one_line(carto("redteam", small, "--out", tmp_path / "out", *QUICK), 3, "is a link", "choose another --out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_policy_that_needs_a_trusted_text_is_refused_before_the_batch_is_read(carto, small, tmp_path):
    policy = tmp_path / "trusting.yaml"
    policy.write_text(GATE.replace("{percentile: 10}", "{reference_percentile: 95}"))
    ended = carto("redteam", small, "--policy", policy, "--out", tmp_path / "out")
    assert_one_line(ended, 2, "reference_percentile", "no trusted text")
    assert "Reading" not in ended.err


@pytest.mark.parametrize("fragment", FRAGMENTS[:1] + FRAGMENTS[5:], ids=range(len(FRAGMENTS) - 4))
def test_a_hostile_name_stays_a_name(carto, tmp_path, fragment):
    name = fragment.replace("/", "|").replace("\0", "")
    missing = carto("redteam", tmp_path / f"{name}.parquet", "--out", tmp_path / "out")
    assert missing.code in (2, 3)
    here = write_batch(tmp_path / f"{name} here.parquet", rows=5)
    ended = carto("redteam", here, "--out", tmp_path / f"{name} out", "--quick")
    assert_one_line(ended, 2, "too little text")
    blocked = carto("redteam", here, "--out", here)
    assert_one_line(blocked, 3, "choose another --out")
    for said in (missing, ended, blocked):
        assert not set(said.err) & DANGEROUS
        assert not any(line.startswith(("::", "##[")) for line in said.err.splitlines())
