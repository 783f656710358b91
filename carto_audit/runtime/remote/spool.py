"""The spool: copies of remote objects, one place for all runs of a machine. Nothing is fetched twice, nor beyond a limit."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from carto_audit.runtime.errors import AuditError, UsageError
from carto_audit.runtime.files import SPOOL, VIEWS, atomic_path, beside_folder, copy_name, path_of, spool_root, writing
from carto_audit.runtime.progress import Progress
from carto_audit.runtime.remote.answers import one_line
from carto_audit.runtime.remote.filesystem import Source, changed, for_all
from carto_audit.text.untrusted import safe_inline

LIMIT = "CARTO_AUDIT_SPOOL_LIMIT"
"""The variable that says how many gigabytes the spool may take; USUAL_LIMIT where there is none."""

USUAL_LIMIT = 200.0
KEEP_DAYS = 30
"""What no run asked for in so many days is removed."""

BLOCK = 8 << 20
"""Bytes asked for at once."""

SPARE = 1 << 30
"""Bytes that stay free on the disk: the audit itself writes too."""

OBJECTS = "objects"


def spool_limit() -> int:
    """Bytes that the spool may take. Raises UsageError for what is no number of gigabytes."""
    told = os.environ.get(LIMIT) or str(USUAL_LIMIT)
    try:
        limit = float(told)
    except ValueError:
        limit = -1.0
    if not 0 < limit < 1e9:
        raise UsageError(f"{LIMIT}={safe_inline(told, 40)}: a number of gigabytes, such as 200")
    return int(limit * 1e9)


@contextmanager
def spooled(sources: Sequence[Source], progress: Progress) -> Iterator[Path]:
    """A folder with a copy of every object below its scheme, its store and its key; nobody removes it during the block.

    What is there already is not fetched. Raises AuditError before the first byte where there is no room, and in one line for
    whatever goes wrong after.
    """
    limit, wanted = spool_limit(), sum(source.size for source in sources)
    if wanted > limit:
        first = f"{safe_inline(sources[0].uri, 200)} and {len(sources) - 1:,} more objects"
        raise AuditError(
            f"{first}: {wanted / 1e9:,.1f} GB, more than the spool may take ({limit / 1e9:,.1f} GB); "
            f"name less of it, or raise {LIMIT}"
        )
    root = _opened()
    names = _names(sources, folds=root.with_name(root.name.swapcase()).exists())
    listed = json.dumps([[one.uri, one.etag, one.size] for one in sources]).encode()
    view = root / VIEWS / hashlib.sha256(listed).hexdigest()
    with writing(root), _alone(root, progress):
        held = _hold(view, fcntl.LOCK_SH)
        try:
            if not view.is_dir():
                _fill(root, sources, limit, progress)
                _link(root, view, names)
            os.utime(_lock_of(view))
        except BaseException:
            os.close(held)
            raise
    try:
        yield view
    finally:
        os.close(held)


def _opened() -> Path:
    """The spool, made where it is missing: this user's alone. Raises AuditError where it cannot be."""
    try:
        root = spool_root()
    except RuntimeError as error:
        raise AuditError(f"no home to keep copies of what is fetched; name a folder in {SPOOL}") from error
    with writing(root):
        for folder in (root, root / OBJECTS, root / VIEWS):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if root.stat().st_uid != os.geteuid():
            raise OSError(errno.EPERM, "another user's")
        root.chmod(0o700)
    return root


@contextmanager
def _alone(root: Path, progress: Progress) -> Iterator[None]:
    """One run at a time fills the spool: two would fetch the same, and each count on the same room."""
    descriptor = os.open(root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note("another run is fetching; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _names(sources: Sequence[Source], *, folds: bool) -> dict[str, Source]:
    """What each copy is called below the view. Raises AuditError for two names that this file system takes for one."""
    names = {copy_name(source.uri.replace("://", "/", 1)): source for source in sources}
    folders = {name[:place] for name in names for place, sign in enumerate(name) if sign == "/"}
    names = {beside_folder(name) if name in folders else name: source for name, source in names.items()}
    seen: dict[str, str] = {}
    for name in (*names, *folders) if folds else ():
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise AuditError(f"{safe_inline(name, 160)}: this disk takes it for {safe_inline(other, 160)}; set {SPOOL}")
    return names


def _lock_of(view: Path) -> Path:
    return view.with_name(f"{view.name}.lock")


def _hold(view: Path, how: int) -> int:
    """The lock of a view, which others may share or not. Raises BlockingIOError."""
    descriptor = os.open(_lock_of(view), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _object(root: Path, source: Source) -> Path:
    named = json.dumps([source.uri, source.etag, source.size]).encode()
    return root / OBJECTS / hashlib.sha256(named).hexdigest()


def _link(root: Path, view: Path, names: Mapping[str, Source]) -> None:
    """Makes a view of copies that are there: the same bytes under two names."""
    unfinished = view.with_name(f".{view.name}.tmp")
    for name, source in names.items():
        place = unfinished / path_of(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(_object(root, source), place)
    unfinished.rename(view)


def _fill(root: Path, sources: Sequence[Source], limit: int, progress: Progress) -> None:
    """Fetches what is not there yet."""
    for leftover in (root / OBJECTS).glob(".*.tmp"):
        leftover.unlink()
    for unfinished in (root / VIEWS).glob(".*.tmp"):
        shutil.rmtree(unfinished, ignore_errors=True)
    places = {_object(root, source): source for source in sources}
    missing = {place: source for place, source in places.items() if not _is_there(place, source)}
    needed = sum(source.size for source in missing.values())
    _make_room(root, limit - needed, places)
    free = shutil.disk_usage(root).free
    if needed + SPARE > free:
        raise AuditError(
            f"{safe_inline(sources[0].uri, 200)}: {needed / 1e9:,.1f} GB are to be fetched, and where copies are kept "
            f"{free / 1e9:,.1f} GB are free; free some space, or name another folder in {SPOOL}"
        )
    stop, causes = threading.Event(), list[BaseException]()
    with progress.task("Fetching", needed, "bytes") as advance:
        counted = _in_turn(advance)

        def copy(place: Path) -> None:
            try:
                _copy(missing[place], place, counted, stop)
            except BaseException as error:
                if not stop.is_set():
                    causes.append(error)  # others end because of this one
                stop.set()
                raise

        try:
            for_all(copy, list(missing))
        except AuditError:
            raise causes[0] from None
        except KeyboardInterrupt:
            stop.set()
            raise


def _is_there(place: Path, source: Source) -> bool:
    try:
        return place.stat().st_size == source.size
    except FileNotFoundError:
        return False


def _in_turn(advance: Callable[[float], None]) -> Callable[[float], None]:
    lock = threading.Lock()

    def counted(amount: float) -> None:
        with lock:
            advance(amount)

    return counted


def _copy(source: Source, place: Path, advance: Callable[[float], None], stop: threading.Event) -> None:
    """Copies one object, whole or not at all. Raises AuditError where it breaks off or is another one at the end."""
    with atomic_path(place) as temporary, temporary.open("wb") as out, source.open() as stream:
        left = source.size
        while left:
            if stop.is_set():
                raise AuditError(f"{safe_inline(source.uri, 200)}: not fetched, as another object could not be")
            with one_line(source.uri):
                block = stream.read(min(BLOCK, left))
            if not block:
                raise AuditError(
                    f"{safe_inline(source.uri, 200)}: broke off after {source.size - left:,} of {source.size:,} bytes; run again"
                )
            out.write(block)
            left -= len(block)
            advance(len(block))
        out.flush()
        try:
            source.open().close()
        except UsageError as error:
            raise changed(source.uri) from error


def _make_room(root: Path, most: int, wanted: Collection[Path]) -> None:
    """Removes copies that no run holds, the longest unused first, until they take no more than `most` bytes; those that nobody
    asked for lately in any case. Raises AuditError where too much is held."""
    if _taken(root) > most:
        _remove_unlinked(root, wanted)
    for lock in sorted((root / VIEWS).glob("*.lock"), key=lambda path: path.stat().st_mtime):
        if time.time() - lock.stat().st_mtime > 86_400 * KEEP_DAYS or _taken(root) > most:
            _remove_view(lock)
            _remove_unlinked(root, wanted)
    taken = _taken(root)
    if taken > most:
        raise AuditError(
            f"the spool has no room: {taken / 1e9:,.1f} GB in it are of this delivery or in use by other runs; raise {LIMIT}"
        )


def _taken(root: Path) -> int:
    return sum(place.stat().st_size for place in (root / OBJECTS).iterdir())


def _remove_view(lock: Path) -> None:
    view = lock.with_suffix("")
    try:
        held = _hold(view, fcntl.LOCK_EX)
    except BlockingIOError:
        return
    shutil.rmtree(view, ignore_errors=True)
    lock.unlink()
    os.close(held)


def _remove_unlinked(root: Path, wanted: Collection[Path]) -> None:
    """Removes copies that stand in no view and are not wanted now."""
    for place in (root / OBJECTS).iterdir():
        if place not in wanted and place.stat().st_nlink == 1:
            place.unlink()
