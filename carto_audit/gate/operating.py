"""Operating characteristics: how often batches whose memorized mass is known were rejected under a policy, as measured."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from carto_audit.artifacts.report_facts import OperatingFacts
from carto_audit.policy.model import Policy

BY_MEMORY = ("memorized.", "hotspot_memorized.")
"""How the names of metrics begin that are measured by memory."""

_KEPT = "operating.json"


def memory_sha256(policy: Policy) -> str:
    """Names all that decides what a policy says of memory: its map, and its rules on what is measured by it."""
    rules = [
        [rule.metric, rule.min, rule.max, rule.severity]
        for rule in policy.rules
        if rule.metric.startswith(BY_MEMORY) and not rule.disabled
    ]
    decided = {"map": policy.map.model_dump(mode="json"), "rules": sorted(rules, key=str)}
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


def operating_of(policy: Policy) -> OperatingFacts | None:
    """What was measured of a policy that judges memory like this one; None where nothing was."""
    wanted = memory_sha256(policy)
    return next((known["measured"] for known in _measured().values() if known["memory_sha256"] == wanted), None)


@cache
def _measured() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((files("carto_audit.gate") / _KEPT).read_text(encoding="utf-8"))
    return found
