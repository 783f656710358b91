"""The map in characters: density in shades, borders, quadrants with their shares, planted secrets as a ruler."""

from collections.abc import Mapping, Sequence

from rich.text import Text

from carto_audit.artifacts.evidence_facts import QuadrantFacts
from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.cartography.map_grid import level_edges
from carto_audit.cartography.quadrants import QUADRANT_NAMES, QUADRANTS, QuadrantName, quadrant_code
from carto_audit.text.numbers import percent

SHADES, PLAIN_SHADES = "·░▒▓█", ".:+#@"
"""Fewest samples first; the second row is for streams that cannot hold the first."""

_RULER, _AXIS = 13, 6


def plot_lines(facts: ReportFacts, width: int, *, plain: bool = False) -> list[Text]:
    """The coarse map of the facts in at most `width` columns, a line of text each; empty where no sample has a place on it
    or `width` holds none."""
    grid, thresholds = facts["map"]["grid"], facts["map"]["thresholds"]
    counts = _fitted(grid["counts"], width - _AXIS - 1)
    most = max((count for row in counts for count in row), default=0)
    if not most:
        return []
    east, north = _border(grid["difficulty"], thresholds["difficulty"], len(counts[0])), None
    if thresholds["memorization"] is not None:
        north = len(counts) - _border(grid["memorization"], thresholds["memorization"], len(counts))
    canvas = _shaded(counts, most, PLAIN_SHADES if plain else SHADES, (east, north))
    if thresholds["difficulty"] is not None and north is not None:
        _name_quadrants(canvas, facts["map"]["quadrants"])
    lines = _with_axis(canvas, grid["memorization"], plain=plain)
    if width >= _AXIS + 1 + len(counts[0]) + _RULER:
        _add_ruler(lines, facts["detection"]["ruler"], grid["memorization"], plain=plain)
    return [*lines, _across(grid["difficulty"], len(counts[0]), plain=plain)]


def _fitted(counts: Sequence[Sequence[int]], width: int) -> list[list[int]]:
    """The grid with so many neighbouring columns added up that it fits."""
    columns = len(counts[0]) if counts else 0
    if width < 8 or not columns:
        return []
    step = -(-columns // width)
    return [[sum(row[start : start + step]) for start in range(0, columns, step)] for row in counts]


def _border(ends: Sequence[float], threshold: float | None, fields: int) -> int:
    """The first field beyond a threshold."""
    if threshold is None:
        return fields
    return min(max(round(fields * (threshold - ends[0]) / (ends[1] - ends[0])), 0), fields)


Canvas = list[list[tuple[str, str]]]


def _shaded(counts: Sequence[Sequence[int]], most: int, shades: str, border: tuple[int, int | None]) -> Canvas:
    """A character and its style for each field: shades in the colour of their quadrant, borders where nothing lies."""
    edges = level_edges(most, len(shades))
    east, north = border
    across, up = ("-", "|") if shades == PLAIN_SHADES else ("┄", "┊")
    canvas: Canvas = []
    for y, row in enumerate(counts):
        above = north is not None and y < north
        line = []
        for x, count in enumerate(row):
            code = quadrant_code(hard=x >= east, memorized=above)
            level = sum(count >= edge for edge in edges)
            if level:
                line.append((shades[level - 1], QUADRANTS[QUADRANT_NAMES[code]].terminal))
            else:
                line.append((across if y == north else up if x == east else " ", "dim"))
        canvas.append(line)
    return canvas


def _name_quadrants(canvas: Canvas, quadrants: Mapping[QuadrantName, QuadrantFacts]) -> None:
    """Writes each quadrant's share and name into its corner, over what lies there, the name where there is room."""
    for name, words in QUADRANTS.items():
        share = percent(quadrants[name]["token_share"] if name in quadrants else None)
        label = f"{share} {words.title}" if len(canvas[0]) >= 44 else share
        row = canvas[0 if words.memorized else -1]
        at = len(row) - len(label) - 1 if words.hard else 1
        for place, character in enumerate(f"{label}", start=at):
            row[place] = (character, f"bold {words.terminal}")


def _with_axis(canvas: Canvas, ends: Sequence[float], *, plain: bool) -> list[Text]:
    """Each row behind the vertical axis, with the score at its ends and in the middle."""
    lines = []
    for y, row in enumerate(canvas):
        height = ends[1] - (y + 0.5) * (ends[1] - ends[0]) / len(canvas)
        label = f"{height:.2f}" if y in (0, len(canvas) // 2, len(canvas) - 1) else ""
        line = Text(f"{label:>{_AXIS - 1}} {'|' if plain else '│'}", style="dim", no_wrap=True)
        for character, style in row:
            line.append(character, style=style if style == "dim" else f"not dim {style}")
        lines.append(line)
    return lines


def _add_ruler(lines: list[Text], ruler: Mapping[str, float | None], ends: Sequence[float], *, plain: bool) -> None:
    """Behind the rows, where secrets lie that were planted so often; the rarest where several share a row."""
    for dose, score in sorted(((int(dose), score) for dose, score in ruler.items()), reverse=True):
        if score is None:
            continue
        row = min(len(lines) - _border(ends, score, len(lines)), len(lines) - 1)
        line = lines[row]
        if "secret" not in line.plain:
            line.append(f" {'< secret x' if plain else '◂ secret ×'}{dose}"[:_RULER], style="not dim yellow")


def _across(ends: Sequence[float], columns: int, *, plain: bool) -> Text:
    left, right = f"{ends[0]:.1f}", f"{ends[1]:.1f}"
    middle = "difficulty".center(max(columns - len(left) - len(right), 0))[: max(columns - len(left) - len(right), 0)]
    return Text(f"{' ' * (_AXIS - 1)} {'+' if plain else '└'}{left}{middle}{right}", style="dim", no_wrap=True)
