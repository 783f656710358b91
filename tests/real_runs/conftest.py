"""Batches of every layout, planted once for all tests: the batch, the folder that was planted, and how the command ended."""

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from bench.real_runs.tiny_run import Recipe, TinyRun, run_tiny
from carto_audit.cli import main as cli
from carto_audit.controls.sealed import read_sealed
from tests.support.audits import sentences

ROWS = 400
SAID = sentences(ROWS, seed=5)
ASKED = [text[:50] for text in sentences(ROWS, seed=6)]


def write_chat(path):
    rows = [
        {
            "id": f"c-{k:04x}",
            "messages": [{"role": "user", "content": a}, {"role": "assistant", "content": s}],
            "lang": "en",
        }
        for k, (a, s) in enumerate(zip(ASKED, SAID, strict=True))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_text(path):
    path.write_text("".join(json.dumps({"text": text, "n": k}) + "\r\n" for k, text in enumerate(SAID)))


def write_prompts(path):
    columns = {
        "id": range(ROWS),
        "prompt": ASKED,
        "completion": SAID,
        "lang": pa.array(["en"] * ROWS).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), path)


def write_questions(path):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("question", "answer", "score"), *zip(ASKED, SAID, ["0.5"] * ROWS, strict=True)])


WRITERS = {
    "chat.jsonl": write_chat,
    "text.jsonl": write_text,
    "prompts.parquet": write_prompts,
    "questions.csv": write_questions,
}
LEARNED = {"chat.jsonl": "messages", "text.jsonl": "text", "prompts.parquet": "completion", "questions.csv": "answer"}


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A batch of one file and what was made of it."""

    path: Path
    out: Path
    facts: dict
    controls: list

    def role(self, name):
        return [row for row in self.controls if row["role"] == name]


def plant(path, out, *more):
    code = cli.run(
        lambda: cli.cli.main(["plant", str(path), "--out", str(out), *more], "carto-audit", standalone_mode=False)
    )
    assert code == 0
    facts = json.loads((out / "plant.json").read_text())
    controls = read_sealed(out / "controls.parquet", facts["controls"]["commitment"]).to_pylist()
    return Planted(path=path, out=out, facts=facts, controls=controls)


@pytest.fixture(scope="module", params=list(WRITERS))
def planted(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("batch")
    path = folder / request.param
    WRITERS[request.param](path)
    return plant(path, folder / "planted", "--share", "0.45", "--hold-out", "30", "--seed", "1")


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


@pytest.fixture(scope="session")
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
