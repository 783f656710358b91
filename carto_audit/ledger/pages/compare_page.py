"""The page of a comparison: one file that opens offline, maps side by side as inline SVG. Readable without JavaScript."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Template

from carto_audit.artifacts.audit_folder import open_audit_folder
from carto_audit.ledger.compare import METHOD, MetricRow, Side, confidence, notes
from carto_audit.ledger.compare_table import change_lines, difference_words, value_words, verdict_of
from carto_audit.ledger.history_table import batch_name
from carto_audit.ledger.row_changes import RowChanges, item_changes, row_changes
from carto_audit.policy.metrics import METRICS
from carto_audit.report.map_svg import VIEW_BOX, page_map
from carto_audit.report.narrative import STATUS_WORDS
from carto_audit.report.page import asset, csp_hash, page_environment

_MAP_LIMIT = 900_000
"""Characters of a map that is shown."""


def render_comparison(sides: Sequence[Side], rows: Sequence[MetricRow]) -> str:
    """The page of audits side by side, each against the first."""
    css = asset("report.css") + asset("ledger.css")
    return _template().render(
        sides=[_side(side) for side in sides],
        rows=[_row(row) for row in rows],
        notes=notes(sides),
        method=f"{METHOD} Here that is {100 * confidence(sides):g} %.",
        changes=_changes(sides),
        css=css,
        css_hash=csp_hash(css),
    )


@cache
def _template() -> Template:
    environment = page_environment()
    environment.globals.update(status_words=STATUS_WORDS, view_box=VIEW_BOX)
    return environment.get_template("compare.html.j2")


def _side(side: Side) -> Mapping[str, Any]:
    return {"title": side.title, "entry": side.entry, "batch": batch_name(side.entry), "map": _map(side)}


def _map(side: Side) -> Any:
    """The map of an audit as the page draws it, None where its folder is not at hand."""
    if side.folder is None:
        return None
    picture = open_audit_folder(side.folder).data("map.svg").decode("utf-8", "replace")
    return page_map(picture if len(picture) <= _MAP_LIMIT else "", {}).body or None


def _row(row: MetricRow) -> Mapping[str, Any]:
    cells = [{"value": value_words(row, 0), "words": "", "look": "none"}]
    for place, found in enumerate(row.differences, 1):
        words, look = difference_words(row.metric, found), verdict_of(row.metric, found)
        cells.append({"value": value_words(row, place), "words": words, "look": look})
    return {"metric": row.metric, "meaning": METRICS[row.metric].meaning, "cells": cells}


def _changes(sides: Sequence[Side]) -> list[Mapping[str, Any]]:
    first = sides[0]
    found: list[Mapping[str, Any]] = []
    for side in sides[1:]:
        if first.folder is None or side.folder is None:
            return []
        rows: RowChanges | None = row_changes(first.folder, side.folder)
        lines = list(change_lines(side.title, first.title, rows, item_changes(first.folder, side.folder)))
        found.append({"title": side.title, "lines": lines, "appeared": rows.appeared.examples if rows else ()})
    return found
