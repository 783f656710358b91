"""Errors: what can go wrong, and the exit code it ends in. The codes are a frozen contract: CI pipelines branch on them."""

import re
from enum import IntEnum


class ExitCode(IntEnum):
    """How the process ends. `INCOMPLETE` outranks `REJECTED`: an audit that could not see is never a pass or a mere reject."""

    ACCEPTED = 0
    REJECTED = 1
    USAGE = 2
    INCOMPLETE = 3
    INTERNAL = 4
    INTERRUPTED = 130


_OPTION = re.compile("\x01(\\w+)\x02([^\x03]*)\x03")
"""An option inside an error's text. `safe_inline` drops such characters, so no vendor's text holds one."""

_FLAGS = {"levels": "level", "scores": "score"}
"""Options that take several values in the library and are repeated on the command line."""


def option(name: str, value: object = None) -> str:
    """An option, to stand in the text of an error: `max_tokens` or `folds=1` for who calls the library, `--max-tokens` or
    `--folds 1` on the command line."""
    return f"\x01{name}\x02{'' if value is None else value}\x03"


def _argument(found: re.Match[str]) -> str:
    return f"{found[1]}={found[2]}" if found[2] else found[1]


def _flag(found: re.Match[str]) -> str:
    return f"--{_FLAGS.get(found[1], found[1]).replace('_', '-')}{f' {found[2]}' if found[2] else ''}"


class CartoError(Exception):
    """An error that the user can act on. Its text is one line: what, where and the way out."""

    exit_code = ExitCode.INTERNAL

    def __str__(self) -> str:
        return _OPTION.sub(_argument, super().__str__())

    def for_command_line(self) -> str:
        """The text with options as the command line spells them."""
        return _OPTION.sub(_flag, super().__str__())


class UsageError(CartoError):
    """A wrong flag, an invalid policy, an unknown name."""

    exit_code = ExitCode.USAGE


class AuditError(CartoError):
    """The audit could not be completed: unreadable input, nothing to audit, a lost worker, a full disk."""

    exit_code = ExitCode.INCOMPLETE
