import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from report_facts import control_scores, make_columns, make_facts

from carto_audit.figures import QUADRANTS, figure_png, figure_svg, map_figure, sparkline


def _map(facts=None, controls=None, **columns):
    controls = control_scores() if controls is None else controls
    return map_figure(**(columns or make_columns()), facts=facts or make_facts(), control_scores=controls)


def test_the_same_facts_give_the_same_bytes():
    assert figure_svg(_map()) == figure_svg(_map())
    assert figure_png(_map()) == figure_png(_map())


def test_the_map_names_quadrants_with_their_shares_and_the_doses_as_text():
    svg = figure_svg(_map()).decode()
    texts = {"".join(node.itertext()) for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert {words.title for words in QUADRANTS.values()} <= texts
    assert {"68.8 %", "20.6 %", "8.2 %", "2.4 %"} <= texts
    assert {"once  0.31", "4 times  0.55", "16 times  0.86"} <= texts


@pytest.mark.parametrize("count", [0, 1, 2, 300_000])
def test_any_number_of_samples_has_a_map_of_bounded_size(count):
    columns = {name: values[:count] for name, values in make_columns(max(count, 12)).items()}
    assert len(figure_svg(_map(**columns))) < 900_000


def test_without_any_memorization_the_map_says_so():
    columns = make_columns()
    columns["memorization"] = np.full(len(columns["difficulty"]), np.nan)
    assert b"no sample has a place on the map" in figure_svg(_map(controls={}, **columns))


def test_equal_values_and_equal_controls_have_a_map():
    columns = {name: np.full(50, 3) for name in ("difficulty", "memorization", "n_tokens")}
    figure_png(_map(controls={1: 0.2, 4: 0.2, 16: float("nan")}, **columns))


def test_unknown_thresholds_and_masses_have_a_map():
    facts = make_facts()
    facts["map"]["thresholds"] = {"difficulty": None, "memorization": None}
    facts["riskiest"][0]["memorization"] = None
    figure_png(_map(facts))


def test_a_hostile_batch_name_is_drawn_as_plain_text():
    facts = make_facts()
    facts["batch"]["paths"] = ["$\\frac{$ \u202e\x1b[31m 数据 </text><script>alert(1)<.parquet"]
    svg = figure_svg(_map(facts)).decode()
    ElementTree.fromstring(svg)
    assert "<script" not in svg
    assert "\x1b" not in svg


def test_a_trace_scales_all_lines_alike_and_skips_what_is_unknown():
    svg = sparkline([("train", [1, 2, 3], [6.0, 3.0, 1.0]), ("in", [3], [0.5]), ("out", [2, 3], [None, 6.0])], "losses")
    root = ElementTree.fromstring(svg)
    assert [node.get("class") for node in root] == ["train", "in", "out"]
    assert root[0].get("points").startswith("2.0,2.0 ")
    assert root[2].get("cy") == "2.0"


def test_a_trace_without_numbers_is_empty():
    assert sparkline([("train", [1, 2], [None, float("nan")])], "losses") == ""
