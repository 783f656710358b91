import pytest

from carto_audit.benchmarks.column_mappings import READY
from carto_audit.benchmarks.index import build_index
from carto_audit.benchmarks.registry import load_registry
from carto_audit.contamination import sources
from carto_audit.contamination.detectability import measure_detectability
from carto_audit.contamination.index_file import write_index
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.sources import Reading, open_index, read_source
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.quizzes import BELL, ITEMS, quiz, write_quiz


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A registry of two benchmarks, and the index over both where the registry says."""
    monkeypatch.chdir(tmp_path)
    write_quiz(tmp_path / "quiz.jsonl")
    write_quiz(tmp_path / "one.jsonl", ITEMS[:1])
    write_quiz(tmp_path / "loose.jsonl", ITEMS[1:2])
    text = "schema_version: 1\nbenchmarks: {quiz: {path: quiz.jsonl}, one: {path: one.jsonl}}\n"
    (tmp_path / "benchmarks.yaml").write_text(text)
    built = build_index([quiz(tmp_path / "quiz.jsonl"), quiz(tmp_path / "one.jsonl", ITEMS[:1])])
    write_index(tmp_path / "benchmarks.cartoindex", built, measure_detectability(built, find_matches))
    return tmp_path


@pytest.fixture
def registry(folder):
    return load_registry(folder / "benchmarks.yaml")


def never(texts, index):
    raise AssertionError("measured again")


def names(index):
    return [benchmark.name for benchmark in index.benchmarks]


@pytest.mark.parametrize("given_sources", [["quiz", "one"], ["benchmarks.cartoindex"]])
def test_a_built_index_is_taken_as_it_is(registry, given_sources):
    index, detectability = open_index(given_sources, never, registry=registry)
    assert names(index) == ["quiz", "one"]
    assert detectability.detectable[0]
    assert [match.item for match in find_matches([BELL], index)][:1] == [0]


@pytest.mark.parametrize(
    ("given_sources", "wanted"),
    [
        (["one"], ["one"]),
        (["one", "quiz"], ["one", "quiz"]),
        (["quiz", "loose.jsonl"], ["quiz", "loose"]),
        (["benchmarks.cartoindex", "loose.jsonl"], ["quiz", "one", "loose"]),
        (["loose.jsonl"], ["loose"]),
    ],
)
def test_any_other_choice_is_built_and_measured_in_memory(registry, given_sources, wanted):
    index, detectability = open_index(given_sources, find_matches, registry=registry)
    assert names(index) == wanted
    assert detectability.found.shape == (1, len(index.item_benchmark))
    assert detectability.forms == ("embedded",)


def test_an_index_is_enough_where_the_sets_themselves_are_not(registry, folder):
    (folder / "quiz.jsonl").unlink()
    assert names(open_index(["quiz"], find_matches, registry=registry)[0]) == ["quiz"]


def test_without_an_index_the_sets_themselves_are_read(registry, folder):
    (folder / "benchmarks.cartoindex").unlink()
    assert names(open_index(["quiz", "one"], find_matches, registry=registry)[0]) == ["quiz", "one"]


def test_an_index_that_its_set_has_left_behind_is_refused(registry, folder):
    write_quiz(folder / "quiz.jsonl", ITEMS[:3])
    with pytest.raises(
        AuditError, match='"quiz" has changed since this index was built; build it again with'
    ) as caught:
        open_index(["quiz"], never, registry=registry)
    assert caught.value.exit_code == 3


def test_an_index_that_lacks_a_set_is_refused(registry, folder):
    built = build_index([quiz(folder / "one.jsonl", ITEMS[:1])])
    write_index(folder / "benchmarks.cartoindex", built, measure_detectability(built, find_matches))
    with pytest.raises(AuditError, match='does not hold "quiz"; build it again'):
        open_index(["quiz"], never, registry=registry)


def test_the_same_set_twice_is_refused(registry):
    with pytest.raises(UsageError, match='two benchmarks are called "quiz"'):
        open_index(["quiz", "quiz.jsonl"], find_matches, registry=registry)


def test_what_is_neither_a_file_nor_listed_is_refused(registry):
    with pytest.raises(UsageError, match=r'neither a file nor a benchmark of .*; did you mean "quiz"'):
        open_index(["quizz"], never, registry=registry)
    with pytest.raises(AuditError, match="nowhere: no such benchmark file"):
        open_index(["nowhere"], never)


def test_a_source_is_read_as_it_was_asked_unless_the_registry_says_how(registry, folder):
    found = read_source("loose.jsonl", reading=Reading(name="mine", mapping=READY["plain"]), registry=registry)
    assert (found.name, found.mapping) == ("mine", "plain")
    with pytest.raises(UsageError, match="the registry says how to read it"):
        read_source("quiz", reading=Reading(split="test"), registry=registry)


def test_only_a_hub_name_reaches_the_hub(registry, monkeypatch):
    asked = []
    monkeypatch.setattr(sources, "read_hub", lambda wanted, **options: asked.append((wanted.dataset, options["split"])))
    read_source("hf:org/quiz", reading=Reading(split="dev"), registry=registry)
    with pytest.raises(UsageError):
        read_source("org/quiz", registry=registry)
    assert asked == [("org/quiz", "dev")]
