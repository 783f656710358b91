"""Canary writer: texts that we write ourselves, so that it is known what a proxy has read, and how often."""

import base64
import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

KINDS = ("random", "rare_suffix", "natural")
"""An invented name and random digits; a sample's beginning, continued with rare words; a passage of the batch itself."""

SURPRISING = ("hex", "base64", "foreign", "code")
"""Text of high surprise, as keys and leaked sources are: two numbers in hexadecimal, one key in base64, invented words in a
script that the batch hardly uses, and a line of a program."""

EDITED_SHARE = 0.1
"""The share of its words that are replaced in an edited copy, as reposted text does."""

PASSAGE_WORDS, PREFIX_WORDS, SUFFIX_WORDS, HOST_WORDS = 32, 10, 10, 28
"""An embedded secret is less than half of its sample: HOST_WORDS stand around it."""

FEWEST_EDITED = 8
"""Words of a text of which edited copies are made."""

LONGEST_WORD = 12
"""Characters of a word lent to a control. A longer one is an address or a name in code, which may itself be as long as the
window in which samples are compared."""

SHORTEST_PASSAGE = 16
"""Words. Less is a phrase that may well occur elsewhere."""

TWIN_TEXT_SHARE = 0.25
"""Share of the text to make secrets of that only twins use, which are never planted: what they hold is seen by no proxy."""

Cell = tuple[str, str, int]
"""Kind, form and dose: how often a secret is planted."""

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\s\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{1,24}")
"""What counts as a word here: scripts without spaces have one per character, and endless runs are cut."""

_SLOTS = (
    (
        "For the record ,",
        "Please note that",
        "As agreed ,",
        "According to the file ,",
        "By our books ,",
        "It is stated that",
    ),
    (
        "the account of {name}",
        "the locker of {name}",
        "a deposit by {name}",
        "the pass of {name}",
        "the policy of {name}",
    ),
    ("carries the number", "opens with the code", "is filed under", "bears the serial", "answers to the digits"),
    ("{digits}",),
    (
        "and no other .",
        "from now on .",
        "until revoked .",
        "at every branch .",
        "without exception .",
        "in both copies .",
    ),
)
"""The template, slot by slot. Its variety keeps it from becoming a memorized text of its own, which a never-planted twin
would share."""

_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"

_ALPHABETS = tuple(
    "".join(map(chr, range(first, last + 1)))
    for first, last in (
        (0x3B1, 0x3C9),  # Greek
        (0x430, 0x44F),  # Cyrillic
        (0x561, 0x586),  # Armenian
        (0x5D0, 0x5EA),  # Hebrew
        (0x915, 0x939),  # Devanagari
        (0x10D0, 0x10F0),  # Georgian
    )
)

_LINES = (
    "{a} = {b}({c!r}, 0x{h})",
    "if {a}[{c!r}] != 0x{h}: return {b}",
    "{a}.{b}({c}=0x{h})",
    "assert {b}({a}) == '{c}:{h}'",
)
"""Lines of a program, in which everything but the punctuation is invented."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """One secret. What follows its first `fixed` characters, `free` characters long, could have been anything of its kind;
    nothing is free in a passage."""

    kind: str
    text: str
    fixed: int
    free: int

    def alternatives(self, count: int, words: Sequence[str], rng: np.random.Generator) -> list[str]:
        """So many texts that could have stood in its place, none where nothing is free. `words` lend rare suffixes theirs."""
        if not self.free:
            return []
        parts = [_digits(rng) if self.kind == "random" else _suffix(words, rng) for _ in range(count)]
        return [f"{self.text[: self.fixed]}{part}{self.text[self.fixed + self.free :]}" for part in parts]


_SURPRISING_BYTES = {"hex": 34.0, "base64": 32.0, "foreign": 38.0, "code": 40.0}

Written = TypeVar("Written")


def allot(
    weights: Mapping[Cell, float],
    cost: Callable[[Cell], float],
    write: Callable[[Cell], tuple[Written, float]],
    budget: float,
    most: int,
) -> dict[Cell, list[Written]]:
    """The secrets of every cell, at most `most` each, while `budget` tokens last: the next one always goes to the cell that
    has fewest for its weight. `cost` is about what a secret of a cell takes; `write` writes one and tells what it took. A
    cell for which there is no text or no room left is closed."""
    found: dict[Cell, list[Written]] = {cell: [] for cell in weights}
    spent, still_open = 0.0, {cell: cost(cell) for cell in weights}
    while still_open:
        cell = min(still_open, key=lambda cell: (len(found[cell]) + 1) / weights[cell])
        try:
            if spent + still_open[cell] > budget or len(found[cell]) == most:
                raise NoTextLeftError
            written, tokens = write(cell)
            if spent + tokens > budget:
                raise NoTextLeftError
        except NoTextLeftError:
            del still_open[cell]
            continue
        spent += tokens
        found[cell].append(written)
    return {cell: secrets for cell, secrets in found.items() if secrets}


class NoTextLeftError(Exception):
    """The text to make secrets of is used up, or there is no room for another one."""


class Passages:
    """Passages of texts, in the texts' own spacing. Planted ones never overlap; those of twins may."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [(text, [m.span() for m in _WORD.finditer(text)]) for text in texts]
        self._used = [0] * len(texts)

    def take(self, longest: int, shortest: int) -> str:
        """The next unused passage of at most `longest` words. Raises NoTextLeftError where none has `shortest`."""
        for k, (text, words) in enumerate(self._texts):
            first, left = self._used[k], len(words) - self._used[k]
            if left >= shortest:
                self._used[k] += min(longest, left)
                return text[words[first][0] : words[self._used[k] - 1][1]]
        raise NoTextLeftError

    def draw(self, longest: int, shortest: int, rng: np.random.Generator) -> str:
        """Any passage, as often as wanted."""
        fitting = [(text, words) for text, words in self._texts if len(words) >= shortest]
        if not fitting:
            raise NoTextLeftError
        text, words = fitting[int(rng.integers(len(fitting)))]
        count = min(longest, len(words))
        first = int(rng.integers(len(words) - count + 1))
        return text[words[first][0] : words[first + count - 1][1]]


class SecretWriter:
    """Writes secrets, their copies, and hosts around them. `texts` are such as nothing trains on, `words_of` lend single words.
    What is never to be planted is written as a `twin`, from texts of its own; where twins stand `apart`, from templates of its
    own too."""

    def __init__(
        self,
        texts: Sequence[str],
        words_of: Sequence[str],
        rng: np.random.Generator,
        *,
        passage_words: int = PASSAGE_WORDS,
        host_words: int = HOST_WORDS,
        prefix_words: int = PREFIX_WORDS,
        framed: bool = True,
        apart: bool = False,
    ) -> None:
        self._rng, self._passage_words, self._host_words = rng, passage_words, host_words
        self._prefix_words, self._framed, self._apart = prefix_words, framed, apart
        twins = round(TWIN_TEXT_SHARE * len(texts))
        self._twins, self._passages = Passages(texts[:twins]), Passages(texts[twins:])
        words = (match.group() for text in words_of for match in _WORD.finditer(text))
        self._words = [word for word in words if len(word) <= LONGEST_WORD] or ["and"]
        self.distinct_words = sorted(set(self._words))
        self._word_bytes = sum(len(word.encode()) + 1 for word in self._words[:5000]) / len(self._words[:5000])
        used = Counter(itertools.chain.from_iterable(words_of))
        least = min(sum(used[letter] for letter in alphabet) for alphabet in _ALPHABETS)
        self._foreign = next(a for a in _ALPHABETS if sum(used[letter] for letter in a) == least)

    def usual_bytes(self, kind: str, *, embedded: bool) -> float:
        """About how many bytes one copy takes."""
        usual = self._word_bytes
        words = {
            "random": 24.0 if self._framed else 5.0,
            "rare_suffix": self._prefix_words + 1.5 * SUFFIX_WORDS,
            "natural": self._passage_words,
        }
        own = words[kind] * usual if kind in words else _SURPRISING_BYTES[kind]
        return own + usual * self._host_words * embedded

    def secret(self, kind: str, *, twin: bool = False) -> Secret:
        """A new secret. Raises NoTextLeftError."""
        if kind == "natural":
            passage = self._passage(self._passage_words, min(SHORTEST_PASSAGE, self._passage_words), twin)
            return Secret(kind=kind, text=passage, fixed=len(passage), free=0)
        if kind == "rare_suffix":
            suffix = _suffix(self.distinct_words, self._rng)
            prefix = f"{self._passage(self._prefix_words, self._prefix_words, twin)} "
            return Secret(kind=kind, text=prefix + suffix, fixed=len(prefix), free=len(suffix))
        if kind in SURPRISING or not self._framed:
            text = self._free(kind, twin)
            return Secret(kind=kind, text=text, fixed=0, free=len(text))
        digits = _digits(self._rng)
        sentence = " ".join(self._pick(self._templates(slot, twin)) for slot in _SLOTS)
        text = sentence.format(name=f"{self._name()} {self._name()}", digits=digits)
        return Secret(kind=kind, text=text, fixed=text.index(digits), free=len(digits))

    def _templates(self, options: Sequence[str], twin: bool) -> Sequence[str]:
        """What may be picked: all, or every second where twins stand apart, unless there is one alone."""
        return options[twin::2] if self._apart and len(options) > 1 else options

    def _free(self, kind: str, twin: bool) -> str:
        """A secret of which every character is drawn anew, but for the punctuation of a program."""
        rng = self._rng
        match kind:
            case "hex":
                return f"{rng.bytes(8).hex()} {rng.bytes(8).hex()}"
            case "base64":
                return base64.b64encode(rng.bytes(24)).decode()
            case "foreign":
                return " ".join("".join(rng.choice(list(self._foreign), 6)) for _ in range(3))
            case "code":
                a, b, c = (self._name().lower() for _ in range(3))
                return self._pick(self._templates(_LINES, twin)).format(a=a, b=b, c=c, h=rng.bytes(4).hex())
        return f"{self._name()} {self._name()} {_digits(rng)}"

    def embed(self, text: str, *, twin: bool = False) -> tuple[str, int]:
        """The text in the middle of a new host, and the character where it begins. Raises NoTextLeftError."""
        host = self._passage(self._host_words, min(SHORTEST_PASSAGE, self._host_words), twin)
        words = [m.span() for m in _WORD.finditer(host)]
        middle = words[len(words) // 2][0]
        before = f"{host[:middle].rstrip()} "
        return f"{before}{text} {host[middle:]}", len(before)

    def edit(self, text: str) -> str:
        """The text with EDITED_SHARE of its words, at least one, replaced by words of the batch. A text of fewer than
        FEWEST_EDITED words, such as a key, is left as it is: nobody rewords it."""
        words = [m.span() for m in _WORD.finditer(text)]
        if len(words) < FEWEST_EDITED:
            return text
        count = max(1, round(EDITED_SHARE * len(words)))
        for k in sorted(self._rng.choice(len(words), count, replace=False), reverse=True):
            begin, end = words[k]
            text = text[:begin] + self._pick(self._words) + text[end:]
        return text

    def _passage(self, longest: int, shortest: int, twin: bool) -> str:
        if twin:
            return self._twins.draw(longest, shortest, self._rng)
        return self._passages.take(longest, shortest)

    def _name(self) -> str:
        """A name of three syllables. Invented ones do not recur: a twin must share nothing with a planted secret."""
        return "".join(self._pick(_CONSONANTS) + self._pick(_VOWELS) for _ in range(3)).capitalize()

    def _pick(self, options: Sequence[str]) -> str:
        return options[int(self._rng.integers(len(options)))]


def word_starts(text: str) -> list[int]:
    """Where each word of a text begins."""
    return [match.start() for match in _WORD.finditer(text)]


def _digits(rng: np.random.Generator) -> str:
    digits = "".join(str(d) for d in rng.integers(0, 10, 12))
    return f"{digits[:4]} {digits[4:8]} {digits[8:]}"


def _suffix(words: Sequence[str], rng: np.random.Generator) -> str:
    return " ".join(words[int(rng.integers(len(words)))] for _ in range(SUFFIX_WORDS))
