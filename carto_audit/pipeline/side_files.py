"""Side files: what lies beside the rows, in files of its own, in a document of rows, in names, is held against the benchmarks."""

import lzma
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from carto_audit.benchmarks.index import Index
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.tiers import SUSPECTED
from carto_audit.data.batch import Batch
from carto_audit.data.delivery import OtherFile
from carto_audit.data.formats.opened import decompressed
from carto_audit.data.formats.side_files import LARGEST_DOCUMENT
from carto_audit.data.readers import column_types, is_typed, read_schema, text_beside_rows
from carto_audit.data.skips import readable
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import read_regular

LONGEST_BINARY = 1 << 20
"""Bytes of a file beside the data that is no text, which are looked at: an image would take minutes, and says nothing."""


def compare_side_files(batch: Batch, index: Index) -> Batch:
    """The batch, where a file beside the data that holds a benchmark item counts as data that went unread, and so do one that
    cannot be read any more, and what a file of rows says beside them: in a document, in names of columns, in its metadata."""
    found = {other.path for other in batch.delivery.beside if _holds_items(other, index)}
    delivery = batch.delivery.with_items(found)
    for path, sealed in zip(batch.delivery.paths, batch.paths, strict=True):
        said = (text_beside_rows(sealed, batch.reading), _names(sealed, batch))
        if any(_has_items(text, index) for text in said):
            delivery = delivery.with_items_beside_rows(path)
    return replace(batch, delivery=delivery)


def _holds_items(other: OtherFile, index: Index) -> bool:
    try:
        data = _content(other)
    except (OSError, EOFError, ValueError, lzma.LZMAError, pa.ArrowException, AuditError):
        return True
    return len(data) > LARGEST_DOCUMENT or _has_items(readable(data), index)


def _content(other: OtherFile) -> bytes:
    """The bytes of a file, expanded where it is of a format that may be compressed; of one that is no text, the first of them."""
    if other.reason == "empty":
        with decompressed(other.path) as stream:
            data: bytes = stream.read(LARGEST_DOCUMENT + 1)
        return data
    data = read_regular(other.path, LARGEST_DOCUMENT, follow=True)
    return data[:LONGEST_BINARY] if b"\0" in data[:LONGEST_BINARY] else data


def _names(path: Path, batch: Batch) -> str:
    """The names of a file's columns, and what it says of itself."""
    said = list(column_types(path, batch.reading))
    metadata = read_schema(path, batch.reading).metadata if is_typed(path) else None
    return "\n".join([*said, *(readable(value) for value in (metadata or {}).values())])


def _has_items(text: str, index: Index) -> bool:
    return bool(text) and any(match.tier >= SUSPECTED for match in find_matches([text], index))
