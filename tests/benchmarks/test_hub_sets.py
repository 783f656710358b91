import importlib.util
import io
import json
import os
import socket
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carto_audit.benchmarks import hub_sets as hub
from carto_audit.benchmarks.hub_sets import read_hub
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.hub import HubName, is_hub_name, parse_hub_name
from tests.support.fake_hub import COMMIT, OTHER, environment, fake_hub

needs_datasets = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="needs the extra [hub]: pip install datasets"
)

PROGRAM = """
import json, sys
from carto_audit.runtime.errors import CartoError
from carto_audit.benchmarks.hub_sets import read_hub
from carto_audit.runtime.hub import parse_hub_name
from carto_audit.runtime.progress import Progress

class Notes(Progress):
    def note(self, message):
        notes.append(message)

for line in sys.argv[1:]:
    notes, (name, config, split) = [], json.loads(line)
    try:
        found = read_hub(parse_hub_name(name), config=config, split=split, progress=Notes())
        told = {k: getattr(found, k) for k in ("name", "sha256", "source", "revision", "mapping")}
        outcome = told | {"questions": found.items["question"].to_pylist(), "notes": notes}
    except CartoError as error:
        outcome = {"error": str(error), "code": int(error.exit_code)}
    print(json.dumps(outcome))
"""
"""In a process of its own, because the hub's libraries read their variables once. Nothing but the fake hub is named."""

CARD = b"""---
configs:
- config_name: main
  default: true
  data_files:
  - {split: test, path: main/test-*}
- config_name: hard
  data_files:
  - {split: test, path: hard/test-*}
---
"""


def parquet(name, count=40):
    sink = io.BytesIO()
    rows = [{"question": f"Who sang {name} song {k}?", "answer": f"She did.\n#### {k}"} for k in range(count)]
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


FILES = {
    "README.md": CARD,
    "main/test-00000-of-00001.parquet": parquet("main"),
    "hard/test-00000-of-00001.parquet": parquet("hard", 2),
}
REPOSITORIES = {
    "org/quiz": FILES,
    "org/half": FILES,
    "org/cut": FILES | {"main/test-00000-of-00001.parquet": parquet("main")[:300]},
    "org/lines": {"test.jsonl": b'{"stem": "Who?"}\n'},
    "org/empty": {"README.md": b"nothing here"},
}


def read_all(address, home, *wanted):
    """What reading each (name, config, split) led to, one after the other."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, *map(json.dumps, wanted)],
        env={**os.environ, **environment(address, home)},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@needs_datasets
@pytest.mark.enable_socket
def test_a_hub_data_set_is_read_at_its_commit_and_a_branch_is_resolved_and_recorded(tmp_path):
    with fake_hub(REPOSITORIES) as (address, asked):
        pinned, branch, hard = read_all(
            address,
            tmp_path,
            (f"hf:org/quiz@{COMMIT}", None, None),
            ("hf:org/quiz@main", None, None),
            ("hf:org/quiz", "hard", "test"),
        )
    assert (pinned["name"], pinned["revision"], pinned["mapping"]) == ("quiz", COMMIT, "gsm8k")
    assert pinned["questions"][:1] == ["Who sang main song 0?"]
    assert (len(pinned["questions"]), pinned["notes"]) == (40, [])
    assert branch["notes"] == [f"hf:org/quiz was read at {COMMIT}; write hf:org/quiz@{COMMIT} to read the same again"]
    assert {key: branch[key] for key in ("sha256", "revision", "source")} == {
        "sha256": pinned["sha256"],
        "revision": COMMIT,
        "source": "hf:org/quiz#test",
    }
    assert (hard["source"], len(hard["questions"])) == ("hf:org/quiz#hard/test", 2)
    assert asked[0] == f"GET /api/datasets/org/quiz/revision/{COMMIT}"


REFUSALS = [
    ("hf:org/missing", None, None, "the hub has no such data set (404); check the name"),
    ("hf:org/private", None, None, "the hub refuses access (401)"),
    ("hf:org/broken", None, None, "the hub answers 503; try again later"),
    ("hf:org/nothing", None, None, "the hub does not answer, or breaks off"),
    ("hf:org/noise", None, None, "cannot read it: "),
    ("hf:org/half", None, None, "the hub does not answer, or breaks off"),
    ("hf:org/cut", None, None, "cannot read it: "),
    ("hf:org/empty", None, None, "cannot read it: "),
    ("hf:org/quiz@v9", None, None, "the hub has no revision v9 of it"),
    (f"hf:org/quiz@{OTHER}", None, None, f"the hub has no revision {OTHER} of it"),
    ("hf:org/quiz", None, "tset", "cannot read it: Unknown split"),
    ("hf:org/quiz", "other", None, "cannot read it: "),
    ("hf:org/lines", None, None, 'no "question" column in this benchmark; it has: stem'),
]


@needs_datasets
@pytest.mark.enable_socket
def test_whatever_the_hub_answers_is_one_clear_line_and_exit_code_3(tmp_path):
    with fake_hub(REPOSITORIES) as (address, _):
        outcomes = read_all(address, tmp_path, *[refusal[:3] for refusal in REFUSALS])
    for (name, _, _, words), outcome in zip(REFUSALS, outcomes, strict=True):
        assert words in outcome.get("error", ""), (name, outcome)
        assert outcome["error"].startswith(name.split("@")[0])
        assert outcome["code"] == 3
        assert not set("\n\x1b") & set(outcome["error"])


@needs_datasets
@pytest.mark.enable_socket
def test_a_hub_where_nobody_listens_is_one_clear_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        (outcome,) = read_all(address, tmp_path, ("hf:org/quiz", None, None))
    assert "the hub does not answer, or breaks off" in outcome["error"]
    assert outcome["code"] == 3


def test_without_the_extra_the_way_out_is_said(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(hub, "import_module", missing)
    with pytest.raises(AuditError, match=r"need the datasets library; pip install 'carto-audit\[hub\]'"):
        read_hub(HubName(dataset="org/quiz"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hf:org/quiz", HubName(dataset="org/quiz")),
        ("hf:squad", HubName(dataset="squad")),
        ("hf:org/quiz.v2@refs/convert/parquet", HubName(dataset="org/quiz.v2", revision="refs/convert/parquet")),
    ],
)
def test_a_hub_name_is_owner_name_and_revision(text, wanted):
    assert parse_hub_name(text) == wanted


@pytest.mark.parametrize(
    "text", ["hf:", "hf:../../x", "hf:a/b/c", "hf:a b", "org/quiz", "hf:a/b@", "hf:a/..b@x\n", "hf:\x1b"]
)
def test_what_is_no_hub_name_is_refused(text):
    with pytest.raises(UsageError, match="no name of a hub data set") as caught:
        parse_hub_name(text)
    assert not set("\n\x1b") & set(str(caught.value))


def test_only_the_prefix_leads_to_the_hub():
    assert is_hub_name("hf:org/quiz")
    assert not any(map(is_hub_name, ["org/quiz", "./hf:org/quiz", "quiz.parquet", "HF:org/quiz"]))
