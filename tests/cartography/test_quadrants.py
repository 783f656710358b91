import re

import pytest

from carto_audit.cartography.quadrants import QUADRANT_NAMES, QUADRANTS, quadrant_code
from carto_audit.policy.metrics import METRICS
from carto_audit.runtime.resources import resource_folder


@pytest.fixture(scope="module")
def css():
    return (resource_folder("templates") / "report.css").read_text(encoding="utf-8")


def test_codes_say_on_which_side_of_the_thresholds_a_quadrant_lies():
    for code, name in enumerate(QUADRANT_NAMES):
        quadrant = QUADRANTS[name]
        assert quadrant.code == code == quadrant_code(hard=quadrant.hard, memorized=quadrant.memorized)


@pytest.mark.parametrize("name", QUADRANT_NAMES)
def test_the_style_sheet_repeats_the_colours_of_the_light_page(css, name):
    light = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", css.split("}")[0]))
    ink = re.search(rf"\.chart \.{name} text {{ fill: var\(--([a-z-]+)\)", css)[1]
    tint = re.search(rf"\.field\.{name} path {{ fill: var\(--([a-z-]+)\)", css)[1]
    assert (light[ink], light[tint]) == (QUADRANTS[name].ink, QUADRANTS[name].tint)


def test_a_metric_of_a_quadrant_means_what_the_quadrant_means():
    for quadrant in QUADRANTS.values():
        assert METRICS[f"{quadrant.name}.token_share"].meaning.endswith(quadrant.meaning)
