"""Trend charts: a metric over a vendor's audits as geometry. The page draws it, so light, dark and print agree."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from carto_audit.ledger.entry import Entry
from carto_audit.policy.metrics import METRICS
from carto_audit.policy.values import show_value

WIDTH, HEIGHT = 460.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 448.0, 14.0, 150.0
"""The axes inside the picture, in its own units; the page scales them."""

_MOST_DATES = 4

Scale = Callable[[float], float]
Places = Callable[[int], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """One audit: its place, the ends of its interval, its verdict, and all of it in words."""

    x: float
    y: float
    low: float
    high: float
    status: str
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TrendChart:
    """A metric over time: marks, the pieces of the limit as polylines, ticks as (place, words), and all of it in words."""

    metric: str
    meaning: str
    marks: tuple[Mark, ...]
    limits: tuple[str, ...]
    levels: tuple[tuple[float, str], ...]
    dates: tuple[tuple[float, str], ...]
    description: str

    @property
    def line(self) -> str:
        """The marks as an SVG polyline takes them."""
        return " ".join(f"{mark.x:.1f},{mark.y:.1f}" for mark in self.marks)


def trend_chart(entries: Sequence[Entry], metric: str) -> TrendChart | None:
    """The picture of one metric over audits, oldest first; None where none of them measured it."""
    known = [(place, entry) for place, entry in enumerate(entries) if metric in entry.metrics]
    if not known:
        return None
    limits = [(place, entry.limit(metric)) for place, entry in enumerate(entries)]
    tops = [entry.metrics[metric][2] for _, entry in known]
    tops += [limit for _, limit in limits if limit is not None and limit <= 4 * max(tops)]
    most = _round_up(max(tops))

    def up(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * min(1.0, max(0.0, value / most))

    def across(place: int) -> float:
        return (LEFT + RIGHT) / 2 if len(entries) == 1 else LEFT + 8 + (RIGHT - LEFT - 16) * place / (len(entries) - 1)

    marks = tuple(_mark(entry, metric, across(place), up) for place, entry in known)
    first, last = known[0][1], known[-1][1]
    return TrendChart(
        metric=metric,
        meaning=METRICS[metric].meaning if metric in METRICS else "",
        marks=marks,
        limits=tuple(_steps(limits, most, across, up)),
        levels=tuple((up(part * most), show_value(metric, part * most)) for part in (0.0, 0.5, 1.0)),
        dates=tuple((across(place), entries[place].audited_at[:10]) for place in _spread(len(entries))),
        description=(
            f"{metric} over {len(known)} audits: {show_value(metric, first.metrics[metric][0])} on {first.audited_at[:10]}, "
            f"{show_value(metric, last.metrics[metric][0])} on {last.audited_at[:10]}"
        ),
    )


def _mark(entry: Entry, metric: str, x: float, up: Scale) -> Mark:
    value, low, high = entry.metrics[metric]
    between = f" ({show_value(metric, low)} to {show_value(metric, high)})" if low != high else ""
    return Mark(
        x=x,
        y=up(value),
        low=up(low),
        high=up(high),
        status=entry.verdict.status,
        words=f"entry {entry.number}, {entry.audited_at[:10]}: {show_value(metric, value)}{between}",
    )


def _steps(limits: Sequence[tuple[int, float | None]], most: float, across: Places, up: Scale) -> list[str]:
    """The limit as it stood at each audit, in pieces where there was none; one beyond the picture is not drawn."""
    half = (across(1) - across(0)) / 2 if len(limits) > 1 else 40.0
    pieces: list[list[str]] = [[]]
    for place, limit in limits:
        if limit is None or limit > most:
            pieces.append([])
            continue
        x, y = across(place), up(limit)
        pieces[-1] += [f"{max(LEFT, x - half):.1f},{y:.1f}", f"{min(RIGHT, x + half):.1f},{y:.1f}"]
    return [" ".join(piece) for piece in pieces if piece]


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 5 or 10 times a power of ten: two ticks that can be read."""
    if value <= 0:
        return 1.0
    power = 1e-6
    while power * 10 <= value:
        power *= 10
    return next(step * power for step in (1, 2, 4, 5, 10, 20) if step * power >= value * 0.999999)


def _spread(count: int) -> list[int]:
    """Places of dates that do not lie on each other, the first and the last among them."""
    if count <= _MOST_DATES:
        return list(range(count))
    return sorted({round(k * (count - 1) / (_MOST_DATES - 1)) for k in range(_MOST_DATES)})
