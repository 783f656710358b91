"""Finished audits in a few bytes: what a report says about itself, for everything that reads one."""

import json
from copy import deepcopy

from carto_audit.policy.model import load_policy

METRICS = {
    "hotspot_memorized.token_share": 0.04,
    "memorized.token_share": 0.05,
    "contamination.confirmed_items": 0.0,
    "contamination.suspected_items": 0.0,
    "contamination.min_detectability": 1.0,
    "duplicates.token_share": 0.1,
    "batch.unread_file_share": 0.0,
    "batch.unread_text_share": 0.0,
    "batch.skipped_row_share": 0.0,
    "batch.unmapped_token_share": 0.0,
    "detection.found_at_dose_4": 0.95,
    "memorized.span_token_share": 0.02,
    "boilerplate.token_share": 0.0,
    "boilerplate.surprising_token_share": 0.0,
    "kinship.severed_token_share": 0.0,
    "repeats.agreement": None,
}


def report(status="accepted", **changes):
    """The parts of a report.json under the default policy that others read; `changes` are about its metrics."""
    policy = load_policy("default")
    return {
        "schema_version": 1,
        "tool": {"name": "carto-audit", "version": "0"},
        "batch": {"paths": ["vendor-a-may.parquet"], "sha256": "ab" * 32, "rows": 10},
        "run": {
            "started_at": "2026-11-20T10:00:00+00:00",
            "proxy": {"name": "nano"},
            "epochs": 8,
            "folds": 2,
            "repeats": 1,
        },
        "contamination": {"benchmarks": [{"name": "gsm8k", "sha256": "cd" * 32, "items": 3}]},
        "policy": {"name": "default", "sha256": policy.sha256, "resolved": deepcopy(policy.resolved())},
        "metrics": {**METRICS, **changes},
        "metric_intervals": {"hotspot_memorized.token_share": [0.035, 0.045]},
        "findings": [{"rule": rule.id, "outcome": "passed"} for rule in policy.rules],
        "verdict": {"status": status, "exit_code": 0, "complete": True},
    }


def write_audit(folder, content=None, **changes):
    """A folder as a finished audit leaves it; `content` replaces the report."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report(**changes) if content is None else content))
    (folder / "verdict.json").write_text("{}")
    return folder
