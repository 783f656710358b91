"""SARIF 2.1.0 (OASIS, errata 01) for code scanning: one result per broken rule at its line of the policy, never per sample."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.policy.lens_metrics import find_metric
from carto_audit.report.formats.annotations import Annotation, annotations, batch_name, remarks
from carto_audit.text.untrusted import safe_inline

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

MOST_RESULTS = 5000
"""In one run: code scanning shows 5,000 and refuses a file of more than 25,000."""

_ESCAPES = str.maketrans({"\\": "\\\\", "[": "\\[", "]": "\\]", "{": "{{", "}": "}}"})


def render_sarif(facts: ReportFacts) -> str:
    """The SARIF log of one audit. Waived rules are results with an accepted suppression; passed rules have none.

    Code scanning refuses a whole file when one result has no place, so every result lies in the policy; the batch and
    its benchmarks are logical locations.
    """
    shown = annotations(facts)
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(facts, shown[:MOST_RESULTS], len(shown))]}
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _run(facts: ReportFacts, shown: Sequence[Annotation], found: int) -> dict[str, Any]:
    tool, verdict = facts["tool"], facts["verdict"]
    rules = list({annotation.rule: annotation for annotation in shown}.values())
    places = {annotation.rule: place for place, annotation in enumerate(rules)}
    return {
        "tool": {
            "driver": {
                "name": safe_inline(tool["name"], 80),
                "version": safe_inline(tool["version"], 40),
                "rules": [_rule(annotation) for annotation in rules],
            }
        },
        "automationDetails": {"id": f"carto-audit/{batch_name(facts).replace('/', '_')}/"},
        "originalUriBaseIds": {"%SRCROOT%": {"description": _text("the folder in which the audit ran")}},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": verdict["complete"],
                "exitCode": verdict["exit_code"],
                "toolExecutionNotifications": _notifications(facts, found),
            }
        ],
        "results": [_result(annotation, places[annotation.rule], facts) for annotation in shown],
        "properties": {
            "verdict": verdict["status"],
            "batchSha256": facts["batch"]["sha256"],
            "policySha256": facts["policy"]["sha256"],
        },
    }


def _text(words: str) -> dict[str, str]:
    """A message that no viewer takes for a link or a placeholder (SARIF §3.11.5 and §3.11.6)."""
    return {"text": words.translate(_ESCAPES)}


def _rule(annotation: Annotation) -> dict[str, Any]:
    metric = find_metric(annotation.finding["metric"])
    reason = safe_inline(annotation.finding["reason"], 400) or annotation.title
    meaning = f"{metric.name}: {metric.meaning}" if metric else annotation.rule
    level = "warning" if annotation.finding["severity"] == "warn" else "error"
    return {
        "id": annotation.rule,
        "shortDescription": _text(meaning),
        "fullDescription": _text(reason),
        "help": _text(f"{reason} What is limited: {meaning}."),
        "defaultConfiguration": {"level": level},
        "properties": {"tags": ["training-data"]},
    }


def _result(annotation: Annotation, place: int, facts: ReportFacts) -> dict[str, Any]:
    region = {"startLine": annotation.line, "startColumn": annotation.column}
    artifact = {"uri": quote(annotation.file), "uriBaseId": "%SRCROOT%"}
    if annotation.file.startswith("/"):
        artifact = {"uri": f"file://{quote(annotation.file)}"}
    result = {
        "ruleId": annotation.rule,
        "ruleIndex": place,
        "level": annotation.level,
        "message": _text(f"{annotation.title}. {annotation.message}"),
        "locations": [
            {
                "physicalLocation": {"artifactLocation": artifact, "region": region},
                "logicalLocations": _subjects(annotation, facts),
            }
        ],
        "partialFingerprints": {"cartoAudit/v1": annotation.fingerprint},
    }
    if annotation.waiver is None:
        return result
    waived = {"kind": "external", "status": "accepted", "justification": annotation.waiver}
    return {**result, "suppressions": [waived]}


def _subjects(annotation: Annotation, facts: ReportFacts) -> list[dict[str, str]]:
    """The batch, and the benchmarks of which a contamination rule found items; at most 100."""
    names = [f"batch {batch_name(facts)}"]
    if annotation.finding["metric"].startswith("contamination."):
        found = [b for b in facts["contamination"]["benchmarks"] if b["confirmed_items"] or b["suspected_items"]]
        names += [f"benchmark {safe_inline(b['name'], 120)}" for b in found[:99]]
    return [{"name": name, "kind": "resource"} for name in names]


def _notifications(facts: ReportFacts, found: int) -> list[dict[str, Any]]:
    said = [{"level": remark.level, "message": _text(remark.message)} for remark in remarks(facts)]
    if found > MOST_RESULTS:
        said.append({"level": "warning", "message": _text(f"{found - MOST_RESULTS:,} more results are in report.json")})
    return said
