"""A finished audit is read back whole, from regular files of bounded size, or refused in one line."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.artifacts import audit_folder
from carto_audit.artifacts.audit_folder import open_audit_folder
from carto_audit.runtime.errors import AuditError
from tests.support.report_facts import make_facts


@pytest.fixture
def finished(tmp_path):
    (tmp_path / "verdict.json").write_text(json.dumps(make_facts()["verdict"]))
    (tmp_path / "report.json").write_text(json.dumps(make_facts()))
    return tmp_path


def refusal(folder, part="report"):
    with pytest.raises(AuditError) as caught:
        getattr(open_audit_folder(folder), part)
    assert str(caught.value).isprintable()
    assert str(caught.value).startswith(str(folder)[:80])
    return str(caught.value)


def test_an_audit_is_read_as_it_was_written(audited):
    folder = open_audit_folder(audited.folder)
    assert folder.report == json.loads((audited.folder / "report.json").read_text())
    assert folder.report_bytes == (audited.folder / "report.json").read_bytes()
    assert folder.verdict["status"] == folder.report["verdict"]["status"]
    assert folder.scores(["row", "action"]).num_rows == folder.report["batch"]["samples"]


def test_a_key_of_a_later_version_is_kept(finished):
    (finished / "report.json").write_text(json.dumps({**make_facts(), "later": {"a": 1}}))
    assert open_audit_folder(finished).report["later"] == {"a": 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read: No such file or directory; name the folder of a finished audit, or run the audit again"),
        (b"", "not valid JSON"),
        (b'{"tool"', "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b'{"a": NaN}', "not valid JSON"),
        (b"[" * 200_000, "not valid JSON"),
        (b"[]", "not the report of an audit"),
        (b"{}", "not the report of an audit"),
        (b'{"tool": {"name": "bandit"}, "schema_version": 1}', "not the report of an audit"),
        (b'{"tool": {"name": "carto-audit", "version": "9.1"}, "schema_version": 2}', "written by carto-audit 9.1 in"),
        (b'{"tool": {"name": "carto-audit"}, "schema_version": 1}', "not the report of an audit: tool.version: Field"),
    ],
)
def test_what_is_not_our_report_is_refused_in_one_line(finished, content, words):
    (finished / "report.json").unlink()
    if content is not None:
        (finished / "report.json").write_bytes(content)
    assert words in refusal(finished)


@pytest.mark.parametrize("missing", ["findings", "verdict", "batch", "policy", "detection", "warnings", "map"])
def test_a_report_without_a_part_is_refused_by_name(finished, missing):
    facts = make_facts()
    del facts[missing]
    (finished / "report.json").write_text(json.dumps(facts))
    assert f"report.json: not the report of an audit: {missing}: Field required" in refusal(finished)


def test_a_folder_without_a_verdict_is_no_finished_audit(finished):
    (finished / "verdict.json").unlink()
    assert "not a finished audit: there is no verdict.json in it; name the folder" in refusal(finished)


def test_a_verdict_that_is_none_is_refused(finished):
    (finished / "verdict.json").write_text("{}")
    assert "verdict.json: not the verdict of an audit: status: Field required" in refusal(finished, "verdict")


def test_links_pipes_and_endless_files_are_not_read(finished, monkeypatch):
    path = finished / "report.json"
    path.rename(finished / "elsewhere.json")
    path.symlink_to(finished / "elsewhere.json")
    assert "cannot read: Too many levels of symbolic links" in refusal(finished)
    path.unlink()
    os.mkfifo(path)
    assert "cannot read: not a regular file" in refusal(finished)
    path.unlink()
    (finished / "elsewhere.json").rename(path)
    monkeypatch.setattr(audit_folder, "LARGEST_JSON", 1 << 10)
    assert "cannot read: larger than" in refusal(finished)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_json_does_anything_but_be_read_or_refused(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp() / "any-folder"
    folder.mkdir(exist_ok=True)
    (folder / "verdict.json").write_text("{}")
    for facts in (content, {**make_facts(), "run": content}):
        (folder / "report.json").write_text(json.dumps(facts))
        with pytest.raises(AuditError):
            open_audit_folder(folder).report  # noqa: B018 (reading it is the test)
