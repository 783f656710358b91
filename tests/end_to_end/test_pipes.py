"""Named pipes in the place of files: no command waits for one, each says in one line what it is."""

import os
import shutil
import signal

import pytest

from tests.support.finished import write_finished


@pytest.fixture
def pipe(tmp_path):
    """A pipe that nobody writes to; who opens it to read waits until the alarm."""
    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    before = signal.signal(signal.SIGALRM, lambda number, frame: pytest.fail("waited for a pipe"))
    signal.alarm(900)
    yield path
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def batch(tmp_path):
    path = tmp_path / "batch.jsonl"
    path.write_text('{"text": "words of one row"}\n')
    return path


@pytest.mark.parametrize(
    "option", ["--policy", "--benchmark", "--registry", "--baseline", "--redteam", "--sampling-key"]
)
def test_a_pipe_behind_an_option_of_ingest_is_one_line(carto, pipe, batch, tmp_path, option):
    ended = carto("ingest", batch, option, pipe, "--out", tmp_path / "out")
    assert ended.code in (2, 3)
    assert ended.err.splitlines()[-1].startswith("Error: ")


def test_a_pipe_for_a_batch_is_one_line(carto, pipe, tmp_path):
    assert carto("ingest", pipe, "--out", tmp_path / "out").code == 2
    assert carto("policy", "check", pipe).code == 2


@pytest.mark.parametrize(
    "name", ["report.json", "verdict.json", "verdict.intoto.json", "scores.parquet", "map.svg", "map.png"]
)
def test_a_pipe_in_the_folder_of_an_audit_is_one_line(carto, pipe, batch, tmp_path, name):
    folder = write_finished(tmp_path / "audit")
    (folder / name).unlink(missing_ok=True)
    shutil.move(pipe, folder / name)
    for arguments in (
        ("report", folder),
        ("verify", folder, batch),
        ("apply", folder, batch, "--out", tmp_path / "out"),
        ("card", folder, "--readme", tmp_path / "README.md"),
    ):
        ended = carto(*arguments)
        assert ended.code in (0, 1, 2, 3)
        assert "Internal error" not in ended.err


def test_a_pipe_for_a_batch_that_is_verified_or_applied_is_one_line(carto, pipe, tmp_path):
    folder = write_finished(tmp_path / "audit")
    assert carto("verify", folder, pipe).code in (2, 3)
    assert carto("apply", folder, pipe, "--out", tmp_path / "out").code in (2, 3)
