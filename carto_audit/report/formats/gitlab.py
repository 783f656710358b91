"""GitLab's code quality report: a JSON array that a merge request shows beside the policy's lines."""

import json
from typing import Any

from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.report.formats.annotations import Annotation, Remark, annotations, policy_file, remarks


def render_gitlab(facts: ReportFacts) -> str:
    """The array of issues. Their fingerprints differ, else GitLab would show only the first of those that agree."""
    issues = [_issue(annotation) for annotation in annotations(facts)]
    issues += [_remark(remark, policy_file(facts)) for remark in remarks(facts)]
    unique = {issue["fingerprint"]: issue for issue in reversed(issues)}
    return json.dumps(list(unique.values())[::-1], indent=2, allow_nan=False) + "\n"


def _issue(annotation: Annotation) -> dict[str, Any]:
    waived = "" if annotation.waiver is None else f" Waived: {annotation.waiver}."
    return {
        "description": f"{annotation.title}. {annotation.message}{waived}",
        "check_name": f"carto-audit/{annotation.rule}",
        "fingerprint": annotation.fingerprint,
        "severity": {"error": "blocker", "warning": "minor", "note": "info"}[annotation.level],
        "location": {"path": annotation.file, "lines": {"begin": annotation.line}},
    }


def _remark(remark: Remark, file: str) -> dict[str, Any]:
    return {
        "description": remark.message,
        "check_name": f"carto-audit/{remark.topic}",
        "fingerprint": remark.fingerprint,
        "severity": "minor" if remark.level == "warning" else "info",
        "location": {"path": file, "lines": {"begin": 1}},
    }
