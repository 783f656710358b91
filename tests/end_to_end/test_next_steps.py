"""What an audit says to do next is done, word for word, and changes the verdict."""

import json
import shlex

import pytest

from tests.support.audits import GATE, NO_ITEMS, QUESTION, sentences, write_benchmark, write_parquet

pytestmark = pytest.mark.usefixtures("thin")


def commands(out):
    return [shlex.split(line[2:])[1:] for line in out.splitlines() if line.startswith(("> Next ", "> Then "))]


def without_name(command):
    """The arguments after `carto-audit`."""
    return command[command.index("carto-audit") + 1 :]


@pytest.fixture
def rejected(tmp_path, monkeypatch, carto):
    """An audit that was called with a policy, a benchmark and a folder of its own, from names that a shell would split."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / 'it\'s a "place" $HOME'
    asked = f"{QUESTION} 12 lanterns, 17 lanterns, 22 lanterns. Answer: 12 lanterns"
    write_parquet(place / "b.parquet", [*sentences(48), asked])
    (place / "ours.yaml").write_text(GATE + NO_ITEMS)
    write_benchmark(place / "exam.jsonl")
    named = [
        f"{place.name}/b.parquet",
        "--policy",
        f"{place.name}/ours.yaml",
        "--benchmark",
        f"{place.name}/exam.jsonl",
    ]
    return carto("ingest", *named, "--out", f"{place.name}/b-audit", "--epochs", "2"), place


def test_the_commands_lead_from_rejected_to_accepted(rejected, carto):
    ended, place = rejected
    assert ended.code == 1
    apply, ingest = map(without_name, commands(ended.out))
    assert f"{place.name}/exam.jsonl" in ingest
    assert ingest[-2:] == ["--out", f"{place.name}/b-curated-audit"]
    assert carto(*apply).code == 0
    assert carto(*ingest).code == 0
    again = json.loads((place / "b-curated-audit" / "report.json").read_text())
    assert again["metrics"]["contamination.confirmed_items"] == 0
    assert again["run"]["epochs"] == 2


def test_the_report_holds_names_and_no_path(rejected):
    _, place = rejected
    written = json.loads((place / "b-audit" / "report.json").read_text())["run"]["call"]
    assert written == {"policy": "ours.yaml", "benchmarks": ["exam.jsonl"], "options": {"epochs": "2"}}
    assert place.name not in (place / "b-audit" / "report.json").read_text()
    page = (place / "b-audit" / "report.html").read_text()
    assert "carto-audit apply AUDIT_DIR --out CURATED_DIR" in page
    assert "ingest CURATED_DIR/curated --policy ours.yaml --benchmark exam.jsonl --epochs 2" in page


def test_what_apply_says_next_keeps_policy_and_benchmark(rejected, carto):
    ended, _ = rejected
    said = carto(*without_name(commands(ended.out)[0])).out.splitlines()[-1]
    words = shlex.split(said.removeprefix("Next: "))
    assert words[words.index("--policy") + 1] == "ours.yaml"
    assert words[words.index("--benchmark") + 1] == "exam.jsonl"
