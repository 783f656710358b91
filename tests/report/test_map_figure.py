import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from carto_audit.report.map_figure import QUADRANTS, figure_png, figure_svg, level_words, map_figure
from tests.support.report_facts import control_scores, make_columns, make_facts


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
    assert {"samples in a cell, coloured by quadrant", "1", "the riskiest samples"} <= texts


def _paths(figure):
    """The colour, red, green, blue and opacity, of each path of the density by its name."""
    return {p.get_gid(): p.get_facecolor() for p in figure.axes[0].patches if str(p.get_gid()).startswith("density-")}


def test_samples_have_the_colour_of_their_quadrant_and_the_opacity_of_their_number():
    made = _paths(_map())
    for quadrant in QUADRANTS.values():
        levels = [made[name] for name in sorted(made) if name.startswith(f"density-{quadrant.name}-")]
        assert levels
        assert {colour[:3] for colour in levels} == {to_rgb(quadrant.ink)}
        assert [colour[3] for colour in levels] == sorted(colour[3] for colour in levels)
    assert made["density-stable_easy-0"][3] < made["density-stable_easy-4"][3] == 1


def test_a_cell_on_a_border_has_the_colour_of_most_of_its_samples():
    columns = {"difficulty": np.full(9, 5.21), "memorization": np.full(9, 0.312), "n_tokens": np.full(9, 9)}
    columns["memorization"][:5] += 1e-9
    assert list(_paths(_map(**columns))) == ["density-hotspot_memorized-4"]


def test_without_thresholds_no_sample_has_the_colour_of_a_quadrant():
    facts = make_facts()
    facts["map"]["thresholds"]["memorization"] = None
    assert all(name.count("-") == 1 for name in _paths(_map(facts)))


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


def names_of(svg, prefix):
    groups = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}g")
    return [name for name in (group.get("id", "") for group in groups) if name.startswith(prefix)]


def test_every_risky_sample_and_every_quoted_item_is_a_named_point():
    facts = make_facts()
    facts["riskiest"][3]["row"] = facts["contamination"]["matches"][1]["row"]
    svg = figure_svg(_map(facts))
    assert set(names_of(svg, "sample-")) == {f"sample-{i}" for i in range(50)}
    # One is no confirmed item, one lies nowhere, and one is named as a risky sample already.
    assert names_of(svg, "match-") == ["match-0", "match-2"]


def test_every_sample_with_a_confirmed_item_is_marked_up_to_a_limit():
    columns = make_columns(5000)
    for confirmed, drawn in ((np.zeros(5000, bool), 0), (np.arange(5000) < 7, 7), (np.ones(5000, bool), 2000)):
        svg = figure_svg(_map(**columns, confirmed=confirmed))
        (items,) = [
            node
            for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}g")
            if node.get("id") == "items"
        ]
        assert len(list(items.iter("{http://www.w3.org/2000/svg}use"))) == drawn
        assert (b"hold a benchmark item" in svg) == (drawn > 0)


def test_levels_of_the_density_leave_no_count_out():
    for most in (1, 2, 3, 7, 37, 100_000):
        words = level_words(most)
        ends = [[int(end.replace(",", "")) for end in level.split("–")] for level in words]
        assert ends[0][0] == 1
        assert ends[-1][-1] == most
        assert all(a[-1] + 1 == b[0] for a, b in zip(ends, ends[1:], strict=False))
        assert len(words) <= 5
