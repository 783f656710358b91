"""Memory of a streamed batch: 20,000 items, and text made as it is read. Peak memory must not grow with the text."""

import argparse
import random
import resource
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
from run import read

from carto_audit.benchmarks.index import build_index
from carto_audit.contamination.check import find_matches

ITEMS, ROWS = 20_000, 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--gigabytes", type=float, default=10.0)
    options = parser.parse_args()
    rng = random.Random(5)
    folder = options.data / "benchmarks"
    items = [row for name in ("gsm8k", "mmlu") for row in pq.read_table(folder / f"{name}_test.parquet").to_pylist()]
    paragraphs = pq.read_table(options.data / "corpora" / "wikitext2.parquet")["text"].to_pylist()
    vocabulary = " ".join(paragraphs).split()
    while len(items) < ITEMS:  # the rest are made of words at random
        question = " ".join(rng.choices(vocabulary, k=rng.randrange(8, 60)))
        items.append(
            {"item_id": f"made/{len(items)}", "passage": None, "question": question, "choices": [], "answer": "1"}
        )
    with tempfile.TemporaryDirectory() as scratch:
        index = build_index([read(Path(scratch), "many", items)])
    size, matches, begin, shown = 0, 0, time.perf_counter(), 0
    print("| GB of text | matches | peak memory, GB | minutes |\n|---|---|---|---|")
    while size < options.gigabytes * 1e9:
        rows = [
            " ".join([rng.choice(paragraphs), *rng.choices(vocabulary, k=60), rng.choice(paragraphs)])
            for _ in range(ROWS)
        ]
        rows[0] += "\n" + rng.choice(items)["question"]
        size += sum(map(len, rows))
        matches += len(find_matches(rows, index))
        if size >= shown:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(
                f"| {size / 1e9:.2f} | {matches} | {peak:.2f} | {(time.perf_counter() - begin) / 60:.1f} |", flush=True
            )
            shown += int(options.gigabytes * 1e8)


if __name__ == "__main__":
    main()
