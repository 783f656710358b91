"""Fixtures that several test modules share. The one long audit is made once, also for several processes of tests."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from carto_audit.cli import main as cli
from carto_audit.contamination import search
from carto_audit.data import sampling_key
from carto_audit.runtime.resume import open_kept
from tests.support.audits import (
    GATE,
    MAIN,
    NO_ITEMS,
    Ended,
    run_process,
    sentences,
    snapshot,
    write_benchmark,
    write_hostile_folder,
    write_parquet,
)
from tests.support.shared import shared

if "PYTEST_XDIST_WORKER" in os.environ:  # the cores are taken; torch reads this when it is loaded
    os.environ["OMP_NUM_THREADS"] = "1"

settings.register_profile("carto", deadline=None)  # a busy machine is no defect
settings.load_profile("carto")


KEY = b"a sampling key of the tests, that nobody guesses"
AT_RANDOM = sampling_key.new_sampling_key


@pytest.fixture(scope="session", autouse=True)
def one_key():
    """The same random key for every audit in this process, so that a test sees the same numbers at every run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling_key, "new_sampling_key", lambda: sampling_key.SamplingKey(b"x" * sampling_key.KEY_BYTES))
        yield


@pytest.fixture(scope="session", autouse=True)
def one_core():
    """One core for all audits in this process, which then train in it: a process more has to load torch first. Tests of what
    several processes do ask for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        yield


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """A cache of their own for the tests' processes; in this one no audit takes over what another test's audit found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(search, "open_kept", lambda kind, identity: None)
        yield


@pytest.fixture
def reuse(monkeypatch, tmp_path):
    """Audits take over what others found again, in a cache of this test's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(search, "open_kept", open_kept)


@pytest.fixture
def random_keys(monkeypatch):
    """Random keys again, for tests that are about them."""
    monkeypatch.setattr(sampling_key, "new_sampling_key", AT_RANDOM)


@dataclass(frozen=True, kw_only=True)
class Audited:
    """A finished audit: its folder, the command that made it, how that ended, and its input as it was before."""

    folder: Path
    arguments: tuple[str, ...]
    cwd: Path
    ended: Ended
    input: Path
    input_before: dict[Path, tuple[bytes, int]]


def audit_hostile_folder(cwd):
    (cwd / "policy.yaml").write_text(GATE + NO_ITEMS)
    (cwd / "sampling.key").write_bytes(KEY)
    name = "::error::{{ 7*7 }}[bold]<img src=x onerror=alert(1)>=1+1\x1b[31m\u202e"
    before = snapshot(write_hostile_folder(cwd / name))
    write_benchmark(cwd / "<b>::error::{{ 7*7 }}.jsonl")
    arguments = (
        "ingest",
        name,
        "--policy",
        "policy.yaml",
        "--benchmark",
        "<b>::error::{{ 7*7 }}.jsonl",
        "--epochs",
        "12",
        "--sampling-key",
        "sampling.key",
    )
    return Audited(
        folder=cwd / f"{name}-audit",
        arguments=arguments,
        cwd=cwd,
        ended=run_process(*arguments, cwd=cwd, program=MAIN),
        input=cwd / name,
        input_before=before,
    )


@pytest.fixture(scope="session")
def audited(tmp_path_factory):
    """The one whole audit that many tests look at: two proxies, a hostile batch, a benchmark item in it."""
    return Audited(**shared(tmp_path_factory, "audited", lambda cwd: vars(audit_hostile_folder(cwd))))


@pytest.fixture(scope="session")
def reciters(tmp_path_factory):
    """Two proxies that know their texts by heart, and one that was never trained."""
    from tests.support.overtrained import Reciters  # loads torch

    return shared(tmp_path_factory, "reciters", Reciters)


@pytest.fixture
def one_thread():
    """torch on one thread: on a busy machine the threads of a small step wait for one another."""
    from carto_audit.proxies.likelihood import one_thread  # loads torch

    with one_thread():
        yield


@pytest.fixture
def thin(monkeypatch):
    """A proxy of two thin layers in place of the smallest preset, and training in this process, where a test is not about what
    proxies learn."""
    from tests.support.small_redteams import make_thin  # loads torch

    make_thin(monkeypatch)


@pytest.fixture
def batch_file(tmp_path):
    """A batch of 48 ordinary rows: enough to train on, too few for any control."""
    return write_parquet(tmp_path / "batch.parquet", sentences(48))


@pytest.fixture
def gate(tmp_path):
    """A policy that a tiny batch can meet."""
    path = tmp_path / "gate.yaml"
    path.write_text(GATE)
    return path


@pytest.fixture
def gate_items(tmp_path):
    """The same, and no confirmed benchmark item either."""
    path = tmp_path / "gate_items.yaml"
    path.write_text(GATE + NO_ITEMS)
    return path


@pytest.fixture
def carto(capsys):
    """Runs the command in this process: arguments in, exit code and both streams out."""

    def run(*arguments):
        capsys.readouterr()
        code = cli.run(lambda: cli.cli.main([str(a) for a in arguments], "carto-audit", standalone_mode=False))
        said = capsys.readouterr()
        return Ended(code=code, out=said.out, err=said.err)

    return run
