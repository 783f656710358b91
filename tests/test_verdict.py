"""The gate: what passes, what rejects, and what it refuses to judge."""

import json
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.errors import ExitCode
from carto_audit.metrics import METRICS, Measurement
from carto_audit.policy import Policy
from carto_audit.verdict import evaluate, exit_code, intoto_statement, verdict_document

TODAY = date(2026, 11, 21)
MASS = "hotspot_memorized.token_share"
POWER = "detection.auc_at_dose_4"


def policy(*rules, waivers=()):
    return Policy.model_validate(
        {
            "schema_version": 1,
            "name": "test",
            "map": {
                "difficulty": {"threshold": {"percentile": 75}},
                "memorization": {"score": "memorized_span_share", "threshold": {"control_dose": 4}},
            },
            "rules": list(rules),
            "waivers": list(waivers),
        }
    )


def mass_rule(**changes):
    return {"id": "mass", "metric": MASS, "max": 0.05, "severity": "reject", "reason": "leaks"} | changes


def power_rule(**changes):
    return {"id": "power", "metric": POWER, "min": 0.9, "severity": "reject", "reason": "must see"} | changes


def waiver(**changes):
    return {
        "rule": "mass",
        "owner": "data-governance",
        "reason": "legacy delivery, retired in March",
        "expires": TODAY + timedelta(days=90),
    } | changes


def measured(mass=0.01, power=0.95):
    return {MASS: Measurement.exact(mass), POWER: Measurement.exact(power)}


def test_a_batch_within_all_limits_is_accepted():
    verdict = evaluate(policy(mass_rule(), power_rule()), measured(), TODAY)
    assert (verdict.status, verdict.exit_code, verdict.complete) == ("accepted", ExitCode.ACCEPTED, True)
    assert [finding.outcome for finding in verdict.findings] == ["passed", "passed"]
    assert verdict.warnings == ()


def test_limits_are_inclusive():
    verdict = evaluate(policy(mass_rule(), power_rule()), measured(mass=0.05, power=0.9), TODAY)
    assert verdict.status == "accepted"


def test_a_value_above_a_max_rejects_and_says_what_was_seen():
    verdict = evaluate(policy(mass_rule()), measured(mass=0.0500001), TODAY)
    assert (verdict.status, verdict.exit_code, verdict.complete) == ("rejected", ExitCode.REJECTED, True)
    finding = verdict.findings[0]
    assert (finding.rule, finding.bound, finding.limit, finding.outcome) == ("mass", "max", 0.05, "failed")
    assert finding.reason == "leaks"
    assert "at most 0.05 allowed" in finding.explanation


def test_a_value_below_a_min_rejects():
    few = {"id": "size", "metric": "batch.tokens", "min": 1000, "severity": "reject", "reason": "too small to judge"}
    verdict = evaluate(policy(few), {"batch.tokens": Measurement.exact(999)}, TODAY)
    assert verdict.status == "rejected"


def test_an_estimated_mass_is_judged_on_its_unfavourable_end():
    estimate = {MASS: Measurement(value=0.04, low=0.03, high=0.06)}
    finding = evaluate(policy(mass_rule()), estimate, TODAY).findings[0]
    assert (finding.outcome, finding.observed) == ("failed", 0.06)
    assert "0.04 and may be 0.06" in finding.explanation


def test_an_estimated_power_is_judged_on_its_unfavourable_end():
    estimate = {POWER: Measurement(value=0.92, low=0.88, high=0.95)}
    assert evaluate(policy(power_rule()), estimate, TODAY).findings[0].outcome == "underpowered"


def severed_rule(**changes):
    metric = "kinship.severed_token_share"
    return {"id": "severed", "metric": metric, "max": 0.05, "severity": "reject", "reason": "blind there"} | changes


def test_an_audit_with_too_much_severed_kin_is_inconclusive_not_rejected_and_not_passed():
    found = measured(mass=0.5) | {"kinship.severed_token_share": Measurement.exact(0.06)}
    verdict = evaluate(policy(mass_rule(), severed_rule()), found, TODAY)
    assert [finding.outcome for finding in verdict.findings] == ["failed", "underpowered"]
    assert (verdict.status, verdict.exit_code, verdict.complete) == ("inconclusive", ExitCode.INCOMPLETE, False)
    found["kinship.severed_token_share"] = Measurement.exact(0.05)
    assert evaluate(policy(severed_rule()), found, TODAY).status == "accepted"


def test_agreement_of_repeats_that_were_not_asked_for_is_not_measured():
    rule = {"id": "agree", "metric": "repeats.agreement", "min": 0.5, "severity": "warn", "reason": "same answer"}
    assert evaluate(policy(rule), measured(), TODAY).findings[0].outcome == "not_measured"
    found = measured() | {"repeats.agreement": Measurement.exact(0.4)}
    assert evaluate(policy(rule), found, TODAY).findings[0].outcome == "underpowered"


def test_a_benchmark_that_could_hardly_be_found_makes_the_audit_inconclusive():
    rule = {"id": "seen", "metric": "contamination.min_detectability", "min": 0.9, "severity": "reject", "reason": "r"}
    verdict = evaluate(policy(rule), {rule["metric"]: Measurement.exact(0.4)}, TODAY)
    assert (verdict.status, verdict.findings[0].outcome) == ("inconclusive", "underpowered")
    assert evaluate(policy(rule), {rule["metric"]: Measurement.exact(0.9)}, TODAY).status == "accepted"
    assert "--benchmark" in evaluate(policy(rule), {}, TODAY).findings[0].explanation


def test_failing_warnings_accept_with_warnings():
    verdict = evaluate(policy(mass_rule(severity="warn")), measured(mass=0.5), TODAY)
    assert (verdict.status, verdict.exit_code) == ("accepted_with_warnings", ExitCode.ACCEPTED)


def test_an_unmeasured_rule_is_inconclusive_even_when_it_only_warns():
    verdict = evaluate(policy(mass_rule(severity="warn")), {}, TODAY)
    assert (verdict.status, verdict.exit_code, verdict.complete) == ("inconclusive", ExitCode.INCOMPLETE, False)
    assert verdict.findings[0].observed is None


def test_an_unmeasured_contamination_rule_says_how_to_measure_it():
    items = {"id": "items", "metric": "contamination.confirmed_items", "max": 0, "severity": "reject", "reason": "r"}
    assert "--benchmark" in evaluate(policy(items), {}, TODAY).findings[0].explanation


@pytest.mark.parametrize("nothing", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_counts_as_unmeasured(nothing):
    verdict = evaluate(policy(mass_rule()), {MASS: Measurement.exact(nothing)}, TODAY)
    assert verdict.status == "inconclusive"
    json.dumps(verdict_document(verdict, policy(mass_rule()), "0" * 64), allow_nan=False)


def test_missing_detection_power_outranks_a_rejection():
    verdict = evaluate(policy(mass_rule(), power_rule()), measured(mass=0.5, power=0.6), TODAY)
    assert (verdict.status, verdict.exit_code) == ("inconclusive", ExitCode.INCOMPLETE)
    assert [finding.outcome for finding in verdict.findings] == ["failed", "underpowered"]


def test_a_policy_without_active_rules_is_inconclusive():
    for empty in (policy(), policy(mass_rule(disabled=True))):
        verdict = evaluate(empty, measured(), TODAY)
        assert (verdict.status, verdict.findings) == ("inconclusive", ())
        assert "no active rule" in verdict.warnings[0]


def test_a_waiver_keeps_the_finding_visible_and_does_not_reject():
    verdict = evaluate(policy(mass_rule(), waivers=[waiver()]), measured(mass=0.5), TODAY)
    assert verdict.status == "accepted_with_warnings"
    assert (verdict.findings[0].outcome, verdict.findings[0].waived_by) == ("waived", "data-governance")
    assert verdict.warnings == ()


def test_a_waiver_holds_through_its_last_day_and_then_brings_the_finding_back_with_a_warning():
    last_day = policy(mass_rule(), waivers=[waiver(expires=TODAY)])
    assert evaluate(last_day, measured(mass=0.5), TODAY).status == "accepted_with_warnings"
    after = evaluate(last_day, measured(mass=0.5), TODAY + timedelta(days=1))
    assert after.status == "rejected"
    assert "expired on 2026-11-21" in after.warnings[0]


def test_a_waiver_warns_two_weeks_before_it_ends():
    near, far = (policy(mass_rule(), waivers=[waiver(expires=TODAY + timedelta(days=days))]) for days in (14, 15))
    assert evaluate(near, measured(mass=0.5), TODAY).warnings[0].startswith("notice: ")
    assert evaluate(far, measured(mass=0.5), TODAY).warnings == ()


def test_an_unused_waiver_warns():
    verdict = evaluate(policy(mass_rule(), waivers=[waiver()]), measured(), TODAY)
    assert verdict.status == "accepted"
    assert "not needed" in verdict.warnings[0]


def test_a_value_worse_than_the_waiver_accepted_is_a_finding_again():
    capped = policy(mass_rule(), waivers=[waiver(max_value=0.07)])
    assert evaluate(capped, measured(mass=0.07), TODAY).findings[0].outcome == "waived"
    beyond = evaluate(capped, measured(mass=0.071), TODAY)
    assert beyond.status == "rejected"
    assert "max_value 0.07" in beyond.warnings[0]


def test_no_waiver_covers_an_unmeasured_rule():
    verdict = evaluate(policy(mass_rule(), waivers=[waiver()]), {}, TODAY)
    assert verdict.status == "inconclusive"
    assert "cannot be waived" in verdict.warnings[0]


def test_no_waiver_covers_missing_power():
    # The loader refuses such a waiver; the verdict must not depend on it.
    verdict = evaluate(policy(power_rule(), waivers=[waiver(rule="power")]), measured(power=0.6), TODAY)
    assert verdict.status == "inconclusive"


@pytest.mark.parametrize(
    ("severity", "mass", "codes"),
    [("reject", 0.5, (1, 1, 0)), ("warn", 0.5, (0, 1, 0)), ("reject", 0.01, (0, 0, 0))],
)
def test_fail_on_moves_only_the_line_between_zero_and_one(severity, mass, codes):
    verdict = evaluate(policy(mass_rule(severity=severity)), measured(mass=mass), TODAY)
    assert tuple(exit_code(verdict, fail_on) for fail_on in ("reject", "warn", "never")) == codes


def test_no_fail_on_turns_an_inconclusive_audit_into_a_pass():
    verdict = evaluate(policy(mass_rule()), {}, TODAY)
    assert {exit_code(verdict, fail_on) for fail_on in ("reject", "warn", "never")} == {ExitCode.INCOMPLETE}


def test_a_waived_finding_is_no_warning_to_fail_on():
    verdict = evaluate(policy(mass_rule(), waivers=[waiver()]), measured(mass=0.5), TODAY)
    assert exit_code(verdict, "warn") == ExitCode.ACCEPTED


def test_verdict_document_is_plain_json_without_a_clock():
    rules = policy(mass_rule(), power_rule(), waivers=[waiver()])
    documents = [
        verdict_document(evaluate(rules, measured(mass=0.5), day), rules, "ab" * 32)
        for day in (TODAY, TODAY + timedelta(days=1))
    ]
    assert documents[0] == documents[1]
    document = json.loads(json.dumps(documents[0], allow_nan=False))
    assert document["status"] == "accepted_with_warnings"
    assert document["exit_code"] == 0
    assert document["complete"] is True
    assert document["batch"] == {"sha256": "ab" * 32}
    assert document["policy"] == {"name": "test", "sha256": rules.sha256}
    assert document["findings"][0]["waived_by"] == "data-governance"


def test_intoto_statement_sorts_rules_by_outcome_and_names_every_subject():
    rules = policy(
        mass_rule(),
        mass_rule(id="soft", max=0.01, severity="warn"),
        mass_rule(id="fine", max=0.9),
        mass_rule(id="waived", max=0.02),
        power_rule(),
        waivers=[waiver(rule="waived")],
    )
    verdict = evaluate(rules, measured(mass=0.5, power=0.5), TODAY)
    statement = intoto_statement(verdict, rules, {"batch": "ab" * 32, "report.json": "cd" * 32})
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert statement["subject"][1] == {"name": "report.json", "digest": {"sha256": "cd" * 32}}
    predicate = statement["predicate"]
    assert predicate["result"] == "FAILED"
    assert predicate["passedTests"] == ["fine"]
    assert predicate["warnedTests"] == ["soft", "waived"]
    assert predicate["failedTests"] == ["mass", "power"]


@pytest.mark.parametrize(
    ("mass", "severity", "result"), [(0.01, "reject", "PASSED"), (0.5, "warn", "WARNED"), (0.5, "reject", "FAILED")]
)
def test_intoto_result_follows_the_verdict(mass, severity, result):
    rules = policy(mass_rule(severity=severity))
    verdict = evaluate(rules, measured(mass=mass), TODAY)
    assert intoto_statement(verdict, rules, {"batch": "00" * 32})["predicate"]["result"] == result


# Properties, over random policies and measurements.

RANK = {"accepted": 0, "accepted_with_warnings": 1, "rejected": 2}
unit = st.floats(0, 1)


@st.composite
def audits(draw):
    """A policy over shares, counts and power, with measurements for some of its metrics and waivers for some rules."""
    rules, waivers, values = [], [], {}
    for index, name in enumerate(draw(st.lists(st.sampled_from(sorted(METRICS)), max_size=5))):
        metric = METRICS[name]
        bound = {"lower": "max", "higher": "min", "neither": draw(st.sampled_from(["max", "min"]))}[metric.better]
        severity = draw(st.sampled_from(["reject", "warn"]))
        rules.append({"id": f"r{index}", "metric": name, bound: draw(unit), "severity": severity, "reason": "because"})
        if draw(st.booleans()):
            waivers.append(waiver(rule=f"r{index}", expires=TODAY + timedelta(days=draw(st.integers(-3, 3)))))
        if draw(st.integers(0, 3)):
            low, value, high = sorted([draw(unit), draw(unit), draw(unit)])
            values[name] = Measurement(value=value, low=low, high=high)
    return policy(*rules, waivers=waivers), values


@given(audits())
def test_what_was_not_measured_or_not_seen_never_passes(audit):
    rules, values = audit
    verdict = evaluate(rules, values, TODAY)
    blind = any(
        rule.metric not in values
        or (
            METRICS[rule.metric].kind == "power"
            and not (
                values[rule.metric].high <= rule.limit
                if rule.max is not None
                else values[rule.metric].low >= rule.limit
            )
        )
        for rule in rules.rules
    )
    assert (verdict.status == "inconclusive") == (blind or not rules.rules)
    assert (exit_code(verdict, "never") == ExitCode.INCOMPLETE) == (not verdict.complete) == (verdict.exit_code == 3)


@given(audits())
def test_every_active_rule_has_exactly_one_finding(audit):
    rules, values = audit
    assert [finding.rule for finding in evaluate(rules, values, TODAY).findings] == [rule.id for rule in rules.rules]


@given(audits())
def test_waivers_only_ever_soften_a_failed_rule(audit):
    rules, values = audit
    plain = evaluate(rules.model_copy(update={"waivers": ()}), values, TODAY)
    waived = evaluate(rules, values, TODAY)
    for before, after in zip(plain.findings, waived.findings, strict=True):
        assert before.outcome == after.outcome or (before.outcome, after.outcome) == ("failed", "waived")


@given(unit, unit, unit, st.sampled_from(["reject", "warn"]))
def test_a_larger_value_never_improves_a_max_rule(limit, one, other, severity):
    rules = policy(mass_rule(max=limit, severity=severity))
    smaller, larger = sorted([one, other])
    statuses = [evaluate(rules, measured(mass=mass), TODAY).status for mass in (smaller, larger)]
    assert RANK[statuses[0]] <= RANK[statuses[1]]
