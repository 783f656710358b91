"""Whole files or none: everything is written under a temporary name and renamed, so a file that exists is complete."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from carto_audit.errors import AuditError
from carto_audit.text import safe_inline


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError of the block into an AuditError of one line: a full disk, a folder that cannot be written."""
    try:
        yield
    except OSError as error:
        where = safe_inline(str(path), 160)
        raise AuditError(f"{where}: cannot write: {reason(error)}; free some space or choose another --out") from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; renames it when the block ends well, deletes it when it does not.

    Raises AuditError in one line when the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def reason(error: OSError) -> str:
    """Why the system refused, in its own words: libraries wrap them in their own, or lose them."""
    return os.strerror(error.errno) if error.errno else safe_inline(str(error), 160) or type(error).__name__


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON (NaN is a bug, not a number) with sorted keys, so equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n")


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
