"""The commands about the proof: sign an audit, and verify one."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from carto_audit.runtime.errors import CartoError, ExitCode, UsageError
from carto_audit.runtime.remote.fetched import fetched

if TYPE_CHECKING:
    from carto_audit.attestation.verify import Proof

PASSPHRASE = "CARTO_AUDIT_KEY_PASSPHRASE"
"""Where the passphrase of an encrypted key stands when nobody can be asked."""


@click.command()
@click.argument("audit_dir", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--key", type=click.Path(path_type=Path), metavar="KEY", help="Private ed25519 key in PEM to sign with.")
@click.option(
    "--new-key", type=click.Path(path_type=Path), metavar="FILE", help="Make a key: FILE, and FILE.pub for receivers."
)
def attest(audit_dir: Path | None, key: Path | None, new_key: Path | None) -> int:
    """Sign a finished audit offline, or make a key to sign with.

    Signs verdict.intoto.json, which holds the sha256 of the batch, the policy and every file of the audit, and writes
    verdict.dsse.json beside it. A folder whose files disagree with that statement is not signed. Needs
    carto-audit[sign].

    The passphrase of an encrypted key is asked for, or read from CARTO_AUDIT_KEY_PASSPHRASE.

    \b
    Examples:
      carto-audit attest --new-key ~/.config/audit.key
      carto-audit attest vendor_batch-audit --key ~/.config/audit.key
    """
    from carto_audit.artifacts.file_list import ENVELOPE
    from carto_audit.attestation import dsse as envelope
    from carto_audit.attestation import verify as proof

    if new_key is not None:
        if key is not None or audit_dir is not None:
            raise UsageError("--new-key makes a key and nothing else; sign with --key in a second call")
        return _show_new_key(new_key, envelope.make_key(new_key))
    if audit_dir is None or key is None:
        raise UsageError("attest needs AUDIT_DIR and --key KEY; make a key with carto-audit attest --new-key FILE")
    if key.resolve().is_relative_to(audit_dir.resolve()):
        raise UsageError("the key lies in the folder that others will receive; keep it elsewhere")
    signer = envelope.load_signer(key, lambda: ask_passphrase(key))
    found = proof.attest(audit_dir, signer)
    if found.failed:
        _echo(f"NOT SIGNED: {audit_dir} is not as its statement says")
        _echo_failed(found)
        return found.exit_code
    _echo(f"Signed: {audit_dir / ENVELOPE}; the verdict is {_words(found.status)}")
    _echo(f"Key: fingerprint {signer.public_key.keyid}")
    return ExitCode.ACCEPTED


@click.command()
@click.argument("audit_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("batch", nargs=-1, required=True, metavar="BATCH...")
@click.option("--policy", metavar="NAME|FILE", help="The policy that should have been applied.")
@click.option("--key", type=click.Path(path_type=Path), metavar="KEY", help="Public key of whoever should have signed.")
@click.option(
    "--sampling-key", type=click.Path(path_type=Path), metavar="FILE", help="The key that should have decided the draw."
)
def verify(
    audit_dir: Path, batch: tuple[str, ...], policy: str | None, key: Path | None, sampling_key: Path | None
) -> int:
    """Prove that an audit is about this batch and this policy, and say what that does not prove.

    Hashes the batch and every file of the audit again and holds them against verdict.intoto.json, and that against its
    signature. Nothing is computed again. Name the batch as it was named for the audit: several files in the same order.

    \b
    Exit codes: 0 all of it holds, whatever the verdict says · 1 something was changed · 2 usage error
                3 something could not be read

    \b
    Examples:
      carto-audit verify vendor_batch-audit vendor_batch.parquet
      carto-audit verify audits/may shards/ --policy policies/ours.yaml --key audit.key.pub
      carto-audit verify audits/may may.parquet --sampling-key ~/.config/sampling.key
    """
    from carto_audit.artifacts.file_list import COVERED, ENVELOPE, STATEMENT
    from carto_audit.attestation import verify as proof
    from carto_audit.attestation.dsse import load_public_key
    from carto_audit.data.sampling_key import read_sampling_key
    from carto_audit.policy.model import load_policy
    from carto_audit.report.formats.terminal import RichProgress, open_console

    applied = load_policy(policy) if policy is not None else None
    public = load_public_key(key) if key is not None else None
    drawn_by = read_sampling_key(sampling_key) if sampling_key is not None else None
    ours = {(audit_dir / name).resolve() for name in (*COVERED, STATEMENT, ENVELOPE)}
    progress = RichProgress(open_console(stderr=True))
    with fetched(batch, progress) as remote:
        paths = [path for path in as_audited(audit_dir, remote.inputs) if path.resolve() not in ours]
        found = proof.verify(audit_dir, paths, policy=applied, key=public, sampling_key=drawn_by, progress=progress)
    _show(found, audit_dir)
    return found.exit_code


def as_audited(audit_dir: Path, batch: Sequence[str | Path]) -> tuple[Path, ...]:
    """The files of the batch that an audit reads, as its report says that it did; where it says nothing, all data files."""
    from carto_audit.curation.curate import read_audited
    from carto_audit.data.shards import expand_paths, find_shards

    try:
        audited = read_audited(audit_dir)
    except (CartoError, TypeError):  # what is wrong with the report, the checks say
        return expand_paths(batch)
    folders = all(Path(given).is_dir() for given in batch)
    return find_shards(batch, reading=audited.reading, choice=audited.choice if folders else None).paths


def _show(found: "Proof", folder: Path) -> None:
    if found.failed:
        _echo(f"NOT VERIFIED: {folder}")
        _echo_failed(found)
        holding = ", ".join(check.name for check in found.checks if check.outcome == "holds")
        _echo(f"Holds: {holding or 'nothing'}")
        return
    _echo(f"VERIFIED: {folder}; the verdict is {_words(found.status)}")
    _echo("Proven:")
    files = [check.name for check in found.checks if not check.words]
    _echo(f"these files are as the statement records them: {', '.join(files)}", "+")
    for check in found.checks:
        if check.words:
            _echo(check.words, "+")
    _echo("Not proven:")
    for words in found.unproven:
        _echo(words, "-")


def _echo_failed(found: "Proof") -> None:
    for check in found.failed:
        _echo(f"{check.name}: {check.words}", "!")


def _echo(text: str, mark: str = "") -> None:
    """A line of ours that may quote names of others."""
    from carto_audit.report.formats.terminal import tame

    click.echo(f"  {mark} {tame(text, 1000)}" if mark else tame(text, 1000))


def _words(status: str | None) -> str:
    return (status or "unreadable").replace("_", " ").upper()


def _show_new_key(path: Path, fingerprint: str) -> int:
    from carto_audit.attestation.dsse import public_path

    _echo(f"Private key: {path} (keep it; it is not encrypted)")
    _echo(f"Public key: {public_path(path)} (for those who verify)")
    _echo(f"Fingerprint: {fingerprint}")
    return ExitCode.ACCEPTED


def ask_passphrase(key: Path) -> str:
    from carto_audit.text.untrusted import safe_inline

    if PASSPHRASE in os.environ:
        return os.environ[PASSPHRASE]
    if not sys.stdin.isatty():
        raise UsageError(f"{safe_inline(str(key), 160)}: encrypted; set {PASSPHRASE}, or run in a terminal")
    answer: str = click.prompt("Passphrase", hide_input=True, err=True)
    return answer
