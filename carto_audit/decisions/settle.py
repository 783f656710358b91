"""What decisions come to: which were used, how much they cover, and how much of what was measured no decision speaks of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from carto_audit.artifacts.decision_facts import DecisionCoverFacts, DecisionFacts, DecisionsFacts, DecisionState
from carto_audit.benchmarks.items import Benchmark
from carto_audit.cartography.quadrants import MEMORIZED
from carto_audit.contamination.tiers import TIERS
from carto_audit.decisions.file import NOTICE_DAYS, DecisionFile
from carto_audit.decisions.review import Bool, Held, Item, Reviewed, alarms_of
from carto_audit.gate.verdict import Verdict
from carto_audit.policy.decision_metrics import (
    KEPT_ROWS,
    LAPSED,
    UNREVIEWED_ITEMS,
    UNREVIEWED_MASS,
    UNREVIEWED_ROWS,
    UNREVIEWED_SUSPECTS,
    WAVED,
)
from carto_audit.policy.metrics import Measurement
from carto_audit.text.numbers import plural
from carto_audit.text.untrusted import safe_inline

_MEMORIZED_MASS = "memorized.token_share"
_REASON = {"keep": "kept", "remove": "removed"}
_NOTES = {
    "stale": "stale: what was decided about has changed, so {} no effect; look again and renew",
    "expired": "past the last day, so {} no effect; renew or remove",
    "unused": "not needed or about nothing that is there; remove",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of the decisions of an audit: facts for the report, and the decision that each sample follows, (N,), from 1."""

    facts: DecisionsFacts
    number: NDArray[np.int32] = field(repr=False)


def measure_decisions(
    reviewed: Reviewed,
    benchmarks: Sequence[Benchmark],
    n_tokens: NDArray[np.int64],
    quadrant: NDArray[np.int8],
    measured: Mapping[str, Measurement],
) -> dict[str, Measurement]:
    """What of the `measured` numbers no decision speaks of, and how much decisions wave through. Nothing that was measured is
    changed; without decisions all of it is unreviewed. `n_tokens` and `quadrant` are (N,)."""
    contamination, total = reviewed.contamination, max(1, int(n_tokens.sum()))
    memorized, decided = np.isin(quadrant, MEMORIZED), reviewed.keep | reviewed.remove
    alarmed = np.zeros(len(n_tokens), dtype=bool)
    alarmed[reviewed.match_sample[reviewed.dismissed]] = True
    found: dict[str, float] = {}
    if contamination is not None:
        confirmed = contamination.is_tier("confirmed")
        left = reviewed.is_left("confirmed")
        spoken_of = _items_spoken_of(reviewed, benchmarks)
        found = {
            UNREVIEWED_ITEMS: sum(b.confirmed_items for b in contamination.benchmarks) - spoken_of["confirmed"],
            UNREVIEWED_SUSPECTS: sum(b.suspected_items for b in contamination.benchmarks) - spoken_of["suspected"],
            UNREVIEWED_ROWS: int((left & ~decided).sum()),
            KEPT_ROWS: int((confirmed & ~reviewed.remove & (reviewed.keep | ~left)).sum()),
        }
    waved = (reviewed.keep & _flagged(reviewed, quadrant)) | (alarmed & ~reviewed.remove)
    found[WAVED] = float(n_tokens[waved].sum() / total)
    found[LAPSED] = sum(one.standing in ("stale", "expired") for one in reviewed.held)
    made = {name: Measurement.exact(float(value)) for name, value in found.items()}
    if mass := measured.get(_MEMORIZED_MASS):
        made[UNREVIEWED_MASS] = _less(mass, float(n_tokens[memorized & decided].sum() / total))
    return made


def _flagged(reviewed: Reviewed, quadrant: NDArray[np.int8]) -> Bool:
    """Which samples (N,) are memorized or hold a benchmark item, confirmed or suspected."""
    flagged: Bool = np.isin(quadrant, MEMORIZED)
    if reviewed.contamination is not None:
        flagged |= reviewed.contamination.is_tier("confirmed") | reviewed.contamination.is_tier("suspected")
    return flagged


def _less(mass: Measurement, share: float) -> Measurement:
    """A mass without rows of this share of all tokens. Where a row stands for others that were not drawn, only the row itself is
    taken away."""
    return Measurement(**{end: max(0.0, getattr(mass, end) - share) for end in ("value", "low", "high")})


def _items_spoken_of(reviewed: Reviewed, benchmarks: Sequence[Benchmark]) -> dict[str, int]:
    """How many items of each tier decisions speak of: those that are named wherever they stand, and those all of whose matches
    are false alarms or lie in rows that are decided."""
    contamination, counts = reviewed.contamination, {"confirmed": 0, "suspected": 0}
    if contamination is None or not any(one.standing == "in force" for one in reviewed.held):
        return counts
    matches, alarms = contamination.matches, alarms_of(contamination)
    settled = reviewed.dismissed | (reviewed.keep | reviewed.remove)[reviewed.match_sample]
    items: dict[Item, bool] = {}
    places = np.flatnonzero(alarms)
    named = zip(*(matches[column].take(places).to_pylist() for column in ("benchmark", "item_id")), strict=True)
    for item, done in zip(named, settled[places].tolist(), strict=True):
        items[item] = items.get(item, True) and done
    for one in reviewed.held:
        items |= dict.fromkeys(one.items, True)
    start = 0
    for benchmark in benchmarks:
        tiers = contamination.item_tier[start : start + benchmark.items.num_rows].tolist()
        start += benchmark.items.num_rows
        for name, tier in zip(benchmark.items["item_id"].to_pylist(), tiers, strict=True):
            if TIERS[tier] in counts and items.get((benchmark.name, name)):
                counts[TIERS[tier]] += 1
    return counts


def reasons_of(reviewed: Reviewed) -> NDArray[np.object_]:
    """Why each sample (N,) stays or goes by decision, in one sentence; empty where none says so."""
    words = np.full(len(reviewed.keep), "", dtype=object)
    for sample in np.flatnonzero(reviewed.keep | reviewed.remove).tolist():
        made = reviewed.held[reviewed.number[sample] - 1].made
        done = _REASON[made.decision]
        words[sample] = f"{done} by decision of {safe_inline(made.who, 80)}: {safe_inline(made.why, 200)}"
    return words


def settle(
    reviewed: Reviewed, weight: NDArray[np.float64], n_tokens: NDArray[np.int64], quadrant: NDArray[np.int8]
) -> Settled | None:
    """What became of each decision; `weight` (N,) is what the policy gives each sample once false alarms are taken away. None
    where no file was named."""
    file = reviewed.file
    if file is None:
        return None
    flagged = _flagged(reviewed, quadrant)
    idle = {"keep": (weight == 1) & ~flagged, "remove": (weight == 0) & ~flagged}
    decisions = [_facts(number, one, reviewed, file, idle, n_tokens) for number, one in enumerate(reviewed.held, 1)]
    return Settled(
        facts={"file": file.name, "sha256": file.sha256, "decisions": decisions},
        number=reviewed.number,
    )


def noted(verdict: Verdict, settled: Settled | None, measured: Mapping[str, Measurement]) -> Verdict:
    """The verdict with warnings of decisions that rot. It may be published, so that they name no row, no item and nobody."""
    said = [] if settled is None else [*_kept(measured), *_warnings(settled.facts["decisions"])]
    return replace(verdict, warnings=(*said, *verdict.warnings)) if said else verdict


def _kept(measured: Mapping[str, Measurement]) -> Iterator[str]:
    rows = int(measured[KEPT_ROWS].value) if KEPT_ROWS in measured else 0
    if rows:
        yield f"{plural(rows, 'row')} with a confirmed benchmark item {'stays' if rows == 1 else 'stay'} by decision"


def _warnings(decisions: Sequence[DecisionFacts]) -> Iterator[str]:
    for state, words in _NOTES.items():
        if count := sum(one["state"] == state for one in decisions):
            it, is_ = ("it", "is") if count == 1 else ("them", "are")
            does = "it has" if count == 1 else "they have"
            yield f"{plural(count, 'decision')} {is_} {words.format(does)} {it}"
    if soon := sum(one["ends_soon"] for one in decisions):
        yield f"notice: {plural(soon, 'decision')} {'ends' if soon == 1 else 'end'} within {NOTICE_DAYS} days"


def _facts(
    number: int,
    one: Held,
    reviewed: Reviewed,
    file: DecisionFile,
    idle: Mapping[str, Bool],
    n_tokens: NDArray[np.int64],
) -> DecisionFacts:
    made = one.made
    state, note = _state(one, idle)
    facts: DecisionFacts = {
        "number": number,
        "decision": made.decision,
        "rows": list(made.named_rows),
        "who": safe_inline(made.who, 80),
        "why": safe_inline(made.why, 2000),
        "until": made.until.isoformat(),
        "ends_soon": file.ends_soon(made),
        "state": state,
        "note": note,
        "covers": _covers(one, reviewed, n_tokens),
    }
    if made.id is not None:
        facts["id"] = made.id
    if made.text is not None:
        facts["text"] = made.text
    if made.batch is not None:
        facts["batch"] = made.batch
    if made.item is not None:
        facts["item"] = {
            "benchmark": made.item.benchmark,
            "ids": list(made.item.named),
            "sha256": made.item.sha256,
        }
    return facts


def _state(one: Held, idle: Mapping[str, Bool]) -> tuple[DecisionState, str]:
    """Whether a decision did anything, and in words what of it did not. What it says of a flagged row is something: that somebody
    looked. `idle` are the samples (N,) where a decision to keep or to remove does nothing."""
    if one.standing != "in force":
        return one.standing, one.note
    if one.made.decision != "false alarm" and idle[one.made.decision][one.samples].all():
        return "unused", one.note or "nothing was found there, and the policy does the same without it"
    return "used", one.note


def _covers(one: Held, reviewed: Reviewed, n_tokens: NDArray[np.int64]) -> DecisionCoverFacts:
    contamination = reviewed.contamination
    samples, matches = one.samples, len(one.matches)
    if one.made.decision == "false alarm":
        samples = np.unique(reviewed.match_sample[one.matches])
    elif contamination is not None and len(samples):
        inside: Bool = np.isin(reviewed.match_sample, samples)
        matches = int((inside & alarms_of(contamination) & ~reviewed.dismissed).sum())
    confirmed = 0 if contamination is None else int(contamination.is_tier("confirmed")[samples].sum())
    return {
        "rows": len(samples),
        "tokens": int(n_tokens[samples].sum()),
        "confirmed_rows": confirmed,
        "matches": matches,
    }
