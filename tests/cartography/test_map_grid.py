import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.cartography.map_grid import GRID, coarse_counts, level_edges, map_frame
from tests.support.report_facts import make_columns


def points(n=2048):
    columns = make_columns(n)
    return columns["difficulty"], columns["memorization"]


def test_every_sample_counts_once_the_most_memorized_first():
    x, y = points()
    frame = map_frame(x, y, (5.2, 0.3), [0.5])
    counts = coarse_counts(np.append(x, [99.0, -99.0]), np.append(y, [2.0, -5.0]), frame)
    assert counts.shape == GRID
    assert counts.sum() == len(x) + 2
    assert counts[0, -1] >= 1
    assert counts[-1, 0] >= 1


def test_the_frame_holds_thresholds_and_controls_and_leaves_room_for_names():
    x, y = points()
    frame = map_frame(x, y, (9.5, 0.3), [0.05, 1.4])
    assert frame.difficulty[0] < x.min()
    assert frame.difficulty[1] > 9.5
    assert frame.memorization[0] < 0.05
    assert frame.memorization[1] > 1.4
    low, high = map_frame(x, y, (5.2, 0.3), []).memorization
    assert (y.max() - low) / (high - low) <= 0.8301


@pytest.mark.parametrize("n", [0, 1])
def test_any_number_of_samples_has_a_frame(n):
    x, y = points(12)
    frame = map_frame(x[:n], y[:n], (None, None), [])
    assert frame.difficulty[0] < frame.difficulty[1]
    assert frame.memorization[0] < frame.memorization[1]
    assert coarse_counts(x[:n], y[:n], frame).sum() == n


@given(st.integers(0, 10**9), st.integers(2, 9))
def test_levels_begin_at_one_and_rise(most, levels):
    edges = level_edges(most, levels)
    assert edges[0] == 1
    assert edges == sorted(set(edges))
    assert edges[-1] <= max(most, 1)
    assert len(edges) <= levels
