"""The facts of lenses in `report.json`, typed: what each measured, how well it saw, and its section from a closed set."""

from typing import Literal, NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

facts_part = with_config(ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True))
"""Marks a part of the file, as in `artifacts.evidence_facts`, which this cannot import."""

Share = float
"""In 0..1."""


@facts_part
class LensPowerFacts(TypedDict):
    """Of examples planted `dose` times among the rows, how many were answered right; at least so many in truth."""

    dose: int
    planted: int
    found: int
    at_least: Share


@facts_part
class LensAlarmFacts(TypedDict):
    """Of innocent twins planted among the rows, how many were taken for examples; at most so many in truth."""

    planted: int
    found: int
    at_most: Share


@facts_part
class LensCostFacts(TypedDict):
    """What the lens took: wall time, and the most bytes that its process held."""

    seconds: float
    peak_bytes: int


@facts_part
class LensFactFacts(TypedDict):
    """One fact in words."""

    what: str
    value: str


@facts_part
class LensBarFacts(TypedDict):
    """A bar; the ends of its interval are None where it was counted."""

    label: str
    value: float
    low: float | None
    high: float | None


@facts_part
class BarsFacts(TypedDict):
    """A figure: bars, or the bins of a histogram. `unit` is share, of 0..1, number, or what is counted."""

    kind: Literal["bars", "histogram"]
    title: str
    unit: str
    bars: list[LensBarFacts]


@facts_part
class TableFacts(TypedDict):
    """A figure: a small table."""

    kind: Literal["table"]
    title: str
    columns: list[str]
    rows: list[list[str | float]]


FigureFacts = BarsFacts | TableFacts


@facts_part
class LensSectionFacts(TypedDict):
    """What a lens says, in words that were made safe, and figures that the page draws."""

    headline: str
    paragraph: str
    facts: list[LensFactFacts]
    figures: list[FigureFacts]


@facts_part
class LensFacts(TypedDict):
    """One lens. Where it failed there is no number of it, and `problem` says why in one line."""

    version: int
    distribution: str | None
    """Whose it is where it is not ours; its plants it wrote itself."""
    question: str
    judged: bool
    """Whether the policy turned it on; otherwise it was looked through once, and no rule asks it."""
    status: Literal["measured", "failed"]
    problem: str
    power: list[LensPowerFacts]
    false_alarms: LensAlarmFacts | None
    metrics: dict[str, float]
    cost: LensCostFacts
    plants_read: NotRequired[int]
    """Texts that it planted and the proxies trained on; left out where there were none."""
    section: LensSectionFacts | None
    warnings: list[str]
