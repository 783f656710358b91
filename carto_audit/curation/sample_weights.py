"""Sample weights: how often a trainer should draw each row, as `apply` writes them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.data.batch import Batch
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import read_table, write_table
from carto_audit.text.untrusted import safe_inline

if TYPE_CHECKING:
    from torch.utils.data import WeightedRandomSampler

CURATED, WEIGHTS = "curated", "weights.parquet"
WEIGHT = "sample_weight"
WEIGHT_SCHEMA = pa.schema({"sample_id": pa.large_string(), "row": pa.int64(), WEIGHT: pa.float64()})
"""`weights.parquet`: every row of the batch in order; weight 0 where it is quarantined, no id where it is unusable."""


def write_weights(path: Path, batch: Batch, weight: NDArray[np.float64]) -> None:
    """`weights.parquet`: a row per row of the batch (rows,), so that a loader of the batch itself can use it."""
    ids = np.full(batch.rows, None, dtype=object)
    ids[batch.row] = batch.sample_id.to_pylist()
    columns = {"sample_id": pa.array(ids.tolist(), pa.large_string()), "row": np.arange(batch.rows), WEIGHT: weight}
    write_table(path, pa.table(columns, schema=WEIGHT_SCHEMA), "zstd")


def read_weights(path: str | Path) -> NDArray[np.float64]:
    """The weights in `weights.parquet`, in a curated table, or of all rows in the folder `curated`, in order: (rows,).

    Lines of JSON are copied without a weight: theirs are in the `weights.parquet` beside the folder. Raises
    AuditError when there are none, or when one is negative or not a number.
    """
    where, whole = safe_inline(str(path), 160), Path(path).resolve()
    if whole.name == CURATED and (whole.parent / WEIGHTS).is_file():
        weights = read_weights(whole.parent / WEIGHTS)
        return weights[weights > 0]
    try:
        parts = [read_table(file, [WEIGHT])[WEIGHT] for file in _files(Path(path))]
        weights = np.concatenate([part.to_numpy() for part in parts]).astype(np.float64)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise AuditError(f"{where}: no weights here: {safe_inline(str(error), 160)}") from error
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise AuditError(f"{where}: a weight is negative or not a number; run carto-audit apply again")
    return weights


def _files(path: Path) -> Iterator[Path]:
    yield from sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def sampler(path: str | Path, num_samples: int | None = None, seed: int = 0) -> "WeightedRandomSampler":
    """Draws rows as often as their weights say, with replacement: for `torch.utils.data.DataLoader(sampler=…)`.

    `path` as for `read_weights`; the data set must have the same rows in the same order. `num_samples` per epoch is the
    number of rows with any weight unless given. Raises AuditError when no row has a weight above 0.
    """
    import torch
    from torch.utils.data import WeightedRandomSampler

    weights = read_weights(path)
    drawable = int((weights > 0).sum())
    if not drawable:
        raise AuditError(f"{safe_inline(str(path), 160)}: every weight is 0, so there is nothing to draw")
    generator = torch.Generator().manual_seed(seed)
    return WeightedRandomSampler(weights.tolist(), num_samples or drawable, replacement=True, generator=generator)
