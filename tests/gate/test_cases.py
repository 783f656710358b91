"""Cases hold a policy to what its team expects, and a malformed case is refused, never passed."""

from datetime import date

import pytest

from carto_audit.gate.cases import run_cases
from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.resources import resource_folder
from tests.support.policy_texts import WAIVER, WHOLE, writer

TODAY = date(2026, 11, 21)
METRICS = "metrics: {hotspot_memorized.token_share: 0.01, batch.tokens: 2000, detection.auc_at_dose_4: 0.95}\n"


@pytest.fixture
def run(tmp_path):
    """Runs cases, given as flow mappings, against a policy of three rules with a waiver; what went wrong, by case."""
    write = writer(tmp_path)
    subject = WAIVER.replace("rule: mass,", "rule: mass, subject: vendor-a-*,")
    increase = (
        "  - {id: drift, metric: memorized.token_share, max_increase: 0.1, severity: warn, disabled: true, reason: r}\n"
    )
    write(WHOLE + increase + "waivers:\n" + subject)
    write(WHOLE + increase.replace("disabled: true, ", ""), "drift.yaml")

    def run(*cases, head=METRICS, policy="policy.yaml"):
        text = f"schema_version: 1\npolicy: {policy}\n{head}cases:\n" + "".join(f"  - {case}\n" for case in cases)
        return {result.name: result.mismatches for result in run_cases(write(text, "cases.yaml"), TODAY)}

    return run


@pytest.mark.parametrize("path", sorted(resource_folder("policies").glob("cases/*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_policies_meet_their_shipped_cases(path):
    results = run_cases(path, TODAY)
    assert len(results) >= 4
    assert [line for result in results if result.mismatches for line in result.lines] == []


def test_cases_that_are_met_say_nothing(run):
    assert run(
        "{name: good, expect: {status: accepted, failing: [], waived: []}}",
        "{name: leaks, metrics: {hotspot_memorized.token_share: 0.5}, expect: {status: rejected, failing: [mass]}}",
        "{name: blind, not_measured: [detection.auc_at_dose_4], expect: {status: inconclusive, failing: [power]}}",
        "{name: worst end, metrics: {hotspot_memorized.token_share: {value: 0.04, high: 0.06}}, expect: {status: rejected}}",
    ) == {"good": (), "leaks": (), "blind": (), "worst end": ()}


def test_a_case_that_fails_shows_both_verdicts_and_every_rule_that_differs(run):
    case = "{name: leaks, metrics: {hotspot_memorized.token_share: 0.5}, expect: {status: accepted, failing: [size]}}"
    assert run(case) == {
        "leaks": (
            "status: expected accepted, got rejected",
            "- size: expected to fail, which it does not: batch.tokens is 2,000, at least 1,000 allowed",
            "+ mass: not expected to fail, which it does: hotspot_memorized.token_share is 50.0 %, at most 5.0 % allowed",
        )
    }


def test_a_status_alone_is_explained_by_the_rules_that_failed(run):
    case = "{name: leaks, metrics: {hotspot_memorized.token_share: 0.5}, expect: {status: accepted}}"
    assert run(case)["leaks"][1] == "  mass fails: hotspot_memorized.token_share is 50.0 %, at most 5.0 % allowed"


def test_waivers_are_judged_by_the_batch_and_the_day_of_the_case(run):
    leaks = "metrics: {hotspot_memorized.token_share: 0.5}, batch: {name: vendor-a-1}"
    waived = "expect: {status: accepted_with_warnings, waived: [mass], failing: []}"
    assert run(
        f"{{name: waived, {leaks}, {waived}}}",
        f"{{name: expired, {leaks}, today: 2027-04-01, expect: {{status: rejected, waived: []}}}}",
        f"{{name: other, {leaks.replace('vendor-a', 'vendor-b')}, expect: {{status: rejected}}}}",
    ) == {"waived": (), "expired": (), "other": ()}
    assert run(f"{{name: late, {leaks}, {waived}}}", head=METRICS + "today: 2027-04-01\n")["late"]


def test_increases_are_judged_by_the_baseline_of_the_case(run):
    now = "metrics: {memorized.token_share: 0.2}"
    assert run(
        f"{{name: same, {now}, baseline: {{memorized.token_share: 0.15}}, expect: {{status: accepted}}}}",
        f"{{name: more, {now}, baseline: {{memorized.token_share: 0.05}}, "
        "expect: {status: accepted_with_warnings, failing: [drift]}}",
        f"{{name: alone, {now}, expect: {{status: inconclusive, failing: [drift]}}}}",
        policy="drift.yaml",
    ) == {"same": (), "more": (), "alone": ()}


GOOD = "{name: good, expect: {status: accepted}}"


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("{name: a, expect: {status: acepted}}", 'did you mean "accepted"?'),
        ("{name: a, expect: {status: accepted, failing: [mas]}}", 'the policy has no rule "mas"; did you mean "mass"?'),
        ("{name: a, expect: {status: accepted, waived: [mas]}}", "cases.0.expect.waived.0: the policy has no rule"),
        ("{name: a, metrics: {batch.row: 1}, expect: {status: accepted}}", 'did you mean "batch.rows"?'),
        ("{name: a, metrics: {batch.rows: '1'}, expect: {status: accepted}}", "metrics.batch.rows"),
        ("{name: a, metrics: {batch.rows: true}, expect: {status: accepted}}", "metrics.batch.rows"),
        ("{name: a, metrics: {batch.rows: .nan}, expect: {status: accepted}}", "should be a finite number"),
        (
            "{name: a, metrics: {batch.rows: {value: 1, low: 2}}, expect: {status: accepted}}",
            "lies between low and high",
        ),
        ("{name: a, expct: {status: accepted}}", 'unknown key; did you mean "expect"?'),
        ("{name: a}", "expect: this key is missing"),
        (f"{GOOD}\n  - {GOOD}", 'two cases are called "good"'),
    ],
)
def test_a_malformed_case_is_refused_at_its_place(run, case, message):
    with pytest.raises(UsageError) as caught:
        run(case)
    lines = str(caught.value).splitlines()
    assert any("cases.yaml:" in line and message in line for line in lines), lines


@pytest.mark.parametrize(
    ("head", "policy", "message"),
    [
        ("metric: {}\n", "policy.yaml", 'metric: unknown key; did you mean "metrics"?'),
        ("", "nowhere.yaml", "no policy file and no built-in policy"),
        ("cases: []\n", "policy.yaml", "this key is written twice"),
    ],
)
def test_a_malformed_file_is_refused(run, head, policy, message):
    with pytest.raises(UsageError, match=r"(cases|nowhere)\.yaml") as caught:
        run(GOOD, head=head, policy=policy)
    assert message in str(caught.value)


def test_a_file_without_cases_tests_nothing_and_is_refused(tmp_path):
    path = writer(tmp_path)("schema_version: 1\npolicy: default\ncases: []\n", "cases.yaml")
    with pytest.raises(UsageError, match=r"cases\.yaml:3:1: cases: "):
        run_cases(path, TODAY)
