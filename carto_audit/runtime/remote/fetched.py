"""Fetched: the inputs of a command with every URI made a path on this machine, and what the report says of it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.files import copy_name, path_of
from carto_audit.runtime.progress import SILENT, Progress
from carto_audit.runtime.remote.uris import Uri, is_uri, parse_uri

if TYPE_CHECKING:
    from carto_audit.runtime.remote.filesystem import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Where a batch lies on this machine, and what it is a copy of."""

    inputs: tuple[str | Path, ...]
    """Files, folders and globs, as everything that reads a batch takes them."""
    uris: tuple[str, ...] = ()
    """What was typed; of a data set on the hub at its commit."""
    sources: "tuple[Source, ...]" = ()
    """Each object behind them, by name."""

    def check(self) -> None:
        """Raises AuditError in one line where an object is not what it was when it was listed."""
        if self.sources:
            from carto_audit.runtime.remote.filesystem import check_sources

            check_sources(self.sources)


@contextmanager
def fetched(batch: Sequence[str | Path], progress: Progress = SILENT) -> Iterator[Fetched]:
    """Copies what URIs of a batch name to this machine, once, and keeps it there during the block; paths stay as they are, and
    nothing is loaded for them. Raises UsageError for what is not there, AuditError for what cannot be fetched."""
    if local_inputs(batch) or not batch:
        yield Fetched(inputs=tuple(batch))
        return
    from carto_audit.runtime.remote.spool import spooled

    with ExitStack() as held:
        uris, sources = [], {}
        for uri in map(parse_uri, map(str, batch)):
            if uri.scheme == "hf":
                from carto_audit.runtime.remote.hub_files import list_files, quiet_hub

                held.enter_context(quiet_hub())
                uri, found = list_files(uri)
            else:
                from carto_audit.runtime.remote.filesystem import list_objects

                found = list_objects(uri)
            uris.append(uri)
            sources.update({source.uri: source for source in found})
        listed = tuple(sources[name] for name in sorted(sources))
        view = held.enter_context(spooled(listed, progress))
        inputs = tuple(_place(view, uri) for uri in uris)
        yield Fetched(inputs=inputs, uris=tuple(uri.text for uri in uris), sources=listed)


def _place(view: Path, uri: Uri) -> Path:
    """Where the copies of what a URI names lie; a glob stays one."""
    fixed = view / path_of(copy_name(uri.uri_of(uri.fixed).replace("://", "/", 1)))
    return Path(f"{escape(str(fixed))}/{uri.pattern}") if uri.pattern else fixed


def local_inputs(batch: Sequence[str | Path]) -> tuple[str | Path, ...]:
    """The inputs that are paths: none where URIs were typed. Raises UsageError for one that cannot be fetched, and for both."""
    uris = [parse_uri(one) for one in batch if isinstance(one, str) and is_uri(one)]
    if uris and len(uris) < len(batch):
        raise UsageError(f"{uris[0].text}: URIs and local files in one batch; download it, or give either of them")
    return () if uris else tuple(batch)
