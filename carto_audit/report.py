"""The report: one page that opens offline, rendered from `report.json` alone: page and facts cannot disagree."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError
from markupsafe import Markup

from carto_audit import figures, files
from carto_audit.errors import AuditError
from carto_audit.figures import percent
from carto_audit.metrics import METRICS
from carto_audit.resources import resource_folder
from carto_audit.text import safe_inline

PAGE_LIMIT = 2_000_000
"""Bytes. A page is mailed, attached to a ticket and opened on a phone; the full tables are in the Parquet files."""

_MAP_LIMIT = 900_000
# The tables are shortened until the page fits; the first entry is what the design promises.
_TABLE_ROWS = (50, 25, 10, 0)
_STRING_LIMIT = 400

STATUS_WORDS: Mapping[str, str] = {
    "accepted": "Accepted",
    "accepted_with_warnings": "Accepted with warnings",
    "rejected": "Rejected",
    "inconclusive": "Inconclusive",
}
SEEN_WELL = 0.9
"""AUC from which a dose counts as seen; the words for less are in `_sight`."""
DECISIVE = ("failed", "not_measured", "underpowered")
OUTCOME_WORDS: Mapping[str, str] = {
    "passed": "passed",
    "failed": "failed",
    "not_measured": "not measured",
    "underpowered": "too little power",
    "waived": "waived",
}


def render_html(facts: Mapping[str, Any], map_svg: str) -> str:
    """The page from the facts of `report.json` and the text of `map.svg`; below PAGE_LIMIT whatever the facts hold."""
    safe = _safe(json.loads(json.dumps(_storable(facts), sort_keys=True, allow_nan=False)))
    image = map_svg.encode() if len(map_svg) <= _MAP_LIMIT else b""
    css, script = (_asset(name) for name in ("report.css", "report.js"))
    page = ""
    for rows in _TABLE_ROWS:
        page = _template().render(
            facts=safe,
            view=_view(safe),
            rows=rows,
            css=css,
            css_hash=_csp_hash(css),
            script=script,
            script_hash=_csp_hash(script),
            map_data=base64.b64encode(image).decode(),
            bound=partial(bound, safe),
            judged=partial(judged, safe),
        )
        if len(page.encode()) < PAGE_LIMIT:
            break
    return page


def write_report(folder: Path, facts: Mapping[str, Any], map_svg: bytes, map_png: bytes) -> None:
    """Writes `report.json`, `map.svg`, `map.png` and `report.html` into `folder`, each whole or not at all."""
    files.write_json(folder / "report.json", _storable(facts))
    files.write_bytes(folder / "map.svg", map_svg)
    files.write_bytes(folder / "map.png", map_png)
    files.write_text(folder / "report.html", render_html(facts, map_svg.decode()))


def render_again(folder: Path) -> None:
    """Renders `report.html` from the `report.json` and `map.svg` of a finished audit. AuditError if it cannot."""
    try:
        facts = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        page = render_html(facts, (folder / "map.svg").read_text(encoding="utf-8"))
    except OSError as error:
        where = safe_inline(str(error.filename), 160)
        raise AuditError(f"{where}: cannot read: {error.strerror}; run the audit again") from error
    except (ValueError, KeyError, TypeError, AttributeError, UndefinedError) as error:
        where = safe_inline(str(folder / "report.json"), 160)
        raise AuditError(f"{where}: not the report of an audit; run the audit again") from error
    files.write_text(folder / "report.html", page)


def number(value: float | None, digits: int = 2) -> str:
    """A measurement with `digits` decimals and thousands separators, or a dash for unknown."""
    if value is None:
        return "–"
    return f"{value:,.{digits}f}"


def metric_value(metric: str, value: float | None) -> str:
    """A metric in its declared unit: shares as percentages, AUCs and ratios as decimals, counts as whole numbers."""
    unit = METRICS[metric].unit if metric in METRICS else None
    if unit == "share":
        return percent(value)
    return number(value, {"AUC": 3, "ratio": 2, None: 3}.get(unit, 0))


def bound(facts: Mapping[str, Any], finding: Mapping[str, Any]) -> str:
    """Whether the finding's limit is the most or the least, from the rule itself."""
    rules = facts["policy"]["resolved"].get("rules", [])
    rule: Mapping[str, Any] = next((rule for rule in rules if rule.get("id") == finding["rule"]), {})
    metric = METRICS.get(finding["metric"])
    lower = rule.get("min") is not None or (
        rule.get("max") is None and metric is not None and metric.better == "higher"
    )
    return "at least" if lower else "at most"


def judged(facts: Mapping[str, Any], finding: Mapping[str, Any]) -> str:
    """Observed against limit, as a rule is read: `8.2 %, at most 2.0 %`."""
    metric, observed = finding["metric"], finding["observed"]
    seen = "not measured" if observed is None else metric_value(metric, observed)
    return f"{seen}, {bound(facts, finding)} {metric_value(metric, finding['limit'])}"


def decisive(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The findings that made the verdict, worst first; empty when every rule holds."""
    order = {name: rank for rank, name in enumerate(("not_measured", "underpowered", "failed"))}
    chosen = [f for f in facts["findings"] if f["outcome"] in DECISIVE]
    return sorted(chosen, key=lambda f: (f["severity"] != "reject", order[f["outcome"]]))


def verdict_sentence(facts: Mapping[str, Any]) -> str:
    """What the verdict means, in one sentence that claims no more than was measured."""
    findings = facts["findings"]
    failed = sum(f["severity"] == "reject" for f in decisive(facts))
    policy = f"the policy “{facts['policy']['name']}”"
    match facts["verdict"]["status"]:
        case "accepted":
            return (
                f"All {len(findings)} rules of {policy} hold." if len(findings) > 1 else f"The rule of {policy} holds."
            )
        case "accepted_with_warnings":
            return f"No rule of {policy} rejects the batch; {_plural(len(decisive(facts)), 'rule')} to look at."
        case "rejected":
            return f"{_plural(failed, 'rule')} of {policy} {'rejects' if failed == 1 else 'reject'} the batch."
        case _:
            return "The audit could not see well enough to decide. This is not a pass."


def power_reading(facts: Mapping[str, Any]) -> list[str]:
    """What the detection table says about the score in use, one sentence per form of the planted secret."""
    score = facts["map"]["score"]
    sentences = []
    for kind, forms in sorted(facts["detection"]["scores"].get(score, {}).items()):
        for form, doses in sorted(forms.items()):
            seen = [d for d, cell in _by_dose(doses) if cell["auc"] is not None and cell["auc"] >= SEEN_WELL]
            where = "standing alone" if form == "alone" else f"{form} in other text"
            what = f"{_words(kind).capitalize()} secrets {where}"
            if not seen:
                sentences.append(f"{what}: at no dose does the score separate them well from ordinary text.")
            else:
                times = _times(seen[0])
                sentences.append(f"{what}: told from ordinary text (AUC at least {SEEN_WELL}) once they occur {times}.")
    found = sorted((int(dose), share) for dose, share in facts["detection"]["above_line"].items())
    if found:
        shares = ", ".join(f"{percent(share)} of those planted {_times(dose)}" for dose, share in found)
        sentences.append(f"Above the line that the map draws lie {shares}.")
    return sentences


def _times(dose: int) -> str:
    return "once" if dose == 1 else f"{dose} times"


def glance(facts: Mapping[str, Any]) -> dict[str, str]:
    """Detection, contamination and duplicates in one line each, for the first screen of the page and the terminal."""
    return {"detection": _power_line(facts), "contamination": _match_line(facts), "duplicates": _copy_line(facts)}


def _power_line(facts: Mapping[str, Any]) -> str:
    """The weakest form at the smallest dose that is seen well, else the best that there is."""
    kinds = facts["detection"]["scores"].get(facts["map"]["score"], {})
    weakest: dict[int, Mapping[str, Any]] = {}
    for forms in kinds.values():
        for doses in forms.values():
            for dose, cell in _by_dose(doses):
                if cell["auc"] is not None and cell["auc"] < weakest.get(dose, {"auc": 2})["auc"]:
                    weakest[dose] = cell
    if not weakest:
        return "not measured: no control was planted"
    seen = [dose for dose, cell in sorted(weakest.items()) if cell["auc"] >= SEEN_WELL]
    dose = seen[0] if seen else max(weakest)
    low, high = weakest[dose]["ci"] or (None, None)
    power = f"AUC {number(weakest[dose]['auc'])} ({number(low)} to {number(high)})"
    times = _times(dose)
    return f"sees secrets that occur {times}, {power}" if seen else f"weak even for secrets that occur {times}, {power}"


def _match_line(facts: Mapping[str, Any]) -> str:
    benchmarks = facts["contamination"]["benchmarks"]
    if not benchmarks:
        return "not checked: no benchmark was given"
    confirmed, suspected, known = (
        sum(benchmark[key] for benchmark in benchmarks)
        for key in ("confirmed_items", "suspected_items", "detectable_items")
    )
    where = _plural(len(benchmarks), "benchmark")
    return f"{confirmed:,} confirmed and {suspected:,} suspected of {known:,} detectable items in {where}"


def _copy_line(facts: Mapping[str, Any]) -> str:
    found = facts["duplicates"]
    copies = f"{found['exact_rows']:,} exact and {found['near_rows']:,} near copies"
    return f"{copies}, {percent(found['token_share'])} of the tokens"


def _view(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows beyond the facts themselves."""
    score = facts["map"]["score"]
    return {
        "status": STATUS_WORDS.get(facts["verdict"]["status"], "Inconclusive"),
        "sentence": verdict_sentence(facts),
        "decisive": decisive(facts),
        "glance": glance(facts),
        "name": safe_inline(Path(next(iter(facts["batch"]["paths"]), "batch")).name, 120) or "batch",
        "score": _score_words(score),
        "interventions": facts["policy"]["resolved"].get("interventions", {}),
        "powers": _power_rows(facts),
        "doses": sorted({dose for row in _power_rows(facts) for dose in row["cells"]}),
        "reading": power_reading(facts),
        "traces": [_trace(sample, facts["run"]["logged_epochs"]) for sample in facts["riskiest"][: _TABLE_ROWS[0]]],
        "risky_quadrants": {sample["quadrant"] for sample in facts["riskiest"]},
        "skipped_rows": sum(entry["rows"] for entry in facts["batch"]["skipped"]),
        "policy_json": json.dumps(facts["policy"]["resolved"], indent=2, ensure_ascii=False)[:20_000],
        "stages": sorted(facts["run"]["seconds"].items(), key=lambda item: -item[1]),
    }


def _power_rows(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The detection block as table rows, the score in use first."""
    used = facts["map"]["score"]
    rows = []
    for score, kinds in sorted(facts["detection"]["scores"].items(), key=lambda item: (item[0] != used, item[0])):
        for kind, forms in sorted(kinds.items()):
            for form, doses in sorted(forms.items()):
                words = {"score": _score_words(score), "used": score == used, "kind": _words(kind), "form": form}
                rows.append({**words, "cells": dict(_by_dose(doses))})
    return rows


def _sight(auc: float) -> str:
    return "sees" if auc >= SEEN_WELL else "partly" if auc >= 0.75 else "weak" if auc >= 0.6 else "blind"


def _by_dose(doses: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    return sorted((int(dose), cell) for dose, cell in doses.items())


def _trace(sample: Mapping[str, Any], logged: Sequence[int]) -> Markup:
    """The sample's losses as a small picture. Markup is safe here: numbers and our own words, nothing from data."""
    losses = sample["losses"]
    train, inside, outside = (losses[key][:400] for key in ("train", "in_fold", "out_of_fold"))
    epochs = [float(epoch) for epoch in logged]
    lines = [
        ("train", [float(epoch + 1) for epoch in range(len(train))], train),
        ("out", epochs[-len(outside) :] if outside else [], outside[-len(epochs) :]),
        ("in", epochs[-len(inside) :] if inside else [], inside[-len(epochs) :]),
    ]
    ends = f"seen {number(sample['loss_in'])}, unseen {number(sample['loss_out'])}"
    return Markup(figures.sparkline(lines, f"loss over epochs: {ends} nats per token"))


def _score_words(score: str) -> str:
    return figures.SCORE_WORDS.get(score, _words(score))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _slug(name: str) -> str:
    """Fit to be a CSS class."""
    return re.sub(r"[^a-z_]+", "-", name.lower())


def _meaning(metric: str) -> str:
    return METRICS[metric].meaning if metric in METRICS else ""


def _whole_percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _safe(value: Any) -> Any:
    """The facts with every string, keys included, made printable and of bounded length."""
    if isinstance(value, str):
        line = safe_inline(value, _STRING_LIMIT)
        # The parts of an excerpt are read as one line, so a space at their edge stays.
        return " " * value[:1].isspace() + line + " " * value[-1:].isspace()
    if isinstance(value, dict):
        return {safe_inline(key, _STRING_LIMIT): _safe(item) for key, item in value.items()}
    return [_safe(item) for item in value] if isinstance(value, list) else value


def _storable(value: Any) -> Any:
    """The facts without lone surrogates, which are no text in UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_storable(str(key)): _storable(item) for key, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, list | tuple) else value


def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(resource_folder("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, percent0=_whole_percent, number=number, count=partial(number, digits=0))
    environment.filters.update(words=_words, slug=_slug, short=safe_inline)
    environment.globals.update(quadrants=figures.QUADRANTS, outcome_words=OUTCOME_WORDS)
    environment.globals.update(metric_value=metric_value, metric_meaning=_meaning, sight=_sight)
    return environment.get_template("report.html.j2")


def _asset(name: str) -> Markup:
    return Markup((resource_folder("templates") / name).read_text(encoding="utf-8"))


def _csp_hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
