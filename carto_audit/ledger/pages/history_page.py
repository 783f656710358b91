"""The page of a history: one file that opens offline, trends of each vendor as inline SVG. Readable without JavaScript."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Template

from carto_audit.ledger.entry import Entry
from carto_audit.ledger.history import History, VendorHistory
from carto_audit.ledger.history_table import batch_name, between
from carto_audit.ledger.pages import trend_chart as chart
from carto_audit.policy.values import show_value
from carto_audit.report.narrative import STATUS_WORDS
from carto_audit.report.page import asset, csp_hash, page_environment
from carto_audit.text.numbers import plural
from carto_audit.text.untrusted import safe_inline

MOST_CHARTED, MOST_LISTED, MOST_SECTIONS = 60, 30, 20
"""Audits in a chart, rows of a table, and vendors on a page."""


def render_history(history: History, name: str) -> str:
    """The page of some vendors' audits in the ledger that is called `name`."""
    css = asset("report.css") + asset("ledger.css")
    return _template().render(
        name=safe_inline(name, 120),
        history=history,
        vendors=[_vendor(one, history) for one in history.vendors[:MOST_SECTIONS]],
        left_out=history.left_out + max(0, len(history.vendors) - MOST_SECTIONS),
        css=css,
        css_hash=csp_hash(css),
    )


@cache
def _template() -> Template:
    environment = page_environment()
    environment.globals.update(chart=chart, plural=plural, status_words=STATUS_WORDS)
    return environment.get_template("history.html.j2")


def _vendor(one: VendorHistory, history: History) -> Mapping[str, Any]:
    charts = [chart.trend_chart(one.entries[-MOST_CHARTED:], name) for name in one.metrics(history.metrics)]
    counts = {status: sum(e.verdict.status == status for e in one.entries) for status in STATUS_WORDS}
    return {
        "name": one.vendor,
        "audits": one.audits,
        "shown": len(one.entries),
        "counts": {status: count for status, count in counts.items() if count},
        "last": one.entries[-1],
        "charts": [drawn for drawn in charts if drawn],
        "rows": [_row(entry, one, history) for entry in reversed(one.entries[-MOST_LISTED:])],
        "metrics": one.metrics(history.metrics),
    }


def _row(entry: Entry, one: VendorHistory, history: History) -> Mapping[str, Any]:
    return {
        "entry": entry,
        "batch": batch_name(entry),
        "again": entry.number in one.again,
        "cells": [_cell(entry, name) for name in one.metrics(history.metrics)],
        "failed": entry.failed,
        "waivers": entry.waivers,
    }


def _cell(entry: Entry, metric: str) -> tuple[str, str]:
    """A value and its interval in words, which is empty for what was counted."""
    if metric not in entry.metrics:
        return "–", ""
    value, low, high = entry.metrics[metric]
    return show_value(metric, value), between(metric, low, high) if low != high else ""
