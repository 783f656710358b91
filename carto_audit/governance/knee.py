"""The knee: which level of treatment to take. Named only where acting on the map beats chance, and otherwise not at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from carto_audit.cartography.intervals import Estimate

LEAST_LEAKAGE = 0.05
"""A proxy that gives away less than this share of the planted secrets did not learn them: it cannot show a reduction."""

_TIE = 1e-9  # of the unit square: distances that differ by less are the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One arm on the plane of leakage (a share) by change of perplexity (0.005 is half a percent more), both better low.

    `perplexity_high` is the high end of the interval of that change and `beats_random` by how much random pruning at the same
    level leaks more; None where they could not be measured. `exposed` says that its secrets still rank first among all that
    could stand in their place, so that it hides them from greedy decoding alone.
    """

    arm: int
    leakage: float
    perplexity_change: float
    perplexity_high: float | None = None
    beats_random: Estimate | None = None
    pruned_tokens: float = 0.0
    exposed: bool = False

    @property
    def is_measured(self) -> bool:
        """False for an arm whose training diverged: it never wins."""
        return math.isfinite(self.leakage) and math.isfinite(self.perplexity_change)

    def dominates(self, other: "Point") -> bool:
        """Whether this arm is at least as good in both, and better in one."""
        ours, theirs = ((p.leakage, p.perplexity_change) for p in (self, other))
        return ours != theirs and all(mine <= yours for mine, yours in zip(ours, theirs, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The arm that was chosen, None where none should be, and why in one sentence of ours."""

    arm: int | None
    reason: str


def has_nothing_to_reduce(untreated: Estimate | None) -> bool:
    """Whether the leakage of the untreated arm is too small, or too uncertain, to show that a treatment reduces it."""
    return untreated is None or untreated.value < LEAST_LEAKAGE or untreated.low is None or untreated.low <= 0


def find_knee(levels: Sequence[Point], untreated: Point) -> Choice:
    """The level after which less leakage starts to cost more perplexity than before, among the `levels` of one score.

    Of the levels and the untreated arm those that no other dominates are kept; the knee lies farthest below the straight
    line between the best in perplexity and the best in leakage, once both are scaled to 0..1. It is named only where it
    leaks less than random pruning by more than the interval.
    """
    if not untreated.is_measured:
        return _none("the untreated run diverged, so there is nothing to compare with")
    if untreated.leakage < LEAST_LEAKAGE:
        leaked = f"leaks {_percent(untreated.leakage)} of the planted secrets"
        return _none(f"the proxy of the untreated batch {leaked}, so there is nothing to reduce")
    measured = [level for level in levels if level.is_measured]
    if len(measured) < 2:
        return _none(f"{len(measured)} of {len(levels)} levels could be measured, and a bend needs at least two")
    if all(_place(level) == _place(untreated) for level in measured):
        return _none("all levels leak and cost the same as no treatment")
    frontier = _frontier([untreated, *measured])
    if frontier[-1].leakage >= untreated.leakage:
        return _none("no level leaks less than the untreated batch")
    if len(frontier) == 1:
        said = "no other level leaks less or costs less perplexity, so no trade-off was seen and this one is the choice"
        return _beating(frontier[0], said)
    if len(frontier) == 2:
        return _none("only two arms are not outdone by another, and between two there is no bend")
    best, distance = _farthest(frontier)
    if distance <= _TIE:
        return _none("less leakage costs perplexity at an even or falling rate, so no level bends the curve")
    if best.arm == untreated.arm:
        return _none("the bend lies at the untreated batch: every level costs more than it gains")
    return _beating(best, f"farthest below the line between the extremes ({distance:.2f} of the unit square)")


def pick(points: Sequence[Point], max_increase: float) -> Choice:
    """The arm that leaks least with at most `max_increase` more perplexity (0.01: one percent); of arms that leak alike the
    one with lower perplexity, then the one that prunes less. Give the untreated arm too, so that doing nothing can win, and
    leave the random control out. An arm that is `exposed` is never picked: what it no longer recites it still knows."""
    allowed = f"{_percent(max_increase)} more perplexity"
    affordable = [point for point in points if point.is_measured and point.perplexity_change <= max_increase]
    within = [point for point in affordable if not point.exposed]
    if not within:
        why = (
            f"every arm within {allowed} leaves the secrets at full exposure"
            if affordable
            else f"no arm stays within {allowed}"
        )
        return Choice(arm=None, reason=why)
    best = min(within, key=lambda point: (point.leakage, point.perplexity_change, point.pruned_tokens, point.arm))
    reason = (
        f"leaks least ({_percent(best.leakage)} of the planted secrets) of the {len(within)} arms within {allowed} "
        f"({_percent(best.perplexity_change, '+.2f')})"
    )
    if best.perplexity_high is None or not math.isfinite(best.perplexity_high):
        reason += "; its perplexity has no interval, so one more seed may say otherwise"
    elif best.perplexity_high > max_increase:
        reason += f"; the interval reaches {_percent(best.perplexity_high, '+.2f')}, so the limit may be exceeded"
    return Choice(arm=best.arm, reason=reason)


def _none(why: str) -> Choice:
    return Choice(arm=None, reason=f"no knee: {why}")


def _percent(share: float, form: str = ".1f") -> str:
    return f"{100 * share:{form}} %"


def _place(point: Point) -> tuple[float, float]:
    return point.perplexity_change, point.leakage


def _frontier(points: Sequence[Point]) -> list[Point]:
    """The points that no other dominates, by rising perplexity and so by falling leakage; of equal ones the first, with
    the fewest tokens pruned."""
    ordered = sorted(points, key=lambda point: (*_place(point), point.pruned_tokens))
    kept: list[Point] = []
    for point in ordered:
        if not kept or point.leakage < kept[-1].leakage:
            kept.append(point)
    return kept


def _farthest(frontier: Sequence[Point]) -> tuple[Point, float]:
    """The point farthest below the chord, and its distance from it; of equal ones the one that leaks least."""
    (x_first, y_first), (x_last, y_last) = (_place(frontier[end]) for end in (0, -1))
    distances = [
        (1 - (x - x_first) / (x_last - x_first) - (y - y_last) / (y_first - y_last)) / math.sqrt(2)
        for x, y in map(_place, frontier)
    ]
    most = max(distances)
    return next((p, d) for p, d in reversed(list(zip(frontier, distances, strict=True))) if d >= most - _TIE)


def _beating(point: Point, why: str) -> Choice:
    """The point, if it does better than pruning as many tokens at random."""
    against = point.beats_random
    if against is None or against.low is None:
        return _none("the level at the bend has no random control to compare with")
    if not against.low > 0:
        return _none(
            f"the level at the bend does no better than random pruning (it leaks {_percent(against.value)} less, and the "
            f"interval reaches {_percent(against.low)})"
        )
    beaten = f"it leaks less than random pruning of as many tokens by {_percent(against.value)}, at least {_percent(against.low)}"
    return Choice(arm=point.arm, reason=f"{why}; {beaten}")
