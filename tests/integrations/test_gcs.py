"""gs:// against an emulator on loopback, which knows no credentials: as for S3, with another file system of Arrow's."""

import socket
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from carto_audit.data.batch import read_batch
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.remote import filesystem
from carto_audit.runtime.remote.fetched import fetched

SERVER = (
    "import sys, time; from gcp_storage_emulator.server import create_server; "
    "create_server('127.0.0.1', int(sys.argv[1]), in_memory=True, default_bucket='vendor').start(); time.sleep(300)"
)
ROWS = b'{"text": "a pear"}\n'


@pytest.fixture
def store(monkeypatch, tmp_path):
    """The emulator in a process of its own, as Arrow sees it."""
    pytest.importorskip("gcp_storage_emulator")
    from pyarrow.fs import GcsFileSystem

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(port)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        monkeypatch.setenv("CARTO_AUDIT_SPOOL", str(tmp_path / "spool"))
        made = GcsFileSystem(
            anonymous=True, endpoint_override=f"127.0.0.1:{port}", scheme="http", retry_time_limit=timedelta(seconds=5)
        )
        monkeypatch.setitem(filesystem.STORES, "gs", lambda uri: made)
        yield made
    finally:
        server.kill()
        server.wait()


def test_a_bucket_of_another_store_is_read_and_a_change_is_seen(store):
    def put(key, data):
        with store.open_output_stream(f"vendor/{key}", compression=None) as out:
            out.write(data)

    put("june/a.jsonl", ROWS)
    put("june/b/c.jsonl", ROWS)
    for uri, names in (("gs://vendor/june", ("a.jsonl", "b/c.jsonl")), ("gs://vendor/june/*.jsonl", ("a.jsonl",))):
        with fetched([uri]) as remote:
            assert read_batch(remote.inputs).file_names == names
            assert all(one.etag for one in remote.sources)
            remote.check()
    with pytest.raises(UsageError, match="no such object or folder"), fetched(["gs://vendor/july"]):
        pass
    with fetched(["gs://vendor/june"]) as remote:
        put("june/a.jsonl", ROWS.replace(b"pear", b"plum"))
        with pytest.raises(AuditError, match="changed while it was audited"):
            remote.check()
