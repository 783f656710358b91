"""Required benchmarks: those that a policy wants every batch compared with. One that was not looked for is never a pass."""

from collections.abc import Collection
from pathlib import Path

from carto_audit.policy.metrics import METRICS
from carto_audit.policy.model import Policy
from carto_audit.runtime.errors import UsageError, option
from carto_audit.runtime.strict_model import nearest
from carto_audit.text.untrusted import safe_inline


def demanded_names(policy: Policy, listed: Collection[str] | None, registry: Path) -> tuple[str, ...]:
    """The benchmarks that the policy demands, all of them listed in the file `registry`; `listed` is None where there is no such
    file. Raises UsageError in one line where one is not."""
    for name in policy.demanded:
        place = policy.place("benchmarks", name)
        where = f"{place.file}:{place.line}:{place.column}: " if place else ""
        wanted = f'{where}the policy "{policy.name}" demands the benchmark "{name}"'
        if listed is None:
            raise UsageError(
                f"{wanted}, and there is no benchmarks.yaml here; list it there, or say where with {option('registry')}"
            )
        if name not in listed:
            shown, known = safe_inline(str(registry), 160), nearest(name, listed)
            raise UsageError(f"{wanted}, which {shown} does not list{known}; add it there under benchmarks:")
    return policy.demanded


def unmet(policy: Policy, looked_for: Collection[str]) -> dict[str, str]:
    """The metrics that do not count because the audit did not look for all that the policy demands, with the reason."""
    missing = [name for name in policy.demanded if name not in looked_for]
    if not missing:
        return {}
    why = f"the policy demands {', '.join(missing)}, which this audit did not look for"
    return {metric: why for metric in METRICS if metric.startswith("contamination.")}
