"""In one epoch a passage is unseen where it is read first: every later copy takes the losses of that place."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from carto_audit.cartography.spans import WINDOW
from carto_audit.real_runs.reading.run_samples import RunSamples
from carto_audit.real_runs.scoring.first_copies import first_copies


def samples_of(rows):
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return RunSamples(ids=np.array([token for row in rows for token in row], np.uint32), offsets=offsets)


def test_a_shared_run_of_tokens_is_stood_for_by_the_row_that_was_read_first():
    shared = list(range(500, 500 + WINDOW + 3))
    rows = [[1, 2, *shared, 3], [*shared, 4, 5], [6, *shared[: WINDOW - 1], 7], [8, 9, 10]]
    place = first_copies(samples_of(rows), np.array([7, 3, 0, 1]))
    starts = np.cumsum([0, *map(len, rows)])
    own = np.arange(starts[-1])
    inside = starts[0] + 2 + np.arange(len(shared))
    assert place[inside].tolist() == (starts[1] + np.arange(len(shared))).tolist()
    assert (np.delete(place, inside) == np.delete(own, inside)).all()


rows_of_few_tokens = st.lists(st.lists(st.integers(0, 1), max_size=30), min_size=1, max_size=6)


@given(rows=rows_of_few_tokens, seed=st.integers(0, 5))
def test_whoever_stands_for_a_token_is_the_same_token_and_was_never_read_later(rows, seed):
    samples = samples_of(rows)
    step = np.random.default_rng(seed).integers(-1, 4, len(rows))
    place = first_copies(samples, step)
    owner = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    assert (samples.ids[place] == samples.ids).all()
    assert (step[owner[place]] <= step[owner]).all()
    moved = place != np.arange(len(place))
    assert (step[owner[place[moved]]] >= 0).all()
