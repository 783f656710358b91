import pytest

from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.progress import SILENT
from carto_audit.runtime.remote import filesystem, spool
from carto_audit.runtime.remote.fetched import fetched
from carto_audit.runtime.remote.uris import parse_uri
from tests.support.buckets import Bucket

MONTHS = {f"{month}/a.jsonl": month.encode() * 1000 for month in ("may", "june", "july")}


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """A bucket of three deliveries of 3 to 4 kB, and a spool of 8 kB."""
    held = Bucket(MONTHS)
    monkeypatch.setitem(filesystem.STORES, "s3", held.opened)
    monkeypatch.setenv("CARTO_AUDIT_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("CARTO_AUDIT_SPOOL_LIMIT", "0.000008")
    monkeypatch.setattr(spool, "SPARE", 0)
    return held


def fetch(*months):
    with fetched([f"s3://vendor/{month}" for month in months]) as remote:
        return [path.read_bytes() for path in sorted(remote.inputs[0].rglob("*.jsonl"))]


def test_a_delivery_larger_than_the_spool_is_refused_before_the_first_byte(bucket):
    with pytest.raises(
        AuditError, match=r"and 2 more objects: 0.0 GB, more than the spool may take .* CARTO_AUDIT_SPOOL_LIMIT"
    ):
        fetch("may", "june", "july")
    assert bucket.reads == []


def test_the_longest_unused_goes_when_there_is_no_room(bucket, tmp_path):
    fetch("may")
    fetch("june")
    fetch("may")
    fetch("july")
    assert len(list((tmp_path / "spool" / "objects").iterdir())) == 2
    fetch("may")
    assert [path.split("/")[1] for path in bucket.reads] == ["may", "june", "july"]


def test_what_a_run_holds_stays_and_another_is_refused(bucket):
    with fetched(["s3://vendor/may"]) as held:
        fetch("june")
        with fetched(["s3://vendor/june"]), pytest.raises(AuditError, match=r"the spool has no room: 0\.0 GB"):
            fetch("july")
        assert held.inputs[0].joinpath("a.jsonl").read_bytes() == MONTHS["may/a.jsonl"]
        fetch("july")
        assert held.inputs[0].joinpath("a.jsonl").read_bytes() == MONTHS["may/a.jsonl"]


def test_a_full_disk_is_refused_before_the_first_byte(bucket, monkeypatch):
    monkeypatch.setattr(spool, "SPARE", 1 << 62)
    with pytest.raises(AuditError, match="GB are free; free some space"):
        fetch("may")
    assert bucket.reads == []


def test_what_nobody_asks_for_does_not_stay_for_ever(bucket, monkeypatch, tmp_path):
    fetch("may")
    monkeypatch.setattr(spool, "KEEP_DAYS", -1)
    fetch("june")
    assert [path.read_bytes()[:4] for path in (tmp_path / "spool" / "objects").iterdir()] == [b"june"]


@pytest.mark.parametrize("told", ["much", "-1", "0", "nan", "inf"])
def test_a_limit_is_a_number_of_gigabytes(bucket, monkeypatch, told):
    monkeypatch.setenv("CARTO_AUDIT_SPOOL_LIMIT", told)
    with pytest.raises(UsageError, match="a number of gigabytes"):
        fetch("may")


def test_a_copy_of_another_length_is_fetched_again(bucket, tmp_path):
    fetch("may")
    for place in (tmp_path / "spool" / "objects").iterdir():
        place.write_bytes(b"short")
    fetch("may", "june")
    assert [path.split("/")[1] for path in sorted(bucket.reads)] == ["june", "may", "may"]


def test_a_spool_that_another_user_made_is_not_used(bucket, monkeypatch):
    monkeypatch.setattr(spool.os, "geteuid", lambda: 12345)
    with pytest.raises(AuditError, match="cannot write"):
        fetch("may")


def test_names_that_one_file_system_takes_for_one_are_refused_there(bucket):
    bucket.objects |= {"vendor/may/A.jsonl": b"x"}
    bucket.changes |= {"vendor/may/A.jsonl": 1}
    sources = filesystem.list_objects(parse_uri("s3://vendor/may"))
    assert len(spool._names(sources, folds=False)) == 2
    with pytest.raises(AuditError, match="this disk takes it for"):
        spool._names(sources, folds=True)


def test_a_second_run_waits_for_the_first_to_fetch(bucket, tmp_path):
    said = []

    class Said(type(SILENT)):
        def note(self, message):
            said.append(message)
            first.__exit__(None, None, None)

    fetch("may")
    first = spool._alone(tmp_path / "spool", SILENT)
    first.__enter__()
    with fetched(["s3://vendor/june"], Said()):
        assert said == ["another run is fetching; waiting for it"]
