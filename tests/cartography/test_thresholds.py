"""Ways to say where the map is cut: one of them, or the stricter of two, with a number that can be meant."""

import pytest
from pydantic import ValidationError

from carto_audit.cartography.thresholds import Epsilon, Threshold
from carto_audit.runtime.strict_model import nearest


@pytest.mark.parametrize(
    "given",
    [
        {"percentile": 0},
        {"absolute": -1.5},
        *({"control_dose": dose} for dose in (1, 2, 4, 8, 16, 64)),
        {"reference_percentile": 99.5},
    ],
)
def test_a_threshold_is_said_in_one_way(given):
    assert Threshold.model_validate(given).ways == tuple(given)


def test_a_dose_and_a_percentile_may_stand_together_in_any_order():
    for given in ({"control_dose": 4, "percentile": 95}, {"percentile": 95, "control_dose": 4}):
        assert Threshold.model_validate(given).ways == ("percentile", "control_dose")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "has none"),
        ({"percentile": 75, "absolute": 1.0}, "has percentile and absolute"),
        ({"control_dose": 4, "reference_percentile": 95}, "has control_dose and reference_percentile"),
        (
            {"percentile": 75, "control_dose": 4, "reference_percentile": 95},
            "has percentile and control_dose and reference_percentile",
        ),
    ],
)
def test_a_threshold_said_in_too_few_or_too_many_ways_names_what_it_has_and_what_it_could(given, words):
    with pytest.raises(ValidationError) as caught:
        Threshold.model_validate(given)
    message = caught.value.errors()[0]["msg"]
    assert message.endswith(words)
    assert "percentile, absolute, control_dose, reference_percentile" in message
    assert "control_dose and percentile together" in message


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"percentile": 75, "absolute": 1.0},
        {"absolute": 1.0, "control_dose": 4},
        {"percentile": 75, "reference_percentile": 95},
        {"percentile": 100.1},
        {"reference_percentile": 101},
        {"reference_percentile": -1},
        {"percentile": -1},
        {"percentile": "75"},
        {"percentile": None},
        {"absolute": float("nan")},
        {"absolute": float("inf")},
        {"control_dose": 3},
        {"control_dose": 32},
        {"control_dose": 0},
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
