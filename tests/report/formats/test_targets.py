from pathlib import Path

import pytest

from carto_audit.report.formats.targets import FILES, STDOUT, Target, check_targets, parse_targets, stale_files
from carto_audit.runtime.errors import AuditError, UsageError

AUDIT = Path("b-audit")


def test_formats_go_where_they_belong_or_where_they_are_sent():
    targets = parse_targets(["sarif", "junit=out/results.xml", "text", "github", "json=-", "gitlab=gl.json"][:4])
    assert [target.file(AUDIT) for target in targets] == [
        AUDIT / "carto-audit.sarif",
        Path("out/results.xml"),
        None,
        None,
    ]
    assert parse_targets(["json=a=b.json"])[0].file(AUDIT) == Path("a=b.json")
    assert parse_targets(["sarif=-"]) == (Target(format="sarif", path=STDOUT),)
    assert parse_targets(["sarif=-"])[0].file(AUDIT) is None
    assert parse_targets(["json", "json=-", "json"]) == (Target(format="json"),)


@pytest.mark.parametrize(
    ("values", "claims"),
    [(["text"], False), (["github"], False), (["sarif"], False), (["json"], True), (["sarif=-"], True)],
)
def test_a_document_on_the_standard_output_is_alone_there(values, claims):
    assert [target.claims_stdout for target in parse_targets(values)] == [claims]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["jnuit"], 'no format is called "jnuit"; did you mean "junit"?; known: text, json'),
        (["\x1b[31m"], 'no format is called "[31m"; known'),
        (["sarif="], "a file's name is missing"),
        (["github=x.log"], "takes no file"),
        (["json", "markdown"], "json and markdown would share the standard output; give json a file"),
        (["github", "json"], "github and json would share the standard output; give json a file"),
        (["text", "junit=-"], "text and junit would share the standard output; give junit a file"),
    ],
)
def test_a_wrong_target_is_one_line_with_the_way_out(values, words):
    with pytest.raises(UsageError) as caught:
        parse_targets(values)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_file_that_matters_is_never_overwritten(tmp_path):
    (tmp_path / "batch.jsonl").touch()
    (tmp_path / "folder").mkdir()

    def check(*values):
        check_targets(parse_targets(values), tmp_path / "a", [tmp_path / "batch.jsonl"], ["report.json"])

    check(f"sarif={tmp_path}/new/x.sarif", f"junit={tmp_path}/y.xml", "gitlab")
    for value, words in (
        (f"json={tmp_path}/folder/../batch.jsonl", "would overwrite an input"),
        (f"json={tmp_path}/a/report.json", "would overwrite a file of the audit itself"),
        (f"json={tmp_path}/folder", "is a folder"),
    ):
        with pytest.raises(UsageError, match=words):
            check(value)
    with pytest.raises(UsageError, match="would overwrite the sarif file"):
        check("sarif", f"junit={tmp_path}/a/carto-audit.sarif")
    with pytest.raises(AuditError, match="cannot be written there"):
        check(f"json={tmp_path}/batch.jsonl/x.json")


def test_what_an_earlier_audit_left_is_known():
    files = list(stale_files(parse_targets(["sarif=x.sarif", "github"]), AUDIT))
    assert files == [*(AUDIT / name for name in FILES.values()), Path("x.sarif")]
