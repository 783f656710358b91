import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.runtime.errors import AuditError
from carto_audit.traces.trace import LATE_EPOCHS, Trace, add_losses, add_trace, read_trace, write_trace
from tests.support.tiny import make_losses, make_trace

value = st.one_of(st.just(float("nan")), st.floats(0, 20, width=32))


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(1, 5), st.data())
def test_a_trace_reads_back_as_it_was_written(tmp_path_factory, n, epochs, data):
    def matrix(rows):
        return np.array([data.draw(st.lists(value, min_size=n, max_size=n)) for _ in range(rows)], np.float32)

    logged = tuple(range(max(1, epochs - 2), epochs + 1))
    trace = Trace(train=matrix(epochs), loss_in=matrix(len(logged)), loss_out=matrix(len(logged)), logged=logged)
    path = tmp_path_factory.mktemp("trace") / "trace.parquet"
    fold = np.zeros(n, np.int8)
    write_trace(path, pa.array([f"s{i}" for i in range(n)], pa.large_string()), fold, trace)
    ids, folds, again = read_trace(path)
    assert ids.to_pylist() == [f"s{i}" for i in range(n)]
    assert (folds == fold).all()
    assert again.logged == logged
    for name in ("train", "loss_in", "loss_out"):
        np.testing.assert_array_equal(getattr(again, name), getattr(trace, name))


@pytest.mark.parametrize(
    ("logged", "written"), [((0.5, 1, 2), b"0.5,1,2"), ((0.75, 1, 2), b"0.75,1,2"), ((1, 2, 3), b"1,2,3")]
)
def test_a_part_of_an_epoch_is_written_beside_whole_ones(tmp_path, logged, written):
    losses = np.ones((3, 1), np.float32)
    path = tmp_path / "trace.parquet"
    trace = Trace(train=losses, loss_in=losses, loss_out=losses, logged=logged)
    write_trace(path, pa.array(["a"], pa.large_string()), np.zeros(1, np.int8), trace)
    assert pq.read_schema(path).metadata[b"logged_epochs"] == written
    again = read_trace(path)[2].logged
    assert again == logged
    assert [type(epoch) for epoch in again] == [type(epoch) for epoch in logged]


def test_epochs_that_are_no_numbers_are_refused_in_one_line(tmp_path):
    path = tmp_path / "trace.parquet"
    losses = np.ones((1, 1), np.float32)
    trace = Trace(train=losses, loss_in=losses, loss_out=losses, logged=(1,))
    write_trace(path, pa.array(["a"], pa.large_string()), np.zeros(1, np.int8), trace)
    pq.write_table(pq.read_table(path).replace_schema_metadata({"logged_epochs": "first"}), path)
    with pytest.raises(AuditError, match="not a loss trace"):
        read_trace(path)


def test_what_is_no_trace_is_refused_in_one_line(tmp_path):
    path = tmp_path / "trace.parquet"
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(AuditError, match="not a loss trace"):
        read_trace(path)


def test_the_late_trace_ends_with_the_last_logged_epochs_and_keeps_every_training_loss():
    logged = (2, 4, 6, 7, 8)
    rows = np.arange(5, dtype=np.float32)[:, None]
    trace = Trace(train=np.ones((8, 1), np.float32), loss_in=rows, loss_out=rows + 10, logged=logged)
    late = trace.late
    assert late.logged == logged[-LATE_EPOCHS:]
    assert late.loss_in.ravel().tolist() == [2, 3, 4]
    assert late.loss_out.ravel().tolist() == [12, 13, 14]
    assert late.epochs == 8


def test_some_samples_of_a_trace_keep_their_epochs():
    trace = make_trace([[1, 2, 3], [4, 5, 6]], loss_in=[[7, 8, 9]])
    part = trace.select(slice(1, 3))
    assert part.train.tolist() == [[2, 3], [5, 6]]
    assert part.loss_in.tolist() == [[8, 9]]
    assert part.logged == trace.logged
    assert trace.select(np.array([2, 0])).train.tolist() == [[3, 1], [6, 4]]


runs = st.lists(st.lists(st.floats(0, 20, width=32), min_size=3, max_size=3), min_size=1, max_size=6)


@given(runs)
def test_token_losses_and_traces_of_several_runs_are_averaged(values):
    tokens, trace = None, None
    for number, losses in enumerate(values, start=1):
        tokens = add_losses(tokens, make_losses([(losses[:2], losses[:2]), (losses[2:], losses[2:])]), number)
        trace = add_trace(trace, make_trace([losses], loss_in=[losses], loss_out=[losses]), number)
    mean = np.mean(values, axis=0)
    for found in (tokens.loss_in, tokens.loss_out, trace.train[0], trace.loss_in[0], trace.loss_out[0]):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, mean, rtol=1e-4, atol=1e-4)
    assert tokens.offsets.tolist() == [0, 2, 3]


def test_what_one_run_did_not_know_stays_unknown_in_the_mean():
    known, unknown = make_trace([[1.0, 1.0]]), make_trace([[1.0, np.nan]])
    mean = add_trace(add_trace(None, unknown, 1), known, 2)
    assert mean.train[0, 0] == 1.0
    assert np.isnan(mean.train[0, 1])
