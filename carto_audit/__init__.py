"""Audits text before it enters a language model's training corpus.

    audit = carto_audit.audit("batch.parquet", policy="strict", benchmarks=["gsm8k.parquet"])
    audit.verdict, audit.scores, audit.report.save("report.html")

Every public name is loaded when it is first used: importing this package costs nothing and loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carto_audit.api import Audit, Report, audit, open_audit, plant, redteam, score
    from carto_audit.curation.sample_weights import sampler
    from carto_audit.gate.verdict import Verdict
    from carto_audit.governance.report.result import Redteam
    from carto_audit.pipeline.options import AuditOptions
    from carto_audit.policy.model import Policy, load_policy
    from carto_audit.real_runs.options import PlantOptions
    from carto_audit.real_runs.planted_batch import Plant
    from carto_audit.runtime.errors import AuditError, CartoError, ExitCode, UsageError

__version__ = "0.1.0"

_HOMES = {
    "Audit": "api",
    "AuditError": "runtime.errors",
    "AuditOptions": "pipeline.options",
    "CartoError": "runtime.errors",
    "ExitCode": "runtime.errors",
    "Plant": "real_runs.planted_batch",
    "PlantOptions": "real_runs.options",
    "Policy": "policy.model",
    "Redteam": "governance.report.result",
    "Report": "api",
    "UsageError": "runtime.errors",
    "Verdict": "gate.verdict",
    "audit": "api",
    "load_policy": "policy.model",
    "open_audit": "api",
    "plant": "api",
    "redteam": "api",
    "sampler": "curation.sample_weights",
    "score": "api",
}
"""Every public name and the module where it lies (PEP 562). No module beside this file may bear one of them."""

__all__ = [
    "Audit",
    "AuditError",
    "AuditOptions",
    "CartoError",
    "ExitCode",
    "Plant",
    "PlantOptions",
    "Policy",
    "Redteam",
    "Report",
    "UsageError",
    "Verdict",
    "audit",
    "load_policy",
    "open_audit",
    "plant",
    "redteam",
    "sampler",
    "score",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
