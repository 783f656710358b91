import pytest

from carto_audit.artifacts.forecast import MEMORIZED, Removal, holds, least_removal
from tests.support.report_facts import make_facts


def masses(facts, **tokens):
    """The map of a batch of 10,000 tokens, 100 of them held out, a row per ten tokens; confirmed items lie nowhere."""
    facts["batch"] |= {"tokens": 10_000, "held_out_tokens": 100, "samples": 1_000, "held_out_samples": 10}
    mapped = sum(tokens.values())
    for name, mass in facts["map"]["quadrants"].items():
        share = tokens[name] / mapped
        mass |= {"tokens": tokens[name], "rows": tokens[name] // 10, "token_share": share, "row_share": share}
        facts["metrics"] |= {f"{name}.token_share": share, f"{name}.row_share": share}
    high = (tokens["hotspot_memorized"] + tokens["noisy_outlier"]) / mapped
    facts["metrics"] |= {"memorized.token_share": high, "memorized.row_share": high}
    facts["metric_intervals"] = {}
    facts["contamination"]["by_quadrant"] = {}
    return facts


@pytest.fixture
def facts():
    made = masses(make_facts(), stable_easy=6_000, ambiguous_hard=2_000, hotspot_memorized=1_500, noisy_outlier=400)
    made["map"]["threshold_rules"]["difficulty"]["cuts"][0]["fixed_share"] = False
    return made


def test_a_mass_is_what_stays_over_what_stays(facts):
    outlook = Removal.of(facts, ["hotspot_memorized"]).outlook("memorized.token_share")
    assert outlook.value == outlook.worst == pytest.approx(400 / 8_400)
    assert Removal.of(facts, ["hotspot_memorized"]).outlook("hotspot_memorized.token_share").worst == 0
    assert Removal.of(facts, MEMORIZED).outlook("memorized.row_share").worst == 0


def test_rows_with_a_confirmed_item_go_wherever_they_lie(facts):
    facts["contamination"]["by_quadrant"] = {
        "stable_easy": {"rows": 100, "tokens": 1_000},
        "hotspot_memorized": {"rows": 50, "tokens": 500},
        "unmapped": {"rows": 1, "tokens": 7},
    }
    alone = Removal.of(facts)
    assert alone.tokens == 1_507
    assert alone.outlook("hotspot_memorized.token_share").value == pytest.approx(1_000 / 8_400)
    assert alone.outlook("contamination.confirmed_items").worst == 0
    assert Removal.of(facts, ["hotspot_memorized"]).tokens == 1_500 + 1_007


def test_rows_that_stay_by_decision_stay_in_the_forecast_whichever_quadrant_they_lie_in(facts):
    covers = {"rows": 30, "tokens": 300, "confirmed_rows": 2, "matches": 2}
    kept = {"number": 1, "decision": "keep", "state": "used", "covers": covers}
    facts["decisions"] = {"decisions": [kept, {**kept, "state": "stale"}, {**kept, "decision": "remove"}]}
    facts["metrics"]["decisions.kept_confirmed_rows"] = 2
    removal = Removal.of(facts, ["hotspot_memorized"])
    assert removal.outlook("hotspot_memorized.token_share").worst == pytest.approx(300 / 8_700)
    assert removal.outlook("hotspot_memorized.row_share").worst == pytest.approx(30 / 870)
    assert removal.outlook("contamination.confirmed_items") is None


def test_what_the_policy_removes_goes_unasked(facts):
    facts["policy"]["resolved"]["interventions"]["noisy_outlier"]["action"] = "remove"
    assert Removal.of(facts).outlook("noisy_outlier.token_share").value == 0


def test_text_that_was_not_mapped_keeps_the_measured_share_and_its_worst_end():
    facts = masses(make_facts(), stable_easy=600, ambiguous_hard=200, hotspot_memorized=150, noisy_outlier=40)
    facts["metric_intervals"] = {"memorized.token_share": [0.15, 0.3]}
    outlook = Removal.of(facts, MEMORIZED).outlook("memorized.token_share")
    unseen = 10_000 - 100 - 990
    assert outlook.value == pytest.approx(unseen * (190 / 990) / (unseen + 800))
    assert outlook.worst == pytest.approx(unseen * 0.3 / (unseen + 800))
    assert outlook.value > 0.17


def test_a_border_that_moves_with_the_batch_may_put_the_rest_on_the_easy_side(facts):
    facts["map"]["threshold_rules"]["difficulty"]["cuts"][0]["fixed_share"] = True
    outlook = Removal.of(facts, ["hotspot_memorized"]).outlook("hotspot_memorized.token_share")
    assert (outlook.value, outlook.worst) == (0, pytest.approx(400 / 8_400))


def test_nothing_is_forecast_of_a_threshold_that_flags_a_fixed_share(facts):
    for cut in facts["map"]["threshold_rules"]["memorization"]["cuts"]:
        cut |= {"drawn": cut["way"] == "percentile"}
    assert Removal.of(facts, MEMORIZED).outlook("memorized.token_share") is None


def test_passages_are_bounded_by_the_samples_that_hold_them(facts):
    outlook = Removal.of(facts, ["hotspot_memorized"]).outlook("memorized.span_token_share")
    assert (outlook.value, outlook.worst) == (None, pytest.approx(400 / 8_400))
    assert Removal.of(facts, ["hotspot_memorized"]).outlook("memorized.spans") is None
    assert Removal.of(facts, MEMORIZED).outlook("memorized.sensitive_spans").worst == 0


def finding(metric, limit, bound="max", observed=0.5):
    return {"metric": metric, "limit": limit, "bound": bound, "observed": observed}


@pytest.mark.parametrize(
    ("metric", "limit", "quadrants"),
    [
        ("memorized.token_share", 0.2, set()),
        ("memorized.token_share", 0.17, {"noisy_outlier"}),
        ("memorized.token_share", 0.05, {"hotspot_memorized"}),
        ("memorized.token_share", 0.01, set(MEMORIZED)),
        ("memorized.spans", 0, set(MEMORIZED)),
        ("contamination.confirmed_items", 0, set()),
    ],
)
def test_no_more_is_removed_than_the_rules_need(facts, metric, limit, quadrants):
    assert least_removal([finding(metric, limit)], facts).quadrants == quadrants


def test_an_increase_is_forecast_against_the_last_accepted_batch(facts):
    rule = finding("memorized.token_share", 0.02, "max_increase", observed=1_900 / 9_900 - 0.04)
    assert holds(rule, Removal.of(facts, ["hotspot_memorized"]).outlook(rule["metric"]), facts)
    assert not holds(rule | {"limit": 0.005}, Removal.of(facts, ["hotspot_memorized"]).outlook(rule["metric"]), facts)


def test_metrics_that_removal_does_not_decide_have_no_outlook(facts):
    removal = Removal.of(facts, MEMORIZED)
    for metric in ("duplicates.token_share", "detection.found_at_dose_4", "boilerplate.token_share", "batch.tokens"):
        assert removal.outlook(metric) is None
