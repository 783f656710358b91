import pytest

from carto_audit.artifacts.audit_call import AuditCall
from carto_audit.policy.metrics import METRICS
from carto_audit.report.next_steps import MOST_RULES, ONLY_AN_AUDIT, next_steps
from tests.support.report_facts import make_facts

CALL = AuditCall(batch=("b.parquet",), policy="ours.yaml", benchmarks=("exam.jsonl",), out="b-audit")


def finding(metric, observed=0.5, outcome="failed", **rest):
    rule = metric.replace("_", "-")
    base = {"limit": 0.05, "bound": "max", "severity": "reject", "reason": "", "explanation": "", "waived_by": None}
    return {"rule": rule, "metric": metric, "observed": observed, "outcome": outcome, **base, **rest}


def ahead(*findings, call=CALL, status="rejected", facts=None, **run):
    facts = facts or make_facts()
    facts["findings"], facts["verdict"]["status"] = list(findings), status
    facts["run"] |= run
    return next_steps(facts, call)


def changed(step):
    return {change.rule for change in step.may_change}


def test_a_rejected_batch_is_divided_and_audited_as_before():
    found = [finding("hotspot_memorized.token_share", 0.0815), finding("contamination.confirmed_items", 3, limit=0)]
    steps = ahead(*found).steps
    apply = "carto-audit apply b-audit b.parquet --remove hotspot_memorized --out b-curated"
    ingest = "carto-audit ingest b-curated/curated --policy ours.yaml --benchmark exam.jsonl --out b-curated-audit"
    assert [step.command for step in steps] == [apply, ingest]
    said = {change.rule: change.forecast for change in steps[0].may_change}
    assert said["contamination.confirmed-items"] == "from 3 to 0"
    assert said["hotspot-memorized.token-share"].startswith("from 8.2 % to 0.0 % (up to 2.")


def test_down_weighting_is_said_to_change_no_share():
    notes = ahead(finding("hotspot_memorized.token_share")).notes
    assert "Down-weighting memorized hotspot and noisy outlier changes no share" in notes[0]
    assert notes[-1] == ONLY_AN_AUDIT


def test_removing_leaves_what_it_cannot_change():
    found = [finding("memorized.token_share"), finding("boilerplate.token_share"), finding("batch.skipped_row_share")]
    apply = next(step for step in ahead(*found).steps if " apply " in step.command)
    assert apply.cannot_change == ("boilerplate.token-share", "batch.skipped-row-share")


def test_a_forecast_that_is_not_enough_says_so():
    facts = make_facts()
    facts["batch"]["tokens"] = 4_123_450  # a tenth was mapped
    facts["metrics"]["memorized.token_share"] = 0.105
    (step, _) = ahead(finding("memorized.token_share"), facts=facts).steps
    assert step.may_change[0].forecast.endswith(", which is not enough")


def test_a_policy_that_never_drops_is_told_no_removal():
    facts = make_facts()
    facts["policy"]["resolved"]["never_drop"] = True
    made = ahead(finding("memorized.token_share"), finding("contamination.confirmed_items"), facts=facts)
    assert not any(" apply " in step.command for step in made.steps)
    assert any("never drops a row, so that only another delivery" in note for note in made.notes)


def test_a_threshold_that_flags_a_fixed_share_is_named_as_what_nothing_moves():
    facts = make_facts()
    for cut in facts["map"]["threshold_rules"]["memorization"]["cuts"]:
        cut["drawn"] = cut["way"] == "percentile"
    made = ahead(finding("memorized.token_share"), facts=facts)
    assert not any(" apply " in step.command for step in made.steps)
    assert any("flags the same share of every batch" in note for note in made.notes)


def test_copies_go_by_their_cluster_and_no_command_does_it():
    (copies, again) = ahead(finding("duplicates.token_share", 0.3)).steps
    assert (copies.command, copies.may_change[0].forecast) == ("", "from 30.0 % to 0.0 %")
    assert "cluster_id of scores.parquet" in copies.words
    assert again.command.startswith("carto-audit ingest NEW_BATCH --policy ours.yaml")


FEW = {"bound": "min", "limit": 0.75, "outcome": "underpowered"}


def power(missing, found, **rest):
    facts = make_facts()
    facts["detection"]["missing_tokens"] = missing
    return ahead(
        finding("detection.found_at_dose_4", found, **FEW, **rest), status="inconclusive", facts=facts, epochs=8
    )


def test_few_secrets_that_were_all_found_call_for_more_text_and_nothing_else():
    more = power(31_000, 0.6, estimate=1.0).steps[0]
    assert "about 31,000 more tokens" in more.words
    assert not any("--epochs" in step.command for step in power(31_000, 0.6, estimate=1.0).steps)


def test_secrets_that_were_missed_call_for_more_training():
    (step,) = power(0, 0.2, estimate=0.4).steps
    assert step.command.startswith("carto-audit ingest b.parquet --policy ours.yaml --benchmark exam.jsonl --epochs 16")
    assert changed(step) == {"detection.found-at-dose-4"}
    assert "--proxy small" in step.words


def test_a_single_fold_is_the_first_to_change_and_a_sample_grows():
    found = finding("detection.found_at_dose_4", 0.2, **FEW)
    (step,) = ahead(found, status="inconclusive", folds=1, max_tokens=1000).steps
    assert "--folds 2" in step.command
    (step,) = ahead(found, status="inconclusive", folds=2, epochs=8, max_tokens=1000).steps
    assert "--epochs 16 --max-tokens 2000" in step.command


@pytest.mark.parametrize(
    ("found", "asked"),
    [
        (finding("contamination.confirmed_items", None, "not_measured"), "--benchmark BENCHMARK"),
        (finding("repeats.agreement", None, "not_measured", bound="min"), "--repeats 3"),
        (finding("memorized.token_share", None, "not_measured", bound="max_increase"), "--baseline BASELINE_AUDIT_DIR"),
        (finding("redteam.extraction_policy", None, "not_measured"), "--redteam REDTEAM_DIR"),
    ],
)
def test_what_was_not_given_is_asked_for(found, asked):
    call = AuditCall(batch=("b.parquet",), policy="ours.yaml", out="b-audit")
    (step,) = ahead(found, call=call, status="inconclusive", repeats=1).steps
    assert f" {asked} --out b-audit" in step.command
    assert changed(step) == {found["rule"]}


def test_the_new_options_stand_in_the_audit_of_what_is_left():
    found = [finding("hotspot_memorized.token_share"), finding("detection.found_at_dose_4", 0.2, **FEW)]
    apply, again = ahead(*found, status="inconclusive", epochs=8).steps
    assert apply.cannot_change == ("detection.found-at-dose-4",)
    assert again.command.startswith("carto-audit ingest b-curated/curated ")
    assert "--epochs 16" in again.command


@pytest.mark.parametrize("status", ["accepted", "accepted_with_warnings"])
def test_what_passed_leads_to_the_card_first(status):
    warned = [finding("duplicates.token_share", severity="warn")] if status != "accepted" else []
    assert ahead(*warned, status=status).steps[0].command == "carto-audit card b-audit --readme README.md"


def test_an_audit_without_rules_is_to_be_read():
    assert [step.command for step in ahead(status="inconclusive").steps] == ["carto-audit report b-audit --open"]


@pytest.mark.parametrize("outcome", ["failed", "not_measured", "underpowered"])
@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_leads_somewhere(metric, outcome):
    observed = None if outcome == "not_measured" else 0.5
    call = AuditCall(batch=("b.parquet",), policy="ours.yaml", out="b-audit")
    made = ahead(finding(metric, observed, outcome), call=call, status="inconclusive", repeats=1)
    assert made.steps
    assert made.steps[0].may_change or made.notes or made.steps[0].command


def test_steps_are_about_the_worst_rules_where_there_are_many():
    many = [finding("memorized.token_share") | {"rule": f"r{k}"} for k in range(200)]
    assert len(ahead(*many).steps[0].may_change) == MOST_RULES
