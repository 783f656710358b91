"""History: a vendor's audits in their order, the last ones only: a ledger of ten thousand is not read to show thirty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection

from carto_audit.ledger.entry import Entry
from carto_audit.ledger.store import Head, open_ledger, read_entry, read_head, read_rows
from carto_audit.policy.metrics import METRICS, Measurement
from carto_audit.runtime.errors import UsageError
from carto_audit.runtime.strict_model import nearest
from carto_audit.text.untrusted import safe_inline

SHOWN = (
    "memorized.token_share",
    "hotspot_memorized.token_share",
    "duplicates.token_share",
    "contamination.confirmed_items",
)
"""Metrics that are shown where none is named."""

LAST, MOST_VENDORS = 30, 40


@dataclass(frozen=True, kw_only=True, slots=True)
class VendorHistory:
    """A vendor: how many audits there are, and the last of them, oldest first. `again` are the numbers of those whose batch had
    been audited before."""

    vendor: str
    audits: int
    entries: tuple[Entry, ...]
    again: frozenset[int]

    def values(self, metric: str) -> list[Measurement | None]:
        """The measurements of a metric, None where it was not measured."""
        return [entry.measurements.get(metric) for entry in self.entries]

    def metrics(self, asked: Sequence[str]) -> list[str]:
        """Those of the metrics that some audit measured."""
        return [name for name in asked if any(name in entry.metrics for entry in self.entries)]


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """Vendors, the one with the newest audit first; `left_out` more are not shown. `entries` are all in the ledger."""

    vendors: tuple[VendorHistory, ...]
    left_out: int
    entries: int
    head: Head
    metrics: tuple[str, ...]


def trends(path: Path, *, vendor: str | None = None, metrics: Sequence[str] = (), last: int = LAST) -> History:
    """The last audits of one vendor, or of every one with the newest first.

    Raises UsageError for a vendor or a metric that is not known, AuditError where an entry that is shown was changed."""
    for name in metrics:
        if name not in METRICS:
            raise UsageError(f'no metric is called "{safe_inline(name, 60)}"{nearest(name, METRICS)}')
    shown = safe_inline(str(path), 160)
    with open_ledger(path) as connection:
        known = _vendors(connection)
        if vendor is not None:
            _require_vendor(vendor, known, shown)
        chosen = [vendor] if vendor is not None else list(known)[:MOST_VENDORS]
        histories = tuple(_history(connection, name, known[name], last, shown) for name in chosen)
        head = read_head(connection)
    left_out = 0 if vendor is not None else len(known) - len(chosen)
    chosen_metrics = tuple(dict.fromkeys(metrics)) or SHOWN
    return History(vendors=histories, left_out=left_out, entries=sum(known.values()), head=head, metrics=chosen_metrics)


def last_audits(path: Path, vendor: str, count: int) -> tuple[Entry, ...]:
    """The last audits of a vendor, oldest first, the last one of each batch. Raises UsageError where there is none."""
    shown = safe_inline(str(path), 160)
    of_batches = "SELECT max(number) FROM entries WHERE vendor = ? GROUP BY batch ORDER BY 1 DESC LIMIT ?"
    with open_ledger(path) as connection:
        _require_vendor(vendor, _vendors(connection), shown)
        rows = read_rows(connection, f"WHERE number IN ({of_batches})", (vendor, count))
        return tuple(read_entry(row, shown) for row in rows)


def _require_vendor(vendor: str, known: Mapping[str, int], shown: str) -> None:
    if vendor not in known:
        ending = (
            nearest(vendor, [safe_inline(name, 80) for name in known])
            or "; `carto-audit history` without --vendor lists them"
        )
        raise UsageError(f'{shown}: no audit of a vendor "{safe_inline(vendor, 80)}"{ending}')


def _vendors(connection: Connection) -> dict[str, int]:
    """Every vendor with the number of its audits, the one with the newest audit first."""
    found = connection.execute("SELECT vendor, count(*) FROM entries GROUP BY vendor ORDER BY max(number) DESC")
    return dict(found.fetchall())


def _history(connection: Connection, vendor: str, audits: int, last: int, shown: str) -> VendorHistory:
    wanted = "WHERE number IN (SELECT number FROM entries WHERE vendor = ? ORDER BY number DESC LIMIT ?)"
    entries = tuple(read_entry(row, shown) for row in read_rows(connection, wanted, (vendor, last)))
    before = "SELECT EXISTS (SELECT 1 FROM entries WHERE batch = ? AND vendor = ? AND number < ?)"
    again = frozenset(
        e.number for e in entries if connection.execute(before, (e.batch.sha256, vendor, e.number)).fetchone()[0]
    )
    return VendorHistory(vendor=vendor, audits=audits, entries=entries, again=again)
