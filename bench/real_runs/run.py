"""What the trace of a real run shows: a tiny GPT-2 on WikiText-2 with planted controls, from scratch, fine-tuned, in one epoch.

    python -m bench.real_runs.run --data DATA --seeds 0

Of each run the same trace is scored by what may be at hand: the trace alone, with readings of an early and the last checkpoint,
with two proxies in place of the first visit, and, fine-tuned, with the checkpoint before the run. Figures are those of secrets
against ordinary rows and against twins that were never planted. Paragraphs are drawn at random, but in the mode `articles`, which
takes them as they follow each other: many recur in part there. A run that stands in the results is not repeated.
"""

import argparse
import json
import random
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from bench.corpora import open_corpora, parser_of
from bench.real_runs.tiny_run import CONTEXT, Recipe, TinyRun, make_tokenizer, run_tiny, tiny_model, train
from carto_audit.pipeline.options import DEFAULT_EPOCHS
from carto_audit.real_runs.reading.read_checkpoints import read_checkpoints, read_proxies
from carto_audit.real_runs.scoring.score import Asked, score_into

RESULTS = Path(__file__).parent / "results.jsonl"
ROWS, BEFORE_ROWS, LONGEST = 1_500, 1_500, 450
"""Rows of the batch, rows that a fine-tuned model has read before, and characters of a row."""

RECIPES = {
    "scratch": Recipe(epochs=8, width=128, share=0.05, hold_out=100, batch=4, rate=2e-3),
    "finetune": Recipe(epochs=4, width=128, share=0.05, hold_out=100, batch=4, rate=6e-4),
    "lora": Recipe(epochs=8, width=128, share=0.05, hold_out=100, batch=4, rate=3e-3),
    "one epoch": Recipe(epochs=1, width=128, share=0.05, hold_out=100, batch=4, rate=2e-3),
    "articles": Recipe(epochs=8, width=128, share=0.05, hold_out=100, batch=4, rate=2e-3),
}
FINE_TUNED, LORA_RANK = ("finetune", "lora"), 32
SMALL = Recipe(epochs=2, width=16, share=0.4, hold_out=20)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs what is not in the results yet, and prints their table."""
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--modes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--only", choices=["table"], help="print the table of what is kept")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    kept = read_results(given.results) if not given.smoke else []
    for line in measured(given, kept) if not given.only else ():
        kept.append(line)
        if not given.smoke:
            with given.results.open("a") as stream:
                stream.write(json.dumps(line, sort_keys=True) + "\n")
    print_table(kept)


def measured(given: argparse.Namespace, kept: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A line for every way in which the trace of every run is scored."""
    known = {(line["mode"], line["seed"]) for line in kept}
    modes, seeds = (given.modes[:1], given.seeds[:1]) if given.smoke else (given.modes, given.seeds)
    with open_corpora(given) as corpora:
        texts = [text[:LONGEST] for text in corpora.texts("wikitext") if len(text) > 150]
        for mode in modes:
            for seed in seeds:
                if (mode, seed) not in known:
                    with tempfile.TemporaryDirectory() as folder:
                        yield from measure(mode, seed, texts, Path(folder), smoke=given.smoke)


def measure(mode: str, seed: int, texts: list[str], folder: Path, *, smoke: bool) -> Iterator[dict[str, Any]]:
    """One run, scored in every way."""
    recipe = Recipe(**{**_fields(SMALL if smoke else RECIPES[mode]), "seed": seed})
    rows, measured_at = 200 if smoke else ROWS, commit()
    if mode != "articles":
        texts = random.Random(seed).sample(texts, len(texts))
    before, batch = texts[rows : rows + BEFORE_ROWS], texts[:rows]
    tokenizer = make_tokenizer([*before, *batch], folder / "vocabulary", 600 if smoke else 1024)
    start = None
    if mode in FINE_TUNED:
        start = tiny_model(len(tokenizer), recipe.width, seed + 50)
        train(start, [tokenizer(text)["input_ids"][:CONTEXT] for text in before], Recipe(epochs=4, seed=seed + 51))
    if mode == "lora":
        start = adapted(start, tokenizer, folder / "start")
    run = run_tiny(batch, folder, recipe, tokenizer, start)
    late, base = folder / "late.parquet", folder / "base.parquet"
    read_checkpoints([run.early, run.last], run.planted, late, trace=run.trace)
    read_checkpoints([run.first], run.planted, base, trace=run.trace)
    ways: dict[str, tuple[Path | None, Path | None]] = {"first visit, readings": (None, late)}
    if recipe.epochs > 1:
        ways = {"trace alone": (None, None), **ways}
    if mode in FINE_TUNED:
        ways["base and last checkpoint"] = (base, late)
    else:
        proxies = folder / "proxies.parquet"
        epochs = 2 if smoke else DEFAULT_EPOCHS
        read_proxies(run.planted, proxies, tokenizer=run.last, trace=run.trace, device="cpu", epochs=epochs)
        ways["proxies and last checkpoint"] = (proxies, late)
    for way, readings in ways.items():
        yield {
            "mode": mode,
            "seed": seed,
            "way": way,
            "commit": measured_at,
            **scored(run, folder / "score", *readings),
        }


def adapted(start: Any, tokenizer: Any, folder: Path) -> Any:
    """The model, kept in a folder, with an adapter that is trained in its place."""
    from peft import LoraConfig, get_peft_model
    from transformers import GPT2LMHeadModel

    start.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    layers = ["c_attn", "c_fc", "c_proj"]
    how = LoraConfig(
        r=LORA_RANK, lora_alpha=2 * LORA_RANK, target_modules=layers, fan_in_fan_out=True, task_type="CAUSAL_LM"
    )
    return get_peft_model(GPT2LMHeadModel.from_pretrained(folder), how)


def _fields(recipe: Recipe) -> dict[str, Any]:
    return {name: getattr(recipe, name) for name in recipe.__dataclass_fields__}


def scored(run: TinyRun, folder: Path, base: Path | None, late: Path | None) -> dict[str, Any]:
    """What the score of a run says of its controls."""
    facts = score_into(Asked(trace=run.trace, planted=run.planted, base=base, late=late), folder)
    seen = facts["real_run"]
    return {
        "rows": seen["identified"],
        "sight": seen["sight"],
        "found": facts["detection"]["found"],
        "twins": seen["twins"],
        "held_out": seen["held_out"],
        "memorized_token_share": facts["metrics"].get("memorized.token_share"),
        "share": run.facts["tokens"]["share"],
    }


def read_results(path: Path) -> list[dict[str, Any]]:
    """What was measured before."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def commit() -> str:
    """The commit that is measured, with a plus where files were changed since."""
    told = [
        subprocess.run(command, capture_output=True, encoding="utf-8", check=False).stdout.strip()
        for command in (["git", "rev-parse", "--short", "HEAD"], ["git", "status", "--porcelain", "-uno"])
    ]
    return told[0] + "+" * bool(told[1])


def print_table(lines: list[dict[str, Any]]) -> None:
    """The table of all lines, in Markdown."""
    print(
        "| run | seed | scored by | x1 / x4 / x16 against rows | x4 / x16 against twins | recall in 2 %, x4 / x16 | found x4 |"
        " held-out, twins above the line |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for line in lines:
        sight = line["sight"]
        rows, twins, recall = (
            " / ".join(_figure(sight.get(dose, {}).get(name)) for dose in doses)
            for name, doses in (
                ("auc_ordinary", "1 4 16".split()),
                ("auc_twins", ("4", "16")),
                ("recall_at_2pct", ("4", "16")),
            )
        )
        found = next((f"{one['found']} of {one['secrets']}" for one in line["found"] if one["dose"] == 4), "–")
        above = ", ".join(
            f"{one['above']} of {one['measured']}" if one["above"] is not None else "–"
            for one in (line["held_out"], line["twins"])
        )
        print(f"| {line['mode']} | {line['seed']} | {line['way']} | {rows} | {twins} | {recall} | {found} | {above} |")


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
