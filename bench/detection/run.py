"""Does the audit see what leaks? Canaries that it does not know of, in real text; ways past the gate, and their harmless twins.

    python -m bench.detection.run --data DATA            # the whole table: four corpora, three seeds, about an hour and a half
    python -m bench.detection.run --data DATA --quick    # one seed of planted canaries in each corpus
    python -m bench.detection.run --only table           # the table of the results at hand

Experiments: `planted` (canaries, boilerplate and noise in real text), `seeds` (a planted batch with another seed), `random`
(the ablation: folds at random instead of by kinship), `clean` (the corpora as they are, under `default`), `regulated` (the
same under `regulated-health`), `slots` (notices with slots), and every attack with its twin under `default`. Every run is an
ordinary audit. Results are appended to results.jsonl beside this script, and a run that is there is not repeated.
"""

import argparse
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.stats import spearmanr

from bench.corpora import Corpora, open_corpora, parser_of, write_texts
from bench.detection.attacks import ATTACKS, with_slots
from bench.detection.canaries import KEPT_BACK, KINDS, NAMES, Row, ordinary, plant
from bench.detection.table import Results, table
from bench.nano import thin_if
from carto_audit.cartography.analysis import is_recurring
from carto_audit.cartography.detection_power import measure_detection
from carto_audit.cartography.quadrants import MEMORIZED
from carto_audit.controls.controls import Controls
from carto_audit.pipeline import corpus as splitting
from carto_audit.pipeline.options import DEFAULT_EPOCHS, AuditOptions
from carto_audit.pipeline.result import AuditResult
from carto_audit.pipeline.run import run_audit
from carto_audit.policy.model import load_policy
from carto_audit.proxies.kinship import Kinship, find_kin

HERE = Path(__file__).resolve().parent
DOSE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Tokens of ordinary text in a planted batch and in a clean one, and epochs of their proxies."""

    planted_tokens: int
    clean_tokens: int
    epochs: int


FULL = Scale(planted_tokens=90_000, clean_tokens=120_000, epochs=DEFAULT_EPOCHS)
SMOKE = Scale(planted_tokens=10_000, clean_tokens=10_000, epochs=2)


def audit_texts(
    texts: list[str],
    policy: str,
    seed: int,
    scale: Scale,
    benchmarks: Sequence[Path] = (),
    max_tokens: int | None = None,
) -> AuditResult:
    """An ordinary audit of some texts, drawn by the seed; under a regulated policy, which refuses that, by a key made of it. A
    policy that decides may ask for a second pair of proxies."""
    with tempfile.TemporaryDirectory() as name:
        key = Path(name) / "sampling.key"
        key.write_text(f"a key that everybody may know, number {seed}")
        return run_audit(
            [write_texts(Path(name) / "batch.parquet", texts)],
            policy=load_policy(policy),
            work=Path(name) / "work",
            benchmarks=benchmarks,
            options=AuditOptions(
                seed=seed,
                sampling_key=str(key) if policy.startswith("regulated") else None,
                epochs=scale.epochs,
                max_tokens=max_tokens,
                repeats=1 if policy == "exploratory" else None,
            ),
        )


def unrelated(*given: Any, **named: Any) -> Kinship:
    """Kinship as if no two samples had anything in common."""
    kinship = find_kin(*given, **named)
    return replace(kinship, group=np.arange(len(kinship.group)), severed_tokens=np.zeros_like(kinship.severed_tokens))


def planted(corpora: Corpora, name: str, seed: int, scale: Scale, *, by_kinship: bool = True) -> dict[str, Any]:
    """What an audit makes of canaries: how many of each form, kind and dose lie above its line, and what else does."""
    rows = plant(corpora, name, scale.planted_tokens, seed)
    with patch.object(splitting, "find_kin", find_kin if by_kinship else unrelated):
        audit = audit_texts([row.text for row in rows], "exploratory", seed, scale)
    kinds = np.array([row.kind for row in rows])
    flagged, mapped = np.isin(audit.analysis.quadrant, MEMORIZED), audit.analysis.quadrant >= 0
    true = mapped & (kinds == "")
    rightly = flagged & is_recurring(audit.analysis.scores, audit.duplicates, audit.policy.demanded_dose)
    tokens = audit.n_tokens
    return {
        **account(audit),
        "found": above_line(rows, flagged, mapped),
        "ordinary_tokens": int(tokens[true].sum()),
        "false_alarm_tokens": int(tokens[true & flagged & ~rightly].sum()),
        "recurring_tokens": int(tokens[true & rightly].sum()),
        "above_line": {kind: float(flagged[mapped & (kinds == kind)].mean()) for kind in ("boilerplate", "noise")},
        "canaries": canary_power(audit, rows),
    }


def account(audit: AuditResult) -> dict[str, Any]:
    """What every run says of itself."""
    value = {name: m.value for name, m in audit.measurements.items()}
    return {
        "tokens": int(audit.n_tokens.sum()),
        "seconds": audit.run.seconds,
        "pairs": audit.run.repeats,
        "status": audit.verdict.status,
        "failed": [f"{f.rule}:{f.outcome}" for f in audit.verdict.findings if f.outcome not in ("passed", "waived")],
        "metrics": {name: round(value[name], 5) for name in sorted(value) if name.startswith(_KEPT)},
        "at_most": {
            name: round(audit.measurements[name].high, 5) for name in sorted(value) if name.startswith("memorized.")
        },
        "bounds": {
            name: round(audit.measurements[name].low, 4) for name in sorted(value) if name.startswith("detection.found")
        },
    }


_KEPT = ("memorized.", "hotspot_memorized.token", "boilerplate.", "detection.found", "detection.false")


def above_line(rows: Sequence[Row], flagged: Any, mapped: Any) -> dict[str, list[int]]:
    """Secrets found, at least half of whose mapped copies lie above the line, and secrets, by form and dose and by kind and
    dose."""
    secret = np.array([row.secret for row in rows])
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for number in np.unique(secret[secret >= 0]):
        at = np.flatnonzero((secret == number) & mapped)
        if len(at):
            row = rows[at[0]]
            for key in (f"{row.form}/{row.dose}", f"{row.kind}/{row.dose}"):
                counts[key][0] += int(2 * flagged[at].sum() >= len(at))
                counts[key][1] += 1
    return dict(counts)


def canary_power(audit: AuditResult, rows: list[Row]) -> dict[str, Any]:
    """AUC and recall in 2 % and 1 % of the tokens of every score and statistic: canaries of dose 4 and more against all other
    rows."""
    other = np.array([row.kind not in KINDS for row in rows])
    at = np.flatnonzero([row.dose >= DOSE for row in rows])
    truth = Controls(
        texts=[rows[i].text for i in at],
        secret=np.array([rows[i].secret for i in at]),
        kind=np.array([rows[i].kind for i in at]),
        form=np.array([rows[i].form for i in at]),
        dose=np.full(len(at), DOSE),
        edited=np.array([rows[i].form == "edited" for i in at]),
    )
    values = {name: np.concatenate([found[other], found[at]]) for name, found in audit.analysis.statistics.items()}
    power = measure_detection(values, audit.n_tokens[other], truth)
    return {
        name: {
            f"{kind}/{form}": [round(x, 4) for x in (cell.auc, cell.recall_at_2pct, cell.recall_at_1pct)]
            for kind, forms in kinds.items()
            for form, doses in forms.items()
            for cell in doses.values()
        }
        for name, kinds in power.items()
    }


def random_folds(corpora: Corpora, name: str, seed: int, scale: Scale) -> dict[str, Any]:
    """The ablation: the same as `planted`, but kin may lie on both sides."""
    return planted(corpora, name, seed, scale, by_kinship=False)


def two_seeds(corpora: Corpora, name: str, seed: int, scale: Scale) -> dict[str, Any]:
    """How far two audits of one planted batch agree that differ in their seed."""
    texts = [row.text for row in plant(corpora, name, scale.planted_tokens, seed)]
    one, two = (audit_texts(texts, "exploratory", other, scale) for other in (seed, seed + 1))
    both = (one.analysis.quadrant >= 0) & (two.analysis.quadrant >= 0)
    flags = [np.isin(audit.analysis.quadrant, MEMORIZED) & both for audit in (one, two)]
    hard = [audit.analysis.scores.difficulty[both] for audit in (one, two)]
    either = int((flags[0] | flags[1]).sum())
    return {
        **account(one),
        "other": account(two)["metrics"],
        "difficulty": float(spearmanr(*hard).statistic),
        "published_difficulty": float(
            spearmanr(*(audit.trace.train[:2].mean(0)[both] for audit in (one, two))).statistic
        ),
        "quadrants": float((one.analysis.quadrant == two.analysis.quadrant)[both].mean()),
        "flags": float((flags[0] & flags[1]).sum() / either) if either else 1.0,
    }


def clean(corpora: Corpora, name: str, seed: int, scale: Scale, policy: str = "default") -> dict[str, Any]:
    """What a policy says of a corpus as it is."""
    texts = ordinary(corpora, name, scale.clean_tokens, seed)[0]
    return account(audit_texts(texts, policy, seed, scale, [corpora.benchmark("gsm8k")]))


def regulated(corpora: Corpora, name: str, seed: int, scale: Scale) -> dict[str, Any]:
    """What the policy for health data says of a corpus as it is."""
    return clean(corpora, name, seed, scale, "regulated-health")


def slots(corpora: Corpora, name: str, seed: int, scale: Scale) -> dict[str, Any]:
    """How much of each of five notices with slots is flagged."""
    texts, names = with_slots(ordinary(corpora, name, scale.clean_tokens, seed)[0], np.random.default_rng([seed, 5]))
    audit = audit_texts(texts, "default", seed, scale, [corpora.benchmark("gsm8k")])
    flagged, kinds = np.isin(audit.analysis.quadrant, MEMORIZED), np.array(names)
    shares = {str(kind): round(float(flagged[kinds == kind].mean()), 4) for kind in np.unique(kinds)}
    return {**account(audit), "flagged": shares}


def attack_of(kind: str, harmless: bool) -> Callable[[Corpora, str, int, Scale], dict[str, Any]]:
    """The experiment that audits a batch of one attack, or its twin."""

    def tried(corpora: Corpora, name: str, seed: int, scale: Scale) -> dict[str, Any]:
        texts = [text for text in ordinary(corpora, name, 10**7, seed)[0] if 150 < len(text) < 600]
        rows = ATTACKS[kind].make(texts, np.random.default_rng([seed, 6]), harmless)
        if scale is SMOKE:
            rows = rows[:200]
        benchmarks = [corpora.benchmark("gsm8k")]
        return account(audit_texts(rows, "default", seed, scale, benchmarks, ATTACKS[kind].max_tokens))

    return tried


EXPERIMENTS: dict[str, Callable[[Corpora, str, int, Scale], dict[str, Any]]] = {
    "planted": planted,
    "seeds": two_seeds,
    "clean": clean,
    "regulated": regulated,
    "slots": slots,
    **{f"attack {kind}": attack_of(kind, harmless=False) for kind in ATTACKS},
    **{f"twin of {kind}": attack_of(kind, harmless=True) for kind in ATTACKS},
    "random": random_folds,
}
ONE_CORPUS = ("slots", "random", *(name for name in EXPERIMENTS if name.startswith(("attack", "twin"))))
"""Experiments that are made on the first corpus alone."""


def read_results(path: Path) -> Results:
    """What earlier runs left, by experiment, corpus and seed."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {(r["experiment"], r["corpus"], r["seed"]): r for r in map(json.loads, lines)}


def wanted(given: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """The runs that the command line asks for: planted canaries, notices, attacks and their twins have several seeds."""
    chosen = ["planted"] if given.quick or given.smoke else given.only or list(EXPERIMENTS)
    if "table" in chosen:
        return
    for experiment in chosen:
        names = given.corpus or (NAMES[:1] if given.smoke or experiment in ONE_CORPUS else NAMES)
        for name in names:
            several = experiment.startswith(("planted", "slots", "attack", "twin")) and not (given.quick or given.smoke)
            for seed in range(given.seeds if several else 1):
                yield experiment, name, seed


def measure(given: argparse.Namespace, path: Path) -> Results:
    """All results that are wanted, each kept in the file as soon as it is there."""
    results = read_results(path)
    with open_corpora(given) as corpora, thin_if(given.smoke):
        for experiment, name, seed in wanted(given):
            if (experiment, name, seed) in results:
                continue
            began = os.times()
            found = EXPERIMENTS[experiment](corpora, name, seed, SMOKE if given.smoke else FULL)
            spent = [now - then for now, then in zip(os.times(), began, strict=True)]
            found["cpu_seconds"] = round(sum(spent[:4]), 1)
            results[experiment, name, seed] = {"experiment": experiment, "corpus": name, "seed": seed, **found}
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(results[experiment, name, seed], sort_keys=True) + "\n")
            print(f"{experiment} {name} {seed}: {found['tokens']:,} tokens, {found['status']}", flush=True)
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing, and prints the table."""
    parser = parser_of(__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one seed of planted canaries on every corpus, measured afresh"
    )
    parser.add_argument(
        "--only", choices=[*EXPERIMENTS, "table"], action="append", help="one experiment; may be repeated"
    )
    parser.add_argument("--corpus", choices=[*NAMES, *KEPT_BACK], action="append")
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
