"""`carto-audit show`: one row of a finished audit."""

from pathlib import Path

import click

from carto_audit.runtime.errors import ExitCode


@click.command()
@click.argument("audit_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("samples", nargs=-1, required=True, metavar="SAMPLE...")
def show(audit_dir: Path, samples: tuple[str, ...]) -> int:
    """Show what a finished audit knows of single rows.

    SAMPLE is an id, or row:N for the N-th row of the batch, counted from 0. Shown are the decision and its reason, the place on
    the map, the memorized passage, losses over the epochs, copies and benchmark items, and lines for a file of decisions. Text is
    quoted only where the report quotes it.

    \b
    Examples:
      carto-audit show vendor_batch-audit conv-00017
      carto-audit show vendor_batch-audit row:0 row:41
    """
    from carto_audit.artifacts.audit_folder import open_audit_folder
    from carto_audit.report.formats.sample_card import find_sample, render_sample
    from carto_audit.report.formats.terminal import open_console

    folder, console = open_audit_folder(audit_dir), open_console()
    for card in [find_sample(folder, name) for name in samples]:
        render_sample(card, folder, console)
    return ExitCode.ACCEPTED
