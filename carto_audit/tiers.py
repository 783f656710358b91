"""Tiers: what a piece of evidence amounts to. A pure function of a few numbers."""

from dataclasses import dataclass

from carto_audit.candidates import LEAST_CONTAINMENT
from carto_audit.index import HOT

TIERS = ("", "boilerplate", "source_overlap", "suspected", "confirmed")
"""From harmless to certain; a sample's tier is its worst."""

CLEAN, BOILERPLATE, SOURCE_OVERLAP, SUSPECTED, CONFIRMED = range(len(TIERS))

SHORT, LONG = 12, 60
"""Words. A question below SHORT needs its options or a line of its own; one above LONG must show its last words."""

SUPPORTED = 0.5
"""Share of an item's own options or answer near the match from which they support it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was measured on one candidate; its tier follows from this alone. Shares are in 0..1."""

    words: int  # in the question or passage
    is_passage: bool
    containment: float  # idf-weighted share of the shingles
    rare_containment: float | None  # share of the shingles that identify the item; None when it has none
    information: float  # nats: the summed idf of what was found
    support: float  # share of the item's own options or answer nearby
    number_share: float | None  # share of its distinct numbers; None when it has fewer than two
    stem_share: float | None  # share of the last words' cold shingles; None when they have none
    stands_alone: bool  # the match fills whole lines or sentences
    is_template: bool  # every shingle is hot


def judge(seen: Evidence) -> tuple[int, str]:
    """The tier, and its reason in words. CLEAN has none."""
    tier, reason = _judge_wording(seen)
    if tier >= SUSPECTED and seen.support < SUPPORTED and seen.number_share is not None and seen.number_share < 0.5:
        return SOURCE_OVERLAP, "the same wording with other numbers"
    return tier, reason


def _judge_wording(seen: Evidence) -> tuple[int, str]:
    if seen.is_passage:
        return (SOURCE_OVERLAP, "the item's passage is here") if seen.containment >= 0.5 else (CLEAN, "")
    if seen.rare_containment is None:
        return _judge_template(seen)
    if seen.words < SHORT:
        return _judge_short(seen)
    if _is_confirmed(seen, seen.rare_containment):
        asks = seen.words <= LONG or seen.support >= SUPPORTED or (seen.stem_share or 0.0) >= 0.5
        return (CONFIRMED, _found(seen)) if asks else (SOURCE_OVERLAP, "the question's text without what it asks")
    if seen.containment >= _threshold(seen.words) and seen.information >= 12:
        return SUSPECTED, "the question is here, but little of it is found in this item only"
    return CLEAN, ""


def _threshold(words: int) -> float:
    """Containment that confirms a question by itself: all of it up to 10 words, 0.6 from 40 words on."""
    return 1.0 if words <= 10 else max(0.6, 1.0 - 0.4 * (words - 10) / 30)


def _is_confirmed(seen: Evidence, rare: float) -> bool:
    needed, supported = _threshold(seen.words), seen.support >= SUPPORTED
    alone = seen.containment >= needed and rare >= 0.9 * needed and (seen.information >= 25 or supported)
    with_answer = seen.containment >= LEAST_CONTAINMENT and rare >= 0.35 and supported and seen.information >= 12
    much = seen.containment >= 0.5 and rare >= 0.45 and seen.information >= 60 and seen.words <= LONG
    return alone or with_answer or much


def _found(seen: Evidence) -> str:
    extent = "the whole question" if seen.containment >= 0.995 else f"{seen.containment:.0%} of the question"
    return f"{extent} is here" + (", its options or answer nearby" if seen.support >= SUPPORTED else "")


def _judge_short(seen: Evidence) -> tuple[int, str]:
    if seen.containment < 0.95:
        return CLEAN, ""
    if seen.support >= SUPPORTED:
        return CONFIRMED, _found(seen)
    if seen.stands_alone:
        return CONFIRMED, f"{_found(seen)}, as a line or sentence of its own"
    return SUSPECTED, f"{_found(seen)}, but it is short and inside a sentence"


def _judge_template(seen: Evidence) -> tuple[int, str]:
    if seen.containment < 0.95:
        return CLEAN, ""
    if seen.support >= 0.75:
        return CONFIRMED, "a wording that several items share, with this item's options or answer nearby"
    if seen.is_template:
        return BOILERPLATE, f"a wording that more than {HOT} items share, without this item's options"
    return SUSPECTED, "a wording that several items share, without this item's options"
