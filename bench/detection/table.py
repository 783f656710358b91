"""The tables of detection: what all runs showed, as the Markdown that README.md holds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.detection.canaries import FORMS, KEPT_BACK, KINDS, NAMES, TUNED_ON
from carto_audit.cartography.proof import lower_bound

Results = dict[tuple[str, str, int], dict[str, Any]]
"""What every run showed, by experiment, corpus and seed."""

Run = Mapping[str, Any]
DOSES = ((1, 1), (2, 2), (4, 1000), (8, 1000))
"""From and to: the rows of the table of secrets."""


def table(results: Results) -> str:
    """The results as Markdown."""
    runs: dict[str, list[Run]] = {}
    for result in results.values():
        runs.setdefault(result["experiment"], []).append(result)
    planted = runs.get("planted", [])
    if not planted:
        return "no results"
    names = [name for name in (*NAMES, *KEPT_BACK) if any(r["corpus"] == name for r in planted)]
    kept = [name for name in names if name in KEPT_BACK]
    seeds = len({r["seed"] for r in planted})
    parts = [
        [
            f"Seeds: {seeds}. Tuned on {' and '.join(TUNED_ON)}; the others were held out"
            + (f", {' and '.join(kept)} until everything was settled." if kept else ".")
        ],
        [
            "**Secrets above the line, of all that were planted (at least, with 95 % confidence)**",
            *_found(planted, names),
        ],
        ["**Ordinary text above the line, in the same runs**", *_alarms(planted, names)],
        ["**Every score against all rows: mean AUC over kinds and forms (lowest) · recall within 2 % of the tokens**"],
        _scores(planted, runs.get("random", []), names),
    ]
    if runs.get("seeds"):
        parts.append(["**Two audits of one batch with other seeds**", *_seeds(runs["seeds"])])
    verdicts = [r for kind, found in runs.items() if kind not in ("planted", "seeds", "random") for r in found]
    if verdicts:
        parts.append(["**Verdicts**", *_verdicts(verdicts)])
    if slots := [run["flagged"] for run in runs.get("slots", [])]:  # of each kind as many rows in every run
        shares = ", ".join(
            f"{name or 'other rows'} {100 * sum(run[name] for run in slots) / len(slots):.1f} %"
            for name in sorted(slots[0])
        )
        parts.append([f"Notices with slots, flagged, mean of {len(slots)} seeds: {shares}."])
    return "\n\n".join("\n".join(lines) for lines in parts)


def _found(planted: Sequence[Run], names: Sequence[str]) -> list[str]:
    lines = ["| secrets | dose | " + " | ".join((*names, "all")) + " |", "|---|---|" + "---|" * (len(names) + 1)]
    for what in (*FORMS, *KINDS):
        for low, high in DOSES:
            counts = [_sum(planted, (name,), what, low, high) for name in names] + [
                _sum(planted, names, what, low, high)
            ]
            dose = str(low) if low == high else f"≥ {low}"
            lines.append(f"| {what.replace('_', ' ')} | {dose} | " + " | ".join(map(_count, counts)) + " |")
    return lines


def _sum(planted: Sequence[Run], names: Iterable[str], what: str, low: int, high: int) -> tuple[int, int]:
    found = [
        counts
        for run in planted
        if run["corpus"] in names
        for key, counts in run["found"].items()
        if key.split("/")[0] == what and low <= int(key.split("/")[1]) <= high
    ]
    return sum(one[0] for one in found), sum(one[1] for one in found)


def _count(counts: tuple[int, int]) -> str:
    found, of = counts
    return f"{found} of {of} ({100 * lower_bound(found, of):.0f} %)" if of else "–"


def _alarms(planted: Sequence[Run], names: Sequence[str]) -> list[str]:
    lines = [
        "| corpus | text that recurs less than 4 times | text that recurs 4 times or more | notice in 3 % of the rows | noise |"
    ]
    lines.append("|---|---|---|---|---|")
    for name in names:
        runs = [run for run in planted if run["corpus"] == name]
        total = sum(run["ordinary_tokens"] for run in runs)
        shares = [sum(run[key] for run in runs) / total for key in ("false_alarm_tokens", "recurring_tokens")]
        shares += [float(np.mean([run["above_line"][kind] for run in runs])) for kind in ("boilerplate", "noise")]
        lines.append(f"| {name} | " + " | ".join(f"{100 * share:.2f} %" for share in shares) + " |")
    return lines


def _scores(planted: Sequence[Run], at_random: Sequence[Run], names: Sequence[str]) -> list[str]:
    """A row for every score, the best first, and the ablation below them."""
    lines = ["| score | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    ranked = {score: [_cells(planted, name, score) for name in names] for score in planted[0]["canaries"]}
    for score in sorted(ranked, key=lambda s: -float(np.mean([np.mean(cells[0]) for cells in ranked[s]]))):
        lines.append(f"| `{score}` | " + " | ".join(map(_power, ranked[score])) + " |")
    if at_random:
        cells = [_cells(at_random, name, "memorized") for name in names]
        lines.append("| `memorized`, folds at random | " + " | ".join(map(_power, cells)) + " |")
    return lines


def _cells(runs: Sequence[Run], name: str, score: str) -> tuple[list[float], list[float]]:
    """AUCs and recalls of one score on one corpus."""
    cells = [cell for run in runs if run["corpus"] == name for cell in run["canaries"].get(score, {}).values()]
    return [cell[0] for cell in cells], [cell[1] for cell in cells]


def _power(cells: tuple[list[float], list[float]]) -> str:
    aucs, recalls = cells
    return f"{np.mean(aucs):.3f} ({min(aucs):.2f}) · {np.mean(recalls):.2f}" if aucs else "–"


def _seeds(runs: Sequence[Run]) -> list[str]:
    lines = ["| corpus | difficulty, Spearman | as published | quadrants | flags, Jaccard |", "|---|---|---|---|---|"]
    keys = ("difficulty", "published_difficulty", "quadrants", "flags")
    lines += [f"| {run['corpus']} | " + " | ".join(f"{run[key]:.2f}" for key in keys) + " |" for run in runs]
    return lines


def _verdicts(runs: Sequence[Run]) -> list[str]:
    lines = [
        "| batch | corpus, seed | verdict | pairs | rules that do not hold | memorized | in passages | proved |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        proved = max(((name, low) for name, low in run["bounds"].items()), default=("", 0.0), key=_bound)
        lines.append(
            f"| {run['experiment']} | {run['corpus']} {run['seed']} | {run['status'].replace('_', ' ')} | {run['pairs']} | "
            f"{', '.join(run['failed']) or 'none'} | "
            f"{_share(run, 'memorized.token_share')} | {_share(run, 'memorized.span_token_share')} | "
            f"{100 * proved[1]:.0f} % |"
        )
    return lines


def _bound(one: tuple[str, float]) -> float:
    return one[1]


def _share(run: Run, name: str) -> str:
    if name not in run["metrics"]:
        return "–"
    return f"{100 * run['metrics'][name]:.1f} % (up to {100 * run['at_most'][name]:.1f} %)"
