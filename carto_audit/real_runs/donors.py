"""Donors: the first rows of a file, after which control rows are made: as lines of JSON, or as records of its own schema."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carto_audit.curation.division import is_plain_lines
from carto_audit.data.formats.json_rows import JSON_TEXT
from carto_audit.data.formats.opened import Reading
from carto_audit.data.formats.turns import Row
from carto_audit.data.layouts import Layout
from carto_audit.data.readers import column_types, read_json, read_records, read_schema
from carto_audit.data.values import decoded, holds_text, values_of
from carto_audit.real_runs.beside_values import Ids, beside_value, is_distinct
from carto_audit.real_runs.control_rows import ControlRow, learned_column, shared_systems

MOST_DONORS = 256

Made = tuple[int, ControlRow]
"""A control row and the number of its donor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Donors:
    """`rows` are what is read of the donors, `whole` are they themselves. `column` is where secrets go, `systems` are those that
    several rows share."""

    rows: tuple[Row, ...]
    whole: tuple[dict[str, Any], ...] | pa.RecordBatch
    column: str
    systems: frozenset[str]

    def __len__(self) -> int:
        return len(self.rows)


def read_donors(path: Path, reading: Reading, layout: Layout, usable: NDArray[np.bool_]) -> Donors:
    """The donors of a file: of its first rows those that are `usable`, (rows,). Raises AuditError when unreadable."""
    places = np.flatnonzero(usable[:MOST_DONORS]).tolist()
    whole: tuple[dict[str, Any], ...] | pa.RecordBatch
    if is_plain_lines(path, reading):
        lines = list(islice((row for rows in read_json(path, reading) for row in rows), MOST_DONORS))
        whole = tuple(lines[place] for place in places)
        names = list(layout.sources(column_types(path, reading)))
        rows = tuple({name: row.get(name) for name in names} for row in whole)
    else:
        schema = read_schema(path, reading)
        whole = _first_records(path, schema, reading, usable[:MOST_DONORS])
        names = list(layout.sources(schema.names))
        texts = {name for name in names if _is_json_text(schema.field(name))}
        rows = tuple(
            {name: _loaded(value) if name in texts else value for name, value in row.items()}
            for row in decoded(whole.select(names))
        )
    column = learned_column(layout, rows) if rows else ""
    return Donors(rows=rows, whole=whole, column=column, systems=shared_systems(layout, rows))


def _first_records(path: Path, schema: pa.Schema, reading: Reading, usable: NDArray[np.bool_]) -> pa.RecordBatch:
    """The first rows of a file that are usable. By slices, which can be made of every type."""
    found, start = [], 0
    for records in read_records(path, schema, reading):
        inside = np.flatnonzero(usable[start : start + records.num_rows]).tolist()
        found += [pa.record_batch(records.slice(row, 1).columns, schema=schema) for row in inside]
        start += records.num_rows
        if start >= len(usable):
            break
    table = pa.Table.from_batches(found, schema).unify_dictionaries().combine_chunks()
    return (table.to_batches() or [pa.RecordBatch.from_pylist([], schema)])[0]


def new_lines(
    donors: Donors, made: Sequence[Made], id_column: str | None, ids: Ids, rng: np.random.Generator
) -> list[bytes]:
    """Control rows as lines of JSON, each with the keys of its donor in their order and those that it needs besides."""
    whole = donors.whole if isinstance(donors.whole, tuple) else ()
    names = dict.fromkeys(name for row in whole for name in row)
    columns = {name: [row.get(name) for row in whole] for name in names}
    distinct = {name: is_distinct(values) for name, values in columns.items()}

    def value(name: str, donor: int, row: ControlRow) -> Any:
        if name in row.values:
            return row.values[name]
        if name == id_column:
            return ids.like(whole[donor][name])
        return beside_value(whole[donor][name], columns[name], distinct[name], rng)

    def names_of(donor: int, row: ControlRow) -> Iterator[str]:
        yield from whole[donor]
        yield from (name for name, said in row.values.items() if said and name not in whole[donor])

    return [
        json.dumps({name: value(name, donor, row) for name in names_of(donor, row)}, default=str).encode()
        for donor, row in made
    ]


def new_records(
    donors: Donors, made: Sequence[Made], id_column: str | None, ids: Ids, rng: np.random.Generator
) -> pa.RecordBatch:
    """Control rows as records of the schema of the file."""
    whole: pa.RecordBatch = donors.whole
    columns = []
    for field, column in zip(whole.schema, whole.columns, strict=True):
        if field.name == id_column:
            parts = [_one(ids.like(column[donor].as_py()), field) for donor, _ in made]
        elif made and field.name in made[0][1].values:
            parts = [_one(row.values[field.name], field) for _, row in made]
        else:
            parts = _beside(column, field, [donor for donor, _ in made], rng)
        columns.append(_joined(parts, field.type))
    return pa.record_batch(columns, schema=whole.schema)


def _is_json_text(field: pa.Field) -> bool:
    return bool(field.metadata and JSON_TEXT in field.metadata)


def _loaded(value: str | None) -> Any:
    return None if value is None else json.loads(value)


def _beside(column: pa.Array, field: pa.Field, chosen: Sequence[int], rng: np.random.Generator) -> list[pa.Array]:
    """Of every chosen donor a value that says nothing: numbers and times stay as they are, but for ids."""
    kind = field.type
    if pa.types.is_dictionary(kind) or not (holds_text(kind) or pa.types.is_nested(kind) or pa.types.is_integer(kind)):
        return [column.slice(donor, 1) for donor in chosen]
    values = [_loaded(value) for value in values_of(column)] if _is_json_text(field) else values_of(column)
    distinct = is_distinct(values)
    found = []
    for donor in chosen:
        made = beside_value(values[donor], values, distinct, rng)
        found.append(column.slice(donor, 1) if made == values[donor] else _one(made, field))
    return found


def _one(value: Any, field: pa.Field) -> pa.Array:
    """A column of one value; null where its type cannot hold it."""
    if _is_json_text(field):
        value = json.dumps(value, default=str)
    try:
        return pa.array([value], type=field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.nulls(1, field.type)


def _joined(parts: Sequence[pa.Array], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_dictionary(kind):
        return pa.concat_arrays(parts) if parts else pa.nulls(0, kind)
    joined = pa.chunked_array(parts, kind).unify_dictionaries().combine_chunks()
    return joined.chunk(0) if isinstance(joined, pa.ChunkedArray) else joined
