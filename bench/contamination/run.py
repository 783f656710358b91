"""Recall per plant form, false positives, speed and memory, beside peers. README.md holds the last result.

python -m bench.contamination.run --data DATA    # ours, and the peers that need no installation
"""

import argparse
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bench.contamination import functions, peers, plants
from bench.corpora import Corpora, Item, open_corpora, parser_of, write_items
from carto_audit.benchmarks.index import Index, build_index
from carto_audit.benchmarks.items import Benchmark, read_benchmark
from carto_audit.contamination.exact_match import Match
from carto_audit.contamination.matching import find_matches
from carto_audit.contamination.tiers import CONFIRMED, SUSPECTED

CHUNK = 2000
HEAD = "| form | documents | confirmed | + suspected | named rightly |\n|---|---|---|---|---|"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured: texts of each kind of negatives, functions read and functions planted, and how often documents
    are repeated to time them."""

    negatives: int | None
    functions_read: int | None
    functions: int
    repeats: int


FULL = Scale(negatives=None, functions_read=None, functions=400, repeats=8)
SMOKE = Scale(negatives=60, functions_read=120, functions=12, repeats=1)
SMOKE_ITEMS = 8


def read(path: Path, name: str, items: list[Item]) -> Benchmark:
    """A benchmark of these items, through a file as a user has it."""
    return read_benchmark(write_items(path / f"{name}.parquet", items))


def passage_items(items: list[Item]) -> list[Item]:
    """MMLU's history questions taken apart into a passage and a question: the shape of AGIEval's reading tasks."""
    taken = []
    for item in items:
        head, _, question = item["question"].rstrip().rpartition("\n")
        if item["question"].startswith("This question refers to the following information") and question:
            taken.append({**item, "item_id": f"passage/{item['item_id']}", "passage": head, "question": question})
    return taken


def read_items(corpora: Corpora) -> dict[str, list[Item]]:
    """The items of both evaluation sets; those of MMLU that have a passage are a set of their own."""
    items = {name: corpora.items(name) for name in ("gsm8k", "mmlu")}
    passages = passage_items(items["mmlu"])
    taken = {item["item_id"].removeprefix("passage/") for item in passages}
    items["mmlu"] = [item for item in items["mmlu"] if item["item_id"] not in taken]
    return {**items, "passages": passages}


def matches_of(documents: list[str], index: Index) -> Iterable[Match]:
    """Every match, `row` counted over all documents."""
    for start in range(0, len(documents), CHUNK):
        for match in find_matches(documents[start : start + CHUNK], index):
            yield Match(**{**{f: getattr(match, f) for f in Match.__slots__}, "row": match.row + start})


def recall(name: str, documents: list[str], gold: Sequence[int], index: Index) -> str:
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
    return f"| {name} | {n} | {_share(len(confirmed), n)} | {_share(flagged, n)} | {named} |"


def _share(count: int, n: int) -> str:
    return f"{count / n:.1%}" if n else "–"


def sample(items: list[Item], start: int, count: int, rng: random.Random, tuning: bool) -> list[tuple[int, Item]]:
    """Items of one half, with their number in the index; only questions to which the bars apply."""
    own = [
        (start + k, item)
        for k, item in enumerate(items)
        if plants.in_tuning_half(item["item_id"]) == tuning
        and len(plants.words(item["question"])) >= plants.LEAST_TOKENS
    ]
    return rng.sample(own, min(count, len(own)))


def show_recall(
    items: dict[str, list[Item]], prose: list[str], index: Index, given: argparse.Namespace, rng: random.Random
) -> dict[str, list[str]]:
    """Prints how many planted items are found, form by form, and returns what was planted."""
    planted: dict[str, list[str]] = {}
    start = 0
    for name, own in items.items():
        chosen = sample(own, start, given.items, rng, given.tuning_half)
        gold = [number for number, _ in chosen]
        start += len(own)
        print(f"{name}, {len(chosen)} items of {plants.LEAST_TOKENS} words or more\n\n{HEAD}")
        for form, documents in plants.plants([item for _, item in chosen], prose, given.seed).items():
            print(recall(form, documents, gold, index))
            planted[f"{name} {form}"] = documents
        translated = [plants.translate(plants.with_answer(item), rng) for _, item in chosen]
        print(recall("simulated translation of question+answer", translated, gold, index) + "\n")
    return planted


def show_false_positives(negatives: dict[str, list[str]], index: Index) -> None:
    """Prints what is found where nothing is."""
    print("| negatives | rows | confirmed | suspected | source_overlap | of them near variants |")
    print("|---|---|---|---|---|---|")
    confirmed = 0
    for name, documents in negatives.items():
        found = list(matches_of(documents, index))
        rows = [len({m.row for m in found if m.tier == tier}) for tier in (CONFIRMED, SUSPECTED, SUSPECTED - 1)]
        confirmed += rows[0]
        print(f"| {name} | {len(documents)} | {' | '.join(map(str, rows))} | {sum(m.near_variant for m in found)} |")
    n = sum(map(len, negatives.values()))
    print(f"\nfalse confirmed per 10,000 negatives: {1e4 * confirmed / n:.1f} (of {n})")


def show_programs(rng: random.Random, folder: Path, scale: Scale) -> None:
    """Prints how many functions are found, as they are and with their variables renamed."""
    found = list(islice(functions.functions(), scale.functions_read))
    held = [f for f in found if functions.in_benchmark(f[0])]
    own = rng.sample(held, min(scale.functions, len(held)))
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
    print(f"\n{len(own)} functions of the standard library as a code benchmark\n\n{HEAD}")
    for name, documents in shapes.items():
        print(recall(name, documents, range(len(own)), index))
        if name.startswith("body"):
            able = [k for k in range(len(own)) if index.programs.renamed.count[k] >= functions.LEAST_GRAMS]
            print(recall(f"{name}, 16 grams or more", [documents[k] for k in able], able, index))
    for name, documents in (
        ("functions of other modules", [functions.bare(node) for node in others]),
        ("the same, renamed", [functions.renamed(node, rng) for node in others]),
    ):
        print(recall(f"negatives: {name}", documents, [0] * len(documents), index))


def show_speed(documents: dict[str, list[str]], index: Index) -> None:
    """Prints MB of text per CPU second on one core."""
    print("\n| speed, one core | MB/s |\n|---|---|")
    for name, own in documents.items():
        size = sum(len(text.encode()) for text in own) / 1e6
        begin = time.process_time()
        for _ in matches_of(own, index):
            pass
        print(f"| {name} | {size / (time.process_time() - begin):.1f} |", flush=True)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def show_peers(given: argparse.Namespace, items: dict[str, list[Item]], documents: dict[str, list[str]]) -> None:
    """Prints what others flag of the same documents."""
    runs: dict[str, Callable[[], tuple[peers.Flags, list[float]]]] = {
        "corpus-assay 0.1.0, run": lambda: peers.corpus_assay(given.corpus_assay, items, documents),
        "datatrove, defaults, run": lambda: peers.datatrove(given.datatrove, items, documents, queries=False),
        "datatrove, find_query_ngrams, run": lambda: peers.datatrove(given.datatrove, items, documents, queries=True),
        "datasketch, whole documents, run": lambda: peers.whole_documents(items, documents),
        "any 13-gram, re-implemented": lambda: peers.any_ngram(13, items, documents),
        "any 8-gram, re-implemented": lambda: peers.any_ngram(8, items, documents),
    }
    named = [name for name in documents if name not in peers.SPEEDS]
    print("\n| flagged, % | " + " | ".join(named) + " | MB/s clean | MB/s third |\n|---|" + "---|" * (len(named) + 2))
    for name, go in runs.items():
        try:
            flags, rate = go()
        except peers.SkippedError as reason:
            print(f"| {name} | skipped: {reason} |")
            continue
        cells = [*(f"{peers.share(flags[k]):.1%}" for k in named), *(f"{r:.1f}" for r in rate)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def measure(corpora: Corpora, given: argparse.Namespace, scale: Scale, folder: Path) -> None:
    """Everything, in the order of the README's tables."""
    rng = random.Random(given.seed)
    clean = corpora.texts("wikitext")
    prose = " ".join(clean).split()
    items = read_items(corpora)
    benchmarks = [read(folder, name, own) for name, own in items.items()]
    begin = time.process_time()
    index = build_index(benchmarks)
    print(f"index of {sum(map(len, items.values()))} items: {time.process_time() - begin:.1f} s\n")
    planted = show_recall(items, prose, index, given, rng)
    negatives = plants.negatives(corpora, scale.negatives)
    show_false_positives(negatives, index)
    show_programs(rng, folder, scale)
    third = [
        plants.embed(plants.with_answer(rng.choice(items["mmlu"] + items["gsm8k"])), prose, rng) if k % 3 == 0 else text
        for k, text in enumerate(clean)
    ]
    timed = {
        "clean text": clean * scale.repeats,
        "shakespeare": negatives["shakespeare"] * scale.repeats,
        "gsm8k_train": negatives["gsm8k_train"] * -(-scale.repeats // 2),
        "a third contaminated": third * -(-scale.repeats // 4),
    }
    show_speed(timed, index)
    some = {name: own for name, own in planted.items() if not name.startswith("passages")}
    show_peers(given, items, {**some, **negatives, "clean text": clean, "a third contaminated": third})


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints every table as Markdown."""
    parser = parser_of(__doc__)
    parser.add_argument("--items", type=int, default=500, help="items planted per benchmark")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--tuning-half", action="store_true", help="plant the half that rules were chosen on")
    parser.add_argument("--corpus-assay", metavar="COMMAND", help="its command, from an environment of its own")
    parser.add_argument("--datatrove", metavar="PYTHON", help="an interpreter with datatrove and spacy")
    given = parser.parse_args(arguments)
    if given.smoke:
        given.items = SMOKE_ITEMS
    with open_corpora(given) as corpora, tempfile.TemporaryDirectory() as scratch:
        measure(corpora, given, SMOKE if given.smoke else FULL, Path(scratch))


if __name__ == "__main__":
    main()
