"""One real run of a tiny model, read and scored once for all tests."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from bench.real_runs.tiny_run import Recipe, TinyRun, run_tiny
from carto_audit.cli import main as cli
from tests.support.audits import sentences

POLICY = """\
schema_version: 1
name: real
map:
  difficulty: {threshold: {percentile: 75}}
  memorization: {score: memorized, threshold: {control_dose: 4}}
rules:
  - {id: passages, metric: memorized.span_token_share, max: 0.2, severity: reject, reason: a model recites what it keeps}
  - {id: power, metric: detection.found_at_dose_4, min: 0.5, severity: reject, reason: who has not looked has not seen}
"""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A run with what was read and scored of it."""

    run: TinyRun
    policy: Path
    late: Path
    folder: Path
    facts: dict
    scores: list
    code: int

    def copy_of(self, name, to):
        """A copy of a folder of the run that a test may change."""
        return Path(shutil.copytree(getattr(self.run, name), to))


def run_command(*arguments):
    return cli.run(lambda: cli.cli.main([str(a) for a in arguments], "carto-audit", standalone_mode=False))


@pytest.fixture(scope="package")
def scored(tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("run")
    run = run_tiny(sentences(300, seed=5), folder, Recipe(epochs=6, share=0.45, hold_out=20))
    policy, late = folder / "real.yaml", folder / "late.parquet"
    policy.write_text(POLICY)
    read = ("trace", "read", run.early, run.last, run.planted, "--trace", run.trace, "--out", late, "--quiet")
    assert run_command(*read) == 0
    out = folder / "score"
    code = run_command("score", run.trace, run.planted, "--late", late, "--policy", policy, "--out", out, "--quiet")
    torch.set_num_threads(threads)
    return Scored(
        run=run,
        policy=policy,
        late=late,
        folder=out,
        facts=json.loads((out / "report.json").read_text()),
        scores=pq.read_table(out / "scores.parquet").to_pylist(),
        code=code,
    )
