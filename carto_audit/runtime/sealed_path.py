"""Sealed paths: files whose bytes are known. Whoever opens one gets those bytes or an error, whatever is done to the file."""

import hashlib
import io
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PosixPath
from typing import Any, BinaryIO

from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import open_regular, reason, shown_path
from carto_audit.runtime.limits import WAY_OUT, Limits

BLOCK = 1 << 18
"""Bytes that have a digest of their own: a column is read without the columns beside it, and held against its digests."""

_KEPT = 32
"""Blocks that a reader keeps: columns that lie side by side are read in turns."""

_DIGEST_BYTES = 32

LIMITS = Limits()
"""Those of who gives none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What a file held: its hex sha256, its size in bytes, and the sha256 of each BLOCK of it, one after the other."""

    sha256: str
    n_bytes: int
    blocks: bytes

    def holds(self, number: int, block: bytes) -> bool:
        """Whether these are the bytes of one block."""
        place = number * _DIGEST_BYTES
        return hashlib.sha256(block).digest() == self.blocks[place : place + _DIGEST_BYTES]


class SealedPath(PosixPath):
    """The path of a file that was sealed. A path that is made of it is not sealed."""

    seal: Seal | None = None
    limits: Limits = LIMITS
    status: tuple[int, ...] = ()
    """What the system said of the file when its bytes were last known to be those of the seal."""

    def __reduce__(self) -> tuple[Callable[..., "SealedPath"], tuple[Any, ...]]:
        return _sealed, (os.fsencode(self), self.seal, self.status, self.limits)

    def with_segments(self, *segments: str | os.PathLike[str]) -> Path:
        return Path(*segments)

    def check(self) -> None:
        """Raises AuditError where the file is not what it was. Reads it only where the system says that it was touched."""
        try:
            if _status(self) == self.status:
                return
            again = seal(Path(self))
        except OSError as error:
            raise _changed(self) from error
        if again.seal != self.seal:
            raise _changed(self)
        self.status = again.status


def _sealed(name: bytes, found: Seal | None, status: tuple[int, ...], limits: Limits) -> SealedPath:
    path = SealedPath(os.fsdecode(name))
    path.seal, path.status, path.limits = found, status, limits
    return path


def seal(path: Path, limits: Limits = LIMITS) -> SealedPath:
    """Hashes a file in one pass; what is made of it stays within the limits. Raises OSError, also for what is no regular file."""
    status, whole, n_bytes, blocks = _status(path), hashlib.sha256(), 0, bytearray()
    with open_regular(path, follow=True) as stream:
        for block in iter(partial(stream.read, BLOCK), b""):
            whole.update(block)
            blocks += hashlib.sha256(block).digest()
            n_bytes += len(block)
    found = Seal(sha256=whole.hexdigest(), n_bytes=n_bytes, blocks=bytes(blocks))
    return _sealed(os.fsencode(path), found, status, limits)


def seal_all(paths: Iterable[Path], limits: Limits = LIMITS) -> tuple[SealedPath, ...]:
    """Hashes the files of a batch. Raises AuditError in one line for one that cannot be read."""
    found = []
    for path in paths:
        try:
            found.append(seal(path, limits))
        except OSError as error:
            raise AuditError(f"{shown_path(path)}: cannot be read: {reason(error)}") from error
    return tuple(found)


def check_seals(paths: Iterable[Path]) -> None:
    """Raises AuditError where a sealed file is not what it was."""
    for path in paths:
        if isinstance(path, SealedPath):
            path.check()


@dataclass(slots=True)
class Meter:
    """What was made of a file so far, in bytes, held against what may be made of it."""

    path: Path
    most: int
    n_bytes: int = 0

    def add(self, n_bytes: int) -> None:
        """Raises AuditError where it is more than may be."""
        self.n_bytes += n_bytes
        if self.n_bytes > self.most:
            where = shown_path(self.path)
            times = f"more than {self.most:,} bytes, which is more than its size times limits.expansion"
            raise AuditError(f"{where}: expands to {times}; {WAY_OUT}")


def meter(path: Path) -> Meter:
    """A meter of what is read of a file. Raises OSError."""
    n_bytes = path.seal.n_bytes if isinstance(path, SealedPath) and path.seal else path.stat().st_size
    limits = path.limits if isinstance(path, SealedPath) else LIMITS
    return Meter(path, limits.most_expanded(n_bytes))


def identity_of(path: Path) -> tuple[object, ...]:
    """By what something that was found out about a file may be kept: of a sealed one its digest. Raises OSError."""
    return (path.seal.sha256,) if isinstance(path, SealedPath) and path.seal else _status(path)


def open_bytes(path: Path) -> BinaryIO:
    """Opens a regular file for reading: of a sealed one come the bytes that were sealed, or AuditError. Raises OSError, also for
    a pipe, which is never waited for."""
    if isinstance(path, SealedPath) and path.seal is not None:
        return _SealedReader(path, path.seal)  # type: ignore[return-value]  # a raw stream reads whole where it can
    return open_regular(path, follow=True)


class _SealedReader(io.RawIOBase):
    """Reads whole blocks, each held against its digest, and gives of them what is asked for."""

    def __init__(self, path: SealedPath, found: Seal) -> None:
        self._path, self._seal = path, found
        self._stream = open_regular(path, follow=True)
        self._place = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._seal.n_bytes}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._place < self._seal.n_bytes:
            number, inside = divmod(self._place, BLOCK)
            part = self._block(number)[inside : inside + len(view) - filled]
            view[filled : filled + len(part)] = part
            filled += len(part)
            self._place += len(part)
        return filled

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._blocks.clear()
        super().close()

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        self._stream.seek(number * BLOCK)
        block = self._stream.read(BLOCK)
        if not self._seal.holds(number, block):
            raise _changed(self._path)
        self._blocks[number] = block
        if len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        return block


def _status(path: Path) -> tuple[int, ...]:
    """Device, number, size and times, of which no program sets the last. Raises OSError."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _changed(path: Path) -> AuditError:
    return AuditError(f"{shown_path(path)}: the file changed while it was audited; run again")
