"""Readers: one for each file format, of batches and benchmarks alike, as record batches of chosen columns or of all."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq

from carto_audit.data.streams import COMPRESSED, array_bytes, bytes_of, decompressed, open_arrow
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.sealed_path import meter
from carto_audit.text.untrusted import safe_inline

ROWS_PER_READ = 1024
"""Rows decoded at once: small enough that a thousand samples of a megabyte each still fit."""

CSV_BLOCK = 64 << 20
"""A CSV row must fit in one block, so the block is larger than any sample that is trained on."""

LARGEST_READ = 8 << 30
"""Bytes that rows decoded at once may have where each is as long as can be: Parquet says a value once for many rows."""

LONGEST_LINE = 64 << 20
"""A JSONL line beyond this is no sample but a broken file."""

JSON_TEXT = b"carto_audit.json"
"""Field metadata of a column of JSON text: values of several kinds that no single Arrow type holds."""

_READ_ERRORS = (OSError, EOFError, ValueError, KeyError, RecursionError, pa.ArrowException)
"""KeyError is Arrow's word for a column name that occurs twice."""


@dataclass(frozen=True, slots=True)
class _Format:
    """How one format is read. What its functions raise of _READ_ERRORS, `one_line` says."""

    suffixes: tuple[str, ...]
    head: Callable[[Path], pa.Schema]
    """The columns, in the types that the first rows tell."""
    schema: Callable[[Path], pa.Schema]
    """The columns, in types that hold every value of the file."""
    batches: Callable[[Path, pa.Schema, list[str] | None], Iterator[pa.RecordBatch]]
    """All rows: of some columns, or of all. A format that has no types of its own takes those of the schema."""
    has_rows: Callable[[Path], bool]
    """Whether there is a row, told from the beginning of the file."""
    compressible: bool = False
    """Whether a suffix of COMPRESSED may follow."""


def name_of(path: Path) -> str:
    """The file's name, safe to print."""
    return safe_inline(str(path), 160)


def format_of(path: Path) -> str | None:
    """`parquet`, `jsonl`, `csv` or `arrow` by suffix (a compression suffix may follow jsonl and csv), else None."""
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in COMPRESSED:
        inner = _BY_SUFFIX.get(suffixes[0]) if len(suffixes) == 2 else None
        return inner if inner and _FORMATS[inner].compressible else None
    return _BY_SUFFIX.get(suffixes[-1]) if suffixes else None


def mentions_format(path: Path) -> bool:
    """Whether any suffix is that of a format, also in a name that no reader takes: `.rows.jsonl.xz`."""
    return any(suffix.lower() in _BY_SUFFIX for suffix in Path(f"_{path.name}").suffixes)


def bare_name(path: Path) -> str:
    """The file's name without the suffixes that say its format."""
    name = path.name
    for suffix in reversed(path.suffixes[-2:]):
        if suffix.lower() in _BY_SUFFIX or suffix.lower() in COMPRESSED:
            name = name.removesuffix(suffix)
    return name


@contextmanager
def one_line(path: Path) -> Iterator[None]:
    """Whatever goes wrong while a file is read, as an AuditError of one line."""
    try:
        yield
    except _READ_ERRORS as error:
        raise AuditError(f"{name_of(path)}: cannot read as {_named(path)}: {safe_inline(str(error), 160)}") from error


def column_types(path: Path) -> dict[str, pa.DataType]:
    """The columns and their Arrow types; for CSV and JSONL those of its first rows. Raises AuditError when unreadable."""
    with one_line(path):
        head = _FORMATS[_named(path)].head(path)
        return dict(zip(head.names, head.types, strict=True))  # Arrow decodes the names when they are asked for


def has_rows(path: Path) -> bool:
    """Whether the file has a row. AuditError when unreadable."""
    with one_line(path):
        return _FORMATS[_named(path)].has_rows(path)


def read_schema(path: Path) -> pa.Schema:
    """The columns of `read_records`. For CSV and JSONL this costs a pass over the file. AuditError when unreadable."""
    with one_line(path):
        return _FORMATS[_named(path)].schema(path)


def read_columns(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """All rows of some columns, at most ROWS_PER_READ at once: large_binary of CSV and JSONL, which have no types of their
    own, else as stored. AuditError when unreadable."""
    return _read(path, pa.schema([(name, pa.large_binary()) for name in columns]), columns)


def read_records(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """All rows, every column as it was delivered, at most ROWS_PER_READ at once; `schema` is that of `read_schema`,
    or gives the fields of a CSV file other types.

    A CSV file's fields stay the text that they are, bytes where they are not UTF-8. A JSONL column is of one Arrow type
    where its values have one; others are JSON text, marked by JSON_TEXT. AuditError when unreadable.
    """
    return _read(path, schema, None)


def json_rows(path: Path, *, strict: bool = False) -> Iterator[dict[str, Any]]:
    """One mapping per line. Raises AuditError, which names the line that is none.

    Lone surrogates, which strict parsers refuse for the whole file, stay one row's problem, and so do bytes that are not
    UTF-8 unless `strict`.
    """
    with one_line(path), _open_json(path) as stream:
        for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE), b""), start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode("utf-8-sig", "strict" if strict else "surrogateescape"))
            except (ValueError, RecursionError) as error:
                raise _no_object(path, number, "not JSON") from error
            if not isinstance(value, dict):
                raise _no_object(path, number, "not a JSON object")
            yield value


def raw_lines(path: Path, *, blank: bool = False) -> Iterator[bytes]:
    """The lines behind the rows of `json_rows`, byte for byte; of any file of text all lines, where `blank` ones are wanted too.
    Lines are cut after LONGEST_LINE bytes. Raises AuditError where the file cannot be read."""
    with one_line(path), _open_json(path) as stream:
        yield from (line for line in iter(lambda: stream.readline(LONGEST_LINE), b"") if blank or line.strip())


def json_list(path: Path) -> list[dict[str, Any]] | None:
    """The mappings of a `.json` file that is one list of them, held whole; None for any other file. Raises AuditError."""
    if path.suffix.lower() != ".json":
        return None
    with one_line(path), _open_json(path) as stream:
        text = stream.read().decode("utf-8-sig")
        if not text.lstrip().startswith("["):
            return None
        rows: list[dict[str, Any]] = json.loads(text)
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("each entry of the list must be a JSON object")
    return rows


def reads_json(path: Path) -> bool:
    """Whether a file is read as JSON lines."""
    return _named(path) == "jsonl"


def _named(path: Path) -> str:
    """The file's format; one without a known suffix is taken for JSON lines."""
    return format_of(path) or "jsonl"


def _no_object(path: Path, number: int, what: str) -> AuditError:
    way_out = "" if format_of(path) else f"; give {KNOWN_SUFFIXES}"
    return AuditError(f"{name_of(path)}:{number}: {what}; one object per line is expected{way_out}")


def _read(path: Path, schema: pa.Schema, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    with one_line(path):
        read = meter(path)
        for batch in _FORMATS[_named(path)].batches(path, schema, columns):
            read.add(sum(array_bytes(column) for column in batch.columns))
            for start in range(0, batch.num_rows, ROWS_PER_READ):
                yield batch.slice(start, ROWS_PER_READ)


def _parquet_schema(path: Path) -> pa.Schema:
    with bytes_of(path) as source:
        return pq.read_schema(source)


def _parquet_has_rows(path: Path) -> bool:
    with bytes_of(path) as source:
        return bool(pq.read_metadata(source).num_rows)


def _parquet_batches(path: Path, _: pa.Schema, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    with bytes_of(path) as source, pq.ParquetFile(source, buffer_size=1 << 20, pre_buffer=False) as shard:
        groups = [shard.metadata.row_group(number) for number in range(shard.num_row_groups)]
        chunks = [group.column(place).total_uncompressed_size for group in groups for place in range(group.num_columns)]
        read = meter(path)
        read.add(sum(chunks))
        rows = min(read.most, LARGEST_READ) // max(1, *chunks, 1)  # as each could be the longest that a chunk holds
        rows = max(1, min(ROWS_PER_READ, rows))
        yield from shard.iter_batches(batch_size=rows, columns=columns, use_threads=False)


def _arrow_schema(path: Path) -> pa.Schema:
    with open_arrow(path) as reader:
        return reader.schema


def _arrow_batches(path: Path, _: pa.Schema, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    with open_arrow(path, columns) as reader:
        if isinstance(reader, pa_ipc.RecordBatchFileReader):
            batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        else:
            batches = iter(reader)
        yield from batches if columns is None else (batch.select(columns) for batch in batches)


def _arrow_has_rows(path: Path) -> bool:
    return any(batch.num_rows for batch in _arrow_batches(path, _arrow_schema(path), None))


def _has_lines(path: Path, least: int) -> bool:
    """Whether so many lines hold something."""
    with _open_json(path) as stream:
        lines = (line for line in iter(lambda: stream.readline(LONGEST_LINE), b"") if line.strip())
        return len(list(islice(lines, least))) == least


@contextmanager
def _open_csv(path: Path, schema: pa.Schema | None = None, columns: list[str] | None = None) -> Iterator[Any]:
    """Without a schema, columns are of the types that their first values look like."""
    convert = pa_csv.ConvertOptions(column_types=schema, include_columns=columns, strings_can_be_null=False)
    with (
        decompressed(path) as source,
        pa_csv.open_csv(
            source,
            read_options=pa_csv.ReadOptions(block_size=CSV_BLOCK, use_threads=False),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=convert,
        ) as reader,
    ):
        yield reader


def _csv_head(path: Path) -> pa.Schema:
    with _open_csv(path) as reader:
        return reader.schema


def _csv_batches(path: Path, schema: pa.Schema, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    with _open_csv(path, schema, columns) as reader:
        yield from reader


def _csv_schema(path: Path) -> pa.Schema:
    names = _csv_head(path).names
    valid = dict.fromkeys(names, True)
    for batch in _csv_batches(path, pa.schema([(name, pa.large_binary()) for name in names]), None):
        for name in names:
            valid[name] = valid[name] and _is_text(batch[name])
    return pa.schema([(name, pa.large_string() if valid[name] else pa.large_binary()) for name in names])


def _is_text(column: pa.LargeBinaryArray) -> bool:
    try:
        column.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


@contextmanager
def _open_json(path: Path) -> Iterator[io.BufferedReader]:
    with decompressed(path) as raw, io.BufferedReader(raw, 1 << 20) as stream:
        yield stream


def _json_head(path: Path) -> pa.Schema:
    """int64 stands for whatever is no text."""
    columns: dict[str, pa.DataType] = {}
    for _, row in zip(range(ROWS_PER_READ), json_rows(path), strict=False):
        for name, value in row.items():
            kind = pa.large_string() if isinstance(value, str) else pa.null() if value is None else pa.int64()
            if columns.get(name, pa.null()) == pa.null():
                columns[name] = kind
    return pa.schema(list(columns.items()))


def _json_schema(path: Path) -> pa.Schema:
    """One Arrow type per key where there is one; keys in the order in which they first occur."""
    kinds: dict[str, pa.DataType | None] = {}
    for rows in json_chunks(path, None):
        for name in dict.fromkeys(name for row in rows for name in row):
            kinds[name] = _common(kinds.get(name, pa.null()), _kind([row.get(name) for row in rows]))
    return pa.schema([_json_field(name, kind) for name, kind in kinds.items()])


def _json_field(name: str, kind: pa.DataType | None) -> pa.Field:
    if kind is None or _is_hollow(kind):
        return pa.field(name, pa.large_string(), metadata={JSON_TEXT: b"1"})
    return pa.field(name, kind)


def _kind(values: list[Any]) -> pa.DataType | None:
    """The Arrow type of these values, None where they have none in common."""
    try:
        return pa.array(values).type
    except (pa.ArrowException, OverflowError, UnicodeError):
        return None


def _common(a: pa.DataType | None, b: pa.DataType | None) -> pa.DataType | None:
    if a is None or b is None:
        return None
    try:
        schemas = [pa.schema([("x", kind)]) for kind in (a, b)]
        return pa.unify_schemas(schemas, promote_options="permissive").field("x").type
    except pa.ArrowException:
        return None


def _is_hollow(kind: pa.DataType) -> bool:
    """Whether an object without any key lies inside, which Parquet has no type for."""
    if pa.types.is_struct(kind):
        return kind.num_fields == 0 or any(_is_hollow(field.type) for field in kind)
    return pa.types.is_list(kind) and _is_hollow(kind.value_type)


def _json_batches(path: Path, schema: pa.Schema, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    for rows in json_chunks(path, columns):
        yield pa.record_batch([_json_column(rows, field) for field in schema], schema=schema)


def json_chunks(path: Path, columns: list[str] | None) -> Iterator[list[dict[str, Any]]]:
    """At most ROWS_PER_READ rows at once. Of chosen columns only the bytes are kept, and no more than about CSV_BLOCK."""
    rows: list[dict[str, Any]] = []
    n_bytes = 0
    for row in json_rows(path):
        rows.append(row if columns is None else {name: json_bytes(row.get(name)) for name in columns})
        n_bytes += 0 if columns is None else sum(len(value or b"") for value in rows[-1].values())
        if len(rows) == ROWS_PER_READ or n_bytes > CSV_BLOCK:
            yield rows
            rows, n_bytes = [], 0
    if rows:
        yield rows


def json_bytes(value: Any) -> bytes | None:
    """A string's bytes, lone surrogates included (they are then undecodable); other scalars as JSON writes them."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


def _json_column(rows: list[dict[str, Any]], field: pa.Field) -> pa.Array:
    if field.metadata and JSON_TEXT in field.metadata:
        return pa.array([json.dumps(row[field.name]) if field.name in row else None for row in rows], field.type)
    return pa.array([row.get(field.name) for row in rows], field.type)


_FORMATS = {
    "parquet": _Format((".parquet", ".pq"), _parquet_schema, _parquet_schema, _parquet_batches, _parquet_has_rows),
    "jsonl": _Format(
        (".jsonl", ".ndjson", ".json"), _json_head, _json_schema, _json_batches, partial(_has_lines, least=1), True
    ),
    "csv": _Format((".csv",), _csv_head, _csv_schema, _csv_batches, partial(_has_lines, least=2), True),
    "arrow": _Format((".arrow", ".feather", ".ipc"), _arrow_schema, _arrow_schema, _arrow_batches, _arrow_has_rows),
}
"""One row a format, by the name that errors call it: whoever reads a file looks here."""

_BY_SUFFIX = {suffix: name for name, known in _FORMATS.items() for suffix in known.suffixes}


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


KNOWN_FORMATS = _either(list(_FORMATS))
KNOWN_SUFFIXES = _either(
    [f".{name}[.gz|.zst]" if known.compressible else f".{name}" for name, known in _FORMATS.items()]
)
"""What an error about any other file names."""
