import errno
import json
import re
import shutil
import sys

import click
import pyarrow.parquet as pq
import pytest

from carto_audit import __version__
from carto_audit.artifacts.file_list import OUTPUTS
from carto_audit.cli import main as cli
from carto_audit.data.shards import batch_name
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.audits import run_on_terminal, run_process, sentences, write_parquet
from tests.support.quizzes import BELL, ITEMS, write_quiz

FLAGS = {
    "benchmarks build": "--out --registry --name --map --config --split",
    "benchmarks list": "--index --registry --items",
    "ingest": "--policy --benchmark --registry --out --text-column --layout --loss-on --strict-input --id-column --encoding "
    "--csv-delimiter --csv-quote --csv-escape --csv-header --config --split --proxy --device --engine --workers --address "
    "--epochs --folds "
    "--max-tokens --repeats --reference --baseline --baseline-key --redteam --decisions --lens "
    "--vendor-summary --vendor-salt --vendor-key --vendor-recompute --ledger --vendor --sampling-key --seed --fail-on --format "
    "--excerpts --quiet --show-config",
    "demo": "--out --seed",
    "ledger add": "--ledger --vendor",
    "ledger verify": "--head",
    "history": "--ledger --vendor --metric --last --html",
    "compare": "--ledger --metric --html",
    "redteam": "--policy --quick --seeds --level --score --max-perplexity-increase --out --text-column --id-column --encoding "
    "--csv-delimiter --csv-quote --csv-escape --csv-header --config --split --proxy --device --engine --workers --address "
    "--epochs "
    "--max-tokens --seed --quiet",
    "plant": "--out --policy --doses --share --hold-out --tokenizer --max-length --packing --loss-on --text-column --layout "
    "--id-column --encoding --csv-delimiter --csv-quote --csv-escape --csv-header --config --split --seed --quiet",
    "score": "--policy --tokenizer --base --late --benchmark --registry --out --fail-on --format --excerpts --quiet",
    "trace proxies": "--out --tokenizer --trace --max-length --epochs --device --quiet",
    "trace read": "--out --tokenizer --trace --max-length --device --quiet",
    "report": "--format --excerpts --open --schema",
    "show": "",
    "reply": "--out --name-benchmarks",
    "completion": "",
    "apply": "--remove --out",
    "card": "--readme --croissant --push-to",
    "lenses list": "",
    "lenses explain": "",
    "lenses test": "",
    "policy check": "",
    "attest": "--key --new-key",
    "verify": "--policy --key --sampling-key",
    "summarize": "--out --key --sampling-key --salt",
    "policy explain": "",
    "policy test": "",
    "policy diff": "--format",
    "policy schema": "",
    "policy metrics": "",
    "policy try": "--baseline --format",
}


def commands(group=cli.cli, prefix=""):
    """Every command by its full name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def names():
    return [name for name, _ in commands()]


def test_the_commands_and_their_flags_are_a_promise():
    found = {
        name: [option for p in command.params if isinstance(p, click.Option) for option in p.opts]
        for name, command in commands()
    }
    assert found == {name: flags.split() for name, flags in FLAGS.items()}


@pytest.mark.parametrize("name", names())
def test_every_help_ends_with_an_example_of_itself(name, carto):
    ended = carto(*name.split(), "--help")
    assert ended.code == 0
    prose = ended.out.split("Options:")[0].rstrip().splitlines()
    assert prose[-1].strip().startswith(f"carto-audit {name} ")
    assert "Example" in ended.out
    assert carto(*name.split(), "-h") == ended


@pytest.mark.parametrize("name", names())
def test_every_flag_says_what_it_does(name):
    for parameter in dict(commands())[name].params:
        if isinstance(parameter, click.Option) and not isinstance(parameter.type, click.Choice):
            assert parameter.help or parameter.name == "seed", parameter.name


def test_the_help_names_every_command_and_every_exit_code(carto):
    text = carto("--help").out
    for words in (
        "ingest",
        "demo",
        "report",
        "policy",
        "benchmarks",
        "0 accepted",
        "1 rejected",
        "2 usage",
        "3 incomplete",
        "130",
    ):
        assert words in text


def test_the_version_is_the_package_s(carto):
    assert carto("--version").out.strip().endswith(__version__)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ingest"], "Missing argument 'BATCH...'"),
        (["ingest", "a.parquet", "--polciy", "x"], "No such option '--polciy'"),
        (["ingest", "a.parquet", "--epochs", "1"], "1 is not in the range"),
        (["ingest", "a.parquet", "--folds", "3"], "3 is not in the range"),
        (["ingest", "a.parquet", "--repeats", "0"], "0 is not in the range"),
        (["ingest", "a.parquet", "--fail-on", "sometimes"], "'sometimes' is not one of"),
        (["ingest", "a.parquet", "--seed", "x"], "'x' is not a valid integer"),
        (["report", "nowhere"], "does not exist"),
        (["polciy"], "No such command 'polciy'"),
    ],
)
def test_a_wrong_command_line_exits_with_2(carto, arguments, words):
    ended = carto(*arguments)
    assert ended.code == 2
    assert words in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "\x1b[31m\u202e\n::error::x"],
        ["ingest", "x", "--fail-on", "\x1b[31m\u202e\n::error::x"],
        ["\x1b[31m\u202e\n::error::x"],
        ["ingest", "\x1b[31m\u202e\n::error::x.parquet"],
        ["ingest", "x", "--policy", "\x1b[31m\u202e\n::error::x.yaml"],
        ["policy", "check", "\x1b[31m\u202e\n::error::x"],
    ],
    ids=lambda arguments: " ".join(arguments[:-1]) or "command",
)
def test_a_hostile_argument_does_not_reach_the_terminal_as_it_is(tmp_path, arguments):
    code, shown = run_on_terminal(*arguments, cwd=tmp_path)
    assert code == 2
    assert not set("\x1b\u202e") & set(shown)
    assert not any(line.lstrip().startswith("::error") for line in shown.splitlines())


def raising(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UsageError("a.yaml: unknown key"), 2, "Error: a.yaml: unknown key"),
        (AuditError("a.parquet: zero rows"), 3, "Error: a.parquet: zero rows"),
        (OSError(errno.ENOSPC, "whatever", "/tmp/\x1b[31mx"), 3, "Error: /tmp/[31mx: No space left on device"),
        (OSError("10 requested and 0 written"), 3, "Error: 10 requested and 0 written"),
        (OSError(), 3, "Error: OSError"),
        (click.UsageError("no such flag"), 2, "Error: no such flag"),
        (click.Abort(), 130, "Interrupted."),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (ZeroDivisionError("\x1b[31m\n::error::"), 4, "Internal error: ZeroDivisionError at test_main.py:"),
        (RecursionError("deep"), 4, "Internal error: RecursionError"),
        (MemoryError(), 3, "Error: out of memory"),
    ],
)
def test_every_way_to_end_has_its_exit_code_and_one_line(capsys, error, code, words):
    assert cli.run(raising(error)) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert "Traceback" not in said.err
    assert "\x1b" not in said.err
    assert not any(line.lstrip().startswith("::") for line in said.err.splitlines())


@pytest.mark.parametrize(("value", "code"), [(None, 0), (0, 0), (1, 1), (3, 3)])
def test_a_command_that_returns_ends_with_its_own_code(value, code):
    assert cli.run(lambda: value) == code


def test_an_internal_error_shows_where_on_request(monkeypatch, capsys):
    monkeypatch.setenv("CARTO_AUDIT_TRACEBACK", "1")
    assert cli.run(raising(ZeroDivisionError())) == 4
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given_path", "name"),
    [
        ("vendor_batch.parquet", "vendor_batch"),
        ("data/vendor.jsonl.gz", "vendor"),
        ("shards", "shards"),
        ("shards/", "shards"),
        ("shards/*.parquet", "shards"),
        ("a[1].parquet", "a[1]"),
        (".hidden.parquet", "hidden"),
        ("vendor.2026-05.parquet", "vendor.2026-05"),
    ],
)
def test_the_audit_is_named_after_the_batch(tmp_path, monkeypatch, given_path, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shards").mkdir()
    (tmp_path / "a[1].parquet").touch()
    assert batch_name(given_path) == name


def test_a_folder_given_as_a_dot_is_named_after_itself(tmp_path, monkeypatch):
    (tmp_path / "shards").mkdir()
    monkeypatch.chdir(tmp_path / "shards")
    assert batch_name(".") == "shards"


def test_valid_and_invalid_policies_are_checked_in_one_call(carto, gate, tmp_path):
    (tmp_path / "bad.yaml").write_text("schema_version: 1\nname: bad\nrulse: []\n")
    ended = carto("policy", "check", "default", tmp_path / "bad.yaml", gate)
    assert ended.code == 2
    assert [line.split(": ")[1].split(";")[0] for line in ended.out.splitlines()] == ["valid", "valid"]
    assert re.search(r'bad\.yaml:3:1: .*did you mean "rules"', ended.err)


def test_a_single_proxy_ends_with_a_verdict_and_every_file(carto, batch_file, gate, tmp_path, thin):
    ended = carto("ingest", batch_file, "--policy", gate, "--folds", 1, "--epochs", 2, "--out", tmp_path / "out")
    assert ended.code == 0
    assert "ACCEPTED" in ended.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        set(OUTPUTS) - {"matches.parquet", "clean_items.parquet", "testimony.parquet"}
    )
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert (verdict["status"], verdict["exit_code"], verdict["complete"]) == ("accepted", 0, True)


QUICK = ["--folds", 1, "--epochs", 2, "--fail-on", "never"]


@pytest.fixture
def house(tmp_path, monkeypatch, thin):
    """A folder with a registry of two benchmarks, and a batch that holds an item of the first."""
    monkeypatch.chdir(tmp_path)
    write_parquet(tmp_path / "batch.parquet", [*sentences(47), f"They say: {BELL} Nobody knew."])
    write_quiz(tmp_path / "ours.jsonl", ITEMS[:2])
    (tmp_path / "house.csv").write_text(f'question,answer\n"{BELL}",46\n')
    write_quiz(tmp_path / "set" / "test.jsonl", ITEMS[:2])
    text = "schema_version: 1\nbenchmarks: {ours: {path: ours.jsonl}, other: {path: house.csv}}\n"
    (tmp_path / "benchmarks.yaml").write_text(text)
    return tmp_path


def found_by_benchmark(folder):
    facts = json.loads((folder / "report.json").read_text())["contamination"]
    return {b["name"]: b["confirmed_items"] for b in facts["benchmarks"]}, facts


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--benchmark", "ours", "--benchmark", "house.csv", "--benchmark", "set"], {"ours": 1, "house": 1, "set": 1}),
        (["--registry", "benchmarks.yaml"], {"ours": 1, "other": 1}),
    ],
    ids=" ".join,
)
def test_a_benchmark_is_named_by_the_registry_or_is_a_file_or_a_folder(carto, house, gate_items, arguments, found):
    ended = carto("ingest", "batch.parquet", "--policy", gate_items, *arguments, "--out", "out", *QUICK)
    assert ended.code == 0, ended.err
    assert "REJECTED" in ended.out
    assert found_by_benchmark(house / "out")[0] == found
    listed = pq.read_table(house / "out" / "clean_items.parquet").to_pylist()
    assert {row["benchmark"] for row in listed} == set(found)


def test_a_built_index_is_not_measured_again_and_tells_every_form(carto, house, gate_items):
    assert carto("benchmarks", "build").code == 0
    ended = carto(
        "ingest", "batch.parquet", "--policy", gate_items, "--registry", "benchmarks.yaml", "--out", "out", *QUICK
    )
    assert ended.code == 0, ended.err
    assert "Planting" not in ended.err
    found, facts = found_by_benchmark(house / "out")
    assert found == {"ours": 1, "other": 1}
    assert list(facts["benchmarks"][0]["detectability"]) == [
        "alone",
        "embedded",
        "recased",
        "rewrapped",
        "with_options",
    ]


def test_a_hub_data_set_can_be_named(carto, house, gate_items, monkeypatch):
    from carto_audit.benchmarks.items import read_benchmark
    from carto_audit.contamination import sources

    monkeypatch.setattr(sources, "read_hub", lambda wanted, **_: read_benchmark("ours.jsonl", name=wanted.dataset))
    ended = carto(
        "ingest", "batch.parquet", "--policy", gate_items, "--benchmark", "hf:org/quiz", "--out", "out", *QUICK
    )
    assert ended.code == 0, ended.err
    assert found_by_benchmark(house / "out")[0] == {"org/quiz": 1}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--benchmark", "our"], 2, 'neither a file nor a benchmark of benchmarks.yaml; did you mean "ours"?'),
        (["--benchmark", "ours", "--registry", "nowhere.yaml"], 2, "nowhere.yaml"),
        (["--benchmark", "ours", "--benchmark", "ours.jsonl"], 2, 'two benchmarks are called "ours"'),
        (["--benchmark", "hf:a b"], 2, "write hf:OWNER/NAME@REVISION"),
        (["--benchmark", "old.cartoindex"], 3, "old.cartoindex: made by another version; build it with"),
    ],
)
def test_a_benchmark_that_cannot_be_had_ends_before_the_training_in_one_line(
    carto, house, gate_items, arguments, code, words
):
    (house / "old.cartoindex").write_bytes(b"carto-audit index 0\n")
    ended = carto("ingest", "batch.parquet", "--policy", gate_items, *arguments, "--out", "out", *QUICK)
    assert ended.code == code, ended.err
    assert len([line for line in ended.err.splitlines() if line.startswith("Error: ") and words in line]) == 1
    assert "Training" not in ended.err


def test_an_audit_without_benchmarks_needs_no_registry_and_takes_an_earlier_list_of_clean_items_back(
    carto, house, gate
):
    (house / "benchmarks.yaml").write_text("indx: 1\n")
    (house / "out").mkdir()
    (house / "out" / "clean_items.parquet").write_text("of an earlier audit")
    ended = carto("ingest", "batch.parquet", "--policy", gate, "--benchmark", "ours.jsonl", "--out", "out", *QUICK)
    assert ended.code == 2
    assert "benchmarks.yaml:1:1: indx: unknown key" in ended.err
    assert carto("ingest", "batch.parquet", "--policy", gate, "--out", "out", *QUICK).code == 0
    assert not (house / "out" / "clean_items.parquet").exists()


def test_a_policy_can_demand_that_items_can_be_found_at_all(carto, house, gate):
    rule = "{id: seen, metric: contamination.min_detectability, min: 0.9, severity: reject, reason: look first}"
    gate.write_text(f"{gate.read_text()}  - {rule}\n")
    write_quiz(house / "short.jsonl", [ITEMS[1], {"question": "Why?"}, {"question": "How?"}])
    blind = carto("ingest", "batch.parquet", "--policy", gate, "--benchmark", "short.jsonl", "--out", "b", *QUICK)
    assert (blind.code, "INCONCLUSIVE" in blind.out) == (3, True)
    metrics = json.loads((house / "b" / "report.json").read_text())["metrics"]
    assert metrics["contamination.min_detectability"] == pytest.approx(1 / 3)


def test_fail_on_never_passes_a_rejected_batch_and_leaves_its_verdict_as_it_is(carto, gate, tmp_path, thin):
    path = write_parquet(tmp_path / "copies.parquet", sentences(30) + sentences(1) * 30)
    short = ["--folds", 1, "--epochs", 2, "--out", tmp_path / "out"]
    ended = carto("ingest", path, "--policy", gate, "--fail-on", "never", *short)
    assert ended.code == 0
    assert "REJECTED" in ended.out
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert (verdict["status"], verdict["exit_code"], verdict["complete"]) == ("rejected", 1, True)


def test_a_batch_too_small_to_measure_power_ends_inconclusive_under_default_whatever_fail_on_says(
    carto, batch_file, tmp_path, thin
):
    short = ["--folds", 1, "--epochs", 2, "--out", tmp_path / "out"]
    ended = carto("ingest", batch_file, "--fail-on", "never", *short)
    assert ended.code == 3
    assert "INCONCLUSIVE" in ended.out
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert (verdict["status"], verdict["exit_code"], verdict["complete"]) == ("inconclusive", 3, False)
    outcomes = {finding["rule"]: finding["outcome"] for finding in verdict["findings"]}
    assert outcomes["detection-power"] == "not_measured"


def test_the_report_names_who_worked_and_the_verdict_does_not(audited):
    facts = json.loads((audited.folder / "report.json").read_bytes())
    engine = facts["run"]["engine"]
    assert (engine["name"], engine["retries"]) == ("local", 0)
    assert engine["workers"] in (1, 2)  # a fold each, where there are cores for both
    assert "engine" not in json.loads((audited.folder / "verdict.json").read_bytes())


def test_the_report_is_rendered_again_to_the_same_bytes(audited, carto, tmp_path):
    folder = shutil.copytree(audited.folder, tmp_path / "copy")
    page = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    ended = carto("report", folder)
    assert ended.code == 0
    assert "report.html" in ended.out
    assert (folder / "report.html").read_bytes() == page


def test_a_defect_in_the_installed_program_exits_with_4(tmp_path):
    program = (
        "import sys; from carto_audit.cli import main as cli; cli.cli.command('boom')(lambda: 1 / 0); "
        "sys.argv = ['carto-audit', 'boom']; cli.main()"
    )
    ended = run_process(cwd=tmp_path, program=program)
    assert ended.code == 4
    assert ended.err.startswith("Internal error: ZeroDivisionError at <string>:1")
    assert "Traceback" not in ended.err


def test_the_installed_program_exits_with_0_and_2(tmp_path):
    assert run_process("policy", "check", "default", cwd=tmp_path).code == 0
    ended = run_process("policy", "check", "defualt", cwd=tmp_path)
    assert ended.code == 2
    assert "default" in ended.err
    assert sys.executable not in ended.err


@pytest.mark.parametrize("excerpts", ["none", "full"])
def test_excerpts_and_quiet_reach_every_file_and_stream(excerpts, tmp_path, gate, carto, thin):
    secret = "jane.doe@example.com"
    batch = write_parquet(tmp_path / "batch.parquet", [f"{text} Write to {secret}." for text in sentences(48)])
    out = tmp_path / "out"
    ended = carto("ingest", batch, "--policy", gate, "--out", out, "--epochs", 2, "--excerpts", excerpts, "--quiet")
    assert ended.out.splitlines()[-1] == f"> Report   {out / 'report.html'}"
    assert len(ended.out.splitlines()) == 2
    assert ended.err == (
        ""
        if excerpts == "none"
        else "Warning: --excerpts full quotes secrets and personal data as they are; do not publish it.\n"
    )
    facts = json.loads((out / "report.json").read_text())
    assert facts["excerpts"] == excerpts
    assert len(facts["riskiest"]) > 0
    for name in ("report.json", "report.html"):
        assert (secret in (out / name).read_text()) == (excerpts == "full"), name
    assert ("Write to" in (out / "report.json").read_text()) == (excerpts == "full")
    assert sum(map(sum, facts["map"]["grid"]["counts"])) == facts["batch"]["trained_samples"]


def test_a_report_cannot_show_more_than_its_audit_kept(audited, carto, tmp_path):
    folder = shutil.copytree(audited.folder, tmp_path / "audit")
    ended = carto("report", folder, "--excerpts", "full")
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert "made with redacted excerpts" in ended.err
    assert carto("report", folder, "--excerpts", "none").code == 0


def test_an_audit_does_not_lie_among_the_files_of_its_batch(tmp_path, carto):
    write_parquet(tmp_path / "batch" / "a.parquet", sentences(4))
    ended = carto("ingest", tmp_path / "batch", "--policy", "exploratory", "--out", tmp_path / "batch")
    assert ended.code == 2
    assert "the batch lies there" in ended.err
    assert [path.name for path in (tmp_path / "batch").iterdir()] == ["a.parquet"]
