import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carto_audit.errors import AuditError
from carto_audit.trace import Trace, read_trace, write_trace

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


def test_what_is_no_trace_is_refused_in_one_line(tmp_path):
    path = tmp_path / "trace.parquet"
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(AuditError, match="not a loss trace"):
        read_trace(path)
