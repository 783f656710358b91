import stat

import pytest

from carto_audit.runtime import resume
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.resume import open_kept, open_run, own_key, remove_runs


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_only_runs_are_ever_removed(tmp_path):
    work = tmp_path / ".work"
    (work / "thesis").mkdir(parents=True)
    first = open_run(work, ["a"])
    assert open_run(work, ["a"]) == first
    second = open_run(work, ["b"])
    assert not first.exists()
    remove_runs(work)
    assert not second.exists()
    assert (work / "thesis").is_dir()


def test_an_empty_work_folder_goes_with_its_last_run(tmp_path):
    open_run(tmp_path / ".work", ["a"])
    remove_runs(tmp_path / ".work")
    assert not (tmp_path / ".work").exists()


def test_a_link_is_neither_followed_nor_emptied(tmp_path):
    precious = tmp_path / "precious" / "0123456789abcdef"
    precious.mkdir(parents=True)
    (tmp_path / ".work").symlink_to(precious.parent)
    with pytest.raises(AuditError, match="is a link"):
        open_run(tmp_path / ".work", ["a"])
    remove_runs(tmp_path / ".work")
    assert precious.is_dir()


def test_nobody_else_can_name_the_folder_of_a_run(tmp_path, monkeypatch):
    ours = open_run(tmp_path / "work", ["a"]).name
    assert stat.S_IMODE((tmp_path / "cache/carto-audit/key").stat().st_mode) == 0o600
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert open_run(tmp_path / "work", ["a"]).name != ours


def test_what_is_kept_is_for_one_kind_of_run_of_one_user_alone(tmp_path, monkeypatch):
    ours = open_kept("searched", ["a"])
    assert ours == open_kept("searched", ["a"]) != open_kept("searched", ["b"])
    assert stat.S_IMODE(ours.stat().st_mode) == 0o700
    monkeypatch.setattr(resume, "own_code", lambda: "other code")
    assert open_kept("searched", ["a"]) != ours
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert open_kept("searched", ["a"]) is None


def test_without_a_home_nothing_is_continued(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert own_key() != own_key()
