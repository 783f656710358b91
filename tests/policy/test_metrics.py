"""The closed list of numbers that a rule may limit."""

from carto_audit.cartography.quadrants import QUADRANT_NAMES
from carto_audit.policy.metrics import METRICS, Measurement

EXPECTED = {
    "batch.rows",
    "batch.samples",
    "batch.tokens",
    "batch.unread_file_share",
    "batch.unread_text_share",
    "batch.skipped_row_share",
    "batch.unmapped_token_share",
    "batch.undrawn_token_share",
    *(f"{part}.{mass}_share" for part in (*QUADRANT_NAMES, "memorized") for mass in ("row", "token")),
    "memorized.span_token_share",
    "memorized.spans",
    "memorized.sensitive_spans",
    "boilerplate.token_share",
    "boilerplate.surprising_token_share",
    "duplicates.exact_row_share",
    "duplicates.near_row_share",
    "duplicates.token_share",
    "contamination.confirmed_items",
    "contamination.suspected_items",
    "contamination.confirmed_rows",
    "contamination.suspected_rows",
    "contamination.confirmed_token_share",
    "contamination.min_detectability",
    "contamination.min_detectability_disguised",
    *(f"detection.found_at_dose_{dose}" for dose in (1, 2, 4, 8, 16, 64)),
    "detection.false_alarm_share",
    "detection.auc_at_dose_1",
    "detection.auc_at_dose_4",
    "detection.auc_at_dose_16",
    "detection.recall_at_5pct_dose_4",
    "detection.recall_at_5pct_dose_16",
    "forget.never_learned_share",
    "forget.tie_share",
    "kinship.severed_token_share",
    "repeats.agreement",
    "sampling.rehearsable",
    "ledger.cusum",
    "ledger.cross_batch_copies",
    "ledger.split_copies",
    "proxy.capacity_ratio",
    "redteam.extraction_untreated",
    "redteam.extraction_policy",
    "redteam.extraction_reduction",
    "redteam.perplexity_increase",
    "redteam.mi_auc_policy",
    "redteam.extraction_pick",
    "redteam.perplexity_increase_pick",
    "vendor.unsigned",
    "vendor.age_days",
    "vendor.missing_row_share",
    "vendor.understated_share",
    "vendor.power",
    "contamination.unreviewed_confirmed_items",
    "contamination.unreviewed_suspected_items",
    "contamination.unreviewed_confirmed_rows",
    "memorized.unreviewed_token_share",
    "decisions.waved_token_share",
    "decisions.kept_confirmed_rows",
    "decisions.lapsed",
}


def test_the_list_of_metrics_is_the_published_one():
    assert set(METRICS) == EXPECTED


def test_every_metric_is_filed_under_its_own_name_and_explained():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.meaning
        assert not metric.meaning.endswith(".")


def test_all_measures_of_how_well_an_audit_sees_are_about_power():
    assert {name for name, metric in METRICS.items() if metric.kind == "power"} == {
        name for name in METRICS if name.startswith("detection.")
    } | {
        "contamination.min_detectability",
        "contamination.min_detectability_disguised",
        "kinship.severed_token_share",
        "repeats.agreement",
        "proxy.capacity_ratio",
        "redteam.extraction_untreated",
        "vendor.power",
    }


def test_what_says_something_of_the_audit_is_power_and_coverage():
    coverage = {name for name, metric in METRICS.items() if metric.kind == "coverage"}
    assert coverage == {"batch.unread_file_share", "batch.unread_text_share"}
    assert {name for name, metric in METRICS.items() if metric.of_audit} == coverage | {
        name for name, metric in METRICS.items() if metric.kind == "power"
    }


def test_less_severed_kin_and_more_agreement_are_better():
    assert METRICS["kinship.severed_token_share"].better == "lower"
    assert METRICS["repeats.agreement"].better == "higher"


def test_shares_and_aucs_end_at_one_and_counts_do_not_end():
    assert METRICS["hotspot_memorized.token_share"].upper_bound == 1
    assert METRICS["detection.auc_at_dose_4"].upper_bound == 1
    assert METRICS["contamination.confirmed_items"].upper_bound is None


def test_only_metrics_of_the_map_and_its_score_move_with_the_map():
    moving = {name.split(".")[0] for name, metric in METRICS.items() if metric.map_keys}
    assert moving == {*QUADRANT_NAMES, "memorized", "detection", "forget", "repeats", "ledger"}


def test_an_exact_measurement_has_no_interval():
    assert Measurement.exact(0.25) == Measurement(value=0.25, low=0.25, high=0.25)
