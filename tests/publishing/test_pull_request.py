import json
import socket
import subprocess
import sys

import pytest

from carto_audit.publishing import pull_request as push
from carto_audit.publishing.pull_request import data_set_name, open_pull_request
from carto_audit.runtime.errors import AuditError, UsageError
from tests.support.fake_hub import COMMIT, environment, fake_hub

PROGRAM = """
import json, sys
from carto_audit.runtime.errors import CartoError, UsageError
from carto_audit.publishing.pull_request import open_pull_request

def edit(text):
    if "refuse" in text:
        raise UsageError("the card cannot go in")
    return text + "audited\\n"

for name in sys.argv[1:]:
    try:
        made = open_pull_request(name, edit, {".carto-audit/report.json": b"{}"}, "Add the data audit")
        outcome = {"url": made.url}
    except CartoError as error:
        outcome = {"error": str(error), "code": int(error.exit_code)}
    print(json.dumps(outcome))
"""
"""In a process of its own, because the hub's library reads its variables once. Nothing but the fake hub is named."""

README = b"---\r\nlicense: mit\r\n---\r\n# Hello \xc3\xa9\r\n"


def push_all(address, home, *names, **variables):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *names],
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path), **environment(address, home), **variables},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.enable_socket
def test_a_pull_request_holds_the_hubs_own_readme_edited_on_the_commit_that_was_read(tmp_path):
    commits = []
    with fake_hub({"org/set": {"README.md": README, "data.parquet": b"PAR1"}}, commits) as (address, asked):
        (made,) = push_all(address, tmp_path, "org/set", HF_TOKEN="hf_secret")
    (commit,) = commits
    assert made["url"] == f"{address}/datasets/org/set/discussions/7"
    assert commit["files"] == {"README.md": README + b"audited\n", ".carto-audit/report.json": b"{}"}
    assert commit["parent"] == COMMIT
    assert "create_pr=1" in commit["query"]
    assert {"POST /api/datasets/org/set/commit/main"} == {line for line in asked if "/commit/" in line}


@pytest.mark.enable_socket
def test_a_data_set_without_a_readme_gets_one(tmp_path):
    commits = []
    with fake_hub({"org/bare": {"data.parquet": b"PAR1"}}, commits) as (address, _):
        (made,) = push_all(address, tmp_path, "org/bare")
    assert made["url"]
    assert commits[0]["files"]["README.md"] == b"audited\n"


FILES = {"README.md": README}
REFUSALS = {
    "/datasets/org/readonly/commit": (403, b'{"error": "write access needed"}'),
    "/datasets/org/anonymous/preupload": (401, b'{"error": "Invalid credentials"}'),
    "/datasets/org/moved/commit": (412, b'{"error": "a commit has happened since"}'),
    "/datasets/org/down/commit": (503, b"down"),
    "/datasets/org/odd/commit": (200, b'{"success": true}'),
    "/datasets/org/page/commit": (200, b"<html>\x1b[31m\n::error::not a hub"),
    "/datasets/org/halfway/commit": (200, b'{"success": tr', 4000),
    "/datasets/org/halfread/resolve": (200, b"---\nlic", 4000),
    "/datasets/org/list": (200, b"[1, 2]"),
}
CASES = {
    "org/missing": "the hub has no such data set (404), or hides it",
    "org/private": "the hub refuses access (401): log in with `hf auth login`, with a token that may write",
    "org/anonymous": "the hub refuses access (401)",
    "org/readonly": "the hub refuses access (403): log in with `hf auth login`, with a token that may write",
    "org/moved": "the data set changed meanwhile (412); run the same command again",
    "org/down": "the hub answers 503; try again later",
    "org/odd": "the hub's answer makes no sense",
    "org/page": "the hub's answer makes no sense",
    "org/halfway": "the hub does not answer, or breaks off",
    "org/halfread": "",
    "org/list": "the hub's answer makes no sense",
}


@pytest.mark.slow
@pytest.mark.enable_socket
def test_whatever_the_hub_answers_is_one_clear_line_and_exit_code_3(tmp_path):
    commits = []
    known = {name: FILES for name in CASES if name not in ("org/missing", "org/private")}
    with fake_hub(known, commits, REFUSALS) as (address, _):
        outcomes = push_all(address, tmp_path, *CASES)
    for (name, words), outcome in zip(CASES.items(), outcomes, strict=True):
        assert outcome.get("code") == 3, (name, outcome)
        assert outcome["error"].startswith(f"{name}: ")
        assert words in outcome["error"], outcome
        assert outcome["error"].endswith("; nothing was pushed")
        assert outcome["error"].isprintable()
    assert commits == []


@pytest.mark.enable_socket
def test_a_readme_into_which_nothing_can_be_put_is_the_users_to_mend(tmp_path):
    commits = []
    sets = {"org/set": {"README.md": b"refuse"}, "org/latin": {"README.md": b"caf\xe9"}}
    with fake_hub(sets, commits) as (address, _):
        outcomes = push_all(address, tmp_path, *sets)
    assert outcomes[0] == {"error": "the card cannot go in", "code": 2}
    assert outcomes[1] == {"error": "org/latin: its README.md is not UTF-8; mend it first", "code": 2}
    assert commits == []


@pytest.mark.enable_socket
def test_a_hub_where_nobody_listens_or_that_is_switched_off_is_one_clear_line(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    (deaf,) = push_all(address, tmp_path, "org/set")
    (off,) = push_all(address, tmp_path, "org/set", HF_HUB_OFFLINE="1")
    assert "org/set: the hub does not answer, or breaks off" in deaf["error"]
    assert "switched off by HF_HUB_OFFLINE; unset it" in off["error"]
    assert deaf["code"] == off["code"] == 3


def test_without_the_library_the_way_out_is_named(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(push, "import_module", missing)
    with pytest.raises(AuditError, match=r"push_to needs huggingface_hub; pip install 'carto-audit\[hub\]'"):
        open_pull_request("org/set", str, {}, "title")


@pytest.mark.parametrize(
    "text", ["set", "", "org/set@main", "org/../x", "a/b/c", "org/s\x1b[31m", "https://hub/org/set"]
)
def test_what_names_no_data_set_is_refused(text):
    with pytest.raises(UsageError, match="push_to") as caught:
        data_set_name(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["our-org/vendor_batch.v2", "hf:our-org/vendor_batch.v2"])
def test_a_data_set_is_named_by_organisation_and_name(text):
    assert data_set_name(text) == "our-org/vendor_batch.v2"
