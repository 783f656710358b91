from hypothesis import given
from hypothesis import strategies as st

from carto_audit.governance.report.label_placement import Named, along, place_labels

FRAME = (0.0, 0.0, 600.0, 400.0)
_places = st.tuples(
    st.floats(0, 600), st.floats(0, 400), st.sampled_from(["5 %", "the policy", "× 0.25"]), st.booleans()
)


def _box(label):
    """What the letters surely cover: a narrow font of the label's size."""
    size = 12.5 if label.minor else 15.0
    wide = 0.5 * size * len(label.words)
    left = label.x - {"start": 0.0, "end": wide, "middle": wide / 2}[label.anchor]
    return left, label.y - 0.7 * size, left + wide, label.y


def _touch(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@given(st.lists(_places, max_size=14))
def test_labels_keep_inside_the_frame_off_all_marks_and_off_each_other(places):
    named = [Named(x=x, y=y, words=words, minor=minor) for x, y, words, minor in places]
    labels = place_labels(named, frame=FRAME)
    boxes = [_box(label) for label in labels if label is not None]
    assert len(labels) == len(named)
    for at, box in enumerate(boxes):
        assert box[0] >= 0
        assert box[1] >= 0
        assert box[2] <= 600
        assert box[3] <= 400
        assert not any(_touch(box, other) for other in boxes[at + 1 :])
        assert not any(_touch(box, (mark.x - 5, mark.y - 5, mark.x + 5, mark.y + 5)) for mark in named)


def test_a_mark_alone_has_its_label_beside_it():
    (label,) = place_labels([Named(x=100, y=100, words="5 %", minor=True)], frame=FRAME)
    assert (label.x, label.anchor, label.leader) == (111.0, "start", "")
    (label,) = place_labels([Named(x=590, y=100, words="5 %", minor=True)], frame=FRAME)
    assert label.anchor == "end"


def test_who_comes_first_chooses_first():
    marks = [Named(x=100, y=100, words="first", minor=True), Named(x=118, y=100, words="second", minor=True)]
    alone = place_labels(marks[1:], frame=FRAME)[0]
    assert place_labels([marks[1], marks[0]], frame=FRAME)[0] == alone
    assert place_labels(marks, frame=FRAME)[1].anchor == "start"


def test_only_a_label_that_matters_lies_on_a_line():
    everywhere = [(0.0, 0.0, 600.0, 400.0)]
    small, great = (Named(x=300, y=200, words="5 %", minor=minor) for minor in (True, False))
    assert place_labels([small], frame=FRAME, drawn=everywhere) == [None]
    assert place_labels([great], frame=FRAME, drawn=everywhere)[0] is not None
    assert place_labels([great], frame=FRAME, taken=everywhere) == [None]


def test_a_label_far_away_has_a_leader_from_its_mark():
    wall = [(301.0, 170.0, 600.0, 230.0), (0.0, 170.0, 299.0, 230.0), (250.0, 170.0, 350.0, 230.0)]
    (label,) = place_labels([Named(x=300, y=200, words="the policy", minor=False)], frame=FRAME, taken=wall)
    begin, end = (tuple(map(float, at.split(","))) for at in label.leader.split())
    assert begin == (300.0, 200.0)
    assert abs(end[1] - 200) > 30


def test_no_label_stands_nearer_to_another_mark_without_a_leader():
    crowd = [Named(x=300 + 9 * k, y=200 + 3 * k, words="5 %", minor=True) for k in range(6)]
    for mark, label in zip(crowd, place_labels(crowd, frame=FRAME), strict=True):
        if label is not None and not label.leader:
            box = _box(label)
            away = [abs(m.x - min(max(m.x, box[0]), box[2])) + abs(m.y - min(max(m.y, box[1]), box[3])) for m in crowd]
            assert away[crowd.index(mark)] <= min(away) + 8


def test_a_polyline_is_covered_from_end_to_end():
    boxes = list(along("0.0,0.0 30.0,40.0"))
    assert boxes[0][:2] == (-1.5, -1.5)
    assert boxes[-1][2:] == (31.5, 41.5)
    assert all(_touch(one, other) or abs(one[0] - other[0]) < 7 for one, other in zip(boxes, boxes[1:], strict=False))
    assert list(along("")) == []
