"""Locks held by real processes."""

import os
import platform
import signal
import subprocess
import sys

import pytest

from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.lock import locked
from tests.support.repository import ROOT

HOLD = (
    "import sys, time; from pathlib import Path; from carto_audit.runtime.lock import locked\n"
    "with locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(600)"
)


@pytest.fixture
def holder(tmp_path):
    """Another process, which holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / ".lock"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_told_who_holds_the_place_and_goes_on_when_that_one_is_dead(holder, tmp_path):
    with pytest.raises(AuditError) as caught, locked(tmp_path / ".lock"):
        pass
    assert str(caught.value).startswith(
        f"{tmp_path}: process {holder.pid} on {platform.node()} is writing a result here"
    )
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".lock").exists()
    with locked(tmp_path / ".lock"):
        assert (tmp_path / ".lock").read_text().split()[0] == str(os.getpid())
    assert not list(tmp_path.iterdir())


def test_the_same_process_does_not_write_a_place_twice_at_once(tmp_path):
    with locked(tmp_path / ".lock"):
        with pytest.raises(AuditError, match="writing a result here"), locked(tmp_path / ".lock"):
            pass
        assert (tmp_path / ".lock").exists()


@pytest.mark.parametrize("planted", ["link", "pipe", "folder"])
def test_what_a_vendor_planted_there_is_neither_followed_nor_waited_for(tmp_path, planted):
    place, target = tmp_path / ".lock", tmp_path / "target"
    if planted == "link":
        place.symlink_to(target)
    elif planted == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    with pytest.raises(OSError, match=r"(?i)link|regular|directory"), locked(place):
        pass
    assert not target.exists()
