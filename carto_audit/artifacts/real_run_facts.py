"""The facts of a real run in `report.json`, typed: how its trace was read, and what that shows of the planted secrets."""

from typing_extensions import TypedDict

from carto_audit.artifacts.evidence_facts import Share, facts_part

CONTROL = "a control that was planted for this run, no row of the delivery"
"""The reason, in `scores.parquet`, why a control is removed."""


@facts_part
class PlantedFacts(TypedDict):
    """Which planted batch: digests of the batch and of the sealed controls, and the name of the key of its samples."""

    batch: str
    controls: str
    key_id: str


@facts_part
class IdentifiedFacts(TypedDict):
    """How many rows were expected in the trace, of how many it knows the whole, in pieces or only a beginning, and the copies of
    controls that are not in it."""

    rows: int
    found: int
    split: int
    truncated: int
    missing_copies: int


@facts_part
class DriftFacts(TypedDict):
    """What the run learned in general, which is taken off the unseen losses, in nats per token on average; the rows that told it,
    and whether they were held out."""

    told_by: str
    rows: int
    held_out: bool
    mean_nats: float


@facts_part
class SightFacts(TypedDict):
    """How well the planted copies of one dose stand out: AUC against ordinary rows and against twins that were never planted, and
    the share above the score that flags 2 % of the ordinary tokens."""

    secrets: int
    copies: int
    auc_ordinary: float
    auc_twins: float | None
    recall_at_2pct: Share


@facts_part
class AboveFacts(TypedDict):
    """Samples that nobody trained on: how many were measured and lie above the line, and apart from them those whose passage
    recurs in other samples, which the run may have learned there."""

    measured: int
    above: int | None
    recurring: int
    recurring_above: int | None


@facts_part
class RealRunFacts(TypedDict):
    """A real run whose trace was scored in place of proxies. `unseen` and `learned` say where the two losses of a row come from;
    `checkpoints` are those that were read. `proved` says whether secrets of the policy's dose were held against the line."""

    name: str
    planted: PlantedFacts
    epochs: int
    steps: int
    visits: int
    ranks: int
    starts: int
    closed: bool
    missing_steps: int | None
    dropped_batches: int
    dropped_visits: int
    tokenizer: str
    rows_read: str
    unseen: str
    learned: str
    checkpoints: list[str]
    identified: IdentifiedFacts
    drift: DriftFacts
    proved: bool
    lost_secrets: int
    sight: dict[str, SightFacts]
    """By dose."""
    twins: AboveFacts
    held_out: AboveFacts
