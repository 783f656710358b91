"""Peers on the bench's own documents: two that really run, where they are installed, and rules named as re-implemented."""

import json
import resource
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasketch import MinHash, MinHashLSH

from bench.contamination.plants import question_of, with_answer, words
from bench.corpora import Item

Flags = dict[str, list[bool]]
"""For each named set of documents, which of them the peer flags."""


SPEEDS = ("clean text", "a third contaminated")
"""The documents that speed is measured on, in MB of text per second and core."""


class SkippedError(Exception):
    """A peer that does not run here, and why."""


def corpus_assay(
    command: str | None, items: dict[str, list[Item]], documents: dict[str, list[str]]
) -> tuple[Flags, list[float]]:
    """The real program, defaults, one worker, on parquet. Gives the flags and its speed in MB/s of text, start-up taken off."""
    if not command:
        raise SkippedError("no --corpus-assay given")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        benchmarks = []
        for name, own in items.items():
            path = folder / f"{name}.jsonl"
            path.write_text(
                "\n".join(json.dumps({"q": question_of(i), "a": i["answer"]}) for i in own), encoding="utf-8"
            )
            benchmarks.append(
                {
                    "name": name,
                    "dataset": "json",
                    "data_files": {"test": str(path)},
                    "splits": ["test"],
                    "fields": ["q", "a"],
                }
            )
        config = folder / "config.yaml"
        config.write_text(json.dumps({"benchmarks": benchmarks, "ngram": 13, "min_hits": 3, "min_coverage": 0.001}))
        _run(command, "build-index", "--config", config, "--out-index", folder / "index.native", "--allow-unpinned")
        flags = {}
        for name, texts in documents.items():
            flags[name], _ = _assay(command, folder, config, texts, name)
        rate = []
        for name in SPEEDS:
            many = documents[name] * 10
            (_, started), (_, took) = (_assay(command, folder, config, some, "speed") for some in (many[:1], many))
            rate.append(sum(len(text.encode()) for text in many) / 1e6 / max(1e-3, took - started))
        return flags, rate


def _assay(command: str, folder: Path, config: Path, texts: list[str], name: str) -> tuple[list[bool], float]:
    shard, out = folder / "shard.parquet", folder / f"out-{time.monotonic_ns()}"
    pq.write_table(pa.table({"id": [str(k) for k in range(len(texts))], "text": texts}), shard)
    begin = _children()
    _run(
        command,
        "scan",
        "--config",
        config,
        "--index",
        folder / "index.native",
        "--input",
        shard,
        "--id-key",
        "id",
        "--out-dir",
        out,
        "--workers",
        1,
        "--max-return-records",
        1_000_000,
    )
    took = _children() - begin
    found = {
        str(json.loads(line)["doc_id"]).split("-part-")[0]
        for path in out.rglob("*.ndjson")
        for line in path.read_text(encoding="utf-8").splitlines()
    }
    return [str(k) in found for k in range(len(texts))], took


def _children() -> float:
    """CPU seconds of the processes that have ended: a busy machine does not make a peer look slow."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(command: str, *arguments: object) -> None:
    done = subprocess.run([*shlex.split(command), *map(str, arguments)], capture_output=True, encoding="utf-8")
    if done.returncode:
        raise SkippedError((done.stderr or done.stdout).strip().splitlines()[-1][:200])


_DATATROVE = """
import json, sys, tempfile, time
from pathlib import Path
import numpy as np
from datatrove.data import Document
from datatrove.pipeline.decont import NGramsDecontFilter, NGramsDecontIndexer
from datatrove.pipeline.decont.n_grams import NGramsDecontConfig
from datatrove.utils.hashing import HashConfig
asked = json.load(sys.stdin)
NGramsDecontIndexer._requires_dependencies = []  # lighteval only fetches tasks; these items are at hand
with tempfile.TemporaryDirectory() as folder:
    config = NGramsDecontConfig(find_query_ngrams=asked["queries"], hash_config=HashConfig(hash_fc="sha1"))
    indexer = NGramsDecontIndexer(folder, config=config)
    hashes = {h for q, a in asked["items"] for h in indexer.compute_hashes(a, q)}
    np.array(list(hashes), dtype=config.hash_config.np_descr).tofile(Path(folder) / "bench.index.hashes")
    keep = NGramsDecontFilter(folder, config=config)
    flags, speed = {}, {}
    for name, texts in asked["documents"].items():
        begin = time.process_time()
        flags[name] = [keep.filter(Document(text=t, id=str(k))) is not True for k, t in enumerate(texts)]
        speed[name] = sum(len(t.encode()) for t in texts) / 1e6 / (time.process_time() - begin)
print(json.dumps({"flags": flags, "speed": [speed[name] for name in asked["speeds"]]}))
"""


def datatrove(
    python: str | None, items: dict[str, list[Item]], documents: dict[str, list[str]], *, queries: bool
) -> tuple[Flags, list[float]]:
    """The real filter, and the hashes of the real indexer, in an interpreter that has datatrove."""
    if not python:
        raise SkippedError("no --datatrove given")
    asked = {
        "queries": queries,
        "items": [(question_of(item), item["answer"]) for own in items.values() for item in own],
        "documents": documents,
        "speeds": SPEEDS,
    }
    done = subprocess.run([python, "-c", _DATATROVE], input=json.dumps(asked), capture_output=True, encoding="utf-8")
    if done.returncode:
        raise SkippedError(done.stderr.strip().splitlines()[-1][:200])
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["flags"], answer["speed"]


def whole_documents(items: dict[str, list[Item]], documents: dict[str, list[str]]) -> tuple[Flags, list[float]]:
    """datasketch as its manual has it: MinHash of a document's 3-word shingles, LSH at Jaccard 0.5, 128 permutations."""
    lsh = MinHashLSH(threshold=0.5, num_perm=128)
    for number, text in enumerate(t for own in items.values() for i in own for t in (question_of(i), with_answer(i))):
        lsh.insert(number, _sketch(text))
    return _timed(lambda text: bool(lsh.query(_sketch(text))), documents)


def _timed(is_flagged: Callable[[str], bool], documents: dict[str, list[str]]) -> tuple[Flags, list[float]]:
    flags, rate = {}, {}
    for name, own in documents.items():
        begin = time.process_time()
        flags[name] = [is_flagged(text) for text in own]
        rate[name] = sum(len(text.encode()) for text in own) / 1e6 / (time.process_time() - begin)
    return flags, [rate[name] for name in SPEEDS]


def _sketch(text: str) -> MinHash:
    sketch = MinHash(num_perm=128)
    sketch.update_batch([shingle.encode() for shingle in _ngrams(text, 3)])
    return sketch


def any_ngram(n: int, items: dict[str, list[Item]], documents: dict[str, list[str]]) -> tuple[Flags, list[float]]:
    """Re-implemented rule: any shared run of n words, lower case, punctuation ignored (13: GPT-3; 8: open-r1)."""
    index = {gram for own in items.values() for item in own for gram in _ngrams(with_answer(item), n)}
    return _timed(lambda text: any(gram in index for gram in _ngrams(text, n)), documents)


def _ngrams(text: str, n: int) -> Iterator[str]:
    own = [word.lower() for word in words(text)]
    return (" ".join(own[k : k + n]) for k in range(max(1, len(own) - n + 1) if n == 3 else max(0, len(own) - n + 1)))


def share(flags: list[bool]) -> float:
    """Of some documents the share that is flagged."""
    return float(np.mean(flags)) if flags else 0.0
