"""The command that attaches an audit to a data set card."""

from collections.abc import Callable
from pathlib import Path

import click

from carto_audit.runtime.errors import ExitCode, UsageError
from carto_audit.text.untrusted import safe_inline


@click.command()
@click.argument("audit_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--readme",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="README to put the card into; created if there is none.",
)
@click.option(
    "--croissant",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Croissant file to merge the findings into; created if there is none.",
)
@click.option("--push-to", metavar="ORG/NAME", help="Data set on the hub to open a pull request on.")
def card(audit_dir: Path, readme: Path | None, croissant: Path | None, push_to: str | None) -> int:
    """Attach a finished audit to a data set card.

    Puts a section between markers into the README and one key, carto_audit, into its front matter, or renews them; every
    other byte stays. The map, the report and the verdict go to .carto-audit/ beside it, where load_dataset does not look.
    None of this quotes the batch or names a sample.

    --push-to does the same to the README on the hub, as a pull request; it needs a token that may write, and
    `hf auth login` stores one. A README on your disk is not pushed.

    \b
    Examples:
      carto-audit card vendor_batch-audit --readme README.md
      carto-audit card vendor_batch-audit --readme data/README.md --croissant data/croissant.json
      carto-audit card vendor_batch-audit --push-to our-org/vendor-batch
    """
    from carto_audit.publishing.card import card_entry, card_section
    from carto_audit.publishing.croissant import data_set_name as folder_name
    from carto_audit.publishing.croissant import merged_croissant
    from carto_audit.publishing.public_report import FOLDER, read_publication
    from carto_audit.publishing.pull_request import data_set_name, open_pull_request
    from carto_audit.publishing.readme_section import splice
    from carto_audit.runtime import files

    if readme is None and croissant is None and push_to is None:
        raise UsageError("nothing to attach the audit to: name --readme FILE, --croissant FILE or --push-to ORG/NAME")
    for path in filter(None, (readme, croissant)):
        _check_own(path, audit_dir)
    if readme is not None:
        _check_no_link(readme.parent / FOLDER)
    dataset = data_set_name(push_to) if push_to is not None else None
    publication = read_publication(audit_dir)
    facts = publication.facts

    def edited(name: str) -> Callable[[str], str]:
        return lambda text: splice(text, card_section(facts), card_entry(facts), name)

    written: list[tuple[Path, str]] = []
    if readme is not None:
        written.append((readme, edited(_shown(readme))(_text(readme) or "")))
    if croissant is not None:
        _check_apart(croissant, readme, [*publication.files])
        name = dataset.split("/")[-1] if dataset else folder_name(readme or croissant)
        merged = merged_croissant(_text(croissant), facts, name=name, shown=_shown(croissant))
        written.append((croissant, merged))
    if readme is not None:
        for asset, data in publication.files.items():
            files.write_bytes(readme.parent / FOLDER / asset, data)
        click.echo(f"Files: {_shown(readme.parent / FOLDER)}")
    for path, text in written:
        files.write_text(path, text)
        click.echo(f"{'Card' if path is readme else 'Croissant'}: {_shown(path)}")
    if dataset is not None:
        assets = {f"{FOLDER}/{name}": data for name, data in publication.files.items()}
        title = f"Add the data audit: {facts['verdict']['status'].replace('_', ' ')}"
        pushed = open_pull_request(dataset, edited(f"{dataset}: README.md"), assets, safe_inline(title, 100))
        click.echo(f"Pull request: {pushed.url}" if pushed.url else "The hub holds this card already; nothing to push")
    return ExitCode.ACCEPTED


def _check_own(path: Path, audit: Path) -> None:
    """Neither the card nor the Croissant file takes the place of a file of the audit."""
    from carto_audit.artifacts.file_list import ENVELOPE, OUTPUTS

    _check_no_link(path)
    try:
        place = path.resolve()
    except (OSError, RuntimeError) as error:
        raise UsageError(f"{_shown(path)}: a link above it leads nowhere; name a file") from error
    if place in {(audit / name).resolve() for name in (*OUTPUTS, ENVELOPE)}:
        raise UsageError(f"{_shown(path)}: is a file of the audit itself; name another")
    if path.exists() and not path.is_file():
        raise UsageError(f"{_shown(path)}: not a file; name one")


def _check_no_link(path: Path) -> None:
    """What lies beside a vendor's data may lead anywhere."""
    if path.is_symlink():
        raise UsageError(f"{_shown(path)}: is a link, and nothing is written through one; name the file itself")


def _text(path: Path) -> str | None:
    """The file's text with its own line breaks; None where there is none yet."""
    if not path.parent.is_dir():
        raise UsageError(f"{_shown(path)}: no such folder; make it first")
    if not path.exists():
        return None
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{_shown(path)}: not UTF-8 at byte {error.start}; save it as UTF-8 first") from error


def _check_apart(croissant: Path, readme: Path | None, assets: list[str]) -> None:
    """The Croissant file is neither the README nor one of the files beside it."""
    from carto_audit.publishing.public_report import FOLDER

    if readme is not None:
        taken = {readme.resolve(), *((readme.parent / FOLDER / name).resolve() for name in assets)}
        if croissant.resolve() in taken:
            raise UsageError(f"{_shown(croissant)}: the card writes this file itself; name another --croissant")


def _shown(path: Path) -> str:
    return safe_inline(str(path), 300)
