"""Items: evaluation sets as files. Held in memory whole; the largest in use have some ten thousand items."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq

from carto_audit.benchmarks.column_mappings import ColumnMapping, Item, Row, fold_columns, recognize
from carto_audit.benchmarks.dataset_folder import split_files
from carto_audit.data.readers import format_of
from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.runtime.files import file_sha256
from carto_audit.text.untrusted import safe_inline

ITEM_SCHEMA = pa.schema(
    {
        "item_id": pa.large_string(),
        "question": pa.large_string(),
        "passage": pa.large_string(),
        "choices": pa.list_(pa.large_string()),
        "answer": pa.large_string(),
    }
)

SPLIT = "test"
"""The split of a data set that is evaluated on, unless another is named."""

_READ_ERRORS = (OSError, EOFError, ValueError, KeyError, RecursionError, pa.ArrowException)
_CSV_BLOCK = 64 << 20  # bytes; a row must fit in one


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One evaluation set. `items` has the columns item_id, question, passage, choices, answer (the gold text)."""

    name: str
    sha256: str
    items: pa.Table
    source: str = ""
    """The file or folder, or the hub's `hf:OWNER/NAME`, with the split."""
    revision: str | None = None
    """The hub's commit; None for files, which the digest pins."""
    mapping: str = ""
    """The mapping of its columns that was given or recognized."""
    code: tuple[str, ...] = ()
    """The components that are program text."""


def read_benchmark(
    path: str | Path,
    *,
    name: str | None = None,
    mapping: ColumnMapping | None = None,
    config: str | None = None,
    split: str | None = None,
) -> Benchmark:
    """Reads a parquet, jsonl, csv or arrow file, or one split of a local Hugging Face data set folder.

    Columns are recognized unless a mapping is given. Raises AuditError in one line for what cannot be read and for a
    file without questions, UsageError for a split of a single file.
    """
    path = Path(path)
    shown = safe_inline(str(path), 160)
    part, files = _files(path, config, split, shown)
    rows: list[dict[str, Any]] = []
    for file in files:
        rows += _read_rows(file, safe_inline(str(file), 160))
    return make_benchmark(
        rows,
        name=name or _bare_name(path),
        sha256=_digest(path, files, shown),
        source=f"{path}#{part}" if part else str(path),
        revision=None,
        mapping=mapping,
        shown=shown,
    )


def source_sha256(path: Path, *, config: str | None = None, split: str | None = None) -> str:
    """The digest that `read_benchmark` would give it, without reading it: has the file changed since?"""
    shown = safe_inline(str(path), 160)
    return _digest(path, _files(path, config, split, shown)[1], shown)


def _files(path: Path, config: str | None, split: str | None, shown: str) -> tuple[str, list[Path]]:
    """What part of `path` is meant, "" for all of a file, and its files."""
    if path.is_dir():
        return split_files(path, config, split or SPLIT)
    if not path.is_file():
        raise AuditError(f"{shown}: no such benchmark file")
    if split or config:
        raise UsageError(f"{shown}: a single file has no splits; leave split and config out, or give its folder")
    return "", [path]


def make_benchmark(
    rows: Sequence[Row],
    *,
    name: str,
    sha256: str | None,
    source: str,
    revision: str | None,
    mapping: ColumnMapping | None,
    shown: str,
) -> Benchmark:
    """A benchmark from rows of any columns. `shown` is what errors call it. Raises AuditError without questions.

    Without a digest of the files, the digest is that of the items.
    """
    chosen, rows = _choose(rows, mapping, shown)
    try:
        items = [chosen.read(row) for row in rows]
    except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        detail = safe_inline(str(error), 120)
        way_out = f"name its columns with {option('map', 'question=COLUMN')}"
        looks = f'does not look like "{safe_inline(chosen.name, 60)}"'
        raise AuditError(f"{shown}: {looks} ({detail}); {way_out}") from error
    if not any(item["question"].strip() for item in items):
        raise AuditError(f"{shown}: this benchmark has no questions")
    items = list(_with_ids(items, name))
    table = pa.Table.from_pylist(items, schema=ITEM_SCHEMA)
    return Benchmark(
        name=name,
        sha256=sha256 or hashlib.sha256(json.dumps(items, sort_keys=True).encode()).hexdigest(),
        items=table,
        source=source,
        revision=revision,
        mapping=chosen.name,
        code=chosen.code,
    )


def _choose(rows: Sequence[Row], mapping: ColumnMapping | None, shown: str) -> tuple[ColumnMapping, Sequence[Row]]:
    """The mapping of these rows, and the rows under the names that it knows."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    first = rows[0] if rows else {}
    if not rows:
        raise AuditError(f"{shown}: this benchmark has no questions")
    known = ", ".join(safe_inline(str(column), 40) for column in columns[:12])
    if mapping is not None:
        for needed in mapping.known_by if len(mapping.known_by) == 1 else ():
            missing = [column for column in sorted(needed) if column not in columns and "," not in column]
            if missing:
                raise AuditError(
                    f'{shown}: no column "{safe_inline(missing[0], 60)}" in this benchmark; it has: {known}'
                )
        return mapping, rows
    if found := recognize(columns, first):
        return found, rows
    folded = [fold_columns(row) for row in rows]
    if found := recognize(dict.fromkeys(name for row in folded for name in row), folded[0]):
        return found, folded
    raise AuditError(
        f'{shown}: no "question" column in this benchmark; it has: {known}; name one with {option("map", "question=COLUMN")}'
    )


def _with_ids(items: Sequence[Item], name: str) -> Iterator[Item]:
    """The same items, each under an id of its own: its number where it has none, `id#2` for the second of an id."""
    given = {item["item_id"] for item in items}
    used: set[str] = set()
    for number, item in enumerate(items):
        wanted = unique = item["item_id"] or f"{name}/{number}"
        copy = 2
        while unique in used or (unique != item["item_id"] and unique in given):
            unique, copy = f"{wanted}#{copy}", copy + 1
        used.add(unique)
        yield item | {"item_id": unique}


def _bare_name(path: Path) -> str:
    return (path.resolve() if path.is_dir() else path).name.split(".")[0]


def _digest(path: Path, files: Sequence[Path], shown: str) -> str:
    """The file's sha256; of a folder, the sha256 over the names and digests of the files that were read."""
    try:
        if files == [path]:
            return file_sha256(path)
        lines = "".join(f"{file_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files)
    except OSError as error:
        raise _unreadable(shown, error) from error
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _unreadable(shown: str, error: Exception) -> AuditError:
    detail = safe_inline(str(error), 160)
    return AuditError(f"{shown}: cannot read this benchmark: {detail}; give a parquet, jsonl or csv file")


def _read_rows(path: Path, shown: str) -> list[dict[str, Any]]:
    try:
        match format_of(path):
            case "parquet":
                return list(pq.read_table(path).to_pylist())
            case "arrow":
                return _arrow_rows(path)
            case "csv":
                return _csv_rows(path)
            case _:
                return _json_rows(path)
    except _READ_ERRORS as error:
        raise _unreadable(shown, error) from error


def _arrow_rows(path: Path) -> list[dict[str, Any]]:
    with pa.OSFile(str(path)) as source:
        try:
            table = pa_ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            table = pa_ipc.open_stream(source).read_all()
    table.validate(full=True)
    return list(table.to_pylist())


def _csv_rows(path: Path) -> list[dict[str, Any]]:
    """Every column as text: what a benchmark calls "007" stays "007"."""
    read = pa_csv.ReadOptions(block_size=_CSV_BLOCK)
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    with pa_csv.open_csv(path, read_options=read, parse_options=parse) as reader:
        types = dict.fromkeys(reader.schema.names, pa.string())
    convert = pa_csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    return list(pa_csv.read_csv(path, read_options=read, parse_options=parse, convert_options=convert).to_pylist())


def _json_rows(path: Path) -> list[dict[str, Any]]:
    """A mapping per line; a `.json` file may also be one list of them."""
    with pa.input_stream(str(path), compression="detect") as stream:
        text = stream.read().decode("utf-8-sig")
    if path.suffix == ".json" and text.lstrip().startswith("["):
        rows = json.loads(text)
    else:
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("each line must be a JSON object")
    return list(rows)
