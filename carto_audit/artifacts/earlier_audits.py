"""Earlier audits: what is known of a vendor's other batches when a new one is judged. A ledger knows; no stage asks how."""

from collections.abc import Mapping
from typing import Protocol

from carto_audit.artifacts.audit_record import Record
from carto_audit.artifacts.copies_facts import CopiesFound, Delivered
from carto_audit.policy.metrics import Measurement


class EarlierAudits(Protocol):
    """The audits of one vendor's other batches. A batch is never compared with an earlier audit of itself."""

    def baseline(self, batch_sha256: str) -> Record | None:
        """The last accepted one of another batch."""

    def measured(
        self, batch_sha256: str, measurements: Mapping[str, Measurement], proxy: str, confidence: float
    ) -> Mapping[str, Measurement]:
        """What they and this batch show together, measured with this proxy and with intervals of this confidence."""

    def copies(self, delivered: Delivered) -> CopiesFound:
        """What of a delivery stands in accepted ones of other batches, of every vendor."""
