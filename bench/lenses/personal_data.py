"""Personal data: recall of every class on values that Faker writes, and what is taken for one in clean text.

python -m bench.lenses.personal_data --data DATA             # needs Faker, which the dev extra brings
python -m bench.lenses.personal_data --data DATA --show      # what was missed, and what was found in clean text
"""

import argparse
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from bench.corpora import Corpora, docstrings, open_corpora, parser_of
from bench.lenses import personal_sentences as sentences
from bench.lenses.personal_kinds import ATTRIBUTE_SENTENCES, KINDS
from bench.lenses.personal_values import DIAGNOSES_JUDGED, DIAGNOSES_TUNED, LANGUAGES, MAKERS
from carto_audit.lenses.personal.content_type import CONTENT_TYPES, content_type
from carto_audit.lenses.personal.cues import author_cues
from carto_audit.lenses.personal.finder import LABELS, find_personal
from carto_audit.lenses.personal.planted import in_text, write_profile

SPANS, SMOKE_SPANS = 1000, 20
"""Of each class and half."""

RECALL, FALSE_PER_MILLION = 0.95, 5.0
"""The bars: the share of a class that is found whole, and false spans of a class in a million words of clean text."""

AUTHOR_ROWS, OTHERS = 5, 200
TEXTS_OF_A_KIND, SMOKE_TEXTS_OF_A_KIND = 100, 4

HALVES = {"tuned": ("en_US", "de_DE"), "judged": ("en_GB", "fr_FR", "de_AT")}
"""The countries of each half; its sentences are in the language of the country."""

CLEAN = ("wikitext", "docstrings", "gsm8k", "shakespeare")
"""The patterns were tuned on the first two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A text, and where a value of a class stands in it."""

    text: str
    label: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Of so many spans so many are covered by a value of their class, and so many found to the character; the others."""

    all: int
    whole: int
    exact: int
    missed: list[Span]


def _fakers(seed: int) -> dict[str, Any]:
    try:
        from faker import Faker
    except ImportError:
        raise SystemExit("Faker is not installed: pip install Faker") from None
    fakers = {locale: Faker(locale) for locale in LANGUAGES}
    for number, fake in enumerate(fakers.values()):
        fake.seed_instance(seed + number)
    return fakers


def spans(half: str, label: str, count: int, seed: int) -> Iterator[Span]:
    """So many spans of a class, the same for a seed and a version of Faker."""
    tuned = half == "tuned"
    cued = (sentences.CUED_TUNED if tuned else sentences.CUED_JUDGED).get(label)
    around = cued or (sentences.GENERIC_TUNED if tuned else sentences.GENERIC_JUDGED)
    rng, fakers = random.Random(f"{seed} {half} {label}"), _fakers(seed)
    for _ in range(count):
        locale = rng.choice(HALVES[half])
        language = LANGUAGES[locale]
        value = (
            rng.choice((DIAGNOSES_TUNED if tuned else DIAGNOSES_JUDGED)[language])
            if label == "diagnosis"
            else MAKERS[label](fakers[locale], rng, locale)
        )
        before, after = rng.choice(around[language]).replace("{{", "{").replace("}}", "}").split("{}")
        yield Span(text=before + value + after, label=label, start=len(before), end=len(before) + len(value))


def recall_of(found: Sequence[Span]) -> Recall:
    """How many of these spans are found."""
    exact, missed = 0, []
    for span in found:
        values = [value for value in find_personal(span.text) if value.label == span.label]
        exact += any((value.start, value.end) == (span.start, span.end) for value in values)
        if not any(value.start <= span.start and span.end <= value.end for value in values):
            missed.append(span)
    return Recall(all=len(found), whole=len(found) - len(missed), exact=exact, missed=missed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean:
    """What is found in a corpus of so many words, by class: the value with what stands around it."""

    words: int
    found: dict[str, list[str]]


def clean(texts: Sequence[str]) -> Clean:
    """What is found in these texts."""
    found = defaultdict[str, list[str]](list)
    for text in texts:
        for value in find_personal(text):
            low = max(value.start - 50, 0)
            shown = f"{text[low : value.start]}[[{text[value.start : value.end]}]]{text[value.end : value.end + 30]}"
            found[value.label].append(" ".join(shown.split()))
    return Clean(words=sum(len(text.split()) for text in texts), found=found)


def kinds_told(count: int, seed: int) -> dict[str, tuple[int, int, int, int]]:
    """By kind: of so many planted texts, and of those written by hand, how many are told as what they are."""
    rng, told = np.random.default_rng(seed), dict[str, tuple[int, int, int, int]]()
    for kind in CONTENT_TYPES:
        planted = [in_text(write_profile(rng), kind, rng) for _ in range(count)]
        written = KINDS.get(kind, ())
        told[kind] = (sum(content_type(text) == kind for text in planted), count) + (
            sum(content_type(text) == kind for text in written),
            len(written),
        )
    return told


def authors_told(texts: Sequence[str], times: int, seed: int) -> tuple[int, float]:
    """How often of so many times the author with five cues in five rows has more of them than each of 200 others, who have up to
    two in their five rows; and how many cues the others have on average."""
    rng, told, others = random.Random(seed), 0, []
    for _ in range(times):
        author = [rng.choice(ATTRIBUTE_SENTENCES[name]) for name in rng.sample(list(ATTRIBUTE_SENTENCES), AUTHOR_ROWS)]
        counts = [_cues(_other(texts, rng)) for _ in range(OTHERS)]
        told += _cues([f"{rng.choice(texts)} {row}" for row in author]) > max(counts)
        others += counts
    return told, sum(others) / len(others)


def _other(texts: Sequence[str], rng: random.Random) -> list[str]:
    names = rng.sample(list(ATTRIBUTE_SENTENCES), rng.randint(0, 2))
    rows = [rng.choice(texts) for _ in range(AUTHOR_ROWS - len(names))]
    return rows + [rng.choice(ATTRIBUTE_SENTENCES[name]) for name in names]


def _cues(rows: Sequence[str]) -> int:
    return len(frozenset[str]().union(*map(author_cues, rows)))


def _print_people(texts: Sequence[str], count: int, seed: int) -> None:
    print("\n| kind | planted texts told | texts by hand told |\n|---|---|---|")
    for kind, (planted, all_planted, written, all_written) in kinds_told(count, seed).items():
        print(f"| {kind} | {planted} of {all_planted} | {written} of {all_written} |")
    found = [name in author_cues(text) for name, texts_of in ATTRIBUTE_SENTENCES.items() for text in texts_of]
    told, others = authors_told(texts, count, seed)
    print("\n| cues | |\n|---|---|")
    print(f"| sentences by hand whose attribute is told | {sum(found)} of {len(found)} |")
    print(f"| an author with five cues has more than each of {OTHERS} others | {told} of {count} |")
    print(f"| cues of the others, on average | {others:.2f} |")


def _corpus(corpora: Corpora, name: str, smoke: bool) -> list[str]:
    texts = list(docstrings()) if name == "docstrings" and not smoke else None
    if texts is None:
        texts = list(islice(docstrings(), 200)) if name == "docstrings" else corpora.texts(name)
    return texts


def _print_recall(measured: dict[tuple[str, str], Recall], halves: Sequence[str], show: bool) -> None:
    print("| class | " + " | ".join(f"{half}: whole | exact" for half in halves) + " |")
    print("|---" * (2 * len(halves) + 1) + "|")
    for label in LABELS:
        counts = [measured[half, label] for half in halves]
        cells = [f"{share / one.all:.3f}" for one in counts for share in (one.whole, one.exact)]
        print(f"| {label} | {' | '.join(cells)} |")
    low = [f"{half} {label}" for (half, label), one in measured.items() if one.whole < RECALL * one.all]
    print(f"\nBelow {RECALL}: {', '.join(low) or 'none'}.\n")
    for (half, label), one in measured.items() if show else ():
        for text, times in Counter(repr(span.text) for span in one.missed).most_common(6):
            print(f"missed, {half} {label} ({times}): {text}")


def _print_clean(measured: dict[str, Clean], show: bool) -> None:
    print("| class | " + " | ".join(f"{name} ({one.words:,} words)" for name, one in measured.items()) + " |")
    print("|---" * (len(measured) + 1) + "|")
    for label in LABELS:
        cells = (
            f"{len(one.found[label])} ({len(one.found[label]) / one.words * 1e6:.1f})" for one in measured.values()
        )
        print(f"| {label} | {' | '.join(cells)} |")
    print(
        f"\nFound in clean text, in brackets in a million words. Bar: {FALSE_PER_MILLION:g} of these false, counted by hand."
    )
    for name, one in measured.items() if show else ():
        for label, shown in one.found.items():
            print(*(f"{name} {label}: {line}" for line in shown), sep="\n")


def main(arguments: list[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--show", action="store_true", help="print what was missed, and what was found in clean text")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--half", choices=HALVES, help="recall of one half only, and only the clean text that belongs to it"
    )
    given: argparse.Namespace = parser.parse_args(arguments)
    with open_corpora(given) as corpora:
        names = {"tuned": CLEAN[:2], "judged": CLEAN[2:]}.get(given.half, CLEAN)
        texts = {name: _corpus(corpora, name, given.smoke) for name in names}
        halves = [given.half] if given.half else list(HALVES)
        count = SMOKE_SPANS if given.smoke else SPANS
        measured = {
            (half, label): recall_of(list(spans(half, label, count, given.seed))) for half in halves for label in LABELS
        }
        _print_recall(measured, halves, given.show)
        _print_clean({name: clean(texts[name]) for name in names}, given.show)
        if not given.half:
            _print_people(texts["shakespeare"], SMOKE_TEXTS_OF_A_KIND if given.smoke else TEXTS_OF_A_KIND, given.seed)


if __name__ == "__main__":
    main()
