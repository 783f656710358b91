"""Tiers: what a piece of evidence amounts to. A pure function of a few numbers."""

from dataclasses import dataclass

from carto_audit.benchmarks.index import HOT
from carto_audit.contamination.candidates import LEAST_CONTAINMENT

TIERS = ("", "boilerplate", "source_overlap", "suspected", "confirmed")
"""From harmless to certain; a sample's tier is its worst."""

CLEAN, BOILERPLATE, SOURCE_OVERLAP, SUSPECTED, CONFIRMED = range(len(TIERS))

PROGRAM, SKELETON, PASSAGE, ORDER_FREE = "program", "skeleton", "passage", "order-free"
"""Views that do not compare words in their order. Others undo something first, and then do."""

LONG = 60
"""Words. A question above LONG must show its last words, where it says what it asks, or its own options."""

SUPPORTED, WELL_SUPPORTED = 0.5, 0.75
"""Share of an item's own options or answer near the match from which they support it, and from which they name it."""

NAMING = 13.0
"""Nats that words must add, beyond what any text predicts, to name a question: four rare words, whatever stands between.

A question that says less ("Which of the following is true?") may stand anywhere; of MMLU's it is one in a hundred.
Nothing but the question's own words counts, never where it stands, so that text around it changes no tier.
"""

SAME_WORDING = 0.9
"""Like EDITED, apart from numbers and names: from here on a question with other numbers is a twin."""

EDITED = 0.75
"""Share of the question's words, by what they say, that must stand in order where some were edited."""

KEPT_PROGRAM, RENAMED_PROGRAM, EDITED_PROGRAM = 0.6, 0.75, 0.5
"""Share of a program's grams, by rarity: under its own names, and with variables renamed alike, which many share."""


def finder_of(view: str) -> str:
    """How a match was found in the end, whatever was undone first: "tags+program" is found by a program."""
    return view.rpartition("+")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was measured on one candidate; its tier follows from this alone. Shares are in 0..1."""

    words: int  # in the question or passage
    is_passage: bool
    holders: int  # items of all benchmarks that have this question or passage
    containment: float  # idf-weighted share of the shingles
    rare_containment: float | None  # share of the shingles that identify the item; None when it has none
    information: float  # nats: the summed idf of what was found
    aligned: float  # share of the words, by what they say, that stand here in order
    nats: float  # what those words say beyond what any text predicts
    support: float  # share of the item's own options or answer nearby
    number_share: float | None  # share of its distinct numbers; None when it has none
    other_numbers: bool  # other numbers stand where its own are missing
    wording: float  # like `aligned`, any number or name standing for any other
    stem_share: float | None  # share of the last words' cold shingles; None when they have none
    is_template: bool  # every shingle is hot


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What a piece of evidence amounts to, and why. A near variant has the same wording with other numbers."""

    tier: int
    reason: str = ""
    near_variant: bool = False


_CLEAN = Ruling(tier=CLEAN)


def judge(seen: Evidence) -> Ruling:
    """The tier, and its reason in words; CLEAN has none. A numeric twin is `source_overlap`, which nothing gates."""
    ruling = _judge_wording(seen)
    if seen.support >= SUPPORTED or seen.is_passage or seen.number_share is None or seen.number_share >= 0.5:
        return ruling
    is_twin = seen.other_numbers and (ruling.tier >= SUSPECTED or _is_same_wording(seen))
    twin = Ruling(tier=SOURCE_OVERLAP, reason="the same wording with other numbers", near_variant=True)
    return twin if is_twin else ruling


def _is_same_wording(seen: Evidence) -> bool:
    return seen.wording >= SAME_WORDING and seen.nats >= NAMING


def _judge_wording(seen: Evidence) -> Ruling:
    if seen.is_passage:
        if seen.containment < 0.5:
            return _CLEAN
        if seen.holders == 1:
            return Ruling(tier=SUSPECTED, reason="the passage is here that belongs to this item alone")
        return Ruling(tier=SOURCE_OVERLAP, reason=f"a passage is here that {seen.holders} items share")
    if seen.rare_containment is None:
        return _judge_template(seen)
    if _is_confirmed(seen, seen.rare_containment):
        asks = seen.words <= LONG or seen.support >= SUPPORTED or (seen.stem_share or 0.0) >= 0.5
        if asks:
            return Ruling(tier=CONFIRMED, reason=_found(seen))
        return Ruling(tier=SOURCE_OVERLAP, reason="the question's text without what it asks")
    return _judge_rest(seen)


def _threshold(words: int) -> float:
    """Containment that confirms a question by itself: all of it up to 10 words, 0.6 from 40 words on."""
    return 1.0 if words <= 10 else max(0.6, 1.0 - 0.4 * (words - 10) / 30)


def _is_confirmed(seen: Evidence, rare: float) -> bool:
    needed, supported = _threshold(seen.words), seen.support >= SUPPORTED
    is_named = seen.nats >= NAMING and seen.information >= 25
    alone = seen.containment >= needed and rare >= 0.9 * needed and (is_named or supported)
    with_answer = seen.containment >= LEAST_CONTAINMENT and rare >= 0.35 and supported and seen.information >= 12
    aligned = seen.aligned >= 0.6 and supported and seen.nats >= NAMING / 2
    much = seen.containment >= 0.5 and rare >= 0.45 and seen.information >= 60 and seen.words <= LONG
    return alone or with_answer or aligned or (much and seen.nats >= NAMING)


def _judge_rest(seen: Evidence) -> Ruling:
    if seen.containment >= 0.95:
        return Ruling(tier=SUSPECTED, reason=f"{_found(seen)}, but its words alone do not name it")
    if seen.support >= WELL_SUPPORTED and seen.aligned >= 0.3 and seen.nats >= NAMING / 2:
        return Ruling(tier=SUSPECTED, reason="the item's options or answer are here, and some of the question")
    if seen.aligned >= EDITED and seen.nats >= NAMING:
        return Ruling(tier=SUSPECTED, reason=f"{seen.aligned:.0%} of what the question says is here in order, edited")
    if seen.containment >= _threshold(seen.words) and seen.information >= 12:
        return Ruling(tier=SUSPECTED, reason="the question is here, but little of it is found in this item only")
    return _CLEAN


def _found(seen: Evidence) -> str:
    whole = seen.containment >= 0.995
    extent = "the whole question" if whole else f"{max(seen.containment, seen.aligned):.0%} of the question"
    return f"{extent} is here" + (", its options or answer nearby" if seen.support >= SUPPORTED else "")


def _judge_template(seen: Evidence) -> Ruling:
    wording = "a wording that several items share"
    if seen.containment >= 0.95 and seen.support >= WELL_SUPPORTED:
        return Ruling(tier=CONFIRMED, reason=f"{wording}, with this item's options or answer nearby")
    if seen.containment < 0.95:
        found = seen.support >= SUPPORTED and max(seen.containment, seen.aligned) >= 0.3
        return Ruling(tier=SUSPECTED, reason=f"{wording}, edited, with this item's options nearby") if found else _CLEAN
    if seen.is_template:
        return Ruling(
            tier=BOILERPLATE, reason=f"a wording that more than {HOT} items share, without this item's options"
        )
    return Ruling(tier=SUSPECTED, reason=f"{wording}, without this item's options")


def judge_program(kept: float, renamed: float) -> Ruling:
    """A benchmark's program by the share of its grams, with its own names and with variables renamed alike."""
    if kept >= KEPT_PROGRAM:
        return Ruling(tier=CONFIRMED, reason=f"{kept:.0%} of the item's program is here")
    if renamed >= RENAMED_PROGRAM:
        return Ruling(tier=CONFIRMED, reason=f"{renamed:.0%} of the item's program is here, variables renamed")
    if renamed >= EDITED_PROGRAM:
        return Ruling(tier=SUSPECTED, reason=f"{renamed:.0%} of the item's program is here, edited")
    return _CLEAN


def judge_translation(tokens: int) -> Ruling:
    """What a translation leaves as it is proposes; nobody has read the language, so it is never more than suspected."""
    return Ruling(
        tier=SUSPECTED, reason=f"{tokens} numbers, names and formulae of the item in its order: a translation?"
    )


def judge_passage(share: float) -> Ruling:
    """A passage with so much of one of its questions beside it."""
    extent = "its question" if share >= 0.995 else f"{share:.0%} of its question"
    return Ruling(tier=CONFIRMED, reason=f"the item's passage is here, and {extent} beside it")


def judge_rare_words(share: float, numbers: float, has_others: bool) -> Ruling:
    """Words of an item in one place, in whatever order: proposed, never more. With other numbers it is a twin."""
    if numbers < 0.5 and has_others:
        return Ruling(tier=SOURCE_OVERLAP, reason="much of the same wording with other numbers", near_variant=True)
    return Ruling(tier=SUSPECTED, reason=f"{share:.0%} of what the item's words say is here, out of order or diluted")
