"""Does a run that reweights itself leak less? One run of a tiny GPT-2 over text with canaries, and from its first epoch on two.

    python -m bench.real_runs.reweight --data DATA

After the first of seven epochs the trace is scored, and the rest of the steps draws rows by the weights of the score, or, in the
twin, goes on as before: as many steps, from the same checkpoint. The canaries are of a generator that shares nothing with the
controls. What is learned of one is told beside others of the same make that nobody planted; the price is the loss of text that
neither run read.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GPT2LMHeadModel

import carto_audit
from bench.corpora import Corpora, open_corpora, parser_of, write_texts
from bench.detection.canaries import FORMS, KINDS, Row, Writer, distinct, plant
from bench.real_runs.run import commit, read_results
from bench.real_runs.tiny_run import CONTEXT, Loop, Recipe, batches, make_tokenizer, planted_texts, steps_of, tiny_model
from carto_audit.policy.model import Policy, load_policy
from carto_audit.real_runs.integrations.token_losses import token_losses
from carto_audit.real_runs.options import PlantOptions
from carto_audit.real_runs.plant import plant_batch
from carto_audit.real_runs.reading.read_checkpoints import read_checkpoints
from carto_audit.real_runs.scoring.score import Asked, score_into
from carto_audit.traces.keys import read_sample_keys, tokenizer_fingerprint
from carto_audit.traces.logger import LossLogger

RESULTS = Path(__file__).parent / "reweight.jsonl"
TOKENS, EPOCHS, UNSEEN_ROWS, TWINS = 60_000, 7, 200, 20
WEIGHTS = (0.5, 0.1)
"""What a flagged row weighs: as the shipped policy says, and less."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measures the seeds that are not in the results yet, and prints their table."""
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--only", choices=["table"], help="print the table of what is kept")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    kept = read_results(given.results) if not given.smoke else []
    for line in measured(given, {line["seed"] for line in kept}) if not given.only else ():
        kept.append(line)
        if not given.smoke:
            with given.results.open("a") as stream:
                stream.write(json.dumps(line, sort_keys=True) + "\n")
    print_table(kept)


def measured(given: argparse.Namespace, known: set[int]) -> Iterator[dict[str, Any]]:
    """A line for every way in which each run goes on."""
    with open_corpora(given) as corpora:
        for seed in given.seeds[:1] if given.smoke else given.seeds:
            if seed not in known:
                with tempfile.TemporaryDirectory() as folder:
                    yield from measure(corpora, seed, Path(folder), smoke=given.smoke)


def measure(corpora: Corpora, seed: int, folder: Path, *, smoke: bool) -> Iterator[dict[str, Any]]:
    """One run up to its first epoch, and what becomes of it in each way."""
    at, name = commit(), "wikitext"
    rows = plant(corpora, name, 6_000 if smoke else TOKENS, seed)
    rows = [Row(text=row.text[:450], kind=row.kind, form=row.form, dose=row.dose, secret=row.secret) for row in rows]
    texts = [row.text for row in rows]
    recipe = Recipe(
        epochs=3 if smoke else EPOCHS,
        width=16 if smoke else 128,
        share=0.4 if smoke else 0.05,
        seed=seed,
        batch=4,
        rate=2e-3,
    )
    tokenizer = make_tokenizer(texts, folder / "tokenizer", 600 if smoke else 1024)
    unseen = [text[:450] for text in distinct(corpora, name) if text[:450] not in set(texts)][-UNSEEN_ROWS:]
    twins = twin_texts(corpora, texts, unseen, seed)
    samples, state, scores = first_epoch(texts, folder, recipe, tokenizer)
    ways: dict[str, Path | None] = {"as before": None} | {
        f"flagged rows weigh {weight:g}": scores[weight] for weight in WEIGHTS
    }
    for way, weights in ways.items():
        model, loop = state()
        go_on(loop, samples, recipe, weights)
        yield {
            "seed": seed,
            "way": way,
            "commit": at,
            "canaries": {str(dose): told(model, tokenizer, rows, twins, dose) for dose in (4, 8, 16)},
            "unseen": float(np.mean(losses_of(model, tokenizer, unseen))),
            "drawn_less": int((carto_audit.sampler(weights).weights < 1).sum()) if weights else 0,
        }


def twin_texts(corpora: Corpora, texts: list[str], unseen: list[str], seed: int) -> dict[tuple[str, str], list[str]]:
    """Canaries of every kind and form that nobody planted."""
    writer = Writer(np.random.default_rng([seed, 77]), texts, [*unseen, *distinct(corpora, "wikitext")[-800:]])
    return {
        (kind, form): [writer.copies(kind, form, 1)[0][:450] for _ in range(TWINS)] for kind in KINDS for form in FORMS
    }


def first_epoch(
    texts: list[str], folder: Path, recipe: Recipe, tokenizer: Any
) -> tuple[list[list[int]], Any, dict[float, Path]]:
    """Plants controls, trains for an epoch and scores it by each weight. Returns the samples, what makes the run anew as it stood
    then, and the weights by what a flagged row weighs."""
    options = PlantOptions(
        share=recipe.share, hold_out=recipe.hold_out, seed=recipe.seed, tokenizer=str(folder / "tokenizer")
    )
    planted, trace = folder / "planted", folder / "trace"
    plant_batch([write_texts(folder / "batch.parquet", texts)], planted, policy=load_policy("default"), options=options)
    samples = [tokenizer(text)["input_ids"][:CONTEXT] for text in planted_texts(planted)]
    model = tiny_model(len(tokenizer), recipe.width, recipe.seed)
    keys = read_sample_keys(planted / "trace.key")
    log = LossLogger(trace, keys, token_share=1.0, tokenizer=tokenizer_fingerprint(tokenizer), run="first epoch")
    per_epoch = steps_of(len(samples), recipe)
    loop = Loop(model, recipe, recipe.epochs * per_epoch, log)
    for chosen in batches(samples, range(len(samples)), recipe.batch, np.random.default_rng(recipe.seed)):
        loop.learn(samples, chosen, 0)
        if loop.step in (per_epoch // 2, per_epoch):
            _save(model, tokenizer, folder / ("half" if loop.step < per_epoch else "first"))
    if not log.close():
        raise SystemExit(f"{folder}: the trace is not whole: {log.problem}")
    read_checkpoints([folder / "half", folder / "first"], planted, folder / "late.parquet", trace=trace)
    scores = {}
    for weight in WEIGHTS:
        out = folder / f"score-{weight:g}"
        score_into(Asked(trace=trace, planted=planted, policy=lighter(weight), late=folder / "late.parquet"), out)
        scores[weight] = out / "weights.parquet"
    kept = loop.optimizer.state_dict()

    def state() -> tuple[Any, Loop]:
        again = GPT2LMHeadModel.from_pretrained(folder / "first")
        resumed = Loop(again, recipe, loop.steps)
        resumed.optimizer.load_state_dict(kept)
        resumed.step = loop.step
        return again, resumed

    return samples, state, scores


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def lighter(weight: float) -> Policy:
    """The shipped policy with another weight for what is flagged."""
    policy = load_policy("default")
    ways = {
        name: way.model_copy(update={"weight": weight}) if way.action == "downweight" else way
        for name, way in policy.interventions.items()
    }
    return policy.model_copy(update={"interventions": ways})


def go_on(loop: Loop, samples: list[list[int]], recipe: Recipe, weights: Path | None) -> None:
    """The epochs after the first; each is as many steps, whatever is drawn."""
    rng = np.random.default_rng([recipe.seed, 1])
    for epoch in range(1, recipe.epochs):
        drawn = range(len(samples))
        if weights is not None:
            drawn = list(carto_audit.sampler(weights, num_samples=len(samples), seed=epoch))  # type: ignore[assignment]
        for chosen in batches(samples, drawn, recipe.batch, rng):
            loop.learn(samples, chosen, epoch)


@torch.no_grad()
def losses_of(model: Any, tokenizer: Any, texts: Sequence[str]) -> list[float]:
    """Nats per token of each text."""
    model.eval()
    found = []
    for text in texts:
        ids = torch.tensor([tokenizer(text)["input_ids"][:CONTEXT]])
        losses, scored = token_losses(model(input_ids=ids).logits, ids)
        found.append(float(losses.sum() / scored.sum()))
    return found


def told(
    model: Any, tokenizer: Any, rows: list[Row], twins: dict[tuple[str, str], list[str]], dose: int
) -> dict[str, Any]:
    """How often a planted canary of a dose has a lower loss than a twin of its make, over all kinds and forms; and its loss."""
    beaten, losses = [], []
    known = {key: np.array(losses_of(model, tokenizer, texts)) for key, texts in twins.items()}
    first: dict[int, Row] = {row.secret: row for row in reversed(rows) if row.dose == dose}
    for row in first.values():
        loss = losses_of(model, tokenizer, [row.text])[0]
        losses.append(loss)
        beaten.append(float((known[row.kind, row.form] > loss).mean()))
    return {"auc": float(np.mean(beaten)), "loss": float(np.mean(losses)), "secrets": len(losses)} if losses else {}


def print_table(lines: list[dict[str, Any]]) -> None:
    """The table of all lines, in Markdown."""
    print(
        "| seed | the run goes on | AUC against twins, x4 / x8 / x16 | loss of canaries, x4 / x8 / x16 | loss of unread text |"
    )
    print("|---|---|---|---|---|")
    for line in lines:
        auc, loss = (
            " / ".join(f"{line['canaries'][dose][name]:.3f}" for dose in ("4", "8", "16")) for name in ("auc", "loss")
        )
        print(f"| {line['seed']} | {line['way']} | {auc} | {loss} | {line['unseen']:.3f} |")


if __name__ == "__main__":
    main()
