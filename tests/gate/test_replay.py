"""A replay says what a policy would have decided, from recorded numbers only, and what it cannot know it does not claim."""

import json
from datetime import UTC, datetime

import pytest

from carto_audit.artifacts.audit_record import read_record
from carto_audit.gate.replay import replay
from carto_audit.gate.verdict import evaluate
from carto_audit.policy.model import load_policy
from tests.support.policy_texts import HEAD, writer
from tests.support.records import write_audit


@pytest.fixture
def ours(tmp_path):
    """A child of the default policy with this body."""
    return lambda body: load_policy(writer(tmp_path)(f"{HEAD}extends: default\n{body}"))


@pytest.fixture
def audit(tmp_path):
    return lambda name="may", **changes: read_record(write_audit(tmp_path / name, **changes))


def test_the_policy_of_the_audit_gives_its_verdict_again(audit):
    done = replay(load_policy("default"), audit())
    assert list(done.lines) == ["may: accepted, as it was"]
    assert done.facts()["status"] == done.facts()["before"]["status"] == "accepted"


def test_a_real_audit_gets_the_findings_again_that_it_had(audited):
    record = read_record(audited.folder)
    recorded = json.loads((audited.folder / "verdict.json").read_text())
    done = replay(load_policy(audited.cwd / "policy.yaml"), record)
    assert done.verdict.status == recorded["status"]
    assert [f | {"file": None} for f in done.facts()["findings"]] == [
        f | {"file": None, "before": f["outcome"]} for f in recorded["findings"]
    ]


def test_a_tighter_limit_shows_what_it_would_have_stopped(audit, ours):
    done = replay(ours("rules: [{id: hotspot-mass, max: 0.042, reason: r}]\n"), audit())
    assert list(done.lines) == [
        "may: rejected; it was accepted",
        "  hotspot-mass: passed -> failed: hotspot_memorized.token_share is 4.0 % (up to 4.5 %), at most 4.2 % allowed",
    ]


@pytest.mark.parametrize(
    ("drawn", "unseen"),
    [
        (
            "memorization: {threshold: {control_dose: 1}}",
            {"hotspot-mass", "memorized-mass", "memorized-passages", "detection-power"},
        ),
        ("difficulty: {threshold: {percentile: 50}}", {"hotspot-mass"}),
        (
            "memorization: {score: memorized_share}",
            {"hotspot-mass", "memorized-mass", "memorized-passages", "detection-power"},
        ),
        ("memorization: {threshold: {control_dose: 4}}", set()),
    ],
)
def test_what_another_map_would_have_measured_is_not_claimed(audit, ours, drawn, unseen):
    done = replay(ours(f"map: {{{drawn}}}\n"), audit())
    assert {f.rule for f in done.verdict.findings if f.outcome == "not_measured"} == unseen
    assert done.verdict.status == ("inconclusive" if unseen else "accepted")
    assert all("audit the batch again to know it" in line for line in list(done.lines)[1:])


def test_a_benchmark_that_was_not_looked_for_leaves_the_replay_open(audit, ours):
    assert replay(ours("benchmarks: [gsm8k]\n"), audit()).verdict.status == "accepted"
    done = replay(ours("benchmarks: [gsm8k, mmlu]\n"), audit())
    assert done.verdict.status == "inconclusive"
    assert any("demands mmlu, which this audit did not look for" in line for line in done.lines)


def test_waivers_count_on_the_day_of_the_audit_and_for_its_batch(audit, ours):
    waiver = "{rule: hotspot-mass, owner: me, reason: retired in March, expires: 2026-11-20, subject: vendor-a-*}"
    policy = ours(f"rules: [{{id: hotspot-mass, max: 0.01, reason: r}}]\nwaivers: [{waiver}]\n")
    record = audit()
    assert replay(policy, record).verdict.status == "accepted_with_warnings"
    later = datetime(2026, 11, 21, tzinfo=UTC).date()
    assert evaluate(policy, record.measurements, later).status == "rejected"


def test_increases_are_held_against_the_baseline(audit, ours):
    policy = ours(
        "rules: [{id: drift, metric: duplicates.token_share, max_increase: 0.05, severity: reject, reason: r}]\n"
    )
    may, june = audit(), audit("june", **{"duplicates.token_share": 0.16})
    assert replay(policy, june).verdict.status == "inconclusive"
    done = replay(policy, june, may)
    assert done.verdict.status == "rejected"
    assert (
        "  drift: failed (a new rule): duplicates.token_share is 16.0 %, which exceeds the baseline's by 6.0 %"
        in "\n".join(done.lines)
    )
    moved = [change["metric"] for change in done.facts()["baseline"]["changes"]]
    assert moved == ["duplicates.token_share"]
    json.dumps(done.facts(), allow_nan=False)
