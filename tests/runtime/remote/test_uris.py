import pytest

from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.remote.fetched import fetched, local_inputs
from carto_audit.runtime.remote.uris import is_uri, parse_uri

SECRET = "wJalrXUtnFEMI"


@pytest.mark.parametrize(
    ("text", "store", "fixed", "pattern"),
    [
        ("s3://vendor", "vendor", "", ""),
        ("s3://vendor/june/", "vendor", "june", ""),
        ("gs://vendor/june/part-*.parquet", "vendor", "june", "part-*.parquet"),
        ("gs://vendor/**/a[0-9].jsonl", "vendor", "", "**/a[0-9].jsonl"),
        ("abfss://june@vendor.dfs.core.windows.net/a.csv", "june@vendor.dfs.core.windows.net", "a.csv", ""),
        ("hf://datasets/owner/name/data", "datasets/owner/name", "data", ""),
    ],
)
def test_a_uri_is_taken_apart(text, store, fixed, pattern):
    found = parse_uri(text)
    assert (found.text, found.store, found.fixed, found.pattern) == (text, store, fixed, pattern)


@pytest.mark.parametrize("revision", ["v1.0", "refs/convert/parquet", "refs%2Fpr%2F3"])
def test_a_revision_of_the_hub_is_no_part_of_the_path(revision):
    found = parse_uri(f"hf://datasets/owner/name@{revision}/data/x.parquet")
    assert (found.revision, found.key) == (revision.replace("%2F", "/"), "data/x.parquet")


@pytest.mark.parametrize(
    "text",
    [
        f"s3://AKIA:{SECRET}@vendor/june",
        f"s3://vendor/june?secret_key={SECRET}",
        f"s3://vendor/june/?region=x&access_key={SECRET}",
        "s3://vendor?endpoint_override=evil.example.com",
        f"gs://{SECRET}@vendor/june",
        f"abfss://june:{SECRET}@vendor.dfs.core.windows.net/x",
        f"abfss://june@vendor.dfs.core.windows.net/x?sas_token={SECRET}",
        "abfss://june@evil.example.com/x",
        f"https://user:{SECRET}@example.com/x.jsonl",
        f"https://example.com/x.jsonl?signature={SECRET}",
        "file:///etc/passwd",
        "s3://vendor:9000/x",
        "s3://169.254.169.254:80/latest",
        "s3://vendor/../other",
        "s3://vendor//x",
        "s3://vendor/a\x1b[31mb",
        "s3://",
        "hf://owner/name",
        "hf://datasets/name",
        "hf://datasets/../x",
    ],
)
def test_what_is_no_plain_place_is_refused_in_one_line_that_tells_no_secret(text):
    with pytest.raises(UsageError) as refused:
        local_inputs([text])
    said = str(refused.value)
    assert SECRET not in said
    assert "\n" not in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("pattern", "key", "fits"),
    [
        ("*.jsonl", "a.jsonl", True),
        ("*.jsonl", "a.jsonl/inner.csv", True),
        ("*.jsonl", "b/a.jsonl", False),
        ("**/*.jsonl", "b/c/a.jsonl", True),
        ("**/*.jsonl", "a.jsonl", True),
        ("part-?.csv", "part-1.csv", True),
        ("part-?.csv", "part-10.csv", False),
        ("part-[0-9].csv", "part-7.csv", True),
        ("a.b*", "axb", False),
    ],
)
def test_a_glob_fetches_what_it_may_match(pattern, key, fits):
    assert parse_uri(f"s3://vendor/june/{pattern}").may_match(f"june/{key}") is fits


def test_paths_are_no_uris_and_the_two_do_not_mix(tmp_path):
    assert not is_uri(tmp_path)
    assert not is_uri("s3:/vendor/x")
    with fetched(["s3:/vendor/x", tmp_path]) as found:
        assert found.inputs == ("s3:/vendor/x", tmp_path)
    with pytest.raises(UsageError, match="URIs and local files in one batch"):
        local_inputs(["s3://vendor/x", "x.jsonl"])
