"""Batch words: by what its rows were drawn, how a real run read them, which of its files were not read. No key is shown."""

from carto_audit.artifacts.batch_facts import DeliveryFacts
from carto_audit.artifacts.real_run_facts import RealRunFacts
from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.text.numbers import plural
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


def _named(delivery: DeliveryFacts) -> str:
    """The first files, each with its reason, and how many more."""
    first = [file for file in delivery["not_read"] if file["is_data"]][:_MOST_FILES]
    more = delivery["unread_files"] - len(first)
    said = [*(f"{file['name']} ({file['explanation']})" for file in first), *([f"{more:,} more"] if more else [])]
    return ", ".join(said)
