"""Options of several commands: how a batch is read and what of it, and who works on what can be divided."""

from collections.abc import Callable, Sequence
from typing import Any

import click

_OPTIONS = (
    click.option("--encoding", metavar="NAME", help="Encoding of JSON and CSV files without a mark.  [default: utf-8]"),
    click.option("--csv-delimiter", metavar="CHAR|tab", help="Between the fields of CSV files.  [default: found]"),
    click.option("--csv-quote", metavar="CHAR|none", help="Around fields of CSV files.  [default: found]"),
    click.option("--csv-escape", metavar="CHAR|none", help="Before quotes in CSV files.  [default: found]"),
    click.option(
        "--csv-header", type=click.Choice(["yes", "no"]), help="Whether CSV files name their columns.  [default: found]"
    ),
    click.option("--config", metavar="NAME", help="Configuration of a data set folder that is read.  [default: all]"),
    click.option("--split", metavar="NAME", help="Split of a data set folder that is read.  [default: all]"),
)


_ENGINE = (
    click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Processes of this machine, or Ray.",
    ),
    click.option(
        "--workers", type=click.IntRange(1, 4096), help="How many work at once.  [default: by size and cores]"
    ),
    click.option("--address", metavar="ADDRESS", help="Of a Ray cluster that runs.  [default: one is started here]"),
)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds those that say how a batch is read, in this order."""
    return _add(_OPTIONS, command)


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds those that say who works, in this order."""
    return _add(_ENGINE, command)


def _add(options: Sequence[Callable[..., Any]], command: Callable[..., Any]) -> Callable[..., Any]:
    for add in reversed(options):
        command = add(command)
    return command
