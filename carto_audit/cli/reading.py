"""The options that say how a batch is read and what of it, of all commands that read a batch."""

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
    click.option("--config", metavar="NAME", help="Configuration of a data set folder that is read.  [default: all]"),
    click.option("--split", metavar="NAME", help="Split of a data set folder that is read.  [default: all]"),
)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them, in this order."""
    for add in reversed(_OPTIONS):
        command = add(command)
    return command
