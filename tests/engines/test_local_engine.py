import importlib.util
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

from carto_audit.engines.engine import Engine
from carto_audit.engines.setting_file import read_setting, write_setting
from carto_audit.engines.started import defer_signals
from carto_audit.engines.telling import tell_progress
from carto_audit.pipeline.options import AuditOptions
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.audits import hear_ctrl_c
from tests.support.repository import ROOT

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


def map_shards(function, setting, shards, workers, folder=None, advance=lambda amount: None):
    """By processes, each shard called by its number."""
    engine = Engine(workers=workers)
    return engine.map_shards(function, setting, shards, usual=9, named=str, folder=folder, advance=advance)


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
        tell_progress(1000)
        os.kill(os.getpid(), signal.SIGKILL)
    return shard[0]


def die_once(setting, shard):
    """The first worker on each of two shards ends while it works on it."""
    kept = Path(setting) / str(shard)
    tell_progress(10)
    if shard in (1, 4) and not kept.exists():
        kept.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return shard, os.getpid()


def never_end(setting, shard):
    Path(setting).touch()
    time.sleep(600)


def test_a_script_without_a_guard_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import operator\n"
        "from carto_audit.engines.engine import Engine\n"
        "shards = Engine(workers=2).map_shards(operator.mul, 3, range(3), usual=1, named=str)\n"
        "print('ran', list(shards))\n"
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


def test_a_shard_whose_worker_is_lost_is_begun_again_and_the_others_do_not_notice(tmp_path):
    heard, said = [], []
    engine = Engine(workers=2, note=said.append)
    results = list(
        engine.map_shards(
            die_once, str(tmp_path), iter(range(8)), usual=1, named=lambda k: f"shard {k}", advance=heard.append
        )
    )
    assert [shard for shard, pid in results] == list(range(8))
    assert len({pid for shard, pid in results}) <= 4
    assert (engine.tally.workers, engine.tally.retries) == (2, 2)
    assert sorted(said) == [
        f"a worker process ended while it worked on shard {k}; another one works on that again" for k in (1, 4)
    ]
    assert sum(heard) == 80
    assert multiprocessing.active_children() == []


def test_a_shard_that_ends_its_worker_each_time_is_named_with_the_way_out(tmp_path):
    shards = ([k, "x" * 4_000_000] for k in range(50))
    heard, told = [], []
    engine = Engine(workers=2, note=told.append)
    found = engine.map_shards(
        die_at_the_third,
        None,
        shards,
        usual=1,
        named=lambda shard: f"shard {shard[0]}",
        folder=tmp_path,
        advance=heard.append,
    )
    said = (
        r"^shard 2: a worker process ended each of the 3 times that one worked on this \(out of memory\?\); "
        "run the same command again to continue where it stopped$"
    )
    with pytest.raises(AuditError, match=said) as caught:
        list(found)
    assert caught.value.exit_code == 3
    assert engine.tally.retries == len(told) == 2
    assert sum(heard) == 0
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.active_children() == []


def test_a_worker_that_ends_while_it_has_nothing_to_do_is_replaced_unsaid(tmp_path):
    engine = Engine(workers=2)

    def shards():
        yield from (0, 1)
        until(lambda: len(multiprocessing.active_children()) == 2)
        time.sleep(0.5)
        for worker in multiprocessing.active_children():
            worker.kill()
            worker.join()
        yield from (2, 3)

    setting = {"values": np.arange(9), "shift": 0}
    with closing(engine.map_shards(shifted, setting, shards(), usual=1, named=str)) as results:
        assert list(results) == [0, 1, 2, 3]


@pytest.mark.parametrize("engine", [Engine(name="in-process", workers=3), Engine(workers=1), Engine(workers=3).here()])
def test_one_worker_is_this_process(engine):
    ran = engine.map_shards(lambda setting, shard: (shard, os.getpid()), None, iter("ab"), usual=2, named=str)
    assert list(ran) == [("a", os.getpid()), ("b", os.getpid())]
    assert engine.tally.workers == 1


def test_there_are_no_more_workers_than_shards():
    engine = Engine(workers=3)
    assert list(engine.map_shards(lambda setting, shard: os.getpid(), None, [1], usual=2, named=str)) == [os.getpid()]
    assert engine.tally.workers == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"engine": "slurm"}, "engine=slurm: one of local, ray, in-process"),
        ({"workers": 0}, "workers=0: a whole number, from 1 to 4,096"),
        ({"workers": True}, "workers=True: a whole number"),
        ({"address": "auto"}, "address: of a Ray cluster, a str; it goes with engine=ray"),
    ],
)
def test_an_engine_that_there_is_not_is_one_line(given, said):
    with pytest.raises(UsageError) as caught:
        AuditOptions(**given)
    assert str(caught.value) == said


def test_ray_that_is_not_installed_says_what_to_install(carto, monkeypatch, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "ray" else found(name, *more))
    (tmp_path / "batch.jsonl").write_text('{"text": "words"}\n')
    ended = carto("ingest", tmp_path / "batch.jsonl", "--out", tmp_path / "out", "--engine", "ray")
    assert (ended.code, ended.err) == (2, "Error: --engine ray: Ray is not installed; pip install 'carto-audit[ray]'\n")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def started(tmp_path):
    """A command, in a process group of its own, whose two workers never end; what is left of it is killed."""
    program = (
        "import sys; from pathlib import Path; from carto_audit.cli import main as cli; "
        "import tests.engines.test_local_engine as here; "
        "work = lambda: list(here.map_shards(here.never_end, sys.argv[1] + '/working', range(9), 2, Path(sys.argv[1])));"
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
        "import sys, threading, os, time; import tests.engines.test_local_engine as here; "
        "threading.Timer(float(sys.argv[2]), lambda: os.kill(os.getpid(), 9)).start();"
        "list(here.map_shards(here.SlowToLoad(), None, range(9), 2))"
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
