"""The page of the governance loop, rendered from `redteam.json` alone; below PAGE_LIMIT and readable without JavaScript."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import PurePath
from typing import Any

from jinja2 import Template

from carto_audit.governance.report import narrative as redteam_narrative
from carto_audit.governance.report import tradeoff_chart as chart
from carto_audit.governance.report.narrative import EstimateFacts, interval_words, known
from carto_audit.policy.metrics import METRICS
from carto_audit.report import charts, narrative
from carto_audit.report.glossary import REDTEAM_TERMS
from carto_audit.report.narrative import words
from carto_audit.report.page import STRING_LIMIT, asset, csp_hash, page_environment, printable
from carto_audit.text.numbers import number, percent, plural, signed_percent, times
from carto_audit.text.untrusted import encodable, safe_inline

_YAML_LINES = 60
_MOST_ARMS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One number of a table as it is shown, and its interval; what it belongs to is the column's `label`."""

    label: str
    text: str
    interval: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One arm in a table: its index, its title, what it was chosen as, and its cells."""

    at: int
    title: str
    role: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One measurement before and after the treatment; an EstimateFacts each, and the cells that are shown."""

    title: str
    before: EstimateFacts
    after: EstimateFacts
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One bar: its name, its length as a part of the longest, and its number in words."""

    title: str
    length: float
    text: str
    look: str


def render_redteam(facts: Mapping[str, Any]) -> str:
    """The page from the facts of `redteam.json`."""
    safe = printable(json.loads(json.dumps(encodable(facts), sort_keys=True, allow_nan=False)))
    safe["arms"] = safe["arms"][:_MOST_ARMS]
    yaml = _yaml(facts["recommended"].get("yaml") or "")
    css, script = asset("report.css") + asset("redteam.css"), asset("redteam.js")
    return _template().render(
        facts=safe,
        view=_view(safe),
        yaml=yaml,
        advice=redteam_narrative.advice(yaml),
        css=css,
        css_hash=csp_hash(css),
        script=script,
        script_hash=csp_hash(script),
    )


@cache
def _template() -> Template:
    environment = page_environment()
    environment.globals.update(chart=chart, panel_chart=charts, height_of=charts.height_of, level_of=chart.level_of)
    environment.globals.update(
        plural=plural,
        signed=signed_percent,
        finding_words=narrative.finding_words,
        outcome_words=narrative.OUTCOME_WORDS,
    )
    environment.globals.update(glossary=REDTEAM_TERMS)
    environment.globals.update(metric_meaning=lambda metric: METRICS[metric].meaning if metric in METRICS else "")
    return environment.get_template("redteam.html.j2")


def _view(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows beyond the facts themselves."""
    before, after = redteam_narrative.untreated(facts), redteam_narrative.treated(facts)
    after = None if after is before else after
    return {
        "name": safe_inline(PurePath(next(iter(facts["batch"]["paths"]), "batch")).name, 120) or "batch",
        "outcome": redteam_narrative.outcome(facts),
        "headline": redteam_narrative.headline(facts),
        "headline_parts": redteam_narrative.headline_parts(facts),
        "lead": redteam_narrative.lead(facts),
        "overview": redteam_narrative.overview(facts),
        "run": redteam_narrative.run_words(facts),
        "before": before,
        "after": after,
        "picture": chart.tradeoff(facts),
        "panels": chart.before_after(facts),
        "onion": _onion(facts),
        "leaks": _rows(facts, _leak_cells),
        "prices": _rows(facts, _price_cells),
        "members": _rows(facts, partial(_member_cells, doses=_doses(facts))),
        "membership": _membership(before, after),
        "extraction": _extraction(before, after),
        "pii": _pii(before, after),
        "secrets": [
            (redteam_narrative.FORM_WORDS.get(form, words(form)), facts["protocol"]["secrets"][form])
            for form in _known_first(redteam_narrative.FORM_WORDS, facts["protocol"]["secrets"])
        ],
        "secret_doses": sorted({int(dose) for doses in facts["protocol"]["secrets"].values() for dose in doses}),
        "strongest": _strongest(facts["protocol"]["strongest_attack"]),
        "stages": sorted(facts["run"]["seconds"].items(), key=lambda item: -item[1]),
    }


def _onion(facts: Mapping[str, Any]) -> list[Bar]:
    """Newly flagged mass of every arm for which a second audit was made, on one scale."""
    found = [arm for arm in facts["arms"] if arm.get("newly_flagged") is not None]
    most = max((arm["newly_flagged"] for arm in found), default=0.0) or 1.0
    return [
        Bar(
            title=arm["title"],
            length=arm["newly_flagged"] / most,
            text=percent(arm["newly_flagged"]),
            look=redteam_narrative.family(arm, facts["run"]["score"]),
        )
        for arm in found
    ]


def _rows(facts: Mapping[str, Any], cells: Callable[[Mapping[str, Any]], Iterator[Cell]]) -> list[Row]:
    """Every arm, with its cells of one table: the same ones for every arm."""
    rows = []
    for at, arm in enumerate(facts["arms"]):
        chosen = [word for part, word in (("policy_pick", "pick"), ("knee", "knee")) if facts[part]["arm"] == at]
        rows.append(Row(at=at, title=arm["title"], role=" and ".join(chosen), cells=tuple(cells(arm))))
    return rows


def _cell(label: str, estimate: EstimateFacts, show: Callable[[float | None], str] = percent) -> Cell:
    return Cell(label=label, text=show(known(estimate)), interval=interval_words(estimate, show))


def _points(difference: float | None) -> str:
    """A difference of two shares in percentage points, with its sign."""
    return "–" if difference is None else f"{100 * difference:+.1f}".replace("-", "−")


def _leak_cells(arm: Mapping[str, Any]) -> Iterator[Cell]:
    """What leaks, and what was cut away."""
    yield _cell("Leakage", arm["leakage"])
    yield _cell("Exposure, bits", redteam_narrative.exposure_of(arm), partial(number, digits=1))
    for form, title in redteam_narrative.FORM_WORDS.items():
        yield _cell(title, arm["leakage_by_form"].get(form))
    yield _cell("Better than random, points", arm["beats_random"], _points)
    yield Cell(label="Untreated at this perplexity", text=percent((arm["matched"] or {}).get("leakage")))
    yield Cell(label="Tokens pruned", text=percent(arm["pruned_token_share"]))
    yield Cell(label="Planted copies pruned", text=percent(arm["pruned_canary_share"]))


def _price_cells(arm: Mapping[str, Any]) -> Iterator[Cell]:
    """What an arm costs in quality."""
    parts, distinct = arm["perplexity_by_part"], arm["distinct_n"]
    yield _cell("Held-out perplexity", arm["heldout_perplexity"], partial(number, digits=1))
    yield _cell("Change", arm["perplexity_change"], signed_percent)
    for part, title in (("stable_easy", "Easy text"), ("ambiguous_hard", "Hard text"), ("rare_tail", "Rare tail")):
        yield Cell(label=title, text=signed_percent(parts.get(part, {}).get("change")))
    for n in ("2", "3"):
        yield Cell(label=f"Distinct {n}-grams", text=number(distinct.get(n), 3))
    yield Cell(label="Loss gap, nats", text=number(arm["loss_gap"], 2))
    yield Cell(label="Newly flagged", text=percent(arm["newly_flagged"]))


def _doses(facts: Mapping[str, Any]) -> list[int]:
    """Every dose at which some arm was attacked."""
    return sorted({int(dose) for arm in facts["arms"] for part in ("exposure", "queries") for dose in arm[part]})


def _member_cells(arm: Mapping[str, Any], doses: Sequence[int]) -> Iterator[Cell]:
    """How well an attacker does: exposure in bits and queries per dose, membership by the strongest attack."""
    for dose in doses:
        yield _cell(f"Exposure, {times(dose)}", arm["exposure"].get(str(dose)), partial(number, digits=1))
    for dose in doses:
        yield Cell(label=f"Queries, {times(dose)}", text=redteam_narrative.draws(arm["queries"].get(str(dose))))
    yield _cell("MI-AUC", arm["mi_auc"], partial(number, digits=3))
    yield _cell("TPR at 1 % FPR", arm["tpr_at_1pct_fpr"])
    yield _cell("Unprompted", arm["propensity"])


def _membership(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Pair]:
    """Every membership attack on the untreated arm and on the treated one."""
    return [
        Pair(
            title=redteam_narrative.ATTACK_WORDS.get(attack, words(attack)),
            before=_of(before, "membership", attack, "auc"),
            after=_of(after, "membership", attack, "auc"),
            cells=(
                *_two("AUC", before, after, partial(number, digits=3), "membership", attack, "auc"),
                *_two("TPR at 1 % FPR", before, after, percent, "membership", attack, "tpr_at_1pct_fpr"),
                *_two("TPR at 0.1 % FPR", before, after, percent, "membership", attack, "tpr_at_01pct_fpr"),
            ),
        )
        for attack in _known_first(redteam_narrative.ATTACK_WORDS, before["membership"] if before else {})
    ]


def _extraction(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Pair]:
    """Every way of extracting secrets, on the untreated arm and on the treated one."""
    return [
        Pair(
            title=redteam_narrative.EXTRACTION_WORDS.get(attack, words(attack)),
            before=_of(before, "leakage_by_attack", attack),
            after=_of(after, "leakage_by_attack", attack),
            cells=_two("Extracted", before, after, percent, "leakage_by_attack", attack),
        )
        for attack in _known_first(redteam_narrative.EXTRACTION_WORDS, before["leakage_by_attack"] if before else {})
    ]


def _two(
    label: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    show: Callable[[float | None], str],
    *path: str,
) -> tuple[Cell, ...]:
    """The cell before and, where there is a treated arm, the cell after."""
    first = _cell(f"{label}, before", _of(before, *path), show)
    return (first,) if after is None else (first, _cell(f"{label}, after", _of(after, *path), show))


def _of(arm: Mapping[str, Any] | None, *path: str) -> Any:
    """What lies at `path` of an arm; None where it was not measured."""
    found: Any = arm
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _strongest(attack: str | None) -> str:
    """The attack that told members best on the untreated proxy, in words."""
    return "no attack" if attack is None else redteam_narrative.ATTACK_WORDS.get(attack, words(attack))


def _known_first(order: Mapping[str, str], found: Mapping[str, Any]) -> list[str]:
    """The names of what was found, those that we know in our order, others behind them."""
    return [name for name in order if name in found] + [name for name in found if name not in order]


def _pii(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Row]:
    """Personal data by class: how much there is and how much of it can be extracted, net of guessing."""
    rows = []
    for at, (name, found) in enumerate((before or {"pii": {}})["pii"].items()):
        cells = [Cell(label="In the batch", text=number(found["spans"], 0)), _extracted("Extracted before", found)]
        if after is not None:
            cells.append(_extracted("Extracted after", after["pii"].get(name)))
        rows.append(Row(at=at, title=words(name), role="", cells=tuple(cells)))
    return rows


def _extracted(label: str, found: Mapping[str, Any] | None) -> Cell:
    if found is None:
        return Cell(label=label, text="–")
    return Cell(label=label, text=number(found["net"], 0), interval=f"{number(found['extracted'], 0)} with guesses")


def _yaml(text: str) -> str:
    """The block of YAML, line by line printable; its indentation stays."""
    lines = [str(line).expandtabs(2) for line in encodable(text).split("\n")[:_YAML_LINES]]
    return "\n".join(
        " " * (len(line) - len(line.lstrip(" "))) + safe_inline(line, STRING_LIMIT) for line in lines
    ).strip("\n")
