"""Errors: what can go wrong, and the exit code it ends in. The codes are a frozen contract: CI pipelines branch on them."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How the process ends. `INCOMPLETE` outranks `REJECTED`: an audit that could not see is never a pass or a mere reject."""

    ACCEPTED = 0
    REJECTED = 1
    USAGE = 2
    INCOMPLETE = 3
    INTERNAL = 4
    INTERRUPTED = 130


class CartoError(Exception):
    """An error that the user can act on. Its text is one line: what, where and the way out."""

    exit_code = ExitCode.INTERNAL


class UsageError(CartoError):
    """A wrong flag, an invalid policy, an unknown name."""

    exit_code = ExitCode.USAGE


class AuditError(CartoError):
    """The audit could not be completed: unreadable input, nothing to audit, a lost worker, a full disk."""

    exit_code = ExitCode.INCOMPLETE
