"""Readers: one for each file format, of batches and benchmarks alike, as record batches of chosen columns or of all."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from carto_audit.data.formats import columnar, delimited, json_rows
from carto_audit.data.formats.columnar import ROWS_PER_READ, array_bytes
from carto_audit.data.formats.opened import AS_FOUND, COMPRESSED, READ_ERRORS, Reading, decompressed, encoding_of
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import shown_path
from carto_audit.runtime.sealed_path import meter
from carto_audit.text.untrusted import safe_inline


@dataclass(frozen=True, slots=True)
class _Format:
    """How one format is read. What its functions raise of READ_ERRORS, `one_line` says."""

    suffixes: tuple[str, ...]
    head: Callable[[Path, Reading], pa.Schema]
    """The columns, in the types that the first rows tell."""
    schema: Callable[[Path, Reading], pa.Schema]
    """The columns, in types that hold every value of the file."""
    batches: Callable[[Path, Reading, pa.Schema, list[str] | None], Iterator[pa.RecordBatch]]
    """All rows: of some columns, or of all. A format that has no types of its own takes those of the schema."""
    has_rows: Callable[[Path, Reading], bool]
    """Whether there is a row, told from the beginning of the file."""
    words: Callable[[Path, Reading], str] = lambda path, reading: ""
    """How the file is written, where that is not as usual."""
    is_text: bool = False
    """Whether it is text, which may be compressed and of any encoding."""


def name_of(path: Path) -> str:
    """The file's name, safe to print."""
    return shown_path(path)


def format_of(path: Path) -> str | None:
    """The format by suffix, which a compression may follow where the format is text; else None."""
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in COMPRESSED:
        inner = _BY_SUFFIX.get(suffixes[0]) if len(suffixes) == 2 else None
        return inner if inner and _FORMATS[inner].is_text else None
    return _BY_SUFFIX.get(suffixes[-1]) if suffixes else None


def mentions_format(path: Path) -> bool:
    """Whether any suffix is that of a format, also in a name that no reader takes: `.rows.jsonl.7z`."""
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
    except READ_ERRORS as error:
        raise AuditError(f"{name_of(path)}: cannot read as {_named(path)}: {safe_inline(str(error), 160)}") from error


def column_types(path: Path, reading: Reading = AS_FOUND) -> dict[str, pa.DataType]:
    """The columns and their Arrow types; for text formats those of the first rows. Raises AuditError when unreadable."""
    with one_line(path):
        head = _FORMATS[_named(path)].head(path, reading)
        return dict(zip(head.names, head.types, strict=True))  # Arrow decodes the names when they are asked for


def has_rows(path: Path) -> bool:
    """Whether the file has a row. AuditError when unreadable."""
    with one_line(path):
        return _FORMATS[_named(path)].has_rows(path, AS_FOUND)


def how_written(path: Path, reading: Reading = AS_FOUND) -> str:
    """What of a file is not as usual for its format: `; between fields, utf-16`; empty where nothing is. AuditError when
    unreadable."""
    known = _FORMATS[_named(path)]
    with one_line(path):
        encoding = encoding_of(path, reading) if known.is_text else "utf-8"
        said = [known.words(path, reading), "" if encoding == "utf-8" else encoding]
        return ", ".join(filter(None, said))


def read_schema(path: Path, reading: Reading = AS_FOUND) -> pa.Schema:
    """The columns of `read_records`. For text formats this costs a pass over the file. AuditError when unreadable."""
    with one_line(path):
        return _FORMATS[_named(path)].schema(path, reading)


def read_columns(path: Path, columns: list[str], reading: Reading = AS_FOUND) -> Iterator[pa.RecordBatch]:
    """All rows of some columns, at most ROWS_PER_READ at once: large_binary of CSV, which has no types of its own, else as
    stored; JSON is read by `read_json`. AuditError when unreadable."""
    return _read(path, pa.schema([(name, pa.large_binary()) for name in columns]), columns, reading)


def read_records(path: Path, schema: pa.Schema, reading: Reading = AS_FOUND) -> Iterator[pa.RecordBatch]:
    """All rows, every column as it was delivered, at most ROWS_PER_READ at once; `schema` is that of `read_schema`,
    or gives the fields of a CSV file other types.

    A CSV file's fields stay the text that they are, bytes where they are not UTF-8. A JSON column is of one Arrow type
    where its values have one; others are JSON text, marked by JSON_TEXT. AuditError when unreadable.
    """
    return _read(path, schema, None, reading)


def read_json(path: Path, reading: Reading = AS_FOUND) -> Iterator[list[dict[str, Any]]]:
    """All rows of a JSON file as Python values, at most ROWS_PER_READ at once. AuditError when unreadable."""
    try:
        with one_line(path):
            yield from json_rows.json_chunks(path, reading)
    except AuditError as error:
        if format_of(path):
            raise
        raise AuditError(f"{error}; give {KNOWN_SUFFIXES}") from error


def raw_lines(path: Path, *, blank: bool = False) -> Iterator[bytes]:
    """The lines of a text file, byte for byte, expanded: those behind the rows of JSON lines, or all, where `blank` ones are
    wanted too. Lines are cut after LONGEST_LINE bytes. Raises AuditError where the file cannot be read."""
    with one_line(path), decompressed(path) as raw, io.BufferedReader(raw, 1 << 20) as stream:
        lines = iter(lambda: stream.readline(json_rows.LONGEST_LINE), b"")
        yield from (line for line in lines if blank or line.strip())


def is_lines(path: Path, reading: Reading = AS_FOUND) -> bool:
    """Whether a file is JSON with a row a line. Raises AuditError where it cannot be read."""
    with one_line(path):
        return reads_json(path) and json_rows.form_of(path, reading).kind == "lines"


def beside_rows(path: Path, reading: Reading = AS_FOUND) -> dict[str, int]:
    """The text in a file that is in none of its rows, in bytes by name: what a JSON document says beside its list."""
    if not reads_json(path):
        return {}
    with one_line(path):
        return dict(json_rows.form_of(path, reading).outside)


def text_beside_rows(path: Path, reading: Reading = AS_FOUND) -> str:
    """The text that `beside_rows` counts. AuditError when unreadable."""
    if not reads_json(path):
        return ""
    with one_line(path):
        return json_rows.outside_text(path, reading)


def reads_json(path: Path) -> bool:
    """Whether a file is read as JSON."""
    return _named(path) in ("jsonl", "json")


def is_typed(path: Path) -> bool:
    """Whether the columns of a file have types of their own, so that bytes are told from text."""
    return not _FORMATS[_named(path)].is_text


def _named(path: Path) -> str:
    """The file's format; one without a known suffix is taken for JSON lines."""
    return format_of(path) or "jsonl"


def _read(path: Path, schema: pa.Schema, columns: list[str] | None, reading: Reading) -> Iterator[pa.RecordBatch]:
    with one_line(path):
        read = meter(path)
        for batch in _FORMATS[_named(path)].batches(path, reading, schema, columns):
            read.add(sum(array_bytes(column) for column in batch.columns))
            for start in range(0, batch.num_rows, ROWS_PER_READ):
                yield batch.slice(start, ROWS_PER_READ)


def _json(*suffixes: str) -> _Format:
    return _Format(
        suffixes,
        json_rows.json_head,
        json_rows.json_schema,
        lambda path, reading, schema, columns: json_rows.json_batches(path, reading, schema),
        json_rows.json_has_rows,
        lambda path, reading: json_rows.form_of(path, reading).words,
        is_text=True,
    )


def _delimited(*suffixes: str) -> _Format:
    return _Format(
        suffixes,
        delimited.csv_head,
        delimited.csv_schema,
        delimited.csv_batches,
        delimited.csv_has_rows,
        lambda path, reading: delimited.dialect_of(path, reading).words,
        is_text=True,
    )


_FORMATS = {
    "parquet": _Format(
        (".parquet", ".pq"),
        lambda path, _: columnar.parquet_schema(path),
        lambda path, _: columnar.parquet_schema(path),
        lambda path, _, schema, columns: columnar.parquet_batches(path, columns),
        lambda path, _: columnar.parquet_has_rows(path),
    ),
    "jsonl": _json(".jsonl", ".ndjson"),
    "json": _json(".json"),
    "csv": _delimited(".csv"),
    "tsv": _delimited(*delimited.TABS),
    "arrow": _Format(
        (".arrow", ".feather", ".ipc"),
        lambda path, _: columnar.arrow_schema(path),
        lambda path, _: columnar.arrow_schema(path),
        lambda path, _, schema, columns: columnar.arrow_batches(path, columns),
        lambda path, _: columnar.arrow_has_rows(path),
    ),
}
"""One row a format, by the name that errors call it: whoever reads a file looks here."""

_BY_SUFFIX = {suffix: name for name, known in _FORMATS.items() for suffix in known.suffixes}


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


KNOWN_FORMATS = _either(list(_FORMATS))
KNOWN_SUFFIXES = (
    f"{_either([f'.{name}' for name in _FORMATS])}; "
    f"{_either([f'.{name}' for name, known in _FORMATS.items() if known.is_text])} may be compressed"
)
"""What an error about any other file names."""
