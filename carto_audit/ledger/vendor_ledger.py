"""A ledger as an audit uses it: the vendor's earlier audits, and the place where the finished one is entered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carto_audit.artifacts.audit_folder import open_audit_folder
from carto_audit.artifacts.audit_record import ACCEPTED, Record, moved_keys
from carto_audit.artifacts.earlier_audits import CopiesFound, Delivered
from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.attestation.statement import read_statement
from carto_audit.attestation.verify import check_intact
from carto_audit.ledger.chain import require_intact
from carto_audit.ledger.cusum import CUSUM, WATCHED, comparable, cusum, reading
from carto_audit.ledger.earlier_copies import find_copies
from carto_audit.ledger.entry import Entry, check_vendor, draft_of
from carto_audit.ledger.kin.secret import LedgerKey, key_path, ledger_key
from carto_audit.ledger.kin.table import has_rows
from carto_audit.ledger.store import Entered, enter, open_ledger, read_entry, read_rows
from carto_audit.policy.metrics import METRICS, Measurement
from carto_audit.runtime.errors import UsageError, option
from carto_audit.text.untrusted import safe_inline


@dataclass(frozen=True, kw_only=True, slots=True)
class VendorLedger:
    """The ledger in `path`, and the entries of one vendor as they stood when the audit began. `drawn` is the policy's map, `key`
    that of the ledger's fingerprints."""

    path: Path
    vendor: str
    key: LedgerKey
    drawn: Mapping[str, Any]
    entries: tuple[Entry, ...]

    def baseline(self, batch_sha256: str) -> Record | None:
        """The last accepted audit of another batch."""
        others = [e for e in self.entries if e.verdict.status in ACCEPTED and e.batch.sha256 != batch_sha256]
        return others[-1].record() if others else None

    def measured(
        self, batch_sha256: str, measurements: Mapping[str, Measurement], proxy: str, confidence: float
    ) -> Mapping[str, Measurement]:
        """The CUSUM over the accepted batches that were measured as this one, and this one; nothing where these are too few."""
        now = measurements.get(WATCHED)
        alike = [
            e
            for e in comparable(self.entries)
            if e.batch.sha256 != batch_sha256
            and e.run.proxy == proxy
            and not moved_keys(METRICS[WATCHED], e.policy.map, self.drawn)
        ]
        if now is None:
            return {}
        readings = [reading(e.measurements[WATCHED], e.run.confidence) for e in alike]
        total = cusum([*readings, reading(now, confidence)])
        return {} if total is None else {CUSUM: Measurement.exact(total)}

    def copies(self, delivered: Delivered) -> CopiesFound:
        """What of a delivery stands in accepted ones of other batches, of every vendor."""
        return find_copies(self.path, self.vendor, self.key, delivered)

    def enter(self, facts: ReportFacts, copies: CopiesFound | None, files: Mapping[str, str]) -> Entered:
        """Enters a finished audit, whose files have these digests by name; of an accepted one with the fingerprints of its
        batch: nothing is kept of what did not enter the corpus."""
        draft = draft_of(facts, self.vendor, files)
        taken = copies is not None and facts["verdict"]["status"] in ACCEPTED
        return enter(self.path, [draft], {draft["audit"]: copies.fingerprints} if copies and taken else {})[0]


def check_named(path: Path | None, vendor: str | None) -> None:
    """Raises UsageError where only one of ledger and vendor is named, or the vendor by what is no name."""
    if (path is None) != (vendor is None):
        missing, given = ("vendor", "ledger") if vendor is None else ("ledger", "vendor")
        raise UsageError(f"{option(given)} needs {option(missing)}: a ledger holds audits by vendor")
    if vendor is not None:
        check_vendor(vendor)


def open_vendor(path: Path | None, vendor: str | None, drawn: Mapping[str, Any]) -> VendorLedger | None:
    """The ledger and the vendor that an audit names, None where it names neither; the file is made where it is missing.

    Raises UsageError where only one of the two is named, AuditError where the ledger cannot be written or does not hold: before
    anything is computed."""
    check_named(path, vendor)
    if path is None or vendor is None:
        return None
    name = check_vendor(vendor)
    _require_ready(path)
    with open_ledger(path) as connection:
        key = ledger_key(path, needed=has_rows(connection))
    return VendorLedger(path=path, vendor=name, key=key, drawn=drawn, entries=read_vendor(path, name))


def read_vendor(path: Path, vendor: str) -> tuple[Entry, ...]:
    """All entries of a vendor in their order."""
    shown = safe_inline(str(path), 160)
    with open_ledger(path) as connection:
        return tuple(read_entry(row, shown) for row in read_rows(connection, "WHERE vendor = ?", (vendor,)))


def enter_audit(folder: Path, path: Path, vendor: str) -> Entered:
    """Enters an audit that was made before. Raises AuditError where its files are not those of its statement, or where the ledger
    does not hold."""
    name = check_vendor(vendor)
    audit = open_audit_folder(folder)
    check_intact(folder)
    draft = draft_of(audit.report, name, read_statement(folder).files)
    _require_ready(path)
    return enter(path, [draft])[0]


def _require_ready(path: Path) -> None:
    """Makes a ledger that is missing. Raises AuditError where it cannot be written, or does not hold."""
    with open_ledger(path, write=True):
        pass
    require_intact(path)


def check_apart(path: Path | None, out: str | Path | None, batch: Sequence[str | Path]) -> None:
    """Raises UsageError for a ledger or its key in the folder of the audit, which others will read, or among the files of the
    batch."""
    for what, kept in (("ledger", path), ("key of the ledger", key_path(path))) if path is not None else ():
        place, shown = kept.resolve(), safe_inline(str(kept), 160)
        if out is not None and place.is_relative_to(Path(out).resolve()):
            raise UsageError(f"{shown}: the {what} lies in the folder that others will receive; keep it elsewhere")
        if any(place.is_relative_to(Path(given).resolve()) for given in batch):
            raise UsageError(f"{shown}: the {what} lies where the batch is read; keep it elsewhere")
