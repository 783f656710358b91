import numpy as np
import pytest

from carto_audit.controls import MOST_SECRETS, TOKEN_SHARE, TWINS, plant_controls

TEXTS = [
    "one paragraph about rivers and their banks in spring",
    "another paragraph about bridges across rivers in winter",
]


@pytest.mark.parametrize("tokens", [20_000, 155_000, 1_000_000])
def test_controls_stay_within_their_share_of_the_tokens(tokens):
    controls = plant_controls(TEXTS, tokens, 1 / 3, 0)
    planted = [t for t, dose in zip(controls.texts, controls.dose, strict=True) if dose]
    assert sum(len(t.encode()) for t in planted) / 3 <= TOKEN_SHARE * tokens


def test_each_secret_is_planted_exactly_as_often_as_its_dose_says():
    controls = plant_controls(TEXTS, 500_000, 1 / 3, 0)
    for secret in np.unique(controls.secret):
        rows = controls.secret == secret
        assert len(set(controls.dose[rows])) == 1
        assert rows.sum() == max(1, controls.dose[rows][0])


def test_copies_are_equal_when_alone_and_each_in_its_own_host_when_embedded():
    controls = plant_controls(TEXTS, 500_000, 1 / 3, 0)
    for form, distinct in (("alone", 1), ("embedded", 16)):
        secret = controls.secret[(controls.form == form) & (controls.dose == 16)][0]
        assert len({controls.texts[i] for i in np.flatnonzero(controls.secret == secret)}) == distinct


def test_twins_are_never_planted_and_share_no_secret_with_what_is():
    controls = plant_controls(TEXTS, 500_000, 1 / 3, 0)
    twins = controls.dose == 0
    assert twins.sum() == 2 * TWINS
    assert not set(controls.secret[twins]) & set(controls.secret[~twins])


def test_a_tiny_batch_gets_only_twins():
    controls = plant_controls(TEXTS, 300, 1 / 3, 0)
    assert not controls.dose.any()


def test_a_large_batch_stops_at_enough_secrets():
    controls = plant_controls(TEXTS, 100_000_000, 1 / 3, 0)
    for form in ("alone", "embedded"):
        for dose in (1, 4, 16):
            chosen = (controls.form == form) & (controls.dose == dose)
            assert len(np.unique(controls.secret[chosen])) == MOST_SECRETS


def test_equal_seeds_give_equal_controls_and_other_seeds_others():
    assert plant_controls(TEXTS, 90_000, 1 / 3, 1).texts == plant_controls(TEXTS, 90_000, 1 / 3, 1).texts
    assert plant_controls(TEXTS, 90_000, 1 / 3, 1).texts != plant_controls(TEXTS, 90_000, 1 / 3, 2).texts
