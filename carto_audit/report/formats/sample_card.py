"""Sample card: one row of an audit on a screen: where it lies, what was memorized, losses, copies, matches, the decision."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.text import Text

from carto_audit.artifacts.audit_folder import AuditFolder
from carto_audit.artifacts.decision_facts import DecisionFacts, told
from carto_audit.artifacts.evidence_facts import Axis, ExcerptFacts
from carto_audit.artifacts.report_facts import ReportFacts
from carto_audit.cartography.quadrants import QUADRANTS
from carto_audit.report.formats.terminal import cell, empty_table, tame
from carto_audit.runtime.errors import UsageError
from carto_audit.text.numbers import number, plural, times
from carto_audit.text.untrusted import safe_inline

ROW = "row:"
"""In front of a number that is a row's and no id."""

MOST_SHOWN = 12
"""Copies and matches that are listed."""

DIGITS, USUAL_DAYS, MOST_ITEMS = 32, 90, 3
"""Of a digest in a decision, until when one holds unless it says otherwise, and for how many items lines are prepared."""

_BLOCKS = "▁▂▃▄▅▆▇█"
_LOSSES = {"train": "while training", "loss_in": "seen", "loss_out": "unseen"}


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleCard:
    """What an audit knows of one sample: its row of `scores.parquet`, its losses over the epochs in nats per token, the rows of
    its copies, its matches, what the report quotes of it, None where it quotes nothing, and the decision that it follows."""

    scores: Mapping[str, Any]
    losses: Mapping[str, Sequence[float | None]]
    copies: Sequence[int]
    matches: Sequence[Mapping[str, Any]]
    excerpt: ExcerptFacts | None
    decision: DecisionFacts | None


def find_sample(folder: AuditFolder, name: str) -> SampleCard:
    """The sample of an id, or of `row:N`, counted from 0. Raises UsageError where there is none or several, AuditError for files
    that are no audit's."""
    try:
        table = folder.scores()
        place = _place(folder, table, name)
        scores = table.slice(place, 1).to_pylist()[0]
        cluster = table.filter(pc.equal(table["cluster_id"], scores["cluster_id"]))["row"].to_pylist()
        row = int(scores["row"])
        trace = folder.table("trace.parquet").slice(place, 1).to_pylist()[0]
        matches = folder.matches()
        found = [] if matches is None else matches.filter(pc.equal(matches["row"], row)).to_pylist()
        excerpts = (one["excerpt"] for one in folder.report["riskiest"] if one["row"] == row)
        decided = folder.report.get("decisions", {"decisions": []})["decisions"]
        return SampleCard(
            scores=scores,
            losses={name: list(trace[name] or []) for name in _LOSSES},
            copies=[other for other in cluster if other != row],
            matches=found,
            excerpt=next(excerpts, None) if folder.report["excerpts"] != "none" else None,
            decision=next((one for one in decided if one["number"] == scores.get("decision")), None),
        )
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise folder.not_scores(error) from error


def _place(folder: AuditFolder, table: pa.Table, name: str) -> int:
    """The number of the sample among those of the audit."""
    if name.startswith(ROW) and name.removeprefix(ROW).isdecimal():
        wanted = int(name.removeprefix(ROW))
        rows: list[int] = table["row"].to_pylist()
        if wanted in rows:
            return rows.index(wanted)
        raise UsageError(f"{folder.shown('scores.parquet')}: no row {wanted:,} was audited; rows are counted from 0")
    ids: list[str] = table["sample_id"].to_pylist()
    if (count := ids.count(name)) == 1:
        return ids.index(name)
    shown = safe_inline(name, 80)
    if count:
        first = table["row"].to_pylist()[ids.index(name)]
        raise UsageError(f'{plural(count, "sample")} have the id "{shown}"; name one by its row, as in {ROW}{first}')
    raise UsageError(f'no sample has the id "{shown}"; {ROW}N names the N-th row, counted from 0')


def render_sample(card: SampleCard, folder: AuditFolder, console: Console) -> None:
    """Prints a card."""
    scores, thresholds = card.scores, folder.report["map"]["thresholds"]
    title = QUADRANTS[scores["quadrant"]].title.lower() if scores["quadrant"] in QUADRANTS else "not on the map"
    head = Text(f"Row {scores['row']:,}", style="bold").append(
        f"  {tame(str(scores['sample_id']), 80)}: {title}", style="not bold default"
    )
    console.print(head)
    table = empty_table("", "", header=False)
    for name, said in _lines(card, thresholds):
        table.add_row(cell(name, "dim"), cell(said, limit=600))
    if card.matches:
        table.add_row("", "")
        for match in card.matches[:MOST_SHOWN]:
            table.add_row(cell("Item", "dim"), cell(_match(match), limit=400))
        if len(card.matches) > MOST_SHOWN:
            table.add_row("", cell(f"and {len(card.matches) - MOST_SHOWN:,} more in matches.parquet"))
    console.print(table)
    for line in to_decide(card, folder.report):
        console.print(Text(line), soft_wrap=True)


def _lines(card: SampleCard, thresholds: Mapping[Axis, float | None]) -> Iterator[tuple[str, str]]:
    scores = card.scores
    action = scores["action"] + (f" × {scores['weight']:g}" if scores["action"] not in ("keep", "remove") else "")
    yield "Decision", f"{action}: {scores['reasons']}"
    if card.decision is not None:
        yield "Decided", f"number {card.decision['number']:,}: {told(card.decision)}"
    if scores["quadrant"] is not None:
        yield "Difficulty", f"{number(scores['difficulty'], 2)}, line {number(thresholds['difficulty'], 2)}"
        yield "Memorization", f"{number(scores['memorization'], 2)}, line {number(thresholds['memorization'], 2)}"
    if scores["span_start"] is not None:
        yield "Passage", _passage(scores)
    if card.excerpt is not None:
        yield "Text", f"{card.excerpt['before']}[{card.excerpt['span']}]{card.excerpt['after']}"
    for name, words in _LOSSES.items():
        if known := [value for value in card.losses[name] if value is not None and math.isfinite(value)]:
            yield f"Loss, {words}", f"{sparkline(known)} {known[-1]:.2f} nats per token"
    yield "Tokens", f"{scores['n_tokens']:,}"
    if card.copies:
        rows = ", ".join(f"{row:,}" for row in card.copies[:MOST_SHOWN])
        more = f" and {len(card.copies) - MOST_SHOWN:,} more" if len(card.copies) > MOST_SHOWN else ""
        yield "Copies", f"{plural(len(card.copies), 'other row')} of the same cluster: {rows}{more}"


def _passage(scores: Mapping[str, Any]) -> str:
    """Where the memorized window stands, and how often; how strongly it is memorized the reason of the decision says."""
    occurs = f", occurs {times(scores['copies'])}" if scores["copies"] is not None else ""
    return f"characters {scores['span_start']:,} to {scores['span_end']:,}{occurs}"


def _match(match: Mapping[str, Any]) -> str:
    where = f" in {match['segment']}" if match["segment"] else ""
    return (
        f"{match['benchmark']} {match['item_id']}, {str(match['tier']).replace('_', ' ')}: characters {match['sample_start']:,} "
        f"to {match['sample_end']:,}{where}; {match['reason']}"
    )


def to_decide(card: SampleCard, facts: ReportFacts) -> Iterator[str]:
    """Lines for the file of decisions: one that keeps or removes the row, and one for each benchmark item that it holds. Who and
    why are left to whoever decides; what a vendor wrote stands in quotes, in characters of ASCII."""
    digest = card.scores.get("text_digest")
    told_by = (
        f'text: "{digest.hex()}"' if isinstance(digest, bytes) else f'batch: "{facts["batch"]["sha256"][:DIGITS]}"'
    )
    about = [f"    row: {card.scores['row']}", f"    {told_by}"]
    signed = ["    who:", "    why:", f"    until: {(datetime.now(UTC) + timedelta(days=USUAL_DAYS)).date()}"]
    yield "To decide on it, fill in who and why (keep, or remove):"
    yield from ["  - decision: keep", *about, *signed]
    digests = {one["name"]: one["sha256"] for one in facts["contamination"]["benchmarks"]}
    alarms = [match for match in card.matches if match["tier"] in ("confirmed", "suspected")]
    items = dict.fromkeys((match["benchmark"], match["item_id"]) for match in alarms)
    for benchmark, item in [one for one in items if one[0] in digests][:MOST_ITEMS]:
        sha256 = digests[benchmark][:DIGITS]
        named = (
            f"    item: {{benchmark: {_in_quotes(benchmark)}, id: {_in_quotes(item)}, sha256: {_in_quotes(sha256)}}}"
        )
        yield from ["  - decision: false alarm", *about, named, *signed]


def _in_quotes(text: str) -> str:
    """Any text as a YAML scalar of printable ASCII that no terminal and no CI system takes for a command."""
    barred = '"\\' + ":#" * ("::" in text or "##" in text)
    escaped = (c if c.isascii() and c.isprintable() and c not in barred else _escape(c) for c in text)
    return f'"{"".join(escaped)}"'


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def sparkline(values: Sequence[float]) -> str:
    """Values as bars of eight heights, from the lowest to the highest."""
    low, high = min(values), max(values)
    steps = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round(steps * (value - low) / (high - low)) if high > low else 0] for value in values)
