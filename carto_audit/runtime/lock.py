"""Lock: one run at a time where a result goes. The system drops it with the process that holds it, however that ends."""

import errno
import fcntl
import os
import platform
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from carto_audit.runtime.errors import AuditError, option
from carto_audit.text.untrusted import safe_inline

LOCK = ".lock"
"""The file inside the folder of a result, while a run writes there."""

_UNKNOWN_TO_SYSTEM = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems say that have no locks: there a second run is not noticed."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path` during the block, which must not be a link. A file that a dead process left does not matter.

    Raises AuditError, with the process and the machine that hold it, where another run does; OSError where it cannot be made.
    """
    descriptor = _taken(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _taken(path: Path) -> int:
    while True:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o644)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(path))
            _lock(descriptor, path)
            if _is_there(descriptor, path):
                os.truncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()} {platform.node()}\n".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # who held it before has just removed it


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pid, _, host = os.pread(descriptor, 300, 0).decode("utf-8", "replace").strip().partition(" ")
        holder = f"process {safe_inline(pid, 20)} on {safe_inline(host, 80)}" if pid and host else "another process"
        where = safe_inline(str(path.parent), 160)
        raise AuditError(
            f"{where}: {holder} is writing a result here; wait for it, or choose another {option('out')}"
        ) from error
    except OSError as error:
        if error.errno not in _UNKNOWN_TO_SYSTEM:
            raise


def _is_there(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one that has the name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
