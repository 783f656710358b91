"""Narrative: what the facts mean in plain words, for the page and the terminal alike. They claim no more than was measured."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from carto_audit.artifacts.evidence_facts import Doses, FoundFacts, ItemRecallFacts, Kinds, PowerFacts, SweepFacts
from carto_audit.artifacts.report_facts import BLIND, FindingFacts, ReportFacts
from carto_audit.policy.metrics import Measurement
from carto_audit.policy.values import interval_words, observed_and_limit
from carto_audit.report.batch_words import operating_sentence, reading_sentence, unread_sentence
from carto_audit.text.numbers import number, percent, plural, times
from carto_audit.text.redaction import MASKED

STATUS_WORDS: Mapping[str, str] = {
    "accepted": "Accepted",
    "accepted_with_warnings": "Accepted with warnings",
    "rejected": "Rejected",
    "inconclusive": "Inconclusive",
}
DECISIVE = ("failed", *BLIND)
OUTCOME_WORDS: Mapping[str, str] = {
    "passed": "passed",
    "failed": "failed",
    "not_measured": "not measured",
    "underpowered": "too little power",
    "unread": "not everything was read",
    "waived": "waived",
}

EXCERPT_WORDS: Mapping[str, str] = {
    "redacted": f"{MASKED} Every number and code around a memorized passage is masked too.",
    "full": "Nothing is masked in these excerpts: do not publish this page.",
    "none": "This page was made without excerpts.",
}
"""What a page says of its excerpts, by how they were made."""

SEEN_WELL = 0.9
"""AUC from which a dose counts as detected; the words for less are in `auc_words`."""
ENOUGH_PROVED = 0.75
"""Of the secrets that the policy asks about, what share must be found for what is not flagged to be worth something."""

MOST_CAPACITY = 10
"""The capacity ratio beyond which a proxy stores little of what it reads."""

LEAST_DOUBT = 0.01
"""Of the tokens: less that was not looked at raises no doubt."""

_OUT_OF_SIGHT = {
    "batch.unmapped_token_share": "lie in samples that are compared but not mapped",
    "batch.undrawn_token_share": "had no chance to be drawn",
    "kinship.severed_token_share": "lie in passages that both proxies read, where no memory can be seen",
    "boilerplate.token_share": "are so frequent that they are learned everywhere, where no memory can be seen",
}

STABLE = 0.8
"""Agreement from which a set of flagged samples is called stable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KindWords:
    """How one kind of planted secret is called, in a table and in a sentence, and what it is."""

    title: str
    plural: str
    meaning: str


SCORE_WORDS: Mapping[str, str] = {
    "memorized": "memorized share of a passage",
    "memorized_span_share": "memorized share of one window",
    "memorized_share": "memorized share of a whole sample",
    "forget_score": "forget events, as the policy sets ε",
    "forget_absolute": "forget events, one loss level for all",
    "forget_relative": "forget events, own lowest loss plus a margin",
    "forget_held_out": "forget events, level of unseen text",
    "lt_iqr": "spread of the loss trace (LT-IQR)",
    "drop": "drop of the loss in training",
    "learn_time": "epoch at which it is learned",
    "rebound": "largest rise of the loss",
    "cumulative_loss": "sum of the losses over all epochs",
    "low_final_loss": "low loss at the end",
    "near_duplicate_count": "number of near copies",
    "shared_run_count": "samples that share a run of words",
    "mosaic_count": "number of copies, near ones counting less",
}
"""Every score and published statistic, in words; a policy may choose the first four as the map's axis."""

KIND_WORDS: Mapping[str, KindWords] = {
    "random": KindWords(
        title="Random secret", plural="random secrets", meaning="an invented name with twelve random digits"
    ),
    "rare_suffix": KindWords(
        title="Rare ending",
        plural="texts with a rare ending",
        meaning="the beginning of a sample, continued with rare words of the batch",
    ),
    "natural": KindWords(
        title="Natural passage",
        plural="natural passages",
        meaning="a passage of the batch itself; planted once it would be ordinary text",
    ),
    "hex": KindWords(
        title="Hexadecimal key", plural="hexadecimal keys", meaning="two random numbers of sixteen digits"
    ),
    "base64": KindWords(title="Base64 key", plural="base64 keys", meaning="a random key of 32 characters"),
    "foreign": KindWords(
        title="Foreign script",
        plural="words in a foreign script",
        meaning="invented words in a script that the batch hardly uses",
    ),
    "code": KindWords(
        title="Line of code", plural="lines of code", meaning="a line of a program with invented names and values"
    ),
}
CHARTED_KINDS = ("random", "rare_suffix", "natural")
"""Kinds that the picture of detection shows, so that its lines can be told apart; the table has all."""

FORM_WORDS: Mapping[str, str] = {"alone": "standing alone", "embedded": "inside other text"}


@dataclass(frozen=True, kw_only=True, slots=True)
class RecallWords:
    """How one kind of recall is called, and what it is."""

    title: str
    meaning: str


RECALL_WORDS: Mapping[str, RecallWords] = {
    "recite": RecallWords(
        title="Recited",
        meaning="the passage occurs more than five times, so a model learns it by heart; removing copies is the remedy",
    ),
    "reconstruct": RecallWords(
        title="Reconstructed",
        meaning="a template that even a model that never saw it nearly knows, such as a form or a list; seldom a secret",
    ),
    "recollect": RecallWords(
        title="Recollected",
        meaning="rare and impossible to guess, yet memorized: look for secrets here first",
    ),
}


def words(name: str) -> str:
    """A name of the program as words."""
    return name.replace("_", " ")


def score_words(score: str) -> str:
    """What a score or statistic is called."""
    return SCORE_WORDS.get(score, words(score))


def by_dose(doses: Doses) -> list[tuple[int, PowerFacts]]:
    """The powers of one kind and form by rising dose; dose 0 is never planted."""
    return sorted(((int(dose), cell) for dose, cell in doses.items()), key=lambda item: item[0])


def auc_words(auc: float) -> str:
    """What an AUC amounts to, in a word."""
    return "detected" if auc >= SEEN_WELL else "partly" if auc >= 0.75 else "weak" if auc >= 0.6 else "chance"


def outcome_words(finding: FindingFacts) -> str:
    """What became of a rule: `rejects`, `warns`, `passed`, `not measured`, `too little power`, `waived`."""
    if finding["outcome"] == "failed":
        return "warns" if finding["severity"] == "warn" else "rejects"
    return OUTCOME_WORDS.get(finding["outcome"], words(finding["outcome"]))


def limits(finding: FindingFacts) -> tuple[str, str]:
    """What a rule observed and what it allows: `11.2 % (up to 12.7 %)` and `at most 5.0 %`."""
    seen = finding["metric"], finding["observed"], finding["bound"], finding["limit"]
    return observed_and_limit(*seen, finding.get("estimate"))


def finding_words(finding: FindingFacts) -> str:
    """Observed against limit, as a rule is read: `11.2 % (up to 12.7 %), at most 5.0 %`."""
    return ", ".join(limits(finding))


def interval_note(finding: FindingFacts, facts: ReportFacts) -> str:
    """Why the number that a rule was judged on is not the one on the map; empty where it is."""
    measured, interval = facts["metrics"].get(finding["metric"]), facts["metric_intervals"].get(finding["metric"])
    if measured is None or interval is None or finding["observed"] in (None, measured):
        return ""
    return interval_words(finding["metric"], Measurement(value=measured, low=interval[0], high=interval[1]))


def decisive(facts: ReportFacts) -> list[FindingFacts]:
    """The findings that made the verdict, worst first; empty when every rule holds."""
    order = {name: rank for rank, name in enumerate((*BLIND, "failed"))}
    chosen = [f for f in facts["findings"] if f["outcome"] in DECISIVE]
    return sorted(chosen, key=lambda f: (f["severity"] != "reject", order[f["outcome"]]))


def verdict_sentence(facts: ReportFacts) -> str:
    """What the verdict means and what it is about, in words that claim no more than was measured."""
    return f"{_verdict_words(facts)} {reading_sentence(facts)}"


def _verdict_words(facts: ReportFacts) -> str:
    findings = facts["findings"]
    failed = sum(f["severity"] == "reject" for f in decisive(facts))
    policy = f"the policy “{facts['policy']['name']}”"
    match facts["verdict"]["status"]:
        case "accepted":
            return (
                f"All {len(findings)} rules of {policy} hold." if len(findings) > 1 else f"The rule of {policy} holds."
            )
        case "accepted_with_warnings":
            return f"No rule of {policy} rejects the batch; {plural(len(decisive(facts)), 'rule')} to look at."
        case "rejected":
            return f"{plural(failed, 'rule')} of {policy} {'rejects' if failed == 1 else 'reject'} the batch."
        case _:
            outright = sum(f["severity"] == "reject" and f["outcome"] == "failed" for f in findings)
            verb = "rejects" if outright == 1 else "reject"
            also = (
                f" {plural(outright, 'rule')} of {policy} {verb} the batch whatever that would have shown."
                if outright
                else ""
            )
            blind = {f["outcome"] for f in findings} & set(BLIND)
            why = "Not everything was read" if blind == {"unread"} else "Too little could be measured to decide"
            return f"{why}. This is not a pass.{also}"


def doubts(facts: ReportFacts) -> list[str]:
    """What speaks against taking the verdict at its word, whatever it is: each in one sentence with its figure."""
    metrics, ratio, proved = facts["metrics"], facts["detection"]["capacity_ratio"], proof(facts)
    said = [unread] if (unread := unread_sentence(facts)) else []
    if proved is None:
        said.append("No secret of this audit's own could be judged: nobody knows what it would have found.")
    elif proved["at_least"] < ENOUGH_PROVED:
        said.append(f"The line {_power_line(facts)}: more is not proved of what the policy asks about.")
    if ratio is not None and ratio > MOST_CAPACITY:
        said.append(
            f"The proxy is small for this batch (capacity ratio {number(ratio)}): it has room for little but copies."
        )
    for name, words in _OUT_OF_SIGHT.items():
        share = metrics.get(name) or 0.0
        if share > LEAST_DOUBT:
            said.append(f"{percent(share)} of the tokens {words}.")
    return said


def overview(facts: ReportFacts) -> dict[str, str]:
    """Detection, contamination and duplicates in one line each, for the first screen of the page and the terminal."""
    return {"detection": _power_line(facts), "contamination": _match_line(facts), "duplicates": _copy_line(facts)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Weakest:
    """The kind and form of secret that the score in use sees worst at one dose."""

    dose: int
    what: str
    auc: float
    low: float | None
    high: float | None
    secrets: int


def weakest_by_dose(facts: ReportFacts) -> list[Weakest]:
    """What the score in use sees worst, by rising dose; an audit is as good as that."""
    found: dict[int, Weakest] = {}
    for kind, form, dose, auc, cell in _measured(facts["detection"]["scores"].get(facts["map"]["score"], {})):
        if dose > 0 and (dose not in found or auc < found[dose].auc):
            low, high = cell["ci"] or (None, None)
            name = KIND_WORDS[kind].plural if kind in KIND_WORDS else words(kind)
            what = f"{name} {FORM_WORDS.get(form, words(form))}"
            found[dose] = Weakest(dose=dose, what=what, auc=auc, low=low, high=high, secrets=cell["secrets"])
    return [found[dose] for dose in sorted(found)]


def _measured(kinds: Kinds) -> Iterator[tuple[str, str, int, float, PowerFacts]]:
    for kind, forms in kinds.items():
        for form, doses in forms.items():
            yield from (
                (kind, form, dose, auc, cell) for dose, cell in by_dose(doses) if (auc := cell["auc"]) is not None
            )


def proof(facts: ReportFacts) -> FoundFacts | None:
    """What was found of the secrets that the policy asks about; None where none could be planted."""
    detection = facts["detection"]
    return next((one for one in detection.get("found", []) if one["dose"] == detection.get("demanded_dose")), None)


def found_words(one: FoundFacts) -> str:
    """What was found of the secrets of one dose: `40 of 42 secrets planted 4 times`."""
    return f"{one['found']:,} of {one['secrets']:,} secrets planted {times(one['dose'])}"


def at_least(one: FoundFacts) -> str:
    """What share of such secrets is found in truth, at least: never rounded up."""
    return f"{math.floor(100 * one['at_least']):.0f} %"


def _power_line(facts: ReportFacts, confidence: str = "") -> str:
    proved, alarms = proof(facts), facts["detection"].get("false_alarm_share")
    if proved is None:
        return "not measured: no planted secret could be judged by the score in use"
    ordinary = f" and {percent(alarms)} of ordinary text" if alarms is not None else ""
    return f"flags {found_words(proved)} (at least {at_least(proved)}{confidence}){ordinary}"


def _match_line(facts: ReportFacts) -> str:
    benchmarks = facts["contamination"]["benchmarks"]
    if not benchmarks:
        return "not checked: no benchmark was given"
    confirmed, suspected, known = (
        sum(benchmark[key] for benchmark in benchmarks)
        for key in ("confirmed_items", "suspected_items", "detectable_items")
    )
    where = plural(len(benchmarks), "benchmark")
    return f"{confirmed:,} confirmed and {suspected:,} suspected of {known:,} detectable items in {where}"


def _copy_line(facts: ReportFacts) -> str:
    found = facts["duplicates"]
    copies = f"{found['exact_rows']:,} exact and {found['near_rows']:,} near copies"
    return f"{copies}, {percent(found['token_share'])} of the tokens"


def detection_sentences(facts: ReportFacts) -> list[str]:
    """What the planted secrets prove about this audit, and what they do not."""
    proved, detection = proof(facts), facts["detection"]
    if proved is None:
        return []
    sentences = [
        f"The line {_power_line(facts, ', with 95 % confidence')}. "
        "It was set by one half of these secrets and judged by the other.",
    ]
    others = [one for one in detection.get("found", []) if one["dose"] != proved["dose"]]
    if others:
        counts = ", ".join(f"{one['found']:,} of {one['secrets']:,} planted {times(one['dose'])}" for one in others)
        sentences.append(f"Above it lie also {counts}.")
    rarer = [one for one in others if one["dose"] < proved["dose"] and one["found"] < SEEN_WELL * one["secrets"]]
    if rarer:
        sentences.append(
            f"A secret that occurs only {times(rarer[-1]['dose'])} can go undetected: no verdict rules it out."
        )
    if proved["at_least"] < ENOUGH_PROVED:
        sentences.append(
            "Text like that may be in this batch and not among the flagged samples: treat what is flagged as a lower bound."
        )
    missing = detection.get("missing_tokens")
    if missing:
        sentences.append(f"The batch lacks about {missing:,} tokens for as many secrets as a proof should rest on.")
    return [*sentences, *filter(None, [operating_sentence(facts)])]


def item_sentences(testimony: ItemRecallFacts | None) -> list[str]:
    """What the proxies show about the items that were found, and what they cannot show; empty where there are none."""
    if testimony is None:
        return []
    heard = testimony["items"]
    silent = [
        f"{plural(count, 'item')} {'was' if count == 1 else 'were'} not asked about: {reason}"
        for reason, count in testimony["silent"].items()
    ]
    sentences = []
    if heard:
        sentences.append(
            f"Two proxies were asked about {plural(heard, 'item')}: one was trained on rows with the item, the other never "
            "read it."
        )
        gains = [
            f"its {part} by {number(unseen - seen)}"
            for part, seen, unseen in (
                ("question", testimony["loss_in_question"], testimony["loss_out_question"]),
                ("answer", testimony["loss_in_answer"], testimony["loss_out_answer"]),
            )
            if seen is not None and unseen is not None
        ]
        if gains:
            sentences.append(f"Having read an item lowers the loss of {' and that of '.join(gains)} nats per token.")
    sentences += [f"{reason}." for reason in silent]
    return [
        *sentences,
        "This supports a match and decides nothing. A small proxy that read an item once among much other text may not "
        "recall it, so a low figure proves nothing; and the thresholds published for these tests are for large models.",
    ]


def forgetting_sentence(sweep: list[SweepFacts]) -> str:
    """How far forget events depend on the margin that defines them; empty where there are none to speak of."""
    known = [step["agreement"] for step in sweep if step["agreement"] is not None]
    if not known:
        return ""
    least = min(known)
    if least >= STABLE:
        return f"Forget events are stable here: from each margin to the next at least {percent(least)} of the samples stay."
    return (
        f"Forget events are not stable here: from one margin to the next as little as {percent(least)} of the samples that "
        "forget are the same, so such a score says more about the margin than about the text."
    )
