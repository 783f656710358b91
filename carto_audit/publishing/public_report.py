"""What of an audit may be public: facts and files that quote no sample, name none and point at none."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from jinja2 import UndefinedError

from carto_audit.artifacts.audit_folder import open_audit_folder
from carto_audit.artifacts.file_list import OUTPUTS, REPORT, STATEMENT, VERDICT, is_covered
from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.lenses.declared.facts import LensFacts, LensSectionFacts
from carto_audit.lenses.declared.spec import FALSE_ALARMS, FOUND
from carto_audit.policy.lens_metrics import LENS, find_metric
from carto_audit.policy.values import show_value
from carto_audit.report.html import render_html
from carto_audit.runtime.errors import AuditError
from carto_audit.runtime.files import json_bytes
from carto_audit.text.numbers import number

FOLDER = ".carto-audit"
"""Beside the README. Its leading dot keeps `load_dataset` away: pictures or tables elsewhere would become rows."""

SHOWN = (
    "batch",
    "contamination",
    "detection",
    "duplicates",
    "findings",
    "map",
    "metric_intervals",
    "metrics",
    "policy",
    "run",
    "schema_version",
    "tool",
    "verdict",
    "warnings",
)
"""The parts of `report.json` that a public report holds; whatever else an audit comes to hold stays at home."""

SHOWN_OF_RUNS = ("real_run",)
"""The same of parts that only some reports have."""

_QUOTING = frozenset({"sample_id", "item_id", "heat", "span"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The public facts of one finished audit, and the files that carry them, by name."""

    facts: ReportFacts
    files: dict[str, bytes]


def read_publication(audit: Path) -> Publication:
    """What may be published of the audit in this folder.

    Raises AuditError in one line when the audit is not complete, or when its report is not the one that was attested.
    """
    folder = open_audit_folder(audit)
    facts, digest = folder.report, hashlib.sha256(folder.report_bytes).hexdigest()
    found = {name: folder.data(name) for name in (VERDICT, STATEMENT, "map.png", "map.svg")}
    try:
        statement = json.loads(found[STATEMENT])
        attested = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
        if attested[REPORT] != digest or folder.verdict["status"] != facts["verdict"]["status"]:
            raise AuditError(f"{folder.shown(REPORT)}: changed since the audit ended; run the audit again")
        public = public_facts(facts, digest)
        page = render_html(public, found["map.svg"].decode())
        subjects = {name: of for name, of in attested.items() if name not in OUTPUTS and not is_covered(name)}
        files = {name: found[name] for name in ("map.png", "map.svg", VERDICT)}
        files |= {REPORT: json_bytes(public), "report.html": page.encode()}
        subjects |= {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        about = [{"name": name, "digest": {"sha256": of}} for name, of in subjects.items()]
        files[STATEMENT] = json_bytes({**statement, "subject": about})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UndefinedError) as error:
        raise folder.not_a_report() from error
    return Publication(facts=public, files=files)


def public_facts(facts: ReportFacts, report_sha256: str) -> ReportFacts:
    """The facts without every entry that quotes or names a sample or an item: what is left counts, and points nowhere.

    A list of the most memorized rows would be a map for whoever looks for secrets. `published` says what was left out,
    and names the full report by its digest.
    """
    whole: Mapping[str, Any] = facts
    present = [name for name in SHOWN_OF_RUNS if name in whole]
    kept = {name: _unquoted(whole[name]) for name in (*SHOWN, *present)}
    if "lenses" in facts:
        kept["lenses"] = {name: _public_lens(name, lens) for name, lens in facts["lenses"].items()}
    left_out = "excerpts, sample ids, item ids, the list of the riskiest samples and the list of matches"
    published = facts.get("published") or {"left_out": left_out, "report_sha256": report_sha256}
    return cast(ReportFacts, {**kept, "excerpts": "none", "riskiest": [], "published": published})


def _public_lens(name: str, lens: LensFacts) -> LensFacts:
    """A lens in numbers alone: its words may name columns, or hold those of an error."""
    said: LensSectionFacts | None = None
    if lens["section"] is not None:
        metrics = {key: value for key, value in lens["metrics"].items() if not key.startswith((FOUND, FALSE_ALARMS))}
        headline = ", ".join(f"{key.replace('_', ' ')} {_shown(name, key, value)}" for key, value in metrics.items())
        said = {"headline": headline or "measured", "paragraph": "", "facts": [], "figures": []}
    return {**lens, "section": said, "problem": "", "warnings": []}


def _shown(lens: str, metric: str, value: float) -> str:
    name = f"{LENS}{lens}.{metric}"
    if find_metric(name) is not None:
        return show_value(name, value)
    return number(value, 0 if value == round(value) else 2)


def _unquoted(value: Any) -> Any:
    if isinstance(value, list):
        return [_unquoted(item) for item in value if not _quotes(item)]
    if isinstance(value, dict):
        return {key: None if _quotes(item) else _unquoted(item) for key, item in value.items()}
    return value


def _quotes(value: Any) -> bool:
    """Whether this entry is about a single sample or item."""
    return isinstance(value, dict) and any(key in _QUOTING or key.startswith("excerpt") for key in value)
