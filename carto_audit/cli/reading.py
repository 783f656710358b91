"""The options that say how text files are read, of all commands that read a batch."""

from collections.abc import Callable
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
)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them, in this order."""
    for add in reversed(_OPTIONS):
        command = add(command)
    return command
