"""Entries: what a ledger keeps of one audit, as one line of canonical JSON, and the hash that chains it to the one before it."""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, ValidationError

from carto_audit.artifacts.audit_folder import first_problem
from carto_audit.artifacts.audit_record import Part, Record, Setting
from carto_audit.artifacts.file_list import PER_ROW, VERDICT
from carto_audit.artifacts.report_facts import BLIND, ReportFacts
from carto_audit.policy.metrics import METRICS, Measurement
from carto_audit.policy.model import treatment_sha256
from carto_audit.runtime.errors import AuditError, UsageError, option
from carto_audit.text.untrusted import encodable, safe_inline

GENESIS = "0" * 64
"""What the first entry follows on."""

LARGEST_BODY = 4 << 20
"""Bytes of one entry; that of an audit is below a hundredth of it."""

MOST_NAMES, MOST_BENCHMARKS, MOST_RULES = 20, 500, 500
_VENDOR_LIMIT, _TEXT_LIMIT = 80, 240

_CLOCKLESS = (*PER_ROW, VERDICT)
"""Files of an audit that hold no clock: an audit that is continued after a kill leaves the same bytes."""

Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Number = Annotated[int, Field(ge=1)]
Draft = dict[str, Any]
"""An entry that has no place in the chain yet: plain JSON."""


class _Kept(Part):
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False, frozen=True)


class EnteredBatch(_Kept):
    """Which batch: the first names of its files, how many there are, and its size."""

    names: list[str]
    files: int
    sha256: Sha256
    rows: int
    samples: int
    tokens: int


class EnteredPolicy(_Kept):
    """Which policy, and what of it decides whether two measurements can be compared."""

    name: str
    sha256: Sha256
    treatment_sha256: Sha256
    map: dict[str, Any]


class EnteredRun(_Kept):
    """How it was measured. `confidence` is that of each interval."""

    proxy: str
    epochs: int
    folds: int
    repeats: int
    confidence: float = Field(gt=0, lt=1)


class EnteredVerdict(_Kept):
    """What the policy said."""

    status: str
    exit_code: int


class EnteredRule(_Kept):
    """What became of one rule, and where its limit lay."""

    rule: str
    metric: str
    bound: str
    limit: float
    severity: str
    outcome: str
    observed: float | None


class EnteredSketch(_Kept):
    """How the fingerprints were made that the ledger keeps of the batch, how many there are, and the digest of them."""

    scheme: int
    hashes: str
    run_words: int
    window: int
    key_letters: int
    key: str
    rate: float = Field(gt=0, le=1)
    boilerplate_cap: int
    fingerprints: int = Field(ge=0)
    sha256: Sha256


class EnteredWaiver(_Kept):
    """A waiver that was used."""

    rule: str
    owner: str
    reason: str
    expires: str


class EnteredDecision(_Kept):
    """A decision of a person that was used, and how many rows it covers."""

    decision: str
    who: str
    why: str
    until: str
    rows: int


class Entry(_Kept):
    """One audit in the ledger. `audit` is the digest of what it measured and decided; `metrics` are (value, low, high) each."""

    schema_version: Literal[1]
    number: Number
    prev: Sha256
    entered_at: str
    vendor: str
    audit: Sha256
    audited_at: str
    tool: str
    batch: EnteredBatch
    policy: EnteredPolicy
    run: EnteredRun
    benchmarks: list[tuple[str, str]]
    verdict: EnteredVerdict
    metrics: dict[str, tuple[float, float, float]]
    rules: list[EnteredRule]
    waivers: list[EnteredWaiver]
    decisions: list[EnteredDecision] = Field(default_factory=list)
    report_sha256: Sha256
    sketch: EnteredSketch | None = None

    @property
    def failed(self) -> list[EnteredRule]:
        """The rules that did not hold, those that could not be judged included."""
        return [rule for rule in self.rules if rule.outcome == "failed" or rule.outcome in BLIND]

    @property
    def measurements(self) -> dict[str, Measurement]:
        """What was measured, by name."""
        return {name: Measurement(value=v, low=low, high=high) for name, (v, low, high) in self.metrics.items()}

    def limit(self, metric: str) -> float | None:
        """The lowest value at which this audit's policy rejected, None where no rule limits the metric from above."""
        found = [rule.limit for rule in self.rules if rule.metric == metric and rule.bound == "max"]
        return min(found, default=None)

    def record(self) -> Record:
        """The entry as a baseline."""
        run = self.run
        return Record(
            name=f"entry {self.number} of the ledger",
            batch_names=tuple(self.batch.names),
            batch_sha256=self.batch.sha256,
            policy_name=self.policy.name,
            policy_sha256=self.policy.sha256,
            map=self.policy.map,
            status=self.verdict.status,
            day=datetime.fromisoformat(self.audited_at).date(),
            setting=Setting(proxy=run.proxy, epochs=run.epochs, folds=run.folds, repeats=run.repeats),
            benchmarks=frozenset(self.benchmarks),
            measurements={name: m for name, m in self.measurements.items() if name in METRICS},
            outcomes={rule.rule: rule.outcome for rule in self.rules},
            treatment_sha256=self.policy.treatment_sha256,
        )


def check_vendor(name: str) -> str:
    """The name of a vendor as it is entered. Raises UsageError for one that could not be told from another on a screen."""
    plain = unicodedata.normalize("NFC", name)
    if not plain or safe_inline(plain, _VENDOR_LIMIT) != plain:
        raise UsageError(
            f"{option('vendor', safe_inline(name, 40))}: one line of 1 to {_VENDOR_LIMIT} visible characters, without spaces "
            "at its ends"
        )
    return plain


def audit_id(files: Mapping[str, str], batch_sha256: str) -> str:
    """What tells one audit from another, by the digests of its files: the same where the same was measured and decided, however
    often it was killed and continued."""
    known = {name: files[name] for name in _CLOCKLESS if name in files}
    return hashlib.sha256(canonical({"batch": batch_sha256, **known}).encode()).hexdigest()


def draft_of(facts: ReportFacts, vendor: str, files: Mapping[str, str]) -> Draft:
    """What is kept of an audit, from its report and the digests of its files by name."""
    batch, run, policy = facts["batch"], facts["run"], facts["policy"]
    known = {name: value for name, value in facts["metrics"].items() if value is not None}
    ends = facts["metric_intervals"]
    drawn = policy["resolved"].get("map")
    draft = {
        "schema_version": 1,
        "vendor": check_vendor(vendor),
        "audit": audit_id(files, batch["sha256"]),
        "audited_at": run["started_at"],
        "tool": facts["tool"]["version"],
        "batch": {
            "names": batch["paths"][:MOST_NAMES],
            "files": len(batch["paths"]),
            **{key: batch[key] for key in ("sha256", "rows", "samples", "tokens")},
        },
        "policy": {
            "name": policy["name"],
            "sha256": policy["sha256"],
            "treatment_sha256": treatment_sha256(policy["resolved"]),
            "map": drawn if isinstance(drawn, dict) else {},
        },
        "run": {
            "proxy": run["proxy"]["name"],
            **{key: run[key] for key in ("epochs", "folds", "repeats")},
            "confidence": run.get("confidence", 0.95),
        },
        "benchmarks": [[b["name"], b["sha256"]] for b in facts["contamination"]["benchmarks"][:MOST_BENCHMARKS]],
        "verdict": {key: facts["verdict"][key] for key in ("status", "exit_code")},
        "metrics": {name: [value, *ends.get(name, (value, value))] for name, value in known.items()},
        "rules": [_rule(finding) for finding in facts["findings"][:MOST_RULES]],
        "waivers": [
            {key: waiver[key] for key in ("rule", "owner", "reason", "expires")}
            for waiver in facts.get("waivers", [])
            if waiver["state"] == "used"
        ],
        "report_sha256": files["report.json"],
    }
    if decided := facts.get("decisions"):
        draft["decisions"] = [
            {"rows": one["covers"]["rows"], **{key: one[key] for key in ("decision", "who", "why", "until")}}
            for one in decided["decisions"][:MOST_RULES]
            if one["state"] == "used"
        ]
    tamed: Draft = _tamed(encodable(draft))
    return tamed


def _rule(finding: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("rule", "metric", "bound", "limit", "severity", "outcome", "observed")
    return {key: finding[key] for key in keys}


def _tamed(value: Any) -> Any:
    """Plain JSON whose strings are printable lines, and whose numbers that a report writes as whole ones are what they were."""
    if isinstance(value, str):
        return safe_inline(value, _TEXT_LIMIT)
    if isinstance(value, dict):
        return {safe_inline(key, _TEXT_LIMIT): _tamed(item) for key, item in value.items()}
    return [_tamed(item) for item in value] if isinstance(value, list) else value


def canonical(value: Any) -> str:
    """The one spelling of a JSON value: keys sorted, no spaces. Raises ValueError for a number that JSON does not have."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def chained(draft: Draft, number: int, prev: str, entered_at: str) -> str:
    """The body of the entry that a draft becomes at its place in the chain."""
    return canonical({**draft, "number": number, "prev": prev, "entered_at": entered_at})


def body_hash(body: str) -> str:
    """Hex sha256 of an entry, by which the next one names it."""
    return hashlib.sha256(body.encode()).hexdigest()


def parse_entry(body: str) -> Entry:
    """The entry in a body, all of whose strings are printable lines. Raises AuditError in one line where it is none."""
    if not body.isprintable() or "\\" in body.replace("\\\\", "").replace('\\"', ""):
        raise AuditError("not an entry as carto-audit writes it: it holds characters that are not printable")
    try:
        entry = Entry.model_validate_json(body)
        datetime.fromisoformat(entry.audited_at)
    except ValidationError as error:
        raise AuditError(f"not an entry that this version reads: {first_problem(error)}") from error
    except ValueError as error:
        raise AuditError("an entry without the date of its audit") from error
    return entry
