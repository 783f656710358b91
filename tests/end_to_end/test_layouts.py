"""Benchmark items in every text-bearing place of a delivery are found, whatever the layout."""

import json

import pyarrow.parquet as pq
import pytest

from tests.support.audits import GATE, NO_ITEMS, sentences
from tests.support.quizzes import write_quiz

ITEMS = [
    {
        "item_id": f"q{k}",
        "question": f"The {name} keeper stores {211 + 7 * k} amber jars and hands {3 + k} of them to each dealer in the {place} "
        f"valley; how many jars are left for the {place} fair?",
        "answer": f"exactly {417 + k} {name} jars",
    }
    for k, (name, place) in enumerate(
        [("Odrun", "Velma"), ("Tirsk", "Hollow"), ("Pelim", "Arkady"), ("Zemra", "Ostrov")]
    )
]
CALM = sentences(60)


def asked(k, calm):
    return (ITEMS[k]["question"], ITEMS[k]["answer"]) if k < len(ITEMS) else (CALM[k], calm)


PLACES = {
    "messages, user": lambda q, a, c: {
        "id": "c-1",
        "messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}],
    },
    "messages, assistant": lambda q, a, c: {
        "messages": [{"role": "user", "content": c}, {"role": "assistant", "content": f"{q} {a}"}]
    },
    "messages, system": lambda q, a, c: {"system": f"{q} {a}", "messages": [{"role": "user", "content": c}]},
    "conversations": lambda q, a, c: {"conversations": [{"from": "human", "value": q}, {"from": "gpt", "value": a}]},
    "prompt": lambda q, a, c: {"prompt": f"{q} {a}", "completion": c},
    "completion": lambda q, a, c: {"prompt": c, "completion": f"{q} {a}"},
    "prompt and completion": lambda q, a, c: {"prompt": q, "completion": a},
    "chosen": lambda q, a, c: {"prompt": c, "chosen": f"{q} {a}", "rejected": "I cannot say that."},
    "rejected": lambda q, a, c: {"prompt": c, "chosen": "I cannot say that.", "rejected": f"{q} {a}"},
    "instruction": lambda q, a, c: {"instruction": q, "input": "", "output": a},
    "input": lambda q, a, c: {"instruction": "Answer the question that follows.", "input": f"{q} {a}", "output": c},
    "question": lambda q, a, c: {"question": q, "answer": a},
    "title and body": lambda q, a, c: {"title": f"{q} {a}", "body": c},
    "nested": lambda q, a, c: {"id": "a-1", "data": {"text": f"{q} {a}", "url": "https://example.org"}},
    "list of strings": lambda q, a, c: {"text": [c, q, a]},
}


SEGMENTS = {
    "messages, user": {"user turn 1"},
    "messages, assistant": {"assistant turn 2"},
    "messages, system": {"system"},
    "conversations": {"human turn 1"},
    "prompt": {"prompt"},
    "completion": {"completion"},
    "prompt and completion": {"prompt"},
    "chosen": {"chosen"},
    "rejected": {"rejected"},
    "instruction": {"instruction"},
    "input": {"input"},
    "question": {"question"},
    "title and body": {"title"},
    "nested": {"data.text"},
    "list of strings": {"text"},
}


@pytest.mark.parametrize("place", PLACES)
def test_items_are_found_in_every_place_that_holds_text(carto, tmp_path, thin, place):
    rows = [PLACES[place](*asked(k, CALM[-k - 1]), CALM[k]) for k in range(48)]
    (tmp_path / "batch.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "gate.yaml").write_text(GATE + NO_ITEMS)
    quiz = write_quiz(tmp_path / "quiz.jsonl", ITEMS)
    out = tmp_path / "audit"
    arguments = ["--policy", tmp_path / "gate.yaml", "--benchmark", quiz, "--folds", 1, "--epochs", 2, "--out", out]
    ended = carto("ingest", tmp_path / "batch.jsonl", *arguments)
    facts = json.loads((out / "report.json").read_text())
    assert facts["metrics"]["contamination.confirmed_items"] == len(ITEMS), ended.err
    assert ended.code == 1
    assert facts["metrics"]["batch.unread_text_share"] == 0
    segments = {match["segment"] for match in facts["contamination"]["matches"]}
    assert segments == SEGMENTS[place]
    assert set(pq.read_table(out / "matches.parquet")["segment"].to_pylist()) == segments


def test_a_column_of_text_that_nobody_reads_makes_no_pass(carto, tmp_path, thin):
    rows = [{"text": text, "blob": "".join(f"{k:02x}" for k in range(200))} for text in sentences(48)]
    (tmp_path / "batch.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rule = "  - {id: unread-text, metric: batch.unread_text_share, max: 0.01, severity: reject, reason: read it all}\n"
    (tmp_path / "gate.yaml").write_text(GATE + rule)
    out = tmp_path / "audit"
    arguments = ["--policy", tmp_path / "gate.yaml", "--folds", 1, "--epochs", 2, "--out", out]
    assert carto("ingest", tmp_path / "batch.jsonl", *arguments).code == 3
    facts = json.loads((out / "report.json").read_text())
    assert facts["batch"]["layout"]["unread"] == [{"column": "blob", "bytes": 48 * 400, "long_bytes": 48 * 400}]
    assert "blob" in (out / "report.html").read_text()
    named = carto("ingest", tmp_path / "batch.jsonl", *arguments, "--text-column", "text,blob")
    assert named.code == 0, named.err


def write_pairs(folder):
    rows = [{"prompt": f"{CALM[k]} {CALM[-k - 1]}", "completion": CALM[k]} for k in range(48)]
    (folder / "batch.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "batch.jsonl"


def test_the_map_may_be_of_what_trainers_learn(carto, tmp_path, gate, thin):
    batch, found = write_pairs(tmp_path), {}
    for loss_on in ("all", "completions"):
        out = tmp_path / loss_on
        arguments = ["--policy", gate, "--folds", 1, "--epochs", 2, "--loss-on", loss_on, "--out", out]
        ended = carto("ingest", batch, *arguments)
        assert ended.code == 0, ended.err
        found[loss_on] = json.loads((out / "report.json").read_text())
        assert "Read: prompt + completion of 48 rows." in ended.out
        assert ("what trainers learn" in " ".join(ended.out.split())) == (loss_on == "completions")
        assert found[loss_on]["batch"]["layout"]["loss_on"] == loss_on
    tokens = {name: facts["batch"]["tokens"] for name, facts in found.items()}
    assert tokens["completions"] < tokens["all"] / 2
    assert "Read: prompt + completion of 48 rows." in (tmp_path / "all" / "report.html").read_text()


def test_a_policy_that_says_what_the_map_is_of_is_not_overruled(carto, tmp_path):
    ended = carto("ingest", write_pairs(tmp_path), "--policy", "strict", "--loss-on", "completions")
    assert ended.code == 2
    assert "policy strict says map.loss_on: all" in ended.err


def test_what_fits_two_layouts_ends_before_anything_is_done(carto, tmp_path):
    row = {"text": CALM[0], "messages": [{"role": "user", "content": CALM[1]}]}
    (tmp_path / "batch.jsonl").write_text(f"{json.dumps(row)}\n" * 9)
    ended = carto("ingest", tmp_path / "batch.jsonl", "--out", tmp_path / "audit")
    assert (ended.code, (tmp_path / "audit" / "report.json").exists()) == (2, False)
    assert "--layout" in ended.err
    assert "chat (messages)" in ended.err
