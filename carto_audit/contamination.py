"""Contamination: evaluation items in a batch. One streaming pass; memory is the index and one chunk of text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from carto_audit.batch import Batch, iter_texts
from carto_audit.benchmark import Benchmark
from carto_audit.candidates import find_candidates
from carto_audit.detectability import Detectability
from carto_audit.errors import AuditError
from carto_audit.evidence import Match, verify
from carto_audit.files import atomic_path
from carto_audit.index import COMPONENTS, QUESTION, Index
from carto_audit.progress import SILENT, Progress
from carto_audit.tables import Int
from carto_audit.text import safe_inline
from carto_audit.tiers import CLEAN, TIERS
from carto_audit.views import find_by_views, joined
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
        "near_variant": pa.bool_(),
        "view": pa.string(),
    }
)
"""`sample` is the index in the batch; the file leaves it out. Offsets are characters, of the item in its component."""

CLEAN_SCHEMA = pa.schema({"benchmark": pa.string(), "item_id": pa.large_string(), "tier": pa.string()})
"""`clean_items.parquet`: every item of every benchmark. An item is clean where its tier is ""."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    """One benchmark's roll-up. An item counts once, under its surest tier; items without a question are not detectable.

    `detectable_items`: those found again when their question alone is planted, in every form that was tried.
    `detectability`: the share found, 0..1, by form. `clean_items`: those of which nothing was found, see `Contamination`.
    """

    name: str
    sha256: str
    items: int
    detectable_items: int
    detectability: dict[str, float]
    clean_items: int
    confirmed_items: int
    suspected_items: int
    source_overlap_items: int
    boilerplate_items: int
    confirmed_rows: int
    suspected_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contamination:
    """Matches (MATCH_SCHEMA), roll-ups by benchmark, and each sample's worst tier as a place in TIERS, (N,).

    `item_tier` is that of each item of all benchmarks, (items,). Where a question or a passage was found that several
    items share, and no options told which of them is meant, all of them have its tier.
    """

    matches: pa.Table
    benchmarks: tuple[BenchmarkResult, ...]
    tier: NDArray[np.int8]
    item_tier: NDArray[np.int8]

    def is_tier(self, name: str) -> NDArray[np.bool_]:
        """Which samples have this as their worst tier: (N,)."""
        chosen: NDArray[np.bool_] = self.tier == TIERS.index(name)
        return chosen

    def tier_names(self) -> NDArray[np.str_]:
        """The worst tier of each sample by name, "" where nothing was found: (N,)."""
        return np.array(TIERS)[self.tier]


def check_contamination(
    batch: Batch, index: Index, detectability: Detectability, progress: Progress = SILENT
) -> Contamination:
    """Looks for every item of the index in every sample of the batch, over-long samples included. What could have been
    found at all is told by `detectability`, which belongs to the same index."""
    parts = [MATCH_SCHEMA.empty_table()]
    tier = np.zeros(len(batch), dtype=np.int8)
    item_tier = np.zeros(len(index.item_benchmark), dtype=np.int8)
    surest: dict[_Found, int] = {}
    for chunk in iter_texts(batch, progress, "Looking for benchmark items"):
        matches = find_matches(chunk.texts, index)
        if matches:
            parts.append(_table(matches, chunk.start, batch, index))
            np.maximum.at(tier, [chunk.start + m.row for m in matches], [np.int8(m.tier) for m in matches])
            for match in matches:
                key = _Found(item=match.item, group=match.group, is_named=_is_named(match, index))
                surest[key] = max(match.tier, surest.get(key, CLEAN))
    for found, tier_found in surest.items():
        np.maximum.at(item_tier, _meant(found, index), np.int8(tier_found))
    table = pa.concat_tables(parts)
    results = tuple(_roll_up(table, index, detectability, item_tier))
    return Contamination(matches=table, benchmarks=results, tier=tier, item_tier=item_tier)


def find_matches(texts: list[str], index: Index) -> list[Match]:
    """Every item found in a few texts, by row, then by place, in every view. `Match.row` counts in `texts`."""
    found: list[Match] = []
    words = hash_words(texts)
    for block, pairs in find_candidates(words, index):
        found += verify(block, pairs, [texts[row] for row in block.rows.tolist()], index)
    return joined(found, list(find_by_views(texts, words, index)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An item of which a text was found, its question or its passage; `is_named` where no twin of it can be meant."""

    item: int
    group: int
    is_named: bool


def _is_named(match: Match, index: Index) -> bool:
    return match.view != "words" or (match.supported and index.component[match.group] == QUESTION)


def _meant(found: _Found, index: Index) -> Int:
    """The items that this may be about: all of the benchmark that share the text, less those with other options where
    the item's own name it."""
    shared = index.items[found.group]
    alike: Int = shared[index.item_benchmark[shared] == index.item_benchmark[found.item]]
    if not found.is_named:
        return alike
    own = _options(found.item, index)
    return np.array([item for item in alike.tolist() if _options(item, index) == own], dtype=np.int64)


def _options(item: int, index: Index) -> list[list[int]]:
    """The words of an item's options, which tell it from others with the same question; those of an answer do not."""
    return [index.choices.words[choice].tolist() for choice in index.choices.of_item[item].tolist()]


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
        "near_variant": [match.near_variant for match in matches],
        "view": [match.view for match in matches],
    }
    return pa.table(columns, schema=MATCH_SCHEMA)


def _roll_up(
    matches: pa.Table, index: Index, detectability: Detectability, item_tier: NDArray[np.int8]
) -> Iterator[BenchmarkResult]:
    names = np.array(matches["benchmark"].to_pylist(), dtype=object)
    tiers = np.array([TIERS.index(name) for name in matches["tier"].to_pylist()], dtype=np.int64)
    items = np.array(matches["item_id"].to_pylist(), dtype=object)
    samples = matches["sample"].to_numpy()
    for number, benchmark in enumerate(index.benchmarks):
        own, mine = names == benchmark.name, index.item_benchmark == number
        item_tiers = _worst(items[own].tolist(), tiers[own].tolist())
        row_tiers = _worst(samples[own].tolist(), tiers[own].tolist())
        yield BenchmarkResult(
            name=benchmark.name,
            sha256=benchmark.sha256,
            items=benchmark.items.num_rows,
            detectable_items=int(detectability.detectable[mine].sum()),
            detectability=detectability.by_form(index, number),
            clean_items=int((item_tier[mine] == CLEAN).sum()),
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


def clean_table(benchmarks: Sequence[Benchmark], contamination: Contamination) -> pa.Table:
    """Every item of every benchmark with its tier (CLEAN_SCHEMA), so that a score can be told for the clean ones."""
    names = [benchmark.name for benchmark in benchmarks for _ in range(benchmark.items.num_rows)]
    ids = [item_id for benchmark in benchmarks for item_id in benchmark.items["item_id"].to_pylist()]
    tiers = [TIERS[tier] for tier in contamination.item_tier.tolist()]
    return pa.table({"benchmark": names, "item_id": ids, "tier": tiers}, schema=CLEAN_SCHEMA)


def write_clean(path: Path, benchmarks: Sequence[Benchmark], contamination: Contamination) -> None:
    """Writes clean_items.parquet, whole or not at all."""
    with atomic_path(path) as temporary:
        pq.write_table(clean_table(benchmarks, contamination), temporary)


def read_matches(path: Path) -> pa.Table:
    """Reads what `write_matches` wrote. Raises AuditError in one line when it cannot."""
    try:
        return pq.read_table(path, schema=pa.schema([field for field in MATCH_SCHEMA if field.name != "sample"]))
    except (OSError, pa.ArrowException) as error:
        raise AuditError(f"{safe_inline(str(path), 160)}: cannot read: {safe_inline(str(error), 160)}") from error
