import pytest

from carto_audit.governance.report.tradeoff_chart import BOTTOM, LEFT, RIGHT, TOP, before_after, level_of, tradeoff
from carto_audit.report.charts import height_of
from tests.support.redteam_facts import arm, estimate, no_knee, nothing_to_reduce, redteam_facts, without_estimates


def _between(picture, price):
    """Where a price lies, from two ticks of the picture's own axis."""
    (x0, first), (x1, second) = (
        (x, float(words.strip("+ %").replace("−", "-")) / 100) for x, words in picture.ticks[:2]
    )
    return x0 + (x1 - x0) * (price - first) / (second - first)


def test_every_measured_arm_is_a_point_at_its_leakage_and_price():
    facts = redteam_facts()
    picture = tradeoff(facts)
    assert [point.at for point in picture.points] == list(range(len(facts["arms"])))
    for point in picture.points:
        entry = facts["arms"][point.at]
        assert point.y == pytest.approx(level_of(entry["leakage"]["value"]))
        if not point.far:
            assert point.x == pytest.approx(_between(picture, entry["perplexity_change"]["value"]), abs=0.1)


def test_whiskers_end_where_the_intervals_end():
    facts = redteam_facts()
    facts["arms"][3]["leakage"] = estimate(0.2, low=0.1, high=0.4)
    facts["arms"][3]["perplexity_change"] = estimate(0.005, low=0.002, high=0.009)
    picture = tradeoff(facts)
    point = picture.points[3]
    assert (point.low, point.high) == (level_of(0.1), level_of(0.4))
    assert point.left == pytest.approx(_between(picture, 0.002), abs=0.1)
    assert point.right == pytest.approx(_between(picture, 0.009), abs=0.1)


def test_a_missing_interval_has_no_whisker_and_a_missing_value_no_point():
    facts = redteam_facts()
    facts["arms"][3]["leakage"] = {"value": 0.2, "low": None, "high": None}
    facts["arms"][4]["leakage"] = None
    picture = tradeoff(facts)
    assert (picture.points[3].low, picture.points[3].high) == (None, None)
    assert picture.missing == ("prune 10 % by memorized",)
    assert 4 not in {point.at for point in picture.points}


def test_without_a_measurement_there_is_no_picture():
    assert tradeoff(without_estimates()) is None
    assert before_after(without_estimates()) == ()


def test_the_untreated_arm_alone_has_a_picture():
    picture = tradeoff(nothing_to_reduce())
    assert [point.look for point in picture.points] == ["untreated"]
    assert picture.lines == ()
    assert LEFT < picture.zero < RIGHT


def test_a_diverged_arm_stands_at_the_edge_and_says_its_price():
    facts = redteam_facts()
    facts["arms"].append(arm("random", "prune 50 % at random", 0.1, 41.5, level=0.5))
    point = tradeoff(facts).points[-1]
    assert point.far
    assert point.x == RIGHT
    assert "+4,150 %" in point.words
    near = [point for point in tradeoff(facts).points if facts["arms"][point.at]["arm"] == "prune"][:4]
    assert len({round(point.x) for point in near}) == 4


@pytest.mark.parametrize("change", [-0.5, -0.001, 0.0, 1e-9, 0.3, 1e6, 1e28])
def test_every_price_lies_inside_the_axes(change):
    facts = redteam_facts()
    facts["arms"] = [*facts["arms"][:2], arm("policy", "the policy's interventions", 0.4, change)]
    picture = tradeoff(facts)
    assert all(LEFT <= point.x <= RIGHT and TOP <= point.y <= BOTTOM for point in picture.points)
    assert 1 <= len(picture.ticks) <= 9


def test_lines_begin_at_the_untreated_arm_and_follow_the_levels():
    facts = redteam_facts()
    picture = tradeoff(facts)
    lines = {line.look: [tuple(map(float, at.split(","))) for at in line.points.split()] for line in picture.lines}
    assert set(lines) == {"prune", "random", "downweight"}
    for look, points in lines.items():
        assert points[0] == pytest.approx((picture.zero, level_of(0.953)), abs=0.1), look
    assert [y for _, y in lines["downweight"]] == sorted(y for _, y in lines["downweight"])
    assert len(lines["prune"]) == 5


def test_pruning_by_another_score_is_told_apart():
    looks = dict(tradeoff(redteam_facts()).families)
    assert looks["prune_other"] == "prune by another score"
    assert list(looks)[:2] == ["untreated", "prune"]


def test_what_was_chosen_is_marked_once():
    roles = [point.role for point in tradeoff(redteam_facts()).points]
    assert [role for role in roles if role] == ["pick and knee"]
    assert not any(point.role for point in tradeoff(no_knee()).points)
    facts = redteam_facts()
    facts["knee"]["arm"] = 2
    assert [point.role for point in tradeoff(facts).points][2:4] == ["knee", "pick"]


def test_labels_lie_on_no_mark_and_on_no_other_label():
    picture = tradeoff(redteam_facts())
    labels = [point.label for point in picture.points if point.label is not None]
    assert len(labels) >= 10
    boxes = []
    for label in labels:
        size = 12.0 if label.minor else 14.5
        wide = 0.55 * size * len(label.words)
        left = label.x - {"start": 0, "end": wide, "middle": wide / 2}[label.anchor]
        boxes.append((left, label.y - 0.8 * size, left + wide, label.y))
    for at, box in enumerate(boxes):
        assert all(not _touch(box, other) for other in boxes[at + 1 :])
        assert all(not _touch(box, (p.x - 5, p.y - 5, p.x + 5, p.y + 5)) for p in picture.points)


def _touch(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_untreated_pick_and_policy_are_always_named():
    named = {point.look: point.label.words for point in tradeoff(redteam_facts()).points if point.label}
    assert named["untreated"] == "untreated"
    assert named["policy"] == "the policy"
    assert "pick and knee: 5 %" in {p.label.words for p in tradeoff(redteam_facts()).points if p.label}


def test_a_panel_per_form_shows_before_and_after_by_dose():
    facts = redteam_facts()
    facts["arms"][3]["extraction_by_form"]["edited"]["16"] = estimate(0.25, low=0.125, high=0.5)
    panels = before_after(facts)
    assert [panel.title for panel in panels] == ["standing alone", "inside other text", "in edited copies"]
    for panel in panels:
        assert [curve.look for curve in panel.curves] == ["before", "after"]
        assert [tick.words for tick in panel.ticks] == ["once", "4 times", "16 times"]
    mark = panels[2].curves[1].marks[2]
    assert (mark.y, mark.low, mark.high) == (height_of(0.25), height_of(0.125), height_of(0.5))


def test_without_a_pick_the_panels_show_the_untreated_arm():
    assert [curve.look for panel in before_after(no_knee()) for curve in panel.curves] == ["before"] * 3
