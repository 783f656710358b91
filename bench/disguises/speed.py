"""How fast the contamination check is, against an older commit and corpus-assay, in turn: medians of CPU time on one core.

python -m bench.disguises.speed --data DATA --corpus-assay .peers/bin/corpus-assay
"""

import io
import json
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from types import TracebackType

from bench.contamination import peers, plants
from bench.contamination.run import read_items
from bench.corpora import Item, open_corpora, parser_of, write_items

BASELINE = "9c58cba"
"""The last commit that compared words only."""

ROOT = Path(__file__).resolve().parents[2]
BARS = dict(zip(peers.SPEEDS, (4.0, 1.2), strict=True))
"""How many times as fast as corpus-assay."""

_CHILD = """
import json, sys, time
from pathlib import Path
from carto_audit.benchmarks.index import build_index
from carto_audit.benchmarks.items import read_benchmark
try:
    from carto_audit.contamination.matching import find_matches
except ImportError:
    from carto_audit.contamination.check import find_matches
folder = Path(sys.argv[1])
index = build_index([read_benchmark(path) for path in sorted(folder.glob("*.parquet"))])
documents = json.loads((folder / "documents.json").read_text())
for line in sys.stdin:
    texts = documents[line.strip()]
    begin = time.process_time()
    for start in range(0, len(texts), 2000):
        find_matches(texts[start : start + 2000], index)
    print(time.process_time() - begin, flush=True)
"""


class Checkout:
    """A process that runs one version of the check, and says the CPU seconds that some documents took."""

    def __init__(self, code: Path, folder: Path) -> None:
        command = [sys.executable, "-c", _CHILD, str(folder)]
        self._process = subprocess.Popen(
            command, cwd=code, env={"PYTHONPATH": str(code)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Checkout":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()

    def seconds(self, name: str) -> float:
        """CPU seconds for the documents of that name."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


def unpack(commit: str, folder: Path) -> Path | None:
    """The files of a commit, or None where this is no checkout that has it."""
    done = subprocess.run(["git", "archive", commit, "carto_audit"], cwd=ROOT, capture_output=True)
    if done.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def measure(
    items: dict[str, list[Item]], documents: dict[str, list[str]], repeats: int, baseline: str | None, peer: str | None
) -> None:
    """Prints MB/s of each, medians of so many rounds, and the ratios of the same rounds."""
    sizes = {name: sum(len(text.encode()) for text in texts) / 1e6 for name, texts in documents.items()}
    with tempfile.TemporaryDirectory() as scratch:
        folder, old = Path(scratch, "items"), Path(scratch, "old")
        for name, own in items.items():
            write_items(folder / f"{name}.parquet", own)
        (folder / "documents.json").write_text(json.dumps(documents), encoding="utf-8")
        code = {"this checkout": ROOT}
        if baseline and (found := unpack(baseline, old)):
            code[baseline] = found
        rates: dict[str, dict[str, list[float]]] = {}
        with ExitStack() as open_processes:
            runs = {version: open_processes.enter_context(Checkout(place, folder)) for version, place in code.items()}
            for name in sizes:  # once to warm them
                for run in runs.values():
                    run.seconds(name)
            for _ in range(repeats):
                for name, size in sizes.items():
                    for version, run in runs.items():
                        rates.setdefault(version, {}).setdefault(name, []).append(size / run.seconds(name))
                _add_peer(rates, items, documents, peer)
    _show(rates)


def _add_peer(
    rates: dict[str, dict[str, list[float]]],
    items: dict[str, list[Item]],
    documents: dict[str, list[str]],
    peer: str | None,
) -> None:
    """Adds a round of corpus-assay, where it is at hand."""
    try:
        _, found = peers.corpus_assay(peer, items, documents)
    except peers.SkippedError:
        return
    for name, rate in zip(peers.SPEEDS, found, strict=True):
        rates.setdefault("corpus-assay", {}).setdefault(name, []).append(rate)


def _show(rates: dict[str, dict[str, list[float]]]) -> None:
    names = list(rates["this checkout"])
    print("| MB/s, median | " + " | ".join(names) + " | rounds |\n|---|" + "---|" * (len(names) + 1))
    for version, own in rates.items():
        cells = " | ".join(f"{median(own[name]):.2f}" for name in names)
        print(f"| {version} | {cells} | {len(own[names[0]])} |")
    for version, own in rates.items():
        if version != "this checkout":
            ratios = [median(a / b for a, b in zip(rates["this checkout"][n], own[n], strict=True)) for n in names]
            bars = [f" (bar {BARS[name]:g})" if version == "corpus-assay" else "" for name in names]
            cells = " | ".join(f"{ratio:.2f}{bar}" for ratio, bar in zip(ratios, bars, strict=True))
            print(f"| times as fast as {version} | {cells} | {len(own[names[0]])} |")


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table as Markdown."""
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--baseline", default=BASELINE, metavar="COMMIT")
    parser.add_argument("--corpus-assay", metavar="COMMAND", help="its command, from an environment of its own")
    given = parser.parse_args(arguments)
    with open_corpora(given) as corpora:
        clean = corpora.texts("wikitext")
        items = read_items(corpora)
        prose, rng = " ".join(clean).split(), random.Random(2)
        pool = items["mmlu"] + items["gsm8k"]
        third = [
            plants.embed(plants.with_answer(rng.choice(pool)), prose, rng) if k % 3 == 0 else text
            for k, text in enumerate(clean)
        ]
        documents = dict(zip(peers.SPEEDS, (clean, third), strict=True))
        measure(
            items,
            documents,
            1 if given.smoke else given.rounds,
            None if given.smoke else given.baseline,
            given.corpus_assay,
        )


if __name__ == "__main__":
    main()
