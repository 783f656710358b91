"""Deliveries of which not every file can be read, as a user meets them: through the commands."""

import json
import os

import pytest

from carto_audit.artifacts.report_facts import report_type
from carto_audit.cli.report import show_audit
from carto_audit.data import batch
from carto_audit.report.html import render_html
from tests.report.test_html import section
from tests.support.audits import (
    GATE,
    ONE_BY_ONE,
    codes_of,
    one_by_one,
    run_process,
    sentences,
    write_benchmark,
    write_parquet,
)
from tests.support.report_facts import make_facts

READ_ALL = "  - {id: read-all, metric: batch.unread_file_share, max: 0, severity: warn, reason: all of it counts}\n"
SHORT = ("--folds", 1, "--epochs", 2, "--seed", 1)
HOSTILE = "<img src=x onerror=alert(1)>::error::\x1b[31m.xlsx"


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(GATE + READ_ALL)
    return path


@pytest.fixture
def shards(tmp_path):
    """A folder of two shards, one of which has a name that is not UTF-8, with files beside the data and a link to a shard."""
    folder = tmp_path / "shards"
    write_parquet(folder / "a.PARQUET", sentences(30))
    odd = folder / os.fsdecode(b"b\xff.jsonl")
    odd.write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences(30, 1)))
    (folder / "README.md").write_text("words")
    (folder / "state.json").write_text("{}")
    (folder / "c.csv").write_text("text\n")
    (folder / "again.parquet").symlink_to("a.PARQUET")
    return folder


def long_rows(count, seed):
    return [f"{text} {text} {text}" for text in sentences(count, seed=seed)]


def test_a_corrected_delivery_takes_over_what_was_found_in_files_that_did_not_change(
    carto, thin, tmp_path, policy, reuse, monkeypatch
):
    monkeypatch.setattr(batch, "LARGE_FILE", 1)
    items = write_benchmark(tmp_path / "items.jsonl")
    folder = tmp_path / "june"
    for number in range(3):
        write_parquet(folder / f"{number}.parquet", long_rows(20, number))

    def audit(name):
        ended = carto("ingest", folder, "--policy", policy, "--benchmark", items, "--out", tmp_path / name, *SHORT)
        assert ended.code in (0, 1, 3), ended.err
        return ended.out, json.loads((tmp_path / name / "report.json").read_text())

    said, report = audit("first")
    assert "reused_samples" not in report["run"]
    assert "by an earlier audit" not in said
    write_parquet(folder / "1.parquet", long_rows(9, 7))
    said, report = audit("second")
    assert report["run"]["reused_samples"] == 40
    assert "40 of 49 samples had been searched for the same items by an earlier audit" in " ".join(
        said.replace("│", " ").split()
    )
    assert "40 samples had been searched for the same items" in (tmp_path / "second" / "report.html").read_text()


def add_unread(folder):
    (folder / HOSTILE).write_text("text\nwhat nobody read\n")
    (folder / ".hidden.jsonl").write_text('{"text": "hidden"}\n')
    (folder / "out.parquet").symlink_to("/etc/hostname")
    os.mkfifo(folder / "pipe.jsonl")


def test_an_audit_that_did_not_read_everything_is_inconclusive_and_says_so_everywhere(
    carto, thin, tmp_path, shards, policy
):
    add_unread(shards)
    out = tmp_path / "audit"
    ended = carto(
        "ingest", shards, "--policy", policy, "--out", out, *SHORT, "--format", f"markdown={out / 'audit.md'}"
    )
    assert ended.code == 3, ended.err
    assert "Not everything was read. This is not a pass." in ended.out
    assert "4 of 6 data files were not read: .hidden.jsonl (hidden)" in ended.out
    facts = json.loads((out / "report.json").read_text())
    delivery = facts["batch"]["delivery"]
    assert (delivery["read_files"], delivery["unread_files"], delivery["side_files"]) == (2, 4, 4)
    assert delivery["read_bytes"] == sum(
        f.stat().st_size for f in shards.iterdir() if f.name[0] in "ab" and not f.is_symlink()
    )
    assert delivery["unread_bytes"] == len("text\nwhat nobody read\n") + len('{"text": "hidden"}\n')
    assert [(f["reason"], f["is_data"]) for f in delivery["not_read"]] == [
        ("hidden", True),
        ("unknown_format", True),
        ("link_out", True),
        ("not_regular", True),
        ("side_file", False),
        ("same_file", False),
        ("empty", False),
        ("side_file", False),
    ]
    (finding,) = (f for f in facts["findings"] if f["rule"] == "read-all")
    assert (finding["outcome"], finding["observed"], facts["verdict"]["status"]) == ("unread", 4 / 6, "inconclusive")
    page = (out / "report.html").read_text()
    assert "4 of 6 data files were not read" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<img src=x" not in page
    said = (out / "audit.md").read_text()
    assert "\n**`4 of 6 data files were not read" in said  # a hostile name stands in code, where nothing is markup
    for line in ended.out.splitlines():
        assert "\x1b" not in line
        assert "::error::" not in line


def test_a_delivery_that_is_read_whole_passes_is_verified_and_applied(carto, thin, tmp_path, shards, policy):
    out = tmp_path / "audit"
    ended = carto("ingest", shards, "--policy", policy, "--out", out, "--strict-input", *SHORT)
    assert ended.code == 0, ended.err
    facts = json.loads((out / "report.json").read_text())
    assert facts["metrics"]["batch.unread_file_share"] == 0
    assert facts["run"]["call"]["options"]["strict_input"] == "True"
    assert carto("verify", out, shards).code == 0
    (shards / "more.md").write_text("words")  # no part of the bytes that the verdict is about
    assert carto("verify", out, shards).code == 0
    applied = carto("apply", out, shards, "--out", tmp_path / "curated")
    assert applied.code == 0, applied.err
    assert "60 rows: " in applied.out
    assert " --strict-input --out " in applied.out.splitlines()[-1]
    assert len(list((tmp_path / "curated" / "curated").iterdir())) == 2


def write_lines(path, texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def test_a_split_that_was_chosen_is_said_counted_verified_and_divided(carto, thin, tmp_path, policy):
    hub, out = tmp_path / "hub", tmp_path / "audit"
    configs = "\n- config_name: en\n  data_files:\n  - {split: train, path: a.jsonl}\n  - {split: test, path: b.jsonl}"
    for number, name in enumerate(("a", "b", "c")):
        write_lines(hub / f"{name}.jsonl", sentences(30, number))
    (hub / "README.md").write_text(f"---\nconfigs:{configs}\n---\n")
    given = (hub, "--config", "en", "--split", "train", "--policy", policy, "--out", out, *SHORT)
    ended = carto("ingest", *given)
    assert ended.code == 3, ended.err
    said = "b.jsonl (not of the configuration and split that were chosen)"
    assert f"2 of 3 data files were not read: {said}" in ended.out
    assert 'Read: text of 30 rows of the configuration "en", split "train".' in (
        out / "report.html"
    ).read_text().replace("&#34;", '"')
    facts = json.loads((out / "report.json").read_text())
    assert facts["batch"]["delivery"]["chosen"] == {"config": "en", "split": "train"}
    assert (facts["batch"]["paths"], facts["metrics"]["batch.unread_file_share"]) == (["a.jsonl"], 2 / 3)
    assert carto("verify", out, hub).code == 0
    assert carto("verify", out, hub / "a.jsonl").code == 0
    assert carto("apply", out, hub, "--out", tmp_path / "curated").code == 0
    refused = carto("ingest", *given, "--strict-input")
    assert (refused.code, said in refused.err) == (3, True)
    (hub / "a.jsonl").write_text('{"text": "swapped"}\n')
    assert carto("verify", out, hub).code == 1


def test_a_list_of_other_columns_beside_the_data_counts_as_unread_unless_it_is_given(carto, thin, tmp_path, policy):
    folder, out = tmp_path / "shards", tmp_path / "audit"
    write_lines(folder / "b.jsonl", sentences(60))
    (folder / "a.csv").write_text("file,sha256\nb.jsonl,9f\nc.jsonl,8e\n")
    ended = carto("ingest", folder, "--policy", policy, "--out", out, *SHORT)
    assert ended.code == 3, ended.err
    assert "1 of 2 data files was not read: a.csv (none of the columns that the others have)" in ended.out
    assert carto("verify", out, folder).code == 0
    assert carto("apply", out, folder, "--out", tmp_path / "curated").code == 0
    ended = carto("ingest", folder / "b.jsonl", folder / "a.csv", "--policy", policy, "--out", tmp_path / "given")
    assert ended.code == 2
    assert 'a.csv: no column "text"; it has: file, sha256' in ended.err


def test_strict_input_refuses_at_once_in_one_line(carto, tmp_path, shards, policy):
    add_unread(shards)
    ended = carto("ingest", shards, "--policy", policy, "--out", tmp_path / "audit", "--strict-input")
    assert ended.code == 3
    assert ended.err.splitlines() == [
        "Error: .hidden.jsonl (hidden) and 3 more data files are not read; deliver all data as plain files in a known format, "
        "or leave out --strict-input"
    ]
    assert list((tmp_path / "audit").iterdir()) == []


def test_no_command_waits_for_a_pipe(tmp_path, shards):
    add_unread(shards)
    (tmp_path / "nowhere").mkdir()
    commands = (
        ("ingest", shards, "--strict-input", "--out", "audit"),
        ("verify", "nowhere", shards),
        ("ingest", shards / "pipe.jsonl"),
    )
    ended = run_process(*one_by_one(commands), cwd=tmp_path, program=ONE_BY_ONE)
    codes = codes_of(ended.err)
    assert len(codes) == len(commands), ended.err
    assert set(codes) <= {2, 3}, ended.err


# The page from facts alone


def unread(count, **changes):
    file = {"name": HOSTILE, "bytes": 1, "reason": "unknown_format", "explanation": "unknown format", "is_data": True}
    counts = {"read_files": 1, "read_bytes": 1000, "side_files": 0, "side_bytes": 0}
    return counts | {"unread_files": count, "unread_bytes": count, "not_read": [file | changes] * min(count, 200)}


def page_with(delivery):
    facts = make_facts()
    facts["batch"]["delivery"] = delivery
    report_type().validate_python(facts)
    return section(render_html(facts, ""), "skipped")


def test_the_page_counts_files_and_bytes_and_all_that_it_does_not_name():
    text = page_with(unread(5000))
    assert "1 file of 1,000 bytes was read; 5,000 data files of 5,000 bytes were not" in text
    assert "and 4,950 other files" in text


def test_a_page_where_all_was_read_has_no_table_of_files():
    text = page_with(unread(0))
    assert "1 file of 1,000 bytes was read." in text
    assert "Counts as" not in text


def test_a_report_from_before_deliveries_were_counted_is_still_a_report():
    facts = make_facts()
    facts["batch"].pop("delivery", None)
    report_type().validate_python(facts)
    assert "data files" not in render_html(facts, "")


def test_a_quiet_summary_names_what_was_not_read(capsys, tmp_path):
    facts = make_facts()
    facts["batch"]["delivery"] = unread(2)
    show_audit(facts, tmp_path, (), quiet=True)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 3
    assert "2 of 3 data files were not read: <img src=x onerror=alert(1)>: :error: :" in said[1]
