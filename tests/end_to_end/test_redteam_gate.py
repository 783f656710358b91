"""Whole audits and single verdicts under policies that demand a measured reduction."""

import hashlib
import json
import re
from copy import deepcopy

import pytest

from carto_audit.artifacts.audit_record import read_record
from carto_audit.artifacts.redteam_record import read_redteam
from carto_audit.gate.replay import replay
from carto_audit.pipeline.judge import judge_redteam
from carto_audit.policy.model import load_policy
from tests.support.audits import GATE, write_parquet
from tests.support.records import report, write_audit
from tests.support.redteams import ARMS, estimate, redteam, write_redteam
from tests.support.repository import ROOT
from tests.support.tiny import make_batch

QUICK = ["--folds", 1, "--epochs", 2, "--policy", "ours.yaml"]
RULES = """\
  - {id: could-see, metric: redteam.extraction_untreated, min: 0.5, severity: reject, reason: blind otherwise}
  - {id: cut, metric: redteam.extraction_reduction, min: 0.7, severity: reject, reason: a treatment has to work}
  - {id: price, metric: redteam.perplexity_increase, max: 0.005, severity: warn, reason: what we pay}
"""


@pytest.fixture
def house(tmp_path, monkeypatch, batch_file, thin):
    """A folder with a batch, a policy that demands a measured reduction, and a red team that measured it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ours.yaml").write_text(GATE + RULES)
    write_redteam(tmp_path / "rt" / "redteam.json", redteam(digest(batch_file), "ours.yaml"))
    return tmp_path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(folder, name):
    return json.loads((folder / name).read_text())


def outcomes(folder):
    return {finding["rule"]: finding["outcome"] for finding in read(folder, "verdict.json")["findings"]}


def test_a_demanded_reduction_passes_only_where_it_was_measured(carto, house):
    alone = carto("ingest", "batch.parquet", "--out", "alone", *QUICK)
    assert alone.code == 3, alone.err
    assert outcomes(house / "alone")["cut"] == "not_measured"
    (cut,) = [f for f in read(house / "alone", "verdict.json")["findings"] if f["rule"] == "cut"]
    assert cut["explanation"] == (
        "redteam.extraction_reduction was not measured; measure it with `carto-audit redteam` and name its folder with "
        "--redteam"
    )
    assert read(house / "alone", "report.json")["redteam"] is None

    measured = carto("ingest", "batch.parquet", "--out", "measured", "--redteam", "rt", *QUICK)
    assert measured.code == 0, measured.err
    assert outcomes(house / "measured") == dict.fromkeys(["skipped", "copies", "could-see", "cut", "price"], "passed")
    facts = read(house / "measured", "report.json")
    assert facts["redteam"]["sha256"] == digest(house / "rt" / "redteam.json")
    assert facts["metrics"]["redteam.extraction_policy"] == 0.18
    assert facts["metric_intervals"]["redteam.extraction_policy"] == [0.16, 0.18 + 0.02]
    page = (house / "measured" / "report.html").read_text()
    assert "redteam.perplexity_increase" in page
    assert "at most 0.5 %" in page
    assert carto("verify", "measured", "batch.parquet", "--policy", "ours.yaml").code == 0
    assert carto("report", "measured").code == 0
    assert carto("policy", "try", "ours.yaml", "measured").code == 0


def test_a_red_team_of_another_batch_ends_before_the_training(carto, house):
    write_parquet(house / "other.parquet", ["another text"] * 9)
    ended = carto("ingest", "other.parquet", "--out", "x", "--redteam", "rt/redteam.json", *QUICK)
    assert ended.code == 2
    assert "Error: rt/redteam.json: measured on another batch" in ended.err.splitlines()[-1]
    assert not (house / "x" / "verdict.json").exists()


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:900]), 3, "not the result of a red team"),
        (lambda path: path.unlink(), 2, "no such file"),
        (lambda path: write_redteam(path, redteam("ab" * 32, "default")), 2, "measured on another batch"),
    ],
    ids=["cut", "gone", "foreign"],
)
def test_a_red_team_that_cannot_be_read_ends_in_one_line(carto, house, spoil, code, words):
    spoil(house / "rt" / "redteam.json")
    ended = carto("ingest", "batch.parquet", "--out", "x", "--redteam", "rt", "--quiet", *QUICK)
    assert ended.code == code
    (line,) = ended.err.splitlines()
    assert words in line


def test_a_red_team_under_other_interventions_is_refused(carto, house, batch_file):
    write_redteam(house / "rt" / "redteam.json", redteam(digest(batch_file), "default"))
    ended = carto("ingest", "batch.parquet", "--out", "x", "--redteam", "rt", "--quiet", *QUICK)
    assert ended.code == 2
    assert "measured under another policy" in ended.err


def test_a_report_is_never_written_over_the_red_team(carto, house):
    ended = carto("ingest", "batch.parquet", "--redteam", "rt", "--format", "json=rt/redteam.json", *QUICK)
    assert ended.code == 2
    assert "rt/redteam.json" in ended.err


def test_the_documented_policy_loads_and_passes_on_a_good_red_team(tmp_path):
    text = (ROOT / "docs" / "policy.md").read_text()
    (block,) = [yaml for yaml in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "measured-reduction" in yaml]
    (tmp_path / "ours.yaml").write_text(block)
    policy = load_policy(tmp_path / "ours.yaml")
    assert {rule.metric for rule in policy.active_rules if rule.metric.startswith("redteam.")} == {
        "redteam.extraction_untreated",
        "redteam.extraction_reduction",
        "redteam.perplexity_increase",
    }


# The red team's own verdict


@pytest.fixture
def judged(tmp_path):
    """The verdict of the rules on a batch, by its red team."""

    def judge(rules, waivers="", **changes):
        (tmp_path / "ours.yaml").write_text(GATE + rules + waivers)
        batch = make_batch(tmp_path, ["text"])
        path = write_redteam(tmp_path / "rt.json", redteam(batch.sha256, tmp_path / "ours.yaml", **changes))
        record, policy = read_redteam(path), load_policy(tmp_path / "ours.yaml")
        return judge_redteam(policy, record.measurements, batch=batch, unseen=record.unseen)

    return judge


def test_only_rules_on_the_red_team_s_numbers_are_judged(judged):
    verdict = judged(RULES)
    assert verdict.status == "accepted"
    assert [finding.rule for finding in verdict.findings] == ["could-see", "cut", "price"]
    assert verdict.findings[0].line == 9


def test_a_policy_without_such_rules_has_no_verdict(judged):
    assert judged("") is None
    drift = "{id: drift, metric: redteam.extraction_policy, max_increase: 0.1, severity: reject, reason: r}"
    assert judged(f"  - {drift}\n") is None


def test_a_treatment_that_does_too_little_is_rejected(judged):
    arms = deepcopy(ARMS)
    arms[2]["leakage"] = estimate(0.6)
    verdict = judged(RULES, arms=arms)
    assert (verdict.status, int(verdict.exit_code)) == ("rejected", 1)
    assert {f.rule: f.outcome for f in verdict.findings} == {"could-see": "passed", "cut": "failed", "price": "passed"}


def test_the_unfavourable_end_is_judged(judged):
    arms = deepcopy(ARMS)
    arms[2]["perplexity_change"] = estimate(0.004, 0.002)
    assert judged(RULES, arms=arms).status == "accepted_with_warnings"


def test_a_red_team_that_extracts_nothing_passes_nothing(judged):
    """The treated proxy gives away nothing, and neither did the untreated one: that is blindness, not safety."""
    arms = deepcopy(ARMS)
    for arm in arms:
        arm["leakage"] = {"value": 0.01, "low": 0.0, "high": 0.05}
    rules = RULES + "  - {id: left, metric: redteam.extraction_policy, max: 0.1, severity: reject, reason: r}\n"
    verdict = judged(rules, arms=arms, blind=True)
    assert (verdict.status, int(verdict.exit_code)) == ("inconclusive", 3)
    found = {finding.rule: finding for finding in verdict.findings}
    assert found["could-see"].outcome == "underpowered"
    assert found["cut"].outcome == found["left"].outcome == "not_measured"
    assert "there was nothing to reduce" in found["left"].explanation


def test_a_waiver_holds_for_the_red_team_too(judged):
    arms = deepcopy(ARMS)
    arms[2]["leakage"] = estimate(0.6)
    waiver = "waivers: [{rule: cut, owner: me, reason: until the next release, expires: 2999-01-01}]\n"
    assert judged(RULES, waiver, arms=arms).status == "accepted_with_warnings"


# Finished audits under other policies


def test_a_replay_under_another_treatment_does_not_know_what_the_red_team_would_find(tmp_path):
    numbers = {"redteam.extraction_policy": 0.1, "redteam.extraction_untreated": 0.9}
    write_audit(tmp_path / "may", report(**numbers))
    record = read_record(tmp_path / "may")
    rules = (
        "rules:\n  - {id: left, metric: redteam.extraction_policy, max: 0.2, severity: reject, reason: r}\n"
        "  - {id: could-see, metric: redteam.extraction_untreated, min: 0.5, severity: reject, reason: r}\n"
        "  - {id: cut, metric: redteam.extraction_reduction, min: 0.5, severity: warn, reason: r}\n"
    )
    head = "schema_version: 1\nname: ours\nextends: default\n"
    (tmp_path / "same.yaml").write_text(head + rules)
    (tmp_path / "other.yaml").write_text(head + rules + "interventions: {noisy_outlier: {action: remove}}\n")
    same, other = (
        {f.rule: f for f in replay(load_policy(tmp_path / f"{name}.yaml"), record).verdict.findings}
        for name in ("same", "other")
    )
    assert (same["left"].outcome, other["left"].outcome) == ("passed", "not_measured")
    assert "treats the batch otherwise" in other["left"].explanation
    assert same["could-see"].outcome == other["could-see"].outcome == "passed"
    assert "name its folder with --redteam" in other["cut"].explanation


def test_cases_may_give_a_red_team_s_numbers(carto, tmp_path):
    (tmp_path / "ours.yaml").write_text(GATE + RULES)
    numbers = (
        "batch.skipped_row_share: 0, duplicates.token_share: 0, redteam.extraction_untreated: 0.9, "
        "redteam.extraction_reduction: {value: 0.9, low: 0.8, high: 0.95}, redteam.perplexity_increase: "
    )
    cases = (
        "schema_version: 1\npolicy: ours.yaml\ncases:\n"
        f"  - {{name: cheaper, metrics: {{{numbers}-0.01}}, expect: {{status: accepted}}}}\n"
        f"  - {{name: dear, metrics: {{{numbers}0.02}}, expect: {{status: accepted_with_warnings, failing: [price]}}}}\n"
    )
    (tmp_path / "cases.yaml").write_text(cases)
    ended = carto("policy", "test", tmp_path / "cases.yaml")
    assert ended.code == 0, ended.out + ended.err
    assert "2 of 2 cases pass" in ended.out
