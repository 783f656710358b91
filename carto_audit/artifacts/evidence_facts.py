"""What was measured, as `report.json` holds it: map, detection, duplicates, contamination, the riskiest samples. Types only."""

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from carto_audit.cartography.quadrants import QuadrantName

facts_part = with_config(ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True))
"""Marks a part of the file: keys of a later version are ignored, wrong types are refused, docstrings go into the schema."""

Share = float
"""In 0..1."""

Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
"""The ends of a 95 % interval, or of an axis."""

Axis = Literal["difficulty", "memorization"]
Recall = Literal["recite", "reconstruct", "recollect"]


@facts_part
class ExcerptFacts(TypedDict):
    """One printable line of a text in three parts: what stands before the span, the span, what follows."""

    before: str
    span: str
    after: str


@facts_part
class CountFacts(TypedDict):
    """Rows, and the tokens in them."""

    rows: int
    tokens: int


@facts_part
class CutFacts(TypedDict):
    """One way to set a threshold, and the share of the tokens above it."""

    way: str
    value: float
    words: str
    flagged_share: Share
    fixed_share: bool
    """Whether this share is about the same for every batch, by construction."""
    drawn: bool
    """Whether the threshold lies here: the strictest way holds."""


@facts_part
class ThresholdFacts(TypedDict):
    """How the policy sets a threshold, and where that puts it."""

    rule: dict[str, float]
    words: str
    flagged_share: Share | None
    cuts: list[CutFacts]


@facts_part
class QuadrantFacts(TypedDict):
    """What lies in one quadrant of the map."""

    rows: int
    tokens: int
    row_share: Share
    token_share: Share
    token_share_interval: Interval | None
    """None where the map holds the whole batch, so that nothing is estimated."""


@facts_part
class SweepFacts(TypedDict):
    """Forget events under one margin: how many samples have any, and how many of those the margin before had too (Jaccard)."""

    delta: float
    """The margin, in nats per token."""
    forgetting_share: Share
    agreement: Share | None


@facts_part
class ForgetFacts(TypedDict):
    """How far the published forget score can be trusted on this batch."""

    epsilon: str
    levels: int
    tie_share: Share | None
    never_learned_share: Share | None
    sweep: list[SweepFacts]


@facts_part
class GridFacts(TypedDict):
    """Samples per field of a coarse map, the most memorized row first, and the ends of its axes."""

    difficulty: Interval
    memorization: Interval
    counts: list[list[int]]


@facts_part
class MapFacts(TypedDict):
    """The map of the batch: difficulty (nats per token) against memorization, in four quadrants."""

    score: str
    """The memorization score that the policy chose."""
    thresholds: dict[Axis, float | None]
    threshold_rules: dict[Axis, ThresholdFacts]
    quadrants: dict[QuadrantName, QuadrantFacts]
    recall: NotRequired[dict[Recall, CountFacts]]
    forget: ForgetFacts
    grid: GridFacts


@facts_part
class PowerFacts(TypedDict):
    """How well one score tells the copies of one kind, form and dose of planted secret from ordinary samples."""

    auc: float | None
    """0.5 is chance, 1 is perfect."""
    ci: Annotated[list[float | None], Field(min_length=2, max_length=2)] | None
    """The 95 % interval of the AUC, over secrets."""
    auc_twins: float | None
    """The same against secrets that were written alike and never planted."""
    average_precision: float | None
    recall_at_1pct: Share | None
    recall_at_2pct: Share | None
    recall_at_5pct: Share | None
    secrets: int
    copies: int


Doses = dict[str, PowerFacts]
"""By how often a secret was planted; "0" are those that never were."""

Forms = dict[str, Doses]
"""By where a secret stands: alone, or inside other text."""

Kinds = dict[str, Forms]
"""By the kind of secret."""


@facts_part
class FoundFacts(TypedDict):
    """How many planted secrets of one dose lie above the line, at least half of the copies of each."""

    dose: int
    found: int
    secrets: int
    at_least: Share
    """The share that is found in truth, at least, with 95 % confidence (one-sided, Clopper and Pearson)."""


@facts_part
class DetectionFacts(TypedDict):
    """How well this audit saw, measured on secrets that it planted itself."""

    demanded_dose: NotRequired[int]
    """How often a secret occurs that the policy asks about: the line is set by such secrets, each half judged by the other's
    line."""
    found: NotRequired[list[FoundFacts]]
    """By dose, in rising order."""
    false_alarm_share: NotRequired[Share | None]
    """Of the tokens of samples whose text does not recur so often, those above the line."""
    missing_tokens: NotRequired[int]
    """How many more tokens the batch would need for as many such secrets as a proof should rest on."""

    scores: dict[str, Kinds]
    """By score, kind of secret, form and dose."""
    by_copy: dict[str, PowerFacts]
    """Exact and edited copies of all kinds, planted at least four times."""
    above_line: dict[str, Share]
    """The share of planted copies above the memorization threshold, by dose."""
    ruler: dict[str, float | None]
    """The median memorization of planted secrets, by dose."""
    planted: int
    twins: int
    """Secrets that were written alike and never planted."""
    capacity_ratio: float | None
    epochs: int
    repeats: int
    agreement: Share | None
    """How far repeats with other folds and seeds flag the same samples; None for a single one."""
    difficulty_agreement: NotRequired[float | None]
    """How far they find the same samples difficult, a rank correlation; None for a single one."""
    warnings: list[str]
    remedies: list[str]
    """What would raise the detection power; empty unless a rule found it too low."""


@facts_part
class DuplicateFacts(TypedDict):
    """Exact and near copies inside the batch; the first of each cluster counts as no copy."""

    exact_rows: int
    near_rows: int
    clusters: int
    largest_cluster: int
    row_share: Share
    token_share: Share
    jaccard_threshold: float
    shingle: int
    """Words of a shingle."""


@facts_part
class MatchCountFacts(TypedDict):
    """Items and rows with a confirmed or a suspected match."""

    confirmed_items: int
    suspected_items: int
    confirmed_rows: int
    suspected_rows: int


@facts_part
class BenchmarkFacts(MatchCountFacts):
    """One benchmark that the batch was compared with. An item counts once, under its surest tier."""

    name: str
    sha256: str
    items: int
    detectable_items: int
    """Those found again when their question alone is planted, in every form that was tried."""
    detectability: dict[str, Share]
    """The share found, by form."""
    detectability_disguised: NotRequired[dict[str, Share]]
    """The share of a sample of the items that is found as other media write them, by disguise."""
    clean_items: int
    source_overlap_items: int
    boilerplate_items: int


@facts_part
class ShardFacts(TypedDict):
    """What one input file holds of the benchmarks."""

    name: str
    rows: int
    counts: MatchCountFacts
    benchmarks: dict[str, MatchCountFacts]


@facts_part
class DropFirstFacts(CountFacts):
    """The rows that are memorized and hold a confirmed benchmark item."""

    token_share: Share


@facts_part
class RecallMeans(TypedDict):
    """What two proxies make of benchmark items that one of them read: means over `items`. Losses in nats per token."""

    items: int
    least_rows: int
    most_rows: int | None
    loss_in_question: float | None
    loss_out_question: float | None
    loss_in_answer: float | None
    loss_out_answer: float | None
    quiz_in: Share | None
    """How often the proxy that read an item finds it likelier than its rewordings."""
    quiz_out: Share | None
    quiz_kappa: float | None
    peak_in: float | None
    peak_out: float | None


@facts_part
class ItemRecallFacts(RecallMeans):
    """All items that were put to the proxies, those that were not, and the same by rows trained on."""

    silent: dict[str, int]
    """Items that were not asked about, by the reason."""
    by_rows: list[RecallMeans]


@facts_part
class MatchRecallFacts(TypedDict):
    """What two proxies make of one benchmark item."""

    rows_trained: int
    loss_in_question: float | None
    loss_out_question: float | None
    loss_in_answer: float | None
    loss_out_answer: float | None
    quiz_in: bool | None
    quiz_out: bool | None
    peak_in: float | None
    peak_out: float | None
    silence: str
    """Why the item was not asked about; empty where it was."""


@facts_part
class PlaceFacts(TypedDict):
    """Where a sample lies on the map; None where it has no place there."""

    quadrant: QuadrantName | None
    difficulty: float | None
    memorization: float | None


@facts_part
class MatchFacts(PlaceFacts):
    """A benchmark item in a row of the batch."""

    sample_id: str
    row: int
    benchmark: str
    item_id: str
    component: str
    tier: Literal["confirmed", "suspected", "source_overlap", "boilerplate"]
    leak_kind: str
    containment: Share
    longest_run: int
    minhash_estimate: Share | None
    sample_start: int
    sample_end: int
    segment: NotRequired[str]
    """In which part of the sample, as `user turn 3`; empty where it has no parts."""
    item_start: int
    item_end: int
    reason: str
    near_variant: bool
    view: str
    excerpt_sample: ExcerptFacts
    excerpt_item: ExcerptFacts
    testimony: MatchRecallFacts | None


@facts_part
class ContaminationFacts(TypedDict):
    """Benchmark items in the batch; every list is empty where no benchmark was named."""

    benchmarks: list[BenchmarkFacts]
    shards: list[ShardFacts]
    testimony: ItemRecallFacts | None
    by_quadrant: dict[str, CountFacts]
    """Rows with a confirmed item, by quadrant; `unmapped` for those that are not on the map."""
    drop_first: DropFirstFacts | None
    matches: list[MatchFacts]
    """The surest fifty; the Parquet files hold all."""


@facts_part
class HeatFacts(TypedDict):
    """A piece of a sample's text, and how much of its loss training removed: 0 the least, 4 the most."""

    text: str
    level: int


@facts_part
class LossFacts(TypedDict):
    """A sample's losses in nats per token: in every epoch, and in those after which both proxies were asked."""

    train: list[float | None]
    in_fold: list[float | None]
    out_of_fold: list[float | None]


@facts_part
class SampleFacts(PlaceFacts):
    """One of the riskiest samples."""

    sample_id: str
    row: int
    memorized: float | None
    memorized_share: float | None
    memorized_span_share: float | None
    forget_score: float | None
    n_tokens: int
    cluster_size: int
    cluster_rows: list[int]
    segment: NotRequired[str]
    """In which part of the sample the memorized passage stands; empty where it has no parts."""
    copies: int
    """How often the memorized passage occurs."""
    recall: Recall | None
    equivalent_dose: float | None
    """How often a planted secret occurs that is memorized as strongly."""
    dose_words: str
    contamination_tier: str
    action: str
    weight: float
    reasons: str
    loss_in: float | None
    loss_out: float | None
    excerpt: ExcerptFacts
    heat: list[HeatFacts]
    losses: LossFacts
