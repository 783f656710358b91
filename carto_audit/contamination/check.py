"""The check: evaluation items in a batch. One streaming pass; memory is the index, and some shards of text per core."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.benchmarks.hash_tables import Int
from carto_audit.benchmarks.index import COMPONENTS, QUESTION, Index
from carto_audit.benchmarks.items import Benchmark
from carto_audit.contamination.boilerplate import demote_boilerplate
from carto_audit.contamination.detectability import Detectability
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.search import search_batch
from carto_audit.contamination.tiers import CLEAN, PASSAGE, PROGRAM, SKELETON, TIERS, finder_of
from carto_audit.data.batch import Batch
from carto_audit.data.layouts import place
from carto_audit.data.segments import read_segments
from carto_audit.engines.engine import LOCAL, Engine
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import read_table, write_table
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.text.untrusted import safe_inline

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
        "segment": pa.string(),
        "item_start": pa.int64(),
        "item_end": pa.int64(),
        "reason": pa.string(),
        "near_variant": pa.bool_(),
        "view": pa.string(),
    }
)
"""`sample` is the index in the batch; the file leaves it out. Offsets are characters, of the item in its component.
`segment` says in which part of the sample the passage stands, empty where it has no parts."""

CLEAN_SCHEMA = pa.schema({"benchmark": pa.string(), "item_id": pa.large_string(), "tier": pa.string()})
"""`clean_items.parquet`: every item of every benchmark. An item is clean where its tier is ""."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    """One benchmark's roll-up. An item counts once, under its surest tier; items without a question are not detectable.

    `detectable_items`: those found again when their question alone is planted, in every form that was tried.
    `detectability`: the share found, 0..1, by form; `detectability_disguised`: that of a sample, by honest disguise.
    `clean_items`: those of which nothing was found, see `Contamination`.
    """

    name: str
    sha256: str
    items: int
    detectable_items: int
    detectability: dict[str, float]
    detectability_disguised: dict[str, float]
    clean_items: int
    confirmed_items: int
    suspected_items: int
    source_overlap_items: int
    boilerplate_items: int
    confirmed_rows: int
    suspected_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Items and rows with a confirmed or a suspected match. An item counts under its surest tier, a row under its worst."""

    confirmed_items: int
    suspected_items: int
    confirmed_rows: int
    suspected_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """One input file's roll-up: over all benchmarks, and for each of which something was found, by name."""

    name: str
    rows: int
    counts: Counts
    benchmarks: dict[str, Counts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contamination:
    """Matches (MATCH_SCHEMA), roll-ups by benchmark and by input file, and each sample's worst tier as a place in TIERS, (N,).

    `item_tier` is that of each item of all benchmarks, (items,). Where a question or a passage was found that several
    items share, and no options told which of them is meant, all of them have its tier.
    """

    matches: pa.Table
    benchmarks: tuple[BenchmarkResult, ...]
    tier: NDArray[np.int8]
    item_tier: NDArray[np.int8]
    shards: tuple[ShardResult, ...] = ()
    reused: int = 0
    """Samples that an earlier run had searched for the same items, and this one did not."""

    def is_tier(self, name: str) -> NDArray[np.bool_]:
        """Which samples have this as their worst tier: (N,)."""
        chosen: NDArray[np.bool_] = self.tier == TIERS.index(name)
        return chosen

    def tier_names(self) -> NDArray[np.str_]:
        """The worst tier of each sample by name, "" where nothing was found: (N,)."""
        return np.array(TIERS)[self.tier]


def check_contamination(
    batch: Batch,
    index: Index,
    detectability: Detectability,
    progress: Progress = SILENT,
    *,
    cluster_id: Int | None = None,
    folder: Path | None = None,
    engine: Engine = LOCAL,
) -> Contamination:
    """Looks for every item of the index in every sample of the batch, over-long samples included. What could have been
    found at all is told by `detectability`, which belongs to the same index.

    `cluster_id` names the samples that are copies of each other, (N,). With a `folder`, what was found is kept for later runs.
    The result does not depend on the `engine`.
    """
    searched = search_batch(batch, index, find_matches, folder=folder, engine=engine, progress=progress)
    found = demote_boilerplate(searched.matches, index, np.arange(len(batch)) if cluster_id is None else cluster_id)
    sample, tiers = found["sample"].to_numpy(), found["tier"].to_numpy().astype(np.int8)
    tier = np.zeros(len(batch), dtype=np.int8)
    np.maximum.at(tier, sample, tiers)
    item_tier = _item_tiers(found, index)
    return Contamination(
        matches=_table(found, batch, index),
        benchmarks=tuple(_roll_up(found, index, detectability, item_tier)),
        tier=tier,
        item_tier=item_tier,
        shards=tuple(_roll_up_shards(found, batch, index)),
        reused=searched.reused,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An item of which a text was found, its question or its passage; `is_named` where no twin of it can be meant."""

    item: int
    group: int
    is_named: bool


def _item_tiers(matches: pa.Table, index: Index) -> NDArray[np.int8]:
    item_tier = np.zeros(len(index.item_benchmark), dtype=np.int8)
    columns = (matches[name].to_pylist() for name in ("item", "group", "view", "supported", "tier"))
    surest: dict[_Found, int] = {}
    for item, group, view, supported, tier in zip(*columns, strict=True):
        is_named = finder_of(view) in (PROGRAM, SKELETON, PASSAGE) or (supported and index.component[group] == QUESTION)
        found = _Found(item=item, group=group, is_named=bool(is_named))
        surest[found] = max(tier, surest.get(found, CLEAN))
    for found, tier in surest.items():
        np.maximum.at(item_tier, _meant(found, index), np.int8(tier))
    return item_tier


def _meant(found: _Found, index: Index) -> Int:
    """The items that this may be about: all of the benchmark that share the text, less those with other options where
    the item's own name it."""
    shared = index.items[found.group]
    alike: Int = shared[index.item_benchmark[shared] == index.item_benchmark[found.item]]
    if not found.is_named:
        return alike
    own = _asked(found.item, index)
    return np.array([item for item in alike.tolist() if _asked(item, index) == own], dtype=np.int64)


def _asked(item: int, index: Index) -> tuple[int, list[list[int]]]:
    """An item's question and the words of its options, which tell it from others; those of an answer do not."""
    return index.question_of(item), [
        index.choices.words[choice].tolist() for choice in index.choices.of_item[item].tolist()
    ]


def _table(found: pa.Table, batch: Batch, index: Index) -> pa.Table:
    """What was found (FOUND_SCHEMA) under the names that others read (MATCH_SCHEMA)."""
    sample, item = found["sample"].to_numpy(), found["item"].to_numpy()
    benchmarks = [index.benchmarks[number] for number in index.item_benchmark[item].tolist()]
    rows = index.item_row[item].tolist()
    segments = read_segments(batch, np.unique(sample).tolist())
    passages = zip(sample.tolist(), *(found[name].to_pylist() for name in ("sample_start", "sample_end")), strict=True)
    columns = {
        "segment": [place(segments.get(k, ()), start, end) for k, start, end in passages],
        "sample_id": batch.sample_id.take(pa.array(sample)),
        "row": batch.row[sample],
        "benchmark": [benchmark.name for benchmark in benchmarks],
        "item_id": [b.items["item_id"][row].as_py() for b, row in zip(benchmarks, rows, strict=True)],
        "component": [COMPONENTS[kind] for kind in index.component[found["group"].to_numpy()].tolist()],
        "tier": [TIERS[tier] for tier in found["tier"].to_pylist()],
        "leak_kind": ["input+answer" if answered else "input" for answered in found["answered"].to_pylist()],
    }
    return pa.table(
        [columns.get(name, found[name] if name in found.column_names else None) for name in MATCH_SCHEMA.names],
        schema=MATCH_SCHEMA,
    )


def _roll_up(
    found: pa.Table, index: Index, detectability: Detectability, item_tier: NDArray[np.int8]
) -> Iterator[BenchmarkResult]:
    samples, items, tiers = (found[name].to_numpy() for name in ("sample", "item", "tier"))
    for number, benchmark in enumerate(index.benchmarks):
        own, mine = index.item_benchmark[items] == number, index.item_benchmark == number
        item_tiers, row_tiers = _worst(items[own], tiers[own]), _worst(samples[own], tiers[own])
        yield BenchmarkResult(
            name=benchmark.name,
            sha256=benchmark.sha256,
            items=benchmark.items.num_rows,
            detectable_items=int(detectability.detectable[mine].sum()),
            detectability=detectability.by_form(index, number),
            detectability_disguised=detectability.disguised[number],
            clean_items=int((item_tier[mine] == CLEAN).sum()),
            **{f"{name}_items": item_tiers.count(name) for name in TIERS[1:]},
            **{f"{name}_rows": row_tiers.count(name) for name in TIERS[3:]},
        )


def _roll_up_shards(found: pa.Table, batch: Batch, index: Index) -> Iterator[ShardResult]:
    """Matches are in the order of the batch, so each file's are a slice."""
    samples, items, tiers = (found[name].to_numpy() for name in ("sample", "item", "tier"))
    ends = np.cumsum(batch.file_rows)
    edges = [0, *np.searchsorted(batch.row[samples], ends).tolist()]
    for name, rows, part in zip(batch.file_names, batch.file_rows, map(slice, edges, edges[1:]), strict=False):
        benchmark = index.item_benchmark[items[part]]
        of_benchmark = {
            index.benchmarks[number].name: _count(samples[part], items[part], tiers[part], benchmark == number)
            for number in np.unique(benchmark).tolist()
        }
        every = np.ones(len(benchmark), dtype=bool)
        counts = _count(samples[part], items[part], tiers[part], every)
        yield ShardResult(name=name, rows=rows, counts=counts, benchmarks=of_benchmark)


def _count(samples: Int, items: Int, tiers: Int, chosen: NDArray[np.bool_]) -> Counts:
    item_tiers, row_tiers = _worst(items[chosen], tiers[chosen]), _worst(samples[chosen], tiers[chosen])
    return Counts(
        confirmed_items=item_tiers.count("confirmed"),
        suspected_items=item_tiers.count("suspected"),
        confirmed_rows=row_tiers.count("confirmed"),
        suspected_rows=row_tiers.count("suspected"),
    )


def _worst(keys: Int, tiers: Int) -> list[str]:
    """The worst tier of each distinct key, by name."""
    distinct, place = np.unique(keys, return_inverse=True)
    worst = np.zeros(len(distinct), dtype=np.int64)
    np.maximum.at(worst, place, tiers)
    return [TIERS[tier] for tier in worst.tolist()]


def write_matches(path: Path, matches: pa.Table) -> None:
    """Writes matches.parquet, whole or not at all, without the `sample` column."""
    write_table(path, matches.drop_columns(["sample"]))


def clean_table(benchmarks: Sequence[Benchmark], contamination: Contamination) -> pa.Table:
    """Every item of every benchmark with its tier (CLEAN_SCHEMA), so that a score can be told for the clean ones."""
    names = [benchmark.name for benchmark in benchmarks for _ in range(benchmark.items.num_rows)]
    ids = [item_id for benchmark in benchmarks for item_id in benchmark.items["item_id"].to_pylist()]
    tiers = [TIERS[tier] for tier in contamination.item_tier.tolist()]
    return pa.table({"benchmark": names, "item_id": ids, "tier": tiers}, schema=CLEAN_SCHEMA)


def write_clean(path: Path, benchmarks: Sequence[Benchmark], contamination: Contamination) -> None:
    """Writes clean_items.parquet, whole or not at all."""
    write_table(path, clean_table(benchmarks, contamination))


def read_matches(path: Path) -> pa.Table:
    """Reads what `write_matches` wrote. Raises AuditError in one line when it cannot."""
    try:
        return read_table(path, schema=pa.schema([field for field in MATCH_SCHEMA if field.name != "sample"]))
    except (OSError, pa.ArrowException) as error:
        raise AuditError(f"{safe_inline(str(path), 160)}: cannot read: {safe_inline(str(error), 160)}") from error
