import pytest

from carto_audit.text.numbers import number, percent, plural, signed_percent, times, whole_percent


@pytest.mark.parametrize(
    ("share", "words"), [(None, "–"), (0.0, "0.0 %"), (0.0815, "8.2 %"), (0.00042, "0.042 %"), (1.0, "100.0 %")]
)
def test_a_small_share_keeps_a_digit_that_tells_it_from_nothing(share, words):
    assert percent(share) == words


def test_a_change_shows_its_sign_and_zero_has_none():
    assert [signed_percent(change) for change in (0.0042, -0.0042, 0.0, None)] == ["+0.42 %", "−0.42 %", "0.00 %", "–"]


def test_counts_are_words_in_the_singular_and_the_plural():
    assert [plural(count, "rule") for count in (1, 1200)] == ["1 rule", "1,200 rules"]
    assert [times(count) for count in (1, 4)] == ["once", "4 times"]
    assert (number(1234.5, 1), number(None), whole_percent(0.126)) == ("1,234.5", "–", "13 %")
