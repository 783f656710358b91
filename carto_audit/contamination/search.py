"""Search: every sample compared with the index, shard by shard, on all cores. Memory is the index, and some shards per core.

A shard is a run of samples of about 8 MB, cut the same whatever the number of workers, so what is found is the same too.
"""

import hashlib
import json
import lzma
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from carto_audit.benchmarks.index import Index
from carto_audit.contamination.disguises.split_rows import last_rows
from carto_audit.contamination.exact_match import Match
from carto_audit.contamination.index_file import current_setting
from carto_audit.contamination.matching import ROWS, find_across
from carto_audit.contamination.tiers import SUSPECTED
from carto_audit.data.batch import Batch, TextChunk, iter_texts, name_samples
from carto_audit.data.delivery import OtherFile
from carto_audit.data.formats.opened import decompressed
from carto_audit.data.formats.side_files import LARGEST_DOCUMENT
from carto_audit.data.readers import column_types, is_typed, read_schema, text_beside_rows
from carto_audit.data.skips import readable
from carto_audit.engines.engine import LOCAL, Engine, choose_workers
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import read_regular, read_table, write_table
from carto_audit.runtime.progress import SILENT, Advance, Progress
from carto_audit.runtime.resume import open_kept, own_key

LONGEST_BINARY = 1 << 20
"""Bytes of a file beside the data that is no text, which are looked at: an image would take minutes, and says nothing."""

FOUND_SCHEMA = pa.schema(
    {
        "sample": pa.int64(),
        "item": pa.int64(),
        "group": pa.int64(),
        "tier": pa.int64(),
        "reason": pa.string(),
        "answered": pa.bool_(),
        "supported": pa.bool_(),
        "near_variant": pa.bool_(),
        "view": pa.string(),
        "containment": pa.float64(),
        "longest_run": pa.int64(),
        "minhash_estimate": pa.float64(),
        "sample_start": pa.int64(),
        "sample_end": pa.int64(),
        "item_start": pa.int64(),
        "item_end": pa.int64(),
    }
)
"""A row per match: see `Match`. Items, groups and tiers are numbers of the index, samples those of the batch."""

Find = Callable[[list[str], Index], list[Match]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """All matches of a batch (FOUND_SCHEMA), and how many of its samples an earlier run had searched."""

    matches: pa.Table
    reused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What every shard needs: the index, and how it is searched."""

    index: Index
    find: Find


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Consecutive samples, the short texts `before` them that may go on here, and the file where what was found is `kept`; None
    keeps nothing."""

    chunk: TextChunk
    before: tuple[str, ...]
    kept: Path | None

    @property
    def start(self) -> int:
        """The first sample."""
        return self.chunk.start

    @property
    def samples(self) -> int:
        """How many there are."""
        return len(self.chunk.texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one shard holds: its first sample, how many there are, the matches (FOUND_SCHEMA) by the samples of the shard, and
    where these are `kept`."""

    start: int
    samples: int
    matches: pa.Table
    kept: Path | None


def search_batch(
    batch: Batch,
    index: Index,
    find: Find,
    *,
    folder: Path | None = None,
    engine: Engine = LOCAL,
    progress: Progress = SILENT,
) -> Searched:
    """All matches of a batch, in its order, whatever the engine and the number of its workers.

    What was found in a shard is kept for every later run that meets the same texts with the same index: in this user's cache,
    or in `folder` where no home can be written. Without a folder nothing is kept. Raises AuditError
    when a worker dies again and again.
    """
    place = (open_kept("searched", [_identity(index)]) or folder / f"matches-{_identity(index)}") if folder else None
    search = Search(index=index, find=find)
    usual = choose_workers(int(batch.n_bytes.sum()))
    parts: dict[int, pa.Table] = {}
    with progress.task("Looking for benchmark items", len(batch), "samples") as advance:
        shards = _unfinished(batch, place, parts, advance)
        searched = 0
        named = partial(_named, batch)
        with closing(
            engine.map_shards(search_shard, search, shards, usual=usual, named=named, folder=folder)
        ) as results:
            for found in results:
                _keep(found)
                parts[found.start] = _placed(found.matches, found.start)
                advance(found.samples)
                searched += found.samples
    every = pa.concat_tables([FOUND_SCHEMA.empty_table(), *(parts[start] for start in sorted(parts))])
    return Searched(matches=_once(every), reused=len(batch) - searched)


def _once(found: pa.Table) -> pa.Table:
    """Matches in the order of the batch; what was found across rows is told once where two shards saw it, the surest."""
    sample, item, tier = (found[name].to_numpy() for name in ("sample", "item", "tier"))
    across = pc.equal(found["view"], ROWS).to_numpy()
    order = np.lexsort((across, -tier, item, sample))
    again = np.zeros(len(order), dtype=bool)
    again[order[1:]] = (np.diff(sample[order]) == 0) & (np.diff(item[order]) == 0)
    places = np.argsort(sample, kind="stable")
    return found.take(places[~(again & across)[places]])


def search_shard(search: Search, shard: Shard) -> Findings:
    """Looks for every item in one shard, and across its short rows."""
    own = search.find(shard.chunk.whole, search.index)
    matches = found_table([*own, *_across(shard, own, search.index)])
    return Findings(start=shard.start, samples=shard.samples, matches=matches, kept=shard.kept)


def _keep(found: Findings) -> None:
    """Whole or not at all, and by who asked: a worker on another machine has another home."""
    if found.kept:
        write_table(found.kept, found.matches)


def _named(batch: Batch, shard: Shard) -> str:
    return name_samples(batch, shard.start, shard.samples)


def _across(shard: Shard, own: list[Match], index: Index) -> list[Match]:
    """What stands across short texts; those before the shard have rows below 0."""
    n_before = len(shard.before)
    known = [replace(match, row=match.row + n_before) for match in own]
    found = find_across([*shard.before, *shard.chunk.texts], known, index, n_before)
    return [replace(match, row=match.row - n_before) for match in found]


def _placed(matches: pa.Table, start: int) -> pa.Table:
    """Matches whose samples count from sample `start`, as those of the batch."""
    return matches.set_column(0, FOUND_SCHEMA.field(0), pc.add(matches["sample"], start))


def found_table(matches: list[Match]) -> pa.Table:
    """Matches as a table (FOUND_SCHEMA), by the samples of their shard."""
    spans = ("sample_start", "sample_end", "item_start", "item_end")
    plain = [name for name in FOUND_SCHEMA.names if name not in ("sample", *spans)]
    places = [(*match.sample_span, *match.item_span) for match in matches]
    columns = {
        "sample": [match.row for match in matches],
        **{name: [getattr(match, name) for match in matches] for name in plain},
        **{name: [place[k] for place in places] for k, name in enumerate(spans)},
    }
    return pa.table({name: columns[name] for name in FOUND_SCHEMA.names}, schema=FOUND_SCHEMA)


def _unfinished(batch: Batch, folder: Path | None, parts: dict[int, pa.Table], advance: Advance) -> Iterator[Shard]:
    """The shards that are still to be searched; what an earlier run found in the others goes into `parts`."""
    before: tuple[str, ...] = ()
    key = own_key().encode()[:64]
    for chunk in iter_texts(batch, beside=True):
        path = folder / f"samples-{_digest(chunk, before, key)}.parquet" if folder else None
        shard = Shard(chunk=chunk, before=before, kept=path)
        before = last_rows([*before, *chunk.texts])
        kept = _read_kept(path) if path else None
        if kept is None:
            yield shard
        else:
            parts[shard.start] = _placed(kept, shard.start)
            advance(shard.samples)


def _digest(chunk: TextChunk, before: tuple[str, ...], key: bytes) -> str:
    """Of all that is searched in a shard, by a key of this user's, so that nobody can plant what was found in it."""
    state = hashlib.blake2b(key=key, digest_size=16)
    state.update(f"{len(before)} {len(chunk.texts)} ".encode())
    for text in (*before, *chunk.texts, *chunk.labels):
        data = text.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()


def _read_kept(path: Path) -> pa.Table | None:
    """What an earlier run found in a shard; None when it did not come so far, or left what cannot be read."""
    try:
        table = read_table(path)
        os.utime(path)
    except (OSError, pa.ArrowException):
        return None
    return table if table.schema.equals(FOUND_SCHEMA) else None


def _identity(index: Index) -> str:
    """Names the index by all that it is made of, so that nothing is continued that another one began."""
    digest = hashlib.sha256(json.dumps(current_setting(), sort_keys=True).encode())
    for benchmark in index.benchmarks:
        digest.update(json.dumps([benchmark.name, benchmark.sha256, benchmark.code]).encode())
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, benchmark.items.schema) as stream:
            stream.write_table(benchmark.items.combine_chunks())
        digest.update(sink.getvalue())
    return digest.hexdigest()[:16]


def search_beside(batch: Batch, index: Index, find: Find) -> Batch:
    """The batch, where a file beside the data that holds a benchmark item counts as data that went unread, and so do one that
    cannot be read any more, and what a file of rows says beside them: in a document, in names of columns, in its metadata."""
    found = {other.path for other in batch.delivery.beside if _holds_items(other, index, find)}
    delivery = batch.delivery.with_items(found)
    for path, sealed in zip(batch.delivery.paths, batch.paths, strict=True):
        said = (text_beside_rows(sealed, batch.reading), _names(sealed, batch))
        if any(_has_items(text, index, find) for text in said):
            delivery = delivery.with_items_beside_rows(path)
    return replace(batch, delivery=delivery)


def _holds_items(other: OtherFile, index: Index, find: Find) -> bool:
    try:
        data = _content(other)
    except (OSError, EOFError, ValueError, lzma.LZMAError, pa.ArrowException, AuditError):
        return True
    return len(data) > LARGEST_DOCUMENT or _has_items(readable(data), index, find)


def _content(other: OtherFile) -> bytes:
    """The bytes of a file, expanded where it is of a format that may be compressed; of one that is no text, the first of them."""
    if other.reason == "empty":
        with decompressed(other.path) as stream:
            data: bytes = stream.read(LARGEST_DOCUMENT + 1)
        return data
    data = read_regular(other.path, LARGEST_DOCUMENT, follow=True)
    return data[:LONGEST_BINARY] if b"\0" in data[:LONGEST_BINARY] else data


def _names(path: Path, batch: Batch) -> str:
    """The names of a file's columns, and what it says of itself."""
    said = list(column_types(path, batch.reading))
    metadata = read_schema(path, batch.reading).metadata if is_typed(path) else None
    return "\n".join([*said, *(readable(value) for value in (metadata or {}).values())])


def _has_items(text: str, index: Index, find: Find) -> bool:
    return bool(text) and any(match.tier >= SUSPECTED for match in find([text], index))
