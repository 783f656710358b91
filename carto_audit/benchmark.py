"""Benchmarks: evaluation sets as files. Held in memory whole; the largest in use have some ten thousand items."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from carto_audit.errors import AuditError
from carto_audit.files import file_sha256
from carto_audit.text import safe_inline

_SCHEMA = pa.schema(
    {
        "item_id": pa.large_string(),
        "question": pa.large_string(),
        "passage": pa.large_string(),
        "choices": pa.list_(pa.large_string()),
        "answer": pa.large_string(),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One evaluation set. `items` has the columns item_id, question, passage, choices, answer (the gold text)."""

    name: str
    sha256: str
    items: pa.Table


def read_benchmark(path: str | Path) -> Benchmark:
    """Reads a parquet or jsonl file with a `question` column and, where present, item_id, passage, choices and answer.

    Raises AuditError in one line for an unreadable file and for one without questions.
    """
    path = Path(path)
    shown = safe_inline(str(path), 160)
    if not path.is_file():
        raise AuditError(f"{shown}: no such benchmark file")
    try:
        rows = pq.read_table(path).to_pylist() if path.suffix == ".parquet" else _json_rows(path)
        digest = file_sha256(path)
    except (OSError, EOFError, ValueError, RecursionError, pa.ArrowException) as error:
        detail = safe_inline(str(error), 160)
        raise AuditError(f"{shown}: cannot read this benchmark: {detail}; give a parquet or jsonl file") from error
    if rows and not any("question" in row for row in rows):
        known = ", ".join(safe_inline(str(name), 40) for name in list(rows[0])[:12])
        raise AuditError(f'{shown}: no "question" column in this benchmark; it has: {known}')
    name = path.name.split(".")[0]
    items = [_item(row, f"{name}/{number}") for number, row in enumerate(rows)]
    if not any(item["question"].strip() for item in items):
        raise AuditError(f"{shown}: this benchmark has no questions")
    return Benchmark(name=name, sha256=digest, items=pa.Table.from_pylist(items, schema=_SCHEMA))


def _json_rows(path: Path) -> list[dict[str, Any]]:
    raw = path.read_bytes()
    lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("each line must be a JSON object")
    return rows


def _item(row: dict[str, Any], number: str) -> dict[str, Any]:
    choices = [_text(choice) for choice in row.get("choices") or ()]
    return {
        "item_id": _text(row.get("item_id")) or number,
        "question": _text(row.get("question")),
        "passage": _text(row.get("passage")),
        "choices": choices,
        "answer": _gold(row.get("answer"), choices),
    }


def _text(value: Any) -> str:
    """A JSON or Arrow scalar as text; lone surrogates, which JSON can carry, become replacement characters."""
    return "" if value is None else str(value).encode("utf-8", "replace").decode()


def _gold(answer: Any, choices: list[str]) -> str:
    """The gold answer's own text, also where the file gives the choice's number or letter."""
    text = _text(answer)
    if not choices or text in choices:
        return text
    number = int(text) if text.isdecimal() else ord(text) - ord("A") if len(text) == 1 else -1
    return choices[number] if 0 <= number < len(choices) else text
