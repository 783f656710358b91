"""Deliveries in a bucket, as a user meets them: through the commands. The bucket is in memory, behind Arrow's own interface."""

import json
import shutil

import pytest
from jsonschema import Draft202012Validator

from carto_audit.artifacts.report_facts import report_schema
from carto_audit.publishing.public_report import read_publication
from carto_audit.runtime.remote import filesystem
from tests.support.audits import GATE, sentences, write_parquet
from tests.support.buckets import Bucket

SHORT = ("--folds", 1, "--epochs", 2, "--seed", 1, "--max-tokens", 400)
SECRET = "wJalrXUtnFEMI"


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """A bucket with the folder `june`, and the same folder on disk."""
    folder = tmp_path / "june"
    for number in range(2):
        write_parquet(folder / f"part-{number}.parquet", sentences(24, number))
    (folder / "README.md").write_text("words")
    held = Bucket({f"june/{path.name}": path.read_bytes() for path in folder.iterdir()})
    monkeypatch.setitem(filesystem.STORES, "s3", held.opened)
    monkeypatch.setenv("CARTO_AUDIT_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    (tmp_path / "policy.yaml").write_text(GATE)
    monkeypatch.chdir(tmp_path)
    return held


def test_an_audit_of_a_bucket_is_that_of_its_files_and_names_where_they_came_from(carto, thin, bucket, tmp_path):
    local = carto("ingest", "june", "--policy", "policy.yaml", "--out", "local", *SHORT)
    remote = carto("ingest", "s3://vendor/june", "--policy", "policy.yaml", "--out", "remote", *SHORT)
    assert (remote.code, local.code) == (0, 0), remote.err + local.err
    for name in ("scores.parquet", "trace.parquet", "verdict.json"):
        assert (tmp_path / "remote" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    facts = json.loads((tmp_path / "remote" / "report.json").read_text())
    assert facts["batch"] == json.loads((tmp_path / "local" / "report.json").read_text())["batch"]
    assert list(Draft202012Validator(report_schema()).iter_errors(facts)) == []
    assert facts["remote"]["given"] == ["s3://vendor/june"]
    assert [one["uri"] for one in facts["remote"]["listed"]][1:] == [
        f"s3://vendor/june/part-{k}.parquet" for k in (0, 1)
    ]
    assert facts["remote"]["bytes"] == sum(map(len, bucket.objects.values()))
    assert "Fetched" in remote.out
    assert "s3://vendor/june: 3 objects" in (tmp_path / "remote" / "report.html").read_text()
    for path in (tmp_path / "remote").iterdir():
        assert str(tmp_path / "spool").encode() not in path.read_bytes()
        assert SECRET.encode() not in path.read_bytes()
    assert str(tmp_path / "spool") not in remote.out + remote.err
    assert all(b"s3://" not in data for data in read_publication(tmp_path / "remote").files.values())
    for command in ("verify", "apply"):
        done = carto(command, "remote", "s3://vendor/june")
        assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "remote-curated" / "curated").iterdir()) == [
        f"0000{number}-part-{number}.parquet" for number in range(2)
    ]
    bucket.put("june/part-0.parquet", bucket.objects["vendor/june/part-1.parquet"])
    assert carto("verify", "remote", "s3://vendor/june").code == 1
    assert "not the batch that this audit is about" in carto("apply", "remote", "s3://vendor/june").err


def test_an_object_that_changes_while_it_is_audited_leaves_no_verdict(carto, thin, bucket, tmp_path, monkeypatch):
    from carto_audit.pipeline import run

    ended = run.check_seals
    monkeypatch.setattr(run, "check_seals", lambda paths: (bucket.put("june/README.md", b"other"), ended(paths)))
    done = carto("ingest", "s3://vendor/june", "--policy", "policy.yaml", "--out", "remote", *SHORT)
    assert done.code == 3
    assert "Error: s3://vendor/june/README.md: the object changed while it was audited; run again" in done.err
    assert not (tmp_path / "remote" / "verdict.json").exists()


@pytest.mark.parametrize("command", ["ingest", "redteam", "plant"])
@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://vendor/may", "s3://vendor/may: no such object or folder"),
        (f"s3://AKIA:{SECRET}@vendor/june", "a URI with credentials"),
        (f"s3://vendor/june?secret_key={SECRET}", "a URI with options"),
        ("https://example.com/june.parquet", "batches are fetched from s3://"),
    ],
)
def test_what_cannot_be_fetched_is_refused_in_one_line_and_no_file_is_made(
    carto, bucket, tmp_path, command, uri, words
):
    before = sorted(tmp_path.iterdir())
    done = carto(command, uri, "--out", "made")
    assert done.code == 2
    assert done.err.startswith("Error: ")
    assert done.err.count("\n") == 1
    assert words in done.err
    assert SECRET not in done.err + done.out
    left = [path for path in tmp_path.iterdir() if path not in before]
    assert not any(path.is_file() for folder in left for path in folder.rglob("*"))
    assert "spool" not in {path.name for path in left}


def test_only_the_batch_is_fetched(carto, bucket, tmp_path):
    shutil.copy("june/part-0.parquet", "part.parquet")
    for flags in (("--reference", "s3://vendor/june"), ("--benchmark", "s3://vendor/june/part-0.parquet")):
        done = carto("ingest", "part.parquet", "--policy", "policy.yaml", "--out", "made", *flags, *SHORT)
        assert done.code in (2, 3)
        assert "only what a command takes as its BATCH is fetched: download this first" in done.err
    assert not (tmp_path / "spool").exists()
    assert bucket.reads == []
