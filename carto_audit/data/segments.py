"""Segments: the parts of a batch's samples, read again by layout; nothing that only a few samples need is kept."""

from collections.abc import Iterable, Iterator

from carto_audit.data.batch import Batch
from carto_audit.data.formats.turns import Row
from carto_audit.data.layouts import Segment
from carto_audit.data.readers import column_types
from carto_audit.data.values import read_values
from carto_audit.runtime.sealed_path import check_seals


def read_segments(batch: Batch, indices: Iterable[int]) -> dict[int, tuple[Segment, ...]]:
    """The parts of a few samples' texts, by sample index; none where a text is one column's string. Costs a streaming pass."""
    rows = {} if batch.layout.is_plain else read_values_of(batch, indices)
    return {index: batch.layout.segments(row)[1] for index, row in rows.items()}


def read_values_of(batch: Batch, indices: Iterable[int]) -> dict[int, Row]:
    """What is read of a few samples' rows, by sample index and column. Costs a streaming pass."""
    wanted = set(indices)
    return {index: row for index, row in enumerate(_sample_rows(batch)) if index in wanted} if wanted else {}


def iter_learned(batch: Batch) -> Iterator[tuple[tuple[int, int], ...]]:
    """Of each sample, in order, the characters [start, end) of its text on which trainers take a loss. Streams."""
    for row in _sample_rows(batch):
        yield tuple((part.start, part.end) for part in batch.layout.segments(row)[1] if part.learned)


def _sample_rows(batch: Batch) -> Iterator[Row]:
    """The rows of the samples, in order. Raises AuditError when the files changed since `read_batch`."""
    number = sample = 0
    check_seals(batch.paths)
    for path in batch.paths:
        columns = list(batch.layout.sources(column_types(path, batch.reading)))
        for rows in read_values(path, columns, batch.reading):
            for row in rows:
                if sample < len(batch) and batch.row[sample] == number:
                    yield row
                    sample += 1
                number += 1
    check_seals(batch.paths)
