"""The commands about vendors: a vendor's summary of an audit, and the options with which a buyer checks one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from carto_audit.cli.finished.proof import as_audited, ask_passphrase
from carto_audit.runtime.errors import AuditError, ExitCode, UsageError
from carto_audit.runtime.remote.fetched import fetched

_OPTIONS = (
    click.option(
        "--vendor-summary", metavar="FOLDER", help="What the vendor summarized, to be held against this audit."
    ),
    click.option("--vendor-salt", metavar="FILE", help="The summary's salt.  [default: beside it]"),
    click.option(
        "--vendor-key", metavar="PUBLIC_KEY", help="Whoever holds its private half must have signed the summary."
    ),
    click.option(
        "--vendor-recompute", is_flag=True, help="Compute some of the vendor's losses again, with his seed and key."
    ),
)


def vendor_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them, in this order."""
    for add in reversed(_OPTIONS):
        command = add(command)
    return command


def vendor_files(summary: str | None, salt: str | None, key: str | None) -> list[Path]:
    """The files that the options name, none of which may be written to."""
    folder = Path(summary) if summary is not None else None
    inside = [*folder.iterdir(), folder.with_name(f"{folder.name}.salt")] if folder and folder.is_dir() else []
    return [*inside, *(Path(name) for name in (salt, key) if name is not None)]


@click.command()
@click.argument("audit_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("batch", nargs=-1, required=True, metavar="BATCH...")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="SUMMARY", help="Where the summary goes."
)
@click.option("--key", type=click.Path(path_type=Path), metavar="KEY", help="Private ed25519 key in PEM to sign with.")
@click.option(
    "--sampling-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The key that drew the rows; it is disclosed.",
)
@click.option(
    "--salt",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the salt lies or goes.  [default: SUMMARY.salt]",
)
def summarize(
    audit_dir: Path, batch: tuple[str, ...], out: Path, key: Path | None, sampling_key: Path | None, salt: Path | None
) -> int:
    """Summarize a finished audit for the buyer of the batch: figures for every row, no text, and a signed commitment.

    Writes the folder SUMMARY: summary.parquet, a row per row of the batch, and a statement that binds it to the batch and says
    how the audit was done, its seed and its sampling key included. The salt stays in a file of its own: give it, with the
    batch, to the buyer alone; without it nobody can tell from the summary which texts are in the batch.

    \b
    Examples:
      carto-audit attest --new-key vendor.key
      carto-audit ingest june.parquet --sampling-key june.key --repeats 1
      carto-audit summarize june-audit june.parquet --out june-summary --sampling-key june.key --key vendor.key
    """
    from carto_audit.attestation.dsse import load_signer
    from carto_audit.attestation.verify import verify
    from carto_audit.curation.curate import read_audited
    from carto_audit.data.batch import read_batch
    from carto_audit.data.sampling_key import read_sampling_key
    from carto_audit.report.formats.terminal import RichProgress, open_console, tame
    from carto_audit.vendors.summary import salt_beside, summarize

    place = salt or salt_beside(out)
    if place.resolve().is_relative_to(out.resolve()):
        raise UsageError("the salt would lie in the summary, which others may see; name another --salt")
    if key is not None and key.resolve().is_relative_to(out.resolve()):
        raise UsageError("the key lies in the folder that others will receive; keep it elsewhere")
    drawn_by = read_sampling_key(sampling_key) if sampling_key is not None else None
    signer = load_signer(key, lambda: ask_passphrase(key)) if key is not None else None
    progress = RichProgress(open_console(stderr=True))
    with fetched(batch, progress) as remote:
        paths = as_audited(audit_dir, remote.inputs)
        for check in verify(audit_dir, paths, progress=progress).failed:
            raise AuditError(tame(f"{audit_dir}: cannot be summarized: {check.name}: {check.words}", 1000))
        audited = read_audited(audit_dir)
        found = read_batch(
            paths,
            layout=audited.layout,
            id_column=audited.id_column,
            reading=audited.reading,
            progress=progress,
        )
        made = summarize(audit_dir, found, out, salt=place, sampling_key=drawn_by, signer=signer, progress=progress)
    signed = f"signed by {signer.public_key.keyid}" if signer else "not signed; sign it with --key"
    click.echo(tame(f"Summary: {out}: {made.rows:,} rows, {made.trained:,} trained on, {made.flagged:,} flagged", 1000))
    click.echo(f"Root: {made.root}; {signed}")
    click.echo(tame(f"Salt: {made.salt}: give it to the buyer alone, with the batch", 1000))
    return ExitCode.ACCEPTED
