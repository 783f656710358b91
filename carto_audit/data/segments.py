"""Segments: the parts of a batch's samples, read again by layout; nothing that only a few samples need is kept."""

from collections.abc import Iterable, Iterator, Sequence

from carto_audit.data.batch import Batch
from carto_audit.data.columns import said_in, spoken_name
from carto_audit.data.formats.json_values import RepeatedKeys
from carto_audit.data.formats.turns import Row
from carto_audit.data.layouts import BETWEEN, Layout, Segment
from carto_audit.data.readers import column_types, reads_json
from carto_audit.data.skips import readable
from carto_audit.data.values import read_values
from carto_audit.runtime.sealed_path import check_seals


def read_segments(batch: Batch, indices: Iterable[int]) -> dict[int, tuple[Segment, ...]]:
    """The parts of a few samples' texts, by sample index, and behind them those of what a row says `beside` its text; a text that
    is one column's string has no part itself. Costs a streaming pass."""
    labels = sorted({column.name for column in batch.unread} | ({batch.id_column} if batch.id_column else set()))
    wanted = set(indices) if labels or not batch.layout.is_plain else set()
    rows = enumerate(_sample_rows(batch, labels)) if wanted else ()
    return {index: _parts(batch.layout, row, labels) for index, row in rows if index in wanted}


def _parts(layout: Layout, row: Row, labels: Sequence[str]) -> tuple[Segment, ...]:
    text, parts = layout.segments(row)
    if isinstance(row, RepeatedKeys):
        return ()
    cells = [(name, row.get(name)) for name in labels if name not in layout.sources(row)]
    start, beside = len(text) + len(BETWEEN), []
    for name, value in (*cells, *(() if layout.is_plain else layout.beside(row))):
        said = readable(b"\n".join(filter(None, (said_in(value), spoken_name(name)))))
        if said:
            end = start + len(said)
            beside.append(Segment(name=name, column=name, start=start, end=end, learned=False))
            start = end + 1
    return (*(() if layout.is_plain else parts), *beside)


def read_values_of(batch: Batch, indices: Iterable[int]) -> dict[int, Row]:
    """What is read of a few samples' rows, by sample index and column. Costs a streaming pass."""
    wanted = set(indices)
    return {index: row for index, row in enumerate(_sample_rows(batch, ())) if index in wanted} if wanted else {}


def iter_learned(batch: Batch) -> Iterator[tuple[tuple[int, int], ...]]:
    """Of each sample, in order, the characters [start, end) of its text on which trainers take a loss. Streams."""
    for row in _sample_rows(batch, ()):
        yield tuple((part.start, part.end) for part in batch.layout.segments(row)[1] if part.learned)


def _sample_rows(batch: Batch, besides: Sequence[str]) -> Iterator[Row]:
    """The rows of the samples, in order, the columns of the layout and some `besides`. Raises AuditError when the files changed
    since `read_batch`."""
    number = sample = 0
    check_seals(batch.paths)
    for path in batch.paths:
        types = column_types(path, batch.reading)
        known = besides if reads_json(path) else [name for name in besides if name in types]
        columns = list(dict.fromkeys([*batch.layout.sources(types), *known]))
        for rows in read_values(path, columns, batch.reading):
            for row in rows:
                if sample < len(batch) and batch.row[sample] == number:
                    yield row
                    sample += 1
                number += 1
    check_seals(batch.paths)
