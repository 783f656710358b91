"""Labels: words beside the marks of a picture, each where nothing else is drawn; those without room are left out."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""Left, top, right, bottom; y grows downwards."""

_MARK = 7.0
_MINOR_SIZE, _MAJOR_SIZE = 12.5, 15.0
_WIDTH = 0.6
"""Of a letter, as a part of the font's size: a wide one, since the reader's font is not known."""

_CLOSE, _MINOR_REACHES, _MAJOR_REACHES = 16.0, (11.0, 16.0, 24.0), (11.0, 16.0, 24.0, 34.0, 46.0, 60.0)
"""How far from its mark a label may stand; beyond the first a leader points at the mark."""

_DIRECTIONS = (
    (1.0, 0.0, "start"),
    (0.7, -0.7, "start"),
    (0.7, 0.7, "start"),
    (-1.0, 0.0, "end"),
    (0.0, -1.0, "middle"),
    (0.0, 1.0, "middle"),
    (-0.7, -0.7, "end"),
    (-0.7, 0.7, "end"),
)
"""Across, down, SVG anchor, in the order in which places are tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A mark that wants a label. The words of a `minor` one are small, and left out on small screens."""

    x: float
    y: float
    words: str
    minor: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """A word beside a mark: its place and its SVG anchor.

    `leader` holds the points of a thin line to the mark, empty where the label stands close to it.
    """

    x: float
    y: float
    anchor: str
    words: str
    minor: bool
    leader: str


def place_labels(
    named: Sequence[Named], *, frame: Box, taken: Iterable[Box] = (), drawn: Iterable[Box] = ()
) -> list[Label | None]:
    """A label for each mark, in their order, None where there is no room; the first ones choose first.

    Labels keep inside `frame`, off all marks, each other and what is `taken`; also off what is `drawn`, except that a
    label that is not minor would rather lie on a line than be left out.
    """
    taken = [*taken, *((mark.x - _MARK, mark.y - _MARK, mark.x + _MARK, mark.y + _MARK) for mark in named)]
    drawn = list(drawn)
    labels: list[Label | None] = []
    for mark in named:
        free = [
            (label, box)
            for label, box in _places(mark)
            if _holds(frame, box) and not _covered(box, taken) and (label.leader or _nearest(box, mark, named))
        ]
        clear = [(label, box) for label, box in free if not _covered(box, drawn)]
        chosen = next(iter(clear or ([] if mark.minor else free)), None)
        labels.append(None if chosen is None else chosen[0])
        if chosen is not None:
            taken += [chosen[1], *along(chosen[0].leader)]
    return labels


def along(points: str) -> Iterator[Box]:
    """What a polyline, its points as SVG takes them, covers: in short pieces."""
    ends = [tuple(map(float, at.split(","))) for at in points.split()]
    for (x, y), (to_x, to_y) in zip(ends, ends[1:], strict=False):
        pieces = max(round(math.hypot(to_x - x, to_y - y) / 6), 1)
        for k in range(pieces + 1):
            at_x, at_y = x + (to_x - x) * k / pieces, y + (to_y - y) * k / pieces
            yield at_x - 1.5, at_y - 1.5, at_x + 1.5, at_y + 1.5


def _places(mark: Named) -> Iterator[tuple[Label, Box]]:
    """Where the label may stand, nearest first, and the room it takes."""
    size = _MINOR_SIZE if mark.minor else _MAJOR_SIZE
    wide = _WIDTH * size * len(mark.words)
    for reach in _MINOR_REACHES if mark.minor else _MAJOR_REACHES:
        for across, down, anchor in _DIRECTIONS:
            x, y = mark.x + across * reach, mark.y + down * reach + size * (0.35 + 0.35 * down)
            left = x - {"start": 0.0, "end": wide, "middle": wide / 2}[anchor]
            box = (left, y - 0.85 * size, left + wide, y + 0.25 * size)
            to_x, to_y = _nearest_place(mark, box)
            leader = f"{mark.x:.1f},{mark.y:.1f} {to_x:.1f},{to_y:.1f}" if reach > _CLOSE else ""
            yield Label(x=x, y=y, anchor=anchor, words=mark.words, minor=mark.minor, leader=leader), box


def _nearest(box: Box, mark: Named, marks: Sequence[Named]) -> bool:
    """Whether no other mark is nearer to the label than its own."""
    return all(_away(mark, box) <= _away(other, box) for other in marks)


def _away(mark: Named, box: Box) -> float:
    x, y = _nearest_place(mark, box)
    return math.hypot(mark.x - x, mark.y - y)


def _nearest_place(mark: Named, box: Box) -> tuple[float, float]:
    return min(max(mark.x, box[0]), box[2]), min(max(mark.y, box[1]), box[3])


def _covered(box: Box, others: Iterable[Box]) -> bool:
    return any(box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in others)


def _holds(frame: Box, box: Box) -> bool:
    return frame[0] <= box[0] and box[2] <= frame[2] and frame[1] <= box[1] and box[3] <= frame[3]
