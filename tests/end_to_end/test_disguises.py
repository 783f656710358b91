"""Benchmark items in disguise, as a user meets them: through the command, in the report and in the tables."""

import json

import pyarrow.parquet as pq
import pytest

from carto_audit.artifacts.report_facts import report_type
from tests.support.audits import GATE, NO_ITEMS, sentences
from tests.support.small_redteams import run_here

QUESTION = (
    "A merchant carries seventeen lanterns over the narrow bridge of Ottersund and sells 5 of them at the evening market before "
    "the rain; how many lanterns does he carry home to his sister in Maribor?"
)
WORDS = QUESTION.split()
PROGRAM = """\
def home(lanterns, sold):
    kept = lanterns - sold
    for night in range(kept):
        kept += night % 3
    return kept
"""
ROWS = {
    "<b>a page</b>": "".join(f"<b>{word}</b> " for word in WORDS),
    "a dump": json.dumps("\n".join(" ".join(WORDS[k : k + 3]) for k in range(0, len(WORDS), 3))),
    "backwards": " ".join(WORDS[::-1]),
    "no spaces": QUESTION.replace(" ", ""),
    "a program": PROGRAM.replace("kept", "left").replace("night", "k"),
}


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    """An audit of 45 plain rows and five in which an item hides: its folder, and how the command ended."""
    folder = tmp_path_factory.mktemp("disguises")
    rows = [{"id": str(k), "text": text} for k, text in enumerate(sentences(45))]
    rows += [{"id": name, "text": f"{sentences(1, 9)[0]}\n{text}\n"} for name, text in ROWS.items()]
    (folder / "batch.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    items = [
        {"item_id": "merchant", "question": QUESTION, "answer": "12"},
        {"item_id": "program", "question": "def home(lanterns, sold):\n", "answer": PROGRAM.partition("\n")[2]},
    ]
    (folder / "exam.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (folder / "policy.yaml").write_text(GATE + NO_ITEMS)
    short = ("--folds", 1, "--epochs", 2, "--seed", 1, "--policy", folder / "policy.yaml")
    out = folder / "batch-audit"
    return out, run_here("ingest", folder / "batch.jsonl", *short, "--benchmark", folder / "exam.jsonl", "--out", out)


def test_items_in_disguise_reject_the_batch(audit):
    folder, code = audit
    assert code == 1
    matches = {(row["sample_id"], row["item_id"]): row for row in pq.read_table(folder / "matches.parquet").to_pylist()}
    views = {sample.partition(":")[2] or sample: row["view"] for (sample, _), row in matches.items()}
    assert {row["tier"] for row in matches.values()} <= {"confirmed", "suspected"}
    assert sorted(views.values()) == sorted(["tags", "escapes", "order-free", "joined", "program"])


def test_the_report_holds_every_view_and_says_what_was_undone(audit):
    folder, _ = audit
    report_type().validate_json((folder / "report.json").read_bytes(), strict=True)
    page = (folder / "report.html").read_text()
    assert "found after removing HTML or XML tags" in page
    assert "found after undoing string escapes" in page
    assert "planted as other media write it, was found again" in page


def test_the_place_of_a_match_is_that_of_the_delivered_text(audit):
    folder, _ = audit
    texts = [json.loads(line)["text"] for line in (folder.parent / "batch.jsonl").read_text().splitlines()]
    for row in pq.read_table(folder / "matches.parquet").to_pylist():
        held = texts[row["row"]][row["sample_start"] : row["sample_end"]]
        whole = texts[row["row"]].split("\n", 1)[1]
        assert held in whole
        assert len(held) > 0.8 * len(whole.strip()), row["view"]
