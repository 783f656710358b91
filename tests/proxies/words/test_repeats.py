import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.proxies.words.repeats import LEAST_BITS, RepeatFilter


def filled(blocks, in_all):
    repeated = RepeatFilter(in_all)
    for block in blocks:
        repeated.add(np.array(block, np.uint64))
    return repeated


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=6))
def test_what_was_added_twice_may_repeat_and_of_so_few_nothing_else(blocks):
    """In one block or in several; 41 hashes in a million slots do not share any."""
    values = np.array([value for block in blocks for value in block], np.uint64)
    found = filled(blocks, len(values)).may_repeat(values)
    assert found.tolist() == [(values == value).sum() > 1 for value in values]


def test_of_hashes_that_occur_once_few_may_repeat():
    hashes = np.random.default_rng(0).integers(0, 1 << 63, 1 << LEAST_BITS).astype(np.uint64)
    repeated = filled(np.split(hashes, 8), len(hashes))
    assert repeated.may_repeat(hashes).mean() < 0.08
    repeated.add(hashes[:100])
    assert repeated.may_repeat(hashes[:100]).all()
