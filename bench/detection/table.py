"""The table of detection: what all runs showed, as the Markdown that README.md holds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.detection.canaries import FORMS, KINDS, NAMES, TUNED_ON

Results = dict[tuple[str, str, int], dict[str, Any]]
"""What every run showed, by experiment, corpus and seed."""

Runs = Sequence[Mapping[str, Any]]


def table(results: Results) -> str:
    """The results as Markdown."""
    runs = {kind: [r for r in results.values() if r["experiment"] == kind] for kind in ("planted", "random", "clean")}
    planted = runs["planted"]
    if not planted:
        return "no results"
    names = [name for name in NAMES if any(r["corpus"] == name for r in planted)]
    seeds = len({r["seed"] for r in planted})
    parts = [
        [f"Seeds: {seeds}. Tuned on {' and '.join(TUNED_ON)}; the others were held out."],
        ["**`memorized`: mean AUC (lowest seed) · recall within 2 % of the tokens**"],
        _power(planted, names),
        ["**Every score, AUC of canaries of dose 4 and more: mean over kinds and forms (lowest one)**"],
        _scores(planted, runs["random"], names),
        ["**Specificity**"],
        _specificity(planted, runs["clean"], names),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _power(planted: Runs, names: Sequence[str]) -> list[str]:
    """A row for every kind, form and dose."""
    lines = ["| canaries | dose | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for kind in KINDS:
        for copies in ("", " edited"):
            for form in FORMS:
                for dose in ("4", "16") if copies else ("1", "4", "16"):
                    found = [_cells(planted, name, "memorized", f"{kind}{copies}/{form}/{dose}") for name in names]
                    title = f"{kind.replace('_', ' ')}{copies}, {form}"
                    lines.append(f"| {title} | {dose} | " + " | ".join(map(_mean, found)) + " |")
    return lines


def _scores(planted: Runs, at_random: Runs, names: Sequence[str]) -> list[str]:
    """A row for every score, the best first, and the ablation below them."""
    lines = ["| score | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    ranked = {score: [_over_cells(planted, name, score) for name in names] for score in planted[0]["canaries"]}
    for score in sorted(ranked, key=lambda s: -float(np.mean([mean for mean, _ in ranked[s]]))):
        lines.append(f"| `{score}` | " + " | ".join(map(_with_lowest, ranked[score])) + " |")
    if at_random:
        cells = [_with_lowest(_over_cells(at_random, name, "memorized")) for name in names]
        lines.append("| `memorized`, folds at random | " + " | ".join(cells) + " |")
    return lines


def _specificity(planted: Runs, clean: Runs, names: Sequence[str]) -> list[str]:
    """What is flagged that should not be."""
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for kind in ("boilerplate", "noise"):
        cells = [_shares([r["above_line"][kind] for r in planted if r["corpus"] == name]) for name in names]
        lines.append(f"| {kind} rows above the line | " + " | ".join(cells) + " |")
    for key, words in (
        ("hotspot_share", "hotspot mass"),
        ("unrepeated_hotspot_share", "hotspots whose passage no other sample holds"),
        ("memorized_share", "memorized mass"),
    ):
        cells = [_shares([r[key] for r in clean if r["corpus"] == name]) for name in names]
        lines.append(f"| clean corpus, {words} | " + " | ".join(cells) + " |")
    cells = ["; ".join(_verdict(r) for r in clean if r["corpus"] == name) for name in names]
    lines.append("| clean corpus, verdict under `default` | " + " | ".join(cells) + " |")
    return lines


def _verdict(run: Mapping[str, Any]) -> str:
    return f"{run['status']} ({', '.join(run['failed'])})" if run["failed"] else str(run["status"])


def _with_lowest(found: tuple[float, float]) -> str:
    mean, lowest = found
    return "–" if np.isnan(mean) else f"{mean:.3f} ({lowest:.2f})"


def _cells(runs: Runs, name: str, score: str, key: str) -> list[dict[str, float]]:
    return [r["canaries"][score][key] for r in runs if r["corpus"] == name and key in r["canaries"].get(score, {})]


def _mean(cells: list[dict[str, float]]) -> str:
    if not cells:
        return "–"
    aucs, recalls = [c["auc"] for c in cells], [c["recall_at_2pct"] for c in cells]
    return f"{np.mean(aucs):.3f} ({min(aucs):.3f}) · {np.mean(recalls):.2f}"


def _over_cells(runs: Runs, name: str, score: str) -> tuple[float, float]:
    keys = [
        f"{kind}{c}/{form}/{dose}" for kind in KINDS for c in ("", " edited") for form in FORMS for dose in ("4", "16")
    ]
    means = [np.mean([c["auc"] for c in cells]) for key in keys if (cells := _cells(runs, name, score, key))]
    return (float(np.mean(means)), float(min(means))) if means else (np.nan, np.nan)


def _shares(values: Sequence[float | None]) -> str:
    known = [v for v in values if v is not None]
    return f"{100 * np.mean(known):.1f} % (at most {100 * max(known):.1f} %)" if known else "–"
