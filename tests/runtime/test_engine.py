import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.runtime.engine import defer_signals, map_shards, read_setting, tell_progress, write_setting
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.audits import hear_ctrl_c
from tests.support.repository import ROOT

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


def shifted(setting, shard):
    """Early shards take longest, so that they end last."""
    time.sleep(0.2 / (1 + shard))
    return int(setting["values"][shard]) + setting["shift"]


def refuse_the_third(setting, shard):
    if shard == 2:
        raise UsageError("the third shard is not to be had")
    return shard


def die_at_the_third(setting, shard):
    """As when the system takes a process that needs too much memory, while shards larger than any pipe are on their way."""
    if shard[0] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return shard[0]


def never_end(setting, shard):
    Path(setting).touch()
    time.sleep(600)


def test_a_script_without_a_guard_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import operator\n"
        "from carto_audit.runtime.engine import map_shards\n"
        "print('ran', list(map_shards(operator.mul, 3, range(3), 2)))\n"
    )
    ended = subprocess.run(
        [sys.executable, script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.stdout, ended.stderr) == ("ran [0, 3, 6]\n", "")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_shards(tmp_path, workers):
    setting = {"values": np.arange(100) ** 2, "shift": 7}
    results = list(map_shards(shifted, setting, iter(range(9)), workers, tmp_path))
    assert results == [k**2 + 7 for k in range(9)]
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.active_children() == []


def tell_twice(setting, shard):
    tell_progress(shard)
    tell_progress(setting)


@pytest.mark.parametrize("workers", [1, 2])
def test_all_that_is_told_of_the_work_is_heard_before_the_last_result(tmp_path, workers):
    heard = []
    assert list(map_shards(tell_twice, 10, range(5), workers, tmp_path, heard.append)) == [None] * 5
    assert sorted(heard) == [0, 1, 2, 3, 4, 10, 10, 10, 10, 10]


def test_what_is_told_outside_of_any_work_is_heard_by_nobody():
    tell_progress(1.0)


def test_shards_are_drawn_as_they_are_needed_and_workers_end_with_who_asked(tmp_path):
    setting = {"values": np.arange(10_000), "shift": 0}
    with closing(map_shards(shifted, setting, itertools.count(), 2, tmp_path)) as results:
        assert list(itertools.islice(results, 3)) == [0, 1, 2]
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_raised_as_it_is(tmp_path, workers):
    with pytest.raises(UsageError, match=r"^the third shard is not to be had$"):
        list(map_shards(refuse_the_third, None, range(50), workers, tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.active_children() == []


def test_a_worker_that_is_killed_is_one_line_with_the_way_out(tmp_path):
    shards = ([k, "x" * 4_000_000] for k in range(50))
    with pytest.raises(AuditError, match=r"^a worker process ended .* run the same command again .*$") as caught:
        list(map_shards(die_at_the_third, None, shards, 2, tmp_path))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.active_children() == []


@pytest.fixture
def started(tmp_path):
    """A command, in a process group of its own, whose two workers never end; what is left of it is killed."""
    program = (
        "import sys; from pathlib import Path; from carto_audit.cli import main as cli; "
        "from carto_audit.runtime import engine as workers; import tests.runtime.test_engine as here; "
        "work = lambda: list(workers.map_shards(here.never_end, sys.argv[1] + '/working', range(9), 2, Path(sys.argv[1])));"
        "import signal; signal.signal(signal.SIGTERM, cli._interrupt); sys.exit(cli.run(work))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
        stderr=subprocess.PIPE,
        env=environment,
    )
    until(lambda: (tmp_path / "working").exists() or process.poll() is not None)
    yield process
    for pid in group_of(process.pid):
        os.kill(pid, signal.SIGKILL)
    process.communicate()


def until(condition, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def group_of(leader):
    """The living processes of a group."""
    living = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        living += [int(folder.name)] if int(group) == leader and state != "Z" else []
    return living


@needs_proc
@pytest.mark.parametrize("sent", [(os.killpg, signal.SIGINT), (os.killpg, signal.SIGTERM), (os.kill, signal.SIGTERM)])
def test_ctrl_c_and_sigterm_end_with_130_at_once_and_leave_no_process(started, tmp_path, sent):
    send, number = sent
    send(started.pid, number)
    said = started.communicate(timeout=300)[1].decode()
    assert said.splitlines() == ["Interrupted. Run the same command again to continue where it stopped."]
    assert started.returncode == 130
    until(lambda: not group_of(started.pid))
    assert [path.name for path in tmp_path.iterdir()] == ["working"]


@pytest.fixture
def hearing():
    """This process answers Ctrl-C as a command does that was not started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_a_process_starts_is_answered_afterwards(hearing):
    kill_yourself = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('deaf')"
    reached = []
    with pytest.raises(KeyboardInterrupt), defer_signals():
        os.kill(os.getpid(), signal.SIGINT)
        child = subprocess.run([sys.executable, "-c", kill_yourself], capture_output=True, encoding="utf-8")
        reached.append(child.stdout)
    assert reached == ["deaf\n"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


@needs_proc
def test_workers_end_when_their_parent_is_killed(started):
    started.kill()
    until(lambda: not group_of(started.pid))


class SlowToLoad:
    """Takes a minute to be unpickled, as libraries that load for long do."""

    def __reduce__(self):
        return time.sleep, (60,)


@needs_proc
def test_workers_that_still_load_end_when_their_parent_is_killed(tmp_path):
    program = (
        "import sys, threading, os, time; from carto_audit.runtime.engine import map_shards; "
        "import tests.runtime.test_engine as here; "
        "threading.Timer(float(sys.argv[2]), lambda: os.kill(os.getpid(), 9)).start();"
        "list(map_shards(here.SlowToLoad(), None, range(9), 2))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), "3"], start_new_session=True, env=environment
    )
    assert process.wait() == -signal.SIGKILL
    until(lambda: not group_of(process.pid), seconds=30)


@given(
    st.lists(st.lists(st.integers(-(2**40), 2**40)), max_size=5), st.dictionaries(st.text(), st.none() | st.floats(0))
)
def test_a_setting_is_read_as_it_was_and_its_arrays_cannot_be_written_to(tmp_path_factory, lists, plain):
    path = tmp_path_factory.mktemp("setting") / "setting"
    arrays = [np.array(values, dtype=np.int64) for values in lists]
    write_setting(path, (arrays, plain))
    read, again = read_setting(path)
    assert again == plain
    assert [array.tolist() for array in read] == lists
    for array in read:
        with pytest.raises(ValueError, match="read-only"):
            array[:0] = 1


def test_a_full_disk_is_one_line(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(AuditError, match="cannot write: No space left on device"):
        write_setting(Path("/dev/full"), np.zeros(10_000))
