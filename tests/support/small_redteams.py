"""Whole red teams on a batch as small as can be divided, by a proxy of two thin layers in place of the smallest preset."""

import json
import os
import subprocess
import time

import pytest

from carto_audit.cli import main as cli
from carto_audit.proxies.model import PRESETS, ProxySpec
from tests.support.audits import Ended, command, write_parquet
from tests.support.passages import passages

THIN = ProxySpec(
    name="nano",
    vocab_size=512,
    context=64,
    hidden_size=32,
    layers=2,
    heads=2,
    learning_rate=5e-3,
    minibatch_tokens=1024,
)
CORES = 1
"""As many on any machine, or a killed run would not be continued in its folder; with two, processes that load torch take most of
the time."""

PROGRAM = (
    "import os, sys; from carto_audit.proxies import model as proxy; "
    f"proxy.PRESETS['nano'] = proxy.{THIN!r}; os.cpu_count = lambda: {CORES}; sys.argv[0] = 'carto-audit'; "
    "from carto_audit.cli.main import main; main()"
)
POLICY = """\
schema_version: 1
name: loose
map:
  difficulty: {threshold: {percentile: 75}}
  memorization: {score: memorized, threshold: {absolute: 1000.0}}
rules:
"""
"""Flags nothing, so that several arms are the batch as it is and are trained once."""

COPIES = "  - {id: copies, metric: duplicates.token_share, max: 0.9, severity: reject, reason: copies are memorized}\n"
DEMAND = "  - {id: cut, metric: redteam.extraction_reduction, min: 0.5, severity: reject, reason: it has to work}\n"
QUICK = ("--quick", "--epochs", 2, "--level", 0.05, "--max-tokens", 13_000, "--device", "cpu")
PATIENCE = 1500
"""Seconds on the busiest machine; on a quiet one it takes half a minute."""


def write_batch(path, rows=320, characters=200):
    """Openings of real paragraphs, of about so many characters."""
    return write_parquet(path, [text[:characters] for text in passages(rows)])


def make_thin(patch):
    """Thin proxies in place of the smallest preset, trained in this process: starting another costs more than training one."""
    patch.setitem(PRESETS, "nano", THIN)
    patch.setattr(os, "cpu_count", lambda: 1)


def run_here(*arguments):
    """The command in this process, with the thin proxy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "nano", THIN)
        patch.setattr(os, "cpu_count", lambda: CORES)
        return cli.run(lambda: cli.cli.main([str(a) for a in arguments], "carto-audit", standalone_mode=False))


def start(*arguments, cwd):
    """The command in a process group of its own."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command(*arguments, program=PROGRAM), cwd=cwd, start_new_session=True, **pipes)


def ended(process):
    out, err = process.communicate(timeout=PATIENCE)
    return Ended(code=process.returncode, out=out.decode(), err=err.decode())


def kept_arms(folder):
    """The finished arms in the work folder of a run, with the time at which each was written."""
    try:
        return {path.name: path.stat().st_mtime_ns for path in folder.glob(".redteam-work/*/seed-*/arm-*.json")}
    except FileNotFoundError:  # removed while we looked
        return {}


def wait_for(condition, process):
    """Polls until the condition holds; a process that ends before fails the test."""
    for _ in range(PATIENCE * 20):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    pytest.fail("waited too long")


def read(folder):
    return json.loads((folder / "redteam.json").read_text())


def timeless(facts):
    """All but what a clock says."""
    return facts | {"run": {**facts["run"], "started_at": None, "seconds": None}}
