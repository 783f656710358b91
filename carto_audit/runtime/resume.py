"""Resuming: what a killed run needs to continue. It lies beside a vendor's files, so nothing in it is taken on trust."""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from carto_audit.runtime.errors import AuditError, option
from carto_audit.text.untrusted import safe_inline

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
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "carto-audit" / "key"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=False)
            path.write_text(secrets.token_hex(16))
        return path.read_text()
    except (OSError, RuntimeError):
        return secrets.token_hex(16)
