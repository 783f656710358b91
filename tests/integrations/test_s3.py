"""Remote deliveries against an S3 server on loopback: `make test-integrations`."""

import gzip
import json
import time

import pytest

from carto_audit.data.batch import read_batch
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.files import told
from carto_audit.runtime.remote import filesystem
from carto_audit.runtime.remote.fetched import fetched
from tests.integrations.conftest import SECRET
from tests.support.audits import GATE, sentences, write_benchmark, write_parquet

ROWS = "".join(json.dumps({"text": text}) + "\n" for text in sentences(4)).encode()
SHORT = ("--folds", "1", "--epochs", "2", "--seed", "1", "--max-tokens", "400", "--policy", "policy.yaml")
LISTED = (
    '<?xml version="1.0"?><ListBucketResult><Name>vendor</Name><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>'
    "<Contents><Key>june/a.jsonl</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>{size}</Size></Contents>"
    "</ListBucketResult>"
)


@pytest.fixture
def here(store, monkeypatch, tmp_path):
    """Fetches in this process, from the server or from another address, waiting a second and asking twice."""
    monkeypatch.setenv("CARTO_AUDIT_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.address)
    monkeypatch.setattr(filesystem, "TIMEOUT", 1.0)
    monkeypatch.setattr(filesystem, "CONNECT_TIMEOUT", 1.0)
    monkeypatch.setattr(filesystem, "ATTEMPTS", 2)
    return store


def objects_in(place):
    return sorted((place / "objects").iterdir())


def test_an_audit_of_a_bucket_is_byte_for_byte_that_of_its_files(store, command, tmp_path):
    folder = tmp_path / "june"
    for number in range(2):
        write_parquet(folder / f"b{number}/part.parquet", sentences(24, number))
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(ROWS, mtime=0))
    (folder / "README.md").write_text("words")
    write_benchmark(tmp_path / "items.jsonl")
    (tmp_path / "policy.yaml").write_text(GATE)
    for path in folder.rglob("*"):
        if path.is_file():
            store.put(path.relative_to(tmp_path).as_posix(), path.read_bytes())
    local = command("ingest", "june", "--benchmark", "items.jsonl", "--out", "local", *SHORT)
    remote = command("ingest", "s3://vendor/june", "--benchmark", "items.jsonl", "--out", "remote", *SHORT)
    assert remote.code == local.code in (0, 1, 3), remote.err
    for name in ("scores.parquet", "trace.parquet", "matches.parquet", "clean_items.parquet", "verdict.json"):
        assert (tmp_path / "remote" / name).read_bytes() == (tmp_path / "local" / name).read_bytes(), name
    facts = json.loads((tmp_path / "remote" / "report.json").read_text())
    assert facts["batch"] == json.loads((tmp_path / "local" / "report.json").read_text())["batch"]
    tags = {one["Key"]: one["ETag"].strip('"') for one in store.client.list_objects_v2(Bucket="vendor")["Contents"]}
    assert {one["uri"]: one["etag"] for one in facts["remote"]["listed"]} == {
        f"s3://vendor/{key}": tag for key, tag in tags.items()
    }
    before = [path.stat().st_mtime_ns for path in objects_in(tmp_path / "spool")]
    verified = command("verify", "remote", "s3://vendor/june/")
    applied = command("apply", "remote", "s3://vendor/june")
    assert (verified.code, applied.code) == (0, 0), verified.err + applied.err
    assert [path.stat().st_mtime_ns for path in objects_in(tmp_path / "spool")] == before
    said = remote.out + remote.err + verified.out + verified.err + applied.out + applied.err
    left = [path.read_bytes() for path in (tmp_path / "remote").rglob("*") if path.is_file()]
    for word in (SECRET, "AKIAIOSFODNN7EXAMPLE", str(tmp_path / "spool"), store.address):
        assert word not in said
        assert not any(word.encode() in data for data in left)


@pytest.mark.parametrize(
    "uri", ["s3://vendor/nothing", "s3://vendor/june/*.csv", "s3://no-such-bucket/june", "s3://vendor/june/a.jsonl/"]
)
def test_what_is_not_there_ends_with_2_in_one_line(store, command, uri):
    store.put("june/a.jsonl", ROWS)
    done = command("ingest", uri, "--out", "made")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"Error: {uri}: no such object or folder\n"


@pytest.mark.parametrize("status", [403, 401])
def test_who_may_not_read_is_told_where_credentials_come_from(command, broken, status):
    def deny(handler):
        body = f"<Error><Code>AccessDenied</Code><Message>{SECRET}</Message></Error>".encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    done = command("ingest", "s3://vendor/june", "--out", "made", address=broken(deny))
    assert (done.code, done.err.count("\n")) == (3, 1)
    assert "s3://vendor/june: access denied; credentials come from the environment: AWS_ACCESS_KEY_ID" in done.err
    assert SECRET not in done.err


def answered(handler, *, sent=ROWS, promised=None, wait=0.0):
    """As S3 answers for one object `june/a.jsonl`; the body breaks off after `sent`, or comes drop by drop."""
    size = len(ROWS) if promised is None else promised
    is_list = "list-type" in handler.path
    if handler.command == "HEAD" and not handler.path.startswith("/vendor/june/a.jsonl"):
        handler.send_response(404)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    body = LISTED.format(size=size).encode() if is_list else sent
    handler.send_response(200 if is_list or handler.command == "HEAD" else 206)
    handler.send_header("ETag", '"abc"')
    handler.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
    handler.send_header("Content-Length", str(len(body) if is_list else size))
    handler.end_headers()
    if handler.command != "HEAD":
        if wait and not is_list:
            time.sleep(wait)
        handler.wfile.write(body)
        handler.close_connection = True


@pytest.mark.parametrize("case", ["truncated", "silent", "gone"])
def test_a_store_that_breaks_off_or_says_nothing_ends_in_one_line(here, broken, monkeypatch, tmp_path, case):
    answers = {
        "truncated": lambda handler: answered(handler, sent=ROWS[:50]),
        "silent": lambda handler: answered(handler, wait=20),
        "gone": lambda handler: handler.connection.close(),
    }
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", broken(answers[case]))
    began = time.monotonic()
    with pytest.raises(AuditError) as refused, fetched(["s3://vendor/june"]):
        pass
    assert time.monotonic() - began < 60
    assert str(refused.value).startswith("s3://vendor/june")
    assert str(refused.value).isprintable()
    assert not [path for path in (tmp_path / "spool").rglob("*") if path.is_file() and path.stat().st_size > 0]


def test_a_well_answered_object_is_read(here, broken, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", broken(answered))
    with fetched(["s3://vendor/june"]) as remote:
        assert read_batch(remote.inputs).rows == 4


def test_an_object_that_changes_between_the_passes_is_an_error(here):
    here.put("june/a.jsonl", ROWS)
    with fetched(["s3://vendor/june"]) as remote:
        assert read_batch(remote.inputs).rows == 4
        remote.check()
        here.put("june/a.jsonl", ROWS.replace(b"a", b"b"))
        with pytest.raises(AuditError, match=r"s3://vendor/june/a\.jsonl: the object changed while it was audited"):
            remote.check()
    with fetched(["s3://vendor/june"]) as remote:
        assert read_batch(remote.inputs).rows == 4


def outcome(uri):
    """The names of what is read, or why the delivery is refused."""
    try:
        with fetched([uri]) as remote:
            return {told(path) for path in read_batch(remote.inputs).paths}
    except AuditError as error:
        return str(error)


@pytest.mark.parametrize("key", ["june/../../escaped.jsonl", "june//a.jsonl", "june/./a.jsonl", "june/folder.jsonl/"])
def test_an_object_that_cannot_be_asked_for_is_never_passed_over(here, tmp_path, key):
    """Its bytes are read under its name, or the delivery is refused with it."""
    here.put("june/a.jsonl", ROWS)
    here.put(key, ROWS)
    found = outcome("s3://vendor/june")
    assert f"s3://vendor/{key}" in found or "listed, but it cannot be opened under this name" in found
    assert {path.name for path in tmp_path.iterdir()} <= {"spool"}


def test_hostile_names_and_markers_of_folders(here):
    keys = [
        f"june/{'n' * 300}.jsonl",
        "june/\u202ered.jsonl",
        "june/x y+z%20&=#?.jsonl",
        "june/CASE.jsonl",
        "june/case.jsonl",
    ]
    for key in keys:
        here.put(key, ROWS)
    here.put("june/", b"")
    here.put("june/folder/", b"")
    here.put("june/zero.jsonl", b"")
    with fetched(["s3://vendor/june"]) as remote:
        found = read_batch(remote.inputs)
    assert sorted(found.file_names) == sorted(key.removeprefix("june/") for key in keys)
    assert [(one.name, one.reason) for one in found.delivery.others] == [("zero.jsonl", "empty")]


def test_a_name_that_an_object_and_a_folder_have(here):
    here.put("june", b"x")
    here.put("june/a.jsonl", ROWS)
    with pytest.raises(UsageError, match="an object and a folder"), fetched(["s3://vendor/june"]):
        pass
    for uri in ("s3://vendor/june/", "s3://vendor/june/*"):
        with fetched([uri]) as remote:
            assert read_batch(remote.inputs).rows == 4
    here.put("both/x.jsonl", ROWS)
    here.put("both/x.jsonl/y.jsonl", ROWS)
    with fetched(["s3://vendor/both"]) as remote:
        assert read_batch(remote.inputs).file_names == ("x.jsonl", "x.jsonl/y.jsonl")


def test_more_objects_than_a_page_lists(here):
    for number in range(1100):
        here.put(f"june/{number:05d}.jsonl", b'{"text": "a pear"}\n')
    with fetched(["s3://vendor/june"]) as remote:
        assert len(remote.sources) == 1100
        assert read_batch(remote.inputs).rows == 1100


def test_a_spool_is_of_this_user_alone(here, tmp_path):
    here.put("june/a.jsonl", ROWS)
    (tmp_path / "spool").mkdir(mode=0o777)
    with fetched(["s3://vendor/june"]):
        assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
