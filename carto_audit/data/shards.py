"""Shards: the files of a batch, read as (text, id) columns. Never a whole shard in memory."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from carto_audit.data.columns import (
    Census,
    Lengths,
    cell_texts,
    files_apart,
    in_one,
    said_bytes,
    said_in,
    spoken_name,
    text_bytes,
)
from carto_audit.data.delivery import Delivery, find_delivery
from carto_audit.data.formats.json_rows import json_bytes
from carto_audit.data.formats.json_values import RepeatedKeys
from carto_audit.data.formats.opened import AS_FOUND, Reading
from carto_audit.data.formats.turns import Row
from carto_audit.data.hub_layout import HubChoice, chosen_files
from carto_audit.data.layouts import Layout
from carto_audit.data.readers import (
    bare_name,
    beside_rows,
    column_types,
    is_typed,
    name_of,
    one_line,
    read_columns,
    read_json,
    reads_json,
)
from carto_audit.data.values import decoded, may_hold_bytes, spelled_out
from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.text.untrusted import safe_inline


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRows:
    """Some consecutive rows of one shard: `text` as large_binary (not yet known to be UTF-8), `ids` as large_string.

    `repeated` tells JSON rows with a key twice, whose text is all that was delivered. `beside_bytes` counts what other columns
    say, 0 where nobody counts. `beside` is what the columns say that are
    not read, as large_binary; None where there are none, or it was not asked for.
    """

    text: pa.LargeBinaryArray
    ids: pa.LargeStringArray | None
    repeated: NDArray[np.bool_]
    beside_bytes: Lengths | int = 0
    beside: pa.LargeBinaryArray | None = None


def batch_name(first: str) -> str:
    """What to call a batch after the first of its inputs: a file without suffixes, or a folder; a glob is named by its folder."""
    path = Path(first)
    if any(c in path.name for c in "*?[") and not path.exists():
        path = path.parent
    name = path.resolve().name if path.is_dir() else bare_name(path)
    return name.lstrip(".") or "batch"


def expand_paths(inputs: Sequence[str | Path]) -> tuple[Path, ...]:
    """The data files behind files, folders and globs, as `find_delivery` finds them and with its errors."""
    return find_delivery(inputs).paths


def find_shards(
    inputs: Sequence[str | Path],
    *,
    reading: Reading = AS_FOUND,
    choice: HubChoice | None = None,
    apart: Path | None = None,
) -> Delivery:
    """The delivery behind the inputs, and of it what is read: of data set folders the `choice`, and no file of a folder or glob
    that is of another kind, as `files_apart` tells. Errors are those of `find_delivery` and `chosen_files`."""
    delivery = find_delivery(inputs, apart=apart)
    if choice is not None:
        delivery = delivery.without(_not_chosen(inputs, delivery, choice), "not_chosen")
    if len(delivery.paths) < 2:
        return delivery
    columns = [_columns_of(path, reading) for path in delivery.paths]
    beside = [place for place in files_apart(columns, delivery.sizes) if not delivery.given[place]]
    return delivery.without(beside, "other_columns")


def _not_chosen(inputs: Sequence[str | Path], delivery: Delivery, choice: HubChoice) -> set[int]:
    """The files of the folders that are not of the choice. Raises UsageError where something else than a folder was given."""
    left = set(range(len(delivery.paths)))
    for folder in map(Path, inputs):
        if not folder.is_dir():
            flags = f"{option('config')} and {option('split')}"
            raise UsageError(f"{name_of(folder)}: {flags} choose from a data set folder, and this is none")
        names = {
            path.relative_to(folder).as_posix(): place
            for place, path in enumerate(delivery.paths)
            if path.is_relative_to(folder)
        }
        left -= {names[name] for name in chosen_files(folder, names, choice) if name in names}
    return left


def _columns_of(path: Path, reading: Reading) -> frozenset[str] | None:
    """The columns of a file, None where they cannot be told: reading it says what is wrong."""
    try:
        return frozenset(column_types(path, reading))
    except AuditError:
        return None


def read_rows(
    path: Path,
    layout: Layout,
    id_column: str | None,
    census: Census | None = None,
    reading: Reading = AS_FOUND,
    *,
    beside: bool = False,
) -> Iterator[ShardRows]:
    """Streams one shard's texts and ids, and what lies in all other columns where it is asked for; it is counted where a `census`
    is given. Raises AuditError in one line when the file is truncated or not what it claims."""
    types = column_types(path, reading)
    columns = list(dict.fromkeys([*layout.sources(types), *([id_column] if id_column else [])]))
    if census is not None:
        census.add({name: np.array([length]) for name, length in beside_rows(path, reading).items()})
    if reads_json(path):
        yield from _json_rows(path, layout, id_column, columns, census, reading, beside)
        return
    others = sorted(name for name, kind in types.items() if name not in columns and may_hold_bytes(kind))
    others = others if beside or census is not None else []
    if census is not None:
        census.silent.update(types.keys() - {*columns, *others})
    for rows in read_columns(path, [*columns, *others], reading):
        with one_line(path):
            counted = 0 if census is None else census.add({name: text_bytes(rows.column(name)) for name in others})
            read = [] if layout.is_plain else decoded(rows.select(columns))
            inside = 0 if census is None or layout.is_plain else _count_inside(layout, read, census)
            text = _as_binary(rows.column(layout.columns[0])) if layout.is_plain else _written(layout, read)
            apart = [cell_texts(rows.column(name)) for name in others] if beside else []
            apart += [_cells_inside(layout, read)] if beside and read else []
        ids = None if id_column is None else _as_ids(path, id_column, rows.column(id_column))
        yield ShardRows(
            text=text,
            ids=ids,
            repeated=np.zeros(len(text), dtype=np.bool_),
            beside_bytes=counted + inside + _id_bytes(ids),
            beside=in_one(apart) if apart else None,
        )


def _json_rows(
    path: Path,
    layout: Layout,
    id_column: str | None,
    columns: Sequence[str],
    census: Census | None,
    reading: Reading,
    beside: bool,
) -> Iterator[ShardRows]:
    for rows in read_json(path, reading):
        counted: Lengths | int = 0
        inside: Lengths | int = 0
        if census is not None:
            counted = census.add_rows(_beside_bytes(row, columns) for row in rows)
            inside = 0 if layout.is_plain else _count_inside(layout, rows, census)
        if layout.is_plain:
            text = pa.array([_plain_text(row, layout.columns[0]) for row in rows], pa.large_binary())
        else:
            text = _written(layout, rows)
        ids = pa.array([json_bytes(row.get(id_column)) for row in rows], pa.large_binary()) if id_column else None
        named = _as_ids(path, id_column, ids) if id_column else None
        yield ShardRows(
            text=text,
            ids=named,
            beside_bytes=counted + inside + _id_bytes(named),
            repeated=np.array([isinstance(row, RepeatedKeys) for row in rows], dtype=np.bool_),
            beside=_apart(rows, layout, columns) if beside else None,
        )


def _beside_bytes(row: Row, columns: Collection[str]) -> dict[str, int]:
    return {name: said_bytes(value) + len(spoken_name(name)) for name, value in row.items() if name not in columns}


def _plain_text(row: Row, column: str) -> bytes | None:
    return json_bytes(row.written if isinstance(row, RepeatedKeys) else row.get(column))


def _apart(rows: Sequence[Row], layout: Layout, columns: Collection[str]) -> pa.LargeBinaryArray | None:
    """What the rows say in columns that are not read, and in objects that are read in part; of rows with a key twice nothing, for
    all of that is their text."""
    once = [{} if isinstance(row, RepeatedKeys) else row for row in rows]
    cells = [
        [part for name in sorted(row) if name not in columns for part in (said_in(row[name]), spoken_name(name))]
        for row in once
    ]
    inside = [] if layout.is_plain else [_cells_inside(layout, once)]
    return in_one([pa.array([b"\n".join(filter(None, row)) for row in cells], pa.large_binary()), *inside])


def _cells_inside(layout: Layout, rows: Sequence[Row]) -> pa.LargeBinaryArray:
    """What objects say that are read in part, beside what is read of them."""
    return pa.array([said_in([value for _, value in layout.beside(row)]) for row in rows], pa.large_binary())


def _id_bytes(ids: pa.LargeStringArray | None) -> Lengths | int:
    if ids is None:
        return 0
    found: Lengths = pc.fill_null(pc.binary_length(ids), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _count_inside(layout: Layout, rows: Sequence[Row], census: Census) -> Lengths | int:
    """Counts what lies in objects that are read in part, beside what is read of them."""
    return census.add_rows({name: said_bytes(value) for name, value in layout.beside(row)} for row in rows)


def _written(layout: Layout, rows: Sequence[Row]) -> pa.LargeBinaryArray:
    """Rows whose text is spread over columns, as one text each."""
    texts = [layout.segments(row)[0].encode("utf-8", "surrogatepass") or None for row in rows]
    return pa.array(texts, pa.large_binary())


def _as_binary(column: pa.Array) -> pa.LargeBinaryArray:
    column = spelled_out(column)
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), pa.large_binary())
    return column.cast(pa.large_binary())


def _as_ids(path: Path, name: str, column: pa.Array) -> pa.LargeStringArray:
    column = spelled_out(column)
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    try:
        if is_typed(path) and _holds_bytes(column.type):
            return _ids_of_bytes(column)
        # Through binary, because Arrow takes it on trust that a string column holds UTF-8.
        return column.cast(pa.large_string()).cast(pa.large_binary()).cast(pa.large_string())
    except pa.ArrowException as error:
        where = f'{name_of(path)}: column "{safe_inline(name, 40)}"'
        detail = safe_inline(str(error), 120)
        raise AuditError(
            f"{where}: cannot serve as ids ({detail}); drop {option('id_column')} or name another"
        ) from error


def _holds_bytes(kind: pa.DataType) -> bool:
    tests = (pa.types.is_fixed_size_binary, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(test(kind) for test in tests)


def _ids_of_bytes(column: pa.Array) -> pa.LargeStringArray:
    """Ids that were delivered as bytes, in hexadecimal digits; of any length, text that can be printed stays as it is."""
    fixed = pa.types.is_fixed_size_binary(column.type)
    ids = [None if value is None else value.hex() if fixed else _text_or_hex(value) for value in column.to_pylist()]
    return pa.array(ids, pa.large_string())


def _text_or_hex(value: bytes) -> str:
    text = value.decode("utf-8", "replace")
    return text if text.isprintable() and "\ufffd" not in text else value.hex()
