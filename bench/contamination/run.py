"""Recall per plant form, false positives and speed of the contamination check. README.md holds the last result."""

import argparse
import random
import re
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from carto_audit.batch import Batch, iter_texts, read_batch
from carto_audit.benchmark import read_benchmark
from carto_audit.contamination import check_contamination, find_matches
from carto_audit.index import Index, build_index
from carto_audit.tiers import CONFIRMED, SUSPECTED

FORMS = ("q", "qa", "embedded", "embedded qa", "rewrapped", "edited")


def with_answer(item: dict[str, Any]) -> str:
    options = "".join(f"\n{'ABCDEFGHIJ'[k]}. {choice}" for k, choice in enumerate(item["choices"][:10]))
    return f"{item['question']}{options}\nAnswer: {item['answer']}"


def embed(text: str, prose: list[str], rng: random.Random) -> str:
    start = rng.randrange(len(prose) - 300)
    return " ".join([*prose[start : start + 150], text, *prose[start + 150 : start + 300]])


def rewrap(text: str) -> str:
    words = text.split()
    return "\n".join(" ".join(words[k : k + 8]) for k in range(0, len(words), 8))


def edit(text: str, prose: list[str], rng: random.Random) -> str:
    return re.sub(r"\S+", lambda m: rng.choice(prose) if rng.random() < 0.1 else m[0], text)


def plants(items: list[dict[str, Any]], prose: list[str], rng: random.Random) -> dict[str, list[str]]:
    makers: dict[str, Callable[[dict[str, Any]], str]] = {
        "q": lambda item: item["question"],
        "qa": with_answer,
        "embedded": lambda item: embed(item["question"], prose, rng),
        "embedded qa": lambda item: embed(with_answer(item), prose, rng),
        "rewrapped": lambda item: rewrap(with_answer(item)),
        "edited": lambda item: edit(with_answer(item), prose, rng),
    }
    return {form: [makers[form](item) for item in items] for form in FORMS}


def recall(index: Index, items: list[tuple[int, dict[str, Any]]], prose: list[str], rng: random.Random) -> None:
    """Prints, per form, the share of items confirmed, flagged at all, and named rightly among the confirmed."""
    item_group = {int(item): group for group in range(len(index.items)) for item in index.items[group]}
    for form, texts in plants([item for _, item in items], prose, rng).items():
        confirmed, flagged, right = set(), set(), set()
        for match in find_matches(texts, index):
            flagged |= {match.row} if match.tier >= SUSPECTED else set()
            confirmed |= {match.row} if match.tier == CONFIRMED else set()
            if match.tier == CONFIRMED and item_group[items[match.row][0]] == match.group:
                right.add(match.row)
        named = len(right) / max(1, len(confirmed))
        n = len(texts)
        print(f"| {form} | {len(confirmed) / n:.1%} | {len(flagged) / n:.1%} | {named:.1%} |")


def flags(label: str, batch: Batch, index: Index) -> None:
    found = check_contamination(batch, index)
    counts = {name: int(found.is_tier(name).sum()) for name in ("confirmed", "suspected", "source_overlap")}
    print(f"| {label} | {len(batch)} | {counts['confirmed']} | {counts['suspected']} | {counts['source_overlap']} |")


def timed(label: str, batch: Batch, index: Index) -> None:
    """Prints the speed of the whole pass, reading the file included."""
    begin = time.process_time()
    for chunk in iter_texts(batch):
        find_matches(chunk.texts, index)
    print(f"| {label} | {batch.n_bytes.sum() / 1e6 / (time.process_time() - begin):.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--items", type=int, default=500, help="items planted per benchmark")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    folder, corpora = options.data / "benchmarks", options.data / "corpora"
    benchmarks = [read_benchmark(folder / f"{name}.parquet") for name in ("gsm8k_test", "mmlu_test")]
    begin = time.process_time()
    index = build_index(benchmarks)
    print(f"index of {sum(b.items.num_rows for b in benchmarks)} items: {time.process_time() - begin:.1f} s\n")
    prose = " ".join(pq.read_table(corpora / "wikitext2.parquet")["text"].to_pylist()).split()
    offset = 0
    for benchmark in benchmarks:
        rows = list(enumerate(benchmark.items.to_pylist(), start=offset))
        offset += len(rows)
        print(f"{benchmark.name}, {options.items} items\n")
        print("| form | confirmed | + suspected | named rightly |\n|---|---|---|---|")
        recall(index, rng.sample(rows, options.items), prose, rng)
        print()
    print("| negatives | rows | confirmed | suspected | source_overlap |\n|---|---|---|---|---|")
    gsm8k = build_index(benchmarks[:1])
    flags("gsm8k_train, index gsm8k_test", read_batch([corpora / "gsm8k_train.parquet"]), gsm8k)
    for name in ("gsm8k_train", "wikitext2", "shakespeare"):
        flags(f"{name}, index of both", read_batch([corpora / f"{name}.parquet"]), index)
    with tempfile.TemporaryDirectory() as scratch:
        empty = Path(scratch) / "empty.parquet"
        pq.write_table(pa.table({"text": ["nothing"]}), empty)
        begin = time.process_time()
        check_contamination(read_batch([empty]), index)
        print(f"\nself-plant of all items: {time.process_time() - begin:.1f} s")
        print("\n| speed, one core | MB/s |\n|---|---|")
        for name in ("wikitext2", "shakespeare", "gsm8k_train"):
            table = pq.read_table(corpora / f"{name}.parquet", columns=["text"])
            many = Path(scratch) / f"{name}.parquet"
            pq.write_table(pa.concat_tables([table] * 8), many)
            timed(name, read_batch([many]), index)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
