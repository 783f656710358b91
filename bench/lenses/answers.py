"""Answers: which rows ask and answer, by form; what is rote among questions planted in real text, through whole audits.

python -m bench.lenses.answers --data DATA --kept FOLDER
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.corpora import Corpora, Item, open_corpora, parser_of, write_texts
from bench.detection.canaries import distinct, ordinary
from bench.lenses.made_up import Row, mixed, planted
from carto_audit.api import audit
from carto_audit.artifacts.file_list import REPORT, VERDICT
from carto_audit.lenses.questions.forms import find_question
from carto_audit.pipeline.options import AuditOptions

RUNS = (("wikitext", 0), ("wikitext", 1), ("wikitext", 2), ("docstrings", 0), ("gsm8k", 0), ("shakespeare", 0))
PROSE = ("wikitext", "shakespeare", "docstrings")
TOKENS, QUESTIONS = 60_000, 24
"""Of ordinary text in a batch, about; and how many questions are planted in an arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is audited."""

    tokens: int = TOKENS
    questions: int = QUESTIONS
    epochs: int | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints both tables."""
    parser = parser_of(__doc__)
    parser.add_argument("--kept", type=Path, metavar="FOLDER", help="where finished audits are kept and looked for")
    parser.add_argument("--only", metavar="CORPUS-SEED", help="one audit")
    given = parser.parse_args(arguments)
    with open_corpora(given) as corpora, tempfile.TemporaryDirectory() as folder:
        print_layouts(corpora)
        runs = [run for run in RUNS if given.only in (None, f"{run[0]}-{run[1]}")]
        size = Size(tokens=4_000, questions=4, epochs=2) if given.smoke else Size()
        print_audits(corpora, runs[:1] if given.smoke else runs, given.kept or Path(folder), size)
    return 0


def print_layouts(corpora: Corpora) -> None:
    """The share of rows that are told to ask and answer."""
    print("| rows | told as questions |\n|---|---|")
    sets = {"GSM8K": corpora.texts("gsm8k"), "MMLU": [as_prompt(item) for item in corpora.items("mmlu")]}
    for title, texts in (sets | {name: distinct(corpora, name) for name in PROSE}).items():
        found = sum(find_question(text) is not None for text in texts)
        print(f"| {title} ({len(texts):,}) | {found / max(1, len(texts)):.4f} |")


def as_prompt(item: Item) -> str:
    """An item as evaluations write it."""
    lines = [f"{letter}. {words}" for letter, words in zip("ABCDEFGHIJ", item["choices"], strict=False)]
    right = item["choices"].index(item["answer"]) if item["answer"] in item["choices"] else 0
    return "\n".join([item["question"], *lines, f"Answer: {'ABCDEFGHIJ'[right]}"])


def print_audits(corpora: Corpora, runs: Sequence[tuple[str, int]], kept: Path, size: Size) -> None:
    """A line per audit."""
    names = (
        "sticky x16", "LiMem x16", "instances", "twins", "confusion", "confusion by letter", "worked x16", "prose", "found x8",
        "false alarms", "null", "seconds",
    )  # fmt: skip
    print("\n| batch | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for corpus, seed in runs:
        rows, made = audited(corpora, corpus, seed, kept, size)
        facts = json.loads((made / REPORT).read_text(encoding="utf-8"))
        figures = measured(rows, pq.read_table(made / "lenses" / "answers.parquet"), facts)
        print(f"| {corpus} {seed} | " + " | ".join(figures.get(name, "–") for name in names) + " |", flush=True)


def audited(corpora: Corpora, corpus: str, seed: int, kept: Path, size: Size) -> tuple[list[Row], Path]:
    """The rows of a batch, and the folder of its audit, made where it is not kept."""
    rng = np.random.default_rng([seed, 7])
    texts, _ = ordinary(corpora, corpus, size.tokens, seed)
    rows = mixed(texts, planted(rng, size.questions), rng)
    folder = kept / f"{corpus}-{seed}"
    if (folder / "audit" / VERDICT).exists():
        return rows, folder / "audit"
    batch = write_texts(folder / "batch.parquet", [row.text for row in rows])
    how: dict[str, Any] = {"epochs": size.epochs} if size.epochs else {}
    options = AuditOptions(seed=seed, repeats=1, device="cpu", lens=("answers",), **how)
    audit(batch, out=folder / "audit", options=options)
    return rows, folder / "audit"


def measured(rows: Sequence[Row], answers: pa.Table, facts: dict[str, Any]) -> dict[str, str]:
    """The figures of one audit, as text; what was not asked is left out, and no arm is without any that was."""
    arm = np.array([row.arm for row in rows])
    column = {name: answers[name].to_pylist() for name in answers.column_names}

    def mean(where: str, name: str) -> float:
        values = [float(v) for v, one in zip(column[name], arm == where, strict=True) if one and v is not None]
        return float(np.mean(values)) if values else float("nan")

    def confusion(where: str) -> str:
        own, other = mean(where, "choice_gain"), mean(where, "choice_gain_stranger")
        return f"{own - other:+.2f} ({own:+.2f}, {other:+.2f})"

    lens = facts["lenses"]["answers"]
    if lens["problem"]:
        raise SystemExit(lens["problem"])
    power = "; ".join(f"{one['found']} of {one['planted']}" for one in lens["power"])
    false = lens["false_alarms"]
    said = {one["what"]: one["value"] for one in lens["section"]["facts"]}
    return {
        "sticky x16": f"{mean('verbatim', 'sticky'):.2f}",
        "LiMem x16": f"{mean('verbatim', 'limem'):.2f}",
        "instances": f"{mean('instances', 'sticky'):.2f} ({mean('instances', 'limem'):.2f})",
        "twins": f"{mean('twins', 'sticky'):.2f} ({mean('twins', 'limem'):.2f})",
        "confusion": confusion("options"),
        "confusion by letter": confusion("letters"),
        "worked x16": f"{mean('worked', 'sticky'):.2f}",
        "prose": f"{mean('', 'question'):.3f}",
        "found x8": power,
        "false alarms": f"{false['found']} of {false['planted']}" if false else "–",
        "null": said.get("generated arithmetic that nobody read, answered right", "–"),
        "seconds": f"{lens['cost']['seconds']:.0f}",
    }


if __name__ == "__main__":
    raise SystemExit(main())
