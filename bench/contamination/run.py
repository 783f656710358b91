"""Recall per plant form, false positives, speed and memory, beside peers. README.md holds the last result."""

import argparse
import random
import resource
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import functions
import peers
import pyarrow as pa
import pyarrow.parquet as pq
import texts
from texts import Item

from carto_audit.benchmarks.index import Index, build_index
from carto_audit.benchmarks.items import Benchmark, read_benchmark
from carto_audit.contamination.check import find_matches
from carto_audit.contamination.exact_match import Match
from carto_audit.contamination.tiers import CONFIRMED, SUSPECTED

CHUNK = 2000


def read(path: Path, name: str, items: list[Item]) -> Benchmark:
    """A benchmark of these items, through a file as a user has it."""
    pq.write_table(pa.Table.from_pylist(items), path / f"{name}.parquet")
    return read_benchmark(path / f"{name}.parquet")


def passage_items(items: list[Item]) -> list[Item]:
    """MMLU's history questions taken apart into a passage and a question: the shape of AGIEval's reading tasks."""
    taken = []
    for item in items:
        head, _, question = item["question"].rstrip().rpartition("\n")
        if item["question"].startswith("This question refers to the following information") and question:
            taken.append({**item, "item_id": f"passage/{item['item_id']}", "passage": head, "question": question})
    return taken


def matches_of(documents: list[str], index: Index) -> Iterable[Match]:
    for start in range(0, len(documents), CHUNK):
        for match in find_matches(documents[start : start + CHUNK], index):
            yield Match(**{**{f: getattr(match, f) for f in Match.__slots__}, "row": match.row + start})


def recall(name: str, documents: list[str], gold: list[int], index: Index) -> str:
    """A table row: documents, share confirmed, share confirmed or suspected, share of the confirmed named rightly."""
    tier = dict.fromkeys(range(len(documents)), 0)
    best: dict[int, Match] = {}
    for match in matches_of(documents, index):
        tier[match.row] = max(tier[match.row], match.tier)
        rival = best.get(match.row)
        own = match.tier, match.containment, match.longest_run
        if rival is None or own > (rival.tier, rival.containment, rival.longest_run):
            best[match.row] = match
    confirmed = [row for row, found in tier.items() if found == CONFIRMED]
    right = sum(index.question_of(best[row].item) == index.question_of(gold[row]) for row in confirmed)
    flagged = sum(found >= SUSPECTED for found in tier.values())
    n = len(documents)
    named = f"{right / len(confirmed):.1%}" if confirmed else "–"
    return f"| {name} | {n} | {len(confirmed) / n:.1%} | {flagged / n:.1%} | {named} |"


def sample(items: list[Item], start: int, count: int, rng: random.Random, tuning: bool) -> list[tuple[int, Item]]:
    """Items of one half, with their number in the index; only questions to which the bars apply."""
    own = [
        (start + k, item)
        for k, item in enumerate(items)
        if texts.in_tuning_half(item["item_id"]) == tuning and len(texts.words(item["question"])) >= texts.LEAST_TOKENS
    ]
    return rng.sample(own, min(count, len(own)))


def speed(documents: list[str], index: Index) -> float:
    size = sum(len(text.encode()) for text in documents) / 1e6
    begin = time.process_time()
    for _ in matches_of(documents, index):
        pass
    return size / (time.process_time() - begin)


def run_peers(options: argparse.Namespace, items: dict[str, list[Item]], documents: dict[str, list[str]]) -> None:
    runs = {
        "corpus-assay 0.1.0, run": lambda: peers.corpus_assay(options.corpus_assay, items, documents),
        "datatrove, defaults, run": lambda: peers.datatrove(options.datatrove, items, documents, queries=False),
        "datatrove, find_query_ngrams, run": lambda: peers.datatrove(options.datatrove, items, documents, queries=True),
        "datasketch, whole documents, run": lambda: peers.whole_documents(items, documents),
        "any 13-gram, re-implemented": lambda: peers.any_ngram(13, items, documents),
        "any 8-gram, re-implemented": lambda: peers.any_ngram(8, items, documents),
    }
    named = [name for name in documents if name not in peers.SPEEDS]
    print("\n| flagged, % | " + " | ".join(named) + " | MB/s clean | MB/s third |\n|---|" + "---|" * (len(named) + 2))
    for name, go in runs.items():
        try:
            if "corpus-assay" in name and not options.corpus_assay:
                raise peers.SkippedError("no --corpus-assay given")
            if "datatrove" in name and not options.datatrove:
                raise peers.SkippedError("no --datatrove given")
            flags, rate = go()
        except peers.SkippedError as reason:
            print(f"| {name} | skipped: {reason} |")
            continue
        print(
            f"| {name} | "
            + " | ".join(f"{peers.share(flags[k]):.1%}" for k in named)
            + " | "
            + " | ".join(f"{r:.1f}" for r in rate)
            + " |",
            flush=True,
        )


def code(rng: random.Random, folder: Path) -> None:
    found = list(functions.functions())
    held = [f for f in found if functions.in_benchmark(f[0])]
    own = rng.sample(held, min(400, len(held)))
    others = [node for name, node in found if not functions.in_benchmark(name)]
    made = functions.items(own)
    index = build_index([read(folder, "functions", made)])
    shapes = {
        "prompt": [item["question"] for item in made],
        "body, own names": [functions.bare(node) for _, node in own],
        "body, variables renamed": [functions.renamed(node, rng) for _, node in own],
    }
    shapes["renamed, among other functions"] = [
        "\n\n".join([functions.bare(rng.choice(others)), text, functions.renamed(rng.choice(others), rng)])
        for text in shapes["body, variables renamed"]
    ]
    print(f"\n{len(own)} functions of the standard library as a code benchmark\n")
    print("| form | documents | confirmed | + suspected | named rightly |\n|---|---|---|---|---|")
    for name, documents in shapes.items():
        print(recall(name, documents, list(range(len(own))), index))
        if name.startswith("body"):
            able = [k for k in range(len(own)) if index.programs.renamed.count[k] >= functions.LEAST_GRAMS]
            print(recall(f"{name}, 16 grams or more", [documents[k] for k in able], able, index))
    for name, documents in (
        ("functions of other modules", [functions.bare(node) for node in others]),
        ("the same, renamed", [functions.renamed(node, rng) for node in others]),
    ):
        print(recall(f"negatives: {name}", documents, [0] * len(documents), index))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--items", type=int, default=500, help="items planted per benchmark")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--tuning-half", action="store_true", help="plant the half that rules were chosen on")
    parser.add_argument("--corpus-assay", metavar="COMMAND", help="its command, from an environment of its own")
    parser.add_argument("--datatrove", metavar="PYTHON", help="an interpreter with datatrove and spacy")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    corpora = options.data / "corpora"
    prose = " ".join(pq.read_table(corpora / "wikitext2.parquet")["text"].to_pylist()).split()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        items = {
            name: pq.read_table(options.data / "benchmarks" / f"{name}_test.parquet").to_pylist()
            for name in ("gsm8k", "mmlu")
        }
        passages = passage_items(items["mmlu"])
        taken = {item["item_id"].removeprefix("passage/") for item in passages}
        items["mmlu"] = [item for item in items["mmlu"] if item["item_id"] not in taken]
        items["passages"] = passages
        benchmarks = [read(folder, name, own) for name, own in items.items()]
        begin = time.process_time()
        index = build_index(benchmarks)
        print(f"index of {sum(map(len, items.values()))} items: {time.process_time() - begin:.1f} s\n")
        planted: dict[str, list[str]] = {}
        start = 0
        for name, own in items.items():
            chosen = sample(own, start, options.items, rng, options.tuning_half)
            start += len(own)
            print(f"{name}, {len(chosen)} items of {texts.LEAST_TOKENS} words or more\n")
            print("| form | documents | confirmed | + suspected | named rightly |\n|---|---|---|---|---|")
            for form, documents in texts.plants([item for _, item in chosen], prose, options.seed).items():
                print(recall(form, documents, [number for number, _ in chosen], index))
                planted[f"{name} {form}"] = documents
            translated = [texts.translate(texts.with_answer(item), rng) for _, item in chosen]
            print(recall("simulated translation of question+answer", translated, [n for n, _ in chosen], index), "\n")
        print(
            "| negatives | rows | confirmed | suspected | source_overlap | of them near variants |\n|---|---|---|---|---|---|"
        )
        negatives = texts.negatives(corpora)
        total = 0
        for name, documents in negatives.items():
            found = list(matches_of(documents, index))
            rows = [len({m.row for m in found if m.tier == tier}) for tier in (CONFIRMED, SUSPECTED, SUSPECTED - 1)]
            total += rows[0]
            print(
                f"| {name} | {len(documents)} | {' | '.join(map(str, rows))} | {sum(m.near_variant for m in found)} |"
            )
        n = sum(map(len, negatives.values()))
        print(f"\nfalse confirmed per 10,000 negatives: {1e4 * total / n:.1f} (of {n})")
        code(rng, folder)
        clean = pq.read_table(corpora / "wikitext2.parquet")["text"].to_pylist()
        third = [
            texts.embed(texts.with_answer(rng.choice(items["mmlu"] + items["gsm8k"])), prose, rng)
            if k % 3 == 0
            else text
            for k, text in enumerate(clean)
        ]
        print("\n| speed, one core | MB/s |\n|---|---|")
        for name, documents in {
            "clean text": clean * 8,
            "shakespeare": negatives["shakespeare"] * 8,
            "gsm8k_train": negatives["gsm8k_train"] * 4,
            "a third contaminated": third * 2,
        }.items():
            print(f"| {name} | {speed(documents, index):.1f} |", flush=True)
        print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
        some = {name: own for name, own in planted.items() if not name.startswith("passages")}
        run_peers(options, items, {**some, **negatives, "clean text": clean, "a third contaminated": third})


if __name__ == "__main__":
    main()
