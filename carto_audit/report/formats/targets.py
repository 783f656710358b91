"""Targets: which formats a command writes, and where each goes. Checked before anything is computed."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.text.untrusted import safe_inline

Format = Literal["text", "json", "sarif", "junit", "github", "gitlab", "markdown"]

FILES: Mapping[Format, str] = {
    "sarif": "carto-audit.sarif",
    "junit": "junit.xml",
    "gitlab": "gl-code-quality-report.json",
}
"""Formats that are files by nature, with their names in the audit's folder; the others go to the standard output."""

STDOUT = Path("-")
_TALK: frozenset[Format] = frozenset({"text", "github"})
"""Formats that are written to be read in a log, so that several may share the standard output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One format and the file it goes to, or STDOUT; None: where it goes by nature."""

    format: Format
    path: Path | None = None

    def file(self, folder: Path) -> Path | None:
        """The file for the audit in `folder`, or None for the standard output."""
        if self.path is not None:
            return None if self.path == STDOUT else self.path
        return folder / FILES[self.format] if self.format in FILES else None

    @property
    def claims_stdout(self) -> bool:
        """Whether the standard output is this document alone."""
        return self.format not in _TALK and self.file(Path()) is None


def parse_targets(values: Iterable[str]) -> tuple[Target, ...]:
    """Targets from `FORMAT` or `FORMAT=PATH`, each once, in the order given. Raises UsageError."""
    targets = tuple(dict.fromkeys(_parse(value) for value in values))
    documents = [target.format for target in targets if target.claims_stdout]
    spoken = [target.format for target in targets if target.file(Path()) is None]
    if documents and len(spoken) > 1:
        raise UsageError(
            f"{option('format')}: {' and '.join(spoken)} would share the standard output; "
            f"give {documents[0]} a file: {option('format', f'{documents[0]}=PATH')}"
        )
    return targets


def _parse(value: str) -> Target:
    name, given, path = value.partition("=")
    formats: tuple[Format, ...] = get_args(Format)
    found = next((known for known in formats if known == name), None)
    if found is None:
        from carto_audit.runtime.strict_model import nearest  # loads pydantic, which no --help should wait for

        known = ", ".join(formats)
        raise UsageError(
            f'{option("format")}: no format is called "{safe_inline(name, 40)}"{nearest(name, formats)}; known: {known}'
        )
    if given and not path:
        raise UsageError(f"{option('format', value)}: a file's name is missing after the equals sign")
    if given and found == "github":
        raise UsageError(f"{option('format', 'github')}: takes no file: its annotations are lines of the log")
    to_stdout = path == str(STDOUT) and found not in FILES
    return Target(format=found, path=Path(path) if given and not to_stdout else None)


def check_targets(targets: Sequence[Target], folder: Path, inputs: Iterable[Path], own: Iterable[str]) -> None:
    """Refuses, before the training, a target that is an input, one of the audit's `own` files, a folder, or another target."""
    taken = {path.resolve(): "an input" for path in inputs}
    taken |= {(folder / name).resolve(): "a file of the audit itself" for name in own}
    for target in targets:
        file = target.file(folder)
        if file is None:
            continue
        where = f"{option('format', target.format)}: {safe_inline(str(file), 160)}"
        if file.is_dir():
            raise UsageError(f"{where}: is a folder; name a file")
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise UsageError(
                f"{where}: is a link or a device, which would be replaced; name a file, or - for the output"
            )
        if not _writable(file):
            raise AuditError(f"{where}: cannot be written there; name another file")
        if what := taken.get(file.resolve()):
            raise UsageError(f"{where}: would overwrite {what}; name another file")
        taken[file.resolve()] = f"the {target.format} file"


def _writable(file: Path) -> bool:
    """Whether the nearest folder that exists takes new files."""
    nearest_folder = next(folder for folder in file.absolute().parents if folder.exists())
    return nearest_folder.is_dir() and os.access(nearest_folder, os.W_OK | os.X_OK)


def stale_files(targets: Sequence[Target], folder: Path) -> Iterator[Path]:
    """What an earlier audit may have left and a failed one must not leave: CI would take it for its result."""
    yield from (folder / name for name in FILES.values())
    yield from (file for target in targets if (file := target.file(folder)))
