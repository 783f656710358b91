"""Batch words: how rows were drawn and read, what was not read, what a vendor's summary and people's decisions are worth."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from carto_audit.artifacts.batch_facts import AtDoseFacts, CrossBatchFacts, DeliveryFacts
from carto_audit.artifacts.decision_facts import used
from carto_audit.artifacts.real_run_facts import RealRunFacts
from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.artifacts.vendor_facts import VendorFacts, VendorRecomputeFacts, VendorTestFacts
from carto_audit.lenses.declared.facts import LensFacts
from carto_audit.text.numbers import number, percent, plural, times, whole_percent
from carto_audit.text.untrusted import safe_inline

OPERATING_MASSES = (0.025, 0.1)
"""Half and twice of what `default` allows, which the report tells of all that was measured."""

_MOST_FILES = 3
"""Named in one sentence."""


def sampling_words(facts: ReportFacts) -> str:
    """`drawn by a sampling key, commitment 5f2c…`, or that a vendor could rehearse the draw."""
    if "real_run" in facts:
        return "nothing was drawn: every row that the run trained on"
    if is_rehearsable(facts):
        return f"rehearsable: drawn by the public seed {facts['run']['seed']}"
    return f"drawn by a sampling key, commitment {_commitment(facts)}"


def is_rehearsable(facts: ReportFacts) -> bool:
    """Whether a seed alone decided, as in every audit from before there were keys."""
    return _commitment(facts) is None and "real_run" not in facts


def _commitment(facts: ReportFacts) -> str | None:
    sampling = facts["run"].get("sampling")
    return sampling["key_commitment"] if sampling else None


def run_sentences(run: RealRunFacts) -> list[str]:
    """What was trained, how much of the batch stands in the trace, and where the two losses of a row come from."""
    found, drift = run["identified"], run["drift"]
    ranks = f" on {plural(run['ranks'], 'rank')}" if run["ranks"] > 1 else ""
    cut = f", {found['truncated']:,} of them only as far as the run read them" if found["truncated"] else ""
    named = f" “{safe_inline(run['name'], 120)}”" if run["name"] else ""
    sentences = [
        f"A real run{named} of {plural(run['epochs'], 'epoch')} and {plural(run['steps'], 'step')}{ranks}: "
        f"{found['found']:,} of {plural(found['rows'], 'row')} stand in its trace{cut}.",
        f"Unseen is {run['unseen']}, learned is {run['learned']}; {drift['mean_nats']:.2f} nats per token that the run learned "
        f"in general are taken off, as {plural(drift['rows'], 'row')} tell: {drift['told_by']}.",
    ]
    for name, words in (("twins", "secrets that were never planted"), ("held_out", "rows that were held out")):
        one = run["twins"] if name == "twins" else run["held_out"]
        if one["above"] is not None:
            sentences.append(f"Of {one['measured']:,} {words}, {one['above']:,} lie above the line.")
    if not run["proved"]:
        sentences.append(
            "No planted secret of the policy's dose was held against the line, so nothing can be accepted."
        )
    return sentences


def reading_sentence(facts: ReportFacts) -> str:
    """What the verdict is about: `Read: prompt + completion of 350 rows.`"""
    batch = facts["batch"]
    part = (
        " The map is of what trainers learn of it." if batch.get("layout", {}).get("loss_on") == "completions" else ""
    )
    chosen = choice_words(facts)
    return f"Read: {safe_inline(batch['text_column'], 120)} of {plural(batch['rows'], 'row')}{chosen}.{part}"


def choice_words(facts: ReportFacts) -> str:
    """` of the configuration "en", split "train"`: what was read by choice. Empty where nothing was."""
    delivery = facts["batch"].get("delivery")
    chosen = delivery.get("chosen") if delivery else None
    if not chosen:
        return ""
    config, split = (
        safe_inline(name, 60) if name is not None else None for name in (chosen["config"], chosen["split"])
    )
    said = "the default configuration" if config is None else f'the configuration "{config}"'
    return f" of {said}" + ("" if split is None else f', split "{split}"')


def operating_sentence(facts: ReportFacts) -> str:
    """How often batches of known mass were rejected under rules like these; empty where that was not measured."""
    known = facts.get("operating")
    masses = [one for one in known["masses"] if one["planted"] in OPERATING_MASSES] if known else []
    if known is None or not masses:
        return ""
    said = [
        f"of {one['batches']:,} batches with {100 * one['planted']:g} % memorized tokens {one['rejected']:,} were rejected and "
        f"{one['accepted']:,} accepted"
        for one in masses
    ]
    how = f"each secret in {known['dose']} rows, about {known['tokens']:,} tokens in all"
    return f"Measured under rules like these ({how}): {'; '.join(said)}."


def unread_sentence(facts: ReportFacts) -> str:
    """`2 of 6 data files were not read: part-1.jsonl.7z (unknown format), .part-2.csv (hidden).` Empty where all were."""
    delivery = facts["batch"].get("delivery")
    if delivery is None or not delivery["unread_files"]:
        return ""
    unread, read = delivery["unread_files"], delivery["read_files"]
    return f"{unread:,} of {plural(unread + read, 'data file')} {'was' if unread == 1 else 'were'} not read: {_named(delivery)}."


def remote_line(facts: ReportFacts) -> dict[str, str]:
    """Where the batch was fetched from in one line, by the name of the line; nothing where local files were read."""
    remote = facts.get("remote")
    if remote is None:
        return {}
    given = safe_inline(remote["given"][0], 160) + (
        f" and {len(remote['given']) - 1:,} more" * bool(remote["given"][1:])
    )
    return {"fetched": f"{given}: {plural(remote['objects'], 'object')} of {remote['bytes']:,} bytes"}


def _named(delivery: DeliveryFacts) -> str:
    """The first files, each with its reason, and how many more."""
    first = [file for file in delivery["not_read"] if file["is_data"]][:_MOST_FILES]
    more = delivery["unread_files"] - len(first)
    said = [*(f"{file['name']} ({file['explanation']})" for file in first), *([f"{more:,} more"] if more else [])]
    return ", ".join(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One thing that was checked of a vendor's summary, in words, and whether it holds."""

    holds: bool
    words: str


def vendor_line(facts: ReportFacts) -> dict[str, str]:
    """The vendor's summary in one line, by the name of the line; nothing where none was given."""
    vendor = facts.get("vendor")
    if vendor is None:
        return {}
    wrong = [checked.words for checked in vendor_checks(vendor) if not checked.holds]
    if wrong:
        return {"vendor": f"the summary does not hold: {wrong[0]}"}
    return {"vendor": f"the summary holds in {plural(vendor['rows']['rows'], 'row')}; {power_words(vendor)}"}


def lens_lines(facts: ReportFacts) -> dict[str, str]:
    """Every lens in one line, by the name of the line."""
    return {f"lens {name}": lens_words(lens) for name, lens in facts.get("lenses", {}).items()}


def lens_words(lens: LensFacts) -> str:
    """What a lens says, and what was proved of its sight; or why it says nothing."""
    if lens["section"] is None:
        return f"failed: {lens['problem']}" if lens["problem"] else "failed"
    if not lens["power"]:
        return f"{lens['section']['headline']}; {lens_power(lens)}"
    least = min(one["at_least"] for one in lens["power"])
    return f"{lens['section']['headline']}; finds at least {whole_percent(least)} of what was planted"


def lens_power(lens: LensFacts) -> str:
    """How well a lens answered about what was planted among the rows, in words."""
    if not lens["power"]:
        return "how well it sees was not measured"
    found = ", ".join(
        f"{one['found']} of {one['planted']} planted {times(one['dose'])} (at least {whole_percent(one['at_least'])})"
        for one in lens["power"]
    )
    alarms = lens["false_alarms"]
    if alarms is None:
        return f"finds {found}"
    return f"finds {found}, and takes {alarms['found']} of {plural(alarms['planted'], 'look-alike')} for one of them"


def reuse_line(facts: ReportFacts) -> dict[str, str]:
    """What an earlier audit had searched for the same items, by the name of the line; nothing where it was all searched now."""
    reused, samples = facts["run"].get("reused_samples", 0), facts["batch"]["samples"]
    if not reused:
        return {}
    return {
        "reused": f"{reused:,} of {plural(samples, 'sample')} had been searched for the same items by an earlier audit"
    }


def power_words(vendor: VendorFacts) -> str:
    """With which chance a cheat would have been caught."""
    if not vendor["flagged"]:
        return "our audit flags none of the rows that both trained on, so there was no flag to hide"
    hidden = " / ".join(f"{100 * one['hidden_share']:.0f}" for one in vendor["power"])
    chances = " / ".join(_chance(one["chance"]) for one in vendor["power"])
    return f"hiding {hidden} % of the flags would have been caught with a chance of {chances}"


def vendor_checks(vendor: VendorFacts) -> list[Checked]:
    """What was checked of a vendor's summary, in words."""
    return list(_checks(vendor))


def _checks(vendor: VendorFacts) -> Iterator[Checked]:
    signature, rows = vendor["signature"], vendor["rows"]
    if signature["fingerprint"] is not None:
        yield Checked(
            holds=True,
            words=f"signed by the key that was named, whose fingerprint begins with {signature['fingerprint'][:16]}",
        )
    elif signature["problem"] is not None:
        yield Checked(holds=False, words=f"signature: {safe_inline(signature['problem'], 200)}")
    yield Checked(holds=not rows["foreign"], words=_row_words(vendor))
    yield Checked(
        holds=not rows["unproved"],
        words=f"{plural(rows['challenged'], 'row')} drawn by its root and our nonce: "
        f"{rows['challenged'] - rows['unproved']:,} stand where the root says",
    )
    yield from (Checked(holds=not test["failed"], words=_TESTS[test["name"]](test)) for test in vendor["tests"])
    again = vendor.get("recomputed")
    if again is not None and again["why_not"] is None:
        yield Checked(holds=again["draw_agrees"] is not False, words=_draw_words(again))


def _row_words(vendor: VendorFacts) -> str:
    rows = vendor["rows"]
    if not rows["foreign"]:
        same = "" if rows["same_batch"] else ", though its files are others"
        return f"all {plural(rows['rows'], 'row')} of the batch are those that the vendor committed to{same}"
    what = (
        "so it is of another batch" if 2 * rows["foreign"] > rows["rows"] else "which were exchanged, added or left out"
    )
    first = ", ".join(f"{row:,}" for row in rows["examples"][:3])
    named = f" (first: row {first})" if first else ""
    return f"{rows['foreign']:,} of {plural(rows['rows'], 'row')} are not what the vendor committed to{named}, {what}"


def _draw_words(again: VendorRecomputeFacts) -> str:
    if again["draw_agrees"]:
        return f"the vendor's draw, made again with his key, is the one of the summary; that took {number(again['seconds'], 0)} s"
    return "the vendor's draw, made again with his key, is another one than the summary tells of"


def _hidden(test: VendorTestFacts) -> str:
    return (
        f"of {plural(test['among'], 'row')} that our audit flags the vendor leaves {test['seen']:,} unflagged; "
        f"honest audits disagree on up to {whole_percent(test['honest'])}{_verdict(test)}"
    )


def _hidden_mass(test: VendorTestFacts) -> str:
    return (
        f"of {plural(test['among'], 'token')} in rows that our audit flags {test['seen']:,} are in rows that the vendor leaves "
        f"unflagged{_verdict(test)}"
    )


def _lowered(test: VendorTestFacts) -> str:
    return (
        f"of {plural(test['among'], 'row')} that our audit flags the vendor scores {test['seen']:,} lower, by more than honest "
        f"audits differ{_verdict(test)}"
    )


def _fallen(test: VendorTestFacts) -> str:
    return (
        f"of {plural(test['among'], 'row')} that our audit flags {test['seen']:,} are not near the top of the vendor's "
        f"scores{_verdict(test)}"
    )


def _left_out(test: VendorTestFacts) -> str:
    return (
        f"of {plural(test['among'], 'row')} that our audit flags the vendor did not train on {test['seen']:,}; "
        f"of all rows on {percent(test['honest'])}{_verdict(test)}"
    )


def _recomputed(test: VendorTestFacts) -> str:
    return (
        f"{test['among'] - test['seen']:,} of {test['among']:,} losses and draws that were repeated with the "
        f"vendor's seed and key are his{_verdict(test)}"
    )


_TESTS = {
    "hidden_flags": _hidden,
    "hidden_mass": _hidden_mass,
    "lowered_scores": _lowered,
    "fallen_ranks": _fallen,
    "left_out": _left_out,
    "recomputed_losses": _recomputed,
}


def _verdict(test: VendorTestFacts) -> str:
    if not test["failed"]:
        return ""
    return f", and at least {percent(test['at_least'])} is beyond all honesty (chance {_chance(test['chance'])})"


def _chance(chance: float) -> str:
    """A chance as a percentage, its ends in words."""
    if chance < 0.001:
        return "below 0.1 %"
    return "above 99.9 %" if chance > 0.999 else percent(chance)


def decision_line(facts: ReportFacts) -> dict[str, str]:
    """What people decided in one line, by the name of the line; nothing where no file of decisions was named."""
    decided = facts.get("decisions")
    if decided is None:
        return {}
    states = Counter(one["state"] for one in decided["decisions"])
    counted = ", ".join(
        f"{states[state]:,} {state}" for state in ("used", "unused", "stale", "expired") if states[state]
    )
    done = [
        f"{words.format(sum(one['covers'][unit] for one in used(decided, kind)))}"
        for kind, unit, words in _DONE
        if any(one["covers"][unit] for one in used(decided, kind))
    ]
    said = f"{plural(len(decided['decisions']), 'decision')} in {safe_inline(decided['file'], 80)}"
    return {"decisions": "; ".join(filter(None, (f"{said}: {counted}" if counted else said, ", ".join(done))))}


_DONE: tuple[tuple[str, Literal["rows", "matches"], str], ...] = (
    ("keep", "rows", "rows kept: {:,}"),
    ("remove", "rows", "rows removed: {:,}"),
    ("false alarm", "matches", "matches that mean nothing: {:,}"),
)


def copies_line(facts: ReportFacts) -> dict[str, str]:
    """What stands in earlier deliveries in one line, by the name of the line; nothing where no ledger was named."""
    found = facts.get("cross_batch")
    if found is None:
        return {}
    left_out = sum(found["not_compared"].values())
    others = f"; {left_out:,} could not be compared" if left_out else ""
    if not found["compared"]:
        return {"earlier deliveries": f"none to compare with{others}"}
    compared = plural(found["compared"], "earlier delivery", "earlier deliveries")
    if not found["rows"]:
        return {"earlier deliveries": f"no passage stands in {compared}{others}"}
    share = f"{plural(found['rows'], 'row')} with passages of {compared}, {percent(found['token_share'])} of the tokens"
    return {"earlier deliveries": f"{share}{_dose_words(found['at_dose'])}{others}"}


def _dose_words(at_dose: AtDoseFacts) -> str:
    if not at_dose["passages"]:
        return ""
    passages, deliveries = plural(at_dose["passages"], "passage"), at_dose["deliveries"]
    stand = "stands" if at_dose["passages"] == 1 else "stand"
    return f"; {passages} {stand} in {at_dose['dose']:,} or more rows over {deliveries:,} deliveries"


def copies_sentences(found: CrossBatchFacts) -> list[str]:
    """What was compared with earlier deliveries, what came of it, and what that does not show."""
    return list(_copies_sentences(found))


def _copies_sentences(found: CrossBatchFacts) -> Iterator[str]:
    at_dose, dose = found["at_dose"], found["at_dose"]["dose"]
    if found["rows"]:
        rows, share = plural(found["rows"], "row"), percent(found["token_share"])
        yield (
            f"Passages of earlier deliveries stand in {rows}: {share} of the tokens. Of the same vendor's they stand in "
            f"{found['own_rows']:,}: {percent(found['own_token_share'])}. The most frequent of them stands in "
            f"{found['most_rows']:,} rows of all deliveries together."
        )
    if at_dose["passages"]:
        yield (
            f"{plural(at_dose['passages'], 'passage')} of this delivery {'stands' if at_dose['passages'] == 1 else 'stand'} in "
            f"{dose:,} or more rows over {at_dose['deliveries']:,} deliveries, {plural(at_dose['rows'], 'row')} of them here: as "
            "often as a secret that the policy demands to be found."
        )
    if at_dose["split_passages"]:
        yield (
            f"{at_dose['split_passages']:,} of these reach that in no delivery alone, so no audit of a single delivery could "
            "have flagged them for their copies."
        )
    if found["boilerplate_passages"]:
        yield (
            f"Left out as boilerplate, because they are in very many rows of one delivery: "
            f"{plural(found['boilerplate_passages'], 'fingerprint')} of shared passages."
        )
    for why, count in found["not_compared"].items():
        yield f"{plural(count, 'accepted delivery', 'accepted deliveries')} could not be compared: {safe_inline(why, 80)}."
    rate = found["lowest_sampling_rate"]
    if rate < 1:
        yield (
            f"Not all passages of the largest delivery were kept: one of {found['guaranteed_words']} words that stands there is "
            f"found with a chance of {percent(rate)}, and the share of the tokens is at least what was found."
        )
