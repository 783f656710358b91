"""Files of decisions, as somebody would write them."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

TODAY = datetime.now(UTC).date()
SIGNED = {"who": "Ann", "why": "looked at it twice, see DG-7", "until": TODAY + timedelta(days=30)}


def digest_of(text):
    """As `carto-audit show` prints it."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def decision(kind, **said):
    """One decision as plain values, signed unless it says otherwise."""
    return {"decision": kind, **SIGNED, **said}


def write_decisions(path, *decisions):
    """The file. JSON is YAML, but for dates, which stand bare."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["schema_version: 1", "decisions:" if decisions else "decisions: []"]
    for one in decisions:
        said = [f"{key}: {json.dumps(v) if not hasattr(v, 'isoformat') else v}" for key, v in one.items()]
        lines += [f"  - {said[0]}", *(f"    {line}" for line in said[1:])]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
