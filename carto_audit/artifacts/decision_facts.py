"""What became of the decisions that people made about rows and items: their part of `report.json`, typed."""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from carto_audit.artifacts.evidence_facts import facts_part

DecisionState = Literal["used", "unused", "stale", "expired"]
"""stale: what it was about has changed. Only a used one does anything."""

MOST_NAMED = 8
"""Rows and items that one line names."""


@facts_part
class DecisionItemFacts(TypedDict):
    """Items of one benchmark, by the digits of its digest that the decision names."""

    benchmark: str
    ids: list[str]
    sha256: str


@facts_part
class DecisionCoverFacts(TypedDict):
    """What a decision covers: rows with their tokens, those of them that hold a confirmed benchmark item, and the matches in them
    that are confirmed or suspected; of a false alarm, the matches that it says mean nothing."""

    rows: int
    tokens: int
    confirmed_rows: int
    matches: int


@facts_part
class DecisionFacts(TypedDict):
    """One decision, as the file says it, and what became of it."""

    number: int
    """Its place in the file, from 1: `decision` in `scores.parquet`."""
    decision: Literal["keep", "remove", "false alarm"]
    rows: list[int]
    id: NotRequired[str]
    text: NotRequired[str]
    batch: NotRequired[str]
    item: NotRequired[DecisionItemFacts]
    who: str
    why: str
    until: str
    """The last day, as YYYY-MM-DD."""
    ends_soon: bool
    state: DecisionState
    note: str
    """What of it has no effect, and why; empty where all of it has."""
    covers: DecisionCoverFacts


@facts_part
class DecisionsFacts(TypedDict):
    """The decisions of a file, by its bare name and the sha256 of its bytes."""

    file: str
    sha256: str
    decisions: list[DecisionFacts]


def used(facts: DecisionsFacts, *decisions: str) -> list[DecisionFacts]:
    """The decisions of some kinds that did something."""
    return [one for one in facts["decisions"] if one["state"] == "used" and one["decision"] in decisions]


def numbers_of(facts: DecisionsFacts | None, decision: str) -> set[int]:
    """By which numbers `scores.parquet` names the decisions of one kind."""
    return {one["number"] for one in (facts or {"decisions": []})["decisions"] if one["decision"] == decision}


def is_false_alarm(facts: DecisionsFacts | None, match: Mapping[str, Any]) -> bool:
    """Whether somebody decided that a match of `matches.parquet` means nothing."""
    alarms = used(facts, "false alarm") if facts else []
    return any(
        one["item"]["benchmark"] == match["benchmark"]
        and match["item_id"] in one["item"]["ids"]
        and (_everywhere(one) or match["row"] in one["rows"] or match["sample_id"] == one.get("id"))
        for one in alarms
        if "item" in one
    )


def _everywhere(one: DecisionFacts) -> bool:
    return not one["rows"] and "id" not in one


def told(one: DecisionFacts) -> str:
    """A decision in one line for who reads the report: `keep, by Ann until 2027-03-31: a public guideline`."""
    return f"{one['decision']}, by {one['who']} until {one['until']}: {one['why']}"


def about(one: DecisionFacts) -> str:
    """What a decision is about: `rows 3, 5`, `the item q17 of gsm8k in row 41`. Ids and names are as they were given."""
    rows = [f"{row:,}" for row in one["rows"][:MOST_NAMED]]
    more = len(one["rows"]) - len(rows)
    where = (
        f"{'rows' if len(one['rows']) > 1 else 'row'} {', '.join(rows)}{f' and {more:,} more' if more else ''}"
        if rows
        else ""
    )
    if "id" in one:
        where = f"the sample {one['id']}"
    if "item" not in one:
        return where
    ids = one["item"]["ids"]
    named = f"{'items' if len(ids) > 1 else 'item'} {', '.join(ids[:MOST_NAMED])}"
    others = f" and {len(ids) - MOST_NAMED:,} more" if len(ids) > MOST_NAMED else ""
    return f"{named}{others} of {one['item']['benchmark']}{f' in {where}' if where else ''}"
