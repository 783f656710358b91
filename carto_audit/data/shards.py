"""Shards: the files of a batch, read as (text, id) columns. Never a whole shard in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from carto_audit.data.delivery import find_delivery
from carto_audit.data.readers import bare_name, name_of, one_line, read_columns
from carto_audit.runtime.errors import AuditError, option
from carto_audit.text.untrusted import safe_inline


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRows:
    """Some consecutive rows of one shard: `text` as large_binary (not yet known to be UTF-8), `ids` as large_string."""

    text: pa.LargeBinaryArray
    ids: pa.LargeStringArray | None


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


def read_rows(path: Path, text_column: str, id_column: str | None) -> Iterator[ShardRows]:
    """Streams one shard's two columns. Raises AuditError in one line when the file is truncated or not what it claims."""
    columns = [text_column] if id_column is None else list(dict.fromkeys([text_column, id_column]))
    with one_line(path):
        for rows in read_columns(path, columns):
            ids = None if id_column is None else _as_ids(path, id_column, rows.column(id_column))
            yield ShardRows(text=_as_binary(rows.column(text_column)), ids=ids)


def _as_binary(column: pa.Array) -> pa.LargeBinaryArray:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), pa.large_binary())
    return column.cast(pa.large_binary())


def _as_ids(path: Path, name: str, column: pa.Array) -> pa.LargeStringArray:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        # Through binary, because Arrow takes it on trust that a string column holds UTF-8.
        return column.cast(pa.large_string()).cast(pa.large_binary()).cast(pa.large_string())
    except pa.ArrowException as error:
        where = f'{name_of(path)}: column "{safe_inline(name, 40)}"'
        detail = safe_inline(str(error), 120)
        raise AuditError(
            f"{where}: cannot serve as ids ({detail}); drop {option('id_column')} or name another"
        ) from error
