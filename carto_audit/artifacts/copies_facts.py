"""Copies over deliveries: what is asked of a ledger about a new one, and what was found: its part of `report.json`, typed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from carto_audit.artifacts.evidence_facts import Share, facts_part
from carto_audit.policy.metrics import Measurement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@facts_part
class EarlierCopiesFacts(TypedDict):
    """One earlier delivery that holds passages of this one. Whose it was the ledger says, not this file, which others receive."""

    entry: int
    day: str
    same_vendor: bool
    rows: int
    """Of this delivery, that hold a passage of that one."""


@facts_part
class CopiedRowFacts(TypedDict):
    """A row that holds a passage of earlier deliveries."""

    row: int
    most_rows: int
    """In how many rows of all deliveries together its most frequent passage stands."""
    deliveries: int
    """In how many deliveries that passage stands, this one included."""
    entry: int
    """The last of the earlier ones."""


@facts_part
class AtDoseFacts(TypedDict):
    """Passages that stand in `dose` or more rows of all deliveries together, and in this one."""

    dose: int
    """In how many rows the policy demands that a secret is found."""
    passages: int
    rows: int
    deliveries: int
    """Over how many deliveries they are spread, this one included."""
    split_passages: int
    """Of the passages, those that no single delivery holds so often: no audit could see them."""


@facts_part
class CrossBatchFacts(TypedDict):
    """What of this delivery stands in earlier ones that were accepted, as far as the ledger keeps fingerprints of them."""

    run_words: int
    guaranteed_words: int
    """A shared passage of so many words is always found where the sampling rates are 1."""
    sampling_rate: Share
    """The chance with which a passage of so many words was compared: below 1 where this delivery has more than are kept."""
    lowest_sampling_rate: Share
    """The same, of this delivery and all that were compared the lowest."""
    compared: int
    """Earlier deliveries that were compared."""
    not_compared: dict[str, int]
    """Accepted ones that were not, by the reason."""
    rows: int
    own_rows: int
    """Rows that hold a passage of an earlier delivery, and of one of the same vendor."""
    token_share: Share
    own_token_share: Share
    earlier: list[EarlierCopiesFacts]
    """Those with the most passages in common, first."""
    most_rows: int
    """In how many rows of all deliveries together the most frequent shared passage stands."""
    at_dose: AtDoseFacts
    boilerplate_passages: int
    """Shared passages that were left out, because they are in more rows of one delivery than its boilerplate cap."""
    examples: list[CopiedRowFacts]


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
