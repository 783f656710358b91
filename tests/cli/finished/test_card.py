import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard

from carto_audit.publishing.public_report import FOLDER
from carto_audit.publishing.readme_section import BEGIN, END
from tests.support.audits import MAIN, snapshot
from tests.support.fake_hub import environment, fake_hub
from tests.support.finished import write_finished

OWN = b"\xef\xbb\xbf---\r\nlicense: mit # ours\r\ntags: [x,   y]\r\n---\r\n\r\n# Pears\r\n\r\nAll of them"
ASSETS = {"report.json", "report.html", "map.png", "map.svg", "verdict.json", "verdict.intoto.json"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return write_finished(tmp_path_factory.mktemp("finished") / "vendor_batch-audit")


def test_a_readme_gets_the_card_and_keeps_its_bytes(carto, finished, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_bytes(OWN)
    before = snapshot(finished)
    ended = carto("card", finished, "--readme", readme)
    assert (ended.code, ended.err) == (0, "")
    made = readme.read_bytes()
    head, tail = OWN.split(b"---\r\n\r\n")
    assert made.startswith(head + b'carto_audit:\r\n  schema_version: 1\r\n  verdict: "rejected"\r\n')
    assert f"---\r\n\r\n{tail.decode()}\r\n\r\n{BEGIN}\r\n".encode() in made
    assert made.endswith(END.encode())
    assert b"\n" not in made.replace(b"\r\n", b"")
    card = DatasetCard.load(readme)
    assert card.data.license == "mit"
    assert card.data.to_dict()["carto_audit"]["batch_sha256"] == "3b" * 32
    assert {path.name for path in (tmp_path / FOLDER).iterdir()} == ASSETS
    assert snapshot(finished) == before
    carto("card", finished, "--readme", readme)
    assert readme.read_bytes() == made


def test_a_missing_readme_is_made(carto, finished, tmp_path):
    ended = carto("card", finished, "--readme", tmp_path / "README.md")
    assert ended.code == 0
    assert ended.out.splitlines() == [f"Files: {tmp_path / FOLDER}", f"Card: {tmp_path / 'README.md'}"]
    assert (tmp_path / "README.md").read_text().startswith("---\ncarto_audit:\n")
    for name in ("map.png", "report.html", "report.json", "verdict.json", "verdict.intoto.json"):
        assert f"]({FOLDER}/{name})" in (tmp_path / "README.md").read_text()
        assert (tmp_path / FOLDER / name).is_file()


ROWS = """
import sys, datasets
datasets.disable_progress_bars()
found = datasets.load_dataset(sys.argv[1])
print({name: list(split["text"]) for name, split in found.items()})
"""


@pytest.mark.parametrize("place", ["data/train-00000-of-00001.parquet", "pears.parquet"])
def test_load_dataset_of_the_folder_still_yields_the_same_rows(carto, finished, tmp_path, place):
    pytest.importorskip("datasets")
    folder = tmp_path / "set"
    (folder / place).parent.mkdir(parents=True)
    pq.write_table(pa.table({"text": ["pear", "crate"]}), folder / place)

    def rows(cache):
        variables = {"PATH": "", **environment("http://127.0.0.1:9", tmp_path / cache), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", ROWS, str(folder)], env=variables, capture_output=True, encoding="utf-8"
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    before = rows("before")
    assert before == "{'train': ['pear', 'crate']}\n"
    assert carto("card", finished, "--readme", folder / "README.md").code == 0
    assert rows("after") == before


def test_a_croissant_file_is_named_by_the_folder_of_the_readme(carto, finished, tmp_path):
    folder = tmp_path / "pears-2026"
    folder.mkdir()
    ended = carto("card", finished, "--readme", folder / "README.md", "--croissant", folder / "croissant.json")
    assert ended.code == 0
    assert json.loads((folder / "croissant.json").read_text())["name"] == "pears-2026"


MISTAKES = {
    "markers": (f"{BEGIN}\n{BEGIN}\n{END}\n".encode(), "README.md: broken markers in lines 1, 2, 3; leave one"),
    "front matter": (b"---\na: [\n---\n", "README.md: the front matter is no valid YAML"),
    "encoding": (b"caf\xe9", "README.md: not UTF-8 at byte 3; save it as UTF-8 first"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_readme_that_cannot_take_the_card_stays_as_it_is_and_nothing_is_written(carto, finished, tmp_path, name):
    content, words = MISTAKES[name]
    readme = tmp_path / "README.md"
    readme.write_bytes(content)
    ended = carto("card", finished, "--readme", readme, "--croissant", tmp_path / "croissant.json")
    assert ended.code == 2
    assert words in ended.err
    assert len(ended.err.splitlines()) == 1
    assert readme.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_wrong_call_is_one_clear_line(carto, finished, tmp_path):
    readme = tmp_path / "README.md"
    nothing = carto("card", finished)
    nowhere = carto("card", finished, "--readme", tmp_path / "no" / "README.md")
    twice = carto("card", finished, "--readme", readme, "--croissant", readme)
    taken = carto("card", finished, "--readme", readme, "--croissant", tmp_path / FOLDER / "report.json")
    unnamed = carto("card", finished, "--push-to", "pears")
    empty = carto("card", tmp_path, "--readme", readme)
    (tmp_path / "c.json").write_text("[]")
    list_ = carto("card", finished, "--readme", readme, "--croissant", tmp_path / "c.json")
    calls = (nothing, nowhere, twice, taken, unnamed, empty, list_)
    assert [call.code for call in calls] == [2, 2, 2, 2, 2, 3, 2]
    assert all(len(call.err.splitlines()) == 1 for call in calls)
    assert "name --readme FILE, --croissant FILE or --push-to ORG/NAME" in nothing.err
    assert "no such folder; make it first" in nowhere.err
    assert "the card writes this file itself" in twice.err + taken.err
    assert not readme.exists()


@pytest.mark.enable_socket
def test_a_pull_request_carries_the_card_and_its_files_and_no_row_of_data(finished, tmp_path):
    commits = []
    with fake_hub({"our-org/pears": {"README.md": OWN, "data.parquet": b"PAR1"}}, commits) as (address, _):
        done = subprocess.run(
            [sys.executable, "-c", MAIN, "card", str(finished), "--push-to", "our-org/pears"],
            env={"PATH": "", "PYTHONPATH": ":".join(sys.path), **environment(address, tmp_path / "home")},
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Pull request: {address}/datasets/our-org/pears/discussions/7\n"
    (commit,) = commits
    assert set(commit["files"]) == {"README.md", *(f"{FOLDER}/{name}" for name in ASSETS)}
    made = commit["files"]["README.md"]
    assert made.startswith(OWN.split(b"---\r\n\r\n")[0] + b"carto_audit:\r\n")
    assert made.endswith(END.encode())
    assert not (tmp_path / "README.md").exists()


def test_what_the_card_publishes_can_be_verified_against_the_batch(carto, audited, tmp_path):
    assert carto("card", audited.folder, "--readme", tmp_path / "README.md").code == 0
    ended = carto("verify", tmp_path / FOLDER, audited.input)
    assert ended.code == 0, ended.out + ended.err
    assert "the statement does not cover scores.parquet, trace.parquet, matches.parquet" in ended.out
    (tmp_path / FOLDER / "map.svg").write_text("another picture")
    assert carto("verify", tmp_path / FOLDER, audited.input).code == 1


@pytest.mark.parametrize("linked", ["README.md", "croissant.json", FOLDER])
def test_the_card_writes_through_no_link(carto, finished, tmp_path, linked):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("another's")
    here = tmp_path / "here"
    here.mkdir()
    (here / linked).symlink_to(outside if linked == FOLDER else outside / "file")
    ended = carto("card", finished, "--readme", here / "README.md", "--croissant", here / "croissant.json")
    assert ended.code == 2
    assert "is a link, and nothing is written through one" in ended.err
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "another's"
    assert [path.name for path in here.iterdir()] == [linked]


def test_the_card_takes_the_place_of_no_file_of_the_audit(carto, finished, tmp_path):
    before = snapshot(finished)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for option, path in (("--readme", finished / "report.json"), ("--croissant", finished / "map.svg")):
        ended = carto("card", finished, option, path)
        assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert carto("card", finished, "--readme", tmp_path / "loop").code == 2
    assert snapshot(finished) == before
