"""`carto-audit reply`: why a delivery was not taken as it is, for the vendor."""

from pathlib import Path

import click

from carto_audit.runtime.errors import ExitCode
from carto_audit.text.untrusted import safe_inline


@click.command()
@click.argument("audit_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Where the reply goes.  [default: ./<audit>-reply]")
@click.option("--name-benchmarks", is_flag=True, help="Name the evaluation sets whose text was found.")
def reply(audit_dir: Path, out: Path | None, name_benchmarks: bool) -> int:
    """Write a reply to the vendor: the rules that do not hold, and the rows in their way.

    Leaves reply.html and rows.jsonl: a line for each row that is removed, down-weighted or holds evaluation text, with its
    number, its id, the reason and where it stands. No text is quoted, neither of the batch nor of a benchmark, whose items and
    names stay untold too.

    \b
    Examples:
      carto-audit reply vendor_batch-audit
      carto-audit reply audits/may --out replies/may --name-benchmarks
    """
    from carto_audit.artifacts.audit_folder import open_audit_folder
    from carto_audit.publishing.reply import PAGE, make_reply, summary_words, write_reply

    made = make_reply(open_audit_folder(audit_dir), name_benchmarks=name_benchmarks)
    folder = out or Path(f"{audit_dir.resolve().name}-reply")
    write_reply(made, folder)
    click.echo(summary_words(made))
    click.echo(f"Reply: {safe_inline(str(folder / PAGE), 400)}")
    return ExitCode.ACCEPTED
