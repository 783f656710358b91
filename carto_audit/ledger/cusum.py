"""CUSUM: whether a vendor's batches drift upwards by less a batch than any limit would notice (Page 1954, one-sided).

S_0 = 0 and S_i = max(0, S_{i-1} + z_i - K), where z_i is by how many standard errors batch i lies above the reference batches.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from carto_audit.ledger.entry import Entry
from carto_audit.policy.metrics import Measurement

CUSUM, WATCHED = "ledger.cusum", "memorized.token_share"

K = 0.5
"""The allowance: half of the drift, in standard errors a batch, that is to be noticed soonest (Page 1954; one standard error)."""

H = 5.0
"""The limit to write into a rule: with K = 0.5 and independent normal z one false alarm in some 930 batches; a lasting rise of
one standard error is noticed after about 10 (Montgomery, Introduction to Statistical Quality Control, average run lengths)."""

REFERENCE = 3
"""Accepted batches that say what is usual. With fewer there is no CUSUM, and no rule on it passes."""

LEAST_ERROR = 0.001
"""No share is known better than to a tenth of a percentage point, however narrow its interval: other secrets would be planted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A share, and its standard error."""

    value: float
    error: float


def reading(measured: Measurement, confidence: float) -> Reading:
    """A measurement as it is summed: half of its interval is so many standard errors as its confidence says."""
    width = NormalDist().inv_cdf((1 + confidence) / 2)
    return Reading(value=measured.value, error=max(LEAST_ERROR, (measured.high - measured.low) / (2 * width)))


def deviations(readings: Sequence[Reading]) -> list[float]:
    """By how many standard errors each reading after the first REFERENCE lies above their mean; empty where there is none."""
    usual = readings[:REFERENCE]
    if len(usual) < REFERENCE:
        return []
    mean = sum(r.value for r in usual) / REFERENCE
    error = math.sqrt(sum(r.error**2 for r in usual)) / REFERENCE
    return [(r.value - mean) / math.hypot(r.error, error) for r in readings[REFERENCE:]]


def cusum(readings: Sequence[Reading]) -> float | None:
    """The statistic after the last reading; None where that is one of the reference."""
    found = deviations(readings)
    total = 0.0
    for z in found:
        total = max(0.0, total + z - K)
    return total if found else None


def comparable(entries: Sequence[Entry], alike: Entry | None = None) -> list[Entry]:
    """Accepted entries that measured WATCHED, the first of each batch; with `alike` those measured as that one."""
    seen: set[str] = set()
    kept = []
    for entry in entries:
        counts = entry.verdict.status in ("accepted", "accepted_with_warnings") and WATCHED in entry.metrics
        if counts and entry.batch.sha256 not in seen and (alike is None or same_way(entry, alike)):
            seen.add(entry.batch.sha256)
            kept.append(entry)
    return kept


def same_way(one: Entry, other: Entry) -> bool:
    """Whether two audits drew the same map with the same proxy."""
    return one.policy.map == other.policy.map and one.run.proxy == other.run.proxy
