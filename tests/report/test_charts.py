import xml.etree.ElementTree as ElementTree

import pytest

from carto_audit.report.charts import (
    BOTTOM,
    LEFT,
    LOSS_HEIGHT,
    LOSS_WIDTH,
    RIGHT,
    TOP,
    dose_panels,
    height_of,
    loss_chart,
    sparkline,
)
from tests.support.report_facts import make_facts


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


def test_a_trace_scales_all_lines_alike_and_skips_what_is_unknown():
    svg = sparkline([("train", [1, 2, 3], [6.0, 3.0, 1.0]), ("in", [3], [0.5]), ("out", [2, 3], [None, 6.0])], "losses")
    root = ElementTree.fromstring(svg)
    assert [node.get("class") for node in root] == ["train", "in", "out"]
    assert root[0].get("points").startswith("2.0,2.0 ")
    assert root[2].get("cy") == "2.0"


def test_a_trace_without_numbers_is_empty():
    assert sparkline([("train", [1, 2], [None, float("nan")])], "losses") == ""


def test_a_loss_picture_has_every_line_and_axes_that_begin_at_zero():
    drawn = loss_chart([("train", [1, 2, 3], [6.0, 3.0, 1.0]), ("in", [3], [0.5]), ("out", [2, 3], [None, 6.0])])
    assert [line.look for line in drawn.lines] == ["train", "in", "out"]
    assert [words for _, words in drawn.levels] == ["0", "2", "4", "6"]
    assert [words for _, words in drawn.epochs] == ["1", "3"]
    assert drawn.lines[0].end[1] < drawn.levels[0][0]
    points = [point.split(",") for line in drawn.lines for point in line.points.split()]
    assert all(0 <= float(x) <= LOSS_WIDTH and 0 <= float(y) <= LOSS_HEIGHT for x, y in points)


@pytest.mark.parametrize("losses", [[0.0], [0.0, 0.0], [1e9, 1.0], [1e-12], [-1.0, 2.0]])
def test_any_losses_have_a_picture(losses):
    drawn = loss_chart([("in", list(range(len(losses))), losses)])
    assert 1 <= len(drawn.levels) <= 5


def test_unknown_losses_have_no_picture():
    assert loss_chart([("in", [1, 2], [None, float("nan")]), ("out", [], [])]) is None
