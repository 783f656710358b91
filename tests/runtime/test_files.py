import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from carto_audit.runtime import files
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import atomic_folder, atomic_path, file_sha256, write_bytes, write_json, write_text
from tests.support.repository import ROOT

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk without room")


def test_a_written_file_is_whole_and_alone(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "grüße\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "grüße\n".encode()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.txt"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(failure), atomic_path(path) as temporary:
        temporary.write_text("ha")
        raise failure
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@needs_dev_full
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.bin"
    path.with_name(f".a.bin.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(AuditError, match=r"a\.bin: cannot write: No space left on device"):
        write_bytes(path, b"x" * 100_000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["file/below", "/proc/nowhere"])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, folder):
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match="cannot write") as caught:
        write_text(tmp_path / folder / "a.txt", "x")
    assert "\n" not in str(caught.value)


def test_a_hostile_name_is_harmless_in_the_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError) as caught:
        write_text(tmp_path / "file" / "\x1b[31m\u202e\n::error::x", "x")
    assert not set("\x1b\u202e\n") & set(str(caught.value))


def test_equal_values_give_equal_json_bytes(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": ["ü", None, 0.1]})
    write_json(tmp_path / "b.json", {"a": ["ü", None, 0.1], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"a": ["ü", None, 0.1], "b": 1}


def test_not_a_number_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 1_000_000)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


WRITE_FOLDER = """
import os, sys
from pathlib import Path
from carto_audit.runtime.files import atomic_folder

steps = -1

def killed(event, arguments):
    global steps
    if steps >= 0 and event.partition(".")[0] in ("open", "os", "shutil", "ctypes"):
        steps += 1
        if steps == int(sys.argv[2]):
            os.kill(os.getpid(), 9)

sys.addaudithook(killed)
steps = 0
with atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "a.txt").write_text("new")
    (folder / "b.txt").write_text("new")
steps = -1
print("ended")
"""


def holds(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_whenever_it_is_killed_the_old_folder_or_the_new_one_stands_and_the_next_run_leaves_nothing_else(tmp_path):
    """Killed before each step in turn that Python tells its audit hooks."""
    place = tmp_path / "out"
    ends = []
    for step in range(1, 200):
        with atomic_folder(place) as folder:
            (folder / "old.txt").write_text("old")
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        ended = subprocess.run(
            [sys.executable, "-c", WRITE_FOLDER, place, str(step)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
        )
        assert holds(place) in ({"old.txt": "old"}, {"a.txt": "new", "b.txt": "new"})
        ends.append("old" if (place / "old.txt").exists() else "new")
        if ended.stdout == b"ended\n":
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert ends[-1] == "new"
    assert ends == sorted(ends, reverse=True)
    assert len(ends) > 10


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path, failure):
    for content in ("old", "new"):
        with atomic_folder(tmp_path / "out") as folder:
            (folder / "a.txt").write_text(content)
    with pytest.raises(failure), atomic_folder(tmp_path / "out") as folder:
        (folder / "a.txt").write_text("half")
        raise failure
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert holds(tmp_path / "out") == {"a.txt": "new"}


def test_where_names_cannot_be_swapped_what_was_moved_away_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_swapped", lambda one, other: False)
    for content in ("old", "new"):
        with atomic_folder(tmp_path / "out") as folder:
            (folder / "a.txt").write_text(content)
    assert holds(tmp_path / "out") == {"a.txt": "new"}
    (tmp_path / "out").rename(tmp_path / ".out.old")  # as if killed there
    with pytest.raises(KeyError), atomic_folder(tmp_path / "out"):
        raise KeyError
    assert holds(tmp_path / "out") == {"a.txt": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
