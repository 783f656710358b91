from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.benchmarks import registry as registry_module
from carto_audit.benchmarks.items import Benchmark
from carto_audit.benchmarks.registry import find_registry, load_registry
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.hub import HubName
from tests.support.quizzes import ITEMS, quiz, write_quiz

COMMIT = "0123456789abcdef0123456789abcdef01234567"

GOOD = f"""\
schema_version: 1
index: built/evals.cartoindex
benchmarks:
  quiz: {{path: sets/quiz.jsonl}}
  house:
    path: house.csv
    mapping: {{question: stem, choices: "a,b,c", answer: key}}
    index: house.cartoindex
  arc: {{hub: allenai/ai2_arc, revision: {COMMIT}, config: ARC-Challenge, split: test, mapping: arc}}
"""


@pytest.fixture
def registry(tmp_path):
    (tmp_path / "sets").mkdir()
    write_quiz(tmp_path / "sets" / "quiz.jsonl")
    (tmp_path / "house.csv").write_text("stem,a,b,c,key\nWho tuned the organ?,Brask,Veldt,nobody,B\n")
    (tmp_path / "benchmarks.yaml").write_text(GOOD)
    return load_registry(tmp_path / "benchmarks.yaml")


def test_a_registry_names_sources_and_indexes_beside_itself(registry, tmp_path):
    assert list(registry.entries) == ["quiz", "house", "arc"]
    assert registry.source("quiz") == str(tmp_path / "sets" / "quiz.jsonl")
    assert registry.source("arc") == "hf:allenai/ai2_arc"
    assert registry.index_path("quiz") == tmp_path / "built" / "evals.cartoindex"
    assert registry.index_path("house") == tmp_path / "house.cartoindex"


def test_a_benchmark_is_read_under_its_name_and_by_its_mapping(registry):
    assert registry.read("quiz").name == "quiz"
    house = registry.read("house")
    assert house.name == "house"
    assert house.items["choices"].to_pylist() == [["Brask", "Veldt", "nobody"]]
    assert house.items["answer"].to_pylist() == ["Veldt"]


def test_a_hub_entry_is_read_at_its_commit(registry, monkeypatch):
    asked = []
    monkeypatch.setattr(registry_module, "read_hub", lambda wanted, **options: asked.append((wanted, options)))
    registry.read("arc")
    (wanted, options), *_ = asked
    assert wanted == HubName(dataset="allenai/ai2_arc", revision=COMMIT)
    assert (options["name"], options["config"], options["split"], options["mapping"].name) == (
        "arc",
        "ARC-Challenge",
        "test",
        "arc",
    )


def test_a_changed_file_commit_or_mapping_is_noticed(registry, tmp_path):
    found = registry.read("quiz")
    assert registry.is_current("quiz", found)
    assert not registry.is_current("house", found)
    write_quiz(tmp_path / "sets" / "quiz.jsonl", ITEMS[:2])
    assert not registry.is_current("quiz", found)
    (tmp_path / "sets" / "quiz.jsonl").unlink()
    assert registry.is_current("quiz", found)  # where only the index was shipped

    def arc(**other):
        told = {"source": "hf:allenai/ai2_arc#ARC-Challenge/test", "revision": COMMIT, "mapping": "arc"} | other
        return Benchmark(name="arc", sha256="", items=found.items, **told)

    assert registry.is_current("arc", arc())
    assert not registry.is_current("arc", arc(revision="f" * 40))
    assert not registry.is_current("arc", arc(source="hf:other/arc#test"))


def test_an_unknown_name_is_refused_with_the_nearest(registry):
    with pytest.raises(UsageError, match='no benchmark is called "quizz"; did you mean "quiz"'):
        registry.read("quizz")
    with pytest.raises(UsageError, match="it lists quiz, house, arc"):
        registry.entry("zzzz")


def test_a_missing_file_of_an_entry_is_one_clear_line(registry, tmp_path):
    (tmp_path / "house.csv").unlink()
    with pytest.raises(AuditError, match=r"house\.csv: no such benchmark file"):
        registry.read("house")


@pytest.mark.parametrize(
    ("entry", "spot", "words"),
    [
        (
            "{path: a, mapping: gsm8}",
            "3:15",
            'benchmarks.x.mapping: no mapping is called "gsm8"; did you mean "gsm8k"?',
        ),
        ("{path: a, mapping: {qestion: s}}", "3:15", '"qestion" is no part of an item; did you mean "question"?'),
        ("{path: a, mapping: {choices: s}}", "3:15", "a mapping needs a question"),
        ("{path: a, pfad: b}", "3:15", "benchmarks.x.pfad: unknown key"),
        ("{hub: a/b, revision: main}", "3:16", "should be a whole commit of 40 hexadecimal digits"),
        ("{hub: a/b}", "3:2", "a hub data set needs its revision"),
        ("{hub: ../b, revision: " + COMMIT + "}", "3:6", "should be OWNER/NAME"),
        ("{hub: a/b@main, revision: " + COMMIT + "}", "3:6", "the revision goes into a key of its own"),
        ("{path: a, hub: a/b, revision: " + COMMIT + "}", "3:2", "needs exactly one of path and hub"),
        ("{path: a, revision: " + COMMIT + "}", "3:2", "only a hub data set has a revision"),
        ("{split: test}", "3:2", "needs exactly one of path and hub"),
        ("{path: 7}", "3:6", "benchmarks.x.path: should be text"),
        ("[a]", "3:2", "should be a mapping of keys"),
    ],
)
def test_every_mistake_in_an_entry_has_its_line_and_column(tmp_path, entry, spot, words):
    path = tmp_path / "benchmarks.yaml"
    path.write_text(f"schema_version: 1\nbenchmarks:\n x: {entry}\n")
    with pytest.raises(UsageError) as caught:
        load_registry(path)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{path}:{spot}: ")
    assert words in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty; start with schema_version: 1"),
        ("schema_version: 2\nbenchmarks: {x: {path: a}}\n", ":1:1: schema_version: should be 1"),
        ("schema_version: 1\nbenchmarks: {}\n", ":2:1: benchmarks: lists no benchmark"),
        ("schema_version: 1\n", "benchmarks: this key is missing"),
        ("schema_version: 1\nbenchmarks: {a b: {path: x}}\n", ":2:14: benchmarks.a b: a name is letters, digits"),
        ("schema_version: 1\nbenchmark: {}\n", 'unknown key; did you mean "benchmarks"?'),
        (
            "schema_version: 1\nbenchmarks: &x {a: {path: b}}\nindex: *x\n",
            ":3:1: index: aliases (*name) are not allowed",
        ),
        ("a: [", "not valid YAML"),
        ("'1[': x\n", "1[: unknown key"),
        ("schema_version: 1\nbenchmarks: {x: {path: a, mapping: {question: 3}}}\n", "mapping.question: should be text"),
        ("schema_version: 1\nbenchmarks: {a: {path: b}, a: {path: c}}\n", "this key is written twice"),
    ],
)
def test_every_mistake_in_a_registry_is_told(tmp_path, text, words):
    path = tmp_path / "benchmarks.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_registry(path)
    assert words in str(caught.value)
    assert "policy" not in str(caught.value)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "benchmarks.yaml"
    path.write_text("schema_version: 1\nindx: a\nbenchmarks:\n  a: {}\n  b: {path: 3}\n")
    with pytest.raises(UsageError) as caught:
        load_registry(path)
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["2", "4", "5"]


def test_a_registry_is_found_by_its_usual_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_registry() is None
    quiz(tmp_path / "quiz.jsonl")
    Path("benchmarks.yaml").write_text("schema_version: 1\nbenchmarks: {quiz: {path: quiz.jsonl}}\n")
    assert list(find_registry().entries) == ["quiz"]
    with pytest.raises(UsageError, match=r"nope\.yaml: cannot read the registry: no such file"):
        find_registry(Path("nope.yaml"))


@settings(deadline=None)
@given(st.text(st.sampled_from("schema_version: 1\nbenchmarks{}[]path&*!<\t-'\"\x1b"), max_size=80))
def test_any_text_is_read_or_refused_in_safe_lines(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "benchmarks.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_registry(path)
    assert "\x1b" not in str(caught.value)
