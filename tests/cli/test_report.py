"""The command as a user runs it, on the files of a real audit."""

import json
import os
import shutil
from pathlib import Path

import cmarkgfm
import pytest
from junitparser import JUnitXml

from carto_audit.report.formats.targets import FILES
from tests.report.formats.test_github import runner_reads
from tests.report.formats.test_gitlab import ISSUES
from tests.report.formats.test_sarif import oasis
from tests.test_architecture import loaded_after


@pytest.fixture
def finished(audited, tmp_path):
    """A copy of the one real audit, whose every name is hostile."""
    return shutil.copytree(audited.folder, tmp_path / "audit")


def test_files_are_valid_and_stand_in_the_audit_s_folder(carto, finished):
    before = {path.name for path in finished.iterdir()}
    ended = carto("report", finished, "--format", "sarif", "--format", "junit", "--format", "gitlab")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.count("Wrote ") == 3
    assert {path.name for path in finished.iterdir()} == before | set(FILES.values())
    verdict = json.loads((finished / "verdict.json").read_text())
    broken = [finding["rule"] for finding in verdict["findings"] if finding["outcome"] != "passed"]
    assert broken == ["items"]
    log = json.loads((finished / FILES["sarif"]).read_text())
    assert not list(oasis().iter_errors(log))
    assert [result["ruleId"] for result in log["runs"][0]["results"]] == broken
    (suite,) = JUnitXml.fromfile(str(finished / FILES["junit"]))
    assert (suite.tests, suite.failures) == (len(verdict["findings"]), len(broken))
    issues = json.loads((finished / FILES["gitlab"]).read_text())
    assert not list(ISSUES.iter_errors(issues))
    assert [issue["check_name"] for issue in issues if issue["severity"] == "blocker"] == ["carto-audit/items"]


def test_the_same_audit_gives_the_same_bytes(carto, finished, tmp_path):
    for name in ("a", "b"):
        for format in ("sarif", "junit", "gitlab", "json", "markdown", "text"):
            assert carto("report", finished, "--format", f"{format}={tmp_path}/{name}/{format}").code == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_annotations_go_to_the_log_and_the_summary_to_its_file(carto, finished, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    ended = carto("report", finished, "--format", "github")
    assert ended.code == 0
    names = [(name, properties.get("title", "")) for name, properties, _ in runner_reads(ended.out)]
    assert names[0] == ("error", "carto-audit items: rejects: 1, at most 0")
    assert {name for name, _ in names[1:]} <= {"warning"}
    page = cmarkgfm.github_flavored_markdown_to_html((tmp_path / "summary.md").read_text(encoding="utf-8"))
    assert "Rejected" in page
    assert not {"<a", "<img", "<script", "onerror=alert(1)>"} & {
        tag for tag in ("<a", "<img", "<script") if tag in page
    }


def test_without_github_no_summary_is_written(carto, finished, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert carto("report", finished, "--format", "markdown", "--format", "sarif").out.startswith("## ")
    assert not (tmp_path / "summary.md").exists()


def test_json_on_the_standard_output_is_the_report(carto, finished):
    ended = carto("report", finished, "--format", "json")
    assert json.loads(ended.out) == json.loads((finished / "report.json").read_text())


def test_text_is_what_the_audit_said_when_it_ended(carto, finished):
    ended = carto("report", finished, "--format", "text")
    assert "REJECTED" in ended.out


@pytest.mark.parametrize("arguments", [[], ["--format", "sarif"], ["--format", "markdown"]], ids=" ".join)
@pytest.mark.parametrize("content", [None, b"{", b"{}", b'{"tool": {"name": "carto-audit"}, "schema_version": 1}'])
def test_a_broken_report_is_one_line_and_exit_3_and_leaves_nothing(carto, tmp_path, arguments, content):
    if content is not None:
        (tmp_path / "report.json").write_bytes(content)
    (tmp_path / "map.svg").write_text("<svg/>")
    (tmp_path / "verdict.json").write_text("{}")
    before = {path.name for path in tmp_path.iterdir()}
    ended = carto("report", tmp_path, *arguments)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith(f"Error: {tmp_path}/report.json: ")
    assert ended.err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == before


def test_no_format_loads_torch(audited, tmp_path):
    values = ("sarif=x", "junit=x", "gitlab=x", "markdown=x", "json=x", "text=x", "github")
    commands = [["report", str(audited.folder), "--format", value] for value in values]
    assert list(loaded_after(*commands, cwd=tmp_path).values()) == ["0 []"] * len(values)


QUICK = ("--folds", 1, "--epochs", 2)


def test_ingest_shows_its_summary_and_writes_every_format(carto, batch_file, gate, tmp_path, monkeypatch, thin):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    audit = tmp_path / "out"
    formats = ["--format", "github", "--format", "sarif", "--format", f"junit={tmp_path}/results/junit.xml"]
    ended = carto("ingest", batch_file, "--policy", gate, "--out", audit, *QUICK, *formats)
    assert ended.code == 0, ended.err
    assert "ACCEPTED" in ended.out
    assert [properties["title"] for name, properties, _ in runner_reads(ended.out) if name == "warning"]
    assert "Accepted" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert not list(oasis().iter_errors(json.loads((audit / FILES["sarif"]).read_text())))
    assert JUnitXml.fromfile(str(tmp_path / "results" / "junit.xml")).tests == 2
    again = carto("report", audit, "--format", f"sarif={tmp_path}/again.sarif")
    assert again.code == 0
    assert (tmp_path / "again.sarif").read_bytes() == (audit / FILES["sarif"]).read_bytes()


def test_ingest_with_json_prints_json_alone(carto, batch_file, gate, tmp_path, thin):
    out = tmp_path / "out"
    ended = carto("ingest", batch_file, "--policy", gate, "--out", out, *QUICK, "--format", "json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out) == json.loads((tmp_path / "out" / "report.json").read_text())


def test_an_audit_that_fails_leaves_no_result_of_an_earlier_one(carto, gate, tmp_path):
    (tmp_path / "empty.jsonl").write_text('{"text": null}\n')
    audit = tmp_path / "out"
    audit.mkdir()
    for path in (audit / FILES["junit"], audit / FILES["gitlab"], tmp_path / "x.sarif"):
        path.write_text("of an earlier audit")
    ended = carto(
        "ingest", tmp_path / "empty.jsonl", "--policy", gate, "--out", audit, "--format", f"sarif={tmp_path}/x.sarif"
    )
    assert ended.code == 3
    assert not any(path.exists() for path in (audit / FILES["junit"], audit / FILES["gitlab"], tmp_path / "x.sarif"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("sarif=batch.parquet", "would overwrite an input"),
        ("sarif=gate.yaml", "would overwrite an input"),
        ("json=out/verdict.json", "would overwrite a file of the audit itself"),
        ("saarif", 'did you mean "sarif"?'),
    ],
)
def test_a_wrong_format_stops_before_anything_is_done(carto, batch_file, gate, tmp_path, monkeypatch, value, words):
    monkeypatch.chdir(tmp_path)
    before = batch_file.read_bytes()
    ended = carto("ingest", batch_file, "--policy", gate, "--out", "out", "--format", value)
    assert ended.code == 2
    assert words in ended.err
    assert not (tmp_path / "out").exists()
    assert batch_file.read_bytes() == before


def test_a_format_replaces_no_link_no_device_no_signature_and_no_batch(carto, audited, tmp_path):
    folder = Path(shutil.copytree(audited.folder, tmp_path / "audit"))
    (tmp_path / "link.json").symlink_to(tmp_path / "target.json")
    os.mkfifo(tmp_path / "pipe")
    (folder / "verdict.dsse.json").write_text("{}")
    for name in ("link.json", "pipe", "audit/verdict.dsse.json", "audit/report.json"):
        ended = carto("report", folder, "--format", f"sarif={tmp_path / name}")
        assert (ended.code, len(ended.err.splitlines())) == (2, 1), name
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "pipe").is_fifo()
    assert (folder / "verdict.dsse.json").read_text() == "{}"
