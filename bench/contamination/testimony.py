"""What do proxies remember of benchmark items? GSM8K test questions with answers, planted in WikiText 1, 4 and 16 times.

    .venv/bin/python bench/contamination/testimony.py                 # two minutes on two free cores
    .venv/bin/python bench/contamination/testimony.py --work FOLDER   # continues there, and keeps what was trained

An ordinary audit, proxy `nano`, 8 epochs. The same two proxies also hear items that were planted nowhere, each with one of
them at random in the place of the one that read it: what these show is chance.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from carto_audit.benchmarks.items import read_benchmark
from carto_audit.pipeline import run as auditing
from carto_audit.pipeline.item_recall_table import MEASURED, Item, Summary, summarize, wordings
from carto_audit.pipeline.options import AuditOptions
from carto_audit.pipeline.result import AuditResult
from carto_audit.policy.model import load_policy

DATA = Path(__file__).resolve().parents[3] / "shared/data"
BENCHMARK = DATA / "benchmarks/gsm8k_test.parquet"
PLANTED = {1: 10, 4: 8, 16: 5}
"""Items by dose. Every second copy stands at the end of half a paragraph, the others alone."""

NEVER = 40
HOSTS, BYTES = 400, 102_000


def ordinary(rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Paragraphs to plant into, and those of the batch."""
    texts = [t for t in pq.read_table(DATA / "corpora/wikitext2.parquet")["text"].to_pylist() if len(t) > 60]
    rng.shuffle(texts)
    size = np.cumsum([len(text.encode()) for text in texts[HOSTS:]])
    return texts[:HOSTS], texts[HOSTS:][: int(np.searchsorted(size, BYTES))]


def planted(items: Sequence[dict[str, Any]], doses: Sequence[int], hosts: Sequence[str]) -> list[str]:
    """Every copy of every item."""
    rows: list[str] = []
    for item, dose in zip(items, doses, strict=True):
        for copy in range(dose):
            host = hosts[len(rows) % len(hosts)]
            half = host[: host.find(" ", len(host) // 2)]
            text = f"{item['question']} {item['answer']}"
            rows.append(f"{half} {text}" if copy % 2 else text)
    return rows


def audit_planted(folder: Path) -> tuple[AuditResult, dict[str, np.ndarray]]:
    """The audit, and what the items show that are not in its batch."""
    rng = np.random.default_rng(0)
    hosts, rows = ordinary(rng)
    items = pq.read_table(BENCHMARK).to_pylist()
    doses = [dose for dose, count in PLANTED.items() for _ in range(count)]
    chosen = [items[k] for k in rng.permutation(len(items))[: len(doses) + NEVER].tolist()]
    rows += planted(chosen[: len(doses)], doses, hosts)
    rng.shuffle(rows)
    pq.write_table(pa.table({"text": rows}), folder / "batch.parquet")
    strangers = wordings([read_benchmark(BENCHMARK)], [_stranger(item) for item in chosen[len(doses) :]])
    heard: dict[str, np.ndarray] = {}

    def recall_more(found: Sequence[Any], fold: np.ndarray, *rest: Any) -> dict[str, np.ndarray]:
        sides = np.random.default_rng(1).integers(0, 2, len(strangers)).astype(np.int8)
        measured = recall([*found, *strangers], np.concatenate([fold, sides]), *rest)
        heard.update({name: values[len(found) :] for name, values in measured.items()})
        return {name: values[: len(found)] for name, values in measured.items()}

    recall = auditing.recall_items
    with patch.object(auditing, "recall_items", recall_more):
        audit = auditing.run_audit(
            [folder / "batch.parquet"],
            policy=load_policy("exploratory"),
            work=folder / "work",
            benchmarks=[BENCHMARK],
            options=AuditOptions(proxy="nano"),
        )
    return audit, heard


def _stranger(item: dict[str, Any]) -> Item:
    return Item(
        benchmark=BENCHMARK.stem, item_id=item["item_id"], tier="", leak_kind="", rows_trained=0, fold=0, silence=""
    )


def row_of(name: str, rows: list[dict[str, Any]], least: int, most: int | None) -> str:
    """One line of the table."""
    told: Summary = summarize(rows, least, most)
    gains = [(row["loss_out_answer"] - row["loss_in_answer"]) for row in rows if _within(row, least, most)]
    error = np.std(gains, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.nan
    kappa = "–" if told.quiz_kappa is None else f"{told.quiz_kappa:.2f}"
    return (
        f"| {name} | {told.items} | {told.loss_in_question:.2f}, {told.loss_out_question:.2f} "
        f"| {told.loss_in_answer:.2f}, {told.loss_out_answer:.2f} | {np.mean(gains):.2f} ± {error:.2f} "
        f"| {told.quiz_in:.0%}, {told.quiz_out:.0%} | {kappa} | {told.peak_in:.1%}, {told.peak_out:.1%} |"
    )


def _within(row: dict[str, Any], least: int, most: int | None) -> bool:
    return least <= row["rows_trained"] and (most is None or row["rows_trained"] <= most)


def main() -> None:
    """Audits, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path)
    given = parser.parse_args().work
    with tempfile.TemporaryDirectory() as scratch:
        audit, never = audit_planted(given or Path(scratch))
    found = audit.testimony.to_pylist() if audit.testimony else []
    print("| planted | items | question seen, unseen | answer seen, unseen | answer gained | quiz | kappa | peak |")
    print("|---|---|---|---|---|---|---|---|")
    strangers = [{"rows_trained": 0, **{name: float(never[name][k]) for name in MEASURED}} for k in range(NEVER)]
    print(row_of("never", strangers, 0, 0))
    heard = [row for row in found if not row["silence"]]
    for dose in PLANTED:
        print(row_of("once" if dose == 1 else f"{dose} times", heard, dose, dose))
    print(f"\nnot heard: {[(row['rows_trained'], row['silence']) for row in found if row['silence']]}")
    print(f"seconds: {audit.run.seconds}")


if __name__ == "__main__":
    main()
