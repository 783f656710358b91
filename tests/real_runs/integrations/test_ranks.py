"""Two ranks over gloo, killed and resumed: one program, whose traces are compared."""

import json
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from carto_audit.traces.reading import first_visits, read_visits
from tests.support.run_traces import KEYS

KILLED = -9


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """The folder of both traces."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.two_ranks", str(folder)]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    codes = json.loads((folder / "codes.json").read_text())
    assert codes[0] == codes[3] == [0, 0], done.stderr[-2000:]
    assert codes[1][1] == codes[2][0] == KILLED, done.stderr[-2000:]  # the other rank is killed, or misses the first
    assert codes[1][0] != 0 != codes[2][1]
    return folder


def test_visits_of_all_ranks_are_there_and_the_matrix_takes_the_first_of_an_epoch(traces):
    visits = read_visits(traces / "unbroken", KEYS)
    rows = visits.rows
    assert (visits.opening.world, visits.generations, visits.missing_steps, visits.closed) == (2, 1, 0, True)
    assert Counter(zip(rows.rank.tolist(), rows.step.tolist(), strict=True)) == {
        (rank, step): 4 for rank in (0, 1) for step in range(6)
    }
    assert len(rows) == 48 > 2 * 17  # seven samples an epoch came twice
    matrix = first_visits(visits)
    assert matrix.loss.shape == (17, 2)
    assert np.isfinite(matrix.loss).all()
    assert (rows.step[matrix.visit[:, 0]] < 3).all()


def test_a_killed_and_resumed_run_has_every_step_once_and_the_same_matrix(traces):
    unbroken, killed = read_visits(traces / "unbroken", KEYS), read_visits(traces / "killed", KEYS)
    assert killed.generations == 3
    assert killed.superseded > 0
    assert (killed.missing_steps, killed.dropped_batches, killed.dropped_visits, killed.closed) == (0, 0, 0, True)
    for name in ("key", "step", "epoch", "rank", "loss", "steps", "offsets"):
        np.testing.assert_array_equal(getattr(killed.rows, name), getattr(unbroken.rows, name))
    np.testing.assert_array_equal(first_visits(killed).loss, first_visits(unbroken).loss)
