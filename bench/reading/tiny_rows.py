"""Tiny rows: peak memory of each stage that sees every row, with 12 bytes of text in a row. Each stage is a process of its own.

python -m bench.reading.tiny_rows --data DATA --rows 1200000
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.corpora import open_corpora, parser_of

ROOT = Path(__file__).resolve().parents[2]
SMOKE_ROWS = 2000

_STAGES = {
    "reading": "",
    "duplicates": """
from carto_audit.data.duplicates import find_duplicates
found = int((find_duplicates(batch, Path(folder)).cluster_size > 1).sum())
""",
    "contamination": """
from carto_audit.contamination.check import check_contamination, find_matches
from carto_audit.contamination.sources import open_index
found = check_contamination(batch, *open_index([sys.argv[2]], find_matches), folder=Path(folder)).matches.num_rows
""",
}
"""What each process does after it has read the batch. `found`: rows with copies, or matches."""

_MEASURE = """
import json, resource, sys, tempfile
from pathlib import Path
from carto_audit.data.batch import read_batch
batch, found = read_batch([sys.argv[1]]), 0
with tempfile.TemporaryDirectory() as folder:
    exec(sys.argv[3])
peaks = [resource.getrusage(who).ru_maxrss / 1e3 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps([found, max(peaks)]))
"""


def of_words(rng: random.Random) -> Callable[[], str]:
    """Three words out of a thousand: hardly any row is like another."""
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=3)) for _ in range(1000)]
    return lambda: " ".join(rng.choices(words, k=3)) + "."


def of_letters(rng: random.Random) -> Callable[[], str]:
    """Six words of one letter out of twelve: every row is nearly like many others."""
    return lambda: " ".join(rng.choices("abcdefghijkl", k=6)) + "."


ROWS: dict[str, Callable[[random.Random], Callable[[], str]]] = {"words": of_words, "letters": of_letters}


def write_rows(path: Path, texts: Iterator[str]) -> None:
    """A batch of one column, as JSON lines or Parquet."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"text": list(texts)}), path)
        return
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps({"text": text}) + "\n" for text in texts)


def measure(stage: str, batch: Path, benchmark: Path) -> tuple[int, float]:
    """What was found, and peak memory in MB, reading included."""
    command = [sys.executable, "-c", _MEASURE, str(batch), str(benchmark), _STAGES[stage]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found, peak = json.loads(ended.stdout)
    return int(found), peak


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes one batch after the other, and prints a row for every stage."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=1_200_000)
    given = parser.parse_args(arguments)
    rows = SMOKE_ROWS if given.smoke else given.rows
    with open_corpora(given) as corpora, tempfile.TemporaryDirectory() as scratch:
        benchmark = corpora.benchmark("gsm8k")
        print("| rows of | format | stage | rows | found | peak memory, MB |\n|---|---|---|---|---|---|")
        for kind, maker in ROWS.items():
            for name in ("jsonl",) if given.smoke else ("jsonl", "parquet"):
                batch, write = Path(scratch) / f"batch.{name}", maker(random.Random(5))
                write_rows(batch, (write() for _ in range(rows)))
                for stage in _STAGES:
                    found, peak = measure(stage, batch, benchmark)
                    print(f"| {kind} | {name} | {stage} | {rows:,} | {found:,} | {peak:.0f} |", flush=True)
                batch.unlink()


if __name__ == "__main__":
    main()
