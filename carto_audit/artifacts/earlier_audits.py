"""Earlier audits: what a ledger is asked about other deliveries when a new one is judged, and what it finds of it in them.

A ledger knows; no stage asks how.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from carto_audit.artifacts.audit_record import Record
from carto_audit.artifacts.batch_facts import CrossBatchFacts
from carto_audit.policy.metrics import Measurement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A delivery as it is held against earlier ones. `texts` reads its N samples in order, in chunks that each know their first
    sample. `row`, `copies` (of the same bytes), `exact` (whether an earlier sample has them) and `n_tokens` are (N,). A passage
    in more than `cap` samples is boilerplate; the policy demands that a secret in `dose` rows is found."""

    batch_sha256: str
    texts: "Callable[[], Iterable[tuple[int, Sequence[str]]]]"
    row: "NDArray[np.int64]"
    copies: "NDArray[np.int64]"
    exact: "NDArray[np.bool_]"
    n_tokens: "NDArray[np.int64]"
    cap: int
    dose: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprints:
    """What a ledger keeps of a delivery: `rows` of (fingerprint, rows that hold it, 1 where it is boilerplate), in order, and
    `about` them what the entry says."""

    about: Mapping[str, Any]
    rows: Sequence[tuple[int, int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiesFound:
    """What became of it: numbers for rules, facts for the report, and what the ledger keeps where the delivery is accepted."""

    measurements: Mapping[str, Measurement]
    facts: CrossBatchFacts
    fingerprints: Fingerprints


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
