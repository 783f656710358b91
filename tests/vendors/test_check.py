"""Both sides on real audits: an honest summary holds, a cheat is told, and a summary that lies to itself is refused at once."""

import json
import math
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

from bench.vendors.cheats import hide, repacked, scored_rows, shave, without_hot_rows
from carto_audit.artifacts.report_facts import report_schema
from carto_audit.attestation.dsse import load_public_key
from carto_audit.data.batch import read_batch
from carto_audit.gate.verdict import evaluate
from carto_audit.policy.model import load_policy
from carto_audit.report.batch_words import power_words, vendor_checks, vendor_line
from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.files import file_sha256, json_bytes, read_table, write_table
from carto_audit.vendors import statement as said
from carto_audit.vendors.challenge import draw, hold
from carto_audit.vendors.check import check
from carto_audit.vendors.reading import read_summary
from carto_audit.vendors.recompute import why_not
from carto_audit.vendors.rows import SCHEMA
from tests.support.audits import write_parquet
from tests.vendors.conftest import texts_of_june

NONCE = "ab" * 32


@pytest.fixture(scope="module")
def june(pair):
    """The summary as the buyer reads it, what his audit says, and the salt."""
    scored = scored_rows(pair.ours, read_batch([pair.batch]), load_policy("vendor"))
    summary = read_summary(pair.summary, load_public_key(pair.home / "vendor.key.pub"))
    return summary, scored, pair.salt.read_bytes()


@pytest.fixture
def forged(pair, tmp_path):
    """A copy of the summary that a test may change."""
    return shutil.copytree(pair.summary, tmp_path / "forged")


def report_of(pair):
    return json.loads((pair.ours / "report.json").read_text())


def line_of(summary):
    return summary.predicate.thresholds["memorization"]


def failing(found):
    return [test["name"] for test in found.facts["tests"] if test["failed"]]


# The whole way


def test_an_honest_summary_is_accepted_and_the_report_says_what_was_checked(pair):
    report = report_of(pair)
    assert pair.codes[:1] + pair.codes[2:3] + pair.codes[4:] == [0, 0, 0]
    outcomes = {one["rule"]: one["outcome"] for one in report["findings"] if one["rule"].startswith("summary-")}
    assert outcomes == {f"summary-{name}": "passed" for name in ("signed", "fresh", "rows", "honest", "power")}
    assert {name: value for name, value in report["metrics"].items() if name.startswith("vendor.")} == {
        "vendor.unsigned": 0,
        "vendor.age_days": 0,
        "vendor.missing_row_share": 0,
        "vendor.understated_share": 0,
        "vendor.power": 1,
    }
    assert not list(Draft202012Validator(report_schema()).iter_errors(report))
    vendor = report["vendor"]
    assert vendor["rows"] == {
        "rows": 152,
        "same_batch": True,
        "foreign": 0,
        "examples": [],
        "challenged": 152,
        "unproved": 0,
    }
    assert len(vendor["nonce"]) == 64
    assert vendor["recipe"]["differences"] == []
    assert [step["hidden_share"] for step in vendor["power"]] == [0.1, 0.3, 0.5]
    page = (pair.ours / "report.html").read_text()
    for words in (
        "What was not checked",
        "iding 10 / 30 / 50 % of the flags would have been caught",
        vendor["root"],
        vendor["nonce"],
    ):
        assert words in page


def test_the_vendors_losses_are_computed_again_to_the_last_digit(pair):
    again = report_of(pair)["vendor"]["recomputed"]
    assert again["why_not"] is None
    assert again["draw_agrees"]
    assert again["same"] == again["rows"] > 100
    assert again["largest_difference"] < 1e-4


def test_every_check_is_told_in_words(pair):
    vendor = report_of(pair)["vendor"]
    checks = vendor_checks(vendor)
    assert all(checked.holds for checked in checks)
    told = "\n".join(checked.words for checked in checks)
    for words in ("signed by the key", "all 152 rows", "152 rows drawn by its root", "leaves 0 unflagged", "are his"):
        assert words in told
    assert power_words(vendor).startswith("hiding 10 / 30 / 50 % of the flags would have been caught with a chance of ")
    assert vendor_line(report_of(pair))["vendor"].startswith("the summary holds in 152 rows; hiding 10 /")


def test_without_a_vendor_nothing_is_said_of_one_and_the_policy_is_inconclusive(pair):
    theirs = json.loads((pair.theirs / "report.json").read_text())
    assert "vendor" not in theirs
    assert vendor_line(theirs) == {}
    assert 'id="vendor"' not in (pair.theirs / "report.html").read_text()
    verdict = evaluate(load_policy("vendor"), {}, date(2026, 12, 1))
    (power,) = (finding for finding in verdict.findings if finding.rule == "summary-power")
    assert power.outcome == "not_measured"
    assert power.explanation.endswith("name what the vendor summarized with --vendor-summary")


# What a cheat does


@pytest.mark.parametrize(
    ("change", "caught_by"),
    [
        (lambda table, line, rng: hide(table, line, 0.6, rng), "hidden_flags"),
        (lambda table, line, rng: shave(table, line, 1.0), "hidden_flags"),
    ],
)
def test_figures_that_flatter_are_caught(june, tmp_path, change, caught_by):
    summary, scored, salt = june
    cheat = repacked(summary, change(summary.table, line_of(summary), np.random.default_rng(0)), tmp_path / "cheat")
    found = check(cheat, scored, salt, NONCE)
    assert caught_by in failing(found)
    assert 0 < found.measurements["vendor.understated_share"].value <= 1
    assert found.measurements["vendor.missing_row_share"].value == 0
    assert not all(checked.holds for checked in vendor_checks(found.facts))
    assert found.measurements["vendor.unsigned"].value == 1


def test_hot_rows_left_out_with_the_count_kept_are_rows_that_were_not_committed_to(june, tmp_path):
    summary, scored, salt = june
    cheat = repacked(summary, without_hot_rows(summary.table), tmp_path / "cheat")
    assert cheat.table.num_rows == summary.table.num_rows
    found = check(cheat, scored, salt, NONCE)
    assert found.measurements["vendor.missing_row_share"].value > 0.1
    assert found.measurements["vendor.understated_share"].value > 0


def test_rows_exchanged_after_the_commitment_are_named(june, pair, tmp_path):
    summary, _, salt = june
    texts = texts_of_june()
    texts[40], texts[7] = texts[7], "something else entirely, of as many words"
    batch = read_batch([write_parquet(tmp_path / "june.parquet", texts)])
    found = check(summary, scored_rows(pair.ours, batch), salt, NONCE)
    assert found.facts["rows"]["examples"] == [7, 40]
    assert found.measurements["vendor.missing_row_share"].value == 2 / 152
    assert not found.facts["rows"]["same_batch"]


@pytest.mark.parametrize(
    "texts", [texts_of_june()[::-1], texts_of_june()[:-5], [*texts_of_june(), "one more row of text"]]
)
def test_a_summary_of_another_batch_is_told(june, tmp_path, texts):
    summary, _, salt = june
    batch = read_batch([write_parquet(tmp_path / "july.parquet", texts)])
    held = hold(summary, batch, salt, NONCE)
    assert held.missing_share > 0
    assert held.rows == max(len(texts), 152)


def test_the_wrong_salt_opens_no_row(june):
    summary, scored, _ = june
    assert check(summary, scored, bytes(32), NONCE).measurements["vendor.missing_row_share"].value == 1


def test_root_and_nonce_draw_the_challenge_and_nothing_else_does():
    root = "0f" * 32
    rows = draw(root, NONCE, 1000, 50)
    assert len(set(rows.tolist())) == 50
    assert np.array_equal(rows, draw(root, NONCE, 1000, 50))
    assert not np.array_equal(rows, draw(root[::-1], NONCE, 1000, 50))
    assert not np.array_equal(rows, draw(root, NONCE[::-1], 1000, 50))
    assert sorted(draw(root, NONCE, 10, 50).tolist()) == list(range(10))


# Who vouches for it


def test_a_signature_that_is_missing_or_anothers_is_told_and_measured(pair, june, forged, carto, tmp_path):
    _, scored, salt = june
    key = load_public_key(pair.home / "vendor.key.pub")
    assert not read_summary(pair.summary, key).unsigned
    assert read_summary(pair.summary).problem is None
    assert read_summary(pair.summary).unsigned
    assert carto("attest", "--new-key", tmp_path / "other.key").code == 0
    assert "none of its signatures" in (read_summary(forged, load_public_key(tmp_path / "other.key.pub")).problem or "")
    (forged / "summary.dsse.json").write_text("{}")
    assert "not a DSSE envelope" in (read_summary(forged, key).problem or "")
    (forged / "summary.dsse.json").unlink()
    unsigned = read_summary(forged, key)
    assert unsigned.problem == "it is not signed"
    found = check(unsigned, scored, salt, NONCE)
    assert found.measurements["vendor.unsigned"].value == 1
    assert "signature: it is not signed" in [checked.words for checked in vendor_checks(found.facts)]


def test_a_statement_that_was_changed_after_it_was_signed_is_told(pair, forged):
    document = json.loads((forged / "summary.intoto.json").read_text())
    document["predicate"]["recipe"]["seed"] = 77
    (forged / "summary.intoto.json").write_bytes(json_bytes(document))
    summary = read_summary(forged, load_public_key(pair.home / "vendor.key.pub"))
    assert "signs is another statement" in (summary.problem or "")
    assert summary.unsigned


# What is refused before anything is trained


def rewritten(folder, change):
    """The table changed, and its digest in the statement with it, so that only its content can be refused."""
    table = change(read_table(folder / "summary.parquet"))
    write_table(folder / "summary.parquet", table, "zstd")
    return restated(folder, lambda document: None)


def restated(folder, change):
    document = json.loads((folder / "summary.intoto.json").read_text())
    document["subject"][1]["digest"]["sha256"] = file_sha256(folder / "summary.parquet")
    change(document)
    (folder / "summary.intoto.json").write_text(json.dumps(document))
    return folder


def with_column(table, name, values):
    return table.set_column(table.schema.get_field_index(name), name, pa.array(values, SCHEMA.field(name).type))


def edited(name, change):
    return lambda table: with_column(table, name, change(table[name].to_pylist()))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (edited("memorization", lambda v: [math.nan, *v[1:]]), "memorization is not a number for each row"),
        (edited("difficulty", lambda v: [math.inf, *v[1:]]), "difficulty is not a number for each row"),
        (edited("loss_out", lambda v: [None, *v[1:]]), "loss_out is not a number"),
        (edited("row", lambda v: [v[1], v[0], *v[2:]]), "not numbered in order"),
        (edited("quadrant", lambda v: ["<script>", *v[1:]]), "a quadrant is unknown"),
        (edited("flagged", lambda v: [not v[0], *v[1:]]), "flagged and does not lie above the line"),
        (edited("trained", lambda v: [False, *v[1:]]), "not a number for each row"),
        (edited("n_tokens", lambda v: [-5, *v[1:]]), "a count is negative"),
        (edited("n_tokens", lambda v: [1 << 60, *v[1:]]), "beyond all measure"),
        (edited("copies", lambda v: [-1, *v[1:]]), "a count is negative"),
        (edited("n_tokens", lambda v: [v[0] + 1, *v[1:]]), "another mass"),
        (edited("difficulty", lambda v: [v[0] + 1, *v[1:]]), "do not make the root"),
        (lambda table: table.slice(1), "holds 151 rows"),
        (lambda table: table.drop_columns(["copies"]), "other columns or types"),
        (lambda table: table.append_column("text", pa.array(["x"] * 152)), "other columns or types"),
        (
            lambda table: table.set_column(0, "row", pa.array([str(k) for k in range(152)])),
            "other columns or types",
        ),
    ],
)
def test_a_table_that_cannot_be_is_refused_in_one_line(forged, change, words):
    with pytest.raises(AuditError, match=words) as refused:
        read_summary(rewritten(forged, change))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("predicate", "rows", "root"), "00" * 32, "do not make the root"),
        (("predicate", "rows", "flagged"), 1, "counts other numbers"),
        (("predicate", "rows", "count"), 1 << 40, "less than or equal"),
        (("predicate", "masses", "memorized", "token_share"), 0.001, "another mass for memorized"),
        (("predicate", "masses", "memorized", "token_share"), float("nan"), "no valid JSON"),
        (("predicate", "batch", "sha256"), "ab" * 32, "about other things"),
        (("predicate", "batch", "rows"), 7, "contradict one another"),
        (("predicate", "recipe", "epochs"), True, "epochs"),
        (("predicate", "recipe", "sampling_key"), "abc", "sampling_key"),
        (("predicate", "audit", "started_at"), "\u202eyesterday", "no time in UTC"),
        (("predicateType",), "https://in-toto.io/attestation/test-result/v0.1", "predicateType"),
        (("subject",), [], "subject"),
        (("predicate", "recipe"), {}, "Field required"),
    ],
)
def test_a_statement_that_cannot_be_is_refused_in_one_line(forged, path, value, words):
    def change(document):
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    with pytest.raises(AuditError, match=words) as refused:
        read_summary(restated(forged, change))
    assert "\n" not in str(refused.value)
    assert "\u202e" not in str(refused.value)


def test_what_is_damaged_missing_or_huge_is_refused_in_one_line(forged, tmp_path):
    table = forged / "summary.parquet"
    whole = table.read_bytes()
    table.write_bytes(whole[:-1])
    with pytest.raises(AuditError, match="changed: its sha256 is not the one"):
        read_summary(forged)
    table.write_bytes(b"not parquet")
    with pytest.raises(AuditError, match="not the rows of a summary"):
        read_summary(restated(forged, lambda document: None))
    with table.open("wb") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(AuditError, match="larger than 152 rows can be"):
        read_summary(forged)
    table.unlink()
    table.symlink_to("/dev/zero")
    with pytest.raises(AuditError, match=r"summary\.parquet: cannot read"):
        read_summary(forged)
    (forged / said.STATEMENT).unlink()
    with pytest.raises(AuditError, match="cannot read: No such file"):
        read_summary(forged)
    with pytest.raises(UsageError, match="no such folder"):
        read_summary(tmp_path / "nowhere")


def test_a_small_file_that_unpacks_to_much_is_refused_unread(forged):
    rows = 300_000
    bomb = pa.table({name: pa.nulls(rows, SCHEMA.field(name).type) for name in SCHEMA.names})
    pq.write_table(bomb, forged / "summary.parquet", compression="zstd")
    with pytest.raises(AuditError, match="holds 300,000 rows"):
        read_summary(restated(forged, lambda document: None))


def test_the_command_refuses_before_it_trains(pair, forged, carto, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (forged / said.STATEMENT).write_text("{}")
    ended = carto("ingest", pair.batch, "--vendor-summary", forged, "--out", "checked")
    assert ended.code == 3
    assert ended.err.count("\n") == 1
    assert "not the statement of a vendor's summary" in ended.err
    ended = carto("ingest", pair.batch, "--vendor-key", "x.pub", "--out", "checked")
    assert ended.code == 2
    assert "--vendor-summary: name the summary" in ended.err
    ended = carto("ingest", pair.batch, "--vendor-summary", pair.summary, "--vendor-salt", "none", "--out", "c")
    assert ended.code == 2
    assert "none: cannot read the salt: No such file or directory; ask the vendor" in ended.err


def test_a_vendor_who_read_other_columns_is_told_how_to_agree(june, pair):
    summary, scored, salt = june
    batch = summary.predicate.batch.model_copy(update={"text": "prompt + completion"})
    other = replace(summary, predicate=summary.predicate.model_copy(update={"batch": batch}))
    with pytest.raises(UsageError, match=r"prompt .* completion.* this audit reads .text.; name the vendor's columns"):
        check(other, scored, salt, NONCE)


# How old it is


def dated(summary, started_at):
    """The summary of an audit that began then."""
    audit = summary.predicate.audit.model_copy(update={"started_at": started_at.isoformat(timespec="seconds")})
    return replace(summary, predicate=summary.predicate.model_copy(update={"audit": audit}))


@pytest.mark.parametrize(
    ("days", "outcome"), [(-2, "not_measured"), (-0.5, "passed"), (89, "passed"), (91, "failed"), (4000, "failed")]
)
def test_an_old_summary_is_rejected_and_one_from_days_to_come_is_not_measured(june, days, outcome):
    summary, scored, salt = june
    found = check(dated(summary, datetime.now(UTC) - timedelta(days=days)), scored, salt, NONCE)
    verdict = evaluate(load_policy("vendor"), found.measurements, date(2026, 12, 1))
    (fresh,) = (finding for finding in verdict.findings if finding.rule == "summary-fresh")
    assert fresh.outcome == outcome


@pytest.mark.parametrize("said_at", ["2026-13-01T00:00:00+00:00", "2026-11-30T25:00:00+00:00", "soon", "2026-11-30"])
def test_a_statement_without_a_moment_in_utc_is_refused(forged, said_at):
    path = forged / said.STATEMENT
    document = json.loads(path.read_text())
    document["predicate"]["audit"]["started_at"] = said_at
    path.write_bytes(json_bytes(document))
    with pytest.raises(AuditError, match="started_at: no time in UTC"):
        read_summary(forged)


def test_losses_of_proxies_that_read_what_lenses_planted_are_not_computed_again(june):
    summary, scored, _ = june
    read = summary.predicate.recipe.model_copy(update={"planted_by": ["secrets"]})
    planted = replace(summary, predicate=summary.predicate.model_copy(update={"recipe": read}))
    assert why_not(summary, scored) is None
    assert "his proxies read what lenses planted (secrets)" in why_not(planted, scored)
