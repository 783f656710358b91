"""Flags that stand in `carto-audit.toml` in the working folder, so that a team repeats a run without a script of its own."""

import hashlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.files import read_regular, reason
from carto_audit.text.untrusted import safe_inline

CONFIG = "carto-audit.toml"
LARGEST_CONFIG = 1 << 20

COMMANDS = ("ingest", "redteam", "plant")
"""Those that take a delivery, and refuse a file that may have come with it."""

_ONCE = frozenset({"help", "version", "show-config"})
"""Flags that make no sense in a file."""

_SOURCES = {
    ParameterSource.COMMANDLINE: "command line",
    ParameterSource.DEFAULT_MAP: CONFIG,
    ParameterSource.ENVIRONMENT: "environment",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A file of flags: its hex `sha256`, and values by command and parameter as click takes defaults."""

    path: Path
    sha256: str
    defaults: Mapping[str, Any]


def read_config(folder: Path, group: click.Group) -> Config | None:
    """The file in a folder, None where there is none. Raises UsageError in one line for what is no TOML, for a command or a flag
    that there is not, and for a value of another kind than the flag's."""
    path = folder / CONFIG
    if not path.exists() and not path.is_symlink():
        return None
    try:
        data = read_regular(path, LARGEST_CONFIG)
        told = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise UsageError(f"{CONFIG}: cannot be read: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{CONFIG}: not TOML: {safe_inline(str(error), 160)}") from error
    return Config(path=path.absolute(), sha256=hashlib.sha256(data).hexdigest(), defaults=_defaults(told, group))


def _defaults(told: Mapping[str, Any], group: click.Group) -> dict[str, Any]:
    found = {}
    for name, values in told.items():
        shown = safe_inline(name, 80)
        if name not in COMMANDS:
            raise UsageError(f"{CONFIG}: [{shown}]: no command that takes flags from a file; {', '.join(COMMANDS)} do")
        if not isinstance(values, Mapping):
            raise UsageError(f"{CONFIG}: {shown}: a table of flags belongs here, as in [{shown}]")
        found[name] = _of_command(values, group.commands[name])
    return found


def _of_command(values: Mapping[str, Any], command: click.Command) -> dict[str, Any]:
    flags = {
        name.lstrip("-"): param
        for param in command.params
        if isinstance(param, click.Option)
        for name in param.opts
        if name.lstrip("-") not in _ONCE
    }
    found: dict[str, Any] = {}
    for name, value in values.items():
        where = f"{CONFIG}: [{command.name}] {safe_inline(name, 80)}"
        if name not in flags:
            raise UsageError(f"{where}: no such flag; see carto-audit {command.name} --help")
        param = flags[name]
        found[str(param.name)] = _value(value, param, where)
    return found


def _value(value: Any, param: click.Option, where: str) -> Any:
    """As click takes it from the command line."""
    if param.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{where}: true or false")
        return value
    if param.multiple:
        if not isinstance(value, list) or not all(_is_plain(one) for one in value):
            raise UsageError(f'{where}: a list, as in ["A", "B"]')
        return [str(one) for one in value]
    if not _is_plain(value):
        raise UsageError(f"{where}: one text or one number")
    return str(value)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def check_apart(config: Config | None, inputs: Iterable[str]) -> None:
    """Raises UsageError where the file lies in a folder that is delivered, or beside a file that is: it may have come with the
    delivery, and what a delivery says decides nothing."""
    if config is None:
        return
    place = config.path.resolve()
    for given in map(Path, inputs):
        if place.is_relative_to(given.resolve()) if given.is_dir() else place.parent == given.parent.resolve():
            raise UsageError(
                f"{CONFIG} lies in the delivery, in or beside {safe_inline(str(given), 120)}; keep what is delivered in a folder "
                "of its own, and run the command in another"
            )


def shown_config(context: click.Context, config: Config | None) -> Iterator[str]:
    """A line for every flag: its value, and where that comes from."""
    yield f"{CONFIG}: sha256 {config.sha256}" if config else f"no {CONFIG} in this folder"
    for param in context.command.params:
        name = str(param.name)
        if isinstance(param, click.Option) and param.opts[0].lstrip("-") not in _ONCE:
            source = _SOURCES.get(context.get_parameter_source(name) or ParameterSource.DEFAULT, "default")
            yield f"{param.opts[0]}  {safe_inline(_told(context.params.get(name)), 400)}  ({source})"


def _told(value: Any) -> str:
    if value is None or value == ():
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
