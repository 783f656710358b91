"""The numbers that rules may limit: what was not measured is absent, and power is that of the weakest link."""

from dataclasses import replace

import numpy as np
import pytest

from carto_audit.cartography.analysis import LossAnalysis, TracedSamples
from carto_audit.cartography.baselines import DeltaStep
from carto_audit.cartography.datamap import Cut, DataMap, Line, Mass
from carto_audit.cartography.detection_power import Power
from carto_audit.cartography.proof import Found
from carto_audit.cartography.quadrants import UNMAPPED
from carto_audit.cartography.reasons import give_reasons
from carto_audit.cartography.spans import Stretches
from carto_audit.contamination.check import MATCH_SCHEMA, BenchmarkResult, Contamination
from carto_audit.controls.controls import CONTROL_KINDS, DOSES, FORMS, cells_of
from carto_audit.pipeline.measurements import measure
from carto_audit.pipeline.passages import Memorized, Passages
from carto_audit.policy.decision_metrics import UNREVIEWED_MASS
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


def map_of(quadrant):
    """A map with these quadrants; where its lines lie does not matter here."""
    cut = Cut(way="absolute", value=0.5, words="0.5", flagged_share=0.0, fixed_share=False)
    line = Line(cuts=(cut,), interval=(0.5, 0.5))
    codes = np.array(quadrant, np.int8)
    return DataMap(score="memorized", quadrant=codes, at_ends=(codes, codes), difficulty=line, memorization=line)


NO_STRETCHES = Stretches(
    sample=np.empty(0, np.int64), first=np.empty(0, np.int64), last=np.empty(0, np.int64), text=np.empty(0, np.uint64)
)


def sight_of(**changes):
    scores = make_scores([1.0] * N, [0.0, 0.0, 0.0, 0.2, 0.2], [2.0] * N)
    sight = LossAnalysis(
        scores=scores,
        control_scores=scores.select(slice(0, 0)),
        statistics={},
        power={"memorized": table()},
        by_copy={},
        found={},
        false_alarms=None,
        stretches=None,
        boilerplate=NO_STRETCHES,
        datamap=None,
        masses={},
        reasons=give_reasons(scores, "memorized", np.zeros(N, bool), np.ones(N, np.int64), {}),
        sweep=(DeltaStep(delta=0.1, forgetting_share=0.0, agreement=None),),
        spread=0.0,
        agreement=None,
        difficulty_agreement=None,
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
        frequent=32,
        weight=np.ones(N),
        undrawn_tokens=0,
        frequent_runs=1,
    )
    return replace(everyone, **changes)


def passages_of(
    memorized=(0, 0, 12, 0, 0), frequent=(0, 0, 0, 20, 0), surprising=(0, 0, 0, 12, 0), spans=3, sensitive=1, ends=None
):
    """Passages in 12 of 30 and in 20 of 40 tokens of two samples, and at either end of the line's interval."""
    above = None if memorized is None else Memorized(tokens=np.array(memorized), spans=spans, sensitive_spans=sensitive)
    return Passages(
        memorized=None if above is None else (above, *(ends or (above, above))),
        boilerplate=np.array(frequent),
        surprising=np.array(surprising),
    )


@pytest.fixture
def measurements(tmp_path):
    batch = make_batch(tmp_path, [f"text number {k}" for k in range(N)])

    def run(sight=None, who=None, ratio=None, passages=None, contamination=None, rehearsable=False):
        sight, passages = sight or sight_of(), passages or passages_of()
        return measure(
            batch,
            who or subjects(),
            contamination,
            sight,
            passages,
            score="memorized",
            ratio=ratio,
            rehearsable=rehearsable,
            seed=0,
            confidence=0.95,
        )

    return run


@pytest.fixture
def measured(measurements):
    """The values of what was counted, not estimated."""

    def run(*arguments, **settings):
        found = measurements(*arguments, **settings)
        return {name: m.value for name, m in found.items() if m == Measurement.exact(m.value)}

    return run


def powered(measured, **kinds):
    return measured(sight_of(power={"memorized": kinds}))


def test_power_is_the_lowest_over_kinds_and_forms(measured):
    for cell in [f"{kind}_{form}" for kind in CONTROL_KINDS for form in FORMS]:
        found = powered(measured, **table(**{f"{cell}_4": 0.6}))
        assert found["detection.auc_at_dose_4"] == 0.6
        assert found["detection.recall_at_5pct_dose_4"] == 0.3
        assert found["detection.auc_at_dose_16"] == found["detection.auc_at_dose_1"] == 0.95


def test_kinds_and_forms_that_were_not_planted_do_not_count(measured):
    only_keys = {kind: {"alone": table(hex_alone_4=0.7)[kind]["alone"]} for kind in ("random", "hex")}
    found = powered(measured, **only_keys)
    assert [found[f"detection.auc_at_dose_{dose}"] for dose in (1, 4, 16)] == [0.95, 0.7, 0.95]


def test_where_a_dose_was_too_dear_a_lower_one_that_repeats_stands_in(measured):
    found = powered(measured, **table(natural_embedded_16=None, natural_embedded_4=0.8))
    assert found["detection.auc_at_dose_16"] == found["detection.auc_at_dose_4"] == 0.8
    assert powered(measured, **table(doses=(1, 4)))["detection.auc_at_dose_16"] == 0.95


def test_a_secret_planted_once_stands_in_for_none_that_repeats(measured):
    found = powered(measured, **table(doses=(1,)))
    assert set(found) & {f"detection.auc_at_dose_{dose}" for dose in (1, 4, 16)} == {"detection.auc_at_dose_1"}


def test_a_higher_dose_never_stands_in_for_a_lower_one(measured):
    found = powered(measured, **table(random_alone_4=None, random_alone_16=0.3))
    assert found["detection.auc_at_dose_4"] == 0.95
    assert found["detection.auc_at_dose_16"] == 0.3
    found = powered(measured, **table(doses=(16,)))
    assert set(found) & {f"detection.auc_at_dose_{dose}" for dose in (1, 4, 16)} == {"detection.auc_at_dose_16"}
    assert "detection.recall_at_5pct_dose_4" not in found
    assert powered(measured, **table(random_embedded_1=None, random_embedded_4=0.3))["detection.auc_at_dose_1"] == 0.95


def test_where_nothing_was_planted_power_is_unmeasured(measured):
    assert not {name for name in powered(measured) if name.startswith("detection.")}


def test_twins_are_no_dose(measured):
    blind = {kind: {form: {"0": power_of(0.99)} for form in FORMS} for kind in CONTROL_KINDS}
    assert not {name for name in powered(measured, **blind) if name.startswith("detection.")}


def test_the_power_that_counts_is_that_of_the_policys_score(measured):
    sight = sight_of(power={"memorized": table(auc=0.95), "forget_score": table(auc=0.5)})
    assert measured(sight)["detection.auc_at_dose_4"] == 0.95
    assert "detection.auc_at_dose_4" not in measured(sight_of(power={"forget_score": table()}))


def test_of_the_secrets_that_were_found_the_provable_share_counts(measurements):
    """A rule's `min` looks at the low end: 28 of 30 are four in five for certain, 3 of 3 are little more than a third."""
    counts = {
        1: Found(dose=1, found=0, secrets=36),
        4: Found(dose=4, found=28, secrets=30),
        16: Found(dose=16, found=3, secrets=3),
    }
    found = measurements(sight_of(found=counts))
    assert found["detection.found_at_dose_1"] == Measurement(value=0.0, low=0.0, high=1.0)
    assert found["detection.found_at_dose_4"].value == 28 / 30
    assert found["detection.found_at_dose_4"].low == pytest.approx(0.8047, abs=0.001)
    assert found["detection.found_at_dose_16"].value == 1.0
    assert found["detection.found_at_dose_16"].low == pytest.approx(0.05 ** (1 / 3))
    assert {f"detection.found_at_dose_{dose}" for dose in (2, 8, 64)}.isdisjoint(found)


def test_every_dose_that_can_be_planted_has_a_metric(measurements):
    counts = {dose: Found(dose=dose, found=1, secrets=1) for dose in DOSES}
    assert {f"detection.found_at_dose_{dose}" for dose in DOSES} <= set(measurements(sight_of(found=counts))) & set(
        METRICS
    )


def test_false_alarms_are_counted_where_there_is_a_map(measured):
    assert "detection.false_alarm_share" not in measured()
    assert measured(sight_of(false_alarms=0.02))["detection.false_alarm_share"] == 0.02
    assert measured(sight_of(false_alarms=0.0))["detection.false_alarm_share"] == 0.0


SHARES = ("memorized.span_token_share", "boilerplate.token_share", "boilerplate.surprising_token_share")
SPANS = ("memorized.spans", "memorized.sensitive_spans")
WHOLE, PART = [0, 0, 2, 2, 1], [0, 0, 2, 2, UNMAPPED]
"""Quadrants of all samples, and of those that hold half of the tokens."""


def test_what_lies_in_passages_is_exact_where_the_whole_batch_was_mapped(measured):
    found = measured(sight_of(datamap=map_of(WHOLE)))
    assert [found[name] for name in SHARES] == [12 / 200, 20 / 200, 12 / 200]
    assert [found[name] for name in SPANS] == [3, 1]


def test_what_lies_in_passages_is_wide_where_a_part_was_mapped_and_no_wider_than_can_be(measurements):
    found = measurements(sight_of(datamap=map_of(PART)))
    for name, share in zip(SHARES, (0.12, 0.20, 0.12), strict=True):
        assert found[name].value == share
        assert share / 2 <= found[name].low < share < found[name].high <= share / 2 + 0.5
    for name, count in zip(SPANS, (3, 1), strict=True):
        assert (found[name].value, found[name].low) == (count, count)
        assert found[name].high >= 2 * count


def test_nothing_seen_in_a_part_is_not_nothing_there(measurements):
    nothing = passages_of(memorized=[0] * N, frequent=[0] * N, surprising=[0] * N, spans=0, sensitive=0)
    part = measurements(sight_of(datamap=map_of(PART)), passages=nothing)
    whole = measurements(sight_of(datamap=map_of(WHOLE)), passages=nothing)
    for name in (*SHARES, *SPANS):
        assert (part[name].value, part[name].low) == (0, 0)
        assert part[name].high > 0
        assert whole[name] == Measurement.exact(0.0)


def test_where_no_run_of_the_whole_batch_is_frequent_there_is_no_boilerplate_in_what_was_not_mapped(measurements):
    """Runs are counted in all rows, also in those that there was no room for."""
    nothing = passages_of(frequent=[0] * N, surprising=[0] * N)
    part = measurements(sight_of(datamap=map_of(PART)), who=subjects(frequent_runs=0), passages=nothing)
    for name in SHARES:
        assert (part[name].high == 0) == name.startswith("boilerplate.")


def test_there_may_be_twice_as_many_passages_as_half_of_the_batch_holds_however_many_a_sample_holds(measurements):
    found = measurements(sight_of(datamap=map_of(PART)), passages=passages_of(spans=40, sensitive=30))
    assert found["memorized.spans"].high >= 80
    assert found["memorized.sensitive_spans"].high >= 60


def test_passages_may_be_more_and_less_where_the_line_may_lie_elsewhere(measurements):
    low = Memorized(tokens=np.array([0, 5, 15, 0, 0]), spans=5, sensitive_spans=2)
    high = Memorized(tokens=np.array([0, 0, 6, 0, 0]), spans=1, sensitive_spans=0)
    found = measurements(sight_of(datamap=map_of(WHOLE)), passages=passages_of(ends=(low, high)))
    assert found["memorized.span_token_share"] == Measurement(value=12 / 200, low=6 / 200, high=20 / 200)
    assert found["memorized.spans"] == Measurement(value=3.0, low=1.0, high=5.0)
    assert found["memorized.sensitive_spans"] == Measurement(value=1.0, low=0.0, high=2.0)


def test_passages_may_be_more_and_less_with_another_seed(measurements):
    found = measurements(sight_of(datamap=map_of(WHOLE), spread=0.1))
    share, half = found["memorized.span_token_share"], 0.1 * (0.06 * 0.94) ** 0.5
    assert (share.low, share.high) == pytest.approx((0.06 - half, 0.06 + half))
    assert found["boilerplate.token_share"] == Measurement.exact(0.1)


def test_what_cannot_be_mapped_at_all_makes_no_interval_wider(measurements):
    """It counts as unmapped text, under another metric."""
    usable = np.array([True, True, True, True, False])
    found = measurements(sight_of(datamap=map_of(PART)), subjects(usable=usable))
    assert found["memorized.span_token_share"] == Measurement.exact(0.12)
    assert found["memorized.spans"] == Measurement.exact(3.0)


def test_without_a_map_nothing_is_said_of_passages(measurements):
    assert not set(measurements()) & {*SHARES, *SPANS}


def test_a_score_that_tells_no_passages_leaves_memorized_ones_unmeasured(measurements):
    found = measurements(sight_of(datamap=map_of(WHOLE)), passages=passages_of(memorized=None))
    assert set(found) & {*SHARES, *SPANS} == {"boilerplate.token_share", "boilerplate.surprising_token_share"}


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


def test_masses_keep_their_intervals(measurements):
    mass = Mass(rows=1, tokens=9, row_share=0.2, token_share=0.1, row_interval=(0.1, 0.4), token_interval=(0.05, 0.3))
    found = measurements(sight_of(masses={"memorized": mass}))
    assert found["memorized.row_share"] == Measurement(value=0.2, low=0.1, high=0.4)
    assert found["memorized.token_share"] == Measurement(value=0.1, low=0.05, high=0.3)


def test_only_known_metrics_are_ever_measured(measurements):
    found = {dose: Found(dose=dose, found=1, secrets=2) for dose in DOSES}
    sight = sight_of(agreement=0.5, datamap=map_of(PART), found=found, false_alarms=0.0)
    measured = measurements(sight, ratio=1.0)
    assert set(measured) <= set(METRICS)
    quadrants = ("memorized", "stable_easy", "ambiguous_hard", "hotspot_memorized", "noisy_outlier")
    assert {
        name
        for name in set(METRICS) - set(measured)
        if not name.startswith(("contamination.", "redteam.", "vendor.", "ledger.", "decisions."))
    } == {f"{part}.{mass}_share" for part in quadrants for mass in ("row", "token")} | {UNREVIEWED_MASS}


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
        detectability_disguised={"markup": 1.0, "hyphens": detectable / (2 * items)},
        clean_items=items,
        suspected_rows=0,
        **none,
    )


def test_detectability_is_that_of_the_benchmark_that_is_seen_worst(measurements):
    contamination = Contamination(
        matches=MATCH_SCHEMA.empty_table(),
        benchmarks=(rolled_up(10, 9), rolled_up(400, 200), rolled_up(3, 3)),
        tier=np.zeros(N, np.int8),
        item_tier=np.zeros(413, np.int8),
    )
    found = measurements(contamination=contamination)
    assert found["contamination.min_detectability"] == Measurement.exact(0.5)
    assert found["contamination.min_detectability_disguised"] == Measurement.exact(0.25)


def test_whether_a_vendor_could_rehearse_the_draw_is_always_measured(measured):
    assert measured()["sampling.rehearsable"] == 0
    assert measured(rehearsable=True)["sampling.rehearsable"] == 1
