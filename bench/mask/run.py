"""Mask: recall and precision of what masks secrets and personal data in excerpts, by class, on lines made up here.

python -m bench.mask.run                 # 200 lines of each class, and as many of each look-alike
python -m bench.mask.run --missed        # the lines it gets wrong as well
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.mask.lookalikes import ORDINARY, WRITTEN
from bench.mask.made_up import FIXED, FREE
from carto_audit.text.redaction import labelled_spans

LINES, SMOKE_LINES = 200, 20
"""Of each class."""

BAR = 0.98
"""Recall of a class with a fixed form or a check digit, and precision of the labels that such classes get."""

GUESSES = ("[number]", "[secret]", "[phone]")
"""Labels that are also given by guess."""

_SENTENCES = (
    "{}",
    "Please use {} from now on.",
    "({})",
    "See {}, then go on.",
    'It is "{}".',
    "Note: {}; and so forth",
    "<td>{}</td>",
    "- {}\n- next",
    "Über {} wurde gesprochen.",
    "the value '{}' of row 12",
    "{}\tactive\t2024-05-06",
    "He wrote {} on 3 May 2021.",
    "[value: {}, n: 3]",
)
_NAMED = (
    "password: {}",
    "Password={}",
    "the passphrase is {} today",
    '"api_key": "{}"',
    "secret = '{}'",
    "PWD: {}",
    "DB_PASSWORD={}",
)
_LINKED = (
    "https://{}@db.example.com/x",
    "clone https://{}@git.example.com/a/b.git now",
    "postgres://{}@db:5432/app",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A text, the class of what it holds, and where that stands; nowhere in a look-alike."""

    text: str
    kind: str
    place: tuple[int, int] | None


@dataclass(slots=True)
class Count:
    """So many of them are right."""

    right: int = 0
    all: int = 0

    def add(self, right: bool) -> None:
        self.right += right
        self.all += 1

    @property
    def share(self) -> float:
        return self.right / self.all if self.all else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Of each class how many are masked whole; of each label how many masks lie on a secret; of each look-alike how many lines
    are left alone; and the lines that were not right."""

    recall: dict[str, Count]
    precision: dict[str, Count]
    left_alone: dict[str, Count]
    wrong: list[Line]


def lines(count: int, seed: int) -> Iterator[Line]:
    """So many lines of each class and of each look-alike, the same for a seed."""
    rng = random.Random(seed)
    for kind, make in {**FIXED, **FREE}.items():
        sentences = {"password in a URL": _LINKED, "password after its name": _NAMED}.get(kind, _SENTENCES)
        for _ in range(count):
            before, after = rng.choice(sentences).split("{}")
            made = make(rng)
            yield Line(text=before + made + after, kind=kind, place=(len(before), len(before) + len(made)))
    for kind, make in ORDINARY.items():
        for _ in range(count):
            yield Line(text=rng.choice(_SENTENCES).format(make(rng)), kind=kind, place=None)
    for sentence in WRITTEN:
        yield Line(text=sentence, kind="sentence", place=None)


def measure(of: Iterable[Line]) -> Measured:
    """How the mask does on these lines."""
    recall, precision, left_alone = (defaultdict[str, Count](Count) for _ in range(3))
    wrong: list[Line] = []
    for line in of:
        found = labelled_spans(line.text)
        right = [line.place is not None and start < line.place[1] and end > line.place[0] for start, end, _ in found]
        for hit, (_, _, label) in zip(right, found, strict=True):
            precision[label].add(hit)
        whole = _covered(line.place, found) if line.place else not found
        (recall if line.place else left_alone)[line.kind].add(whole)
        if not whole or not all(right):
            wrong.append(line)
    return Measured(recall=recall, precision=precision, left_alone=left_alone, wrong=wrong)


def _covered(place: tuple[int, int], found: Sequence[tuple[int, int, str]]) -> bool:
    masked = {k for start, end, _ in found for k in range(start, end)}
    return masked >= set(range(*place))


def below_bar(measured: Measured) -> list[str]:
    """Classes and labels that must reach the bar and do not."""
    short = [kind for kind, count in measured.recall.items() if kind in FIXED and count.share < BAR]
    return short + [label for label, count in measured.precision.items() if label not in GUESSES and count.share < BAR]


def _print(measured: Measured, count: int) -> None:
    print("| class | masked whole | form |\n|---|---|---|")
    for kind, counted in measured.recall.items():
        print(f"| {kind} | {counted.share:.3f} | {'fixed or checked' if kind in FIXED else 'free'} |")
    print("\n| label | masks | on a secret | given |\n|---|---|---|---|")
    for label, counted in sorted(measured.precision.items()):
        given = "by guess as well" if label in GUESSES else "by form or check digit"
        print(f"| `{label}` | {counted.all} | {counted.share:.3f} | {given} |")
    print("\n| looks like a secret | lines left alone |\n|---|---|")
    for kind, counted in measured.left_alone.items():
        print(f"| {kind} | {counted.right} of {counted.all} |")
    short = below_bar(measured)
    print(f"\n{count} lines of each class. Below {BAR}: {', '.join(short) or 'none'}.")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help=f"{SMOKE_LINES} lines of each class")
    parser.add_argument("--missed", action="store_true", help="print the lines it gets wrong")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", help="not read: every line is made up")
    options = parser.parse_args(arguments)
    count = SMOKE_LINES if options.smoke else LINES
    measured = measure(lines(count, options.seed))
    _print(measured, count)
    for line in measured.wrong if options.missed else ():
        print(f"{line.kind}: {line.text!r} {labelled_spans(line.text)}")


if __name__ == "__main__":
    main()
