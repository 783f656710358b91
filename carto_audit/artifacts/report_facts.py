"""The type of `report.json`. Who adds a key marks it NotRequired, so that audits of earlier versions can still be read.

The JSON Schema `docs/report.schema.json` is made of these types; `pipeline.facts` builds the file, and every page and format
reads it.
"""

import json
from functools import cache
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from carto_audit.artifacts.batch_facts import BatchFacts, CrossBatchFacts, RemoteFacts
from carto_audit.artifacts.decision_facts import DecisionsFacts
from carto_audit.artifacts.evidence_facts import (
    ContaminationFacts,
    DetectionFacts,
    DuplicateFacts,
    ExcerptFacts,
    Interval,
    MapFacts,
    SampleFacts,
    Share,
    facts_part,
)
from carto_audit.artifacts.real_run_facts import RealRunFacts
from carto_audit.artifacts.vendor_facts import VendorFacts
from carto_audit.lenses.declared.facts import LensFacts
from carto_audit.policy.model import Bound, Severity

Status = Literal["accepted", "accepted_with_warnings", "rejected", "inconclusive"]
Outcome = Literal["passed", "failed", "not_measured", "underpowered", "unread", "waived"]
BLIND: tuple[Outcome, ...] = ("not_measured", "unread", "underpowered")
"""Outcomes that make an audit inconclusive: it could not see. Worst first."""

WaiverState = Literal["used", "unused", "exceeded", "expired", "powerless", "other_batch"]

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

SCHEMA_VERSION = 1
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@facts_part
class ToolFacts(TypedDict):
    """Who wrote the file."""

    name: Literal["carto-audit"]
    version: str


@facts_part
class ProxyFacts(TypedDict):
    """The small model that stands in for the one to come."""

    name: str
    parameters: int
    context: int
    vocab_size: int
    layers: int
    hidden_size: int
    checkpoint: str | None


@facts_part
class BoilerplateFacts(TypedDict):
    """A passage that so many samples hold that it binds none of them as kin."""

    samples: int
    excerpt: ExcerptFacts


@facts_part
class KinshipFacts(TypedDict):
    """How copies were kept on one side of the split."""

    groups: int
    frequency_cap: int
    boilerplate_runs: int
    boilerplate: list[BoilerplateFacts]
    severed_samples: int
    severed_token_share: Share
    largest_group_token_share: Share


@facts_part
class SamplingFacts(TypedDict):
    """What decided by chance which samples were drawn, held out, planted on and put on which side of the split."""

    key_commitment: Sha256 | None
    """Binds the audit to its sampling key and does not tell it; `verify --sampling-key` checks it. None: the seed decided."""
    rehearsable: bool
    """Whether who knows the seed could have known the draw before the delivery."""


@facts_part
class CallFacts(TypedDict):
    """How the audit was called: names without folders, so that no path of the auditor's is published."""

    policy: str
    benchmarks: list[str]
    options: dict[str, str]
    """Those that differ from their default."""
    config_sha256: NotRequired[Sha256]
    """Of the file `carto-audit.toml` in the working folder, where flags were taken from one."""


@facts_part
class EngineFacts(TypedDict):
    """Who worked on what can be divided; the findings do not depend on it."""

    name: str
    workers: int
    """The most that a stage had."""
    retries: int
    """How often a shard was begun again because the worker that held it was lost."""


@facts_part
class RunFacts(TypedDict):
    """How the audit was done: enough for who holds the sampling key to repeat it."""

    seed: int
    sampling: NotRequired[SamplingFacts]
    device: str
    proxy: ProxyFacts
    folds: int
    epochs: int
    repeats: int
    """Pairs of proxies that were trained."""
    confidence: NotRequired[Share]
    """Of each interval; together those of all looks that the audit may take hold with 95 %."""
    reference_samples: int
    reference_sha256: str | None
    burn_in_epochs: float
    """A part of the first epoch where there are fewer than four."""
    logged_epochs: list[float]
    """The epochs after which both proxies were asked about every sample; a part of one at the end of a short burn-in."""
    max_tokens: int | None
    kinship: KinshipFacts
    packages: dict[str, str]
    started_at: str
    call: NotRequired[CallFacts]
    reused_samples: NotRequired[int]
    """That an earlier audit had searched for the same items."""
    seconds: dict[str, float]
    """Wall time by stage."""
    engine: NotRequired[EngineFacts]


@facts_part
class PolicyFacts(TypedDict):
    """The policy that was applied, in full."""

    name: str
    sha256: str
    resolved: dict[str, Any]
    """All its values, those that it inherits included."""


@facts_part
class FindingFacts(TypedDict):
    """What one rule found."""

    rule: str
    metric: str
    observed: float | None
    """The unfavourable end of the interval, which is what the limit was held against; under `max_increase` by how much it
    exceeds the value of the last accepted batch. None: not measured."""
    limit: float
    bound: Bound
    severity: Severity
    outcome: Outcome
    reason: str
    """Why the policy has this rule, in the policy's words."""
    explanation: str
    """What was seen, in one sentence."""
    waived_by: str | None
    estimate: NotRequired[float | None]
    """What was measured, where `observed` is only the end of its interval; None where the two are one."""
    file: NotRequired[str | None]
    """Where the policy sets the rule; None for a policy that came from no file."""
    line: NotRequired[int | None]
    column: NotRequired[int | None]
    subject: NotRequired[str | None]


@facts_part
class WaiverFacts(TypedDict):
    """What became of one waiver."""

    rule: str
    owner: str
    reason: str
    expires: str
    """The last day, as YYYY-MM-DD."""
    subject: str | None
    max_value: float | None
    state: WaiverState
    ends_soon: bool


@facts_part
class ChangeFacts(TypedDict):
    """One metric in the last accepted batch and in this one; None: not measured."""

    metric: str
    before: float | None
    now: float | None
    incomparable: str
    """Why the two cannot be compared; empty where they can."""


@facts_part
class NamedBatchFacts(TypedDict):
    """Which batch."""

    names: list[str]
    sha256: str


@facts_part
class NamedPolicyFacts(TypedDict):
    """Which policy."""

    name: str
    sha256: str


@facts_part
class BaselineFacts(TypedDict):
    """The last accepted batch, and what moved since."""

    audit: str
    batch: NamedBatchFacts
    policy: NamedPolicyFacts
    status: str
    changes: list[ChangeFacts]
    warnings: list[str]


@facts_part
class RedteamFacts(TypedDict):
    """The red team whose measurements the rules used."""

    sha256: str
    policy_sha256: str
    metrics: list[str]
    unseen: dict[str, str]
    """Metrics that do not count, and why."""


@facts_part
class VerdictFacts(TypedDict):
    """The gate's answer, under `--fail-on reject`."""

    status: Status
    exit_code: int
    complete: bool


@facts_part
class PublishedFacts(TypedDict):
    """What a public report leaves out, and which full report it was made of."""

    left_out: str
    report_sha256: str


@facts_part
class OperatingMassFacts(TypedDict):
    """How the batches ended of whose tokens a share was `planted` as secrets; those that are neither were inconclusive."""

    planted: float
    batches: int
    rejected: int
    accepted: int


@facts_part
class OperatingFacts(TypedDict):
    """Audits of batches whose memorized mass is known, under rules like these: each secret in `dose` rows, about `tokens` tokens
    in all."""

    dose: int
    tokens: int
    masses: list[OperatingMassFacts]


@facts_part
class ReportFacts(TypedDict):
    """One audit: all that its pages and formats show. Numbers are finite or null, shares lie in 0..1."""

    schema_version: Literal[1]
    tool: ToolFacts
    batch: BatchFacts
    excerpts: Literal["none", "redacted", "full"]
    """Whether texts are quoted, and whether personal data and secrets in them are masked."""
    run: RunFacts
    map: MapFacts
    detection: DetectionFacts
    real_run: NotRequired[RealRunFacts]
    """The real run whose losses the map is drawn from; absent where proxies were trained."""
    operating: NotRequired[OperatingFacts]
    """What was measured, before and on other batches, of how often this policy rejects; absent where it was not."""
    duplicates: DuplicateFacts
    contamination: ContaminationFacts
    policy: PolicyFacts
    metrics: dict[str, float | None]
    """Every number that a rule may limit, by name; what was not measured is absent."""
    metric_intervals: dict[str, Interval]
    """The intervals of those that are uncertain, each with the confidence of `run.confidence`."""
    findings: list[FindingFacts]
    warnings: list[str]
    waivers: NotRequired[list[WaiverFacts]]
    baseline: NotRequired[BaselineFacts | None]
    redteam: NotRequired[RedteamFacts | None]
    vendor: NotRequired[VendorFacts]
    """What was found of the vendor's summary; absent where none was given."""
    decisions: NotRequired[DecisionsFacts]
    """What people decided about rows and items, and what became of it; absent where no file of decisions was named."""
    remote: NotRequired[RemoteFacts]
    """Where the batch was fetched from; absent where local files were read."""
    cross_batch: NotRequired[CrossBatchFacts]
    """What of the delivery stands in earlier ones; absent where no ledger was named."""
    lenses: NotRequired[dict[str, LensFacts]]
    """What lenses measured, by their names; absent where none looked."""
    verdict: VerdictFacts
    riskiest: list[SampleFacts]
    published: NotRequired[PublishedFacts]


@cache
def report_type() -> TypeAdapter[ReportFacts]:
    """Validates a report, and makes its schema. Built once, when it is asked for."""
    return TypeAdapter(ReportFacts)


def report_schema() -> dict[str, Any]:
    """The JSON Schema of `report.json` as this version writes it: it knows no other key."""
    made = report_type().json_schema()
    for part in (made, *made["$defs"].values()):
        part.pop("title", None)
        part["description"] = " ".join(part["description"].split())
        part["additionalProperties"] = False
        for field in part["properties"].values():
            field.pop("title", None)
            if "description" in field:
                field["description"] = " ".join(field["description"].split())
    return {"$schema": _DIALECT, "title": "carto-audit report", **made}


def schema_text() -> str:
    """The schema as it is printed and shipped."""
    return json.dumps(report_schema(), indent=2, ensure_ascii=False) + "\n"
