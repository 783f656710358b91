import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.text.alignment import align, in_runs

words = st.lists(st.integers(0, 6), max_size=14).map(lambda values: np.array(values, dtype=np.uint64))


def longest(item, row):
    table = np.zeros((len(item) + 1, len(row) + 1), dtype=int)
    for k in range(len(item)):
        for j in range(len(row)):
            table[k + 1, j + 1] = table[k, j] + 1 if item[k] == row[j] else max(table[k, j + 1], table[k + 1, j])
    return table[-1, -1]


@given(words, words)
def test_an_alignment_is_a_longest_common_subsequence(item, row):
    mine, place = align(item, row)
    assert len(mine) == longest(item, row)
    np.testing.assert_array_equal(item[mine], row[place])
    assert (np.diff(mine) > 0).all()
    assert (np.diff(place) > 0).all()


def test_a_stray_word_is_no_run_and_one_replaced_word_does_not_break_one():
    item, row = np.array([0, 1, 3, 6, 9]), np.array([5, 6, 8, 20, 23])
    assert in_runs(item, row).tolist() == [True, True, True, False, False]
    assert in_runs(item[:1], row[:1]).tolist() == [False]
