"""What to do next: the commands that may change a verdict, what of it each may change, and what it cannot. From facts alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from carto_audit.artifacts.audit_call import AUDIT_DIR, BENCHMARK, AuditCall, quoted
from carto_audit.artifacts.forecast import MEMORIZED, Outlook, Removal, before, holds, least_removal
from carto_audit.artifacts.report_facts import FindingFacts, ReportFacts
from carto_audit.cartography.quadrants import QUADRANTS
from carto_audit.policy.values import estimate_words, show_value
from carto_audit.report.narrative import decisive, limits

ONLY_AN_AUDIT = (
    "A forecast adds up this audit without the rows that go. "
    "In what is left others may stand out: only the next audit decides."
)
TO_FILL_IN = "Fill in what stands in capitals; files stand without their folders."

MOST_RULES = 20
"""Rules that the steps are about, worst first."""

LARGER_PROXY: Mapping[str, str] = {"nano": "small", "small": "base"}
_MOST_EPOCHS, _REPEATS, _MOST_REASONS = 1000, 3, 8

_MASSES = ("hotspot_memorized.", "noisy_outlier.", "memorized.")
_CONFIRMED = "contamination.confirmed_"
_POWER = ("detection.", "repeats.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A rule that a step may change. `forecast` says from what to what, and is empty where that cannot be computed."""

    rule: str
    forecast: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing to do: in words, and the command that does it, empty where none does."""

    words: str
    command: str = ""
    may_change: tuple[Change, ...] = ()
    cannot_change: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class NextSteps:
    """The steps in order, and what stands below them."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


def next_steps(facts: ReportFacts, call: AuditCall) -> NextSteps:
    """What leads on from an audit that was called so: the card of one that passed; else, for each rule that does not hold,
    what may move it, and the audit that decides."""
    found = decisive(facts)[:MOST_RULES]
    status = facts["verdict"]["status"]
    attach = Step(words="Attach the verdict to the data set's card.", command=_card(call))
    accepted = status in ("accepted", "accepted_with_warnings")
    if not found:
        look = Step(words="Read what could not be decided.", command=f"carto-audit report {quoted(call.out)} --open")
        return NextSteps(steps=(attach if accepted else look,))
    remedies = _after_a_run if "real_run" in facts else _remedies
    steps, notes = remedies(facts, call, found)
    return NextSteps(steps=((attach, *steps) if accepted else steps), notes=notes)


def _after_a_run(
    facts: ReportFacts, call: AuditCall, found: Sequence[FindingFacts]
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """After a real run, which no option repeats: what to remove, and what the next run needs."""
    steps, removed, blind = [*_advice(facts, found)], _removal(facts, found), [f for f in found if _blind(f)]
    if removed is not None:
        steps.append(_apply(facts, call, found, removed, _curated(call)))
    unproved = [f for f in blind if f["metric"].startswith("detection.")]
    if unproved or not facts["real_run"]["proved"]:
        words = (
            "Plant more secrets in the next run (plant --share), and read an early and the last checkpoint for --late."
        )
        steps.append(Step(words=words, may_change=tuple(Change(rule=f["rule"]) for f in unproved)))
    unasked = [f for f in blind if f["metric"].startswith("contamination.") and not call.benchmarks]
    if unasked:
        words = f"Score the run again with a benchmark: --benchmark {BENCHMARK}."
        steps.append(Step(words=words, may_change=tuple(Change(rule=f["rule"]) for f in unasked)))
    steps += _unknown(call, found, steps)
    return tuple(steps), tuple(_notes(facts, found, removed))


def _card(call: AuditCall) -> str:
    return f"carto-audit card {quoted(call.out)} --readme README.md"


def _remedies(
    facts: ReportFacts, call: AuditCall, found: Sequence[FindingFacts]
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    original, removed = call, _removal(facts, found)
    more, options, demands = _more_power(facts, found), _options(facts, found), _demands(call, found)
    steps = [*_advice(facts, found), *more]
    if removed is not None:
        folder = _curated(call)
        steps.append(_apply(facts, call, found, removed, folder))
        call = call.of_curated(folder)
    changed = {**options, **demands}
    moved = [f for f in found if _moved_by(f, changed)]
    asked = _words_of(changed, facts) if moved else "Audit what is left, called as before." if removed else ""
    asked_again = bool(asked or steps)
    if asked_again:
        again = Step(
            words=asked or "Audit the new delivery as before.",
            command=(call if removed or moved else _delivered(call)).ingest(**changed),
            may_change=tuple(Change(rule=f["rule"]) for f in moved),
            cannot_change=_others(found, moved) if moved and not removed else (),
        )
        steps.append(again)
    steps += _unknown(original, found, steps)
    notes = [*_notes(facts, found, removed), *([TO_FILL_IN] if call.named and asked_again else [])]
    return tuple(steps), tuple(notes)


def _others(found: Sequence[FindingFacts], moved: Sequence[FindingFacts]) -> tuple[str, ...]:
    """The rules that a step leaves as they are."""
    return tuple(f["rule"] for f in found if f not in moved)


def _unknown(call: AuditCall, found: Sequence[FindingFacts], steps: Sequence[Step]) -> list[Step]:
    """The rules that no step is about: someone has to look."""
    known = {change.rule for step in steps for change in step.may_change}
    rules = [f["rule"] for f in found if f["rule"] not in known]
    words = f"Read what the report says of {', '.join(rules)}: no command is known to change it."
    return [Step(words=words, command=f"carto-audit report {quoted(call.out)} --open")] if rules else []


# Removing rows


def _removal(facts: ReportFacts, found: Sequence[FindingFacts]) -> Removal | None:
    """The rows that would have to go, None where `apply` removes none or nothing would come of it."""
    if facts["policy"]["resolved"].get("never_drop", False):
        return None
    all_of_it = Removal.of(facts, MEMORIZED)
    moved = [f for f in found if f["outcome"] == "failed" and all_of_it.outlook(f["metric"])]
    return least_removal(moved, facts) if moved else None


def _apply(facts: ReportFacts, call: AuditCall, found: Sequence[FindingFacts], removed: Removal, folder: str) -> Step:
    advised = Removal.of(facts).quadrants
    besides = tuple(name for name in MEMORIZED if name in removed.quadrants - advised)
    moved = [f for f in found if f["outcome"] == "failed" and removed.outlook(f["metric"])]
    maybe = [f for f in found if f["metric"].startswith("duplicates.") and f["outcome"] == "failed"]
    changes = [Change(rule=f["rule"], forecast=_forecast(f, removed, facts)) for f in moved]
    what = [f"the {QUADRANTS[name].title.lower()}" for name in MEMORIZED if name in removed.quadrants]
    if any(held["rows"] for held in facts["contamination"]["by_quadrant"].values()) or not what:
        what.append("the rows that hold a confirmed benchmark item")
    return Step(
        words=f"Remove {_listed(what)}: {removed.tokens:,} of {facts['batch']['tokens']:,} tokens.",
        command=call.apply(besides, folder),
        may_change=(*changes, *(Change(rule=f["rule"]) for f in maybe)),
        cannot_change=_others(found, [*moved, *maybe]),
    )


def _listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _forecast(finding: FindingFacts, removed: Removal, facts: ReportFacts) -> str:
    """`from 11.8 % to 0.0 % (up to 4.8 %)`, and whether that is enough."""
    outlook = removed.outlook(finding["metric"])
    if outlook is None or finding["observed"] is None:
        return ""
    then = _then(finding, outlook, before(finding, facts))
    enough = "" if holds(finding, outlook, facts) else ", which is not enough"
    return f"from {limits(finding)[0]} to {then}{enough}"


def _then(finding: FindingFacts, outlook: Outlook, baseline: float) -> str:
    metric, worst = finding["metric"], outlook.worst - baseline
    if outlook.value is None:
        return f"at most {show_value(metric, worst)}" if worst else show_value(metric, worst)
    return estimate_words(metric, outlook.value - baseline, worst, "max")


def _curated(call: AuditCall) -> str:
    """Where the rows that stay are put: beside the audit."""
    if call.out == AUDIT_DIR:
        return "CURATED_DIR"
    out = PurePath(call.out)
    return str(out.with_name(f"{out.name.removesuffix('-audit') or 'batch'}-curated")) if out.name else "curated"


def _delivered(call: AuditCall) -> AuditCall:
    """The same audit of another delivery, which is yet to come."""
    return AuditCall(
        batch=("NEW_BATCH",), policy=call.policy, benchmarks=call.benchmarks, out="NEW_AUDIT_DIR", options=call.options
    )


# Seeing more


def _blind(finding: FindingFacts) -> bool:
    return finding["outcome"] in ("underpowered", "not_measured") and finding["metric"].startswith(_POWER)


def _few_secrets(finding: FindingFacts) -> bool:
    """Whether the share that was found is enough and only too few secrets prove it."""
    measured = finding.get("estimate")
    return finding["bound"] == "min" and measured is not None and measured >= finding["limit"]


def _more_power(facts: ReportFacts, found: Sequence[FindingFacts]) -> list[Step]:
    """More text, where the batch has no room for as many secrets as a proof rests on."""
    missing = facts["detection"].get("missing_tokens")
    moved = [f for f in found if _blind(f) and f["metric"].startswith("detection.")]
    if not missing or not moved:
        return []
    return [
        Step(
            words=f"Audit more text at once: about {missing:,} more tokens have room for as many secrets as a proof rests on.",
            may_change=tuple(Change(rule=f["rule"]) for f in moved),
            cannot_change=_others(found, moved),
        )
    ]


def _options(facts: ReportFacts, found: Sequence[FindingFacts]) -> dict[str, str]:
    """Options that train more: folds, epochs and repeats where rules on detection were blind, tokens where too few were drawn."""
    run, blind = facts["run"], [f for f in found if _blind(f)]
    changed: dict[str, str] = {}
    if any(f["metric"] == "repeats.agreement" for f in blind):
        changed["repeats"] = str(_REPEATS * max(1, run["repeats"]))
    enough_text = not facts["detection"].get("missing_tokens")
    if any(enough_text or not _few_secrets(f) for f in blind if f["metric"].startswith("detection.")):
        changed |= {"folds": "2"} if run["folds"] == 1 else {"epochs": str(min(_MOST_EPOCHS, 2 * run["epochs"]))}
    undrawn = any(f["metric"] == "batch.undrawn_token_share" for f in found)
    if run["max_tokens"] and (undrawn or "epochs" in changed):
        changed["max_tokens"] = str(2 * run["max_tokens"])
    return changed


def _demands(call: AuditCall, found: Sequence[FindingFacts]) -> dict[str, str]:
    """What was not given and is needed to measure: a benchmark, a baseline, a red team's folder."""
    blind = [f for f in found if f["outcome"] == "not_measured"]
    asked = {}
    if any(f["metric"].startswith("contamination.") for f in blind) and not call.benchmarks:
        asked["benchmark"] = BENCHMARK
    if any(f["bound"] == "max_increase" for f in blind) and "baseline" not in call.options:
        asked["baseline"] = "BASELINE_AUDIT_DIR"
    if any(f["metric"].startswith("redteam.") for f in blind) and "redteam" not in call.options:
        asked["redteam"] = "REDTEAM_DIR"
    return asked


_MOVES: Mapping[str, Callable[[FindingFacts], bool]] = {
    "folds": lambda f: _blind(f) and f["metric"].startswith("detection."),
    "epochs": lambda f: _blind(f) and f["metric"].startswith("detection."),
    "repeats": _blind,
    "max_tokens": lambda f: f["metric"] == "batch.undrawn_token_share" or _blind(f),
    "benchmark": lambda f: f["outcome"] == "not_measured" and f["metric"].startswith("contamination."),
    "baseline": lambda f: f["outcome"] == "not_measured" and f["bound"] == "max_increase",
    "redteam": lambda f: f["outcome"] == "not_measured" and f["metric"].startswith("redteam."),
}
"""Which rules another value of an option may change."""


def _moved_by(finding: FindingFacts, changed: Mapping[str, str]) -> bool:
    return any(_MOVES[name](finding) for name in changed)


def _words_of(changed: Mapping[str, str], facts: ReportFacts) -> str:
    """Why the audit is repeated with these options, and what else might do."""
    needed = {"benchmark": "a benchmark", "baseline": "the last accepted audit", "redteam": "what a red team measured"}
    missing = [words for name, words in needed.items() if name in changed]
    trained = [name for name in changed if name not in needed]
    larger = LARGER_PROXY.get(facts["run"]["proxy"]["name"])
    others = [f"--proxy {larger}"] * bool(larger) + ["--repeats 3"] * (facts["run"]["repeats"] == 1)
    words = [f"Audit again with {_listed(missing)}."] if missing else []
    words += ["Audit again and train more."] if trained else []
    words += [f"{' or '.join(others)} may help too."] if "epochs" in trained and others else []
    return " ".join(words)


# What only the delivery or the policy can change

_ADVICE: Mapping[str, str] = {
    "duplicates.": "Ask for a delivery without copies, or keep one row of each cluster_id of scores.parquet.",
    "contamination.suspected": "Look at the suspected items in matches.parquet: remove the rows, or waive the rule.",
    "contamination.min_detectability": "Map the benchmark's columns to what names its items; short ones cannot be found.",
    "batch.unread_file_share": "Ask for all data as plain files in a known format, or give a chosen split by its files.",
    "batch.unread_text_share": "Name all columns that hold text with --text-column A,B, and ask for rows that are valid.",
    "batch.skipped_row_share": "Look at the rows that were skipped",
    "batch.unmapped_token_share": "Split samples of more than a megabyte into documents, and ask for rows that are valid.",
    "batch.rows": "Ask for a delivery of another size.",
    "batch.samples": "Ask for a delivery of another size.",
    "batch.tokens": "Ask for a delivery of another size.",
    "boilerplate.": "Cut the frequent text out of the samples: the report quotes it under Kinship.",
    "kinship.": "Ask for a delivery without near copies: their groups were too large for one side of the split.",
    "proxy.capacity_ratio": "Choose a proxy of another size with --proxy: the capacity ratio should lie from 0.5 to 10.",
    "forget.": "Let the policy choose another memorization score: the forget score says little about this batch.",
    "redteam.": "Let the policy treat the batch otherwise: carto-audit redteam compares what can be done.",
    "stable_easy.": "Ask for another delivery: no command changes how hard its text is.",
    "ambiguous_hard.": "Ask for another delivery: no command changes how hard its text is.",
}
"""By the beginning of a metric's name: what may move it where no command of ours does."""


def _advice(facts: ReportFacts, found: Sequence[FindingFacts]) -> Iterator[Step]:
    said: dict[str, list[FindingFacts]] = {}
    for finding in found:
        start = next((start for start in _ADVICE if finding["metric"].startswith(start)), None)
        if start is not None and not any(moves(finding) for name, moves in _MOVES.items() if name in _GIVEN):
            said.setdefault(_ADVICE[start], []).append(finding)
    for words, moved in said.items():
        more = _skipped(facts) if moved[0]["metric"] == "batch.skipped_row_share" else ""
        changes = tuple(Change(rule=f["rule"], forecast=_without_copies(f)) for f in moved)
        yield Step(words=words + more, may_change=changes, cannot_change=_others(found, moved))


_GIVEN = ("benchmark", "baseline", "redteam")


def _skipped(facts: ReportFacts) -> str:
    reasons = [f"{entry['rows']:,} {entry['reason']}" for entry in facts["batch"]["skipped"][:_MOST_REASONS]]
    return f": {', '.join(reasons)}." if reasons else "."


def _without_copies(finding: FindingFacts) -> str:
    """One row of each cluster leaves no copy."""
    if not finding["metric"].startswith("duplicates.") or finding["bound"] != "max" or finding["observed"] is None:
        return ""
    return f"from {limits(finding)[0]} to {show_value(finding['metric'], 0.0)}"


# What stands below the steps


def _notes(facts: ReportFacts, found: Sequence[FindingFacts], removed: Removal | None) -> Iterator[str]:
    masses = [f for f in found if f["outcome"] == "failed" and f["metric"].startswith((*_MASSES, _CONFIRMED))]
    light = [
        QUADRANTS[name].title.lower()
        for name, what in facts["policy"]["resolved"].get("interventions", {}).items()
        if what.get("action") == "downweight" and name in QUADRANTS
    ]
    if masses and light:
        yield f"Down-weighting {_listed(light)} changes no share: it counts tokens, whatever they weigh."
    stuck = [f for f in masses if not f["metric"].startswith(_CONFIRMED) and not _moves(f, facts)]
    if stuck and not facts["policy"]["resolved"].get("never_drop", False):
        yield (
            f"Nothing that is removed changes {', '.join(f['rule'] for f in stuck)}: the policy's threshold flags the same share "
            "of every batch."
        )
    if masses and facts["policy"]["resolved"].get("never_drop", False):
        yield f"The policy never drops a row, so that only another delivery can change {', '.join(f['rule'] for f in masses)}."
    if removed is not None:
        yield ONLY_AN_AUDIT


def _moves(finding: FindingFacts, facts: ReportFacts) -> bool:
    return Removal.of(facts, MEMORIZED).outlook(finding["metric"]) is not None
