"""The numbers that rules may limit: what was not measured is absent, and power is that of the weakest link."""

from dataclasses import replace

import numpy as np
import pytest

from carto_audit.cartography.analysis import LossAnalysis, TracedSamples
from carto_audit.cartography.baselines import DeltaStep
from carto_audit.cartography.datamap import Mass
from carto_audit.cartography.detection_power import Power
from carto_audit.cartography.reasons import give_reasons
from carto_audit.contamination.check import MATCH_SCHEMA, BenchmarkResult, Contamination
from carto_audit.controls.canary_writer import KINDS
from carto_audit.controls.controls import FORMS, cells_of
from carto_audit.pipeline.measurements import measure
from carto_audit.policy.metrics import METRICS, Measurement
from tests.support.tiny import make_batch, make_controls, make_duplicates, make_losses, make_scores, make_trace

N = 5


def power_of(auc, recall=0.5):
    return Power(
        auc=auc,
        ci=(auc, auc),
        auc_twins=None,
        average_precision=auc,
        recall_at_1pct=0.0,
        recall_at_2pct=0.0,
        recall_at_5pct=recall,
        secrets=3,
        copies=9,
    )


def table(doses=(1, 4, 16), auc=0.95, **cells):
    """A power table in which every cell that can be planted has one AUC, save some, as `random_alone_4=0.7`."""
    found = {}
    for dose in doses:
        for kind, form in cells_of(dose):
            value = cells.get(f"{kind}_{form}_{dose}", auc)
            if value is not None:
                found.setdefault(kind, {}).setdefault(form, {})[str(dose)] = power_of(value, recall=value / 2)
    return found


def sight_of(**changes):
    scores = make_scores([1.0] * N, [0.0, 0.0, 0.0, 0.2, 0.2], [2.0] * N)
    sight = LossAnalysis(
        scores=scores,
        control_scores=scores.select(slice(0, 0)),
        statistics={},
        power={"memorized": table()},
        by_copy={},
        datamap=None,
        masses={},
        reasons=give_reasons(scores, "memorized", np.zeros(N, bool), np.ones(N, np.int64), {}),
        sweep=(DeltaStep(delta=0.1, forgetting_share=0.0, agreement=None),),
        agreement=None,
        trace=make_trace([[1.0] * N]),
        token_losses=make_losses([([1.0], [2.0])] * N),
    )
    return replace(sight, **changes)


def subjects(**changes):
    everyone = TracedSamples(
        n_tokens=np.array([10, 20, 30, 40, 100]),
        group=np.arange(N),
        usable=np.ones(N, bool),
        severed_tokens=np.zeros(N, int),
        duplicates=make_duplicates(range(N)),
        references=0,
        controls=make_controls([]),
    )
    return replace(everyone, **changes)


@pytest.fixture
def measured(tmp_path):
    batch = make_batch(tmp_path, [f"text number {k}" for k in range(N)])

    def run(sight=None, who=None, ratio=None):
        found = measure(batch, who or subjects(), None, sight or sight_of(), "memorized", ratio)
        return {name: m.value for name, m in found.items() if m == Measurement.exact(m.value)}

    return run


def powered(measured, **kinds):
    return measured(sight_of(power={"memorized": kinds}))


def test_power_is_the_lowest_over_kinds_and_forms(measured):
    for cell in [f"{kind}_{form}" for kind in KINDS for form in FORMS]:
        found = powered(measured, **table(**{f"{cell}_4": 0.6}))
        assert found["detection.auc_at_dose_4"] == 0.6
        assert found["detection.recall_at_5pct_dose_4"] == 0.3
        assert found["detection.auc_at_dose_16"] == found["detection.auc_at_dose_1"] == 0.95


def test_where_a_dose_was_too_dear_a_lower_one_that_repeats_stands_in(measured):
    found = powered(measured, **table(natural_embedded_16=None, natural_embedded_4=0.8))
    assert found["detection.auc_at_dose_16"] == found["detection.auc_at_dose_4"] == 0.8
    assert powered(measured, **table(doses=(1, 4)))["detection.auc_at_dose_16"] == 0.95


def test_a_secret_planted_once_stands_in_for_none_that_repeats(measured):
    found = powered(measured, **table(doses=(1,)))
    assert set(found) & {f"detection.auc_at_dose_{dose}" for dose in (1, 4, 16)} == {"detection.auc_at_dose_1"}


def test_a_higher_dose_never_stands_in_for_a_lower_one(measured):
    found = powered(measured, **table(random_alone_4=None))
    assert "detection.auc_at_dose_4" not in found
    assert "detection.recall_at_5pct_dose_4" not in found
    assert found["detection.auc_at_dose_16"] == 0.95
    assert "detection.auc_at_dose_1" not in powered(measured, **table(random_embedded_1=None))


def test_a_kind_that_was_not_planted_at_all_leaves_power_unmeasured(measured):
    only_random = {"random": table()["random"]}
    assert not {name for name in powered(measured, **only_random) if name.startswith("detection.")}
    assert not {name for name in powered(measured) if name.startswith("detection.")}


def test_twins_are_no_dose(measured):
    blind = {kind: {form: {"0": power_of(0.99)} for form in FORMS} for kind in KINDS}
    assert not {name for name in powered(measured, **blind) if name.startswith("detection.")}


def test_the_power_that_counts_is_that_of_the_policys_score(measured):
    sight = sight_of(power={"memorized": table(auc=0.95), "forget_score": table(auc=0.5)})
    assert measured(sight)["detection.auc_at_dose_4"] == 0.95
    assert "detection.auc_at_dose_4" not in measured(sight_of(power={"forget_score": table()}))


def test_severed_kin_are_counted_by_tokens_and_only_where_usable(measured):
    severed = np.array([10, 0, 0, 40, 100])
    usable = np.array([True, True, True, True, False])
    found = measured(who=subjects(severed_tokens=severed, usable=usable))
    assert found["kinship.severed_token_share"] == pytest.approx(50 / 200)
    assert measured()["kinship.severed_token_share"] == 0.0


def test_agreement_is_measured_when_there_were_repeats(measured):
    assert "repeats.agreement" not in measured()
    assert measured(sight_of(agreement=0.7))["repeats.agreement"] == 0.7
    assert measured(sight_of(agreement=0.0))["repeats.agreement"] == 0.0


def test_duplicates_are_counted_without_the_first_of_each_cluster(measured):
    found = measured(who=subjects(duplicates=make_duplicates([0, 0, 2, 2, 2])))
    assert found["duplicates.exact_row_share"] == pytest.approx(3 / 5)
    assert found["duplicates.token_share"] == pytest.approx(160 / 200)


def test_the_most_frequent_forget_score_is_the_tie(measured):
    assert measured()["forget.tie_share"] == pytest.approx(3 / 5)
    unknown = make_scores([1.0] * N, [np.nan] * N)
    assert "forget.tie_share" not in measured(sight_of(scores=unknown))


def test_an_unknown_capacity_ratio_is_absent(measured):
    assert "proxy.capacity_ratio" not in measured()
    assert measured(ratio=2.5)["proxy.capacity_ratio"] == 2.5


def test_masses_keep_their_intervals(tmp_path):
    mass = Mass(rows=1, tokens=9, row_share=0.2, token_share=0.1, row_interval=(0.1, 0.4), token_interval=(0.05, 0.3))
    batch = make_batch(tmp_path, ["text"] * N)
    found = measure(batch, subjects(), None, sight_of(masses={"memorized": mass}), "memorized", None)
    assert found["memorized.row_share"] == Measurement(value=0.2, low=0.1, high=0.4)
    assert found["memorized.token_share"] == Measurement(value=0.1, low=0.05, high=0.3)


def test_only_known_metrics_are_ever_measured(measured):
    assert set(measured(sight_of(agreement=0.5), ratio=1.0)) <= set(METRICS)
    missing = set(METRICS) - set(measured(sight_of(agreement=0.5), ratio=1.0))
    assert {name.split(".")[0] for name in missing} == {
        "contamination",
        "memorized",
        "stable_easy",
        "ambiguous_hard",
        "hotspot_memorized",
        "noisy_outlier",
        "redteam",
    }


def rolled_up(items, detectable):
    none = dict.fromkeys(
        ["confirmed_items", "suspected_items", "source_overlap_items", "boilerplate_items", "confirmed_rows"], 0
    )
    return BenchmarkResult(
        name=f"of {items}",
        sha256="",
        items=items,
        detectable_items=detectable,
        detectability={"embedded": detectable / items},
        clean_items=items,
        suspected_rows=0,
        **none,
    )


def test_detectability_is_that_of_the_benchmark_that_is_seen_worst(tmp_path):
    batch = make_batch(tmp_path, ["text"] * N)
    contamination = Contamination(
        matches=MATCH_SCHEMA.empty_table(),
        benchmarks=(rolled_up(10, 9), rolled_up(400, 200), rolled_up(3, 3)),
        tier=np.zeros(N, np.int8),
        item_tier=np.zeros(413, np.int8),
    )
    found = measure(batch, subjects(), contamination, sight_of(), "memorized", None)
    assert found["contamination.min_detectability"] == Measurement.exact(0.5)
