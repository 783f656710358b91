"""What the governance loop found in plain words, for its page and the terminal alike. They claim no more than was measured."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from carto_audit.text.numbers import number, percent, plural, signed_percent

EstimateFacts = Mapping[str, float | None] | None
"""A measured value with its 95 % interval, or None where it cannot be measured."""

MOST_COUNTED = 1_000_000

FORM_WORDS: Mapping[str, str] = {
    "alone": "standing alone",
    "embedded": "inside other text",
    "edited": "in edited copies",
}
ATTACK_WORDS: Mapping[str, str] = {
    "loss": "Loss",
    "zlib": "Loss over zlib size",
    "min_k": "Min-K %",
    "min_k_plus_plus": "Min-K %++",
    "reference": "Loss against a reference",
    "neighbourhood": "Neighbourhood",
    "ez": "EZ (errors only)",
    "lt_mia": "LT-MIA (learned)",
}
EXTRACTION_WORDS: Mapping[str, str] = {
    "exact": "Word for word",
    "near_verbatim": "Nearly word for word",
    "worst_case": "Worst of several prompts",
    "twins": "Never planted (must be near 0)",
}
FAMILY_WORDS: Mapping[str, str] = {
    "untreated": "untreated",
    "prune": "prune by score",
    "prune_other": "prune by another score",
    "random": "prune at random",
    "deduplicate": "deduplicate only",
    "downweight": "down-weight",
    "remove_flagged": "remove all flagged",
    "policy": "the policy",
}


def known(estimate: EstimateFacts) -> float | None:
    """The value of an estimate; None where nothing was measured."""
    return None if estimate is None else estimate.get("value")


def bounds(estimate: EstimateFacts) -> tuple[float, float] | None:
    """The interval of an estimate; None where there is none."""
    if estimate is None or estimate.get("low") is None or estimate.get("high") is None:
        return None
    return float(estimate["low"] or 0.0), float(estimate["high"] or 0.0)


def interval_words(estimate: EstimateFacts, show: Any = percent) -> str:
    """`1.2 % to 3.4 %`, or nothing where there is no interval."""
    ends = bounds(estimate)
    return "" if ends is None else f"{show(ends[0])} to {show(ends[1])}"


def short_share(share: float | None) -> str:
    """A share for a headline: whole per cents, and `under 1 %` rather than a false 0."""
    if share is None:
        return "unknown"
    return "under 1 %" if 0 < share < 0.01 else f"{100 * share:.0f} %"


def untreated(facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The arm trained on the batch as it is."""
    return next((arm for arm in facts["arms"] if arm["arm"] == "untreated"), None)


def treated_at(facts: Mapping[str, Any]) -> int | None:
    """Which arm is shown as the treatment: the pick, else what is recommended, else the knee; never the untreated one."""
    for part in ("policy_pick", "recommended", "knee"):
        at = facts[part]["arm"]
        if at is not None and 0 <= at < len(facts["arms"]) and facts["arms"][at]["arm"] != "untreated":
            return int(at)
    return None


def treated(facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The arm that is shown as the treatment; None where nothing can be picked."""
    at = treated_at(facts)
    return None if at is None else facts["arms"][at]


def exposure_of(arm: Mapping[str, Any]) -> EstimateFacts:
    """The exposure, in bits, of the secrets that occur most often: what an arm still knows, whatever it recites."""
    known_doses = [dose for dose, estimate in arm["exposure"].items() if estimate]
    return arm["exposure"][max(known_doses, key=int)] if known_doses else None


def reduces(before: EstimateFacts, after: EstimateFacts) -> bool:
    """Whether leakage fell beyond doubt: the two intervals do not touch."""
    first, last = bounds(before), bounds(after)
    if first is None or last is None:
        return False
    return last[1] < first[0]


def outcome(facts: Mapping[str, Any]) -> str:
    """How the loop ended: `nothing`, `unknown`, `none` (no arm to pick), `reduced` or `unclear`."""
    before, after = untreated(facts), treated(facts)
    if facts["nothing_to_reduce"]:
        return "nothing"
    if before is None or known(before["leakage"]) is None:
        return "unknown"
    if after is None or known(after["leakage"]) is None:
        return "none"
    return "reduced" if reduces(before["leakage"], after["leakage"]) else "unclear"


def headline(facts: Mapping[str, Any]) -> str:
    """The whole loop in one line: leakage before and after, and its price."""
    return " ".join(words for _, words in headline_parts(facts))


def headline_parts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The headline as (kind, words): `before`, `after` and `price` are its numbers, the rest has no kind."""
    before, after = untreated(facts), treated(facts)
    ended = outcome(facts)
    if before is None or ended == "unknown":
        return [("", "Leakage was not measured")]
    leaks = short_share(known(before["leakage"]))
    if ended == "nothing":
        return [("", "Nothing to reduce")]
    if ended == "none" or after is None:
        return [("before", leaks), ("", "leak, and no treatment was picked")]
    left, price = short_share(known(after["leakage"])), signed_percent(known(after["perplexity_change"]))
    if ended == "unclear":
        return [("", "No clear change:"), ("before", leaks), ("", "leak before,"), ("after", left), ("", "after")]
    cut = [("", "Leakage falls from"), ("before", leaks), ("", "to"), ("after", left)]
    return [*cut, ("", "for"), ("price", price), ("", "perplexity")]


def lead(facts: Mapping[str, Any]) -> str:
    """What the headline means, in one or two sentences."""
    before, after = untreated(facts), treated(facts)
    ended = outcome(facts)
    if before is None or ended == "unknown":
        return "The untreated proxy could not be attacked, so this run says nothing about any treatment."
    leaks = _with_interval(before["leakage"])
    if ended == "nothing":
        return (
            f"Trained on the batch as it is, the proxy gives away {leaks} of the secrets planted at least 8 times. "
            "Too few were learned for a treatment to show what it can do. This is no evidence that the batch is safe."
        )
    if ended == "none" or after is None:
        return (
            f"Trained on the batch as it is, the proxy gives away {leaks} of the secrets planted at least 8 times. "
            "No treatment was picked."
        )
    opening = (
        f"Of the secrets planted at least 8 times, the proxy gives away {leaks} after training on the batch as it is, "
        f"and {_with_interval(after['leakage'])} after “{after['title']}”."
    )
    if ended == "unclear":
        return f"{opening} The intervals overlap or are missing, so the difference may be chance."
    return f"{opening} {price_sentence(after)}"


def price_sentence(arm: Mapping[str, Any]) -> str:
    """What an arm costs on unseen text, and whether zero is inside the interval."""
    change, ends = known(arm["perplexity_change"]), bounds(arm["perplexity_change"])
    if change is None:
        return "What it costs could not be measured."
    ranged = "" if ends is None else f" ({signed_percent(ends[0])} to {signed_percent(ends[1])})"
    if ends is not None and ends[0] <= 0 <= ends[1]:
        return f"Held-out perplexity changes by {signed_percent(change)}{ranged}: no cost that can be told from zero."
    return f"The cost: held-out perplexity changes by {signed_percent(change)}{ranged}."


def _with_interval(estimate: EstimateFacts) -> str:
    """`95.3 % (92.3 % to 98.3 %)`."""
    ranged = interval_words(estimate)
    return percent(known(estimate)) + (f" ({ranged})" if ranged else "")


def overview(facts: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The first questions as (name, answer, why): knee, pick, the controls beside it, matched perplexity."""
    lines = [("Knee", *chosen(facts, "knee", "No knee")), ("Policy pick", *chosen(facts, "policy_pick", "No pick"))]
    after = treated(facts)
    if after is not None:
        lines += list(_controls(facts, after))
    return lines


def chosen(facts: Mapping[str, Any], part: str, none: str) -> tuple[str, str]:
    """The title of the arm that was chosen, or `none`; and the reason, empty where none was given."""
    at, reason = facts[part]["arm"], (facts[part].get("reason") or "").removeprefix(f"{none.lower()}: ")
    return (facts["arms"][at]["title"] if at is not None and 0 <= at < len(facts["arms"]) else none), reason


def _controls(facts: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    twin = next((a for a in facts["arms"] if a["arm"] == "random" and a["level"] == after["level"] is not None), None)
    if twin is not None:
        ranged = interval_words(twin["leakage"])
        why = f"as many tokens pruned at random{f'; {ranged}' if ranged else ''}"
        yield "Random control", f"{percent(known(twin['leakage']))} leak", why
    copies = next((arm for arm in facts["arms"] if arm["arm"] == "deduplicate"), None)
    if copies is not None and copies is not after:
        forms = ", ".join(
            f"{percent(known(copies['leakage_by_form'][form]))} {title}"
            for form, title in FORM_WORDS.items()
            if form in copies["leakage_by_form"]
        )
        yield "Deduplication only", f"{percent(known(copies['leakage']))} leak", f"of those {forms}"
    if after.get("matched"):
        why = "of the untreated run, stopped early, when it was only as good a model as this arm"
        yield "At matched perplexity", f"{percent(after['matched']['leakage'])} leak", why


def advice(yaml: str) -> str:
    """What a recommended block says where it holds nothing to paste, its comments being all there is; else nothing."""
    lines = [line.strip() for line in yaml.splitlines() if line.strip()]
    if any(not line.startswith("#") for line in lines):
        return ""
    return " ".join(line.lstrip("# ") for line in lines) or "Nothing to recommend."


def run_words(facts: Mapping[str, Any]) -> str:
    """How much was run."""
    run = facts["run"]
    return (
        f"{run['mode']} run, {plural(len(facts['arms']), 'arm')}, {plural(len(run['seeds']), 'seed')}, "
        f"{run['proxy']} proxy of {number(run['parameters'], 0)} parameters"
    )


def family(arm: Mapping[str, Any], score: str) -> str:
    """To which line of the picture an arm belongs; pruning by a score other than `score` is a line of its own."""
    if arm["arm"] == "prune" and arm.get("score") not in (None, score):
        return "prune_other"
    return str(arm["arm"])


def level_words(arm: Mapping[str, Any]) -> str:
    """How far an arm goes, as short as a picture needs."""
    if arm["arm"] == "downweight" and arm["weight"] is not None:
        return f"× {arm['weight']:g}"
    return "" if arm["level"] is None else f"{100 * arm['level']:g} %"


def arm_words(arm: Mapping[str, Any]) -> str:
    """One arm in a sentence: title, leakage and price with intervals."""
    change = signed_percent(known(arm["perplexity_change"]))
    ranged = interval_words(arm["perplexity_change"], signed_percent)
    return f"{arm['title']}: {_with_interval(arm['leakage'])} of the secrets leak, perplexity {change}" + (
        f" ({ranged})" if ranged else ""
    )


def draws(count: float | None) -> str:
    """How often one must draw: a number up to a million, a power of ten beyond."""
    if count is None or not math.isfinite(count):
        return "–"
    return number(count, 0) if count < MOST_COUNTED else f"10^{math.log10(count):.0f}"
