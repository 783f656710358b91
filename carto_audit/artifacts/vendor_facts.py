"""What was found of a vendor's summary: its part of `report.json`, typed, and what a rule may limit of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from carto_audit.artifacts.evidence_facts import Share, facts_part
from carto_audit.policy.metrics import Measurement


@facts_part
class VendorRecipeFacts(TypedDict):
    """How the vendor says that the summary came about, and in words what of that differs from this audit."""

    version: str
    policy: str
    seed: int
    epochs: int
    folds: int
    repeats: int
    proxy: str
    started_at: str
    """By the vendor's clock."""
    differences: list[str]


@facts_part
class VendorSignatureFacts(TypedDict):
    """Who signed. `fingerprint` is None where no key was named or it did not sign; `problem` then says why, in words."""

    fingerprint: str | None
    signatures: int
    problem: str | None


@facts_part
class VendorRowsFacts(TypedDict):
    """The rows of the batch beside those that the vendor committed to."""

    rows: int
    same_batch: bool
    """Whether the summary names this very batch by its digest."""
    foreign: int
    """Whose text is not what was committed to, rows too many or too few included."""
    examples: list[int]
    challenged: int
    """Drawn by the root and our nonce; their inclusion below the root was proved."""
    unproved: int


@facts_part
class VendorTestFacts(TypedDict):
    """One test of honesty: `seen` of `among` rows, tokens of a mass, where an honest summary has a share of `honest` at most."""

    name: Literal["hidden_flags", "hidden_mass", "lowered_scores", "fallen_ranks", "left_out", "recomputed_losses"]
    seen: int
    among: int
    honest: Share
    chance: Share
    """Of so many or more, from an honest vendor."""
    share: Share
    at_least: Share
    at_most: Share
    failed: bool


@facts_part
class VendorMassFacts(TypedDict):
    """A mass as a share of the tokens: as the vendor states it, as his flags make it with our tokens, and as we measured it."""

    stated: Share
    by_their_flags: Share
    ours: Share


@facts_part
class VendorPowerFacts(TypedDict):
    """The chance that hiding this share of the flags would have been caught."""

    hidden_share: Share
    chance: Share


@facts_part
class VendorRecomputeFacts(TypedDict):
    """Losses that were computed again with the vendor's seed and key: `same` of `rows` agree within `tolerance` nats per token.
    `why_not` says in words why nothing was computed."""

    rows: int
    same: int
    tolerance: float
    largest_difference: float | None
    draw_agrees: bool | None
    seconds: float
    why_not: str | None


@facts_part
class VendorFacts(TypedDict):
    """What was checked of a vendor's summary, and what could not be."""

    statement_sha256: str
    root: str
    nonce: str
    recipe: VendorRecipeFacts
    signature: VendorSignatureFacts
    rows: VendorRowsFacts
    compared: int
    """Rows that both sides trained on."""
    flagged: int
    """Of those, what our audit flags."""
    tests: list[VendorTestFacts]
    mass: VendorMassFacts
    power: list[VendorPowerFacts]
    recomputed: NotRequired[VendorRecomputeFacts]
    unchecked: list[str]
    """What all this does not show, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorFound:
    """What became of a vendor's summary: numbers for rules, and facts for the report."""

    measurements: Mapping[str, Measurement]
    facts: VendorFacts
