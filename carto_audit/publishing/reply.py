"""A reply to the vendor: why a delivery was not taken as it is, and which of its rows are in the way, without a word of ours.

Rows are told by their number and their own id. Neither the text of a benchmark nor its items' ids leave the house, nor its name
unless that is asked for; controls that were planted are no rows of the vendor's. Who decided about a row, and why, stays here."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from jinja2 import Template

from carto_audit.artifacts.audit_folder import AuditFolder
from carto_audit.artifacts.decision_facts import DecisionsFacts, is_false_alarm, numbers_of
from carto_audit.artifacts.forecast import MEMORIZED
from carto_audit.artifacts.real_run_facts import CONTROL
from carto_audit.artifacts.report_facts import FindingFacts, ReportFacts
from carto_audit.policy.metrics import CROSS_BATCH, SPLIT
from carto_audit.report import narrative
from carto_audit.report.page import asset, csp_hash, page_environment, printable
from carto_audit.runtime.files import made_folder, write_bytes, write_text
from carto_audit.text.numbers import percent, plural
from carto_audit.text.untrusted import encodable, safe_inline

PAGE, ROWS = "reply.html", "rows.jsonl"

REVIEWED = "removed after somebody looked at it"
"""What a vendor is told of a row that people decided to remove."""

MOST_ON_PAGE = 200
"""Rows, skipped rows and files that the page lists; the file of rows has all."""

_COLUMNS = [
    "sample_id",
    "row",
    "quadrant",
    "cluster_id",
    "cluster_size",
    "span_start",
    "span_end",
    "contamination_tier",
    "action",
    "weight",
    "reasons",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What goes to the vendor: the report's `facts`, of which the page shows what concerns him, and a line for each of his `rows`
    that is removed, down-weighted or looked at."""

    facts: ReportFacts
    rows: Sequence[Mapping[str, Any]]


def make_reply(folder: AuditFolder, *, name_benchmarks: bool = False) -> Reply:
    """The reply to a finished audit. Raises AuditError in one line for files that are no audit's."""
    try:
        decided = folder.report.get("decisions")
        scores = folder.scores(_COLUMNS if decided is None else [*_COLUMNS, "decision"]).to_pylist()
        matches = folder.matches()
        items = _items(matches.to_pylist() if matches is not None else [], name_benchmarks, decided)
        return Reply(facts=folder.report, rows=list(_rows(_without_names(scores, decided), items)))
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise folder.not_scores(error) from error


def write_reply(reply: Reply, out: Path) -> None:
    """Writes the page and the file of rows into a folder, each whole or not at all."""
    made_folder(out)
    lines = (json.dumps(encodable(row), ensure_ascii=False) + "\n" for row in reply.rows)
    write_bytes(out / ROWS, "".join(lines).encode())
    write_text(out / PAGE, render_reply(reply))


def render_reply(reply: Reply) -> str:
    """The page, which opens offline and runs nothing."""
    css, facts = asset("report.css"), reply.facts
    return _template().render(
        name=safe_inline(Path(next(iter(facts["batch"]["paths"]), "batch")).name, 120) or "batch",
        status=narrative.STATUS_WORDS.get(facts["verdict"]["status"], "Inconclusive"),
        sentence=narrative.verdict_sentence(facts),
        policy=safe_inline(facts["policy"]["name"], 120),
        sha256=facts["batch"]["sha256"],
        date=safe_inline(facts["run"]["started_at"], 40),
        findings=[(printable(dict(one)), _words(one, facts)) for one in narrative.decisive(facts)],
        rows=[printable(dict(row)) for row in reply.rows[:MOST_ON_PAGE]],
        more=max(0, len(reply.rows) - MOST_ON_PAGE),
        skipped=printable([dict(one) for one in facts["batch"]["skipped"]]),
        unread=printable([dict(one) for one in _unread(facts)][:MOST_ON_PAGE]),
        css=css,
        css_hash=csp_hash(css),
        rows_file=ROWS,
    )


def _words(finding: FindingFacts, facts: ReportFacts) -> str:
    """What was observed and what is allowed. Of passages that stand in other deliveries the vendor learns of his own alone."""
    found = facts.get("cross_batch")
    if finding["metric"] not in (CROSS_BATCH, SPLIT) or found is None:
        return narrative.finding_words(finding)
    rows, share = plural(found["own_rows"], "row"), percent(found["own_token_share"])
    limit = percent(finding["limit"])
    return f"{rows}, {share} of the tokens, repeat your own earlier deliveries; at most {limit} of what others hold is taken"


def _unread(facts: ReportFacts) -> list[Mapping[str, Any]]:
    """Files of data that nobody could read."""
    return [one for one in facts["batch"].get("delivery", {}).get("not_read", []) if one["is_data"]]


def _without_names(scores: Sequence[dict[str, Any]], decided: DecisionsFacts | None) -> list[dict[str, Any]]:
    """The rows without what people wrote when they decided, and without those that they decided to keep."""
    kept, removed = numbers_of(decided, "keep"), numbers_of(decided, "remove")
    return [
        {**row, "reasons": REVIEWED} if row.get("decision") in removed else row
        for row in scores
        if row.get("decision") not in kept
    ]


def _items(
    matches: Sequence[Mapping[str, Any]], named: bool, decided: DecisionsFacts | None
) -> dict[int, list[dict[str, Any]]]:
    """By row, where passages of evaluation sets stand in it, without the item; false alarms are left out."""
    found: dict[int, list[dict[str, Any]]] = {}
    for match in matches:
        if match["tier"] in ("confirmed", "suspected") and not is_false_alarm(decided, match):
            item = {"tier": match["tier"], "start": match["sample_start"], "end": match["sample_end"]}
            item |= {"segment": match["segment"]} if match["segment"] else {}
            item |= {"benchmark": match["benchmark"]} if named else {}
            found.setdefault(int(match["row"]), []).append(item)
    return found


def _rows(scores: Sequence[Mapping[str, Any]], items: Mapping[int, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """The rows that the vendor should look at, in order."""
    cluster: dict[int, list[int]] = {}
    for row in scores:
        if row["cluster_size"] > 1:
            cluster.setdefault(row["cluster_id"], []).append(row["row"])
    for row in scores:
        number = int(row["row"])
        if not (row["weight"] < 1 or number in items) or row["reasons"] == CONTROL:
            continue
        said: dict[str, Any] = {"row": number, "id": row["sample_id"], "decision": row["action"]}
        said |= {"weight": row["weight"]} if row["action"] == "downweight" else {}
        said["reason"] = row["reasons"]
        if row["span_start"] is not None and row["quadrant"] in MEMORIZED:
            said["passage"] = {"start": row["span_start"], "end": row["span_end"]}
        if number in items:
            said["evaluation_items"] = items[number]
        if others := [other for other in cluster.get(row["cluster_id"], []) if other != number]:
            said["copies_in_rows"] = others[:MOST_ON_PAGE]
        yield said


def summary_words(reply: Reply) -> str:
    """`12 rows are told: 9 removed, 3 down-weighted`."""
    removed = sum(row["decision"] == "remove" for row in reply.rows)
    lighter = sum(row["decision"] == "downweight" for row in reply.rows)
    return f"{plural(len(reply.rows), 'row')} named: {removed:,} removed, {lighter:,} down-weighted"


@cache
def _template() -> Template:
    return page_environment().get_template("reply.html.j2")
