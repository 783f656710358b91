"""Row changes: which texts and which benchmark items one audit has that another has not, from the tables that both left."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.artifacts.audit_folder import AuditFolder, open_audit_folder
from carto_audit.artifacts.forecast import MEMORIZED
from carto_audit.text.untrusted import safe_inline

MOST_EXAMPLES = 8

_SCHEMA = pa.schema(
    {
        "sample_id": pa.large_string(),
        "n_tokens": pa.int64(),
        "memorization": pa.float64(),
        "quadrant": pa.string(),
        "text_hash": pa.uint64(),
    }
)
_FOUND = ("confirmed", "suspected")


@dataclass(frozen=True, kw_only=True, slots=True)
class RowExample:
    """A row that only one of the two audits has."""

    sample_id: str
    tokens: int
    memorization: float | None
    quadrant: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RowSet:
    """Rows that only one audit has: how many, how many tokens, how many of these memorized, and the most memorized of them."""

    rows: int
    tokens: int
    memorized_tokens: int
    examples: tuple[RowExample, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowChanges:
    """Rows by their text: those in both audits, counted in the second, and those in one alone."""

    shared_rows: int
    shared_tokens: int
    appeared: RowSet
    went: RowSet


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemChanges:
    """Benchmark items, (benchmark, item, tier) each, that were found in one audit alone, and how many in both."""

    shared: int
    appeared: tuple[tuple[str, str, str], ...]
    went: tuple[tuple[str, str, str], ...]


def row_changes(before: Path, now: Path) -> RowChanges | None:
    """Which rows came and went; None where one of the audits is of a version that kept no hashes of its texts. Raises AuditError
    where a table cannot be read."""
    old, new = (_rows(open_audit_folder(folder)) for folder in (before, now))
    if old is None or new is None:
        return None
    came, left = (~np.isin(_hashes(a), _hashes(b)) for a, b in ((new, old), (old, new)))
    tokens = new["n_tokens"].to_numpy()
    return RowChanges(
        shared_rows=int((~came).sum()),
        shared_tokens=int(tokens[~came].sum()),
        appeared=_row_set(new, came),
        went=_row_set(old, left),
    )


def item_changes(before: Path, now: Path) -> ItemChanges | None:
    """Which benchmark items came and went; None where one of the audits looked for none."""
    old, new = (_items(open_audit_folder(folder)) for folder in (before, now))
    if old is None or new is None:
        return None
    came, left = (sorted(a.keys() - b.keys()) for a, b in ((new, old), (old, new)))
    return ItemChanges(
        shared=len(old.keys() & new.keys()),
        appeared=tuple((*key, new[key]) for key in came),
        went=tuple((*key, old[key]) for key in left),
    )


def _rows(audit: AuditFolder) -> pa.Table | None:
    table = audit.scores()
    if "text_hash" not in table.column_names:
        return None
    try:
        kept = table.select(_SCHEMA.names).cast(_SCHEMA)
        if kept["n_tokens"].null_count:
            raise ValueError("a row without a number of tokens")
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise audit.not_scores(error) from error
    return kept.filter(kept["text_hash"].is_valid())


def _hashes(table: pa.Table) -> NDArray[np.uint64]:
    hashes: NDArray[np.uint64] = table["text_hash"].to_numpy()
    return hashes


def _row_set(table: pa.Table, chosen: NDArray[np.bool_]) -> RowSet:
    kept = table.filter(pa.array(chosen))
    tokens = kept["n_tokens"].to_numpy()
    score = kept["memorization"].to_numpy()
    quadrant = kept["quadrant"].to_pylist()
    memorized = np.array([name in MEMORIZED for name in quadrant], dtype=bool)
    first = np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")[:MOST_EXAMPLES]
    ids = kept["sample_id"].take(pa.array(first)).to_pylist()
    return RowSet(
        rows=len(tokens),
        tokens=int(tokens.sum()),
        memorized_tokens=int(tokens[memorized].sum()),
        examples=tuple(
            RowExample(
                sample_id=safe_inline(str(name), 80),
                tokens=int(tokens[k]),
                memorization=float(score[k]) if np.isfinite(score[k]) else None,
                quadrant=safe_inline(str(quadrant[k] or ""), 40),
            )
            for name, k in zip(ids, first.tolist(), strict=True)
        ),
    )


def _items(audit: AuditFolder) -> dict[tuple[str, str], str] | None:
    """Every item that was found, with its worst tier."""
    table = audit.matches(["benchmark", "item_id", "tier"])
    if table is None:
        return None
    found: dict[tuple[str, str], str] = {}
    for benchmark, item, tier in zip(*(column.to_pylist() for column in table.columns), strict=True):
        key = safe_inline(str(benchmark), 80), safe_inline(str(item), 80)
        if tier in _FOUND and found.get(key) != "confirmed":
            found[key] = tier
    return found
