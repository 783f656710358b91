"""Benchmark items in every text-bearing place of a delivery are found, whatever the layout."""

import itertools
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.audits import GATE, NO_ITEMS, sentences
from tests.support.quizzes import write_quiz
from tests.support.small_redteams import run_here

WORDS = "amber barley copper dahlia ember falcon garnet heron indigo juniper kettle lantern marble nettle onyx".split()
ITEMS = [
    {
        "item_id": f"q{k}",
        "question": f"The {one} keeper of {two} stores {211 + 7 * k} jars and hands {3 + k} of them to each {two} dealer in the "
        f"{one} valley; how many {one} jars are left for the {two} fair on day {k}?",
        "answer": f"exactly {417 + 13 * k} {one} {two} jars",
    }
    for k, (one, two) in enumerate(itertools.islice(itertools.permutations(WORDS, 2), 0, 210, 21))
]
CALM = sentences(600)


def turns(*said, who="role", what="content"):
    return [{who: role, what: words} for role, words in said]


def pair(user, assistant):
    return turns(("user", user), ("assistant", assistant))


LAYOUTS = {
    "text": {"text": lambda i, c: {"text": f"{c} {i}"}},
    "content beside an id": {"content": lambda i, c: {"id": "c-1", "content": f"{i} {c}"}},
    "messages": {
        "user turn 1": lambda i, c: {"id": "c-1", "messages": pair(i, c)},
        "assistant turn 2": lambda i, c: {"id": "c-1", "messages": pair(c, i)},
        "system turn 1": lambda i, c: {"id": "c-1", "messages": [*turns(("system", i)), *pair(c, c)]},
        "assistant turn 4": lambda i, c: {"id": "c-1", "messages": [*pair(c, c), *pair("And then?", i)]},
    },
    "messages in parts": {
        "user turn 1": lambda i, c: {"messages": pair([{"type": "text", "text": c}, {"type": "text", "text": i}], c)},
        "assistant turn 2": lambda i, c: {
            "messages": pair([{"type": "text", "text": c}], [{"type": "text", "text": i}])
        },
    },
    "messages with tools": {
        "assistant turn 2": lambda i, c: {
            "messages": [
                {"role": "user", "content": c},
                {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "ask", "arguments": i}}]},
            ]
        },
        "tool turn 3": lambda i, c: {"messages": [*pair(c, c), {"role": "tool", "tool_call_id": "t-1", "content": i}]},
    },
    "messages with thoughts": {
        "assistant turn 2": lambda i, c: {
            "messages": [{"role": "user", "content": c}, {"role": "assistant", "content": c, "reasoning_content": i}]
        },
        "user turn 1": lambda i, c: {
            "messages": [{"role": "user", "name": i, "content": c}, {"role": "assistant", "content": c}]
        },
    },
    "messages beside a system column": {
        "system": lambda i, c: {"system": i, "messages": pair(c, c)},
        "user turn 1": lambda i, c: {"system": "Be brief.", "messages": pair(i, c)},
    },
    "ShareGPT": {
        "human turn 1": lambda i, c: {"conversations": turns(("human", i), ("gpt", c), who="from", what="value")},
        "gpt turn 2": lambda i, c: {"conversations": turns(("human", c), ("gpt", i), who="from", what="value")},
    },
    "conversation as JSON text": {
        "user turn 1": lambda i, c: {"conversation": json.dumps(pair(i, c))},
        "assistant turn 2": lambda i, c: {"conversation": json.dumps(pair(c, i))},
    },
    "prompt and completion": {
        "prompt": lambda i, c: {"prompt": i, "completion": c},
        "completion": lambda i, c: {"prompt": c, "completion": i},
    },
    "prompt and completion as messages": {
        "user turn 1": lambda i, c: {"prompt": turns(("user", i)), "completion": turns(("assistant", c))},
        "assistant turn 1": lambda i, c: {"prompt": turns(("user", c)), "completion": turns(("assistant", i))},
    },
    "prompt and response": {
        "prompt": lambda i, c: {"prompt": i, "response": c},
        "response": lambda i, c: {"prompt": c, "response": i},
    },
    "Alpaca": {
        "instruction": lambda i, c: {"instruction": i, "input": "", "output": c},
        "input": lambda i, c: {"instruction": c, "input": i, "output": c[::-1]},
        "output": lambda i, c: {"instruction": c, "input": "", "output": i},
    },
    "Alpaca with a history": {
        "history": lambda i, c: {"instruction": c, "output": c[::-1], "history": [[i, c]]},
        "system": lambda i, c: {
            "system": i,
            "instruction": c,
            "output": c[::-1],
            "history": [["Hello there.", "Good day."]],
        },
    },
    "Dolly": {
        "context": lambda i, c: {"instruction": c, "context": i, "response": c[::-1], "category": "closed_qa"},
        "response": lambda i, c: {"instruction": c, "context": "", "response": i, "category": "open_qa"},
    },
    "preference": {
        "prompt": lambda i, c: {"prompt": i, "chosen": c, "rejected": "I cannot say that."},
        "chosen": lambda i, c: {"prompt": c, "chosen": i, "rejected": "I cannot say that."},
        "rejected": lambda i, c: {"prompt": c, "chosen": "I cannot say that.", "rejected": i},
    },
    "preference as messages": {
        "user turn 1": lambda i, c: {"chosen": pair(i, c), "rejected": pair(i, "I cannot say that.")},
        "assistant turn 2": lambda i, c: {"chosen": pair(c, "I cannot say that."), "rejected": pair(c, i)},
    },
    "preference as transcripts": {
        "chosen": lambda i, c: {"chosen": f"Human: {i} Assistant: {c}", "rejected": f"Human: {c[::-1]} Assistant: no"},
        "rejected": lambda i, c: {"chosen": f"Human: {c} Assistant: yes", "rejected": f"Human: {c} Assistant: {i}"},
    },
    "question and answer": {
        "question": lambda i, c: {"question": i, "answer": c},
        "answer": lambda i, c: {"question": c, "answer": i},
    },
    "question with a passage": {
        "context": lambda i, c: {
            "context": f"{c} {i}",
            "question": c[::-1],
            "answers": ["in the valley", "at the fair"],
        },
        "question": lambda i, c: {"context": c, "question": i, "answers": ["in the valley", "at the fair"]},
    },
    "title and body": {
        "title": lambda i, c: {"title": i, "body": c},
        "body": lambda i, c: {"title": c[:60], "body": i},
    },
    "document and summary": {
        "document": lambda i, c: {"document": f"{c} {i}", "summary": c[::-1]},
        "summary": lambda i, c: {"document": c, "summary": i},
    },
    "nested": {"data.text": lambda i, c: {"id": "a-1", "data": {"text": f"{c} {i}", "url": "https://example.org"}}},
    "translation": {
        "translation.de": lambda i, c: {"translation": {"de": i, "en": c}},
        "translation.en": lambda i, c: {"translation": {"de": c, "en": i}},
    },
    "list of strings": {"text": lambda i, c: {"text": [c, i, c[::-1]]}},
}


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """An index of the items: what can be found of them is measured once, and not by every audit."""
    folder = tmp_path_factory.mktemp("index")
    quiz = write_quiz(folder / "quiz.jsonl", ITEMS)
    assert run_here("benchmarks", "build", quiz, "--out", folder / "quiz.cartoindex") == 0
    return folder / "quiz.cartoindex"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_items_are_found_in_every_place_that_holds_text(carto, tmp_path, thin, index, layout):
    """Ten items in each place of a layout, each in a row of its own."""
    places, calm = LAYOUTS[layout], iter(CALM)
    rows = [
        (number, name, make(f"{item['question']} {item['answer']}", next(calm)))
        for name, make in places.items()
        for number, item in enumerate(ITEMS)
    ]
    rows += [(None, name, make(next(calm), next(calm))) for name, make in places.items() for _ in range(20)]
    (tmp_path / "batch.jsonl").write_text("".join(json.dumps(row) + "\n" for _, _, row in rows))
    (tmp_path / "gate.yaml").write_text(GATE + NO_ITEMS)
    out = tmp_path / "audit"
    arguments = ["--policy", tmp_path / "gate.yaml", "--benchmark", index, "--folds", 1, "--epochs", 2, "--out", out]
    ended = carto("ingest", tmp_path / "batch.jsonl", *arguments, "--max-tokens", 2000)
    assert ended.code == 1, ended.err
    facts = json.loads((out / "report.json").read_text())
    assert facts["metrics"]["batch.unread_text_share"] == 0
    matches = pq.read_table(out / "matches.parquet", columns=["item_id", "row", "segment"]).to_pylist()
    found = {(match["row"], match["item_id"]): match["segment"] for match in matches}
    for row, (number, place, _) in enumerate(rows):
        if number is not None:
            assert found.get((row, f"q{number}")) == ("" if layout in ("text", "content beside an id") else place)


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


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_text_inside_an_object_that_is_read_in_part_makes_no_pass(carto, tmp_path, gate, thin, suffix):
    """It shows itself only after the rows by which the layout is found."""
    rows = [
        {"data": {"text": text, "note": "x" * 400 if k >= 256 else "none"}}
        for k, text in enumerate(sentences(300, words=8))
    ]
    batch = tmp_path / f"batch.{suffix}"
    if suffix == "jsonl":
        batch.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), batch)
    rule = "  - {id: unread-text, metric: batch.unread_text_share, max: 0.01, severity: reject, reason: read it all}\n"
    gate.write_text(GATE + rule)
    out = tmp_path / "audit"
    assert carto("ingest", batch, "--policy", gate, "--folds", 1, "--epochs", 2, "--out", out).code == 3
    (unread,) = json.loads((out / "report.json").read_text())["batch"]["layout"]["unread"]
    assert unread == {"column": "data.note", "bytes": 44 * 400 + 256 * 4, "long_bytes": 44 * 400}


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
