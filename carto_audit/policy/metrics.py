"""Every number that a rule may limit: name, unit, meaning and good direction, declared once. The list is closed."""

from dataclasses import dataclass
from typing import Literal

from carto_audit.cartography.quadrants import QUADRANTS
from carto_audit.policy.decision_metrics import CONTAMINATION, DECISIONS, MEMORIZED
from carto_audit.policy.redteam_metrics import REDTEAM
from carto_audit.policy.vendor_metrics import VENDOR
from carto_audit.text.numbers import times

Unit = Literal[
    "rows",
    "samples",
    "tokens",
    "items",
    "passages",
    "decisions",
    "share",
    "AUC",
    "ratio",
    "change",
    "flag",
    "sigma",
    "days",
]
"""`change` is relative and may be negative: 0.005 is half a percent more. A `flag` is 1 or 0, `sigma` counts standard errors."""

REHEARSABLE = "sampling.rehearsable"
UNREAD, UNREAD_TEXT = "batch.unread_file_share", "batch.unread_text_share"
CROSS_BATCH, SPLIT = "ledger.cross_batch_copies", "ledger.split_copies"

_SCORE = ("memorization.score", "memorization.epsilon", "loss_on")
_MEMORIZED = (*_SCORE, "memorization.threshold")
_MAP = (*_MEMORIZED, "difficulty.threshold", "difficulty.burn_in_share")


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """What one number means, and which way is good."""

    name: str
    unit: Unit
    meaning: str
    better: Literal["lower", "higher", "neither"]
    """A rule limits the bad direction only: `max` where lower is better, `min` where higher is."""
    kind: Literal["mass", "count", "power", "coverage"]
    """A failing `power` metric says that the audit could not see, one of `coverage` that it did not read everything."""
    map_keys: tuple[str, ...] = ()
    """The keys of the policy's `map` that decide this number: a locked rule locks them too."""
    of_treatment: bool = False
    """It was measured on what the policy's map and interventions leave: under others it is not known. A locked rule does not
    lock these, for the number follows them."""

    @property
    def of_audit(self) -> bool:
        """Whether a failing value says something of the audit, not of the batch: whatever the severity, it is inconclusive."""
        return self.kind in ("power", "coverage")

    @property
    def upper_bound(self) -> float | None:
        """The largest value that it can take, or None: shares, AUCs and flags end at 1."""
        return 1.0 if self.unit in ("share", "AUC", "flag") else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """A metric's value and its interval; `low == high == value` of what was counted and not estimated."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> "Measurement":
        """A number that was counted, not estimated."""
        return cls(value=value, low=value, high=value)


def _batch() -> list[Metric]:
    return [
        Metric(name="batch.rows", unit="rows", better="neither", kind="count", meaning="all rows in the files"),
        Metric(
            name="batch.samples", unit="samples", better="higher", kind="count", meaning="rows that have usable text"
        ),
        Metric(
            name="batch.tokens", unit="tokens", better="higher", kind="count", meaning="tokens in all usable samples"
        ),
        Metric(
            name=UNREAD,
            unit="share",
            better="lower",
            kind="coverage",
            meaning="data files of the delivery that were not read: hidden, links out of it, or of a format that is not known",
        ),
        Metric(
            name=UNREAD_TEXT,
            unit="share",
            better="lower",
            kind="coverage",
            meaning="bytes of text in columns that are not read, short labels left out and lists of numbers included, and bytes "
            "that are no UTF-8",
        ),
        Metric(
            name="batch.skipped_row_share",
            unit="share",
            better="lower",
            kind="mass",
            meaning="rows that could not be audited in full: null, empty, not all UTF-8, with a key twice or over-long",
        ),
        Metric(
            name="batch.unmapped_token_share",
            unit="share",
            better="lower",
            kind="mass",
            meaning="tokens of samples that are compared, not mapped: too long, not all UTF-8, or with a key twice",
        ),
        Metric(
            name="batch.undrawn_token_share",
            unit="share",
            better="lower",
            kind="mass",
            meaning="tokens that had no chance to be drawn where only a part was trained on; every limit counts them as bad",
        ),
    ]


def _masses() -> list[Metric]:
    described: dict[str, tuple[str, str]] = {
        **{q.name: (q.meaning, "lower" if q.memorized else "neither") for q in QUADRANTS.values()},
        "memorized": ("above the memorization threshold, easy or hard", "lower"),
    }
    return [
        Metric(
            name=f"{part}.{mass}_share",
            unit="share",
            better="neither" if better == "neither" else "lower",
            kind="mass",
            meaning=f"share of the batch's {mass}s that are {words}",
            map_keys=_MEMORIZED if part == "memorized" else _MAP,
        )
        for part, (words, better) in described.items()
        for mass in ("row", "token")
    ] + [Metric(**MEMORIZED, map_keys=_MEMORIZED)]


def _passages() -> list[Metric]:
    return [
        Metric(
            name="memorized.span_token_share",
            unit="share",
            better="lower",
            kind="mass",
            meaning="share of the batch's tokens that lie in memorized passages, however long the samples around them are",
            map_keys=_MEMORIZED,
        ),
        Metric(
            name="memorized.spans",
            unit="passages",
            better="lower",
            kind="count",
            meaning="distinct memorized passages",
            map_keys=_MEMORIZED,
        ),
        Metric(
            name="memorized.sensitive_spans",
            unit="passages",
            better="lower",
            kind="count",
            meaning="distinct memorized passages that hold personal data or keys, as far as these have a form that can be told",
            map_keys=_MEMORIZED,
        ),
        Metric(
            name="boilerplate.token_share",
            unit="share",
            better="lower",
            kind="mass",
            meaning="share of the batch's tokens in text so frequent that both proxies read it: no memory is measured there",
        ),
        Metric(
            name="boilerplate.surprising_token_share",
            unit="share",
            better="lower",
            kind="mass",
            meaning="share of the batch's tokens in such frequent text that says more than other text does, as keys and names do",
        ),
    ]


def _repetition() -> list[Metric]:
    meanings = {
        "duplicates.exact_row_share": "rows that repeat an earlier row byte for byte",
        "duplicates.near_row_share": "rows that nearly repeat an earlier row, exact copies not counted",
        "duplicates.token_share": "tokens in exact and near copies, the first of each cluster not counted",
    }
    return [
        Metric(name=name, unit="share", better="lower", kind="mass", meaning=meaning)
        for name, meaning in meanings.items()
    ]


def _contamination() -> list[Metric]:
    counts: dict[str, tuple[Unit, str]] = {
        "confirmed_items": ("items", "benchmark items that the batch holds, beyond doubt"),
        "suspected_items": ("items", "benchmark items that the batch may hold"),
        "confirmed_rows": ("rows", "rows that hold a confirmed benchmark item"),
        "suspected_rows": ("rows", "rows that may hold a benchmark item"),
    }
    return [
        *(
            Metric(name=f"contamination.{name}", unit=unit, better="lower", kind="count", meaning=meaning)
            for name, (unit, meaning) in counts.items()
        ),
        Metric(
            name="contamination.confirmed_token_share",
            unit="share",
            better="lower",
            kind="mass",
            meaning="tokens of the rows that hold a confirmed benchmark item",
        ),
        *(Metric(**declared) for declared in CONTAMINATION),
        Metric(
            name="contamination.min_detectability",
            unit="share",
            better="higher",
            kind="power",
            meaning="items of the benchmark that is seen worst which are found again when planted, the question alone",
        ),
        Metric(
            name="contamination.min_detectability_disguised",
            unit="share",
            better="higher",
            kind="power",
            meaning="the same in the honest disguise in which the fewest are found: markup, escapes, hyphens, subtitles, …",
        ),
    ]


def _detection() -> list[Metric]:
    auc = "how well the policy's score tells controls planted {} from ordinary text (0.5 is chance)"
    recall = "controls planted {} found when 5 % of the ordinary tokens are flagged"
    found = "secrets planted {} that lie above the map's line, at least half of the copies of each"
    return [
        *(
            Metric(
                name=f"detection.found_at_dose_{dose}",
                unit="share",
                better="higher",
                kind="power",
                meaning=found.format(times(dose)),
                map_keys=_MEMORIZED,
            )
            for dose in (1, 2, 4, 8, 16, 64)
        ),
        Metric(
            name="detection.false_alarm_share",
            unit="share",
            better="lower",
            kind="power",
            meaning="tokens of samples above the line whose text recurs less often than its dose; clean text has 1 % or less",
            map_keys=_MEMORIZED,
        ),
        *(
            Metric(
                name=f"detection.auc_at_dose_{dose}",
                unit="AUC",
                better="higher",
                kind="power",
                meaning=auc.format(times(dose)),
                map_keys=_SCORE,
            )
            for dose in (1, 4, 16)
        ),
        *(
            Metric(
                name=f"detection.recall_at_5pct_dose_{dose}",
                unit="share",
                better="higher",
                kind="power",
                meaning=recall.format(times(dose)),
                map_keys=_SCORE,
            )
            for dose in (4, 16)
        ),
    ]


def _trust() -> list[Metric]:
    return [
        Metric(
            name="kinship.severed_token_share",
            unit="share",
            better="lower",
            kind="power",
            meaning="tokens in passages that both proxies read, so that memorization in them cannot be detected",
        ),
        Metric(
            name="repeats.agreement",
            unit="share",
            better="higher",
            kind="power",
            meaning="how far runs with other folds and seeds flag the same samples (--repeats; mean Jaccard similarity)",
            map_keys=_MEMORIZED,
        ),
        Metric(
            name=REHEARSABLE,
            unit="flag",
            better="lower",
            kind="count",
            meaning="1 where a public seed decided which rows were drawn, so that a vendor could rehearse it; 0 where a key did",
        ),
        Metric(
            name="ledger.cusum",
            unit="sigma",
            better="lower",
            kind="mass",
            meaning="how far memorized.token_share has drifted up over the vendor's accepted batches: a one-sided CUSUM",
            map_keys=_MEMORIZED,
        ),
        Metric(
            name=CROSS_BATCH,
            unit="share",
            better="lower",
            kind="mass",
            meaning="tokens in passages that accepted deliveries of other batches hold too, of any vendor in the ledger",
        ),
        Metric(
            name=SPLIT,
            unit="share",
            better="lower",
            kind="mass",
            meaning="tokens in passages that reach the dose over deliveries together and in none of them alone",
        ),
    ]


def _proxy() -> list[Metric]:
    forget = ("memorization.epsilon",)
    return [
        Metric(
            name="forget.never_learned_share",
            unit="share",
            better="lower",
            kind="mass",
            meaning="samples whose loss never fell below epsilon: the forget score cannot speak about them",
            map_keys=forget,
        ),
        Metric(
            name="forget.tie_share",
            unit="share",
            better="lower",
            kind="mass",
            meaning="samples that share the most frequent forget score: a percentile inside a tie is arbitrary",
            map_keys=forget,
        ),
        Metric(
            name="proxy.capacity_ratio",
            unit="ratio",
            better="neither",
            kind="power",
            meaning="bits in the trained tokens over bits that the proxy can store; aim for 0.5 to 10",
        ),
    ]


def _redteam() -> list[Metric]:
    """Measured by `carto-audit redteam`, which plants secrets, treats the batch, trains again and attacks."""
    return [Metric(**declared) for declared in REDTEAM]


METRICS: dict[str, Metric] = {
    metric.name: metric
    for group in (_batch, _masses, _passages, _repetition, _contamination, _detection, _trust, _proxy, _redteam)
    for metric in group()
} | {declared["name"]: Metric(**declared) for declared in (*VENDOR, *DECISIONS)}
"""All metrics, by name, in the order of the documentation. Needs no NumPy, so policies check fast."""
