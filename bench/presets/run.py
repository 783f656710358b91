"""Which shape of proxy sees most per CPU-second? Variants of the preset `nano` on canaries of bench/detection.

    .venv/bin/python bench/presets/run.py             # every variant on the two tuning corpora: about an hour
    .venv/bin/python bench/presets/run.py --held-out  # the finalists on the two corpora held out

Power is measured where it is scarce: AUC of canaries that occur 4 times (mean and lowest over kinds, forms and edited
copies), their recall within 1 % of the tokens, and the AUC of those that occur once. CPU seconds are those of all processes
during training, so another job on the machine does not distort them.
"""

import argparse
import json
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "detection"))

import run as detection  # noqa: E402
from canaries import NAMES, TUNED_ON  # noqa: E402

from carto_audit import proxy  # noqa: E402

TOKENS = 60_000
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


@contextmanager
def preset(shape: dict[str, Any]) -> Iterator[None]:
    """`nano` with another shape, until the end of the block."""
    before = proxy.PRESETS["nano"]
    proxy.PRESETS["nano"] = replace(before, **{k: v for k, v in shape.items() if k != "epochs"})
    try:
        yield
    finally:
        proxy.PRESETS["nano"] = before


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(name: str, variant: str, seed: int) -> dict[str, Any]:
    """One audit of planted canaries with one variant."""
    shape = VARIANTS[variant]
    began = cpu_seconds()
    with preset(shape):
        found = detection.planted(name, seed, tokens=TOKENS, epochs=shape.get("epochs", 8))
    cells = found["canaries"]["memorized"]
    four = [cell for key, cell in cells.items() if key.endswith("/4")]
    once = [cell for key, cell in cells.items() if key.endswith("/1") and not key.startswith("natural")]
    return {
        "cpu_seconds": round(cpu_seconds() - began, 1),
        "auc_4": float(np.mean([cell["auc"] for cell in four])),
        "lowest_auc_4": min(cell["auc"] for cell in four),
        "recall_4": float(np.mean([cell["recall_at_1pct"] for cell in four])),
        "auc_1": float(np.mean([cell["auc"] for cell in once])),
        "boilerplate": found["above_line"]["boilerplate"],
    }


def table(results: list[dict[str, Any]]) -> str:
    """The results as Markdown, a row per variant and set of corpora."""
    lines = [
        "| variant of `nano` | corpora | CPU s | AUC ×4, mean (lowest) | recall ×4 in 1 % | AUC ×1 | boilerplate above line |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for names in (TUNED_ON, tuple(name for name in NAMES if name not in TUNED_ON)):
        for variant in VARIANTS:
            rows = [r for r in results if r["variant"] == variant and r["corpus"] in names]
            if rows:
                mean = {
                    key: float(np.mean([r[key] for r in rows])) for key in rows[0] if key not in ("variant", "corpus")
                }
                lowest = min(r["lowest_auc_4"] for r in rows)
                lines.append(
                    f"| {variant} | {', '.join(sorted({r['corpus'] for r in rows}))} | {mean['cpu_seconds']:.0f} | "
                    f"{mean['auc_4']:.4f} ({lowest:.3f}) | {mean['recall_4']:.3f} | {mean['auc_1']:.3f} | "
                    f"{100 * mean['boilerplate']:.1f} % |"
                )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--only", choices=VARIANTS, action="append", help="these variants")
    parser.add_argument("--results", type=Path, default=HERE / "results.jsonl")
    given = parser.parse_args()
    lines = given.results.read_text().splitlines() if given.results.exists() else []
    results = [json.loads(line) for line in lines]
    names = [name for name in NAMES if (name in TUNED_ON) != given.held_out]
    for variant in given.only or (FINALISTS if given.held_out else VARIANTS):
        for name in names:
            if any(r["variant"] == variant and r["corpus"] == name for r in results):
                continue
            results.append({"variant": variant, "corpus": name, "seed": 0, **measure(name, variant, 0)})
            with given.results.open("a") as stream:
                stream.write(json.dumps(results[-1], sort_keys=True) + "\n")
            print(results[-1], flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
