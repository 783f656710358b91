"""Items: evaluation sets as files. Held in memory whole; the largest in use have some ten thousand items."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from carto_audit.benchmarks.column_mappings import ColumnMapping, Item, Row, fold_columns, recognize
from carto_audit.benchmarks.dataset_folder import split_files
from carto_audit.data.values import read_rows_whole
from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.runtime.files import name_text, not_fetched
from carto_audit.runtime.sealed_path import SealedPath, check_seals, seal_all
from carto_audit.text.untrusted import encodable, safe_inline

_SHARD = re.compile(r"-\d{5}-of-\d{5}\.")
_PLAIN_FOLDERS = ("", "main", "default", "data", "all", "test", "train", "validation")

_LEAST_ITEMS, _MOST_ALIKE, _LABEL = 8, 0.25, 3  # items, distinct questions a item, words: from there on they are labels

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
    """Reads a file of any known format, or one split of a local Hugging Face data set folder.

    Columns are recognized unless a mapping is given. Raises AuditError in one line for what cannot be read and for a
    file without questions, UsageError for a split of a single file.
    """
    path = Path(path)
    shown = safe_inline(str(path), 160)
    part, files = _files(path, config, split, shown)
    sealed = seal_all(files)
    rows: list[dict[str, Any]] = []
    for file in sealed:
        for found in read_rows_whole(file):
            rows += found
    check_seals(sealed)
    return make_benchmark(
        rows,
        name=name or _bare_name(path),
        sha256=_digest(path, sealed),
        source=f"{name_text(path)}#{part}" if part else name_text(path),
        revision=None,
        mapping=mapping,
        shown=shown,
    )


def source_sha256(path: Path, *, config: str | None = None, split: str | None = None) -> str:
    """The digest that `read_benchmark` would give it, without reading it: has the file changed since?"""
    shown = safe_inline(str(path), 160)
    return _digest(path, seal_all(_files(path, config, split, shown)[1]))


def _files(path: Path, config: str | None, split: str | None, shown: str) -> tuple[str, list[Path]]:
    """What part of `path` is meant, "" for all of a file, and its files."""
    if path.is_dir():
        return split_files(path, config, split or SPLIT)
    if not path.is_file():
        raise AuditError(f"{shown}: no such benchmark file{not_fetched(path)}")
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
    _refuse_labels(items, rows, shown)
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


def _refuse_labels(items: Sequence[Item], rows: Sequence[Row], shown: str) -> None:
    """Raises AuditError where a few short texts stand for the questions of all items, as "cause" and "effect" in COPA: such
    a column names no item, and none could be found. Where a passage asks, its question may be generic."""
    texts = {item["question"].strip() for item in items}
    longest = max(len(text.split()) for text in texts)
    if (
        len(items) < _LEAST_ITEMS
        or len(texts) > len(items) * _MOST_ALIKE
        or longest > _LABEL
        or any(i["passage"] for i in items)
    ):
        return
    said = ", ".join(f'"{safe_inline(text, 30)}"' for text in sorted(texts)[:3])
    other = _telling_column(rows)
    way_out = option("map", f"question={safe_inline(other, 60)}" if other else "question=COLUMN")
    raise AuditError(
        f"{shown}: {len(items):,} items share {len(texts)} questions ({said}), which name none of them; try {way_out}"
    )


def _telling_column(rows: Sequence[Row]) -> str:
    """The column of text with the most different values, the longest where even; empty where there is none."""
    columns = dict.fromkeys(name for row in rows for name in row)
    texts = {name: [row[name] for row in rows if isinstance(row.get(name), str)] for name in columns}
    told = {name: (len(set(values)), sum(map(len, values))) for name, values in texts.items() if values}
    best = max(told, key=lambda name: told[name], default="")
    return best if best and told[best][0] > len(rows) // 2 else ""


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
    """What the file is called, without its suffixes; a shard of a data set is called after the set's folder."""
    named = path.resolve() if path.is_dir() else path
    if _SHARD.search(path.name):
        named = next((folder for folder in path.resolve().parents if folder.name not in _PLAIN_FOLDERS), named)
    return str(encodable(name_text(named.name))).split(".")[0]


def _digest(path: Path, files: Sequence[SealedPath]) -> str:
    """The file's sha256; of a folder, the sha256 over the names and digests of the files that were read."""
    digests = [file.seal.sha256 for file in files if file.seal]
    if list(files) == [path]:
        return digests[0]
    lines = (f"{digest}  {file.relative_to(path).as_posix()}\n" for digest, file in zip(digests, files, strict=True))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
