"""The report: one page that opens offline, rendered from `report.json` alone: page and facts cannot disagree."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Template, UndefinedError

from carto_audit.artifacts.audit_call import recorded_call
from carto_audit.artifacts.audit_folder import open_audit_folder
from carto_audit.artifacts.decision_facts import about
from carto_audit.artifacts.evidence_facts import (
    BenchmarkFacts,
    ExcerptFacts,
    Kinds,
    MatchFacts,
    QuadrantFacts,
    ShardFacts,
)
from carto_audit.artifacts.report_facts import BoilerplateFacts, ReportFacts
from carto_audit.cartography.quadrants import QUADRANTS
from carto_audit.policy.lens_metrics import find_metric
from carto_audit.policy.values import show_value
from carto_audit.report import charts, narrative
from carto_audit.report.batch_words import (
    copies_line,
    copies_sentences,
    decision_line,
    lens_power,
    power_words,
    remote_line,
    run_sentences,
    sampling_words,
    vendor_checks,
    vendor_line,
)
from carto_audit.report.charts import dose_panels, height_of
from carto_audit.report.glossary import AUDIT_TERMS
from carto_audit.report.map_svg import VIEW_BOX, page_map
from carto_audit.report.narrative import (
    CHARTED_KINDS,
    FORM_WORDS,
    KIND_WORDS,
    RECALL_WORDS,
    by_dose,
    score_words,
    words,
)
from carto_audit.report.next_steps import next_steps
from carto_audit.report.page import asset, csp_hash, page_environment, printable
from carto_audit.report.sample_details import match_pairs, point_labels, sample_details
from carto_audit.runtime import files
from carto_audit.runtime.errors import UsageError, option
from carto_audit.text.numbers import plural, times
from carto_audit.text.redaction import MASKED
from carto_audit.text.untrusted import encodable, safe_inline

PAGE_LIMIT = 2_000_000
"""Bytes. A page is mailed, attached to a ticket and opened on a phone; the full tables are in the Parquet files."""

_MAP_LIMIT = 900_000
# The tables are shortened until the page fits; the first entry is what the design promises.
_TABLE_ROWS = (50, 25, 10, 0)

COMPARED_DOSES = (4, 16)
"""At which every score and statistic is compared; where none was planted so often, at all doses."""

_UNSEEN, _PUBLISHED = (
    "Two proxies, of which one never saw the sample",
    "Published statistics of the losses of one proxy",
)
_OF_A_RUN = {
    _UNSEEN: "A real run, before and after it learned the sample",
    _PUBLISHED: "Published statistics of the losses of the run",
}

_SCORE_GROUPS: Mapping[str, Mapping[str, str]] = {
    _UNSEEN: {
        "memorized": "",
        "memorized_span_share": "",
        "memorized_share": "",
    },
    _PUBLISHED: {
        "forget_score": "GenDataCarto 2025",
        "forget_absolute": "GenDataCarto 2025",
        "forget_relative": "GenDataCarto 2025",
        "forget_held_out": "GenDataCarto 2025",
        "lt_iqr": "Pollock et al. 2024",
        "learn_time": "Ravikumar et al. 2025",
        "cumulative_loss": "Ravikumar et al. 2025",
        "drop": "",
        "rebound": "",
        "low_final_loss": "",
    },
    "Counts of copies, judged against all rows: they find copies, not memorization": {
        "near_duplicate_count": "",
        "shared_run_count": "",
        "mosaic_count": "Mosaic Memory 2024",
    },
}
"""Every score and statistic by what it is read from, with its source."""


def render_html(facts: ReportFacts, map_svg: str) -> str:
    """The page from the facts of `report.json` and the text of `map.svg`; below PAGE_LIMIT whatever the facts hold."""
    safe = printable(json.loads(json.dumps(encodable(facts), sort_keys=True, allow_nan=False)))
    picture = map_svg if len(map_svg) <= _MAP_LIMIT else ""
    css, script = (asset(name) for name in ("report.css", "report.js"))
    page = ""
    for rows in _TABLE_ROWS:
        page = _template().render(
            facts=safe,
            view=_view(safe),
            rows=rows,
            css=css,
            css_hash=csp_hash(css),
            script=script,
            script_hash=csp_hash(script),
            picture=page_map(picture, point_labels(safe, rows)),
        )
        if len(page.encode()) < PAGE_LIMIT:
            break
    return page


def write_report(folder: Path, facts: ReportFacts, map_svg: bytes, map_png: bytes) -> None:
    """Writes `report.json`, `map.svg`, `map.png` and `report.html` into `folder`, each whole or not at all."""
    files.write_json(folder / "report.json", encodable(facts))
    files.write_bytes(folder / "map.svg", map_svg)
    files.write_bytes(folder / "map.png", map_png)
    files.write_text(folder / "report.html", render_html(facts, map_svg.decode()))


def render_again(folder: Path, excerpts: str | None = None) -> None:
    """Renders `report.html` from the `report.json` and `map.svg` of a finished audit. AuditError if it cannot.

    `excerpts` may be what the audit was made with, or "none", which every page can be made of; UsageError otherwise,
    since neither masks nor secrets can be had from excerpts. `report.json` stays as it was attested.
    """
    audit = open_audit_folder(folder)
    facts = audit.report
    if excerpts not in (None, "none", facts["excerpts"]):
        raise UsageError(
            f"{option('excerpts', excerpts)}: the audit was made with {facts['excerpts']} excerpts; "
            f"only `none` can be made of it, or run `carto-audit ingest` with {option('excerpts', excerpts)}"
        )
    try:
        picture = audit.data("map.svg").decode("utf-8")
        page = render_html(_without_excerpts(facts) if excerpts == "none" else facts, picture)
    except (ValueError, KeyError, TypeError, AttributeError, UndefinedError) as error:
        raise audit.not_a_report() from error
    files.write_text(folder / "report.html", page)


def _without_excerpts(facts: ReportFacts) -> ReportFacts:
    """The facts as an audit with `--excerpts none` would have left them."""
    empty: ExcerptFacts = {"before": "", "span": "", "after": ""}
    kinship, contamination = facts["run"]["kinship"], facts["contamination"]
    quotes: list[BoilerplateFacts] = [{**quote, "excerpt": empty} for quote in kinship["boilerplate"]]
    matches: list[MatchFacts] = [
        {**match, "excerpt_sample": empty, "excerpt_item": empty} for match in contamination["matches"]
    ]
    return {
        **facts,
        "excerpts": "none",
        "run": {**facts["run"], "kinship": {**kinship, "boilerplate": quotes}},
        "contamination": {**contamination, "matches": matches},
        "riskiest": [{**sample, "excerpt": empty, "heat": []} for sample in facts["riskiest"]],
    }


def _view(facts: ReportFacts) -> dict[str, Any]:
    """What the template shows beyond the facts themselves."""
    panels, shown = dose_panels(facts), facts["riskiest"][: _TABLE_ROWS[0]]
    pairs = match_pairs(facts["contamination"]["matches"][: _TABLE_ROWS[0]])
    return {
        "status": narrative.STATUS_WORDS.get(facts["verdict"]["status"], "Inconclusive"),
        "sentence": narrative.verdict_sentence(facts),
        "decisive": narrative.decisive(facts),
        "vendor": _vendor(facts),
        "fetched": remote_line(facts).get("fetched", ""),
        "decided": decision_line(facts).get("decisions", ""),
        "copies": copies_line(facts),
        "copied": copies_sentences(facts["cross_batch"]) if "cross_batch" in facts else [],
        "lenses": [(name, lens, lens_power(lens)) for name, lens in facts.get("lenses", {}).items()],
        "doubts": narrative.doubts(facts),
        "overview": narrative.overview(facts),
        "next": next_steps(facts, recorded_call(facts)),
        "name": safe_inline(Path(next(iter(facts["batch"]["paths"]), "batch")).name, 120) or "batch",
        "score": score_words(facts["map"]["score"]),
        "interventions": facts["policy"]["resolved"].get("interventions", {}),
        "intervals": {name: _interval(facts, name, mass) for name, mass in facts["map"]["quadrants"].items()},
        "panels": panels,
        "compared": max((panel.compared for panel in panels), key=len, default=()),
        "kinds": [(f"k{place}", KIND_WORDS[kind]) for place, kind in enumerate(CHARTED_KINDS)],
        "powers": _power_groups(facts),
        "statistics": _statistics(facts),
        "compared_doses": _compared_doses(facts),
        "detection": narrative.detection_sentences(facts),
        "forgetting": narrative.forgetting_sentence(facts["map"]["forget"]["sweep"]),
        "details": sample_details(facts, pairs, len(shown)),
        "pairs": pairs,
        "mask_words": MASKED if facts["excerpts"] == "redacted" else "",
        "excerpt_words": narrative.EXCERPT_WORDS.get(facts["excerpts"], ""),
        "risky_in": Counter(sample["quadrant"] for sample in shown),
        "risky_quadrants": {sample["quadrant"] for sample in shown},
        "risky_recalls": {sample["recall"] for sample in shown},
        "planted": [_least_found(benchmark) for benchmark in facts["contamination"]["benchmarks"]],
        "shards": _dirtiest_first(facts["contamination"].get("shards", [])),
        "testimony": narrative.item_sentences(facts["contamination"].get("testimony")),
        "skipped_rows": sum(entry["rows"] for entry in facts["batch"]["skipped"]),
        "policy_json": json.dumps(facts["policy"]["resolved"], indent=2, ensure_ascii=False)[:20_000],
        "sampling": sampling_words(facts),
        "run": run_sentences(facts["real_run"]) if "real_run" in facts else [],
        "stages": sorted(facts["run"]["seconds"].items(), key=lambda item: -item[1]),
    }


def _dirtiest_first(shards: list[ShardFacts]) -> list[ShardFacts]:
    """Input files by confirmed, then by suspected rows; one alone is the batch, and needs no table."""
    ordered = sorted(shards, key=lambda s: (-s["counts"]["confirmed_rows"], -s["counts"]["suspected_rows"], s["name"]))
    return ordered if len(shards) > 1 else []


def _least_found(benchmark: BenchmarkFacts) -> tuple[float, str] | None:
    """The form in which the fewest items were found again when their question alone was planted, and their share."""
    shares = {form: share for form, share in benchmark["detectability"].items() if form != "with_options"}
    form = min(shares, key=lambda form: shares[form], default=None)
    return None if form is None else (shares[form], form)


def _interval(facts: ReportFacts, quadrant: str, mass: QuadrantFacts) -> list[float] | None:
    """The interval of a quadrant's token share, on whose unfavourable end rules are judged."""
    known: list[float] | None = facts["metric_intervals"].get(f"{quadrant}.token_share")
    return mass["token_share_interval"] or known


def _power_groups(facts: ReportFacts) -> list[dict[str, Any]]:
    """The score in use as groups of table rows: a group per kind and form, a row per dose, never planted first; then
    exact and edited copies of all kinds."""
    groups = []
    kinds = facts["detection"]["scores"].get(facts["map"]["score"], {})
    for kind in sorted(
        kinds, key=lambda kind: (kind not in KIND_WORDS, list(KIND_WORDS).index(kind) if kind in KIND_WORDS else 0)
    ):
        for form, doses in sorted(kinds[kind].items()):
            rows = [
                ("never" if dose == 0 else times(dose), dose == 0, cell)
                for dose, cell in by_dose(doses)
                if cell["auc"] is not None
            ]
            if rows:
                title = KIND_WORDS[kind].title if kind in KIND_WORDS else words(kind)
                groups.append({"title": title, "form": FORM_WORDS.get(form, words(form)), "rows": rows})
    copies = [(f"{words(copy)} copies", False, cell) for copy, cell in facts["detection"]["by_copy"].items()]
    if groups and copies:
        groups.append({"title": "All kinds", "form": "planted at least 4 times", "rows": copies[::-1]})
    return groups


def _compared_doses(facts: ReportFacts) -> list[int]:
    """The doses at which scores are compared."""
    scores = facts["detection"]["scores"]
    planted = {dose for kinds in scores.values() for dose, _ in _aucs(kinds)}
    return sorted(planted & set(COMPARED_DOSES)) or sorted(planted)[:4]


def _aucs(kinds: Kinds) -> list[tuple[int, float]]:
    """Every dose and AUC of one score, over all kinds and forms."""
    cells = [by_dose(doses) for forms in kinds.values() for doses in forms.values()]
    return [(dose, cell["auc"]) for row in cells for dose, cell in row if dose > 0 and cell["auc"] is not None]


def _statistics(facts: ReportFacts) -> list[dict[str, Any]]:
    """Every score and published statistic in one row: mean and lowest AUC over kinds and forms, in groups by source."""
    scores, doses = facts["detection"]["scores"], _compared_doses(facts)
    unknown = {"Other": {name: "" for name in scores if not any(name in known for known in _SCORE_GROUPS.values())}}
    groups = []
    for title, names in (*_SCORE_GROUPS.items(), *unknown.items()):
        rows = []
        for name in (name for name in names if name in scores):
            found = {dose: [auc for planted, auc in _aucs(scores[name]) if planted == dose] for dose in doses}
            cells = {dose: {"mean": sum(aucs) / len(aucs), "least": min(aucs)} for dose, aucs in found.items() if aucs}
            every = [auc for aucs in found.values() for auc in aucs]
            row = {"name": name, "words": score_words(name), "source": names[name], "cells": cells, "aucs": every[:48]}
            rows.append({**row, "used": name == facts["map"]["score"], "amounts": _amounts(every)})
        if rows:
            groups.append({"title": _OF_A_RUN.get(title, title) if "real_run" in facts else title, "rows": rows})
    return groups


def _amounts(aucs: Sequence[float]) -> str:
    """How much a score with these AUCs detects, over all kinds and forms of secret."""
    if not aucs:
        return ""
    low, high, mean = min(aucs), max(aucs), sum(aucs) / len(aucs)
    if low >= narrative.SEEN_WELL:
        return "all"
    if low >= 0.4 and high <= 0.6:
        return "chance"
    if mean < 0.4:
        return "reversed"
    if low >= 0.75:
        return "most"
    return "some" if high >= narrative.SEEN_WELL else "weak"


def _meaning(metric: str) -> str:
    known = find_metric(metric)
    return known.meaning if known else ""


def _vendor(facts: ReportFacts) -> dict[str, Any] | None:
    """What of a vendor's summary holds, in words; None where none was given."""
    vendor = facts.get("vendor")
    if vendor is None:
        return None
    return {"line": vendor_line(facts)["vendor"], "checks": vendor_checks(vendor), "power": power_words(vendor)}


@cache
def _template() -> Template:
    environment = page_environment()
    environment.globals.update(quadrants=QUADRANTS, outcome_words=narrative.OUTCOME_WORDS, recalls=RECALL_WORDS)
    environment.globals.update(
        plural=plural, show_value=show_value, metric_meaning=_meaning, auc_words=narrative.auc_words
    )
    environment.globals.update(
        limits=narrative.limits,
        finding_words=narrative.finding_words,
        at_least=narrative.at_least,
        interval_note=narrative.interval_note,
        height_of=height_of,
        about=about,
        chart=charts,
    )
    environment.globals.update(view_box=VIEW_BOX, glossary=AUDIT_TERMS)
    return environment.get_template("report.html.j2")
