"""Reading: seconds and peak memory of `read_batch`, by format. Each file is read by a process of its own.

python -m bench.reading.run --data DATA --megabytes 200 --against CHECKOUT    # beside another version, in turns
python -m bench.reading.run --data DATA --megabytes 1000
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc as pa_ipc
import pyarrow.parquet as pq

from bench.corpora import open_corpora, parser_of

ROOT = Path(__file__).resolve().parents[2]
SMOKE_MEGABYTES = 0.2
ROWS_A_BATCH = 5000
OLD = ("parquet", "jsonl")
"""What the version beside it is asked to read."""

_READ = """
import json, resource, sys, time
from carto_audit.data.batch import read_batch
begun, cpu = time.perf_counter(), time.process_time()
batch = read_batch([sys.argv[1]])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(json.dumps([len(batch), time.perf_counter() - begun, time.process_time() - cpu, peak]))
"""


def rows_of(texts: list[str], megabytes: float) -> Iterator[dict[str, str]]:
    """Rows of an id, a source and a text, so many megabytes of text in all."""
    size = 0
    for number in count():
        text = texts[number % len(texts)]
        size += len(text.encode())
        if size > megabytes * 1e6:
            return
        yield {"id": f"row-{number}", "source": f"https://example.org/{number % 97}", "text": text}


def write_columnar(path: Path, rows: Iterator[dict[str, str]], new: Callable[..., object]) -> None:
    """Parquet or Arrow, in batches."""
    schema = pa.schema({"id": pa.string(), "source": pa.string(), "text": pa.string()})
    with new(str(path), schema) as writer:  # type: ignore[attr-defined]
        held: list[dict[str, str]] = []
        for row in rows:
            held.append(row)
            if len(held) == ROWS_A_BATCH:
                writer.write_batch(pa.RecordBatch.from_pylist(held, schema=schema))
                held = []
        writer.write_batch(pa.RecordBatch.from_pylist(held, schema=schema))


def write_json(path: Path, rows: Iterator[dict[str, str]], head: str, between: str, tail: str) -> None:
    """Objects with something between them."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write(head)
        for number, row in enumerate(rows):
            stream.write((between if number else "") + json.dumps(row, ensure_ascii=False))
        stream.write(tail)


def write_delimited(path: Path, rows: Iterator[dict[str, str]], delimiter: str) -> None:
    """CSV or TSV."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(["id", "source", "text"])
        writer.writerows(row.values() for row in rows)


WRITERS: dict[str, tuple[str, Callable[[Path, Iterator[dict[str, str]]], None]]] = {
    "parquet": ("a.parquet", lambda path, rows: write_columnar(path, rows, pq.ParquetWriter)),
    "jsonl": ("a.jsonl", lambda path, rows: write_json(path, rows, "", "\n", "\n")),
    "json, a list": ("b.json", lambda path, rows: write_json(path, rows, "[", ", ", "]")),
    "json, a list inside": ("c.json", lambda path, rows: write_json(path, rows, '{"v": 1, "data": [', ",\n", "]}")),
    "csv": ("a.csv", lambda path, rows: write_delimited(path, rows, ",")),
    "tsv": ("a.tsv", lambda path, rows: write_delimited(path, rows, "\t")),
    "arrow": ("a.arrow", lambda path, rows: write_columnar(path, rows, pa_ipc.new_stream)),
}


def measure(path: Path, checkout: Path) -> tuple[int, float, float, float]:
    """Rows, seconds, CPU seconds and peak memory in GB of reading a file with the code of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    ended = subprocess.run(
        [sys.executable, "-c", _READ, str(path)], capture_output=True, text=True, check=True, env=environment
    )
    rows, seconds, cpu, peak = json.loads(ended.stdout)
    return int(rows), seconds, cpu, peak


def main(arguments: list[str] | None = None) -> None:
    """Writes one file after the other, reads it, and prints a row of the table for each."""
    parser = parser_of(__doc__)
    parser.add_argument("--megabytes", type=float, default=200, help="of text in each file")
    parser.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="another version, which reads Parquet and JSONL too"
    )
    parser.add_argument("--only", action="append", choices=list(WRITERS), help="this format; may be repeated")
    given = parser.parse_args(arguments)
    megabytes = SMOKE_MEGABYTES if given.smoke else given.megabytes
    with open_corpora(given) as corpora, tempfile.TemporaryDirectory() as scratch:
        texts = corpora.texts("wikitext")
        print("| format | version | rows | seconds | CPU seconds | MB per CPU second | peak memory, GB |")
        print("|---|---|---|---|---|---|---|")
        for name in given.only or WRITERS:
            file, write = WRITERS[name]
            path = Path(scratch) / file
            write(path, rows_of(texts, megabytes))
            for checkout in (given.against, ROOT) if given.against and name in OLD else (ROOT,):
                rows, seconds, cpu, peak = measure(path, checkout)
                version = "this" if checkout == ROOT else "that"
                speed = megabytes / cpu
                print(
                    f"| {name} | {version} | {rows:,} | {seconds:.1f} | {cpu:.1f} | {speed:.0f} | {peak:.2f} |",
                    flush=True,
                )
            path.unlink()


if __name__ == "__main__":
    main()
