"""On Ray as it is installed: a cluster of this machine, and one that already runs. `make test-integrations`."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from itertools import count, islice
from pathlib import Path

import pytest

if importlib.util.find_spec("ray") is None:
    pytest.skip("needs Ray: pip install 'carto-audit[ray]'", allow_module_level=True)


from carto_audit.engines import ray_engine
from carto_audit.engines.engine import Engine
from carto_audit.engines.telling import tell_progress
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.repository import ROOT

pytestmark = [pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def cluster():
    """Two cores of this machine, with the tests importable on them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
        with ray_engine.connected(None, 2):
            yield


def map_shards(function, setting, shards, folder=None, advance=lambda amount: None, engine=None):
    engine = engine or Engine(name="ray", workers=2)
    return engine.map_shards(
        function, setting, shards, usual=1, named=lambda k: f"shard {k}", folder=folder, advance=advance
    )


def squared(setting, shard):
    """Early shards take longest, so that they end last."""
    time.sleep(0.2 / (1 + shard))
    tell_progress(10)
    return shard**2 + setting


def refuse_the_third(setting, shard):
    if shard == 2:
        raise UsageError("the third shard is not to be had")
    return shard


def die_once(setting, shard):
    kept = Path(setting) / str(shard)
    if shard in (1, 4) and not kept.exists():
        kept.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return shard


def die_at_the_third(setting, shard):
    if shard == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return shard


def sleep_long(setting, shard):
    Path(setting).write_text(str(os.getpid()))
    time.sleep(600)


def test_results_come_in_the_order_of_the_shards_and_what_was_told_is_heard(cluster, tmp_path):
    heard, engine = [], Engine(name="ray", workers=2)
    results = map_shards(squared, 7, iter(range(9)), tmp_path, heard.append, engine)
    assert list(results) == [k**2 + 7 for k in range(9)]
    assert sum(heard) == 90
    assert (engine.tally.workers, engine.tally.retries) == (2, 0)
    assert list(tmp_path.iterdir()) == []


def test_an_endless_stream_of_shards_fits(cluster):
    with closing(map_shards(squared, 0, count())) as results:
        assert list(islice(results, 3)) == [0, 1, 4]


def test_an_error_in_a_task_is_raised_as_it_is(cluster):
    with pytest.raises(UsageError, match=r"^the third shard is not to be had$"):
        list(map_shards(refuse_the_third, None, range(50)))


def test_a_shard_whose_worker_is_lost_is_begun_again(cluster, tmp_path):
    said = []
    engine = Engine(name="ray", workers=2, note=said.append)
    assert list(map_shards(die_once, str(tmp_path), range(8), engine=engine)) == list(range(8))
    assert engine.tally.retries == len(said) == 2


def test_a_shard_that_ends_its_worker_each_time_is_named(cluster):
    with pytest.raises(AuditError, match=r"^shard 2: a worker process ended each of the 3 times .* to continue"):
        list(map_shards(die_at_the_third, None, range(50)))


def test_a_worker_of_another_version_is_one_line(cluster, monkeypatch):
    monkeypatch.setattr(ray_engine, "versions_here", lambda: {"torch": "0.0.1"})
    with pytest.raises(
        AuditError, match=r"^a Ray worker on \S+ has torch \S+, and this machine 0.0.1; install the same$"
    ):
        list(map_shards(squared, 0, range(2)))


def test_a_folder_that_the_workers_do_not_share_is_one_line(cluster, tmp_path, monkeypatch):
    there = ray_engine.Path.resolve
    monkeypatch.setattr(ray_engine.Path, "resolve", lambda path: there(path) / "elsewhere")
    with pytest.raises(
        AuditError, match=r"does not find .*elsewhere; out must lie on storage that all machines .* share"
    ):
        list(map_shards(squared, 0, range(2), tmp_path))


def test_a_task_that_is_worked_on_ends_with_who_asked(cluster, tmp_path):
    pid = tmp_path / "pid"
    with pytest.raises(AuditError, match="enough"):
        list(map_shards(sleep_long, str(pid), stopping(pid)))
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid.read_text()}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def stopping(pid):
    yield 0
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        yield from ()
    raise AuditError("enough")


PROGRAM = (
    "import sys; from carto_audit.cli import main as cli; import tests.integrations.test_ray as here; "
    "from carto_audit.engines.engine import Engine; "
    "work = lambda: print(list(here.map_shards(here.squared, 1, range(3), engine=Engine(name='ray', address=sys.argv[1]))));"
    "sys.exit(cli.run(work))"
)


def on_a_cluster(address):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, address], env=environment, capture_output=True, text=True, timeout=300
    )


def test_an_address_where_nobody_answers_is_one_line():
    ended = on_a_cluster("127.0.0.1:1")
    assert ended.returncode == 3
    assert ended.stderr.splitlines() == [
        "Error: --engine ray: the Ray cluster at 127.0.0.1:1 does not answer: [Errno 111] Connection refused"
    ]


@pytest.fixture
def running(tmp_path_factory):
    """A cluster that somebody else started, and its address."""
    command = Path(sys.executable).with_name("ray")
    port = 26379
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    place = tmp_path_factory.mktemp("r", numbered=True)
    start = [command, "start", "--head", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
    process = subprocess.Popen(
        [*start, "--block", "--disable-usage-stats"], env=environment, start_new_session=True, cwd=place
    )
    yield f"127.0.0.1:{port}"
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(60)


def test_a_cluster_that_already_runs_is_used_and_stays(running):
    deadline = time.monotonic() + 120
    while (ended := on_a_cluster(running)).returncode and time.monotonic() < deadline:
        time.sleep(1)
    assert ended.stdout == "[1, 2, 5]\n", ended.stderr
    assert on_a_cluster(running).stdout == "[1, 2, 5]\n"


def test_an_audit_on_ray_has_the_bytes_of_one_in_this_process(tmp_path):
    texts = [f"Row {k} of a small batch that says nothing of note, {k * k}." for k in range(200)]
    (tmp_path / "batch.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "quiz.jsonl").write_text(json.dumps({"question": texts[7]}) + "\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    ingest = [sys.executable, "-c", "from carto_audit.cli.main import main; main()", "ingest", "batch.jsonl"]
    ingest += ["--benchmark", "quiz.jsonl", "--seed", "1", "--epochs", "2", "--repeats", "1", "--fail-on", "never"]
    found = []
    for name, more in (("local", ["--workers", "1"]), ("ray", ["--engine", "ray", "--workers", "2"])):
        out = tmp_path / name
        ended = subprocess.run(
            [*ingest, "--quiet", "--out", str(out), *more],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert (out / "verdict.json").exists(), ended.stderr
        found.append([(out / file).read_bytes() for file in ("verdict.json", "scores.parquet", "matches.parquet")])
    assert found[0] == found[1]
    facts = json.loads((tmp_path / "ray" / "report.json").read_text())
    assert facts["run"]["engine"] == {"name": "ray", "workers": 2, "retries": 0}
