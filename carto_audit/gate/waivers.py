"""Waivers at work: which ones hold today, for this batch and this value, and which ones rot. None is passed over in silence."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from carto_audit.artifacts.report_facts import WaiverState
from carto_audit.policy.model import Waiver
from carto_audit.text.untrusted import safe_inline

NOTICE_DAYS = 14
"""So many days before its end a waiver is announced."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchName:
    """What a batch is called: the names of its files, and the digest of their content in hexadecimal digits."""

    names: tuple[str, ...] = ()
    sha256: str = ""


NAMELESS = BatchName()
"""A batch that no waiver with a subject is for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WaiverUse:
    """What became of one waiver. `used` ones turned their finding into a waived one."""

    rule: str
    owner: str
    reason: str
    expires: str
    """The last day, as YYYY-MM-DD."""
    subject: str | None
    max_value: float | None
    state: WaiverState
    ends_soon: bool

    @property
    def warnings(self) -> Iterator[str]:
        """What a person has to know about it; nothing about one that is in use and far from its end."""
        named = _named(self.rule, self.owner)
        match self.state:
            case "exceeded":
                yield f"{named} does not hold: the value is worse than its max_value {self.max_value:g}"
            case "powerless":
                yield f"{named} does not help: an unmeasured rule cannot be waived"
            case "unused":
                yield f"{named} is not needed: the rule passes without it; remove it"
            case "other_batch":
                yield f"notice: {named} is for {safe_inline(self.subject or '', 120)}, which this batch is not"
        yield from self.ending

    @property
    def ending(self) -> Iterator[str]:
        """That its last day is over, or near."""
        if self.state == "expired":
            yield f"{_named(self.rule, self.owner)} expired on {self.expires}; renew it or remove it"
        elif self.ends_soon:
            yield f"notice: {_named(self.rule, self.owner)} ends on {self.expires}"


def _named(rule: str, owner: str) -> str:
    return f'the waiver of "{rule}" by {safe_inline(owner, 80)}'


def ending(waiver: Waiver, today: date) -> Iterator[str]:
    """That a waiver's last day is over, or near, whatever the batch."""
    return use_waiver(waiver, "failed", None, NAMELESS, today).ending


def use_waiver(waiver: Waiver, outcome: str, observed: float | None, batch: BatchName, today: date) -> WaiverUse:
    """What a waiver does for its rule's finding, which has this outcome and observed value before any waiver."""
    expired = today > waiver.expires
    return WaiverUse(
        rule=waiver.rule,
        owner=waiver.owner,
        reason=waiver.reason,
        expires=waiver.expires.isoformat(),
        subject=waiver.subject,
        max_value=waiver.max_value,
        state="expired" if expired else _state(waiver, outcome, observed, batch),
        ends_soon=not expired and (waiver.expires - today).days <= NOTICE_DAYS,
    )


def _state(waiver: Waiver, outcome: str, observed: float | None, batch: BatchName) -> WaiverState:
    if not waiver.covers(batch.names, batch.sha256):
        return "other_batch"
    if outcome == "passed":
        return "unused"
    if outcome != "failed" or observed is None:
        return "powerless"
    return "exceeded" if waiver.max_value is not None and observed > waiver.max_value else "used"
