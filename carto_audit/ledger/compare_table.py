"""A comparison as words and as tables of a terminal. What is better or worse has a colour and a sign besides."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from carto_audit.ledger.compare import Difference, MetricRow, Side
from carto_audit.ledger.history_table import batch_name, between, verdict_strip
from carto_audit.ledger.row_changes import ItemChanges, RowChanges, RowSet
from carto_audit.policy.metrics import METRICS
from carto_audit.policy.values import show_value
from carto_audit.report.formats.terminal import cell, empty_table, tame
from carto_audit.report.narrative import STATUS_WORDS
from carto_audit.text.numbers import percent, plural

_MOST_ITEMS = 8


def side_table(sides: Sequence[Side], *, plain: bool) -> Table:
    """What is compared: a line for each audit with its verdict."""
    table = empty_table("", "audited", "batch", "verdict", "policy", "not passed")
    for side in sides:
        entry = side.entry
        sign = verdict_strip([entry], plain=plain)
        table.add_row(
            cell(side.title, "bold", limit=60),
            cell(entry.audited_at[:10]),
            cell(batch_name(entry), limit=60),
            Text.assemble(sign, " ", cell(STATUS_WORDS.get(entry.verdict.status, "?"))),
            cell(entry.policy.name, limit=40),
            cell(", ".join(rule.rule for rule in entry.failed), "dim", limit=160),
        )
    return table


def metric_table(rows: Sequence[MetricRow], sides: Sequence[Side]) -> Table:
    """A line for each metric: every side's value, and under each but the first by how much it differs."""
    table = empty_table("metric", *(tame(side.title, 60) for side in sides))
    for row in rows:
        cells = [cell(value_words(row, 0))]
        for place, found in enumerate(row.differences, 1):
            words = difference_words(row.metric, found)
            cells.append(Text(f"{value_words(row, place)}\n{words}", style=_STYLES[verdict_of(row.metric, found)]))
        table.add_row(cell(row.metric, "bold"), *cells)
    return table


def value_words(row: MetricRow, place: int) -> str:
    """What one side measured, and between what it lies."""
    measured = row.values[place]
    if measured is None:
        return "not measured"
    shown = show_value(row.metric, measured.value)
    if measured.low == measured.high:
        return shown
    return f"{shown} ({between(row.metric, measured.low, measured.high)})"


def difference_words(metric: str, found: Difference | None) -> str:
    """By how much a side exceeds the first, in the metric's unit, percentage points for shares."""
    if found is None:
        return ""
    if found.why:
        return f"not compared: {found.why}"
    if found.told == "same":
        return "the same" if found.value == 0 else _signed(metric, found.value)
    words = _signed(metric, found.value)
    if found.low != found.high:
        words += f" ({_signed(metric, found.low).removesuffix(' pp')} to {_signed(metric, found.high)})"
    return words if found.told != "unclear" else f"{words}: may be none"


def verdict_of(metric: str, found: Difference | None) -> str:
    """Whether a difference is for the `better`, for the `worse`, a `change` that is neither, or `none` that can be told."""
    if found is None or found.why or found.told in ("unclear", "same"):
        return "none"
    better = METRICS[metric].better
    if better == "neither":
        return "change"
    return "better" if (found.told == "less") == (better == "lower") else "worse"


_STYLES = {"better": "green", "worse": "red", "change": "bold", "none": ""}


def change_lines(title: str, first: str, rows: RowChanges | None, items: ItemChanges | None) -> Iterator[str]:
    """What came and what went between the first audit and one of the others."""
    if rows is None:
        yield "Rows: not known, as one of the audits is of a version that kept no hashes of its texts; audit it again"
    else:
        yield f"Rows in both: {rows.shared_rows:,}, {plural(rows.shared_tokens, 'token')}"
        yield f"Rows only in {title}: {_set_words(rows.appeared)}"
        yield f"Rows only in {first}: {_set_words(rows.went)}"
    if items is None:
        yield "Benchmark items: one of the two audits looked for none"
    else:
        yield f"Benchmark items found in both: {items.shared:,}"
        yield f"Benchmark items found only in {title}: {_item_words(items.appeared)}"
        yield f"Benchmark items found only in {first}: {_item_words(items.went)}"


def example_table(found: RowSet) -> Table:
    """The most memorized of the rows that only one audit has."""
    table = empty_table("row", "tokens", "memorization", "quadrant")
    for row in found.examples:
        score = "–" if row.memorization is None else f"{row.memorization:.3f}"
        table.add_row(cell(row.sample_id), cell(f"{row.tokens:,}"), cell(score), cell(row.quadrant or "unmapped"))
    return table


def _set_words(found: RowSet) -> str:
    if not found.rows:
        return "none"
    share = percent(found.memorized_tokens / found.tokens if found.tokens else None)
    return f"{found.rows:,}, {plural(found.tokens, 'token')}, of which {share} lie in memorized rows"


def _item_words(found: Sequence[tuple[str, str, str]]) -> str:
    shown = [f"{benchmark} {item} ({tier})" for benchmark, item, tier in found[:_MOST_ITEMS]]
    more = f" and {len(found) - _MOST_ITEMS:,} more" if len(found) > _MOST_ITEMS else ""
    return f"{len(found):,}: {', '.join(shown)}{more}" if found else "none"


def _signed(metric: str, value: float) -> str:
    """A difference with its sign; of shares in percentage points."""
    if METRICS[metric].unit == "share":
        digits = 1 if abs(value) >= 0.001 or value == 0 else 3
        words = f"{100 * value:+.{digits}f} pp"
    else:
        shown = show_value(metric, abs(value))
        words = f"{'+' if value > 0 else '-' if value < 0 else ''}{shown}"
    return words.replace("-", "−")
