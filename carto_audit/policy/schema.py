"""The JSON Schema of a policy file, made from the models that check it, for editors and `check-jsonschema`.

It describes a file, not a resolved policy: what a child inherits may be left out. Limits that need two keys at once stay
with `policy check`, which also knows the files that a policy extends.
"""

import json
from collections.abc import Iterator
from typing import Any

from carto_audit.policy.lens_metrics import shown_metrics
from carto_audit.policy.model import ALIASES, Policy

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_INHERITED = ("metric", "severity")
"""Keys of a rule that a child takes over from the rule that it changes."""


def policy_schema() -> dict[str, Any]:
    """The schema as a plain dict. Metrics are listed with their meaning."""
    made = Policy.model_json_schema(mode="validation")
    parts = made["$defs"]
    for part in (made, *parts.values()):
        _tidy(part)
    made["required"] = ["schema_version", "name"]
    made["if"] = {"not": {"required": ["extends"]}}
    made["then"] = {"required": ["map", "rules"], "properties": {"rules": {"items": {"required": list(_INHERITED)}}}}
    rule = parts["Rule"]
    rule["required"] = ["id", "reason"]
    rule["properties"]["metric"] |= {"oneOf": list(_metrics())}
    parts["Memorization"]["properties"]["score"]["enum"] += ALIASES
    for name in ("Difficulty", "Memorization", "MapSettings"):
        del parts[name]["required"]  # a child overrides single keys
    parts["Intervention"]["required"] = ["action"]
    made["properties"]["benchmarks"]["items"] = {
        "anyOf": [{"type": "string"}, made["properties"]["benchmarks"]["items"]]
    }
    return {"$schema": _DIALECT, "title": "carto-audit policy", **{k: v for k, v in made.items() if k != "title"}}


def schema_text() -> str:
    """The schema as it is printed and shipped."""
    return json.dumps(policy_schema(), indent=2, ensure_ascii=False) + "\n"


def _metrics() -> Iterator[dict[str, str]]:
    for metric in shown_metrics():
        good = {"lower": "lower is better", "higher": "higher is better"}.get(metric.better, "neither way is better")
        yield {"const": metric.name, "description": f"{metric.meaning} ({metric.unit}; {good})"}
    name = "[a-z][a-z0-9_]*"
    yield {"pattern": rf"^lens\.{name}\.{name}\.{name}$", "description": "a number of a lens of another package"}


def _tidy(part: dict[str, Any]) -> None:
    """Takes away what means nothing in a hand-written file: generated titles, and null, which no policy may hold."""
    part.pop("title", None)
    if "description" in part:
        part["description"] = " ".join(part["description"].split())
    for field in part.get("properties", {}).values():
        field.pop("title", None)
        if field.get("default", 0) is None:
            del field["default"]
        elif isinstance(field.get("default"), dict):
            field["default"] = {key: value for key, value in field["default"].items() if value is not None}
        if "description" in field:
            field["description"] = " ".join(field["description"].split())
        choices = [choice for choice in field.get("anyOf", ()) if choice != {"type": "null"}]
        if len(choices) == 1:
            del field["anyOf"]
            field |= {**choices[0], **field}
        elif choices:
            field["anyOf"] = choices
