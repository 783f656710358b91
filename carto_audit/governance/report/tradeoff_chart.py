"""The pictures of the governance loop as geometry: leakage against its price, and leakage by number of copies."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from carto_audit.governance.report.label_placement import Box, Label, Named, along, place_labels
from carto_audit.governance.report.narrative import (
    FAMILY_WORDS,
    FORM_WORDS,
    arm_words,
    bounds,
    family,
    known,
    level_words,
    treated_at,
    untreated,
)
from carto_audit.report.charts import LEFT as PANEL_LEFT
from carto_audit.report.charts import RIGHT as PANEL_RIGHT
from carto_audit.report.charts import Curve, Mark, Panel, Tick, height_of
from carto_audit.text.numbers import percent, signed_percent, times

WIDTH, HEIGHT = 720.0, 498.0
LEFT, RIGHT, TOP, BOTTOM = 66.0, 708.0, 54.0, 430.0
"""The axes inside the picture, in its own units; the page scales them."""

_FAR = 2.0
"""Arms that cost more than this many times the upper quartile stand at the right edge: else one would squeeze all others."""

_IN_LEVELS = ("prune", "random", "downweight")
_ALWAYS = ("untreated", "policy")
"""Families drawn as a line through their levels, and arms that are named first whatever was chosen."""

_NOTE = 140.0
"""How wide the words at the limit of the price are."""

_STEPS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_MOST_STEPS = 7
_DODGE = 7.0
"""Between before and after at one dose, so that their intervals do not lie on each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One arm: its index, its place, the ends of its intervals, None where there are none.

    `look` is the CSS class of its family, `far` whether it stands at the edge instead of where it belongs, `role` a word
    for the arms that were chosen.
    """

    at: int
    x: float
    y: float
    left: float | None
    right: float | None
    low: float | None
    high: float | None
    look: str
    words: str
    role: str
    far: bool
    label: Label | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """The arms of one family by rising level, as an SVG polyline takes them."""

    look: str
    points: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tradeoff:
    """Leakage against perplexity: points, lines, the families in it as (look, words), ticks as (place, words).

    `limit` is where the price ends that a pick may have, None where that is outside; `missing` holds the titles of arms
    that could not be drawn.
    """

    points: tuple[Point, ...]
    lines: tuple[Line, ...]
    families: tuple[tuple[str, str], ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float
    limit: float | None
    missing: tuple[str, ...]
    description: str


def tradeoff(facts: Mapping[str, Any]) -> Tradeoff | None:
    """The picture of all arms; None where not one was measured."""
    drawn = [(at, arm) for at, arm in enumerate(facts["arms"]) if _price(arm) is not None and _leak(arm) is not None]
    if not drawn:
        return None
    score, limit = facts["run"]["score"], facts["run"]["max_perplexity_increase"]
    low, high = _span([arm for _, arm in drawn], limit)
    points = [_point(at, arm, low, high, facts) for at, arm in drawn]
    limit_at = _across(limit, low, high) if limit is not None and low < limit < high else None
    looks = list(dict.fromkeys(family(arm, score) for _, arm in drawn))
    families = [look for look in FAMILY_WORDS if look in looks] + [look for look in looks if look not in FAMILY_WORDS]
    return Tradeoff(
        points=tuple(_labelled(points, facts, _across(0.0, low, high), limit_at)),
        lines=tuple(_lines(points, facts)),
        families=tuple((look, FAMILY_WORDS.get(look, look)) for look in families),
        ticks=tuple((_across(tick, low, high), _tick_words(tick)) for tick in _ticks(low, high)),
        zero=_across(0.0, low, high),
        limit=limit_at,
        missing=tuple(arm["title"] for arm in facts["arms"] if _price(arm) is None or _leak(arm) is None),
        description="Leakage against the change of held-out perplexity. "
        + "; ".join(point.words for point in points[:40])
        + ".",
    )


def level_of(leakage: float) -> float:
    """Where a leakage of 0 to 1 lies in the picture, counted from the top."""
    return BOTTOM + (TOP - BOTTOM) * min(max(leakage, 0.0), 1.0)


def _leak(arm: Mapping[str, Any]) -> float | None:
    return _finite(known(arm["leakage"]))


def _price(arm: Mapping[str, Any]) -> float | None:
    """The change of perplexity, which for the untreated arm is none."""
    change = _finite(known(arm["perplexity_change"]))
    return 0.0 if change is None and arm["arm"] == "untreated" else change


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _span(arms: Sequence[Mapping[str, Any]], limit: float | None) -> tuple[float, float]:
    """From where to where the axis goes: all prices but those far away with their intervals, zero, the limit with room."""
    least = 1.6 * (limit or 0.01)
    prices = [_price(arm) or 0.0 for arm in arms]
    far = max(_FAR * sorted(prices)[3 * (len(prices) - 1) // 4], least)
    ends = [bounds(arm["perplexity_change"]) or (price, price) for arm, price in zip(arms, prices, strict=True)]
    near = [(price, *pair) for price, pair in zip(prices, ends, strict=True) if price <= far]
    high = max(least, *(price for price, _, _ in near), *(min(end, far) for _, _, end in near))
    low = max(min(0.0, *(min(price, end) for price, end, _ in near)), -high)
    room = 0.03 * (high - low)
    return low - room, high + room


def _across(price: float, low: float, high: float) -> float:
    return LEFT + (RIGHT - LEFT) * min(max((price - low) / (high - low), 0.0), 1.0)


def _ticks(low: float, high: float) -> list[float]:
    beyond = 10.0 ** math.ceil(math.log10((high - low) / _MOST_STEPS))
    step = next((step for step in _STEPS if (high - low) / step <= _MOST_STEPS), beyond)
    return [step * place for place in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _tick_words(price: float) -> str:
    return "0" if abs(price) < 1e-9 else f"{100 * price:+g} %".replace("-", "−")


def _point(at: int, arm: Mapping[str, Any], low: float, high: float, facts: Mapping[str, Any]) -> Point:
    price, leak = _price(arm) or 0.0, _leak(arm) or 0.0
    prices, leaks = bounds(arm["perplexity_change"]), bounds(arm["leakage"])
    far = not low <= price <= high
    role = _role(at, facts)
    return Point(
        at=at,
        x=_across(price, low, high),
        y=level_of(leak),
        left=None if prices is None or far or prices[0] == prices[1] else _across(prices[0], low, high),
        right=None if prices is None or far or prices[0] == prices[1] else _across(prices[1], low, high),
        low=None if leaks is None else level_of(leaks[0]),
        high=None if leaks is None else level_of(leaks[1]),
        look=family(arm, facts["run"]["score"]),
        words=arm_words(arm) + (f"; {role}" if role else ""),
        role=role,
        far=far,
        label=None,
    )


def _role(at: int, facts: Mapping[str, Any]) -> str:
    """Whether an arm is the knee, the policy's pick, or both."""
    chosen = [word for part, word in (("policy_pick", "pick"), ("knee", "knee")) if facts[part]["arm"] == at]
    return " and ".join(chosen)


def _lines(points: Sequence[Point], facts: Mapping[str, Any]) -> Iterator[Line]:
    """One line per family with a level, from the untreated arm on; arms that are far away are on none."""
    start = [point for point in points if point.look == "untreated"][:1]
    for look in _IN_LEVELS:
        members = sorted((p for p in points if p.look == look and not p.far), key=lambda p: _reach(facts["arms"][p.at]))
        chain = [*start, *members]
        if members and len(chain) > 1:
            yield Line(look=look, points=" ".join(f"{point.x:.1f},{point.y:.1f}" for point in chain))


def _reach(arm: Mapping[str, Any]) -> float:
    """How far an arm goes within its family."""
    return 1 - arm["weight"] if arm["weight"] is not None else arm["level"] or 0.0


def _labelled(points: Sequence[Point], facts: Mapping[str, Any], zero: float, limit: float | None) -> Iterator[Point]:
    """The points with a label each where there is room, those that matter most first."""
    order = sorted(points, key=lambda p: (not p.role, p.look not in _ALWAYS, _rank(p), p.at))
    named = [
        Named(x=p.x, y=p.y, words=_label_words(p, facts["arms"][p.at]), minor=not p.role and p.look not in _ALWAYS)
        for p in order
    ]
    drawn = [box for point in points for box in _whiskers(point)]
    drawn += [box for line in _lines(points, facts) for box in along(line.points)]
    drawn += [(x - 1, TOP, x + 1, BOTTOM) for x in (zero, limit) if x is not None]
    note = [] if limit is None else [(limit, TOP - 20, limit + _NOTE, TOP - 2)]
    labels = place_labels(named, frame=(LEFT, TOP - 30, RIGHT, BOTTOM + 4), taken=note, drawn=drawn)
    by_arm = {point.at: label for point, label in zip(order, labels, strict=True)}
    return (replace(point, label=by_arm[point.at]) for point in points)


def _whiskers(point: Point) -> Iterator[Box]:
    """What a mark's intervals cover."""
    if point.left is not None and point.right is not None:
        yield point.left, point.y - 2, point.right, point.y + 2
    if point.low is not None and point.high is not None:
        yield point.x - 3, point.high, point.x + 3, point.low


def _rank(point: Point) -> int:
    """Families of one arm first, since nothing else tells them apart from a line."""
    if point.look in _IN_LEVELS:
        return len(FAMILY_WORDS) + 1
    return list(FAMILY_WORDS).index(point.look) if point.look in FAMILY_WORDS else len(FAMILY_WORDS)


def _label_words(point: Point, arm: Mapping[str, Any]) -> str:
    words = level_words(arm) or FAMILY_WORDS.get(point.look, "")
    words = f"{point.role}: {words}" if point.role else words
    return f"{words} → {signed_percent(_price(arm))}" if point.far else words


def before_after(facts: Mapping[str, Any]) -> tuple[Panel, ...]:
    """Leakage by number of copies, a panel per form of secret: the untreated arm, and the treated one where there is one."""
    first, at = untreated(facts), treated_at(facts)
    arms = [("before", first)] if first is not None else []
    if at is not None and facts["arms"][at] is not first:
        arms.append(("after", facts["arms"][at]))
    doses = sorted({int(dose) for _, arm in arms for form in arm["extraction_by_form"].values() for dose in form})
    panels = (_form_panel(form, arms, doses) for form in FORM_WORDS)
    return tuple(panel for panel in panels if panel.curves)


def _form_panel(form: str, arms: Iterable[tuple[str, Mapping[str, Any]]], doses: list[int]) -> Panel:
    curves, said = [], []
    for place, (look, arm) in enumerate(arms):
        cells = [
            (dose, estimate)
            for dose in doses
            if (estimate := arm["extraction_by_form"].get(form, {}).get(str(dose))) and known(estimate) is not None
        ]
        marks = tuple(_mark(dose, estimate, doses, _DODGE * (place - 0.5)) for dose, estimate in cells)
        if marks:
            curves.append(Curve(look=look, words=arm["title"], marks=marks))
            said.append(f"{look}: " + ", ".join(f"{times(dose)} {percent(known(cell))}" for dose, cell in cells))
    return Panel(
        title=FORM_WORDS[form],
        curves=tuple(curves),
        compared=(),
        ticks=tuple(Tick(x=_dose_place(dose, doses), words=times(dose), planted=True) for dose in doses),
        description=f"Secrets {FORM_WORDS[form]} that leak, by number of copies. {'; '.join(said)}.",
    )


def _mark(dose: int, estimate: Mapping[str, float | None], doses: list[int], aside: float) -> Mark:
    ends = bounds(estimate)
    return Mark(
        x=_dose_place(dose, doses) + aside,
        y=height_of(known(estimate) or 0.0),
        low=None if ends is None else height_of(ends[0]),
        high=None if ends is None else height_of(ends[1]),
    )


def _dose_place(dose: int, doses: list[int]) -> float:
    """Where a dose lies on the axis; doses grow by factors, so their places are even."""
    room = 46.0
    return PANEL_LEFT + room + (PANEL_RIGHT - PANEL_LEFT - 2 * room) * doses.index(dose) / max(len(doses) - 1, 1)
