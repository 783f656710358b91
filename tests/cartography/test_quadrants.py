import re
from itertools import combinations

import numpy as np
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


DEFICIENCIES = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
"""What is left of linear red, green and blue to whoever lacks a kind of cone (Machado, Oliveira and Fernandes 2009)."""
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def _linear(colour):
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def _lab(linear):
    share = TO_XYZ @ np.clip(linear, 0, 1) / (0.9505, 1, 1.089)
    x, y, z = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _inks(css, mode):
    declared = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", css.split("@media")[mode]))
    return [declared[name] for name in ("stable", "hard", "hot", "odd")]


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_colours_of_the_quadrants_are_told_apart_without_a_kind_of_cone(css, mode, deficiency):
    seen = [_lab(np.array(DEFICIENCIES[deficiency]) @ _linear(ink)) for ink in _inks(css, mode)]
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 15


@pytest.mark.parametrize(("mode", "ground"), [(0, "#f4f7f4"), (1, "#2a1b19")], ids=["light", "dark"])
def test_the_colours_of_the_quadrants_can_be_read_on_their_tints(css, mode, ground):
    for ink in _inks(css, mode):
        light, dark = sorted((TO_XYZ[1] @ _linear(colour) for colour in (ink, ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5


def test_a_metric_of_a_quadrant_means_what_the_quadrant_means():
    for quadrant in QUADRANTS.values():
        assert METRICS[f"{quadrant.name}.token_share"].meaning.endswith(quadrant.meaning)
