"""The loss trace: every sample's loss in every epoch, and beside it what a proxy that never saw the sample makes of it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import read_table, write_table
from carto_audit.text.untrusted import safe_inline

LATE_EPOCHS = 3
"""In- and out-of-fold losses are averaged over this many late epochs, which halves their noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Sample losses in nats per token. All arrays are aligned on the second axis; NaN where a sample was not trained on.

    `train` (T, N) comes from the training steps of epochs 1..T. `loss_in` and `loss_out` (K, N) come from evaluation after the
    epochs `logged` (K,), whole numbers but for a burn-in that ends inside the first: by the proxy that trained on the sample,
    and by the one that did not.
    """

    train: NDArray[np.float32]
    loss_in: NDArray[np.float32]
    loss_out: NDArray[np.float32]
    logged: tuple[float, ...]

    @property
    def epochs(self) -> int:
        """T, the number of training epochs."""
        return len(self.train)

    @property
    def late(self) -> "Trace":
        """The same trace with only the last LATE_EPOCHS of the logged ones, whole epochs all: those that scores average over."""
        late = slice(-min(LATE_EPOCHS, self.epochs), None)
        return replace(self, loss_in=self.loss_in[late], loss_out=self.loss_out[late], logged=self.logged[late])

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
    """Losses per token, averaged over the late epochs, in nats, and the tokens' `ids`, flat in sample order: sample `i` owns
    `offsets[i]:offsets[i + 1]`. A sample that no proxy read owns nothing."""

    ids: NDArray[np.integer]
    loss_in: NDArray[np.float32]
    loss_out: NDArray[np.float32]
    offsets: NDArray[np.int64]

    def first(self, samples: int) -> "TokenLosses":
        """Those of the first samples."""
        end = int(self.offsets[samples])
        return TokenLosses(
            ids=self.ids[:end],
            loss_in=self.loss_in[:end],
            loss_out=self.loss_out[:end],
            offsets=self.offsets[: samples + 1],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStatistics:
    """What a proxy makes of each of a text's T tokens, all (T,).

    `loss` is in nats. `z` is the log probability less the mean over the vocabulary, in standard deviations (Min-K%++).
    `right` is 1 where no other token is likelier, else 0. `log_rank` is log1p(rank) / ln(V + 1) with rank 0 for the likeliest of
    V tokens. `margin` is the token's logit less the highest, at most 0.
    """

    loss: NDArray[np.float64]
    z: NDArray[np.float64]
    right: NDArray[np.float64]
    log_rank: NDArray[np.float64]
    margin: NDArray[np.float64]


def running_mean(mean: NDArray[Any] | None, fresh: NDArray[Any], runs: int) -> NDArray[Any]:
    """The mean over `runs` runs, from the mean over all but the last, None before the first, and the last one's values."""
    return fresh if mean is None else mean + (fresh - mean) / runs


def add_losses(mean: TokenLosses | None, fresh: TokenLosses, runs: int) -> TokenLosses:
    """The mean over `runs` runs of the losses of the same tokens. Overwrites `mean`, so memory does not grow with runs."""
    if mean is None:
        return fresh
    for old, new in ((mean.loss_in, fresh.loss_in), (mean.loss_out, fresh.loss_out)):
        old += (new - old) / runs
    return mean


def add_trace(mean: Trace | None, fresh: Trace, runs: int) -> Trace:
    """The mean over `runs` runs of traces of the same samples and epochs."""
    if mean is None:
        return fresh
    values: dict[str, Any] = {name: running_mean(getattr(mean, name), getattr(fresh, name), runs) for name in _COLUMNS}
    return replace(mean, **{name: value.astype(np.float32) for name, value in values.items()})


_COLUMNS = ("train", "loss_in", "loss_out")


def write_trace(path: Path, sample_id: pa.Array, fold: NDArray[np.int8], trace: Trace) -> None:
    """Writes `trace.parquet`: a row per sample, the losses as lists over epochs, null where not trained on."""
    columns: dict[str, pa.Array] = {"sample_id": sample_id, "fold": pa.array(fold)}
    for name in _COLUMNS:
        values = getattr(trace, name)  # (epochs, N)
        flat = pa.array(np.ascontiguousarray(values.T).reshape(-1), from_pandas=True)
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[0])
    table = pa.table(columns).replace_schema_metadata({"logged_epochs": ",".join(map(str, trace.logged))})
    write_table(path, table, "zstd")


def read_trace(path: Path) -> tuple[pa.Array, NDArray[np.int8], Trace]:
    """Sample ids, folds and losses of a `trace.parquet`. Raises AuditError when the file is missing or not one."""
    try:
        table = read_table(path)
        logged = tuple(_epoch(e) for e in table.schema.metadata[b"logged_epochs"].decode().split(",") if e)
        values = {name: _matrix(table[name].combine_chunks()) for name in _COLUMNS}
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise AuditError(f"{safe_inline(str(path), 160)}: not a loss trace: {safe_inline(str(error), 120)}") from error
    fold = table["fold"].to_numpy().astype(np.int8)
    return table["sample_id"].combine_chunks(), fold, Trace(**values, logged=logged)


def _epoch(written: str) -> float:
    return int(written) if written.isdigit() else float(written)


def _matrix(column: pa.FixedSizeListArray) -> NDArray[np.float32]:
    width = column.type.list_size
    flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return np.ascontiguousarray(flat.reshape(len(column), width).T)
