import pytest

from carto_audit.policy.metrics import Measurement
from carto_audit.policy.values import finding_sentence, finding_words, interval_words, observed_and_limit, show_value

SHARE, ITEMS, AUC = "hotspot_memorized.token_share", "contamination.confirmed_items", "detection.auc_at_dose_4"


def test_numbers_are_shown_in_the_unit_of_their_metric():
    assert show_value(SHARE, 0.0815) == "8.2 %"
    assert show_value(AUC, 0.9) == "0.90"
    assert show_value(ITEMS, 1203.0) == "1,203"
    assert show_value(ITEMS, None) == "–"
    assert show_value("proxy.capacity_ratio", 1.426) == "1.43"


def test_a_limit_on_a_count_may_be_a_half_and_shows_it():
    assert finding_words(ITEMS, 1, "max", 0.5) == "1, at most 0.5"


@pytest.mark.parametrize(
    ("observed", "words"),
    [
        (0.0815, ("8.2 %", "at most 5.0 %")),
        (0.05004, ("5.004 %", "at most 5.000 %")),
        (0.05, ("5.0 %", "at most 5.0 %")),
        (None, ("not measured", "at most 5.0 %")),
    ],
)
def test_two_numbers_that_differ_never_look_alike(observed, words):
    assert observed_and_limit(SHARE, observed, "max", 0.05) == words


def test_a_sentence_names_the_estimate_and_the_end_on_which_the_rule_is_judged():
    measured = Measurement(value=0.1122, low=0.1, high=0.1271)
    assert finding_sentence(SHARE, measured, 0.1271, "max", 0.05) == (
        f"{SHARE} is 11.2 % (up to 12.7 %), at most 5.0 % allowed"
    )
    increase = finding_sentence(SHARE, measured, 0.0271, "max_increase", 0.02)
    assert increase.startswith(f"{SHARE} is 11.2 % (up to 12.7 %), which exceeds the baseline's by 1.2 % (up to 2.7 %)")
    assert interval_words(SHARE, measured).startswith("Estimated as 11.2 %, between 10.0 % and 12.7 %")
    assert interval_words(SHARE, Measurement.exact(0.1)) == ""


@pytest.mark.parametrize(
    ("observed", "bound", "estimate", "words"),
    [
        (0.1271, "max", 0.1122, "11.2 % (up to 12.7 %), at most 5.0 %"),
        (0.0271, "max_increase", 0.0122, "1.2 % (up to 2.7 %), an increase of at most 5.0 %"),
        (0.85, "min", 0.95, "95.0 % (down to 85.0 %), at least 5.0 %"),
        (0.1271, "max", 0.12709, "12.7 %, at most 5.0 %"),
        (0.05004, "max", 0.04, "4.000 % (up to 5.004 %), at most 5.000 %"),
        (0.1271, "max", None, "12.7 %, at most 5.0 %"),
    ],
)
def test_an_estimate_stands_with_the_end_that_counts_against_the_batch(observed, bound, estimate, words):
    assert finding_words(SHARE, observed, bound, 0.05, estimate) == words


def test_a_sentence_on_an_increase_tells_the_value_from_the_increase():
    sentence = finding_sentence(SHARE, Measurement.exact(0.08), 0.03, "max_increase", 0.02)
    assert sentence == f"{SHARE} is 8.0 %, which exceeds the baseline's by 3.0 %, an increase of at most 2.0 % allowed"
    assert "no more than the baseline's" in finding_sentence(
        SHARE, Measurement.exact(0.08), -0.01, "max_increase", 0.02
    )


def test_an_auc_just_below_its_limit_shows_the_digit_that_decides():
    assert finding_words(AUC, 0.8966, "min", 0.9) == "0.897, at least 0.900"
