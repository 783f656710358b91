"""Charts: dose-response pictures and loss traces as geometry. The page draws them, so light, dark and print agree."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from carto_audit.artifacts.evidence_facts import Forms, Kinds
from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.report.narrative import CHARTED_KINDS, FORM_WORDS, KIND_WORDS, by_dose, score_words
from carto_audit.text.numbers import number, times

WIDTH, HEIGHT = 460.0, 246.0
LEFT, RIGHT, TOP, BOTTOM = 68.0, 452.0, 12.0, 204.0
"""The axes inside the picture, in its own units; the page scales them."""

DOSES = (1, 4, 16, 64)
"""Always on the axis, planted or not, so that pictures of two audits can be laid side by side."""

COMPARED = ("forget_score", "low_final_loss", "memorized_share", "memorized")
MOST_COMPARED = 3
"""Scores drawn pale behind the one in use: the paper's, the obvious one, and the other readings of two proxies."""

_DODGE = 9.0
"""Between the kinds at one dose, so that their intervals do not lie on each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """One AUC: its place, and the ends of its interval, None where there is none."""

    x: float
    y: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """The AUCs of one line by rising dose. `look` is the CSS class, `words` the line's name."""

    look: str
    words: str
    marks: tuple[Mark, ...]

    @property
    def points(self) -> str:
        """The marks as an SVG polyline takes them."""
        return " ".join(f"{mark.x:.1f},{mark.y:.1f}" for mark in self.marks)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A dose on the axis; `planted` is False where this audit planted none so often."""

    x: float
    words: str
    planted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One form of secret: a curve per kind of the score in use, pale ones of other scores, and all of it in words."""

    title: str
    curves: tuple[Curve, ...]
    compared: tuple[Curve, ...]
    ticks: tuple[Tick, ...]
    description: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LossLine:
    """One line of a loss trace: CSS class, its points as SVG takes them, and where it ends."""

    look: str
    points: str
    end: tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class LossChart:
    """A loss trace with its axes: ticks as (place, words), the vertical one in nats per token, the other in epochs."""

    lines: tuple[LossLine, ...]
    levels: tuple[tuple[float, str], ...]
    epochs: tuple[tuple[float, str], ...]


LOSS_WIDTH, LOSS_HEIGHT = 300.0, 132.0
_LOSS_BOX = (30.0, 292.0, 8.0, 108.0)

Lines = Iterable[tuple[str, Sequence[float], Sequence[float | None]]]
"""One (CSS class, epochs, losses in nats per token) per line; classes come from the program, never from data."""


def sparkline(lines: Lines, description: str) -> str:
    """A trace of losses as a small SVG, all lines on one scale from 0. Numbers that are not finite are left out.

    `description` comes from the program, never from data.
    """
    body = ""
    for name, line in _placed(lines, (2, 94, 2, 26)):
        at = [f"{x:.1f},{y:.1f}" for x, y in line]
        if len(at) > 1:
            body += f'<polyline class="{name}" points="{" ".join(at)}"/>'
        elif at:
            x, y = at[0].split(",")
            body += f'<circle class="{name}" cx="{x}" cy="{y}" r="1.6"/>'
    label = f'role="img" aria-label="{description}"'
    return f'<svg class="trace" viewBox="0 0 96 28" width="96" height="28" {label}>{body}</svg>' if body else ""


def loss_chart(lines: Lines) -> LossChart | None:
    """The same trace with axes; None where no loss is known."""
    lines = list(lines)
    placed = [(name, line) for name, line in _placed(lines, _LOSS_BOX) if line]
    if not placed:
        return None
    xs, ys = zip(*_known(lines), strict=True)
    (left, right, top, bottom), first, last, most = _LOSS_BOX, min(xs), max(xs), max(*ys, 1e-9)
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, math.inf) if most / step <= 4.5)
    levels = [step * k for k in range(5) if step * k <= most] if math.isfinite(step) else [0.0]
    ends = sorted({first, last})
    return LossChart(
        lines=tuple(
            LossLine(look=name, points=" ".join(f"{x:.1f},{y:.1f}" for x, y in line), end=line[-1])
            for name, line in placed
        ),
        levels=tuple((bottom - (bottom - top) * level / most, f"{level:g}") for level in levels),
        epochs=tuple((left + (right - left) * (x - first) / max(last - first, 1), f"{x:g}") for x in ends),
    )


def _known(lines: Lines) -> list[tuple[float, float]]:
    return [
        (x, max(y, 0.0))
        for _, xs, ys in lines
        for x, y in zip(xs, ys, strict=True)
        if y is not None and math.isfinite(y)
    ]


def _placed(lines: Lines, box: tuple[float, float, float, float]) -> list[tuple[str, list[tuple[float, float]]]]:
    """Every line in the box (left, right, top, bottom), all on one scale that begins at a loss of 0."""
    lines = list(lines)
    points = _known(lines)
    if not points:
        return []
    (left, right, top, bottom), first, last = box, min(x for x, _ in points), max(x for x, _ in points)
    most = max(max(y for _, y in points), 1e-9)
    return [
        (
            name,
            [
                (left + (right - left) * (x - first) / max(last - first, 1), bottom - (bottom - top) * y / most)
                for x, y in _known([(name, xs, ys)])
            ],
        )
        for name, xs, ys in lines
    ]


def height_of(auc: float) -> float:
    """Where an AUC of 0 to 1 lies in the picture, counted from the top."""
    return BOTTOM + (TOP - BOTTOM) * min(max(auc, 0.0), 1.0)


def dose_panels(facts: ReportFacts) -> tuple[Panel, ...]:
    """AUC by dose, one panel for secrets alone and one for those inside other text; none where nothing was measured."""
    used, scores = facts["map"]["score"], facts["detection"]["scores"]
    doses = sorted({*DOSES, *(dose for kinds in scores.get(used, {}).values() for dose, _ in _planted(kinds))})
    panels = (_panel(form, used, scores, doses) for form in FORM_WORDS)
    return tuple(panel for panel in panels if panel.curves)


def _planted(forms: Forms) -> Iterable[tuple[int, float]]:
    """Every dose at which something was planted, with its AUC."""
    for doses in forms.values():
        yield from ((dose, cell["auc"]) for dose, cell in by_dose(doses) if dose > 0 and cell["auc"] is not None)


def _panel(form: str, used: str, scores: Mapping[str, Kinds], doses: list[int]) -> Panel:
    curves, said, seen = [], [], set()
    for place, kind in enumerate(CHARTED_KINDS):
        words = KIND_WORDS[kind]
        cells = [
            (dose, auc, cell)
            for dose, cell in by_dose(scores.get(used, {}).get(kind, {}).get(form, {}))
            if dose > 0 and (auc := cell["auc"]) is not None
        ]
        if cells:
            marks = tuple(_mark(dose, auc, cell["ci"], doses, _DODGE * (place - 1)) for dose, auc, cell in cells)
            curves.append(Curve(look=f"k{place}", words=words.title, marks=marks))
            said.append(f"{words.title}: " + ", ".join(f"{times(dose)} {number(auc)}" for dose, auc, _ in cells))
            seen |= {dose for dose, *_ in cells}
    compared = []
    for place, score in enumerate([score for score in COMPARED if score != used][:MOST_COMPARED]):
        means = _means(scores.get(score, {}), form)
        if means:
            marks = tuple(_mark(dose, auc, None, doses, 0.0) for dose, auc in means)
            compared.append(Curve(look=f"c{place}", words=score_words(score), marks=marks))
            said.append(
                f"{score_words(score)}, mean: " + ", ".join(f"{times(dose)} {number(auc)}" for dose, auc in means)
            )
    return Panel(
        title=FORM_WORDS[form],
        curves=tuple(curves),
        compared=tuple(compared),
        ticks=tuple(Tick(x=_across(dose, doses), words=times(dose), planted=dose in seen) for dose in doses),
        description=f"AUC by number of copies, secrets {FORM_WORDS[form]}. {'; '.join(said)}.",
    )


def _means(kinds: Kinds, form: str) -> list[tuple[int, float]]:
    """The mean AUC of a score over the kinds of secret, by dose."""
    found: dict[int, list[float]] = {}
    for forms in kinds.values():
        for dose, auc in _planted({form: forms.get(form, {})}):
            found.setdefault(dose, []).append(auc)
    return [(dose, sum(aucs) / len(aucs)) for dose, aucs in sorted(found.items())]


def _mark(dose: int, auc: float, ci: Sequence[float | None] | None, doses: list[int], aside: float) -> Mark:
    low, high = ci or (None, None)
    return Mark(
        x=_across(dose, doses) + aside,
        y=height_of(auc),
        low=None if low is None else height_of(low),
        high=None if high is None else height_of(high),
    )


def _across(dose: int, doses: list[int]) -> float:
    """Where a dose lies on the axis, which is logarithmic: each step is a doubling."""
    first, last = math.log2(doses[0]), math.log2(doses[-1])
    room = 32.0
    return LEFT + room + (RIGHT - LEFT - 2 * room) * (math.log2(dose) - first) / max(last - first, 1.0)
