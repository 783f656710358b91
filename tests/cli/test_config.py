"""Flags from `carto-audit.toml` in the working folder: the command line wins, a mistake is a line, a delivery decides nothing."""

import hashlib
import json

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.cli import main
from carto_audit.cli.config import CONFIG, read_config
from carto_audit.runtime.errors import UsageError


@pytest.fixture
def told(tmp_path, monkeypatch, carto):
    """What `ingest --show-config` says under a file, by flag, and how it ended."""

    def run(text, *arguments):
        monkeypatch.chdir(tmp_path)
        (tmp_path / CONFIG).write_text(text)
        ended = carto("ingest", "--show-config", *arguments)
        lines = [line.split("  ") for line in ended.out.splitlines() if line.startswith("--")]
        return {flag: (value, source.strip("()")) for flag, value, source in lines}, ended

    return run


def test_flags_come_from_the_file_and_the_command_line_wins(told):
    text = '[ingest]\npolicy = "strict"\nbenchmark = ["a.jsonl", "b.jsonl"]\nepochs = 5\nquiet = true\nrepeats = 3\n'
    shown, ended = told(text, "--policy", "exploratory")
    assert ended.code == 0
    assert shown["--policy"] == ("exploratory", "command line")
    assert shown["--benchmark"] == ("a.jsonl, b.jsonl", CONFIG)
    assert shown["--epochs"] == ("5", CONFIG)
    assert shown["--quiet"] == ("True", CONFIG)
    assert shown["--repeats"] == ("3", CONFIG)
    assert shown["--folds"] == ("2", "default")
    assert f"{CONFIG}: sha256 {hashlib.sha256(text.encode()).hexdigest()}" in ended.out


def test_without_a_file_everything_is_as_it_was(tmp_path, monkeypatch, carto):
    monkeypatch.chdir(tmp_path)
    ended = carto("ingest", "--show-config")
    assert ended.code == 0
    assert f"no {CONFIG} in this folder" in ended.out
    assert f"({CONFIG})" not in ended.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[ingest", "not TOML"),
        ("[ingset]\n", r"\[ingset\]: no command that takes flags from a file"),
        ("[verify]\npolicy = 'x'\n", r"\[verify\]: no command that takes"),
        ("[ingest]\npolcy = 'x'\n", r"\[ingest\] polcy: no such flag"),
        ("[ingest]\nhelp = true\n", "no such flag"),
        ("[ingest]\nquiet = 'yes'\n", "true or false"),
        ("[ingest]\nbenchmark = 'a.jsonl'\n", "a list"),
        ("[ingest]\nepochs = [1]\n", "one text or one number"),
        ("[ingest]\nbatch = 'x'\n", "no such flag"),
        ("ingest = 3\n", "a table of flags"),
        ('[ingest]\n"\\u001b[31m" = 1\n', "no such flag"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_whichever_command_runs(tmp_path, monkeypatch, carto, text, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / CONFIG).write_text(text)
    for command in (["ingest", "x.jsonl"], ["policy", "check", "default"]):
        ended = carto(*command)
        assert ended.code == 2
        assert ended.err.strip().isprintable()
        assert ended.err.startswith(f"Error: {CONFIG}")
    with pytest.raises(UsageError, match=said):
        read_config(tmp_path, main.cli)


def test_a_value_of_the_wrong_kind_is_refused_as_on_the_command_line(tmp_path, monkeypatch, carto):
    monkeypatch.chdir(tmp_path)
    (tmp_path / CONFIG).write_text("[ingest]\nepochs = 'many'\n")
    ended = carto("ingest", "x.jsonl")
    assert ended.code == 2
    assert "--epochs" in ended.err


def test_a_file_in_the_delivery_decides_nothing(tmp_path, monkeypatch, carto):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "batch.jsonl").write_text('{"text": "some words"}\n')
    (tmp_path / CONFIG).write_text("[ingest]\nfail-on = 'never'\n")
    places = (".", tmp_path, tmp_path.parent, "batch.jsonl", tmp_path / "batch.jsonl", "*.jsonl")
    for command, delivered in [*(("ingest", place) for place in places), ("redteam", "."), ("plant", "batch.jsonl")]:
        ended = carto(command, delivered)
        assert ended.code == 2
        assert f"{CONFIG} lies in the delivery" in ended.err
    (tmp_path / "delivered").mkdir()
    (tmp_path / "delivered" / CONFIG).write_text("[ingest]\npolicy = 'exploratory'\n")
    ended = carto("ingest", "--show-config")
    assert "--policy  default  (default)" in ended.out


def test_a_link_or_a_file_too_large_is_refused(tmp_path, monkeypatch, carto):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.toml").write_text("")
    (tmp_path / CONFIG).symlink_to("nowhere.toml")
    assert carto("policy", "check", "default").code == 2
    (tmp_path / CONFIG).unlink()
    (tmp_path / CONFIG).write_bytes(b"#" * (1 << 21))
    assert carto("policy", "check", "default").code == 2


def test_the_report_names_the_file_by_its_digest(tmp_path, monkeypatch, carto, gate, thin):
    from tests.support.audits import sentences

    monkeypatch.chdir(tmp_path)
    (tmp_path / "incoming").mkdir()
    rows = [json.dumps({"text": text}) for text in sentences(60)]
    (tmp_path / "incoming" / "batch.jsonl").write_text("".join(f"{row}\n" for row in rows))
    text = f"[ingest]\npolicy = {json.dumps(str(gate))}\nfolds = 1\nepochs = 2\nout = 'audit'\n"
    (tmp_path / CONFIG).write_text(text)
    ended = carto("ingest", "incoming/batch.jsonl")
    assert ended.code == 0, ended.err
    facts = json.loads((tmp_path / "audit" / "report.json").read_text())
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert facts["run"]["call"]["config_sha256"] == digest
    assert digest in (tmp_path / "audit" / "report.html").read_text()
    assert facts["run"]["epochs"] == 2


plain = st.one_of(
    st.text(max_size=8), st.integers(), st.booleans(), st.floats(allow_nan=False), st.lists(st.text(max_size=3))
)


@given(values=st.dictionaries(st.sampled_from(["policy", "epochs", "quiet", "benchmark", "nope"]), plain))
def test_whatever_a_table_holds_is_taken_or_refused(values):
    from carto_audit.cli.config import _defaults

    refused = None
    try:
        found = _defaults({"ingest": values}, main.cli)
    except UsageError as error:
        refused = str(error)
    if refused is not None:
        assert refused.isprintable()
        return
    params = {param.name for param in main.cli.commands["ingest"].params if isinstance(param, click.Option)}
    assert set(found["ingest"]) <= params
