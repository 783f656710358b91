import ast
import json
import os

import pytest

from carto_audit.data.batch import read_batch
from carto_audit.data.delivery import find_delivery
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.files import spool_root, told
from carto_audit.runtime.remote import filesystem
from carto_audit.runtime.remote.fetched import fetched
from docs.architecture import modules, source_of
from tests.support.audits import sentences
from tests.support.buckets import Bucket

ROWS = "".join(json.dumps({"text": text}) + "\n" for text in sentences(4)).encode()
JUNE = {"june/b/part-2.jsonl": ROWS, "june/part-1.jsonl": ROWS[:-9] + b'."}\n', "june/README.md": b"words"}
HOSTILE = (
    "june/../../../escaped.jsonl",
    "june//empty.jsonl",
    "june/./dot.jsonl",
    "/leading.jsonl",
    "june/new\nline.jsonl",
    "june/\x1b[31mred\u202e.jsonl",
    "june/sub\x1a2e.jsonl",
    f"june/{'long' * 80}.jsonl",
    f"june/{'é' * 200}/x.jsonl",
    "june/both.jsonl",
    "june/both.jsonl/inner.jsonl",
    "june/CASE.jsonl",
    "june/case.jsonl",
)


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """Makes a bucket; copies lie in a spool of this test's."""
    monkeypatch.setenv("CARTO_AUDIT_SPOOL", str(tmp_path / "spool"))

    def made(objects):
        held = Bucket(objects)
        monkeypatch.setitem(filesystem.STORES, "s3", held.opened)
        return held

    return made


def copies(folder):
    return sorted((folder / "objects").iterdir()) if folder.exists() else []


def test_a_batch_is_the_same_from_a_bucket_and_from_a_disk(bucket, tmp_path):
    bucket(JUNE)
    for key, data in JUNE.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    local = read_batch([tmp_path / "june"])
    for uri in ("s3://vendor/june", "s3://vendor/june/", "s3://vendor"):
        with fetched([uri]) as remote:
            found = read_batch(remote.inputs)
            remote.check()
        assert (found.sha256, found.digests, found.names) == (local.sha256, local.digests, local.names)
        assert found.sample_id.equals(local.sample_id)
    assert [one.name for one in found.delivery.others] == ["june/README.md"]
    with fetched(["s3://vendor/june/*.jsonl", "s3://vendor/june/b"]) as remote:
        assert read_batch(remote.inputs).digests == read_batch([tmp_path / "june/*.jsonl", tmp_path / "june/b"]).digests


def test_what_was_fetched_is_not_fetched_again_by_anyone(bucket, tmp_path):
    store = bucket(JUNE)
    for uri in ("s3://vendor/june", "s3://vendor/june", "s3://vendor/june/b/", "s3://vendor/june/part-1.jsonl"):
        with fetched([uri]) as remote:
            place = str(remote.inputs[0])
            assert read_batch(remote.inputs).rows
    assert sorted(store.reads) == sorted(f"vendor/{key}" for key in JUNE)
    assert place.startswith(str(tmp_path / "spool"))
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


def test_a_hostile_name_leads_nowhere_and_keeps_its_name(bucket, tmp_path):
    bucket(dict.fromkeys(HOSTILE, ROWS))
    with fetched(["s3://vendor"]) as remote:
        found = read_batch(remote.inputs)
        assert {told(path) for path in found.paths} == {f"s3://vendor/{key}" for key in HOSTILE}
        places = [path.relative_to(remote.inputs[0]).parts for path in found.paths]
        assert not {"..", "."}.intersection(*places)
        assert all(os.path.realpath(path) == str(path) for path in found.paths)
    assert sorted(found.file_names) == sorted(HOSTILE)
    assert all(name.isprintable() for name in found.delivery.names)
    assert list(tmp_path.iterdir()) == [tmp_path / "spool"]
    assert len(set(found.sample_id.to_pylist())) == 4 * len(HOSTILE)


def test_an_error_names_the_uri_and_never_the_copy(bucket, tmp_path):
    bucket({"june/a.jsonl": b"{broken\n", "tools/x.exe": b"MZ", "july/a.jsonl": ROWS, "july/b.parquet": b"PAR1"})
    for uri, words in (
        ("s3://vendor/june", r"^s3://vendor/june/a\.jsonl"),
        ("s3://vendor/tools/x.exe", r"^s3://vendor/tools/x\.exe: unknown format"),
        ("s3://vendor/tools", r"^s3://vendor/tools: no .* file in this folder.*; it holds x\.exe$"),
        ("s3://vendor/july", r"^s3://vendor/july/b\.parquet: cannot read"),
    ):
        with fetched([uri]) as remote, pytest.raises((AuditError, UsageError), match=words) as refused:
            read_batch(remote.inputs)
        assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://vendor/july", "no such object or folder"),
        ("s3://vendor/june/part-1.jsonl/", "no such object or folder"),
        ("s3://vendor/june/*.parquet", "no such object or folder"),
        ("s3://vendor/both", "an object and a folder; write / behind it"),
    ],
)
def test_what_is_not_there_is_a_mistake_of_the_users(bucket, uri, words):
    bucket({**JUNE, "both": b"x", "both/a.jsonl": ROWS})
    with pytest.raises(UsageError, match=words), fetched([uri]):
        pass


def test_a_marker_of_a_folder_is_no_object(bucket):
    bucket({"june": b"", "june/a.jsonl": ROWS})
    with fetched(["s3://vendor/june"]) as remote:
        assert find_delivery(remote.inputs).names == ("a.jsonl",)


def test_a_body_that_breaks_off_leaves_nothing(bucket, tmp_path):
    store = bucket(JUNE)
    store.faults["vendor/june/part-1.jsonl"] = lambda data: b""
    with (
        pytest.raises(AuditError, match=r"part-1\.jsonl: broke off after 0 of [\d,]+ bytes"),
        fetched(["s3://vendor/june"]),
    ):
        pass
    sizes = {place.stat().st_size for place in copies(tmp_path / "spool")}
    assert len(JUNE["june/part-1.jsonl"]) not in sizes
    store.faults.clear()
    with fetched(["s3://vendor/june"]) as remote:
        assert read_batch(remote.inputs).rows == 8


def test_an_object_that_changes_on_the_way_or_after_is_an_error(bucket, tmp_path):
    store = bucket(JUNE)

    def replaced(data):
        store.put("june/part-1.jsonl", JUNE["june/part-1.jsonl"])
        return data

    store.faults["vendor/june/part-1.jsonl"] = replaced
    with (
        pytest.raises(AuditError, match=r"s3://vendor/june/part-1\.jsonl: the object changed"),
        fetched(["s3://vendor/june"]),
    ):
        pass
    store.faults.clear()
    with fetched(["s3://vendor/june"]) as remote:
        remote.check()
        store.put("june/part-1.jsonl", ROWS)
        with pytest.raises(AuditError, match="changed while it was audited"):
            remote.check()
        del store.objects["vendor/june/part-1.jsonl"]
        with pytest.raises(AuditError, match="changed while it was audited"):
            remote.check()


@pytest.mark.parametrize(
    ("answer", "words", "kind"),
    [
        (
            "AWS Error ACCESS_DENIED during ListObjectsV2: secret=abc",
            "access denied; .*AWS_ACCESS_KEY_ID",
            AuditError,
        ),
        (
            "AWS Error NO_SUCH_BUCKET during ListObjectsV2",
            "no such object or folder",
            UsageError,
        ),
        (
            "AWS Error NETWORK_CONNECTION: curlCode: 28, Timeout at https://x/?sig=abc",
            "cannot be read: .*Timeout",
            AuditError,
        ),
        ("AWS Error INTERNAL_FAILURE: \x1b[31m\nX-Token=abc", "cannot be read: AWS Error INTERNAL_FAILURE", AuditError),
    ],
)
def test_what_a_store_answers_is_one_line_without_secrets(bucket, answer, words, kind):
    store = bucket(JUNE)
    store.refusal = OSError(answer)
    with pytest.raises(kind, match=words) as refused, fetched(["s3://vendor/june"]):
        pass
    assert "abc" not in str(refused.value)
    assert str(refused.value).isprintable()


def test_nothing_is_loaded_where_no_uri_was_typed():
    at_once = {
        module
        for module in modules()
        for node in ast.parse(source_of(module).read_text()).body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
        if name.startswith(("pyarrow.fs", "huggingface_hub"))
    }
    assert at_once == set()
    assert spool_root().is_absolute()
