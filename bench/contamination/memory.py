"""Memory of a streamed batch: 20,000 items, and text made as it is read. Peak memory must not grow with the text.

python -m bench.contamination.memory --data DATA --gigabytes 10
"""

import random
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.contamination.run import read
from bench.corpora import Corpora, Item, open_corpora, parser_of
from carto_audit.benchmarks.index import Index, build_index
from carto_audit.contamination.matching import find_matches

ITEMS, SMOKE_ITEMS = 20_000, 80
ROWS, SMOKE_GIGABYTES = 2000, 0.001


def make_items(corpora: Corpora, vocabulary: list[str], count: int, rng: random.Random) -> list[Item]:
    """The items of both evaluation sets, and as many made of words at random as are missing."""
    items = [row for name in ("gsm8k", "mmlu") for row in corpora.items(name)]
    while len(items) < count:
        question = " ".join(rng.choices(vocabulary, k=rng.randrange(8, 60)))
        items.append(
            {"item_id": f"made/{len(items)}", "passage": None, "question": question, "choices": [], "answer": "1"}
        )
    return items


def stream(index: Index, items: list[Item], paragraphs: list[str], gigabytes: float, rng: random.Random) -> None:
    """Searches so much text, made as it is read, and prints the peak memory on the way."""
    vocabulary = " ".join(paragraphs).split()
    size, matches, begin, shown = 0, 0, time.perf_counter(), 0
    print("| GB of text | matches | peak memory, GB | minutes |\n|---|---|---|---|")
    while size < gigabytes * 1e9:
        rows = [
            " ".join([rng.choice(paragraphs), *rng.choices(vocabulary, k=60), rng.choice(paragraphs)])
            for _ in range(ROWS)
        ]
        rows[0] += "\n" + rng.choice(items)["question"]
        size += sum(map(len, rows))
        matches += len(find_matches(rows, index))
        if size >= shown:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            minutes = (time.perf_counter() - begin) / 60
            print(f"| {size / 1e9:.3f} | {matches} | {peak:.2f} | {minutes:.1f} |", flush=True)
            shown += int(gigabytes * 1e8)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a row for every tenth of the text."""
    parser = parser_of(__doc__)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    given = parser.parse_args(arguments)
    rng = random.Random(5)
    with open_corpora(given) as corpora, tempfile.TemporaryDirectory() as scratch:
        paragraphs = corpora.texts("wikitext")
        count = SMOKE_ITEMS if given.smoke else ITEMS
        items = make_items(corpora, " ".join(paragraphs).split(), count, rng)
        index = build_index([read(Path(scratch), "many", items)])
        stream(index, items, paragraphs, SMOKE_GIGABYTES if given.smoke else given.gigabytes, rng)


if __name__ == "__main__":
    main()
