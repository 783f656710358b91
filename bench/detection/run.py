"""Does the audit see what leaks? Canaries that it does not know of, on four corpora, against every published statistic.

    .venv/bin/python bench/detection/run.py                      # the whole table: 4 corpora, 3 seeds, about an hour and a half
    .venv/bin/python bench/detection/run.py --quick              # a reduced version in under 20 minutes
    .venv/bin/python bench/detection/run.py --only table         # the table of the results at hand

Three experiments: `planted` (canaries, boilerplate and noise in real text), `clean` (the same corpora as they are, under
the policy `default`), and `random` (the ablation: planted, but with folds at random instead of by kinship). Every run is an
ordinary audit. Results are appended to results.jsonl beside this script, and a run that is there is not repeated.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from canaries import CORPORA, FORMS, KINDS, NAMES, TUNED_ON, Row, is_at_hand, ordinary, plant

from carto_audit.cartography.detection_power import Power, measure_detection
from carto_audit.cartography.thresholds import QUADRANTS
from carto_audit.controls.controls import Controls
from carto_audit.pipeline import run as auditing
from carto_audit.pipeline.options import AuditOptions
from carto_audit.pipeline.result import AuditResult
from carto_audit.policy.model import load_policy

HERE = Path(__file__).resolve().parent
BENCHMARK = CORPORA.parent / "benchmarks/gsm8k_test.parquet"
PLANTED_TOKENS, CLEAN_TOKENS = 120_000, 200_000


def run_audit(texts: list[str], policy: str, seed: int, **options: Any) -> AuditResult:
    """An ordinary audit of some texts."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "batch.parquet"
        pq.write_table(pa.table({"text": texts}), path)
        return auditing.run_audit(
            [path],
            policy=load_policy(policy),
            work=Path(name) / "work",
            benchmarks=[BENCHMARK] if policy == "default" else [],
            options=AuditOptions(seed=seed, **options),
        )


def unrelated(*given: Any, **named: Any) -> Any:
    """Kinship as if no two samples had anything in common."""
    kinship = find_kin(*given, **named)
    return replace(kinship, group=np.arange(len(kinship.group)), severed_tokens=np.zeros_like(kinship.severed_tokens))


find_kin = auditing.find_kin


def planted(
    name: str, seed: int, *, by_kinship: bool = True, tokens: int = PLANTED_TOKENS, **options: Any
) -> dict[str, Any]:
    """What an audit makes of canaries: their power per score, kind, form and dose, and what lies above the line."""
    rows = plant(name, tokens, seed)
    with patch.object(auditing, "find_kin", find_kin if by_kinship else unrelated):
        audit = run_audit([row.text for row in rows], "exploratory", seed, **options)
    line = audit.analysis.datamap.memorization.value if audit.analysis.datamap else np.nan
    score = audit.analysis.scores.memorized
    kinds = np.array([row.kind for row in rows])
    return {
        "tokens": int(audit.n_tokens.sum()),
        "seconds": audit.run.seconds,
        "canaries": canary_power(audit, rows),
        "above_line": {kind: float((score[kinds == kind] > line).mean()) for kind in ("boilerplate", "noise")},
        "controls": audit.measurements["detection.auc_at_dose_4"].value
        if "detection.auc_at_dose_4" in audit.measurements
        else None,
    }


def canary_power(audit: AuditResult, rows: list[Row]) -> dict[str, Any]:
    """The power of every score that the audit computed, for the canaries instead of its controls."""
    canary = np.array([row.kind in KINDS for row in rows])
    group = audit.run.kinship.group[: len(rows)]
    single = (np.bincount(group)[group] == 1) & np.array([row.kind == "" for row in rows])
    at = np.flatnonzero(canary)
    truth = Controls(
        texts=[rows[i].text for i in at],
        secret=np.arange(len(at)),
        kind=np.array([rows[i].kind + (" edited" if rows[i].edited else "") for i in at]),
        form=np.array([rows[i].form for i in at]),
        dose=np.array([rows[i].dose for i in at]),
        edited=np.array([rows[i].edited for i in at]),
    )
    scores = audit.analysis.statistics
    values = {name: np.concatenate([found, found[at]]) for name, found in scores.items()}
    everyone = np.array([row.kind == "" for row in rows])
    counts = {name: values.pop(name) for name in ("near_duplicate_count", "mosaic_count")}
    tables = [
        measure_detection(values, audit.n_tokens, single, truth),
        measure_detection(counts, audit.n_tokens, everyone, truth),
    ]
    return {
        name: {f"{kind}/{form}/{dose}": cell(power) for kind, form, dose, power in flat(kinds)}
        for table in tables
        for name, kinds in table.items()
    }


def flat(kinds: dict[str, Any]) -> Iterable[tuple[str, str, str, Power]]:
    return ((k, f, d, power) for k, forms in kinds.items() for f, doses in forms.items() for d, power in doses.items())


def cell(power: Power) -> dict[str, float]:
    found = {"auc": power.auc, "recall_at_1pct": power.recall_at_1pct, "recall_at_2pct": power.recall_at_2pct}
    return {key: round(value, 4) for key, value in found.items()}


def clean(name: str, seed: int, tokens: int = CLEAN_TOKENS) -> dict[str, Any]:
    """What the default policy says of a corpus as it is."""
    audit = run_audit(ordinary(name, tokens, seed)[0], "default", seed)
    value = {name: m.value for name, m in audit.measurements.items()}
    hot = audit.analysis.quadrant == QUADRANTS.index("hotspot_memorized")
    mapped = int(audit.n_tokens[audit.analysis.quadrant >= 0].sum())
    return {
        "tokens": int(audit.n_tokens.sum()),
        "unrepeated_hotspot_share": float(audit.n_tokens[hot & (audit.analysis.reasons.copies == 1)].sum() / mapped),
        "seconds": audit.run.seconds,
        "hotspot_share": value.get("hotspot_memorized.token_share"),
        "memorized_share": value.get("memorized.token_share"),
        "status": audit.verdict.status,
        "failed": [f.rule for f in audit.verdict.findings if f.outcome not in ("passed", "waived")],
        "controls": value.get("detection.auc_at_dose_4"),
    }


EXPERIMENTS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "planted": planted,
    "random": lambda name, seed: planted(name, seed, by_kinship=False),
    "clean": clean,
}


def read_results(path: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return {(r["experiment"], r["corpus"], r["seed"]): r for r in map(json.loads, lines)}


def table(results: dict[tuple[str, str, int], dict[str, Any]]) -> str:
    """The results as Markdown."""
    planted_runs = [r for r in results.values() if r["experiment"] == "planted"]
    if not planted_runs:
        return "no results"
    names = [name for name in NAMES if any(r["corpus"] == name for r in planted_runs)]
    scores = list(planted_runs[0]["canaries"])
    lines = [
        f"Seeds: {len({r['seed'] for r in planted_runs})}. Tuned on {' and '.join(TUNED_ON)}; the others were held out.",
        "",
    ]
    lines += ["**`memorized`: mean AUC (lowest seed) · recall within 2 % of the tokens**", ""]
    lines += ["| canaries | dose | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for kind in KINDS:
        for copies in ("", " edited"):
            for form in FORMS:
                for dose in ("4", "16") if copies else ("1", "4", "16"):
                    found = [_cells(planted_runs, name, "memorized", f"{kind}{copies}/{form}/{dose}") for name in names]
                    lines.append(
                        f"| {kind.replace('_', ' ')}{copies}, {form} | {dose} | " + " | ".join(map(_mean, found)) + " |"
                    )
    lines += ["", "**Every score, AUC of canaries of dose 4 and more: mean over kinds and forms (lowest one)**", ""]
    lines += ["| score | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    ranked = {score: [_over_cells(planted_runs, name, score) for name in names] for score in scores}
    for score in sorted(scores, key=lambda s: -np.mean([mean for mean, _ in ranked[s]])):
        lines.append(f"| `{score}` | " + " | ".join(f"{mean:.3f} ({low:.2f})" for mean, low in ranked[score]) + " |")
    random_runs = [r for r in results.values() if r["experiment"] == "random"]
    if random_runs:
        cells = [
            f"{mean:.3f} ({low:.2f})" if low == low else "–"
            for mean, low in (_over_cells(random_runs, name, "memorized") for name in names)
        ]
        lines.append("| `memorized`, folds at random | " + " | ".join(cells) + " |")
    lines += ["", "**Specificity**", "", "| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for kind in ("boilerplate", "noise"):
        found = [[r["above_line"][kind] for r in planted_runs if r["corpus"] == name] for name in names]
        lines.append(f"| {kind} rows above the line | " + " | ".join(_shares(shares) for shares in found) + " |")
    clean_runs = [r for r in results.values() if r["experiment"] == "clean"]
    for key, words in (
        ("hotspot_share", "hotspot mass"),
        ("unrepeated_hotspot_share", "hotspots whose passage no other sample holds"),
        ("memorized_share", "memorized mass"),
    ):
        found = [[r[key] for r in clean_runs if r["corpus"] == name] for name in names]
        lines.append(f"| clean corpus, {words} | " + " | ".join(_shares(shares) for shares in found) + " |")
    verdicts = [[r for r in clean_runs if r["corpus"] == name] for name in names]
    words = [
        "; ".join(r["status"] + (f" ({', '.join(r['failed'])})" if r["failed"] else "") for r in runs)
        for runs in verdicts
    ]
    lines.append("| clean corpus, verdict under `default` | " + " | ".join(words) + " |")
    return "\n".join(lines)


def _cells(runs: list[dict[str, Any]], name: str, score: str, key: str) -> list[dict[str, float]]:
    return [r["canaries"][score][key] for r in runs if r["corpus"] == name and key in r["canaries"].get(score, {})]


def _mean(cells: list[dict[str, float]]) -> str:
    if not cells:
        return "–"
    aucs, recalls = [c["auc"] for c in cells], [c["recall_at_2pct"] for c in cells]
    return f"{np.mean(aucs):.3f} ({min(aucs):.3f}) · {np.mean(recalls):.2f}"


def _over_cells(runs: list[dict[str, Any]], name: str, score: str) -> tuple[float, float]:
    keys = [
        f"{kind}{c}/{form}/{dose}" for kind in KINDS for c in ("", " edited") for form in FORMS for dose in ("4", "16")
    ]
    means = [np.mean([c["auc"] for c in cells]) for key in keys if (cells := _cells(runs, name, score, key))]
    return (float(np.mean(means)), float(min(means))) if means else (np.nan, np.nan)


def _shares(values: list[float | None]) -> str:
    known = [v for v in values if v is not None]
    return f"{100 * np.mean(known):.1f} % (at most {100 * max(known):.1f} %)" if known else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="one seed of planted canaries on every corpus, measured afresh"
    )
    parser.add_argument("--only", choices=[*EXPERIMENTS, "table"], help="one experiment")
    parser.add_argument("--corpus", choices=NAMES, action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--results", type=Path, help="default: results.jsonl beside this script; with --quick none is kept"
    )
    given = parser.parse_args()
    names = given.corpus or [name for name in NAMES if is_at_hand(name)]
    with tempfile.TemporaryDirectory() as folder:
        path = given.results or (Path(folder) if given.quick else HERE) / "results.jsonl"
        results = read_results(path)
        for experiment, name, seed in wanted(given, names):
            if (experiment, name, seed) in results:
                continue
            found = EXPERIMENTS[experiment](name, seed)
            results[experiment, name, seed] = {"experiment": experiment, "corpus": name, "seed": seed, **found}
            with path.open("a") as stream:
                stream.write(json.dumps(results[experiment, name, seed], sort_keys=True) + "\n")
            print(f"{experiment} {name} {seed}: {found['tokens']:,} tokens, {found['seconds']}", flush=True)
    print(table(results))


def wanted(given: argparse.Namespace, names: Sequence[str]) -> Iterator[tuple[str, str, int]]:
    """The runs that the command line asks for: only planted canaries have more than one seed."""
    chosen = ["planted"] if given.quick else [given.only] if given.only else list(EXPERIMENTS)
    for name in names if given.only != "table" else ():
        for experiment in chosen:
            for seed in range(given.seeds if experiment == "planted" and not given.quick else 1):
                yield experiment, name, seed


if __name__ == "__main__":
    main()
