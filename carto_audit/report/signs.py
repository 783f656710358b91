"""Signs: one for each verdict and for what becomes of a rule, as Markdown, a terminal, and plain text show it."""

from collections.abc import Mapping
from dataclasses import dataclass

from carto_audit.artifacts.report_facts import FindingFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Sign:
    """One meaning in three alphabets, and the name of its terminal colour."""

    emoji: str
    symbol: str
    plain: str
    colour: str


GOOD = Sign(emoji="✅", symbol="✔", plain="+", colour="green")
WARNING = Sign(emoji="⚠️", symbol="▲", plain="!", colour="yellow")
BAD = Sign(emoji="⛔", symbol="✖", plain="x", colour="red")
UNKNOWN = Sign(emoji="❔", symbol="?", plain="?", colour="magenta")
WAIVED = Sign(emoji="➖", symbol="-", plain="-", colour="cyan")

_OF_STATUS: Mapping[str, Sign] = {"accepted": GOOD, "accepted_with_warnings": WARNING, "rejected": BAD}
_OF_OUTCOME: Mapping[str, Sign] = {"passed": GOOD, "waived": WAIVED}


def status_sign(status: str) -> Sign:
    """The sign of a verdict; what is not known is never a pass."""
    return _OF_STATUS.get(status, UNKNOWN)


def finding_sign(finding: FindingFacts) -> Sign:
    """The sign of what became of one rule."""
    if finding["outcome"] == "failed":
        return WARNING if finding["severity"] == "warn" else BAD
    return _OF_OUTCOME.get(finding["outcome"], UNKNOWN)
