"""What of an audit may be public: facts and files that quote no sample, name none and point at none."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError

from carto_audit.artifacts.file_list import OUTPUTS
from carto_audit.report.html import render_html
from carto_audit.runtime.errors import AuditError
from carto_audit.text.untrusted import safe_inline

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

_QUOTING = frozenset({"sample_id", "item_id", "heat", "span"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The public facts of one finished audit, and the files that carry them, by name."""

    facts: dict[str, Any]
    files: dict[str, bytes]


def read_publication(audit: Path) -> Publication:
    """What may be published of the audit in this folder.

    Raises AuditError in one line when the audit is not complete, or when its report is not the one that was attested.
    """
    names = ("report.json", "verdict.json", "verdict.intoto.json", "map.png", "map.svg")
    found = {name: _read(audit / name) for name in names}
    facts, verdict, statement = (_parsed(found[name], audit / name) for name in names[:3])
    digest = hashlib.sha256(found["report.json"]).hexdigest()
    try:
        attested = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
        if attested["report.json"] != digest or verdict["status"] != facts["verdict"]["status"]:
            raise AuditError(f"{_shown(audit / 'report.json')}: changed since the audit ended; run the audit again")
        public = public_facts(facts, digest)
        report = _json(public)
        page = render_html(public, found["map.svg"].decode())
        subjects = {name: of for name, of in attested.items() if name not in OUTPUTS}
    except (ValueError, KeyError, TypeError, AttributeError, UndefinedError) as error:
        raise AuditError(f"{_shown(audit / 'report.json')}: not the report of an audit; run the audit again") from error
    files = {name: found[name] for name in ("map.png", "map.svg", "verdict.json")}
    files |= {"report.json": report, "report.html": page.encode()}
    subjects |= {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    about = [{"name": name, "digest": {"sha256": of}} for name, of in subjects.items()]
    return Publication(facts=public, files={**files, "verdict.intoto.json": _json({**statement, "subject": about})})


def public_facts(facts: Mapping[str, Any], report_sha256: str) -> dict[str, Any]:
    """The facts without every entry that quotes or names a sample or an item: what is left counts, and points nowhere.

    A list of the most memorized rows would be a map for whoever looks for secrets. `published` says what was left out,
    and names the full report by its digest.
    """
    kept: dict[str, Any] = {name: _unquoted(facts[name]) for name in SHOWN}
    left_out = "excerpts, sample ids, item ids, the list of the riskiest samples and the list of matches"
    published = facts.get("published") or {"left_out": left_out, "report_sha256": report_sha256}
    return {**kept, "excerpts": "none", "riskiest": [], "published": published}


def _unquoted(value: Any) -> Any:
    if isinstance(value, list):
        return [_unquoted(item) for item in value if not _quotes(item)]
    if isinstance(value, dict):
        return {key: None if _quotes(item) else _unquoted(item) for key, item in value.items()}
    return value


def _quotes(value: Any) -> bool:
    """Whether this entry is about a single sample or item."""
    return isinstance(value, dict) and any(key in _QUOTING or key.startswith("excerpt") for key in value)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _parsed(data: bytes, path: Path) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise AuditError(f"{_shown(path)}: not JSON; run the audit again") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        way_out = "name the folder of a finished audit, or run the audit again"
        raise AuditError(f"{_shown(path)}: cannot read: {error.strerror}; {way_out}") from error


def _shown(path: Path) -> str:
    return safe_inline(str(path), 300)
