"""Results of red teams in a few bytes, for everything that reads one."""

import json
from copy import deepcopy

from carto_audit.artifacts.redteam_record import redteam_estimates
from carto_audit.policy.model import load_policy


def estimate(value, half=0.02):
    """An E of `redteam.json`; without `half` one that has no interval."""
    return {
        "value": value,
        "low": None if half is None else value - half,
        "high": None if half is None else value + half,
    }


ARMS = [
    {"arm": "untreated", "leakage": estimate(0.9), "perplexity_change": estimate(0.0, 0.0), "mi_auc": estimate(0.7)},
    {"arm": "prune", "leakage": estimate(0.05), "perplexity_change": estimate(0.004, 0.001), "mi_auc": estimate(0.55)},
    {"arm": "policy", "leakage": estimate(0.18), "perplexity_change": estimate(-0.002, 0.004), "mi_auc": estimate(0.6)},
]


def redteam(batch_sha256, policy="default", *, arms=ARMS, picked=1, blind=False):
    """What `carto-audit redteam` leaves of a batch with this digest under this policy: 90 % extracted, then 18 %."""
    loaded = load_policy(policy)
    reduction = None if blind else estimate(1 - arms[2]["leakage"]["value"] / arms[0]["leakage"]["value"], 0.05)
    return {
        "schema_version": 1,
        "tool": {"name": "carto-audit", "version": "0"},
        "batch": {"paths": ["vendor.parquet"], "sha256": batch_sha256, "rows": 48, "tokens": 1000},
        "policy": {"name": loaded.name, "sha256": loaded.sha256, "treatment_sha256": loaded.treatment_sha256},
        "run": {"mode": "quick", "seeds": [0, 1, 2]},
        "arms": deepcopy(arms),
        "nothing_to_reduce": blind,
        "knee": {"arm": None, "reason": "no knee: a test"},
        "policy_pick": {"arm": picked, "reason": "a test"},
        "metrics": redteam_estimates(arms, reduction, picked, blind),
        "verdict": None,
        "warnings": [],
    }


def write_redteam(path, content):
    """The file, in a folder that may not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
