"""The loss trace: every sample's loss in every epoch, and beside it what a proxy that never saw the sample makes of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from carto_audit.errors import AuditError
from carto_audit.files import atomic_path
from carto_audit.text import safe_inline


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Sample losses in nats per token. All arrays are aligned on the second axis; NaN where a sample was not trained on.

    `train` (T, N) comes from the training steps of epochs 1..T. `loss_in` and `loss_out` (K, N) come from evaluation
    after the epochs `logged` (K,): by the proxy that trained on the sample, and by the one that did not.
    """

    train: NDArray[np.float32]
    loss_in: NDArray[np.float32]
    loss_out: NDArray[np.float32]
    logged: tuple[int, ...]

    @property
    def epochs(self) -> int:
        """T, the number of training epochs."""
        return len(self.train)

    def select(self, samples: NDArray[np.int64] | slice) -> "Trace":
        """The same trace for some samples only."""
        return Trace(
            train=self.train[:, samples],
            loss_in=self.loss_in[:, samples],
            loss_out=self.loss_out[:, samples],
            logged=self.logged,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLosses:
    """Losses per token, averaged over the logged epochs, in nats, flat in sample order: sample `i` owns
    `offsets[i]:offsets[i + 1]`. A sample that no proxy read owns nothing."""

    loss_in: NDArray[np.float32]
    loss_out: NDArray[np.float32]
    offsets: NDArray[np.int64]


_COLUMNS = ("train", "loss_in", "loss_out")


def write_trace(path: Path, sample_id: pa.Array, fold: NDArray[np.int8], trace: Trace) -> None:
    """Writes `trace.parquet`: a row per sample, the losses as lists over epochs, null where not trained on."""
    columns: dict[str, pa.Array] = {"sample_id": sample_id, "fold": pa.array(fold)}
    for name in _COLUMNS:
        values = getattr(trace, name)  # (epochs, N)
        flat = pa.array(np.ascontiguousarray(values.T).reshape(-1), from_pandas=True)
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[0])
    table = pa.table(columns).replace_schema_metadata({"logged_epochs": ",".join(map(str, trace.logged))})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_trace(path: Path) -> tuple[pa.Array, NDArray[np.int8], Trace]:
    """Sample ids, folds and losses of a `trace.parquet`. Raises AuditError when the file is missing or not one."""
    try:
        table = pq.read_table(path)
        logged = tuple(int(e) for e in table.schema.metadata[b"logged_epochs"].split(b",") if e)
        values = {name: _matrix(table[name].combine_chunks()) for name in _COLUMNS}
    except (OSError, KeyError, TypeError, pa.ArrowException) as error:
        raise AuditError(f"{safe_inline(str(path), 160)}: not a loss trace: {safe_inline(str(error), 120)}") from error
    fold = table["fold"].to_numpy().astype(np.int8)
    return table["sample_id"].combine_chunks(), fold, Trace(**values, logged=logged)


def _matrix(column: pa.FixedSizeListArray) -> NDArray[np.float32]:
    width = column.type.list_size
    flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return np.ascontiguousarray(flat.reshape(len(column), width).T)
