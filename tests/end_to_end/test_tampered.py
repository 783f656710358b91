"""Every file of an audit, tampered with in every way: whoever reads the folder says so in one line, and never breaks."""

import itertools
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.finished import write_finished

NAMES = ("report.json", "verdict.json", "verdict.intoto.json", "map.svg", "map.png", "scores.parquet", "report.html")
PARSED = (*NAMES[:3], "scores.parquet")
"""What a command reads more of than its bytes."""

GARBAGE = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "noise": lambda data: bytes(range(256)) * 4,
    "object": lambda data: b"{}",
    "list": lambda data: b"[]",
    "null": lambda data: b"null",
    "deep": lambda data: b"[" * 200_000,
    "surrogate": lambda data: data.replace(b'"', b'"\\ud800', 3),
}
VALUES = (None, [], {}, "\ud800", -1, [[]], {"": None})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished audit with a table of scores, and the batch that it is about."""
    folder = write_finished(tmp_path_factory.mktemp("whole"))
    pq.write_table(pa.table({"sample_id": ["a"], "row": [0], "quadrant": ["stable_easy"]}), folder / "scores.parquet")
    return folder


@pytest.fixture
def commands(carto, whole, tmp_path):
    """All commands that read an audit, on its folder: their exit codes and what they said."""
    batch = tmp_path / "batch.jsonl"
    batch.write_text('{"text": "words of one row"}\n')
    given = (
        ("report", whole),
        ("report", whole, "--format", "json"),
        ("card", whole, "--readme", tmp_path / "README.md"),
        ("verify", whole, batch),
        ("apply", whole, batch, "--out", tmp_path / "out"),
        ("policy", "try", "default", whole),
        ("show", whole, "row:0"),
        ("reply", whole, "--out", tmp_path / "reply"),
        ("ledger", "add", whole, "--ledger", tmp_path / "audits.ledger", "--vendor", "acme"),
    )

    def run():
        kept = {path: path.read_bytes() for path in whole.iterdir()}
        ended = [carto(*arguments) for arguments in given]
        for path, data in kept.items():
            path.write_bytes(data)  # `report` writes the page again
        return ended

    return run


def check(ended):
    for end in ended:
        assert end.code in (0, 1, 2, 3), end.err
        assert "Internal error" not in end.err
        assert "Traceback" not in end.err


@pytest.mark.parametrize(
    ("name", "how"), [(name, how) for name in NAMES for how in (GARBAGE if name in PARSED else ("empty", "noise"))]
)
def test_a_file_of_garbage_breaks_no_command(whole, commands, name, how):
    data = (whole / name).read_bytes()
    (whole / name).write_bytes(GARBAGE[how](data))
    try:
        ended = commands()
    finally:
        (whole / name).write_bytes(data)
    check(ended)
    if name == "report.json" and how not in ("surrogate",):
        assert [end.code for end in ended] == [3] * len(ended)


def places(value, path=(), depth=0):
    """The keys of a document, and of what lies in it."""
    if depth < 2 and isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from places(inner, (*path, key), depth + 1)


@pytest.mark.parametrize("name", NAMES[:3])
def test_a_key_that_is_gone_or_of_another_type_breaks_no_command(whole, commands, name):
    data = (whole / name).read_bytes()
    document = json.loads(data)
    try:
        for number, path in itertools.islice(enumerate(places(document)), 0, None, 2 if name == NAMES[0] else 1):
            changed = json.loads(data)
            inside = changed
            for key in path[:-1]:
                inside = inside[key]
            if number % 4 == 0:
                del inside[path[-1]]
            else:
                inside[path[-1]] = VALUES[number % len(VALUES)]
            (whole / name).write_text(json.dumps(changed))
            check(commands())
    finally:
        (whole / name).write_bytes(data)
