"""Stages over all rows: CPU seconds of each in an audit of a large batch up to its training, here and with an older commit.

python -m bench.scale.stages --data DATA --megabytes 30
python -m bench.scale.stages --data DATA --megabytes 100 --results FILE     # keeps what was measured
python -m bench.scale.stages --results FILE --only table                    # prints what is kept
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.corpora import BENCHMARKS, Corpora, open_corpora, parser_of
from bench.disguises.speed import ROOT, unpack

BASELINE = "cecbf72"
"""The last commit that had every row as tokens, whatever the size of the batch."""

BAR = 4.0
"""MB of text in a CPU second, all stages over all rows together."""

MOST_MEMORY = 3.0
"""GB that a process may hold at most."""

STAGES = ("batch", "duplicates", "contamination", "vocabulary", "tokens", "kin", "spans")
"""What reads all rows; training and what follows does not."""

PHRASE_WORDS, ROW_WORDS, COPIED = (3, 5), (60, 160), 0.05
"""The text is drawn from a corpus in phrases of so many words, so that longer runs recur as seldom as in text that nobody wrote
twice; this share of the rows are copies of others."""

SMOKE_MEGABYTES, SMOKE_TOKENS = 0.3, 30_000
ROWS_A_BATCH = 5000

_AUDIT = """
import json, resource, sys, tempfile, threading, time
from pathlib import Path
import carto_audit.contamination.search as search
import carto_audit.pipeline.corpus as corpus
import carto_audit.pipeline.run as run
from carto_audit.pipeline.options import AuditOptions
from carto_audit.policy.model import load_policy

def cpu():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)

search.PARALLEL_BYTES = 1 << 62  # in this process, where its time is seen
seconds = {}
def watch(module, name, stage):
    plain = getattr(module, name, None)
    if plain is None:
        return
    def timed(*args, **kwargs):
        began = cpu()
        found = plain(*args, **kwargs)
        seconds[stage] = seconds.get(stage, 0.0) + cpu() - began
        return found
    setattr(module, name, timed)

watch(run, "read_batch", "batch")
watch(run, "find_duplicates", "duplicates")
watch(run, "search_beside", "contamination")
watch(run, "check_contamination", "contamination")
watch(corpus, "choose_proxy", "vocabulary")
watch(corpus, "encode_batches", "tokens")
watch(corpus, "find_kin", "kin")
spilled, held = 0, []

class Trained(Exception):
    pass

def stop(*args, **kwargs):
    raise Trained

run.cross_fit = stop
plain = run.traced_samples
def keep(batch, duplicates, corpus, split):
    held.append((batch, corpus, split))
    return plain(batch, duplicates, corpus, split)
run.traced_samples = keep

def locate(batch, corpus, split):
    import numpy as np
    began, place = cpu(), np.where(split.trained, 0, -1)
    run.locate_spans(batch, corpus.encoder, place, place, set())
    seconds["spans"] = cpu() - began

def look(folder, done):
    global spilled
    while not done.wait(0.05):
        size = 0
        for path in folder.rglob("*"):
            try:
                size += path.stat().st_size
            except OSError:
                pass
        spilled = max(spilled, size)

batch, tokens, benchmarks = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
options = AuditOptions(max_tokens=tokens, epochs=2, repeats=1, seed=1, device="cpu")
done = threading.Event()
with tempfile.TemporaryDirectory() as work:
    looking = threading.Thread(target=look, args=(Path(work), done))
    looking.start()
    began, wall = cpu(), time.perf_counter()
    try:
        run.run_audit([batch], policy=load_policy("default"), work=Path(work), benchmarks=benchmarks, options=options)
    except Trained:
        locate(*held[0])
    finally:
        done.set()
        looking.join()
peak = max(resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps({
    "seconds": seconds, "all": cpu() - began, "wall": time.perf_counter() - wall, "peak_gb": peak / 1e6,
    "spilled": spilled, "rows": len(held[0][0]), "bytes": int(held[0][0].n_bytes.sum()),
    "trained": int(held[0][2].trained.sum()),
}))
"""


def drawn_rows(texts: Sequence[str], megabytes: float, rng: random.Random) -> Iterator[str]:
    """Rows of phrases of the texts, so many megabytes in all, some of them copies of one of the last thousand."""
    words = " ".join(texts).split()
    size, last = 0, [""]
    while size < megabytes * 1e6:
        row = rng.choice(last) if rng.random() < COPIED else ""
        if not row:
            drawn: list[str] = []
            for _ in range(rng.randint(*ROW_WORDS) // 4):
                begin = rng.randrange(len(words) - PHRASE_WORDS[1])
                drawn += words[begin : begin + rng.randint(*PHRASE_WORDS)]
            row = " ".join(drawn)
            last = [*last[-999:], row]
        size += len(row.encode())
        yield row


def write_rows(path: Path, rows: Iterator[str]) -> None:
    """A batch of one column, in batches, so that memory does not grow with it."""
    schema = pa.schema({"text": pa.string()})
    held: list[str] = []
    with pq.ParquetWriter(str(path), schema) as writer:
        for row in rows:
            held.append(row)
            if len(held) == ROWS_A_BATCH:
                writer.write_batch(pa.record_batch([held], schema=schema))
                held = []
        writer.write_batch(pa.record_batch([held], schema=schema))


def audit(batch: Path, tokens: int, benchmarks: Sequence[Path], checkout: Path) -> dict[str, Any]:
    """What one audit with the code of a checkout took."""
    command = [sys.executable, "-c", _AUDIT, str(batch), str(tokens), *map(str, benchmarks)]
    with tempfile.TemporaryDirectory() as cache:  # in which nothing was found before
        environment = {**os.environ, "PYTHONPATH": str(checkout), "XDG_CACHE_HOME": cache}
        ended = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(ended.stderr[-2000:])
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def measure(corpora: Corpora, megabytes: float, tokens: int, baseline: str | None) -> Iterator[dict[str, Any]]:
    """A result for each version, over the same batch."""
    benchmarks = [corpora.benchmark(name) for name in BENCHMARKS]
    with tempfile.TemporaryDirectory() as scratch:
        batch, old = Path(scratch, "batch.parquet"), Path(scratch, "old")
        write_rows(batch, drawn_rows(corpora.texts("wikitext"), megabytes, random.Random(7)))
        code = {"this checkout": ROOT}
        if baseline and (found := unpack(baseline, old)):
            for name in ("policies", "templates"):
                (old / name).symlink_to(ROOT / name)
            code[baseline] = found
        for version, checkout in code.items():
            yield {"version": version, "tokens": tokens, **audit(batch, tokens, benchmarks, checkout)}


def show(results: Sequence[dict[str, Any]]) -> None:
    """Prints a table of CPU seconds, a column for each result."""
    heads = [f"{result['version']}, {result['bytes'] / 1e6:.1f} MB" for result in results]
    print("| CPU seconds | " + " | ".join(heads) + " |\n|---|" + "---|" * len(heads))
    for stage in STAGES:
        print(f"| {stage} | " + " | ".join(f"{result['seconds'].get(stage, 0):.1f}" for result in results) + " |")
    sums = [sum(result["seconds"].get(stage, 0) for stage in STAGES) for result in results]
    print("| all of these | " + " | ".join(f"{total:.1f}" for total in sums) + " |")
    for name, left_out in ((f"MB in a CPU second (bar {BAR:g})", ""), ("without contamination", "contamination")):
        seconds = [total - result["seconds"].get(left_out, 0) for result, total in zip(results, sums, strict=True)]
        rates = [result["bytes"] / 1e6 / used for result, used in zip(results, seconds, strict=True)]
        print(f"| {name} | " + " | ".join(f"{rate:.2f}" for rate in rates) + " |")
    spilled = [result["spilled"] / result["bytes"] for result in results]
    print("| files meanwhile, times the text (bar 1) | " + " | ".join(f"{share:.2f}" for share in spilled) + " |")
    peaks = " | ".join(f"{result['peak_gb']:.2f}" for result in results)
    print(f"| most memory of a process, GB (bar {MOST_MEMORY:g}) | {peaks} |")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table as Markdown."""
    parser = parser_of(__doc__)
    parser.add_argument("--megabytes", type=float, default=30.0, help="of text in the batch")
    parser.add_argument("--max-tokens", type=int, default=300_000, help="that are trained on")
    parser.add_argument("--baseline", default=BASELINE, metavar="COMMIT")
    parser.add_argument("--results", type=Path, metavar="FILE", help="keeps what is measured, a line for each audit")
    parser.add_argument("--only", choices=["table"], help="the table of what is kept")
    given = parser.parse_args(arguments)
    if given.only:
        show([json.loads(line) for line in given.results.read_text("utf-8").splitlines()])
        return
    size, tokens = (SMOKE_MEGABYTES, SMOKE_TOKENS) if given.smoke else (given.megabytes, given.max_tokens)
    with open_corpora(given) as corpora:
        results = list(measure(corpora, size, tokens, None if given.smoke else given.baseline))
    if given.results:
        with given.results.open("a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(result) + "\n" for result in results)
    show(results)


if __name__ == "__main__":
    main()
