"""The gate: what passes, what rejects, and what it refuses to judge."""

import json
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.artifacts.audit_record import Change, Comparison, Record, Setting
from carto_audit.gate.verdict import evaluate, exit_code, intoto_statement, verdict_document
from carto_audit.gate.waivers import BatchName
from carto_audit.policy.metrics import METRICS, Measurement
from carto_audit.policy.model import Policy, load_policy
from carto_audit.runtime.errors import ExitCode

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
    assert "0.04 (up to 0.06)" in finding.explanation
    assert finding.words == "4.0 % (up to 6.0 %), at most 5.0 %"
    assert "4.0 % (up to 6.0 %)" in evaluate(policy(mass_rule()), estimate, TODAY)._repr_html_()


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
            METRICS[rule.metric].of_audit
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


# Baselines, subjects, places


def grown(before=0.01, incomparable=""):
    """A comparison with a batch whose mass was `before`."""
    record = read_record_of(before)
    changes = (Change(metric=MASS, before=before, now=None, incomparable=incomparable),)
    return Comparison(record=record, changes=changes, warnings=("said of the baseline",))


def read_record_of(mass):
    return Record(
        name="may",
        batch_names=("may.parquet",),
        batch_sha256="0" * 64,
        policy_name="test",
        policy_sha256="0" * 64,
        map={},
        status="accepted",
        day=TODAY,
        setting=Setting(proxy="nano", epochs=8, folds=2, repeats=1),
        benchmarks=frozenset(),
        measurements={MASS: Measurement.exact(mass)},
        outcomes={},
    )


def increase_rule(**changes):
    return {"id": "drift", "metric": MASS, "max_increase": 0.02, "severity": "reject", "reason": "drifts"} | changes


@pytest.mark.parametrize(
    ("now", "outcome", "observed"),
    [(0.03, "passed", 0.02), (0.031, "failed", 0.021), (0.001, "passed", -0.009)],
)
def test_an_increase_is_held_against_the_last_accepted_batch(now, outcome, observed):
    verdict = evaluate(policy(increase_rule()), measured(mass=now), TODAY, baseline=grown())
    finding = verdict.findings[0]
    assert (finding.outcome, finding.bound, finding.limit) == (outcome, "max_increase", 0.02)
    assert finding.observed == pytest.approx(observed)
    assert verdict.warnings == ("said of the baseline",)
    assert "an increase of at most 0.02 allowed" in finding.explanation


def test_an_estimated_increase_is_judged_on_its_unfavourable_end():
    estimate = {MASS: Measurement(value=0.02, low=0.01, high=0.04)}
    finding = evaluate(policy(increase_rule()), estimate, TODAY, baseline=grown()).findings[0]
    assert (finding.outcome, finding.observed) == ("failed", pytest.approx(0.03))


@pytest.mark.parametrize(
    ("baseline", "words"),
    [(None, "--baseline"), (grown(incomparable="measured with another map"), "measured with another map")],
)
def test_an_increase_over_nothing_comparable_is_not_measured_and_says_the_way_out(baseline, words):
    verdict = evaluate(policy(increase_rule(severity="warn")), measured(), TODAY, baseline=baseline)
    assert (verdict.status, verdict.exit_code) == ("inconclusive", ExitCode.INCOMPLETE)
    assert words in verdict.findings[0].explanation


def test_a_waived_increase_has_its_cap():
    capped = policy(increase_rule(), waivers=[waiver(rule="drift", max_value=0.05)])
    for now, status in ((0.05, "accepted_with_warnings"), (0.07, "rejected")):
        assert evaluate(capped, measured(mass=now), TODAY, baseline=grown()).status == status


def test_what_an_audit_did_not_measure_as_the_policy_demands_does_not_count():
    verdict = evaluate(policy(mass_rule()), measured(), TODAY, unseen={MASS: "the policy wants another map"})
    assert verdict.status == "inconclusive"
    assert verdict.findings[0].explanation == f"{MASS} was not measured: the policy wants another map"


def test_a_waiver_for_another_batch_waives_nothing_and_is_announced():
    rules = policy(mass_rule(), waivers=[waiver(subject="vendor-a-*")])
    ours = BatchName(names=("vendor-a-1.parquet",), sha256="0" * 64)
    other = BatchName(names=("vendor-b-1.parquet",), sha256="0" * 64)
    assert evaluate(rules, measured(mass=0.5), TODAY, batch=ours).status == "accepted_with_warnings"
    verdict = evaluate(rules, measured(mass=0.5), TODAY, batch=other)
    assert verdict.status == "rejected"
    assert "which this batch is not" in verdict.warnings[0]
    assert evaluate(rules, measured(mass=0.5), TODAY).status == "rejected"


def test_of_two_waivers_for_a_rule_the_one_that_holds_waives():
    pair = [waiver(subject="vendor-b-*", owner="b"), waiver(subject="vendor-a-*", owner="a")]
    named = BatchName(names=("vendor-a-1.parquet",), sha256="0" * 64)
    verdict = evaluate(policy(mass_rule(), waivers=pair), measured(mass=0.5), TODAY, batch=named)
    assert verdict.findings[0].waived_by == "a"
    document = verdict_document(verdict, policy(mass_rule()), "0" * 64)
    assert [(w["owner"], w["state"], w["expires"]) for w in document["waivers"]] == [
        ("b", "other_batch", "2027-02-19"),
        ("a", "used", "2027-02-19"),
    ]


def test_findings_and_the_document_name_the_place_that_set_the_rule_whatever_the_folder(tmp_path, monkeypatch):
    documents = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        path = folder / "ours.yaml"
        rule = '{id: hotspot-mass, max: 0.01, severity: reject, reason: "tighter"}'
        path.write_text(f"schema_version: 1\nname: ours\nextends: default\nrules:\n  - {rule}\n")
        rules = load_policy(path)
        verdict = evaluate(rules, measured(mass=0.5), TODAY)
        places = {f.rule: (f.file, f.line, f.column) for f in verdict.findings}
        assert places["hotspot-mass"] == ("ours.yaml", 5, 5)
        assert places["duplicate-mass"][0] == "policies/default.yaml"
        documents.append(json.dumps(verdict_document(verdict, rules, "0" * 64)))
    assert documents[0] == documents[1]
    monkeypatch.chdir(tmp_path)
    assert evaluate(load_policy("one/ours.yaml"), {}, TODAY).findings[0].file == "one/ours.yaml"
    assert evaluate(load_policy(tmp_path / "one" / "ours.yaml"), {}, TODAY).findings[0].file == "one/ours.yaml"
