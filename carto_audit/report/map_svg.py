"""The map inside the page: `map.svg` without its styles, its parts named for the page's own colours and for the keyboard.
Rebuilt from a short list of elements and attributes, so that nothing else of the file reaches the page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup, escape

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
VIEW_BOX = "0 52 691.2 421"
"""The axes with their labels; heading, legend and notes stand in the page."""

_DROPPED = re.compile(r"(patch_1|legend|heading)$")
_OURS = re.compile(
    r"(field|share|title)-[a-z_]+$|density-(?:[a-z_]+-)?\d$|(border|rule)-[a-z]+$|(mark|dose|rank)-\d{1,9}$|ruler$|empty$|items$"
)
_POINT = re.compile(r"(sample|match)-\d{1,4}$")
_AXES = {"axes_1": "axes", "matplotlib.axis_1": "across", "matplotlib.axis_2": "up"}
_LEVEL = re.compile(r"-(?=\d)")
_PATH = re.compile(r"[MLCQZHVmlcqzhv0-9eE\s.,+-]*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_ANCHOR = re.compile(r"text-anchor: (start|middle|end)")
_TURN = re.compile(r"rotate\((-?[1-9][\d.]*) ")


@dataclass(frozen=True, kw_only=True, slots=True)
class PageMap:
    """What stands inside the page's `<svg>`, empty where there is no map, and how many samples each level of its density
    stands for, in words."""

    body: Markup
    levels: tuple[str, ...]


def page_map(svg: str, labels: Mapping[str, str]) -> PageMap:
    """The map of `svg` as markup for a page. `labels` names its points, which are called `sample-3` or `match-0`; a point
    without a name is left out. Fields are called `field-<quadrant>`, levels of the density `density-<quadrant>-<level>`."""
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError:
        return PageMap(body=Markup(), levels=())
    axes, legend = (root.find(f"{_SVG}g/{_SVG}g[@id='{name}']") for name in ("axes_1", "legend"))
    if axes is None:
        return PageMap(body=Markup(), levels=())
    body = "".join(_element(child, labels) for child in axes)
    named = () if legend is None else (group for group in legend if str(group.get("id")).startswith("level-"))
    levels = ("".join(group.itertext()).strip() for group in named)
    return PageMap(body=Markup(body), levels=tuple(levels))  # every part of the body was written here or escaped


def _element(node: ElementTree.Element, labels: Mapping[str, str]) -> str:
    kind = node.tag.removeprefix(_SVG)
    name = node.get("id", "")
    if kind == "text":
        return _text(node)
    if kind == "path":
        return _path(node)
    if kind != "g" or _DROPPED.match(name):
        return ""
    if _POINT.match(name):
        return _point(name, node, labels)
    if name == "items":
        return "".join(f'<path class="item" d="{_diamond(x, y)}"/>' for x, y in _places(node))
    inner = "".join(_element(child, labels) for child in node if not _is_ground(node, child))
    if not inner:
        return ""
    look = name if _OURS.match(name) else "step" if name[1:].startswith("tick_") else _AXES.get(name, "")
    part = f' data-part="{look}"' if look.startswith("field-") else ""
    return f'<g class="{_LEVEL.sub(" l", look).replace("-", " ")}"{part}>{inner}</g>' if look else inner


def _is_ground(node: ElementTree.Element, child: ElementTree.Element) -> bool:
    """Whether `child` is the pale ground behind a text; the page gives its letters a rim instead."""
    return child.tag == f"{_SVG}g" and node.find(f"{_SVG}text") is not None


def _text(node: ElementTree.Element) -> str:
    style = f"{node.get('style', '')} {node.get('transform', '')}"
    x, y = _length(node, "x"), _length(node, "y")
    anchor, turn = _ANCHOR.search(style), _TURN.search(style)
    attributes = f'x="{x:.1f}" y="{y:.1f}"' + (f' text-anchor="{anchor.group(1)}"' if anchor else "")
    attributes += f' transform="rotate({float(turn.group(1)):g} {x:.1f} {y:.1f})"' if turn else ""
    return f"<text {attributes}>{escape(''.join(node.itertext()).strip())}</text>"


def _path(node: ElementTree.Element) -> str:
    drawn = node.get("d", "")
    if not _PATH.fullmatch(drawn):
        return ""
    return f'<path d="{" ".join(_NUMBER.sub(lambda n: f"{float(n.group()):.1f}", drawn).split())}"/>'


def _point(name: str, node: ElementTree.Element, labels: Mapping[str, str]) -> str:
    """A ring or a diamond with room around it for a finger."""
    places = _places(node)
    if not places or name not in labels:
        return ""
    x, y = places[0]
    kind = name.partition("-")[0]
    mark = f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="{{}}"/>' if kind == "sample" else ""
    mark = mark.format(4 if int(name.partition("-")[2]) < 8 else 2.8) or f'<path class="item" d="{_diamond(x, y)}"/>'
    title = f"<title>{escape(labels[name])}</title>"
    return f'<g class="point {kind}" data-of="{name}">{title}<circle class="reach" cx="{x:.1f}" cy="{y:.1f}" r="9"/>{mark}</g>'


def _places(node: ElementTree.Element) -> list[tuple[float, float]]:
    """Where the markers of a line stand."""
    return [(_length(use, "x"), _length(use, "y")) for use in node.iter(f"{_SVG}use") if use.get(_LINK)]


def _diamond(x: float, y: float) -> str:
    return f"M{x:.1f} {y - 3.9:.1f}l3.9 3.9-3.9 3.9-3.9-3.9z"


def _length(node: ElementTree.Element, name: str) -> float:
    found = _NUMBER.fullmatch(node.get(name, ""))
    return float(found.group()) if found else 0.0
