"""The history as tables of a terminal: verdicts and metrics as sparklines, newest last. Nothing in them begins a line."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from carto_audit.ledger.entry import Entry
from carto_audit.ledger.history import History, VendorHistory
from carto_audit.policy.metrics import Measurement
from carto_audit.policy.values import show_value
from carto_audit.report.formats.terminal import cell, empty_table
from carto_audit.report.narrative import STATUS_WORDS
from carto_audit.report.signs import status_sign

_BARS, _PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
_LISTED = 12
_STRIP = 12


def history_tables(history: History, *, plain: bool) -> Iterator[Table]:
    """One vendor in full, or a line for each. `plain` is for a stream that holds ASCII only."""
    if len(history.vendors) == 1:
        yield metric_table(history.vendors[0], history.metrics, plain=plain)
        yield audit_table(history.vendors[0], plain=plain)
    elif history.vendors:
        yield vendor_table(history, plain=plain)


def vendor_table(history: History, *, plain: bool) -> Table:
    """A line for each vendor: its verdicts, and the first two of the metrics."""
    asked = [name for name in history.metrics if any(v.metrics([name]) for v in history.vendors)][:2]
    table = empty_table("vendor", "audits", "last", "verdicts", *asked)
    for one in history.vendors:
        last = one.entries[-1]
        cells = [_trend_cell(name, one.values(name)[-_STRIP:], plain=plain) for name in asked]
        strip = verdict_strip(one.entries[-_STRIP:], plain=plain)
        table.add_row(cell(one.vendor, "bold"), cell(f"{one.audits:,}"), cell(last.audited_at[:10]), strip, *cells)
    return table


def metric_table(one: VendorHistory, metrics: Sequence[str], *, plain: bool) -> Table:
    """A line for each metric: its trend, its last value with the interval, and the lowest limit that stood on it."""
    table = empty_table("metric", "trend, newest last", "last", "between", "limit")
    for name in one.metrics(metrics):
        values = one.values(name)
        now = values[-1]
        limit = one.entries[-1].limit(name)
        cells = (
            show_value(name, now.value if now else None),
            _between(name, now),
            show_value(name, limit) if limit is not None else "",
        )
        table.add_row(cell(name, "bold"), Text(sparkline(values, plain=plain)), *map(cell, cells))
    return table


def audit_table(one: VendorHistory, *, plain: bool) -> Table:
    """The last audits, newest last."""
    table = empty_table("entry", "audited", "batch", "verdict", "policy", "not passed")
    if one.audits > _LISTED:
        table.add_row(Text("…"), cell(f"{one.audits - _LISTED:,} earlier"), "", "", "", "")
    for entry in one.entries[-_LISTED:]:
        again = " (audited before)" if entry.number in one.again else ""
        failed = ", ".join(rule.rule for rule in entry.failed)
        waived = f"{' · ' if failed else ''}waived: {', '.join(w.rule for w in entry.waivers)}" if entry.waivers else ""
        table.add_row(
            cell(f"{entry.number:,}"),
            cell(entry.audited_at[:10]),
            cell(f"{batch_name(entry)}{again}", limit=60),
            Text.assemble(verdict_strip([entry], plain=plain), " ", cell(STATUS_WORDS.get(entry.verdict.status, "?"))),
            cell(entry.policy.name, limit=40),
            cell(failed + waived, "dim", limit=160),
        )
    return table


def batch_name(entry: Entry) -> str:
    """What a batch is called: its first file, and how many more there are."""
    first = entry.batch.names[0].rpartition("/")[2] if entry.batch.names else entry.batch.sha256[:12]
    return first + (f" and {entry.batch.files - 1:,} more" if entry.batch.files > 1 else "")


def verdict_strip(entries: Sequence[Entry], *, plain: bool) -> Text:
    """A sign for each verdict in its colour."""
    strip = Text()
    for entry in entries:
        sign = status_sign(entry.verdict.status)
        strip.append(sign.plain if plain else sign.symbol, style=sign.colour)
    return strip


def sparkline(values: Sequence[Measurement | None], *, plain: bool) -> str:
    """Values as bars between 0 and the largest of them, a dot where one was not measured."""
    bars = _PLAIN_BARS if plain else _BARS
    most = max((m.value for m in values if m), default=0.0)
    drawn = []
    for m in values:
        if m is None:
            drawn.append("?" if plain else "·")
        else:
            drawn.append(bars[min(7, max(0, round(7 * m.value / most)))] if most > 0 else bars[0])
    return "".join(drawn)


def _trend_cell(metric: str, values: Sequence[Measurement | None], *, plain: bool) -> Text:
    last = values[-1]
    return Text(f"{sparkline(values, plain=plain)} {show_value(metric, last.value if last else None)}")


def _between(metric: str, measured: Measurement | None) -> str:
    if measured is None or measured.low == measured.high:
        return ""
    return between(metric, measured.low, measured.high)


def between(metric: str, low: float, high: float) -> str:
    """An interval: `1.4 to 2.1 %`."""
    first, last = show_value(metric, low), show_value(metric, high)
    return f"{first.removesuffix(' %') if last.endswith(' %') else first} to {last}"
