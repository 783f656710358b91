"""Readers: the files of a batch, in any of five formats, as one stream of (text, id) columns. Never a whole shard in memory."""

import gzip
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq

from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.text.untrusted import safe_inline

ROWS_PER_READ = 1024
"""Rows decoded at once: small enough that a thousand samples of a megabyte each still fit."""

CSV_BLOCK = 64 << 20
"""A CSV row must fit in one block, so the block is larger than any sample that is trained on."""

LONGEST_LINE = 64 << 20
"""A JSONL line beyond this is no sample but a broken file."""

_FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_COMPRESSED = (".gz", ".zst", ".bz2")
READ_ERRORS = (OSError, EOFError, ValueError, KeyError, pa.ArrowException, gzip.BadGzipFile)
"""KeyError is Arrow's word for a column name that occurs twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRows:
    """Some consecutive rows of one shard: `text` as large_binary (not yet known to be UTF-8), `ids` as large_string."""

    text: pa.LargeBinaryArray
    ids: pa.LargeStringArray | None


def name_of(path: Path) -> str:
    """The file's name, safe to print."""
    return safe_inline(str(path), 160)


def format_of(path: Path) -> str | None:
    """`parquet`, `jsonl`, `csv` or `arrow` by suffix (a compression suffix may follow jsonl and csv), else None."""
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in _COMPRESSED:
        inner = _FORMATS.get(suffixes[0]) if len(suffixes) == 2 else None
        return inner if inner in ("jsonl", "csv") else None
    return _FORMATS.get(suffixes[-1]) if suffixes else None


def bare_name(path: Path) -> str:
    """The file's name without the suffixes that say its format."""
    name = path.name
    for suffix in reversed(path.suffixes[-2:]):
        if suffix.lower() in _FORMATS or suffix.lower() in _COMPRESSED:
            name = name.removesuffix(suffix)
    return name


def batch_name(first: str) -> str:
    """What to call a batch after the first of its inputs: a file without suffixes, or a folder; a glob is named by its folder."""
    path = Path(first)
    if any(c in path.name for c in "*?[") and not path.exists():
        path = path.parent
    name = path.resolve().name if path.is_dir() else bare_name(path)
    return name.lstrip(".") or "batch"


def expand_paths(inputs: Sequence[str | Path]) -> tuple[Path, ...]:
    """Files behind files, directories and globs: sorted inside each input, each file once.

    Raises UsageError for a path that does not exist or has no known format, AuditError for a folder with nothing to read.
    """
    found: dict[Path, Path] = {}
    for given in inputs:
        for path in _expand(Path(given)):
            found.setdefault(path.resolve(), path)
    return tuple(found.values())


def _expand(given: Path) -> list[Path]:
    if given.is_dir():
        visible = (p for p in given.rglob("*") if not any(part.startswith(".") for part in p.relative_to(given).parts))
        paths = sorted(p for p in visible if p.is_file() and format_of(p))
        if not paths:
            raise AuditError(f"{name_of(given)}: no parquet, jsonl, csv or arrow file in this folder: nothing to audit")
        return paths
    if given.exists():
        if format_of(given) is None:
            raise UsageError(f"{name_of(given)}: unknown format; give .parquet, .jsonl[.gz|.zst], .csv or .arrow")
        return [given]
    matches = sorted(Path(p) for p in glob(str(given), recursive=True))
    paths = [p for p in matches if p.is_file() and format_of(p)]
    if not paths:
        raise UsageError(f"{name_of(given)}: no such file or folder")
    return paths


def column_types(path: Path) -> dict[str, pa.DataType]:
    """The shard's columns and their Arrow types; for JSONL those of its first rows. Raises AuditError when unreadable."""
    try:
        match format_of(path):
            case "parquet":
                schema = pq.read_schema(path)
            case "arrow":
                schema = _arrow_schema(path)
            case "csv":
                with pa_csv.open_csv(path, **_csv_options({})) as reader:
                    schema = reader.schema
            case _:
                return _json_columns(path)
        return dict(zip(schema.names, schema.types, strict=True))
    except READ_ERRORS as error:  # also of the names: Arrow decodes them when they are asked for
        raise unreadable(path, error) from error


def read_rows(path: Path, text_column: str, id_column: str | None) -> Iterator[ShardRows]:
    """Streams one shard's two columns. Raises AuditError in one line when the file is truncated or not what it claims."""
    readers = {"parquet": _parquet_batches, "arrow": _arrow_batches, "csv": _csv_batches, "jsonl": _json_batches}
    columns = [text_column] if id_column is None else list(dict.fromkeys([text_column, id_column]))
    try:
        for batch in readers[str(format_of(path))](path, columns):
            for start in range(0, batch.num_rows, ROWS_PER_READ):
                rows = batch.slice(start, ROWS_PER_READ)
                ids = None if id_column is None else _as_ids(path, id_column, rows.column(id_column))
                yield ShardRows(text=_as_binary(rows.column(text_column)), ids=ids)
    except READ_ERRORS as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> AuditError:
    """The one line for a shard whose reader raised one of READ_ERRORS."""
    return AuditError(f"{name_of(path)}: cannot read as {format_of(path)}: {safe_inline(str(error), 160)}")


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


def _parquet_batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as shard:
        yield from shard.iter_batches(batch_size=ROWS_PER_READ, columns=columns, use_threads=False)


def open_arrow(path: Path) -> Any:
    """A reader of the file or stream format, whichever it is."""
    source = pa.memory_map(str(path))
    try:
        return pa_ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        return pa_ipc.open_stream(source)


def _arrow_schema(path: Path) -> pa.Schema:
    return open_arrow(path).schema


def _arrow_batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    reader = open_arrow(path)
    if isinstance(reader, pa_ipc.RecordBatchFileReader):
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
    else:
        batches = iter(reader)
    yield from (batch.select(columns) for batch in batches)


def _csv_options(types: dict[str, pa.DataType]) -> dict[str, Any]:
    return {
        "read_options": pa_csv.ReadOptions(block_size=CSV_BLOCK, use_threads=False),
        "parse_options": pa_csv.ParseOptions(newlines_in_values=True),
        "convert_options": pa_csv.ConvertOptions(
            column_types=types, include_columns=list(types) or None, check_utf8=False, strings_can_be_null=False
        ),
    }


def _csv_batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    with pa_csv.open_csv(path, **_csv_options({name: pa.large_binary() for name in columns})) as reader:
        yield from reader


def json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """One mapping per line. Lone surrogates, which strict parsers refuse for the whole file, stay one row's problem."""
    with pa.input_stream(str(path), compression="detect") as raw, io.BufferedReader(raw, 1 << 20) as stream:
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), b""), start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode("utf-8-sig", "surrogateescape"))
            except (ValueError, RecursionError) as error:
                raise AuditError(f"{name_of(path)}:{number}: not JSON; one object per line is expected") from error
            if not isinstance(value, dict):
                raise AuditError(f"{name_of(path)}:{number}: not a JSON object; one object per line is expected")
            yield value


def _json_columns(path: Path) -> dict[str, pa.DataType]:
    columns: dict[str, pa.DataType] = {}
    for _, row in zip(range(ROWS_PER_READ), json_rows(path), strict=False):
        for name, value in row.items():
            kind = pa.large_string() if isinstance(value, str) else pa.null() if value is None else pa.int64()
            if columns.get(name, pa.null()) == pa.null():
                columns[name] = kind
    return columns


def _json_bytes(value: Any) -> bytes | None:
    """A string's bytes, lone surrogates included (they are then undecodable); other scalars as JSON writes them."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


def _json_batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    def batch(rows: list[list[bytes | None]]) -> pa.RecordBatch:
        return pa.record_batch([pa.array(c, pa.large_binary()) for c in zip(*rows, strict=True)], names=columns)

    pending: list[list[bytes | None]] = []
    n_bytes = 0
    for row in json_rows(path):
        pending.append([_json_bytes(row.get(name)) for name in columns])
        n_bytes += sum(len(value or b"") for value in pending[-1])
        if len(pending) == ROWS_PER_READ or n_bytes > CSV_BLOCK:
            yield batch(pending)
            pending, n_bytes = [], 0
    if pending:
        yield batch(pending)
