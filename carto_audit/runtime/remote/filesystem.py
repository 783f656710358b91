"""Stores as Arrow's file systems see them. Each is reached only for a URI that a user typed, and waited for only so long."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.hub import TIMEOUT
from carto_audit.runtime.remote.answers import one_line
from carto_audit.runtime.remote.uris import Uri
from carto_audit.text.untrusted import safe_inline

if TYPE_CHECKING:
    from pyarrow import NativeFile
    from pyarrow.fs import FileSystem

T = TypeVar("T")
R = TypeVar("R")

CONNECT_TIMEOUT, ATTEMPTS = 10.0, 4
"""Seconds until a store that takes no connection is given up, and how often Arrow asks."""

MOST_OBJECTS = 200_000
"""Of one delivery."""

STREAMS = 16
"""Requests at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One object as it was listed."""

    filesystem: "FileSystem" = field(repr=False, compare=False)
    path: str
    """As the file system calls it."""
    uri: str
    size: int
    """In bytes."""
    etag: str
    """What the store calls these very bytes: another tag, other bytes."""
    is_pinned: bool = False
    """Whether the URI names a commit, under which nothing can change."""

    def open(self) -> "NativeFile":
        """The object for reading, as it was listed. Raises AuditError where it is another by now, or cannot be read."""
        with one_line(self.uri):
            stream = self.filesystem.open_input_file(self.path)
            tag = self.etag if self.is_pinned else _tag(self.filesystem, self.path, stream)
            if (stream.size(), tag) != (self.size, self.etag):
                stream.close()
                raise changed(self.uri)
            return stream


def changed(uri: str) -> AuditError:
    """What is said of an object that is another than the listed one."""
    return AuditError(f"{safe_inline(uri, 200)}: the object changed while it was audited; run again")


def check_sources(sources: Iterable[Source]) -> None:
    """Raises AuditError in one line where an object is not what it was when it was listed."""

    def check(source: Source) -> None:
        try:
            source.open().close()
        except UsageError as error:
            raise changed(source.uri) from error

    for_all(check, [source for source in sources if not source.is_pinned])


def for_all(action: Callable[[T], R], each: Sequence[T]) -> list[R]:
    """What an action returns for each, several at a time. The first error ends it."""
    with ThreadPoolExecutor(STREAMS) as pool:
        try:
            return list(pool.map(action, each))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def list_objects(uri: Uri) -> tuple[Source, ...]:
    """The objects behind a URI of a bucket, by name. Raises UsageError where there is none, AuditError where the store refuses or
    does not answer."""
    with one_line(uri.text):
        store = STORES[uri.scheme](uri)
        found = _listed(store, uri)
    if len(found) > MOST_OBJECTS:
        raise AuditError(f"{uri.text}: {len(found):,} objects, more than {MOST_OBJECTS:,}; name a folder in it")
    if not found:
        raise UsageError(f"{safe_inline(uri.text, 200)}: no such object or folder")
    root = store_root(uri)
    return tuple(for_all(lambda path: _source(store, path, uri.uri_of(path.removeprefix(f"{root}/"))), sorted(found)))


def store_root(uri: Uri) -> str:
    """The store as Arrow calls it: the bucket, or the container."""
    return uri.store.partition("@")[0]


def _listed(store: "FileSystem", uri: Uri) -> list[str]:
    """Paths of what is asked for."""
    from pyarrow.fs import FileSelector, FileType

    root = store_root(uri)
    place = f"{root}/{uri.fixed}" if uri.fixed else root
    below = FileSelector(place, recursive=True, allow_not_found=True)
    if uri.pattern:
        found = [one.path for one in store.get_file_info(below) if one.type == FileType.File]
        return [path for path in found if uri.may_match(path.removeprefix(f"{root}/"))]
    itself = store.get_file_info(place)
    if itself.type == FileType.NotFound:
        return []
    inside = [one.path for one in store.get_file_info(below) if one.type == FileType.File and one.path != place]
    if itself.type == FileType.Directory or not inside:
        return inside if itself.type == FileType.Directory else [] if uri.is_folder else [place]
    if itself.size and not uri.is_folder:
        raise UsageError(f"{safe_inline(uri.text, 200)}: an object and a folder; write / behind it for what lies below")
    return inside


def _source(store: "FileSystem", path: str, uri: str) -> Source:
    with one_line(uri, listed=True), store.open_input_file(path) as stream:
        return Source(filesystem=store, path=path, uri=uri, size=int(stream.size()), etag=_tag(store, path, stream))


def _tag(store: "FileSystem", path: str, stream: "NativeFile") -> str:
    """What tells these bytes from others of the same name: the store's ETag or generation, else the time of the last change."""
    told = {_text(name).lower(): _text(value) for name, value in (stream.metadata() or {}).items()}
    found = told.get("etag") or told.get("generation")
    if found is None:
        return f"changed at {store.get_file_info(path).mtime_ns}"
    return safe_inline(found.strip('"'), 200)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _s3(uri: Uri) -> "FileSystem":
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return S3FileSystem(
        region=region or (None if endpoint else resolve_s3_region(uri.store)),
        endpoint_override=endpoint,
        connect_timeout=CONNECT_TIMEOUT,
        request_timeout=TIMEOUT,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def _gs(uri: Uri) -> "FileSystem":
    from pyarrow.fs import GcsFileSystem

    return GcsFileSystem(retry_time_limit=timedelta(seconds=TIMEOUT))


def _abfss(uri: Uri) -> "FileSystem":
    from pyarrow.fs import AzureFileSystem

    key, signed = os.environ.get("AZURE_STORAGE_KEY"), os.environ.get("AZURE_STORAGE_SAS_TOKEN")
    account = uri.store.partition("@")[2].partition(".")[0]
    return AzureFileSystem(account, account_key=key, sas_token=None if key else signed)


STORES: dict[str, Callable[[Uri], "FileSystem"]] = {"s3": _s3, "gs": _gs, "abfss": _abfss}
"""How the file system of each scheme is made: of the environment, and of the name of the store alone."""
