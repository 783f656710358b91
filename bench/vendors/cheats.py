"""Cheats: what a vendor may do to a summary before he signs it, or to a batch after. All are consistent with themselves."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bench.corpora import write_texts
from carto_audit.artifacts.audit_folder import open_audit_folder
from carto_audit.artifacts.forecast import MEMORIZED
from carto_audit.cartography.quadrants import QUADRANT_NAMES
from carto_audit.data.batch import Batch, read_batch
from carto_audit.data.duplicates import Duplicates
from carto_audit.pipeline.options import AuditOptions
from carto_audit.pipeline.result import ScoredRows
from carto_audit.policy.model import Policy, load_policy
from carto_audit.runtime.files import file_sha256, write_bytes, write_table
from carto_audit.vendors import merkle
from carto_audit.vendors import statement as said
from carto_audit.vendors.reading import Summary, read_summary
from carto_audit.vendors.rows import leaf_digests
from carto_audit.vendors.summary import masses_of

UNFLAGGED = {"hotspot_memorized": "stable_easy", "noisy_outlier": "ambiguous_hard"}
Generator = np.random.Generator


def scored_rows(folder: Path, batch: Batch, policy: Policy | None = None) -> ScoredRows:
    """What a finished audit says of its batch, as the check of a summary asks for it; it cannot be trained on again."""
    audit = open_audit_folder(folder)
    facts, scores = (
        audit.report,
        audit.scores(["memorization", "loss_in", "quadrant", "n_tokens", "cluster_id", "cluster_size"]),
    )
    codes = {name: code for code, name in enumerate(QUADRANT_NAMES)}
    nothing = np.zeros(len(batch), dtype=bool)
    return ScoredRows(
        batch=batch,
        duplicates=Duplicates(
            exact=nothing,
            near=nothing,
            copies=np.ones(len(batch), dtype=np.int64),
            cluster_id=scores["cluster_id"].to_numpy(),
            cluster_size=scores["cluster_size"].to_numpy(),
            text_hash=np.zeros(len(batch), dtype=np.uint64),
            digest=np.zeros((len(batch), 2), dtype=np.uint64),
            jaccard_threshold=facts["duplicates"]["jaccard_threshold"],
            shingle=facts["duplicates"]["shingle"],
        ),
        n_tokens=scores["n_tokens"].to_numpy(),
        memorization=scores["memorization"].to_numpy(zero_copy_only=False).astype(np.float64),
        quadrant=np.array([codes.get(name, -1) for name in scores["quadrant"].to_pylist()], dtype=np.int8),
        loss_in=scores["loss_in"].to_numpy(zero_copy_only=False).astype(np.float64),
        policy=policy or load_policy("default"),
        options=AuditOptions(
            seed=facts["run"]["seed"],
            epochs=facts["run"]["epochs"],
            folds=facts["run"]["folds"],
            sampling_key="" if facts["run"].get("sampling", {}).get("key_commitment") else None,
        ),
        proxy=facts["run"]["proxy"]["name"],
        device=facts["run"]["device"],
        folder=folder,
    )


def repacked(summary: Summary, table: pa.Table, folder: Path) -> Summary:
    """A summary with other rows, whose counts, masses, root and digest are those of these rows, as a vendor would sign it."""
    predicate = summary.predicate.model_copy(
        update={
            "rows": said.Rows(
                root=merkle.root_of(merkle.levels_of(leaf_digests(table))).hex(),
                count=table.num_rows,
                trained=int(pc.sum(table["trained"]).as_py()),
                flagged=int(pc.sum(table["flagged"]).as_py()),
            ),
            "masses": masses_of(table),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / said.TABLE, table, "zstd")
    write_bytes(folder / said.STATEMENT, said.statement_bytes(predicate, file_sha256(folder / said.TABLE)))
    return read_summary(folder)


def hide(table: pa.Table, line: float, share: float, rng: Generator) -> pa.Table:
    """A share of the flagged rows made ordinary: just below the line, in the quadrant beside."""
    flagged = np.flatnonzero(table["flagged"].to_numpy())
    hidden = rng.choice(flagged, round(share * len(flagged)), replace=False)
    memorization = _floats(table, "memorization")
    memorization[hidden] = np.minimum(memorization[hidden], line * rng.uniform(0.5, 1, len(hidden)))
    return _with(table, memorization, line)


def shave(table: pa.Table, line: float, by: float) -> pa.Table:
    """Every score lowered; what falls below the line is not flagged any more."""
    return _with(table, np.maximum(0.0, _floats(table, "memorization") - by), line)


def without_hot_rows(table: pa.Table) -> pa.Table:
    """The flagged rows left out, and as many others said twice, so that the count is kept."""
    kept = table.filter(pc.invert(table["flagged"]))
    more = kept.slice(0, table.num_rows - kept.num_rows)
    both = pa.concat_tables([kept, more]).combine_chunks()
    numbered: pa.Table = both.set_column(0, "row", pa.array(np.arange(both.num_rows))).cast(table.schema)
    return numbered


def swapped(batch: Batch, texts: list[str], others: list[str], share: float, rng: Generator, folder: Path) -> Batch:
    """The batch with a share of its rows exchanged for other texts."""
    changed = list(texts)
    for row in rng.choice(len(texts), max(1, round(share * len(texts))), replace=False).tolist():
        changed[row] = others[int(rng.integers(len(others)))]
    return read_batch([write_texts(folder / batch.paths[0].name, changed)])


def _with(table: pa.Table, memorization: NDArray[np.float64], line: float) -> pa.Table:
    """The table with these scores, and with quadrants and flags that follow from them."""
    quadrant = [
        UNFLAGGED[name] if name in MEMORIZED and not m > line else name
        for name, m in zip(table["quadrant"].to_pylist(), memorization.tolist(), strict=True)
    ]
    values: dict[str, Callable[[], pa.Array]] = {
        "memorization": lambda: pa.array(memorization, from_pandas=True),
        "quadrant": lambda: pa.array(quadrant, pa.string()),
        "flagged": lambda: pa.array([name in MEMORIZED for name in quadrant]),
    }
    for name, value in values.items():
        table = table.set_column(table.schema.get_field_index(name), name, value())
    return table


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = table[name].to_numpy(zero_copy_only=False).astype(np.float64).copy()
    return values
