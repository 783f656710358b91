import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.report.map_figure import figure_svg, map_figure
from carto_audit.report.map_svg import page_map
from carto_audit.report.sample_details import point_labels
from tests.support.report_facts import control_scores, make_columns, make_facts

TAGS = {"g", "path", "text", "title", "circle"}
ATTRIBUTES = {"class", "data-part", "data-of", "d", "x", "y", "cx", "cy", "r", "text-anchor", "transform"}


def drawn(facts=None):
    facts = facts or make_facts()
    return figure_svg(map_figure(**make_columns(), facts=facts, control_scores=control_scores())).decode()


def elements(body):
    return list(ElementTree.fromstring(f"<svg>{body}</svg>").iter())[1:]


def test_the_map_of_the_page_has_fields_levels_borders_and_rulers_without_any_style():
    made = page_map(drawn(), point_labels(make_facts(), 50))
    found = elements(made.body)
    assert {node.tag for node in found} <= TAGS
    assert {name for node in found for name in node.attrib} <= ATTRIBUTES
    classes = " ".join(node.get("class", "") for node in found).split()
    for name in ("field", "share", "title"):
        assert classes.count(name) == 4
    for name in ("density", "border", "rule", "mark", "dose", "rank", "step"):
        assert name in classes
    words = {node.text for node in found if node.tag == "text"}
    assert {"8.2 %", "Memorized hotspot", "4 times  0.55"} <= words
    assert "Memorization map" not in words
    assert made.levels[0] == "1"
    assert 2 <= len(made.levels) <= 5


def test_points_bear_the_names_they_were_given_and_only_those():
    facts = make_facts()
    labels = point_labels(facts, 10)
    found = elements(page_map(drawn(facts), labels).body)
    points = {node.get("data-of"): node.find("title").text for node in found if "point" in node.get("class", "")}
    assert len([name for name in points if name.startswith("sample-")]) == 10
    assert points["sample-3"] == labels["sample-3"]
    assert "memorization 0.94, difficulty" in labels["sample-3"]
    assert "orchard_math orchard-0" in points["match-0"]


@pytest.mark.parametrize(
    "svg", ["", "no xml", "<svg/>", "<svg xmlns='http://www.w3.org/2000/svg'><g id='figure_1'/></svg>", "<a>&b;</a>"]
)
def test_what_is_no_map_of_ours_is_no_map(svg):
    assert page_map(svg, {}).body == ""


HOSTILE = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><g id="figure_1"><g id="axes_1">
<script>alert(1)</script><foreignObject><b>x</b></foreignObject><image xlink:href="http://x/"/><a xlink:href="javascript:1"/>
<g id="field-&quot; onclick=&quot;alert(1)" onclick="alert(1)"><path d="M0 0" style="fill:url(http://x/)" onload="alert(1)"/></g>
<g id="sample-0"><use xlink:href="#a" x="1&quot; onx=&quot;" y="2"/></g>
<g id="share-x"><text x="1" y="2" style="text-anchor: start" onclick="x">&lt;script&gt;alert(2)&lt;/script&gt;</text></g>
<g id="density-0"><path d="M0 0&quot;/&gt;&lt;script&gt;"/></g></g></g></svg>"""


def test_a_picture_that_somebody_changed_brings_nothing_into_the_page():
    body = page_map(HOSTILE, {"sample-0": "<b>label</b>"}).body
    found = elements(body)
    assert {node.tag for node in found} <= TAGS
    assert {name for node in found for name in node.attrib} <= ATTRIBUTES
    assert "http" not in body
    assert "&lt;b&gt;label&lt;/b&gt;" in body


@given(st.text(max_size=60), st.text(max_size=60))
def test_hostile_names_and_texts_stay_text(label, text):
    text = re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "", text)
    label = re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "", label)
    namespace = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring(HOSTILE)
    root.find(f".//{namespace}text").text = text
    root.find(f".//{namespace}use").set("x", text)
    root.find(f".//{namespace}path").set("d", text)
    found = elements(page_map(ElementTree.tostring(root, encoding="unicode"), {"sample-0": label}).body)
    assert {node.tag for node in found} <= TAGS
    assert {name for node in found for name in node.attrib} <= ATTRIBUTES
    shown = "".join(node.text or "" for node in found if node.tag == "text")
    assert shown.split() == text.split()
