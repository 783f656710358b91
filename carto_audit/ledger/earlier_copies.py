"""Earlier copies: a delivery held against the fingerprints of all accepted ones in a ledger, whoever delivered them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from carto_audit.artifacts.audit_record import ACCEPTED
from carto_audit.artifacts.earlier_audits import CopiesFound, Delivered
from carto_audit.ledger.entry import Entry
from carto_audit.ledger.kin.secret import LedgerKey
from carto_audit.ledger.kin.table import SCHEME, find_rows
from carto_audit.ledger.store import open_ledger, read_entry, read_rows
from carto_audit.text.untrusted import safe_inline
from carto_audit.text.words import HASHES

WITHOUT, OTHER_KEY, OTHER_SCHEME = (
    "entered without fingerprints",
    "fingerprinted with another key",
    "fingerprinted by another version",
)


def find_copies(path: Path, vendor: str, key: LedgerKey, delivered: Delivered) -> CopiesFound:
    """What of a delivery stands in the accepted deliveries of other batches that the ledger holds now.

    Raises AuditError where the ledger cannot be read."""
    from carto_audit.ledger.kin.overlap import EarlierSketch, hold_against
    from carto_audit.ledger.kin.sketch import make_sketch

    sketch = make_sketch(delivered, key)
    entries = [e for e in _accepted(path) if e.batch.sha256 != delivered.batch_sha256]
    known = [e for e in entries if not why_not(e, key)]
    compared = {e.batch.sha256 for e in known}
    others = {e.batch.sha256: why_not(e, key) for e in entries if e.batch.sha256 not in compared}
    earlier = [
        EarlierSketch(
            entry=e.number,
            batch_sha256=e.batch.sha256,
            day=e.audited_at[:10],
            same_vendor=e.vendor == vendor,
            rate=e.sketch.rate,
        )
        for e in known
        if e.sketch is not None
    ]
    reasons = list(others.values())
    measurements, facts = hold_against(
        sketch,
        delivered,
        earlier,
        {reason: reasons.count(reason) for reason in sorted(set(reasons))},
        lambda fingerprints: _found(path, fingerprints),
    )
    return CopiesFound(measurements=measurements, facts=facts, fingerprints=sketch.kept(key, delivered.cap))


def why_not(entry: Entry, key: LedgerKey) -> str:
    """Why the fingerprints of an entry cannot be compared with those that are made with this key; empty where they can."""
    if entry.sketch is None:
        return WITHOUT
    if (entry.sketch.scheme, entry.sketch.hashes) != (SCHEME, HASHES):
        return OTHER_SCHEME
    return "" if entry.sketch.key == key.commitment else OTHER_KEY


def _accepted(path: Path) -> list[Entry]:
    """All accepted audits, of every vendor. A rejected delivery did not enter the corpus, so nothing is a copy of it."""
    shown, marks = safe_inline(str(path), 160), ",".join("?" * len(ACCEPTED))
    with open_ledger(path) as connection:
        rows = read_rows(connection, f"WHERE status IN ({marks})", tuple(ACCEPTED))
        return [read_entry(row, shown) for row in rows]


def _found(path: Path, fingerprints: Sequence[int]) -> Iterable[tuple[int, int, int, int]]:
    with open_ledger(path) as connection:
        return list(find_rows(connection, fingerprints))
