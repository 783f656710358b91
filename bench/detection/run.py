"""Does the audit see what leaks? Canaries that it does not know of, on four corpora, against every published statistic.

    python -m bench.detection.run --data DATA            # the whole table: 4 corpora, 3 seeds, about an hour and a half
    python -m bench.detection.run --data DATA --quick    # a reduced version in under 20 minutes
    python -m bench.detection.run --only table           # the table of the results at hand

Three experiments: `planted` (canaries, boilerplate and noise in real text), `clean` (the same corpora as they are, under
the policy `default`), and `random` (the ablation: planted, but with folds at random instead of by kinship). Every run is an
ordinary audit. Results are appended to results.jsonl beside this script, and a run that is there is not repeated.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from bench.corpora import Corpora, open_corpora, parser_of, write_texts
from bench.detection.canaries import KINDS, NAMES, Row, ordinary, plant
from bench.detection.table import Results, table
from bench.nano import thin_if
from carto_audit.cartography.detection_power import Power, measure_detection
from carto_audit.cartography.quadrants import QUADRANT_NAMES
from carto_audit.controls.controls import Controls
from carto_audit.pipeline import corpus as splitting
from carto_audit.pipeline.options import DEFAULT_EPOCHS, AuditOptions
from carto_audit.pipeline.result import AuditResult
from carto_audit.pipeline.run import run_audit
from carto_audit.policy.model import load_policy
from carto_audit.proxies.kinship import Kinship, find_kin

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Tokens of ordinary text in a planted batch and in a clean one, and epochs of their proxies."""

    planted_tokens: int
    clean_tokens: int
    epochs: int


FULL = Scale(planted_tokens=120_000, clean_tokens=200_000, epochs=DEFAULT_EPOCHS)
SMOKE = Scale(planted_tokens=10_000, clean_tokens=10_000, epochs=2)


def audit_texts(texts: list[str], policy: str, seed: int, epochs: int, benchmarks: Sequence[Path] = ()) -> AuditResult:
    """An ordinary audit of some texts."""
    with tempfile.TemporaryDirectory() as name:
        return run_audit(
            [write_texts(Path(name) / "batch.parquet", texts)],
            policy=load_policy(policy),
            work=Path(name) / "work",
            benchmarks=benchmarks,
            options=AuditOptions(seed=seed, epochs=epochs),
        )


def unrelated(*given: Any, **named: Any) -> Kinship:
    """Kinship as if no two samples had anything in common."""
    kinship = find_kin(*given, **named)
    return replace(kinship, group=np.arange(len(kinship.group)), severed_tokens=np.zeros_like(kinship.severed_tokens))


def planted(corpora: Corpora, name: str, seed: int, scale: Scale, *, by_kinship: bool = True) -> dict[str, Any]:
    """What an audit makes of canaries: their power per score, kind, form and dose, and what lies above the line."""
    rows = plant(corpora, name, scale.planted_tokens, seed)
    with patch.object(splitting, "find_kin", find_kin if by_kinship else unrelated):
        audit = audit_texts([row.text for row in rows], "exploratory", seed, scale.epochs)
    line = audit.analysis.datamap.memorization.value if audit.analysis.datamap else np.nan
    score = audit.analysis.scores.memorized
    kinds = np.array([row.kind for row in rows])
    controls = audit.measurements.get("detection.auc_at_dose_4")
    return {
        "tokens": int(audit.n_tokens.sum()),
        "seconds": audit.run.seconds,
        "canaries": canary_power(audit, rows),
        "above_line": {kind: float((score[kinds == kind] > line).mean()) for kind in ("boilerplate", "noise")},
        "controls": controls.value if controls else None,
    }


def canary_power(audit: AuditResult, rows: list[Row]) -> dict[str, Any]:
    """The power of every score that the audit computed, for the canaries instead of its controls."""
    ordinary_row = np.array([row.kind == "" for row in rows])
    group = audit.run.kinship.group[: len(rows)]
    single = (np.bincount(group)[group] == 1) & ordinary_row
    at = np.flatnonzero([row.kind in KINDS for row in rows])
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
    counts = {name: values.pop(name) for name in ("near_duplicate_count", "mosaic_count")}
    tables = [
        measure_detection(values, audit.n_tokens, single, truth),
        measure_detection(counts, audit.n_tokens, ordinary_row, truth),
    ]
    return {
        name: {f"{kind}/{form}/{dose}": cell(power) for kind, form, dose, power in flat(kinds)}
        for table in tables
        for name, kinds in table.items()
    }


def flat(kinds: dict[str, dict[str, dict[str, Power]]]) -> Iterable[tuple[str, str, str, Power]]:
    """Every cell of one score, by kind, form and dose."""
    return ((k, f, d, power) for k, forms in kinds.items() for f, doses in forms.items() for d, power in doses.items())


def cell(power: Power) -> dict[str, float]:
    """What is kept of one cell."""
    found = {"auc": power.auc, "recall_at_1pct": power.recall_at_1pct, "recall_at_2pct": power.recall_at_2pct}
    return {key: round(value, 4) for key, value in found.items()}


def clean(corpora: Corpora, name: str, seed: int, scale: Scale) -> dict[str, Any]:
    """What the default policy says of a corpus as it is."""
    texts = ordinary(corpora, name, scale.clean_tokens, seed)[0]
    audit = audit_texts(texts, "default", seed, scale.epochs, [corpora.benchmark("gsm8k")])
    value = {name: m.value for name, m in audit.measurements.items()}
    hot = audit.analysis.quadrant == QUADRANT_NAMES.index("hotspot_memorized")
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


def random_folds(corpora: Corpora, name: str, seed: int, scale: Scale) -> dict[str, Any]:
    """The ablation: the same as `planted`, but kin may lie on both sides."""
    return planted(corpora, name, seed, scale, by_kinship=False)


EXPERIMENTS: dict[str, Callable[[Corpora, str, int, Scale], dict[str, Any]]] = {
    "planted": planted,
    "random": random_folds,
    "clean": clean,
}


def read_results(path: Path) -> Results:
    """What earlier runs left, by experiment, corpus and seed."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {(r["experiment"], r["corpus"], r["seed"]): r for r in map(json.loads, lines)}


def wanted(given: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """The runs that the command line asks for: only planted canaries have more than one seed."""
    chosen = ["planted"] if given.quick else [given.only] if given.only else list(EXPERIMENTS)
    names = given.corpus or (NAMES[:1] if given.smoke else NAMES)
    for name in names if given.only != "table" else ():
        for experiment in chosen:
            for seed in range(given.seeds if experiment == "planted" and not (given.quick or given.smoke) else 1):
                yield experiment, name, seed


def measure(given: argparse.Namespace, path: Path) -> Results:
    """All results that are wanted, each kept in the file as soon as it is there."""
    results = read_results(path)
    with open_corpora(given) as corpora, thin_if(given.smoke):
        for experiment, name, seed in wanted(given):
            if (experiment, name, seed) in results:
                continue
            found = EXPERIMENTS[experiment](corpora, name, seed, SMOKE if given.smoke else FULL)
            results[experiment, name, seed] = {"experiment": experiment, "corpus": name, "seed": seed, **found}
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(results[experiment, name, seed], sort_keys=True) + "\n")
            print(f"{experiment} {name} {seed}: {found['tokens']:,} tokens, {found['seconds']}", flush=True)
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing, and prints the table."""
    parser = parser_of(__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one seed of planted canaries on every corpus, measured afresh"
    )
    parser.add_argument("--only", choices=[*EXPERIMENTS, "table"], help="one experiment")
    parser.add_argument("--corpus", choices=NAMES, action="append")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--results", type=Path, help="default: results.jsonl beside this script; with --quick and --smoke none is kept"
    )
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) if given.quick or given.smoke else HERE
        print(table(measure(given, given.results or place / "results.jsonl")))


if __name__ == "__main__":
    main()
