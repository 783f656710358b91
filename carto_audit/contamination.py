"""Contamination: evaluation items in a batch. One streaming pass; memory is the index and one chunk of text."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from carto_audit.batch import Batch, iter_texts
from carto_audit.candidates import find_candidates
from carto_audit.errors import AuditError
from carto_audit.evidence import Match, verify
from carto_audit.files import atomic_path
from carto_audit.index import COMPONENTS, QUESTION, Index
from carto_audit.progress import SILENT, Progress
from carto_audit.text import safe_inline
from carto_audit.tiers import SUSPECTED, TIERS
from carto_audit.words import hash_words

MATCH_SCHEMA = pa.schema(
    {
        "sample": pa.int64(),
        "sample_id": pa.large_string(),
        "row": pa.int64(),
        "benchmark": pa.string(),
        "item_id": pa.large_string(),
        "component": pa.string(),
        "tier": pa.string(),
        "leak_kind": pa.string(),
        "containment": pa.float64(),
        "longest_run": pa.int64(),
        "minhash_estimate": pa.float64(),
        "sample_start": pa.int64(),
        "sample_end": pa.int64(),
        "item_start": pa.int64(),
        "item_end": pa.int64(),
        "reason": pa.string(),
    }
)
"""`sample` is the index in the batch; the file leaves it out. Offsets are characters, of the item in its component."""

_PLANTS_AT_ONCE = 4000
_FILLER_BEFORE = (
    "The committee met again on the second floor and, before the harbour lights came on, somebody read aloud"
)
_FILLER_AFTER = "while the others folded their maps, counted the lanterns and waited for the last ferry to leave"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    """One benchmark's roll-up. An item counts once, under its surest tier; items without a question are not detectable.

    `detectable_items`: those found again when their question alone is planted inside other text.
    """

    name: str
    sha256: str
    items: int
    detectable_items: int
    confirmed_items: int
    suspected_items: int
    source_overlap_items: int
    boilerplate_items: int
    confirmed_rows: int
    suspected_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contamination:
    """Matches (MATCH_SCHEMA), roll-ups by benchmark, and each sample's worst tier as a place in TIERS, (N,)."""

    matches: pa.Table
    benchmarks: tuple[BenchmarkResult, ...]
    tier: NDArray[np.int8]

    def is_tier(self, name: str) -> NDArray[np.bool_]:
        """Which samples have this as their worst tier: (N,)."""
        chosen: NDArray[np.bool_] = self.tier == TIERS.index(name)
        return chosen

    def tier_names(self) -> NDArray[np.str_]:
        """The worst tier of each sample by name, "" where nothing was found: (N,)."""
        return np.array(TIERS)[self.tier]


def check_contamination(batch: Batch, index: Index, progress: Progress = SILENT) -> Contamination:
    """Looks for every item of the index in every sample of the batch, over-long samples included."""
    detectable = _plant_items(index, progress)
    parts = [MATCH_SCHEMA.empty_table()]
    tier = np.zeros(len(batch), dtype=np.int8)
    for chunk in iter_texts(batch, progress, "Looking for benchmark items"):
        matches = find_matches(chunk.texts, index)
        if matches:
            parts.append(_table(matches, chunk.start, batch, index))
            np.maximum.at(tier, [chunk.start + m.row for m in matches], [np.int8(m.tier) for m in matches])
    table = pa.concat_tables(parts)
    return Contamination(matches=table, benchmarks=tuple(_roll_up(table, index, detectable)), tier=tier)


def find_matches(texts: list[str], index: Index) -> list[Match]:
    """Every item found in a few texts, by row, then by place. `Match.row` counts in `texts`."""
    found: list[Match] = []
    for block, pairs in find_candidates(hash_words(texts), index):
        found += verify(block, pairs, [texts[row] for row in block.rows.tolist()], index)
    return found


def _plant_items(index: Index, progress: Progress) -> NDArray[np.bool_]:
    """Which items are found when their question is planted in the middle of a paragraph: (items,)."""
    found = np.zeros(len(index.item_benchmark), dtype=bool)
    groups = np.flatnonzero((index.component == QUESTION) & (np.diff(index.words.offsets) > 0))
    with progress.task("Planting benchmark items", len(groups), "items") as advance:
        for start in range(0, len(groups), _PLANTS_AT_ONCE):
            planted = groups[start : start + _PLANTS_AT_ONCE]
            questions = [index.item_text(int(index.items[group][0]), group) for group in planted.tolist()]
            texts = [f"{_FILLER_BEFORE} {question} {_FILLER_AFTER}" for question in questions]
            for match in find_matches(texts, index):
                if match.tier >= SUSPECTED and match.group == planted[match.row]:
                    found[index.items[match.group]] = True
            advance(len(planted))
    return found


def _table(matches: list[Match], start: int, batch: Batch, index: Index) -> pa.Table:
    sample = np.array([match.row for match in matches], dtype=np.int64) + start
    item = np.array([match.item for match in matches], dtype=np.int64)
    benchmarks = [index.benchmarks[number] for number in index.item_benchmark[item].tolist()]
    rows = index.item_row[item].tolist()
    columns = {
        "sample": sample,
        "sample_id": batch.sample_id.take(pa.array(sample)),
        "row": batch.row[sample],
        "benchmark": [benchmark.name for benchmark in benchmarks],
        "item_id": [b.items["item_id"][row].as_py() for b, row in zip(benchmarks, rows, strict=True)],
        "component": [COMPONENTS[index.component[match.group]] for match in matches],
        "tier": [TIERS[match.tier] for match in matches],
        "leak_kind": ["input+answer" if match.answered else "input" for match in matches],
        "containment": [match.containment for match in matches],
        "longest_run": [match.longest_run for match in matches],
        "minhash_estimate": [match.minhash_estimate for match in matches],
        "sample_start": [match.sample_span[0] for match in matches],
        "sample_end": [match.sample_span[1] for match in matches],
        "item_start": [match.item_span[0] for match in matches],
        "item_end": [match.item_span[1] for match in matches],
        "reason": [match.reason for match in matches],
    }
    return pa.table(columns, schema=MATCH_SCHEMA)


def _roll_up(matches: pa.Table, index: Index, detectable: NDArray[np.bool_]) -> Iterator[BenchmarkResult]:
    names = np.array(matches["benchmark"].to_pylist(), dtype=object)
    tiers = np.array([TIERS.index(name) for name in matches["tier"].to_pylist()], dtype=np.int64)
    items = np.array(matches["item_id"].to_pylist(), dtype=object)
    samples = matches["sample"].to_numpy()
    for number, benchmark in enumerate(index.benchmarks):
        own = names == benchmark.name
        item_tiers = _worst(items[own].tolist(), tiers[own].tolist())
        row_tiers = _worst(samples[own].tolist(), tiers[own].tolist())
        yield BenchmarkResult(
            name=benchmark.name,
            sha256=benchmark.sha256,
            items=benchmark.items.num_rows,
            detectable_items=int(detectable[index.item_benchmark == number].sum()),
            **{f"{name}_items": item_tiers.count(name) for name in TIERS[1:]},
            **{f"{name}_rows": row_tiers.count(name) for name in TIERS[3:]},
        )


def _worst(keys: list[object], tiers: list[int]) -> list[str]:
    """The worst tier of each distinct key, by name."""
    worst: dict[object, int] = {}
    for key, tier in zip(keys, tiers, strict=True):
        worst[key] = max(tier, worst.get(key, 0))
    return [TIERS[tier] for tier in worst.values()]


def write_matches(path: Path, matches: pa.Table) -> None:
    """Writes matches.parquet, whole or not at all, without the `sample` column."""
    with atomic_path(path) as temporary:
        pq.write_table(matches.drop_columns(["sample"]), temporary)


def read_matches(path: Path) -> pa.Table:
    """Reads what `write_matches` wrote. Raises AuditError in one line when it cannot."""
    try:
        return pq.read_table(path, schema=pa.schema([field for field in MATCH_SCHEMA if field.name != "sample"]))
    except (OSError, pa.ArrowException) as error:
        raise AuditError(f"{safe_inline(str(path), 160)}: cannot read: {safe_inline(str(error), 160)}") from error
