"""Ways to say where the map is cut: exactly one of them, with a number that can be meant."""

import pytest
from pydantic import ValidationError

from carto_audit.strict import nearest
from carto_audit.thresholds import Epsilon, Threshold


@pytest.mark.parametrize(
    ("given", "choice"),
    [({"percentile": 0}, "percentile"), ({"absolute": -1.5}, "absolute"), ({"control_dose": 16}, "control_dose")],
)
def test_a_threshold_is_said_in_one_way(given, choice):
    assert Threshold.model_validate(given).choice == choice


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"percentile": 75, "absolute": 1.0},
        {"percentile": 75, "control_dose": 4},
        {"percentile": 100.1},
        {"percentile": -1},
        {"percentile": "75"},
        {"percentile": None},
        {"absolute": float("nan")},
        {"absolute": float("inf")},
        {"control_dose": 2},
        {"control_dose": True},
        {"control_dose": "4"},
        {"percentil": 75},
    ],
)
def test_a_threshold_that_cannot_be_meant_is_refused(given):
    with pytest.raises(ValidationError):
        Threshold.model_validate(given)


@pytest.mark.parametrize(
    "given", [{"absolute": 0.01}, {"relative": 0.05}, {"held_out_percentile": 0}, {"held_out_percentile": 100}]
)
def test_epsilon_is_said_in_one_way(given):
    assert Epsilon.model_validate(given).choice == next(iter(given))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"absolute": 0},
        {"relative": 0},
        {"relative": -1},
        {"held_out_percentile": 101},
        {"absolute": 1, "relative": 1},
        {"relative": float("nan")},
    ],
)
def test_an_epsilon_that_cannot_be_meant_is_refused(given):
    with pytest.raises(ValidationError):
        Epsilon.model_validate(given)


def test_thresholds_cannot_be_changed_afterwards():
    with pytest.raises(ValidationError):
        Threshold(percentile=75).percentile = 50


def test_the_nearest_name_is_offered_and_nothing_where_none_is_near():
    assert nearest("sevrity", ["severity", "reason"]) == '; did you mean "severity"?'
    assert nearest("hotspot", ["hotspot_memorized", "noisy_outlier"]) == '; did you mean "hotspot_memorized"?'
    assert nearest("", ["severity"]) == nearest("qqq", ["severity"]) == nearest("x" * 10**6, ["severity"]) == ""
