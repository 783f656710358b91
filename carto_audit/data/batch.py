"""A batch: one vendor delivery. Reading it costs one streaming pass; every row ends as a sample or as a named skip."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from carto_audit.data import shards
from carto_audit.data.columns import Census, Column, unread_columns
from carto_audit.data.delivery import Delivery
from carto_audit.data.formats.opened import AS_FOUND, Reading
from carto_audit.data.hub_layout import HubChoice
from carto_audit.data.layouts import BETWEEN, Layout, find_layout, listed, of_columns, plain
from carto_audit.data.readers import column_types, how_written, name_of
from carto_audit.data.skips import Examined, Skipped, count_reasons, examine, readable, skipped_rows
from carto_audit.data.values import first_rows, holds_text
from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.runtime.files import told
from carto_audit.runtime.limits import WAY_OUT, Limits
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.runtime.sealed_path import LIMITS, SealedPath, check_seals, seal_all
from carto_audit.text.untrusted import encodable, safe_inline

PEEKED_ROWS, PEEKED_SHARDS = 256, 16
"""Rows that tell where the text lies, and shards that are looked into where a column of the first holds nothing."""

CHUNK_BYTES, CHUNK_SAMPLES = 8 << 20, 1 << 16
"""Of a chunk of texts. Its hashes and signatures take up to a kilobyte a sample, however short the sample is."""

LARGE_FILE = 1 << 18
"""A file of so many bytes shares no chunk with others, so that its chunks are the same in every delivery that holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a delivery holds. Arrays are aligned with `sample_id`: one entry per row with usable text, in file order.

    `trainable` is False for samples that are over-long, not all UTF-8, have a key twice, or no text but something beside it:
    duplicates and contamination see what they say. `file_names` are relative to the folder that all files share, `file_rows` how
    many rows each has.
    """

    delivery: Delivery
    paths: tuple[SealedPath, ...]
    """The files of the delivery that are read: in every pass the bytes of `digests`, or AuditError."""
    digests: tuple[str, ...]
    """Hex sha256 of each file, aligned with `paths`."""
    file_names: tuple[str, ...]
    file_rows: tuple[int, ...]
    sha256: str
    """Of the whole batch: see `batch_sha256`."""
    reading: Reading
    """What was said of how its text files are to be read."""
    choice: HubChoice | None
    """What of data set folders was chosen; None where everything is read."""
    written: tuple[str, ...]
    """How each file is written where that is not as usual for its format, as `how_written` says it; aligned with `paths`."""
    layout: Layout
    unread: tuple[Column, ...]
    """Columns with text that no stage reads."""
    unseen: tuple[str, ...]
    """All columns that no stage reads, numbers included."""
    id_column: str | None
    rows: int
    sample_id: pa.LargeStringArray
    row: NDArray[np.int64]
    n_bytes: NDArray[np.int64]
    trainable: NDArray[np.bool_]
    skipped: tuple[Skipped, ...]
    lost_bytes: int
    """Of text that is not UTF-8, which nobody can read."""

    def __len__(self) -> int:
        return len(self.row)

    @property
    def unread_text_share(self) -> float:
        """Of all bytes of text, those in columns that are not read, labels left out, and those that are not UTF-8."""
        unread = self.lost_bytes + sum(column.unread_bytes for column in self.unread)
        return unread / max(1, unread + int(self.n_bytes.sum()))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the files alone, aligned with `paths`."""
        return tuple(told(path).rpartition("/")[2] for path in self.paths)

    @property
    def text_column(self) -> str:
        """What is read of each row: a column, or several as `prompt + completion`."""
        return self.layout.title


@dataclass(frozen=True, slots=True, kw_only=True)
class TextChunk:
    """Consecutive samples: `texts[k]` belongs to sample `start + k`, and `labels[k]` is what its row says beside it, where that
    was asked for."""

    start: int
    texts: list[str]
    labels: list[str] = field(default_factory=list)

    @property
    def whole(self) -> list[str]:
        """The texts, each with its labels behind it."""
        labels = self.labels or [""] * len(self.texts)
        return [f"{text}{BETWEEN}{said}" if said else text for text, said in zip(self.texts, labels, strict=True)]


def read_batch(
    inputs: Sequence[str | Path],
    *,
    text_column: str | None = None,
    layout: str | Layout | None = None,
    id_column: str | None = None,
    reading: Reading = AS_FOUND,
    choice: HubChoice | None = None,
    apart: Path | None = None,
    limits: Limits = LIMITS,
    progress: Progress = SILENT,
) -> Batch:
    """Reads files, folders and globs of shards once, and says of every row whether its text can be used. What lies below
    `apart` is not of the delivery.

    Raises UsageError for a path or column that does not exist, AuditError for unreadable files, repeated ids and
    batches without a single usable text. `choice` leaves the rest of data set folders unread.
    """
    delivery = shards.find_shards(inputs, reading=reading, choice=choice, apart=apart)
    parts: list[Examined] = []
    census = Census()
    counts: list[int] = []
    n_bytes = 0
    with progress.task("Reading the batch", unit="rows") as advance:
        paths = seal_all(delivery.paths, limits)
        written = tuple(how_written(path, reading) for path in paths)
        _say_how(paths, written, progress)
        found, id_column = _find_columns(paths, text_column, layout, id_column, reading)
        for path in paths:
            counts.append(0)
            for rows in shards.read_rows(path, found, id_column, census, reading):
                parts.append(examine(rows))
                counts[-1] += len(rows.text)
                n_bytes += rows.text.nbytes
                _check_limits(paths, limits, sum(counts), n_bytes)
                advance(len(rows.text))
        check_seals(paths)
    if sum(counts) == 0:
        raise AuditError(f"{_describe(paths)}: zero rows: nothing to audit")
    reason = np.concatenate([part.reason for part in parts])
    usable, sizes, lost = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("is_sample", "n_bytes", "lost_bytes")
    )
    if not (reason == 0).any():
        raise AuditError(f"{_describe(paths)}: no usable text in {len(reason)} rows: {count_reasons(reason)}")
    row = np.flatnonzero(usable).astype(np.int64)
    digests = tuple(path.seal.sha256 for path in paths if path.seal)
    names = _names(paths)
    ids = _given_ids(parts) if id_column else _made_ids(names, counts)
    if id_column:
        _check_ids(ids, id_column)
    return Batch(
        delivery=delivery,
        paths=paths,
        digests=digests,
        sha256=batch_sha256(digests),
        file_names=names,
        file_rows=tuple(counts),
        reading=reading,
        choice=choice,
        written=written,
        layout=found,
        unread=unread_columns(census),
        unseen=census.names,
        id_column=id_column,
        rows=len(reason),
        sample_id=ids.take(pa.array(row)),
        row=row,
        n_bytes=sizes[usable],
        trainable=reason[usable] == 0,
        skipped=skipped_rows(reason),
        lost_bytes=int(lost.sum()),
    )


def iter_texts(
    batch: Batch, progress: Progress = SILENT, label: str = "Reading texts", *, beside: bool = False
) -> Iterator[TextChunk]:
    """Streams the samples' texts in order, in chunks of at most about 8 MB (or one sample) and CHUNK_SAMPLES samples; a file of
    LARGE_FILE bytes begins and ends one.

    With `beside`, chunks hold what the rows say in columns that are not read. Raises AuditError when the files changed since
    `read_batch`.
    """
    row, sample = 0, 0
    pending: list[str] = []
    apart: list[str] = []
    n_bytes = 0

    def cut() -> Iterator[TextChunk]:
        nonlocal pending, apart, n_bytes
        if pending:
            yield TextChunk(start=sample - len(pending), texts=pending, labels=apart)
            advance(len(pending))
            pending, apart, n_bytes = [], [], 0

    check_seals(batch.paths)
    with progress.task(label, len(batch), "samples") as advance:
        for path in batch.paths:
            is_large = path.stat().st_size >= LARGE_FILE
            yield from cut() if is_large else ()
            for rows in shards.read_rows(path, batch.layout, None, reading=batch.reading, beside=beside):
                for value, labels in zip(rows.text, rows.beside or repeat(None), strict=False):
                    if sample < len(batch) and batch.row[sample] == row:
                        pending.append(
                            _decode(value, path) if batch.trainable[sample] else readable(value.as_py() or b"")
                        )
                        apart += [readable(labels.as_py() or b"")] if labels is not None else [""] * beside
                        n_bytes += int(batch.n_bytes[sample])
                        sample += 1
                        if n_bytes >= CHUNK_BYTES or len(pending) == CHUNK_SAMPLES:
                            yield from cut()
                    row += 1
            yield from cut() if is_large else ()
        yield from cut()
    check_seals(batch.paths)
    if row != batch.rows or sample != len(batch):
        raise AuditError(f"{_describe(batch.paths)}: the files changed while they were audited; run again")


def read_texts(batch: Batch, indices: Sequence[int], *, beside: bool = False) -> dict[int, str]:
    """The texts of a few samples, by sample index, with what their rows say `beside` them. Costs one streaming pass."""
    wanted = set(indices)
    found: dict[int, str] = {}
    for chunk in iter_texts(batch, beside=beside) if wanted else ():
        for index in wanted.intersection(range(chunk.start, chunk.start + len(chunk.texts))):
            found[index] = chunk.whole[index - chunk.start]
    return found


def read_field(batch: Batch, column: str) -> pa.LargeStringArray:
    """What a column says of each sample, (N,), as text; null where it says nothing. Costs a pass over the files.

    Raises AuditError in one line where a file has no such column, or one that is neither text nor numbers."""
    parts: list[pa.LargeStringArray] = []
    for path in batch.paths:
        if column not in column_types(path, batch.reading):
            raise AuditError(f'{name_of(path)}: no column "{safe_inline(column, 40)}"')
        parts += [rows.ids for rows in shards.read_rows(path, batch.layout, column, reading=batch.reading)]
    return pa.chunked_array(parts, pa.large_string()).combine_chunks().take(pa.array(batch.row))


def _decode(value: pa.Scalar, path: Path) -> str:
    try:
        return bytes(value.as_buffer()).decode("utf-8")
    except (UnicodeDecodeError, TypeError) as error:
        raise AuditError(f"{name_of(path)}: the file changed while it was audited; run again") from error


def _check_limits(paths: Sequence[Path], limits: Limits, rows: int, n_bytes: int) -> None:
    for name, found, most in (("rows", rows, limits.rows), ("text_bytes", n_bytes, limits.text_bytes)):
        if found > most:
            words = f"more than {most:,} {name.replace('_', ' ')}, which is limits.{name}"
            raise AuditError(f"{_describe(paths)}: {words}; {WAY_OUT}")


def _describe(paths: Sequence[Path]) -> str:
    return name_of(paths[0]) if len(paths) == 1 else f"{name_of(paths[0])} and {len(paths) - 1} more"


def _say_how(paths: Sequence[Path], written: tuple[str, ...], progress: Progress) -> None:
    """Tells of the first file that is written in each unusual way."""
    for how in dict.fromkeys(filter(None, written)):
        same = [path for path, other in zip(paths, written, strict=True) if other == how]
        progress.note(f"{_describe(tuple(same))}: read as {how}")


def _find_columns(
    paths: Sequence[Path], text: str | None, layout: str | Layout | None, ids: str | None, reading: Reading
) -> tuple[Layout, str | None]:
    """The layout and the id column, the same in every shard."""
    first = column_types(paths[0], reading)
    if not first:
        raise AuditError(f"{name_of(paths[0])}: zero rows or no columns: nothing to audit")
    if text is not None and layout is not None:
        raise UsageError(f"give {option('layout')} or {option('text_column')}, not both")
    if isinstance(layout, Layout):
        found = layout
    elif text:
        found = _given_columns(text, first, paths[0], reading)
    else:
        found = find_layout(name_of(paths[0]), _peeked(paths, reading), layout)
    for path in paths:
        columns = first if path == paths[0] else column_types(path, reading)
        for name in (*found.sources(columns), *([ids] if ids else [])):
            if name not in columns:
                raise UsageError(f'{name_of(path)}: no column "{safe_inline(name, 40)}"; it has: {listed(columns)}')
        if found.is_plain and not holds_text(columns[found.columns[0]]):
            shown = safe_inline(found.columns[0], 40)
            raise UsageError(f'{name_of(path)}: column "{shown}" is {columns[found.columns[0]]}, not text')
    return found, ids


def _peeked(paths: Sequence[Path], reading: Reading) -> list[dict[str, Any]]:
    """The first rows of the first shard that has any, and of some more as long as one of its columns holds nothing."""
    found: list[dict[str, Any]] = []
    silent: set[str] = set()
    for path in paths[:PEEKED_SHARDS] if len(paths) > 1 else paths:
        rows = first_rows(path, PEEKED_ROWS, reading)
        columns = found[0] if found else dict.fromkeys(name for row in rows for name in row)
        found += [{name: value for name, value in row.items() if name in columns} for row in rows]
        silent = {name for name in columns if all(row.get(name) is None for row in found)}
        if found and not silent:
            break
    if found:
        return found
    raise AuditError(f"{_describe(paths)}: zero rows: nothing to audit")


def _given_columns(text: str, columns: dict[str, pa.DataType], path: Path, reading: Reading) -> Layout:
    """What a user names: a column of text, one that holds more than strings, or several with commas between them."""
    names = [text] if text in columns else [name.strip() for name in text.split(",") if name.strip()]
    if len(names) > 1 or (names[0] not in columns and "." in names[0]):
        return of_columns(names)
    values = [row.get(names[0]) for row in first_rows(path, PEEKED_ROWS, reading)]
    return of_columns(names) if any(isinstance(value, list | dict) for value in values) else plain(names[0])


def _given_ids(parts: list[Examined]) -> pa.LargeStringArray:
    return pa.chunked_array([part.ids for part in parts], pa.large_string()).combine_chunks()


def _check_ids(ids: pa.LargeStringArray, column: str) -> None:
    if ids.null_count:
        raise AuditError(
            f'column "{safe_inline(column, 40)}": {ids.null_count} rows have no id; drop {option("id_column")} or fill them'
        )
    if pc.count_distinct(ids).as_py() != len(ids):
        counted = pc.value_counts(ids)
        repeated = counted.filter(pc.greater(counted.field("counts"), 1))
        example = safe_inline(str(repeated.field("values")[0]), 60)
        raise AuditError(
            f'column "{safe_inline(column, 40)}": {len(repeated)} ids repeat, for example "{example}"; '
            f"an id must name one row; drop {option('id_column')} to number the rows"
        )


def _names(paths: Sequence[Path]) -> tuple[str, ...]:
    """Each file's name relative to the folder that all files share."""
    parts = [told(path.absolute()).split("/") for path in paths]
    folder, last = (one(name[:-1] for name in parts) for one in (min, max))
    shared = next((k for k, pair in enumerate(zip(folder, last, strict=False)) if pair[0] != pair[1]), len(folder))
    return tuple(encodable("/".join(name[shared:])) for name in parts)


def _made_ids(names: tuple[str, ...], counts: list[int]) -> pa.LargeStringArray:
    """`<file>:<row in file>`."""
    made = []
    for name, count in zip(names, counts, strict=True):
        numbers = pa.array(np.arange(count)).cast(pa.large_string())
        made.append(
            pc.binary_join_element_wise(
                pa.scalar(name + ":", pa.large_string()), numbers, pa.scalar("", pa.large_string())
            )
        )
    return pa.chunked_array(made, pa.large_string()).combine_chunks()


def batch_sha256(digests: Sequence[str]) -> str:
    """One file: its own sha256. Several: the sha256 of their hex digests, one per line, in order."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def name_samples(batch: Batch, start: int, count: int) -> str:
    """Consecutive samples in a line of an error: the file that the first lies in, and their rows there, counted from 1."""
    first, last = int(batch.row[start]), int(batch.row[start + count - 1])
    ends = np.cumsum(batch.file_rows)
    file = int(np.searchsorted(ends, first, side="right"))
    before = int(ends[file]) - batch.file_rows[file]
    until = f" to {last - before + 1:,}" if last < ends[file] else " on, and files behind it"
    return f"{safe_inline(batch.file_names[file], 160)}, rows {first - before + 1:,}{until}"
