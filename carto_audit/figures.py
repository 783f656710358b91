"""The map as a picture, and the small loss traces. Same facts, same bytes: no dates, no random ids, no global state."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import NDArray

from carto_audit.text import safe_inline


@dataclass(frozen=True, kw_only=True, slots=True)
class QuadrantWords:
    """How one quadrant is called, explained and tinted, on the map, in the page and in the terminal."""

    title: str
    meaning: str
    tint: str
    ink: str


QUADRANTS: Mapping[str, QuadrantWords] = {
    "stable_easy": QuadrantWords(
        title="Stable, easy", meaning="core patterns, learned without copying", tint="#f4f7f4", ink="#3d6250"
    ),
    "ambiguous_hard": QuadrantWords(
        title="Ambiguous, hard", meaning="hard to predict, not memorized", tint="#eef4fb", ink="#2b5c92"
    ),
    "hotspot_memorized": QuadrantWords(
        title="Memorized hotspot",
        meaning="easy because memorized: extraction risk",
        tint="#fdf0ec",
        ink="#a8341d",
    ),
    "noisy_outlier": QuadrantWords(
        title="Noisy outlier", meaning="hard and memorized: odd or corrupt", tint="#f7f1fa", ink="#70408c"
    ),
}
SCORE_WORDS: Mapping[str, str] = {
    "memorized": "memorized share of a passage",
    "memorized_span_share": "memorized share of one window",
    "memorized_share": "memorized share of a whole sample",
    "forget_score": "forget events, as the policy sets ε",
    "forget_absolute": "forget events, one loss level for all",
    "forget_relative": "forget events, own lowest loss plus a margin",
    "forget_held_out": "forget events, level of unseen text",
    "lt_iqr": "spread of the loss trace (LT-IQR)",
    "drop": "drop of the loss in training",
    "learn_time": "epoch at which it is learned",
    "rebound": "largest rise of the loss",
    "cumulative_loss": "sum of the losses over all epochs",
    "low_final_loss": "low loss at the end",
    "near_duplicate_count": "number of near copies",
    "mosaic_count": "number of copies, near ones counting less",
}
"""Every score and published statistic, in words; a policy may choose the first four as the map's axis."""

_INK, _MUTED, _RULE, _MARK = "#1c2733", "#5b6874", "#8a96a1", "#8c1d0f"
_LEFT = 0.075
# Light is few: the first colour still stands out on the tints, the last is nearly black.
_DENSITY = LinearSegmentedColormap.from_list("density", ["#c9cdbd", "#9aa5a0", "#647a8c", "#34527a", "#122a52"])
# Hexagons across and, for regular ones in these axes, down.
_CELLS = (76, 29)
_MARKED = 8


def map_figure(
    *,
    difficulty: NDArray[np.floating[Any]],
    memorization: NDArray[np.floating[Any]],
    n_tokens: NDArray[np.integer[Any]],
    facts: Mapping[str, Any],
    control_scores: Mapping[int, float],
) -> Figure:
    """The batch on its map: difficulty (nats per token) by memorization, arrays of shape (N,), NaN = not on the map.

    `facts` is the report; `control_scores` gives the median memorization of the planted controls by dose.
    """
    placed = np.isfinite(difficulty) & np.isfinite(memorization)
    thresholds = facts["map"]["thresholds"]
    xs, ys = np.asarray(difficulty, float)[placed], np.asarray(memorization, float)[placed]
    controls = {dose: score for dose, score in sorted(control_scores.items()) if np.isfinite(score)}
    x_range = _axis_range(xs, thresholds["difficulty"], (), floor=0.5, air=0.09)
    y_range = _axis_range(ys, thresholds["memorization"], controls.values(), floor=0.1, air=0.14)

    figure = Figure(figsize=(9.6, 6.9), dpi=150, facecolor="white")
    axes = figure.add_axes((_LEFT, 0.125, 0.78, 0.725))
    axes.set(xlim=x_range, ylim=y_range)
    _draw_quadrants(axes, thresholds, facts["map"]["quadrants"])
    cells = _draw_density(axes, xs, ys)
    _draw_thresholds(axes, thresholds, facts["map"]["threshold_rules"])
    _draw_riskiest(axes, facts["riskiest"])
    _draw_controls(axes, controls)
    _draw_frame(figure, axes, facts, cells, int(n_tokens[placed].sum()), len(xs))
    return figure


def figure_svg(figure: Figure) -> bytes:
    """The figure as SVG: text stays text, ids are fixed, no date."""
    with matplotlib.rc_context({"svg.hashsalt": "carto-audit", "svg.fonttype": "none"}):
        return _saved(figure, "svg", {"Date": None, "Creator": None, "Title": "carto-audit map"}, dpi=130)


def figure_png(figure: Figure) -> bytes:
    """The figure as PNG at its own resolution, without a software stamp."""
    return _saved(figure, "png", {"Software": None}, dpi=150)


def sparkline(lines: Iterable[tuple[str, Sequence[float], Sequence[float | None]]], description: str) -> str:
    """A trace of losses as a small SVG: one (CSS class, epochs, losses in nats per token) per line, all on one scale.

    Numbers that are not finite are left out. `description` and the classes come from the program, never from data.
    """
    drawn = [
        (name, [(x, y) for x, y in zip(xs, ys, strict=True) if y is not None and np.isfinite(y)])
        for name, xs, ys in lines
    ]
    points = [point for _, line in drawn for point in line]
    if not points:
        return ""
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top = max(max(y for _, y in points), 1e-9)
    body = ""
    for name, line in drawn:
        at = [f"{2 + 92 * (x - left) / max(right - left, 1):.1f},{26 - 24 * max(y, 0) / top:.1f}" for x, y in line]
        if len(at) > 1:
            body += f'<polyline class="{name}" points="{" ".join(at)}"/>'
        elif at:
            x, y = at[0].split(",")
            body += f'<circle class="{name}" cx="{x}" cy="{y}" r="1.6"/>'
    label = f'role="img" aria-label="{description}"'
    return f'<svg class="trace" viewBox="0 0 96 28" width="96" height="28" {label}>{body}</svg>'


def percent(share: float | None) -> str:
    """A share in 0..1 as a percentage; small ones keep a digit that tells them from nothing."""
    if share is None:
        return "–"
    digits = 1 if share == 0 or abs(share) >= 0.001 else 3
    return f"{100 * share:.{digits}f} %"


def _saved(figure: Figure, kind: str, metadata: dict[str, str | None], dpi: int) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, metadata=metadata, dpi=dpi)
    return stream.getvalue()


def _axis_range(
    values: NDArray[np.floating[Any]], threshold: float | None, marks: Iterable[float], floor: float, air: float
) -> tuple[float, float]:
    """Nearly all values (99.8 %), the threshold and every mark, with a share of air; never narrower than `floor`."""
    known = [*marks, *(float(v) for v in (np.percentile(values, [0.1, 99.9]) if len(values) else []))]
    known += [threshold] if threshold is not None else []
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    space = max(air * (high - low), floor / 2)
    low, high = low - space, high + space
    if threshold is not None:
        # A fifth of the axis on either side of the threshold: room for the quadrants' names.
        low = min(low, (threshold - 0.2 * high) / 0.8)
        high = max(high, (threshold - 0.2 * low) / 0.8)
    return low, high


def _draw_quadrants(
    axes: Axes, thresholds: Mapping[str, float | None], quadrants: Mapping[str, Mapping[str, Any]]
) -> None:
    """The four fields, tinted and named with their share of the tokens."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = thresholds["difficulty"], thresholds["memorization"]
    if x is None or y is None:
        return
    for name, words in QUADRANTS.items():
        east, north = name in ("ambiguous_hard", "noisy_outlier"), name in ("hotspot_memorized", "noisy_outlier")
        corner = (x if east else left, y if north else bottom)
        width, height = (right - x) if east else (x - left), (top - y) if north else (y - bottom)
        axes.add_patch(Rectangle(corner, width, height, facecolor=words.tint, edgecolor="none", zorder=0))
        share = quadrants.get(name, {}).get("token_share")
        place = (1 if east else 0, 1 if north else 0)
        look: dict[str, Any] = {"ha": "right" if east else "left", "color": words.ink, "bbox": _backed(words.tint)}
        dx = -10 if east else 10
        _note(
            axes, percent(share), place, (dx, -27 if north else 25), "axes fraction", fontsize=18, weight="bold", **look
        )
        _note(axes, words.title, place, (dx, -42 if north else 11), "axes fraction", fontsize=10, **look)


def _draw_density(axes: Axes, xs: NDArray[np.floating[Any]], ys: NDArray[np.floating[Any]]) -> PolyCollection | None:
    """Hexagonal counts of samples, rasterized; what lies outside the axes is counted in the cells at their edge."""
    if not len(xs):
        look: dict[str, Any] = {"ha": "center", "color": _MUTED, "bbox": _backed("white")}
        _note(axes, "no sample has a place on the map", (0.5, 0.65), (0, 0), "axes fraction", **look)
        return None
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    inside = np.clip(xs, left, right), np.clip(ys, bottom, top)
    style: dict[str, Any] = {"cmap": _DENSITY, "linewidths": 0.35, "edgecolors": "white", "zorder": 2}
    cells = axes.hexbin(*inside, gridsize=_CELLS, extent=(left, right, bottom, top), mincnt=1, rasterized=True, **style)
    cells.set_norm(LogNorm(vmin=1, vmax=max(_most(cells), 10)))
    return cells


def _most(cells: PolyCollection) -> float:
    counts = cells.get_array()
    return 0.0 if counts is None or not len(counts) else float(counts.max())


def _draw_thresholds(
    axes: Axes, thresholds: Mapping[str, float | None], rules: Mapping[str, Mapping[str, Any]]
) -> None:
    """Both lines with their number and, in words, the rule that put them there."""
    style: dict[str, Any] = {"color": _INK, "linewidth": 1.0, "linestyle": (0, (4, 3)), "zorder": 3}
    look: dict[str, Any] = {"fontsize": 8.5, "color": _INK, "parse_math": False}
    if (y := thresholds["memorization"]) is not None:
        axes.axhline(y, **style)
        words = _drawable(f"{y:.2f} · {rules['memorization']['words']}", 84)
        _note(axes, words, (0, y), (10, 5), ("axes fraction", "data"), bbox=_backed("white"), **look)
    if (x := thresholds["difficulty"]) is not None:
        axes.axvline(x, **style)
        words = _drawable(f"{x:.2f} · {rules['difficulty']['words']}", 84)
        left, right = axes.get_xlim()
        across = (x - left) / (right - left)
        side = "left" if across < 0.3 else "right" if across > 0.7 else "center"
        _note(axes, words, (x, 1), (0, 5), ("data", "axes fraction"), ha=side, **look)


def _draw_riskiest(axes: Axes, riskiest: Sequence[Mapping[str, Any]]) -> None:
    """The first samples of the report's table, ringed, and numbered as there where the numbers have room."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    numbered: list[NDArray[np.floating[Any]]] = []
    for rank, sample in enumerate(riskiest[:_MARKED], start=1):
        x, y = sample["difficulty"], sample["memorization"]
        if x is None or y is None:
            continue
        at = (min(max(x, left), right), min(max(y, bottom), top))
        axes.plot(*at, "o", markersize=8, markerfacecolor="none", markeredgecolor=_MARK, markeredgewidth=1.2, zorder=5)
        pixel = axes.transData.transform(at)
        if all(np.hypot(*(pixel - other)) > 26 for other in numbered):
            numbered.append(pixel)
            _note(axes, str(rank), at, (5, 4), "data", fontsize=8, color=_MARK, bbox=_backed("white"))


def _draw_controls(axes: Axes, controls: Mapping[int, float]) -> None:
    """The planted secrets as marks on a ruler right of the map: they give the vertical axis its unit."""
    beside = axes.get_yaxis_transform()
    bottom, top = axes.get_ylim()
    if controls:
        _note(axes, "a secret planted …", (1, 1), (4, 5), "axes fraction", fontsize=8.5, color=_MUTED)
    lowest = -np.inf
    for dose, score in sorted(controls.items(), key=lambda item: item[1]):
        axes.plot([0.994, 1.014], [score, score], transform=beside, color=_MARK, linewidth=2.2, clip_on=False, zorder=6)
        # Labels of nearly equal scores are stacked; the marks stay where they are.
        lowest = max(score, lowest + 0.045 * (top - bottom))
        times = "once" if dose == 1 else f"{dose} times"
        place = axes.transAxes.inverted().transform(axes.transData.transform((0, lowest)))[1]
        _note(
            axes, f"{times}  {score:.2f}", (1.014, place), (5, 0), "axes fraction", fontsize=9, va="center", color=_MARK
        )


def _draw_frame(
    figure: Figure, axes: Axes, facts: Mapping[str, Any], cells: PolyCollection | None, tokens: int, samples: int
) -> None:
    """Title, axis names, scale of the density and the line that says what was measured."""
    score = SCORE_WORDS.get(facts["map"]["score"], "memorization")
    axes.set_xlabel("difficulty: early loss, nats per token", fontsize=10, color=_INK, labelpad=6)
    axes.set_ylabel(f"memorization: {score}", fontsize=10, color=_INK, labelpad=6)
    axes.tick_params(colors=_MUTED, labelsize=9, length=3, color=_RULE)
    for spine in axes.spines.values():
        spine.set(color=_RULE, linewidth=0.7)
    paths = facts["batch"]["paths"]
    name = _drawable(PurePath(paths[0]).name if paths else "batch", 60)
    title = name + (f" and {len(paths) - 1:,} more" if len(paths) > 1 else "")
    figure.text(_LEFT, 0.945, "Memorization map", fontsize=15, fontweight="bold", color=_INK)
    figure.text(_LEFT, 0.908, title, fontsize=10, color=_MUTED, parse_math=False)
    folds, parameters = facts["run"]["folds"], facts["run"]["proxy"]["parameters"]
    proxies = (
        f"{folds} proxies of {parameters:,} parameters" if folds > 1 else f"one proxy of {parameters:,} parameters"
    )
    counts = f"{samples:,} sample{'' if samples == 1 else 's'} · {tokens:,} tokens"
    note = f"{counts} · measured with {proxies} · rings: the riskiest samples"
    figure.text(_LEFT, 0.022, note, fontsize=8.5, color=_MUTED)
    if cells is not None:
        _draw_scale(figure, cells)


def _draw_scale(figure: Figure, cells: PolyCollection) -> None:
    most = max(_most(cells), 10)
    scale = figure.colorbar(cells, cax=figure.add_axes((0.675, 0.935, 0.18, 0.014)), orientation="horizontal")
    scale.set_ticks([tick for tick in (1, 10, 100, 1000, 10_000, 100_000, 1_000_000) if tick <= most])
    scale.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    scale.ax.xaxis.set_minor_locator(NullLocator())
    scale.ax.tick_params(colors=_MUTED, labelsize=8, length=2, pad=2)
    scale.ax.set_title("samples per cell", fontsize=8.5, color=_MUTED, loc="left", pad=4)
    scale.outline.set_visible(False)


def _backed(colour: str) -> dict[str, Any]:
    """A pale ground for words over the density; an outline around letters would turn them into paths in the SVG."""
    return {"boxstyle": "square,pad=0.12", "facecolor": colour, "alpha": 0.8, "edgecolor": "none"}


def _note(axes: Axes, text: str, at: Any, offset: tuple[float, float], system: Any, **look: Any) -> None:
    """Text at `at` in the given coordinate system, moved by `offset` points, on top of everything."""
    axes.annotate(
        text, at, offset, xycoords=system, textcoords="offset points", zorder=7, annotation_clip=False, **look
    )


def _drawable(text: str, limit: int) -> str:
    """One printable line; characters that the figure's font lacks are replaced, since matplotlib warns of each."""
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return "".join(c if font.get_char_index(ord(c)) else "?" for c in safe_inline(text, limit))
