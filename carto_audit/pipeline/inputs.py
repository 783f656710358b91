"""Inputs: which benchmarks an audit looks for, and a folder that is ready and apart from what is audited."""

import os
from collections.abc import Sequence
from pathlib import Path

from carto_audit.artifacts.file_list import ENVELOPE, OUTPUTS
from carto_audit.benchmarks.registry import REGISTRY, Registry, find_registry
from carto_audit.data.readers import expand_paths, name_of
from carto_audit.gate.required_benchmarks import demanded_names
from carto_audit.policy.model import Policy
from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.runtime.files import reason
from carto_audit.text.untrusted import safe_inline


def resolve_benchmarks(
    policy: Policy, benchmarks: Sequence[str], registry: Path | None
) -> tuple[tuple[str, ...], Registry | None]:
    """What to look for: what was named, or all of a registry that was given alone, and what the policy demands; and where names
    are listed. Raises UsageError in one line for a demanded benchmark that is listed nowhere."""
    listed = find_registry(registry) if benchmarks or registry or policy.demanded else None
    named = tuple(benchmarks) or tuple(listed.entries if listed and registry else ())
    known, where = (listed.entries, listed.path) if listed else (None, Path(REGISTRY))
    return tuple(dict.fromkeys([*named, *demanded_names(policy, known, where)])), listed


def prepare_folder(
    folder: Path, inputs: Sequence[str | Path], files: Sequence[str] = (*OUTPUTS, ENVELOPE), *, nested: bool = True
) -> None:
    """Makes the folder of a result, before anything is computed. Raises UsageError where it would be read as part of an input
    (also from inside one, unless `nested`), or where one of its `files` would overwrite one; AuditError where it cannot be
    written."""
    where, place = safe_inline(str(folder), 160), folder.resolve()
    for given in map(Path, inputs):
        if given.is_dir() and (place == given.resolve() or (not nested and place.is_relative_to(given.resolve()))):
            raise UsageError(
                f"{where}: the batch lies there, and the result would be read as part of it; choose another {option('out')}"
            )
    ours = {place / name for name in files}
    for path in expand_paths(inputs):
        if path.resolve() in ours:
            raise UsageError(f"{name_of(path)}: the result would overwrite this input; choose another {option('out')}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AuditError(f"{where}: cannot be written: {reason(error)}; choose another {option('out')}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise AuditError(f"{where}: cannot be written: permission denied; choose another {option('out')}")
