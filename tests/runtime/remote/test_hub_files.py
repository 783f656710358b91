import json
import os
import subprocess
import sys

import pytest

from tests.support.fake_hub import COMMIT, environment, fake_hub

ROWS = b'{"text": "a pear"}\n' * 40
FILES = {"README.md": b"---\n---\n", "data/a.jsonl": ROWS, "data/b/c.jsonl": ROWS[:-19], "other/x.jsonl": ROWS}
PROGRAM = """
import json, sys
from carto_audit.data.batch import read_batch
from carto_audit.runtime.errors import CartoError
from carto_audit.runtime.remote.fetched import fetched
for uri in sys.argv[1:]:
    try:
        with fetched([uri]) as remote:
            remote.check()
            batch = read_batch(remote.inputs)
            print(json.dumps([remote.uris, batch.file_names, batch.rows, [one.etag for one in remote.sources]]))
    except CartoError as error:
        print(json.dumps([int(error.exit_code), str(error)]))
"""


def fetch_all(address, home, *uris, **variables):
    """What became of each, in one process: the hub's library reads its address when it is loaded."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    known |= environment(address, home) | {"CARTO_AUDIT_SPOOL": str(home / "spool")} | variables
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *uris], env=known, capture_output=True, encoding="utf-8", timeout=120
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.enable_socket
def test_a_data_set_is_fetched_at_the_commit_that_its_revision_means(tmp_path):
    with fake_hub({"org/set": FILES}) as (address, asked):
        found = fetch_all(
            address,
            tmp_path,
            "hf://datasets/org/set/data",
            "hf://datasets/org/set@main/data/*.jsonl",
            f"hf://datasets/org/set@{COMMIT}/data/a.jsonl",
            "hf://datasets/org/set@v9/data",
            "hf://datasets/org/set/nothing",
            "hf://datasets/org/nowhere/data",
            "hf://datasets/org/private",
            "hf://datasets/org/broken",
            "hf://datasets/org/nothing",
            HF_TOKEN="hf_secret",
        )
    whole, globbed, single, *refused = found
    assert whole[:3] == [[f"hf://datasets/org/set@{COMMIT}/data"], ["a.jsonl", "b/c.jsonl"], 79]
    assert globbed[:3] == [[f"hf://datasets/org/set@{COMMIT}/data/*.jsonl"], ["a.jsonl"], 40]
    assert single[:3] == [[f"hf://datasets/org/set@{COMMIT}/data/a.jsonl"], ["a.jsonl"], 40]
    assert whole[3][0] == globbed[3][0] == single[3][0]
    assert len([line for line in asked if line == f"GET /datasets/org/set/resolve/{COMMIT}/data/a.jsonl"]) == 1
    assert [code for code, _ in refused] == [2, 2, 2, 3, 3, 3]
    told = " | ".join(words for _, words in refused)
    assert "org/private: access denied" in told
    assert "the hub answers 503" in told
    assert "the hub does not answer" in told
    assert "hf_secret" not in told
    assert told.isprintable()


@pytest.mark.enable_socket
def test_a_hub_that_is_switched_off_is_not_asked(tmp_path):
    with fake_hub({"org/set": FILES}) as (address, asked):
        ((code, words),) = fetch_all(address, tmp_path, "hf://datasets/org/set", HF_HUB_OFFLINE="1")
    assert code == 3
    assert "switched off by HF_HUB_OFFLINE" in words
    assert asked == []
