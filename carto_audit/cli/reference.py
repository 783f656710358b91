"""The reference of commands: a Markdown page made of their own help. `python -m carto_audit.cli.reference docs/commands.md`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from carto_audit.cli.main import cli
from carto_audit.runtime import files

COMMAND = "python -m carto_audit.cli.reference docs/commands.md"
_HEAD = f"""# Commands

Made from the commands themselves: `{COMMAND}`.

A shell completes commands, options and paths once it has the script of `carto-audit completion bash`, `zsh` or `fish`.
"""


def reference(group: click.Group, name: str = "carto-audit") -> str:
    """Every command of `group` and of the groups in it, by name, with its help at a width of 100 columns."""
    parts = [f"## {path}\n\n```text\n{context.get_help()}\n```\n" for path, context in _contexts(group, name, None)]
    return "\n".join([_HEAD, *parts])


def _contexts(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, click.Context]]:
    look = {"terminal_width": 100, "max_content_width": 100}
    context = click.Context(command, parent, name, **{**command.context_settings, **look})
    yield context.command_path, context
    if isinstance(command, click.Group):
        for child in sorted(command.commands):
            yield from _contexts(command.commands[child], child, context)


if __name__ == "__main__":
    files.write_text(Path(sys.argv[1]), reference(cli))
