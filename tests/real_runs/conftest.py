"""Batches of every layout, planted once for all tests: the batch, the folder that was planted, and how the command ended."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

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
