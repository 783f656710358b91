import pytest
from report_facts import make_facts

from carto_audit.charts import BOTTOM, LEFT, RIGHT, TOP, dose_panels, height_of


def test_a_panel_per_form_has_a_curve_per_kind_and_three_pale_ones():
    alone, embedded = dose_panels(make_facts())
    assert (alone.title, embedded.title) == ("standing alone", "inside other text")
    assert [curve.words for curve in alone.curves] == ["Random secret", "Rare ending", "Natural passage"]
    assert [len(curve.marks) for curve in alone.curves] == [4, 4, 3]
    assert len(embedded.compared) == 3


def test_doses_are_on_a_logarithmic_scale_inside_the_axes():
    ticks = dose_panels(make_facts())[0].ticks
    steps = [after.x - before.x for before, after in zip(ticks, ticks[1:], strict=False)]
    assert [tick.words for tick in ticks] == ["once", "4 times", "16 times", "64 times"]
    assert max(steps) == pytest.approx(min(steps))
    assert all(LEFT < tick.x < RIGHT for tick in ticks)


def test_a_dose_that_was_not_planted_is_on_the_axis_and_says_so():
    facts = make_facts()
    for kinds in facts["detection"]["scores"].values():
        for forms in kinds.values():
            for doses in forms.values():
                del doses["64"]
    assert [tick.planted for tick in dose_panels(facts)[0].ticks] == [True, True, True, False]


def test_twins_are_not_drawn():
    facts = make_facts()
    before = dose_panels(facts)
    facts["detection"]["scores"]["memorized"]["random"]["alone"]["0"]["auc"] = 0.99
    assert dose_panels(facts) == before


def test_marks_stand_at_their_auc_with_their_interval():
    mark = dose_panels(make_facts())[0].curves[0].marks[0]
    assert (height_of(0), height_of(1)) == (BOTTOM, TOP)
    assert mark.y == height_of(0.61)
    assert mark.low > mark.y > mark.high


def test_an_interval_or_an_auc_that_is_unknown_is_left_out():
    facts = make_facts()
    cells = facts["detection"]["scores"]["memorized"]["random"]["alone"]
    cells["1"]["auc"], cells["4"]["ci"] = None, None
    marks = dose_panels(facts)[0].curves[0].marks
    assert len(marks) == 3
    assert (marks[0].low, marks[0].high) == (None, None)


def test_pale_curves_are_means_over_kinds():
    facts = make_facts()
    forget = facts["detection"]["scores"]["forget_score"]
    for kind, auc in (("random", 0.2), ("rare_suffix", 0.4), ("natural", 0.9)):
        forget[kind]["alone"]["4"]["auc"] = auc
    curve = dose_panels(facts)[0].compared[0]
    assert curve.words.startswith("forget events")
    assert curve.marks[1].y == pytest.approx(height_of(0.5))


def test_the_score_in_use_is_never_compared_with_itself():
    facts = make_facts()
    facts["map"]["score"] = "forget_score"
    panel = dose_panels(facts)[0]
    assert [curve.words for curve in panel.compared][-1] == "memorized share of a passage"
    assert not any(curve.words.startswith("forget") for curve in panel.compared)


def test_without_controls_there_is_no_picture():
    facts = make_facts()
    facts["detection"]["scores"] = {}
    assert dose_panels(facts) == ()
