import importlib.util
import json
import os
import subprocess
import sys

import click
import pytest

from carto_audit.cli import main as cli
from carto_audit.cli.benchmarks import benchmarks
from carto_audit.contamination.index_file import read_index
from carto_audit.contamination.matching import find_matches
from tests.support.audits import Ended
from tests.support.fake_hub import COMMIT, environment, fake_hub
from tests.support.quizzes import BELL, ITEMS, write_quiz


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Runs `carto-audit benchmarks …` in an empty folder: exit code and both streams."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        capsys.readouterr()
        words = ["benchmarks", *map(str, arguments)]
        code = cli.run(lambda: cli.cli.main(words, "carto-audit", standalone_mode=False))
        said = capsys.readouterr()
        return Ended(code=code, out=said.out, err=said.err)

    return command


REGISTRY = f"""\
schema_version: 1
benchmarks:
  quiz: {{path: quiz.jsonl}}
  arc: {{hub: allenai/ai2_arc, revision: {COMMIT}, index: arc.cartoindex}}
"""


def rows_of(out):
    return [line[2:].split() for line in out.splitlines() if line.startswith("│ ") and line[2:].strip()]


def test_an_index_is_built_shown_and_found_with(run, tmp_path):
    write_quiz(tmp_path / "quiz.jsonl")
    ended = run("build", "quiz.jsonl", "--out", "evals.cartoindex")
    assert ended.code == 0
    assert ended.out.splitlines()[-1] == "Index: evals.cartoindex"
    assert rows_of(ended.out)[1][:3] == ["quiz", str(len(ITEMS)), "6"]  # bell twice, one wording of thirty items
    assert "Planting benchmark items" in ended.err
    index = read_index(tmp_path / "evals.cartoindex").index
    assert find_matches([BELL], index)[0].item == 0


def test_a_list_tells_what_can_be_found_and_where_it_came_from(run, tmp_path):
    write_quiz(tmp_path / "quiz.jsonl")
    built = run("build", "quiz.jsonl")
    ended = run("list")
    assert ended.code == 0
    head, row = rows_of(ended.out)
    assert " ".join(head) == (
        "benchmark items groups detectable alone embedded rewrapped recased with options disguised source revision"
    )
    assert row[-3:-1] == ["quiz.jsonl", "sha256"]
    assert row[3:15:2][-1] != row[3:15:2][0]  # with options more is found
    assert ended.out in built.out


def test_every_item_is_listed_with_the_forms_in_which_it_is_found(run, tmp_path):
    write_quiz(
        tmp_path / "quiz.jsonl", [*ITEMS, {"item_id": "::error::\x1b[31m", "question": "::stop::\n\u202eWhy not?"}]
    )
    run("build", "quiz.jsonl")
    ended = run("list", "quiz", "--items")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert len(lines) == len(ITEMS) + 1
    assert lines[0].startswith("+ bell  [all forms]  A bronze bell of 412")
    assert "- blank  [no form]" in lines[6]
    assert "- true0  [with options]  Which of the following" in lines[7]
    assert not set("\x1b\u202e") & set(ended.out)
    assert not any("::" in line for line in lines)


def test_a_registry_is_built_and_listed_as_a_whole(run, tmp_path):
    write_quiz(tmp_path / "quiz.jsonl")
    (tmp_path / "benchmarks.yaml").write_text(REGISTRY)
    assert run("build", "quiz").code == 0
    ended = run("list")
    assert ended.code == 0
    _, quiz_row, arc_row = rows_of(ended.out)
    assert quiz_row[0] == "quiz"
    assert "%" in quiz_row
    assert " ".join(arc_row) == f"arc not built hf:allenai/ai2_arc {COMMIT[:12]}"
    assert run("list", "quiz", "--items").code == 0
    ended = run("list", "arc", "--items")
    assert (ended.code, ended.out) == (2, "")
    assert "arc.cartoindex: is not built yet; run carto-audit benchmarks build" in ended.err


def test_without_a_source_all_of_the_registry_is_built(run, tmp_path):
    (tmp_path / "sets").mkdir()
    write_quiz(tmp_path / "sets" / "quiz.jsonl")
    write_quiz(tmp_path / "sets" / "one.jsonl", ITEMS[:1])
    text = "schema_version: 1\nbenchmarks: {quiz: {path: quiz.jsonl}, one: {path: one.jsonl, index: one.cartoindex}}\n"
    (tmp_path / "sets" / "evals.yaml").write_text(text)
    ended = run("build", "--registry", "sets/evals.yaml")
    assert ended.code == 0
    assert sorted(path.name for path in (tmp_path / "sets").glob("*.cartoindex")) == [
        "benchmarks.cartoindex",
        "one.cartoindex",
    ]
    ended = run("build", "--registry", "sets/evals.yaml", "--out", "all.cartoindex")
    assert [b.name for b in read_index(tmp_path / "all.cartoindex").index.benchmarks] == ["quiz", "one"]


def test_columns_are_mapped_on_the_command_line(run, tmp_path):
    (tmp_path / "house.csv").write_text("stem,a,b,key\nWho tuned the Ottersund organ in winter?,Brask,Veldt,B\n")
    ended = run(
        "build", "house.csv", "--name", "ours", "--map", "question=stem", "--map", "choices=a,b", "--map", "answer=key"
    )
    assert ended.code == 0
    (benchmark,) = read_index(tmp_path / "benchmarks.cartoindex").index.benchmarks
    assert (benchmark.name, benchmark.items["answer"].to_pylist()) == ("ours", ["Veldt"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["build"], 2, "nothing to build: name a file, or list the benchmarks in benchmarks.yaml"),
        (["build", "a.jsonl", "b.jsonl", "--name", "x"], 2, "--name needs exactly one SOURCE"),
        (["build", "a.jsonl", "--map", "qestion=x"], 2, 'did you mean "question"'),
        (["build", "nowhere.jsonl"], 3, "nowhere.jsonl: no such benchmark file"),
        (["build", "blank.jsonl"], 3, "blank.jsonl: this benchmark has no questions"),
        (["build", "half.parquet"], 3, "half.parquet: cannot read as parquet"),
        (["build", "hf:a b"], 2, "write hf:OWNER/NAME@REVISION"),
        (["list"], 3, "benchmarks.cartoindex: cannot read this index: No such file"),
        (["list", "--index", "old.cartoindex"], 3, "old.cartoindex: made by another version; build it with"),
        (["list", "--index", "half.cartoindex"], 3, "half.cartoindex: this index is damaged or not whole"),
        (["list", "--items"], 2, "--items needs the NAME of one benchmark"),
        (["list", "--registry", "bad.yaml"], 2, "bad.yaml:1:1: indx: unknown key"),
        (["list", "quizz", "--index", "good.cartoindex", "--items"], 2, 'holds no "quizz"; did you mean "quiz"?'),
        (["list", "\x1b[31m::error::", "--index", "good.cartoindex"], 2, "holds no"),
        (["bild"], 2, "No such command 'bild'"),
    ],
)
def test_every_mistake_is_one_clear_line_with_its_exit_code(run, tmp_path, arguments, code, words):
    write_quiz(tmp_path / "quiz.jsonl", ITEMS[:2])
    run("build", "quiz.jsonl", "--out", "good.cartoindex")
    (tmp_path / "blank.jsonl").write_text('{"question": " "}')
    (tmp_path / "half.parquet").write_bytes(b"PAR1\x00\x00")
    (tmp_path / "old.cartoindex").write_bytes(b"carto-audit index 0\n")
    (tmp_path / "bad.yaml").write_text("indx: 1\nschema_version: 1\nbenchmarks: {x: {path: a}}\n")
    (tmp_path / "half.cartoindex").write_bytes((tmp_path / "good.cartoindex").read_bytes()[:-5])
    ended = run(*arguments)
    assert (ended.code, ended.out) == (code, "")
    assert words in ended.err
    assert len([line for line in ended.err.splitlines() if line.startswith("Error")]) == 1
    assert "Traceback" not in ended.err
    assert "\x1b" not in ended.err


@pytest.mark.parametrize("name", benchmarks.commands)
def test_every_help_ends_with_an_example_of_itself(run, name):
    prose = run(name, "--help").out.split("Options:")[0].rstrip().splitlines()
    assert prose[-1].strip().startswith(f"carto-audit benchmarks {name} ")


@pytest.mark.parametrize("name", benchmarks.commands)
def test_every_flag_says_what_it_does(name):
    for parameter in benchmarks.commands[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help


def test_the_help_loads_nothing_heavy(tmp_path):
    program = (
        "import sys; from carto_audit.cli.benchmarks import benchmarks; "
        "benchmarks.main(['build', '--help'], 'x', standalone_mode=False); "
        "assert not {'torch', 'numpy', 'pyarrow', 'datasets'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="needs the extra [hub]: pip install datasets")
@pytest.mark.enable_socket
def test_a_hub_data_set_becomes_an_index_that_needs_no_hub(run, tmp_path):
    lines = "\n".join(
        json.dumps(item) for item in [{"question": BELL, "answer": "a"}, {"question": "Why?", "answer": "b"}]
    )
    program = (
        "import sys; from carto_audit.cli import main as cli; from carto_audit.cli.benchmarks import benchmarks; "
        "sys.exit(cli.run(lambda: benchmarks.main(sys.argv[1:], 'carto-audit benchmarks', standalone_mode=False)))"
    )
    with fake_hub({"org/quiz": {"data/test.jsonl": lines.encode()}}) as (address, _):
        done = subprocess.run(
            [sys.executable, "-c", program, "build", "hf:org/quiz"],
            cwd=tmp_path,
            env={**os.environ, **environment(address, tmp_path / "home")},
            capture_output=True,
            encoding="utf-8",
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert f"hf:org/quiz was read at {COMMIT}" in done.stderr
    ended = run("list")
    assert ended.code == 0
    assert rows_of(ended.out)[1][-2:] == ["hf:org/quiz#test", COMMIT[:12]]
