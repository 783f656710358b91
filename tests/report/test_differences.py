from hypothesis import given
from hypothesis import strategies as st

from carto_audit.report.differences import differences


def test_words_that_stand_on_one_side_only_are_told_apart():
    left, right = differences("Ann packs 12 red pears.", "Ann packs 14 pears")
    assert left == [("Ann packs ", False), ("12 red ", True), ("pears.", False)]
    assert right == [("Ann packs ", False), ("14 ", True), ("pears", False)]


def test_case_and_punctuation_at_the_edge_of_a_word_are_no_difference():
    left, right = differences("“How many?” she ASKED", "how many she asked.")
    assert [only for _, only in left + right] == [False, False]


def test_nothing_to_compare_with_is_no_difference():
    assert differences("one two", "") == ([("one two", False)], [])
    assert differences("", "") == ([], [])


def test_a_passage_of_endless_words_is_not_compared():
    left, _ = differences("a " * 100_000, "b")
    assert len(left) == 1


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_character_is_lost_but_space_before_the_first_word(one, other):
    for text, side in zip((one, other), differences(one, other), strict=True):
        assert "".join(part for part, _ in side).strip() == text.strip()
        assert all(a[1] != b[1] for a, b in zip(side, side[1:], strict=False))
