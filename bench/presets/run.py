"""Which shape of proxy sees most per CPU-second? Variants of the preset `nano` on canaries of bench/detection.

    python -m bench.presets.run --data DATA               # every variant on the two tuning corpora: about an hour
    python -m bench.presets.run --data DATA --held-out    # the finalists on the two corpora held out
    python -m bench.presets.run --only table              # the table of the results at hand

Power is measured where it is scarce: AUC of canaries that occur 4 times (mean and lowest over kinds, forms and edited
copies), their recall within 1 % of the tokens, and the AUC of those that occur once. CPU seconds are those of all processes
during the audit, so another job on the machine does not distort them. Results are appended to results.jsonl beside this
script, and a run that is there is not repeated.
"""

import argparse
import json
import resource
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.corpora import Corpora, open_corpora, parser_of
from bench.detection.canaries import NAMES, TUNED_ON
from bench.detection.run import SMOKE, Scale, planted
from bench.nano import THIN, reshaped, thin_if

HERE = Path(__file__).resolve().parent
TOKENS, EPOCHS = 60_000, 8
OLD = {"hidden_size": 128, "layers": 2, "heads": 4, "vocab_size": 2048, "learning_rate": 2e-3, "minibatch_tokens": 1024}
SMALL = {**OLD, "minibatch_tokens": 256}
WIDE = {"hidden_size": 256, "layers": 4, "heads": 8, "vocab_size": 4096, "context": 512, "learning_rate": 1.5e-3}
VARIANTS: dict[str, dict[str, Any]] = {
    "old: minibatch 1024": OLD,
    "minibatch 256": SMALL,
    "minibatch 256, 6 epochs": {**SMALL, "epochs": 6},
    "minibatch 256, width 192": {**SMALL, "hidden_size": 192},
    "minibatch 256, 1 layer": {**SMALL, "layers": 1},
    "minibatch 256, rate 3e-3": {**SMALL, "learning_rate": 3e-3},
    "minibatch 256, vocabulary 4096": {**SMALL, "vocab_size": 4096},
    "minibatch 256, vocabulary 1024": {**SMALL, "vocab_size": 1024},
    "minibatch 256, vocabulary 512": {**SMALL, "vocab_size": 512},
    "minibatch 128": {**OLD, "minibatch_tokens": 128},
    "minibatch 512": {**OLD, "minibatch_tokens": 512},
    "minibatch 256, rate 1e-3": {**SMALL, "learning_rate": 1e-3},
    "minibatch 256, 12 epochs": {**SMALL, "epochs": 12},
    "shape of `small`, minibatch 8192": {**WIDE, "minibatch_tokens": 8192},
    "shape of `small`, minibatch 1024": {**WIDE, "minibatch_tokens": 1024},
    "shape of `small`, minibatch 1024, vocabulary 1024": {**WIDE, "minibatch_tokens": 1024, "vocab_size": 1024},
}
FINALISTS = ("minibatch 256, vocabulary 1024", "minibatch 256", "minibatch 256, 1 layer", "old: minibatch 1024")
"""Those that the held-out corpora decide between."""


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(corpora: Corpora, name: str, shape: Mapping[str, Any], smoke: bool) -> dict[str, Any]:
    """One audit of planted canaries with one variant."""
    changes = {key: value for key, value in shape.items() if key != "epochs"}
    epochs = shape.get("epochs", EPOCHS)
    scale = SMOKE if smoke else Scale(planted_tokens=TOKENS, clean_tokens=0, epochs=epochs)
    began = cpu_seconds()
    with reshaped({**changes, **(THIN if smoke else {})}):
        found = planted(corpora, name, 0, scale)
    cells = found["canaries"]["memorized"].values()
    return {
        "cpu_seconds": round(cpu_seconds() - began, 1),
        "auc_4": float(np.mean([auc for auc, _, _ in cells])),
        "lowest_auc_4": min(auc for auc, _, _ in cells),
        "recall_4": float(np.mean([recall for _, _, recall in cells])),
        "boilerplate": found["above_line"]["boilerplate"],
    }


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """The results as Markdown, a row per variant and set of corpora."""
    lines = [
        "| variant of `nano` | corpora | CPU s | AUC ×4, mean (lowest) | recall ×4 in 1 % | AUC ×1 | boilerplate above line |",
        "|---|---|---|---|---|---|---|",
    ]
    for names in (TUNED_ON, tuple(name for name in NAMES if name not in TUNED_ON)):
        for variant in VARIANTS:
            rows = [r for r in results if r["variant"] == variant and r["corpus"] in names]
            lines += [row_of(variant, rows)] if rows else []
    return "\n".join(lines)


def row_of(variant: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """One variant on some corpora."""
    numbers = [key for key in rows[0] if key not in ("variant", "corpus")]
    mean = {key: float(np.mean([row[key] for row in rows])) for key in numbers}
    lowest = min(row["lowest_auc_4"] for row in rows)
    once = f"{mean['auc_1']:.3f}" if "auc_1" in mean else "–"  # measured up to commit 01cc75d
    return (
        f"| {variant} | {', '.join(sorted({row['corpus'] for row in rows}))} | {mean['cpu_seconds']:.0f} | "
        f"{mean['auc_4']:.4f} ({lowest:.3f}) | {mean['recall_4']:.3f} | {once} | "
        f"{100 * mean['boilerplate']:.1f} % |"
    )


def wanted(given: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Variants and corpora that the command line asks for."""
    names = [name for name in NAMES if (name in TUNED_ON) != given.held_out]
    for variant in given.only or (FINALISTS if given.held_out else VARIANTS):
        for name in names if variant != "table" else ():
            yield variant, name


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing, and prints the table."""
    parser = parser_of(__doc__)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--only", choices=[*VARIANTS, "table"], action="append", help="these variants")
    parser.add_argument(
        "--results", type=Path, help="default: results.jsonl beside this script; with --smoke none is kept"
    )
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch, open_corpora(given) as corpora, thin_if(given.smoke):
        path = given.results or (Path(scratch) if given.smoke else HERE) / "results.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        results = [json.loads(line) for line in lines]
        known = {(r["variant"], r["corpus"]) for r in results}
        asked = [("minibatch 256", "wikitext")] if given.smoke else list(wanted(given))
        for variant, name in (pair for pair in asked if pair not in known):
            found = measure(corpora, name, VARIANTS[variant], given.smoke)
            results.append({"variant": variant, "corpus": name, "seed": 0, **found})
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(results[-1], sort_keys=True) + "\n")
            print(results[-1], flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
