import numpy as np

from carto_audit.benchmarks.hash_tables import Lists, as_lists, hash_table


def test_a_table_finds_what_it_holds_and_nothing_else():
    values = np.unique(np.random.default_rng(1).integers(0, 2**63, 500, dtype=np.uint64))
    table = hash_table(values[::2].copy())
    where, place = table.find(values)
    assert where.tolist() == list(range(0, len(values), 2))
    np.testing.assert_array_equal(table.values[place], values[::2])


def test_an_empty_table_finds_nothing():
    where, place = hash_table(np.empty(0, np.uint64)).find(np.arange(9, dtype=np.uint64))
    assert (len(where), len(place)) == (0, 0)


def test_lists_keep_distinct_pairs_by_key():
    lists = as_lists(np.array([2, 0, 2, 2]), np.array([5, 1, 5, 3]), 4)
    assert isinstance(lists, Lists)
    assert [lists[k].tolist() for k in range(4)] == [[1], [], [3, 5], []]
    assert lists.owners().tolist() == [0, 2, 2]
    place, value = lists.expand(np.array([2, 0]))
    assert (place.tolist(), value.tolist()) == ([0, 0, 1], [3, 5, 1])
