"""The map as a picture. Same facts, same bytes: no dates, no random ids, no global state. Its parts have names."""

import io
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as MapPath
from numpy.typing import NDArray

from carto_audit.artifacts.evidence_facts import Axis, MatchFacts, QuadrantFacts, SampleFacts, ThresholdFacts
from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.cartography.map_grid import level_edges, map_frame
from carto_audit.cartography.quadrants import QUADRANTS, UNMAPPED, QuadrantName
from carto_audit.report.narrative import SCORE_WORDS
from carto_audit.text.numbers import percent, plural, times
from carto_audit.text.untrusted import safe_inline

_INK, _MUTED, _RULE, _MARK, _ITEM = "#1c2733", "#5b6874", "#8a96a1", "#8c1d0f", "#f0b429"
_LEFT = 0.075
_DENSITY = (0.42, 0.56, 0.7, 0.85, 1.0)
"""Opacity by how many samples a cell holds, fewest first: the first still stands out on the tints."""
# Hexagons across and, for regular ones in these axes, down.
_CELLS = (76, 29)
_NUMBERED = 8
_MOST_ITEMS = 2000


def map_figure(
    *,
    difficulty: NDArray[np.floating[Any]],
    memorization: NDArray[np.floating[Any]],
    n_tokens: NDArray[np.integer[Any]],
    facts: ReportFacts,
    control_scores: Mapping[int, float],
    confirmed: NDArray[np.bool_] | None = None,
) -> Figure:
    """The batch on its map: difficulty (nats per token) by memorization, arrays of shape (N,), NaN = not on the map.

    `facts` is the report; `control_scores` gives the median memorization of the planted controls by dose, `confirmed` (N,)
    which samples hold a benchmark item. Every part that a page may restyle or make alive carries a name in the SVG.
    """
    placed = np.isfinite(difficulty) & np.isfinite(memorization)
    thresholds = facts["map"]["thresholds"]
    xs, ys = np.asarray(difficulty, float)[placed], np.asarray(memorization, float)[placed]
    controls = {dose: score for dose, score in sorted(control_scores.items()) if np.isfinite(score)}
    frame = map_frame(xs, ys, (thresholds["difficulty"], thresholds["memorization"]), controls.values())

    figure = Figure(figsize=(9.6, 6.9), dpi=150, facecolor="white")
    axes = figure.add_axes((_LEFT, 0.125, 0.78, 0.725))
    axes.set(xlim=frame.difficulty, ylim=frame.memorization)
    _draw_quadrants(axes, thresholds, facts["map"]["quadrants"])
    most = _draw_density(axes, xs, ys, thresholds)
    _draw_thresholds(axes, thresholds, facts["map"]["threshold_rules"])
    marked = _draw_items(
        axes, facts["contamination"]["matches"], facts["riskiest"], _located(xs, ys, confirmed, placed)
    )
    _draw_riskiest(axes, facts["riskiest"])
    _draw_controls(axes, controls)
    _draw_frame(figure, axes, facts, float(ys.min(initial=0)))
    _draw_legend(figure, facts, (len(xs), int(n_tokens[placed].sum())), most, marked)
    return figure


def figure_svg(figure: Figure) -> bytes:
    """The figure as SVG: text stays text, ids are fixed, no date."""
    with matplotlib.rc_context({"svg.hashsalt": "carto-audit", "svg.fonttype": "none"}):
        return _saved(figure, "svg", {"Date": None, "Creator": None, "Title": "carto-audit map"}, dpi=130)


def figure_png(figure: Figure) -> bytes:
    """The figure as PNG at its own resolution, without a software stamp."""
    return _saved(figure, "png", {"Software": None}, dpi=150)


def _saved(figure: Figure, kind: str, metadata: dict[str, str | None], dpi: int) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, metadata=metadata, dpi=dpi)
    return stream.getvalue()


def _draw_quadrants(
    axes: Axes, thresholds: Mapping[Axis, float | None], quadrants: Mapping[QuadrantName, QuadrantFacts]
) -> None:
    """The four fields, tinted and named with their share of the tokens."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = thresholds["difficulty"], thresholds["memorization"]
    if x is None or y is None:
        return
    for name, words in QUADRANTS.items():
        east, north = words.hard, words.memorized
        corner = (x if east else left, y if north else bottom)
        width, height = (right - x) if east else (x - left), (top - y) if north else (y - bottom)
        field = Rectangle(corner, width, height, facecolor=words.tint, edgecolor="none", zorder=0, gid=f"field-{name}")
        axes.add_patch(field)
        share = quadrants[name]["token_share"] if name in quadrants else None
        place = (1 if east else 0, 1 if north else 0)
        look: dict[str, Any] = {"ha": "right" if east else "left", "color": words.ink, "bbox": _backed(words.tint)}
        dx, system = -10 if east else 10, "axes fraction"
        big: dict[str, Any] = {"fontsize": 18, "weight": "bold", "gid": f"share-{name}", **look}
        _note(axes, percent(share), place, (dx, -27 if north else 25), system, **big)
        _note(axes, words.title, place, (dx, -42 if north else 11), system, fontsize=10, gid=f"title-{name}", **look)


def _draw_density(
    axes: Axes, xs: NDArray[np.floating[Any]], ys: NDArray[np.floating[Any]], thresholds: Mapping[Axis, float | None]
) -> int:
    """Hexagons in the colour of the quadrant in which most of their samples lie, the more opaque the more they hold: a path per
    quadrant and level. What lies outside the axes counts in the cells at their edge. Returns the count of the fullest."""
    if not len(xs):
        look: dict[str, Any] = {"ha": "center", "color": _MUTED, "bbox": _backed("white"), "gid": "empty"}
        _note(axes, "no sample has a place on the map", (0.5, 0.65), (0, 0), "axes fraction", **look)
        return 0
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    inside = np.clip(xs, left, right), np.clip(ys, bottom, top)
    grid: dict[str, Any] = {"gridsize": _CELLS, "extent": (left, right, bottom, top), "mincnt": 1}
    cells = axes.hexbin(*inside, **grid)
    owners = axes.hexbin(*inside, C=_codes(xs, ys, thresholds), reduce_C_function=_most_frequent, **grid)
    for drawn in (cells, owners):
        drawn.remove()
    counts, centres = np.asarray(cells.get_array()), np.asarray(cells.get_offsets())
    owner, hexagon = np.asarray(owners.get_array()), np.asarray(cells.get_paths()[0].vertices)
    edges = level_edges(int(counts.max()), len(_DENSITY))
    levels = np.searchsorted(edges, counts, side="right") - 1
    colours = {quadrant.code: (f"{quadrant.name}-", quadrant.ink) for quadrant in QUADRANTS.values()} | {
        UNMAPPED: ("", _MUTED)
    }
    for code, (name, ink) in colours.items():
        for level, opacity in enumerate(_DENSITY[: len(edges)]):
            held = centres[(levels == level) & (owner == code)]
            if len(held):
                path = MapPath.make_compound_path(*(MapPath(hexagon + centre, closed=True) for centre in held))
                look = {"facecolor": to_rgba(ink, opacity), "edgecolor": "white", "linewidth": 0.35}
                axes.add_patch(PathPatch(path, zorder=2, gid=f"density-{name}{level}", **look))
    return int(counts.max())


def _codes(
    xs: NDArray[np.floating[Any]], ys: NDArray[np.floating[Any]], thresholds: Mapping[Axis, float | None]
) -> NDArray[np.int64]:
    """The quadrant code of each sample, (N,); without both thresholds there are no quadrants."""
    x, y = thresholds["difficulty"], thresholds["memorization"]
    if x is None or y is None:
        return np.full(len(xs), UNMAPPED)
    return (xs > x) + 2 * (ys > y)


def _most_frequent(codes: NDArray[Any] | list[float]) -> float:
    known, counts = np.unique(codes, return_counts=True)
    return float(known[counts.argmax()])


def _draw_thresholds(axes: Axes, thresholds: Mapping[Axis, float | None], rules: Mapping[Axis, ThresholdFacts]) -> None:
    """Both lines with their number and, in words, the rule that put them there."""
    style: dict[str, Any] = {"color": _INK, "linewidth": 1.0, "linestyle": (0, (4, 3)), "zorder": 3}
    look: dict[str, Any] = {"fontsize": 8.5, "color": _INK, "parse_math": False}
    if (y := thresholds["memorization"]) is not None:
        axes.axhline(y, gid="border-memorization", **style)
        words = _drawable(f"{y:.2f} · {rules['memorization']['words']}", 84)
        look["gid"] = "rule-memorization"
        _note(axes, words, (0, y), (10, 5), ("axes fraction", "data"), bbox=_backed("white"), **look)
    if (x := thresholds["difficulty"]) is not None:
        axes.axvline(x, gid="border-difficulty", **style)
        words = _drawable(f"{x:.2f} · {rules['difficulty']['words']}", 84)
        left, right = axes.get_xlim()
        across = (x - left) / (right - left)
        side = "left" if across < 0.3 else "right" if across > 0.7 else "center"
        look["gid"] = "rule-difficulty"
        _note(axes, words, (x, 1), (0, 5), ("data", "axes fraction"), ha=side, **look)


def _located(
    xs: NDArray[np.floating[Any]],
    ys: NDArray[np.floating[Any]],
    confirmed: NDArray[np.bool_] | None,
    placed: NDArray[np.bool_],
) -> NDArray[np.floating[Any]]:
    """Where the samples with a confirmed benchmark item lie, (M, 2), at most _MOST_ITEMS of them."""
    if confirmed is None:
        return np.empty((0, 2))
    return np.column_stack((xs, ys))[confirmed[placed]][:_MOST_ITEMS]


def _draw_items(
    axes: Axes,
    matches: Sequence[MatchFacts],
    riskiest: Sequence[SampleFacts],
    located: NDArray[np.floating[Any]],
) -> int:
    """A diamond for each sample with a confirmed benchmark item. Those that the page quotes are named by their match;
    those among the riskiest are named there. Returns how many there are."""
    look: dict[str, Any] = {"color": _ITEM, "markeredgecolor": _INK, "markeredgewidth": 0.7, "zorder": 4}
    axes.plot(*_inside(axes, located).T, "D", markersize=5.2, gid="items", **look)
    named = {sample["row"] for sample in riskiest}
    for place, match in enumerate(matches):
        at = match["difficulty"], match["memorization"]
        if match["tier"] == "confirmed" and match["row"] not in named and None not in at:
            named.add(match["row"])
            axes.plot(*_inside(axes, np.array([at], float)).T, "D", markersize=5.2, gid=f"match-{place}", **look)
    return len(located)


def _draw_riskiest(axes: Axes, riskiest: Sequence[SampleFacts]) -> None:
    """The samples of the report's table, ringed; the first are numbered as there, where the numbers have room."""
    numbered: list[NDArray[np.floating[Any]]] = []
    for place, sample in reversed(list(enumerate(riskiest))):
        if sample["difficulty"] is None or sample["memorization"] is None:
            continue
        ((x, y),) = _inside(axes, np.array([(sample["difficulty"], sample["memorization"])], float))
        first = place < _NUMBERED
        look: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": _INK, "zorder": 5 + first / 2}
        size: dict[str, Any] = (
            {"markersize": 8, "markeredgewidth": 1.3} if first else {"markersize": 5, "markeredgewidth": 0.8}
        )
        axes.plot(x, y, "o", gid=f"sample-{place}", **size, **look)
    for place, sample in enumerate(riskiest[:_NUMBERED]):
        if sample["difficulty"] is None or sample["memorization"] is None:
            continue
        ((x, y),) = _inside(axes, np.array([(sample["difficulty"], sample["memorization"])], float))
        pixel = axes.transData.transform((x, y))
        if all(np.hypot(*(pixel - other)) > 26 for other in numbered):
            numbered.append(pixel)
            look = {"fontsize": 8, "color": _INK, "bbox": _backed("white"), "gid": f"rank-{place}"}
            _note(axes, str(place + 1), (x, y), (5, 4), "data", **look)


def _inside(axes: Axes, points: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Points (M, 2), those outside the axes moved to their edge."""
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    return np.asarray(np.clip(points, low, high))


def _draw_controls(axes: Axes, controls: Mapping[int, float]) -> None:
    """The planted secrets as marks on a ruler right of the map: they give the vertical axis its unit."""
    beside = axes.get_yaxis_transform()
    bottom, top = axes.get_ylim()
    if controls:
        _note(axes, "a secret planted …", (1, 1), (4, 5), "axes fraction", fontsize=8.5, color=_MUTED, gid="ruler")
    lowest = -np.inf
    for dose, score in sorted(controls.items(), key=lambda item: item[1]):
        look: dict[str, Any] = {"transform": beside, "clip_on": False, "zorder": 6, "gid": f"mark-{dose}"}
        axes.plot([0.994, 1.014], [score, score], color=_MARK, linewidth=2.2, **look)
        # Labels of nearly equal scores are stacked; the marks stay where they are.
        lowest = max(score, lowest + 0.045 * (top - bottom))
        place = axes.transAxes.inverted().transform(axes.transData.transform((0, lowest)))[1]
        said: dict[str, Any] = {"fontsize": 9, "va": "center", "color": _MARK, "gid": f"dose-{dose}"}
        _note(axes, f"{times(dose)}  {score:.2f}", (1.014, place), (5, 0), "axes fraction", **said)


def _draw_frame(figure: Figure, axes: Axes, facts: ReportFacts, lowest: float) -> None:
    """Title and axis names. Memorization ends at 1 and at the lowest sample, whatever room is left above and below."""
    score = SCORE_WORDS.get(facts["map"]["score"], "memorization")
    axes.set_xlabel("difficulty: early loss, nats per token", fontsize=10, color=_INK, labelpad=6)
    axes.set_ylabel(f"memorization: {score}", fontsize=10, color=_INK, labelpad=6)
    axes.set_yticks([tick for tick in axes.get_yticks() if lowest <= tick <= min(axes.get_ylim()[1], 1)])
    axes.tick_params(colors=_MUTED, labelsize=9, length=3, color=_RULE)
    for spine in axes.spines.values():
        spine.set(color=_RULE, linewidth=0.7)
    paths = facts["batch"]["paths"]
    name = _drawable(PurePath(paths[0]).name if paths else "batch", 60)
    title = name + (f" and {len(paths) - 1:,} more" if len(paths) > 1 else "")
    figure.text(_LEFT, 0.945, "Memorization map", fontsize=15, fontweight="bold", color=_INK, gid="heading")
    figure.text(_LEFT, 0.908, title, fontsize=10, color=_MUTED, parse_math=False, gid="heading")


def _draw_legend(figure: Figure, facts: ReportFacts, counted: tuple[int, int], most: int, marked: int) -> None:
    """What the marks mean, and what was measured with what."""
    panel = figure.add_axes((0, 0, 1, 1), gid="legend", zorder=-1)
    panel.set(xlim=(0, 1), ylim=(0, 1))
    panel.set_axis_off()
    if most:
        for place, (words, opacity) in enumerate(zip(level_words(most), _DENSITY, strict=False)):
            x = 0.575 + 0.058 * place
            panel.plot(x, 0.936, "h", color=_MUTED, alpha=opacity, markersize=10, markeredgewidth=0)
            panel.text(x + 0.011, 0.936, words, fontsize=8.5, color=_MUTED, va="center", gid=f"level-{place}")
        panel.text(0.5665, 0.962, "samples in a cell, coloured by quadrant", fontsize=8.5, color=_MUTED, va="center")
    samples, tokens = counted
    note = f"{plural(samples, 'sample')} · {tokens:,} tokens · {_trained(facts)}"
    panel.text(_LEFT, 0.027, note, fontsize=8.5, color=_MUTED, va="center")
    panel.plot(0.606, 0.027, "o", markersize=7, markerfacecolor="none", markeredgecolor=_INK, markeredgewidth=1.2)
    panel.text(0.617, 0.027, "the riskiest samples", fontsize=8.5, color=_MUTED, va="center")
    if marked:
        panel.plot(0.776, 0.027, "D", markersize=5.2, color=_ITEM, markeredgecolor=_INK, markeredgewidth=0.7)
        panel.text(0.786, 0.027, "hold a benchmark item", fontsize=8.5, color=_MUTED, va="center")


def _trained(facts: ReportFacts) -> str:
    """The models whose losses are shown."""
    if "real_run" in facts:
        return f"a real run of {plural(facts['real_run']['epochs'], 'epoch')}"
    folds, parameters = facts["run"]["folds"], facts["run"]["proxy"]["parameters"]
    return f"{folds} proxies of {parameters:,} parameters" if folds > 1 else f"a proxy of {parameters:,} parameters"


def level_words(most: int) -> list[str]:
    """What each level of the density holds, fewest first: `1`, `2–3`, `4–6`."""
    edges = level_edges(most, len(_DENSITY))
    ends = [*(edge - 1 for edge in edges[1:]), max(most, 1)]
    return [f"{low:,}" if low == high else f"{low:,}–{high:,}" for low, high in zip(edges, ends, strict=True)]


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
