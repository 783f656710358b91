"""Files of a data set on the Hugging Face hub, at the commit that its revision meant when it was asked."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.hub import COMMIT, TIMEOUT
from carto_audit.runtime.remote.answers import one_line
from carto_audit.runtime.remote.filesystem import MOST_OBJECTS, Source
from carto_audit.runtime.remote.uris import Uri
from carto_audit.text.untrusted import safe_inline


def list_files(uri: Uri) -> tuple[Uri, tuple[Source, ...]]:
    """The URI at its commit, and the files behind it, by name. Raises UsageError where there is none, AuditError for whatever the
    hub or the network answers."""
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    client = import_module("huggingface_hub")
    with one_line(uri.text):
        pinned = replace(uri, revision=_commit(client, uri))
        files = _files(client.HfApi(), pinned)
        store = PyFileSystem(FSSpecHandler(client.HfFileSystem(skip_instance_cache=True)))
    chosen = [file for file in files if _is_asked_for(pinned, file.path)]
    if not chosen:
        raise UsageError(f"{safe_inline(uri.text, 200)}: the data set has no such file or folder")
    if len(chosen) > MOST_OBJECTS:
        raise AuditError(f"{uri.text}: {len(chosen):,} files, more than {MOST_OBJECTS:,}; name a folder in it")
    return pinned, tuple(_source(store, pinned, file) for file in sorted(chosen, key=lambda one: str(one.path)))


def _commit(client: Any, uri: Uri) -> str:
    """The commit behind the revision, asked of the hub even for a commit: it must exist."""
    name = uri.store.removeprefix("datasets/")
    commit = str(client.HfApi().dataset_info(name, revision=uri.revision, timeout=TIMEOUT).sha or "")
    if not COMMIT.fullmatch(commit):
        raise ValueError("the hub names no commit for it")
    if uri.revision and COMMIT.fullmatch(uri.revision) and commit != uri.revision:
        raise ValueError("the hub answers with another commit than the pinned one")
    return commit


def _files(api: Any, uri: Uri) -> list[Any]:
    """All files below the part of the path that stands before a glob, or below the folder above it."""
    name, folder = uri.store.removeprefix("datasets/"), uri.fixed if uri.pattern else uri.fixed.rpartition("/")[0]
    entries = api.list_repo_tree(name, folder or None, recursive=True, revision=uri.revision, repo_type="dataset")
    return [entry for entry in entries if hasattr(entry, "blob_id")]


def _is_asked_for(uri: Uri, path: str) -> bool:
    if uri.pattern:
        return uri.may_match(path)
    return not uri.key or path.startswith(f"{uri.key}/") or (path == uri.key and not uri.is_folder)


def _source(store: Any, uri: Uri, file: Any) -> Source:
    return Source(
        filesystem=store,
        path=uri.uri_of(file.path).removeprefix("hf://"),
        uri=uri.uri_of(file.path),
        size=int(file.size),
        etag=safe_inline(str(file.lfs.sha256 if file.lfs else file.blob_id), 200),
        is_pinned=True,
    )


@contextmanager
def quiet_hub() -> Iterator[None]:
    """The hub's library says nothing by itself meanwhile."""
    logs = import_module("huggingface_hub.utils.logging")
    level = logs.get_verbosity()
    logs.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logs.set_verbosity(level)
