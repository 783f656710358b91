"""Resuming: what a killed run needs to continue, or another begins with. It may lie beside a vendor's files: none is trusted."""

import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from carto_audit.runtime.errors import AuditError, option
from carto_audit.text.untrusted import safe_inline

KEEP_DAYS = 90
"""For so long what nobody asked for stays in the cache."""

_RUN_NAME = re.compile("[0-9a-f]{16}")


def open_run(work: Path, identity: Sequence[object]) -> Path:
    """The folder inside `work` that a run of exactly this identity may continue in; those of other runs are removed.

    Raises AuditError when the folder is a link or cannot be written.
    """
    folder = work / hashlib.sha256(json.dumps([*identity, own_key()], sort_keys=True).encode()).hexdigest()[:16]
    where = safe_inline(str(work), 160)
    if work.is_symlink() or folder.is_symlink():
        raise AuditError(f"{where}: is a link; remove it or choose another {option('out')}")
    try:
        remove_runs(work, keep=folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AuditError(f"{where}: cannot write here: {error.strerror}; choose another {option('out')}") from error
    return folder


def remove_runs(work: Path, keep: Path | None = None) -> None:
    """Removes the runs in `work`, but for one to keep, and `work` itself when nothing else is in it."""
    if work.is_symlink() or not work.is_dir():
        return
    for run in work.iterdir():
        if run != keep and _RUN_NAME.fullmatch(run.name) and run.is_dir() and not run.is_symlink():
            shutil.rmtree(run)
    if keep is None and not any(work.iterdir()):
        work.rmdir()


def own_key() -> str:
    """A secret of this user on this machine, made at first use. It goes into the names of folders that are continued, so
    that nobody can plant one. Where no home can be written it is new each time, and nothing is continued."""
    try:
        path = _cache() / "key"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=False)
            path.write_text(secrets.token_hex(16))
        return path.read_text()
    except (OSError, RuntimeError):
        return secrets.token_hex(16)


def open_kept(kind: str, identity: Sequence[object]) -> Path | None:
    """The folder in this user's cache where all runs of one identity keep what each may take from the others; None where no home
    can be written. The code itself is part of the identity. What has not been asked for in KEEP_DAYS is removed."""
    named = hashlib.sha256(json.dumps([*identity, own_code(), own_key()], sort_keys=True).encode()).hexdigest()[:16]
    try:
        place = _cache() / kind
        folder = place / named
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_old(place)
    except (OSError, RuntimeError):
        return None
    return folder


def _remove_old(place: Path) -> None:
    """Removes files that nobody asked for lately, and folders that are empty but were not made just now."""
    now = time.time()
    for folder in place.iterdir():
        for path in folder.iterdir():
            if now - path.stat().st_mtime > 86_400 * KEEP_DAYS:
                path.unlink(missing_ok=True)
        if now - folder.stat().st_mtime > 3_600:
            with suppress(OSError):
                folder.rmdir()


@cache
def own_code() -> str:
    """The digest of this package's code, as it is installed: what other code computed is not taken over."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _cache() -> Path:
    """Where this user's programs keep what they can compute again. Raises RuntimeError where there is no home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "carto-audit"
