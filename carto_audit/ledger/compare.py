"""Compare: audits side by side, each against the first, and whether what they measured differs by more than their intervals."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from carto_audit.artifacts.audit_folder import open_audit_folder
from carto_audit.artifacts.audit_record import incomparable
from carto_audit.artifacts.file_list import REPORT, VERDICT
from carto_audit.ledger.entry import GENESIS, Entry, chained, draft_of, parse_entry
from carto_audit.ledger.history import last_audits
from carto_audit.policy.metrics import METRICS, Measurement
from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.strict_model import nearest
from carto_audit.text.untrusted import safe_inline

Told = Literal["more", "less", "same", "unclear"]
"""What can be said of a difference: `unclear` where zero lies in its interval, `same` where both were counted alike."""

COMPARED = (
    "memorized.token_share",
    "memorized.span_token_share",
    "hotspot_memorized.token_share",
    "noisy_outlier.token_share",
    "ambiguous_hard.token_share",
    "stable_easy.token_share",
    "boilerplate.token_share",
    "duplicates.token_share",
    "contamination.confirmed_items",
    "contamination.suspected_items",
    "batch.tokens",
)
"""Metrics that are compared where none is named."""

MOST_SIDES = 6

METHOD = (
    "The interval of a difference is made of the two intervals (MOVER, Zou and Donner 2008; Newcombe 1998 for shares) and holds "
    "with about their confidence, if the two batches were audited independently."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One of the audits that are compared. `folder` is where its files lie, None where only a ledger knows it."""

    title: str
    entry: Entry
    folder: Path | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """By how much a side exceeds the first, with its interval; `why` says why the two cannot be compared, and is mostly empty."""

    value: float
    low: float
    high: float
    told: Told
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricRow:
    """One metric: what each side measured, and how each but the first differs from it; None where one did not measure it."""

    metric: str
    values: tuple[Measurement | None, ...]
    differences: tuple[Difference | None, ...]


def mover(one: Measurement, other: Measurement) -> Difference:
    """By how much `other` exceeds `one`, from what each interval adds below and above its value: the root of the sum of squares
    (Zou and Donner 2008; for two shares with Wilson's intervals it is Newcombe's method 10 of 1998)."""
    value = other.value - one.value
    low = value - math.hypot(other.value - other.low, one.high - one.value)
    high = value + math.hypot(other.high - other.value, one.value - one.low)
    told: Told = "more" if low > 0 else "less" if high < 0 else "unclear" if low < high else "same"
    return Difference(value=value, low=low, high=high, told=told)


def compare_sides(sides: Sequence[Side], metrics: Sequence[str] = ()) -> list[MetricRow]:
    """Every metric that some side measured, against the first side. Raises UsageError for one that is not known."""
    for name in metrics:
        if name not in METRICS:
            raise UsageError(f'no metric is called "{safe_inline(name, 60)}"{nearest(name, METRICS)}')
    rows = []
    for name in dict.fromkeys(metrics) or COMPARED:
        values = tuple(side.entry.measurements.get(name) for side in sides)
        if any(values):
            found = tuple(_difference(name, sides[0], side) for side in sides[1:])
            rows.append(MetricRow(metric=name, values=values, differences=found))
    return rows


def _difference(metric: str, first: Side, side: Side) -> Difference | None:
    one, other = (s.entry.measurements.get(metric) for s in (first, side))
    if one is None or other is None:
        return None
    found = mover(one, other)
    record = first.entry.record()
    why = incomparable(METRICS[metric], record, side.entry.policy.map, frozenset(side.entry.benchmarks))
    return Difference(value=found.value, low=found.low, high=found.high, told="unclear", why=why) if why else found


def confidence(sides: Sequence[Side]) -> float:
    """The lowest confidence of the sides' intervals."""
    return min(side.entry.run.confidence for side in sides)


def notes(sides: Sequence[Side]) -> list[str]:
    """What makes the sides measure differently, in words, and what is the same batch."""
    first = sides[0].entry
    found = []
    for side in sides[1:]:
        other = side.entry
        named = f"{side.title} and {sides[0].title}"
        if other.batch.sha256 == first.batch.sha256:
            found.append(f"{named} are audits of the same batch, byte for byte.")
        moved = [
            what
            for what, one, two in (
                ("proxies", first.run.proxy, other.run.proxy),
                ("epochs", first.run.epochs, other.run.epochs),
                ("folds", first.run.folds, other.run.folds),
                ("numbers of pairs", first.run.repeats, other.run.repeats),
                ("policies", first.policy.sha256, other.policy.sha256),
            )
            if one != two
        ]
        if moved:
            found.append(
                f"{named} were audited with other {', '.join(moved)}; part of a difference may come from that."
            )
    return found


def folder_sides(folders: Sequence[Path]) -> list[Side]:
    """Audits in folders. Raises UsageError for fewer than two or more than MOST_SIDES, AuditError for what is no audit."""
    _check_count(len(folders))
    names = [folder.resolve().name.removesuffix("-audit") or "audit" for folder in folders]
    titles = [name if names.count(name) == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]
    return [
        Side(title=safe_inline(title, 60), entry=_entry_of(folder), folder=folder)
        for title, folder in zip(titles, folders, strict=True)
    ]


def vendor_sides(path: Path, vendors: Sequence[str]) -> list[Side]:
    """The last audit of each vendor, or the last two batches of one. Raises UsageError where there are fewer."""
    if len(vendors) == 1:
        entries = last_audits(path, vendors[0], 2)
        if len(entries) < 2:
            raise UsageError(
                f'"{safe_inline(vendors[0], 80)}" has one batch in the ledger; name another vendor beside it'
            )
    else:
        _check_count(len(vendors))
        entries = tuple(last_audits(path, vendor, 1)[0] for vendor in vendors)
    return [Side(title=f"{e.vendor} {e.audited_at[:10]} (entry {e.number})", entry=e, folder=None) for e in entries]


def _check_count(count: int) -> None:
    if not 2 <= count <= MOST_SIDES:
        raise UsageError(f"two to {MOST_SIDES} audits are compared; {count} {'was' if count == 1 else 'were'} named")


def _entry_of(folder: Path) -> Entry:
    """An audit in a folder as a ledger would keep it."""
    audit = open_audit_folder(folder)
    files = {name: hashlib.sha256(audit.data(name)).hexdigest() for name in (REPORT, VERDICT)}
    return parse_entry(chained(draft_of(audit.report, "audit", files), 1, GENESIS, datetime.now(UTC).isoformat()))
