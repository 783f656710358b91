"""The command that divides a batch as its audit decided."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carto_audit.cartography.quadrants import QUADRANT_NAMES
from carto_audit.runtime.errors import ExitCode, UsageError
from carto_audit.runtime.files import shown_path
from carto_audit.runtime.remote.fetched import fetched
from carto_audit.text.untrusted import safe_inline

if TYPE_CHECKING:
    from carto_audit.artifacts.decision_facts import DecisionsFacts


@click.command()
@click.argument("audit_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("batch", nargs=-1, metavar="[BATCH]...")
@click.option(
    "--remove",
    multiple=True,
    type=click.Choice(QUADRANT_NAMES),
    help="Quarantine this quadrant too, whatever the policy does with it; may be repeated.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Where the parts go.  [default: ./<batch>-curated]")
def apply(audit_dir: Path, batch: tuple[str, ...], remove: tuple[str, ...], out: Path | None) -> int:
    """Divide a batch as its audit decided: rows to train on, with weights, and a quarantine with reasons.

    BATCH is what was audited; by default it is looked for where it lay then, and beside AUDIT_DIR. It is never written to.
    Every row ends in exactly one of the two parts, in its order, with its columns as they were. A rejected audit can be
    applied; audit the curated part again, as any batch, before it is used. Rows follow the decisions that the audit was given,
    before the policy and --remove.

    \b
    Examples:
      carto-audit apply vendor_batch-audit
      carto-audit apply audits/may shards/ --out curated/may
      carto-audit apply vendor_batch-audit --remove hotspot_memorized
    """
    from carto_audit.artifacts.audit_call import recorded_call
    from carto_audit.artifacts.audit_folder import open_audit_folder
    from carto_audit.curation.curate import check_unchanged, curate, find_batch, read_audited, read_decisions
    from carto_audit.data.batch import read_batch
    from carto_audit.report.formats.terminal import RichProgress, open_console

    audited = read_audited(audit_dir)
    if remove and audited.never_drop:
        raise UsageError("--remove: the policy of this audit never drops rows; down-weight them in the policy instead")
    check_unchanged(audit_dir)
    progress = RichProgress(open_console(stderr=True))
    folder = out or Path(f"{audit_dir.resolve().name.removesuffix('-audit')}-curated")
    with fetched(batch, progress) as remote:
        paths = find_batch(audited, audit_dir, remote.inputs)
        found = read_batch(
            paths,
            layout=audited.layout,
            id_column=audited.id_column,
            reading=audited.reading,
            choice=audited.choice if all(path.is_dir() for path in paths) else None,
            progress=progress,
        )
        if found.sha256 != audited.sha256:
            raise UsageError(
                f"{shown_path(paths[0])}: not the batch that this audit is about: "
                f"its sha256 is {found.sha256[:12]}…, that of the audited batch {safe_inline(audited.sha256[:12], 12)}…"
            )
        _check_free(folder, found.paths)
        summary = curate(found, read_decisions(audit_dir, found, remove, audited.decided), folder, progress)
    _show(summary, folder)
    if audited.decided:
        _show_decided(audited.decided)
    call = recorded_call(open_audit_folder(audit_dir).report, str(audit_dir))
    click.echo(f"Next: {call.of_curated(str(folder)).ingest()}")
    return ExitCode.ACCEPTED


def _check_free(folder: Path, batch: tuple[Path, ...]) -> None:
    """A folder of ours or an empty one: what a user has is not overwritten, and the batch lies outside."""
    from carto_audit.curation.curate import is_curation

    where = safe_inline(str(folder), 160)
    if any(path.resolve().is_relative_to(folder.resolve()) for path in batch):
        raise UsageError(f"{where}: the batch itself lies there; choose another --out")
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not is_curation(folder))):
        raise UsageError(f"{where}: exists and is not a curated batch; choose another --out")


def _show_decided(decided: "DecisionsFacts") -> None:
    """Which rows follow a person and not the policy."""
    from carto_audit.artifacts.decision_facts import used
    from carto_audit.text.numbers import plural

    for decision, words in (("keep", "kept"), ("remove", "removed"), ("false alarm", "judged without a false alarm")):
        covers = [one["covers"] for one in used(decided, decision)]
        confirmed = sum(one["confirmed_rows"] for one in covers)
        held = f", {confirmed:,} with a confirmed benchmark item" if confirmed and decision != "remove" else ""
        if covers:
            click.echo(f"  by decision {words}: {plural(sum(one['rows'] for one in covers), 'row')}{held}")


def _show(summary: dict[str, Any], folder: Path) -> None:
    where = safe_inline(str(folder), 400)
    rows, kept, lost = summary["batch"]["rows"], summary["curated_rows"], summary["quarantined_rows"]
    click.echo(f"{rows:,} rows: {kept:,} curated, {lost:,} quarantined; every row is in exactly one part")
    for action, count in sorted(summary["actions"].items(), key=lambda pair: -pair[1]):
        click.echo(f"  {count:>9,}  {safe_inline(action, 40)}")
    for reason, count in sorted(summary["quarantine_reasons"].items(), key=lambda pair: -pair[1])[:5]:
        click.echo(f"  quarantined {count:,}: {safe_inline(reason, 120)}")
    for file in summary["files"]:
        if file["json_columns"]:
            named = ", ".join(safe_inline(name, 40) for name in file["json_columns"][:6])
            click.echo(f"  note: {file['file']}: kept as JSON text, as no single type holds them: {named}")
    if summary["unseen_columns"]:
        named, others = summary["unseen_columns"][:6], summary["unseen_column_count"] - 6
        words = ", ".join(named) + (f" and {others:,} more" if others > 0 else "")
        click.echo(f"  note: columns that no stage read went through unseen: {words}")
    if not kept:
        click.echo("  nothing is left to train on")
    click.echo(f"Curated batch: {where}/curated   quarantine: {where}/quarantine   weights: {where}/weights.parquet")
