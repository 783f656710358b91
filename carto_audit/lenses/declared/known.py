"""The lenses that there are: ours, and those of other packages, which are imported only when somebody names them."""

import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint

from carto_audit.lenses.declared.answers import ANSWERS
from carto_audit.lenses.declared.personal_data import PERSONAL_DATA
from carto_audit.lenses.declared.predicted_risk import PREDICTED_RISK
from carto_audit.lenses.declared.repetition import REPETITION
from carto_audit.lenses.declared.secrets import SECRETS
from carto_audit.lenses.declared.spec import LensSpec
from carto_audit.lenses.declared.tables import TABLES
from carto_audit.lenses.declared.tracing import TRACING
from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.strict_model import nearest
from carto_audit.text.untrusted import safe_inline

GROUP = "carto_audit.lenses"
"""The group of entry points under which other packages register theirs: `acme.watermark = "acme_lenses:spec"`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownLens:
    """A declaration, and whose it is: `acme-lenses 1.2`, None for ours."""

    spec: LensSpec
    distribution: str | None = None


SHIPPED: dict[str, KnownLens] = {
    spec.name: KnownLens(spec=spec)
    for spec in (ANSWERS, PERSONAL_DATA, PREDICTED_RISK, REPETITION, SECRETS, TABLES, TRACING)
}
"""Ours, by name."""

_loaded: dict[str, KnownLens] = {}


def known_lens(name: str) -> KnownLens | None:
    """A lens that is ours or was named before in this process; imports nothing."""
    return SHIPPED.get(name) or _loaded.get(name)


def lens_names() -> list[str]:
    """Ours, then those that other packages register, of which nothing is imported."""
    return [*SHIPPED, *sorted({point.name for point in _points() if "." in point.name})]


def find_lens(name: str) -> KnownLens:
    """The lens of that name; imports the package that registers it. Raises UsageError in one line where there is none, where it
    cannot be loaded, or where it lacks a package."""
    found = known_lens(name) or _load(name)
    for package in found.spec.extra:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError as error:
            raise UsageError(f'the lens "{name}" needs the package {safe_inline(package, 60)}; install it') from error
    return found


def _points() -> Iterator[EntryPoint]:
    yield from importlib.metadata.entry_points(group=GROUP)


def _load(name: str) -> KnownLens:
    shown = safe_inline(name, 60)
    points = [point for point in _points() if point.name == name and "." in name]
    if not points:
        raise UsageError(
            f'no lens is called "{shown}"{nearest(name, lens_names()) or "; see `carto-audit lenses list`"}'
        )
    if len(points) > 1:
        raise UsageError(f'{len(points)} packages register a lens "{shown}"; remove all but one')
    (point,) = points
    distribution = point.dist
    whose = f"{distribution.name} {distribution.version}" if distribution else "unknown"
    if not re.sub(r"[-_.]+", "_", whose.lower()).startswith(name.split(".")[0]):
        raise UsageError(f'the lens "{shown}" is registered by {safe_inline(whose, 60)}, whose name its prefix is not')
    try:
        spec = point.load()()
    except Exception as error:  # a package that is not ours may raise anything
        words = safe_inline(f"{type(error).__name__}: {error}", 160)
        raise UsageError(f'the lens "{shown}" of {safe_inline(whose, 60)} cannot be loaded: {words}') from error
    if not isinstance(spec, LensSpec) or spec.name != name:
        raise UsageError(f'the lens "{shown}" of {safe_inline(whose, 60)} declares another name, or nothing')
    _loaded[name] = KnownLens(spec=spec, distribution=safe_inline(whose, 80))
    return _loaded[name]
