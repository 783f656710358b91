"""What the contamination check reads through: disguises, scripts, passages, code points; and what it must not find.

python -m bench.disguises.run --data DATA
python -m bench.disguises.run --data DATA --only negatives
"""

import argparse
import random
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contamination import plants
from bench.contamination.run import matches_of, read, read_items, sample
from bench.corpora import Corpora, Item, open_corpora, parser_of
from bench.disguises import disguises, kept_back, negatives, scripts
from bench.disguises.disguises import Disguise
from carto_audit.benchmarks.index import Index, build_index
from carto_audit.contamination.tiers import CONFIRMED, SUSPECTED
from carto_audit.text.untrusted import safe_inline

LEAST_WORDS, LEAST_PASSAGE = 15, 20
"""Words of the questions that are disguised, and of the passages."""

READ = 0.9
"""A disguise counts as read through when at least this share of its items is found and named."""

EXCERPT = 60  # characters of a false alarm that are shown
GENERIC = (
    "Which one of the following, if true, most weakens the argument?",
    "Which one of the following must be true?",
    "What is the main point of the passage?",
    "The author would most likely agree with which of the following?",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured: items of each set, one disguise in so many, passages, negatives of each kind, code points."""

    items: int
    every: int
    passages: int
    negatives: int
    most: int | None
    points: int


FULL = Scale(items=15, every=1, passages=100, negatives=5000, most=None, points=300)
SMOKE = Scale(items=1, every=12, passages=2, negatives=3, most=10, points=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """Items by their number in the index, and the prose that they are planted in."""

    items: list[tuple[int, Item]]
    prose: list[str]
    index: Index

    def found(self, write: Disguise, seed: int) -> tuple[int, int]:
        """How many items are found and named when they are written so: confirmed, and confirmed or suspected."""
        rng = random.Random(seed)
        documents = []
        for _, item in self.items:
            start = rng.randrange(len(self.prose) - 120)
            before, behind = (" ".join(self.prose[k : k + 60]) for k in (start, start + 60))
            documents.append(f"{before}\n\n{write(plants.question_of(item), rng)}\n\n{behind}")
        tier = [0] * len(documents)
        for match in matches_of(documents, self.index):
            if self.index.question_of(match.item) == self.index.question_of(self.items[match.row][0]):
                tier[match.row] = max(tier[match.row], match.tier)
        return sum(t == CONFIRMED for t in tier), sum(t >= SUSPECTED for t in tier)


def show_disguises(planted: Planted, every: int, seed: int) -> None:
    """Prints for each group how many disguises are read through, and each disguise."""
    groups = {
        "honest": disguises.HONEST,
        "tricks": disguises.TRICKS,
        "honest, kept back": kept_back.HONEST,
        "tricks, kept back": kept_back.TRICKS,
    }
    n = len(planted.items)
    found = {
        group: {name: planted.found(write, seed) for name, write in list(own.items())[::every]}
        for group, own in groups.items()
    }
    print(f"{n} items\n\n| disguises | tried | read through |\n|---|---|---|")
    for group, own in found.items():
        print(f"| {group} | {len(own)} | {sum(flagged >= READ * n for _, flagged in own.values())} |")
    print("\n| disguise | group | confirmed | + suspected | of |\n|---|---|---|---|---|")
    for group, own in found.items():
        for name, (confirmed, flagged) in sorted(own.items(), key=lambda one: one[1][1]):
            print(f"| {name} | {group} | {confirmed} | {flagged} | {n} |")


def show_scripts(folder: Path, seed: int) -> None:
    """Prints how many questions in six scripts are found, in five forms; near copies of each are drawn DRAWS times."""
    rng = random.Random(seed)
    names = list(scripts.forms("Russian", rng))
    print("\n| script | questions | " + " | ".join(names) + " |\n|---|---|" + "---|" * len(names))
    for script, questions in scripts.QUESTIONS.items():
        rows = [_plain_item(f"{script}/{k}", question) for k, question in enumerate(questions)]
        index = build_index([read(folder, script, rows)])
        cells = []
        for name, write in scripts.forms(script, rng).items():
            planted = [*questions] * (DRAWS if name == "near copy" else 1)
            found = {
                match.row
                for match in matches_of([write(question) for question in planted], index)
                if match.tier >= SUSPECTED and index.question_of(match.item) == match.row % len(questions)
            }
            cells.append(f"{len(found)} of {len(planted)}" if len(planted) > len(questions) else str(len(found)))
        print(f"| {script} | {len(questions)} | {' | '.join(cells)} |")


def _plain_item(name: str, question: str, passage: str | None = None) -> Item:
    return {"item_id": name, "passage": passage, "question": question, "choices": [], "answer": "1"}


def show_passages(texts: Sequence[str], prose: list[str], scale: Scale, folder: Path, seed: int) -> None:
    """Prints how many passages with a generic question are found, and how often the right item is among those named."""
    rng = random.Random(seed)
    own = [text for text in texts if LEAST_PASSAGE <= len(plants.words(text)) <= 200][: scale.passages]
    rows = [_plain_item(f"passage/{k}", rng.choice(GENERIC), passage) for k, passage in enumerate(own)]
    index = build_index([read(folder, "generic", rows)])
    forms: dict[str, Callable[[str, str], str]] = {
        "verbatim": lambda passage, question: f"{passage}\n{question}",
        "embedded": lambda passage, question: plants.embed(f"{passage}\n{question}", prose, rng),
        "rewrapped": lambda passage, question: plants.rewrap(f"{passage}\n{question}"),
        "edited, one word in ten": lambda passage, question: plants.edit(f"{passage}\n{question}", prose, rng),
        "question first": lambda passage, question: f"{question}\n{passage}",
    }
    print("\n| passage | items | found | right item among those named |\n|---|---|---|---|")
    for name, write in forms.items():
        documents = [write(row["passage"], row["question"]) for row in rows]
        named: dict[int, set[int]] = {}
        for match in matches_of(documents, index):
            if match.tier >= SUSPECTED:
                named.setdefault(match.row, set()).add(match.item)
        right = sum(row in items for row, items in named.items())
        print(f"| {name} | {len(rows)} | {len(named)} | {right} |")


def show_code_points(planted: Planted, count: int) -> None:
    """Prints how many of the code points that are no letter or digit hide an item when they stand inside its words."""
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and not chr(c).isalnum()]
    signs = every[:: max(1, len(every) // count)][:count]
    number, item = planted.items[0]
    question = plants.question_of(item)
    documents = [disguises.inside(question, sign.replace("\\", r"\\")) for sign in signs]
    found = {
        match.row
        for match in matches_of(documents, planted.index)
        if match.tier >= SUSPECTED and planted.index.question_of(match.item) == planted.index.question_of(number)
    }
    hiding = [signs[k] for k in range(len(signs)) if k not in found]
    print("\n| code points that are no letter or digit | tried inside every word | hide the item |\n|---|---|---|")
    print(f"| {len(every)} | {len(signs)} | {len(hiding)} |")
    for sign in hiding:
        print(f"\n- U+{ord(sign):04X}, {unicodedata.category(sign)}, {unicodedata.name(sign, 'no name')}")


def show_negatives(made: dict[str, list[str]], index: Index) -> None:
    """Prints what is found where nothing is, by kind, and every false alarm with its view."""
    print(
        "\n| negatives | texts | false confirmed | false suspected | per 10,000 | by view |\n|---|---|---|---|---|---|"
    )
    alarms: list[str] = []
    for name, texts in made.items():
        tiers: dict[int, int] = {}
        views: Counter[str] = Counter()
        for match in matches_of(texts, index):
            if match.tier >= SUSPECTED:
                tiers[match.row] = max(tiers.get(match.row, 0), match.tier)
                views[match.view] += 1
                start, end = match.sample_span
                excerpt = safe_inline(texts[match.row][start:end], EXCERPT).replace("|", "/")
                item = index.item_id(match.item)
                alarms.append(
                    f"| {name} | {match.view} | {item} | {match.containment:.2f} | {end - start} | {excerpt} |"
                )
        confirmed = sum(tier == CONFIRMED for tier in tiers.values())
        rates = " and ".join(f"{1e4 * n / max(1, len(texts)):.1f}" for n in (confirmed, len(tiers) - confirmed))
        by_view = ", ".join(f"{view} {n}" for view, n in views.most_common()) or "–"
        print(f"| {name} | {len(texts)} | {confirmed} | {len(tiers) - confirmed} | {rates} | {by_view} |", flush=True)
    if alarms:
        print("\n| false alarm in | view | item | containment | characters | excerpt |\n|---|---|---|---|---|---|")
        print("\n".join(alarms))


DRAWS = 25
"""Of near copies: eight questions alone would say too little."""
PARTS = ("disguises", "scripts", "passages", "points", "negatives")


def measure(corpora: Corpora, given: argparse.Namespace, scale: Scale, folder: Path) -> None:
    """Everything that is asked for, in the order of the README's tables."""
    rng = random.Random(given.seed)
    clean = corpora.texts("wikitext")
    prose = " ".join(clean).split()
    items = read_items(corpora)
    index = build_index([read(folder, name, own) for name, own in items.items()])
    chosen, start = [], 0
    for own in (items["gsm8k"], items["mmlu"]):
        pool = sample(own, start, len(own), rng, tuning=False)
        chosen += [one for one in pool if len(plants.words(one[1]["question"])) >= LEAST_WORDS][: scale.items]
        start += len(own)
    planted = Planted(items=chosen, prose=prose, index=index)
    if "disguises" in given.only:
        show_disguises(planted, scale.every, given.seed)
    if "scripts" in given.only:
        show_scripts(folder, given.seed)
    if "passages" in given.only:
        show_passages(corpora.texts("shakespeare"), prose, scale, folder, given.seed)
    if "points" in given.only:
        show_code_points(planted, scale.points)
    if "negatives" in given.only:
        show_negatives(negatives.made(corpora, scale.negatives, scale.most, given.seed), index)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints every table as Markdown."""
    parser = parser_of(__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; may be given several times")
    parser.add_argument("--seed", type=int, default=3)
    given = parser.parse_args(arguments)
    given.only = given.only or PARTS
    with open_corpora(given) as corpora, tempfile.TemporaryDirectory() as scratch:
        measure(corpora, given, SMOKE if given.smoke else FULL, Path(scratch))


if __name__ == "__main__":
    main()
