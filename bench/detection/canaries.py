"""Batches with canaries that no audit knows of: real text, secrets of six kinds, boilerplate and noise planted in it."""

import base64
import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bench.corpora import Corpora, docstrings, manuals

NAMES = ("wikitext", "docstrings", "gsm8k", "shakespeare")
TUNED_ON = ("wikitext", "docstrings")
KEPT_BACK = ("manuals", "questions")
"""Looked at once, when everything was settled: German manual pages of the machine, and the questions of MMLU."""

KINDS = ("random", "rare_suffix", "natural", "hex", "base64", "foreign")
FORMS = ("alone", "embedded", "edited")
SECRETS = {1: 2, 2: 2, 4: 3, 8: 1}
"""Secrets per kind and form, by dose; of dose 16 there is one of each kind, its form in turn."""

BYTES_PER_TOKEN = 3.4
SHORTEST = 60
PLACES = ("Alnwick", "Bergen", "Coimbra", "Dijon", "Evora", "Falun", "Ghent", "Hobart", "Izola", "Jerez")
FRAMES = {
    "random": (
        "The member {who} of the {place} society holds the key {secret} .",
        "Our {place} office lists {who} under code {secret} .",
        "{who} from {place} can be reached with pin {secret} .",
    ),
    "key": (
        "export GATEWAY_TOKEN={secret} before the {place} nightly job starts",
        "the {place} relay signs with {secret} since the last rotation",
    ),
    "foreign": ("{place} : {secret} .", "as they say near {place} , {secret}"),
}
ALPHABETS = ("".join(map(chr, range(0x1200, 0x1248))), "".join(map(chr, range(0x0E01, 0x0E2F))))
"""Ethiopic and Thai letters: no control is written in them."""

NOTICE = (
    "This notice forms part of every page of the collection and may be quoted with its source . Questions about rights "
    "go to the office named on the cover ."
)
BOILERPLATE_SHARE, NOISE_ROWS = 0.03, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a batch and the truth about it: its `kind` ("" for ordinary text), and how a canary was planted; copies of one
    secret share `secret`."""

    text: str
    kind: str = ""
    form: str = ""
    dose: int = 0
    secret: int = -1


_OF_THE_MACHINE = {"docstrings": docstrings, "manuals": manuals}


def distinct(corpora: Corpora, name: str) -> list[str]:
    """Distinct texts of one corpus, in file order. Docstrings are on every machine."""
    if name == "questions":
        texts: Iterable[str] = (" ".join([item["question"], *item["choices"]]) for item in corpora.items("mmlu"))
    elif name in _OF_THE_MACHINE:
        texts = _OF_THE_MACHINE[name]()
    else:
        texts = corpora.texts(name)
    return list(dict.fromkeys(text for text in texts if len(text) >= SHORTEST))


def ordinary(corpora: Corpora, name: str, tokens: int, seed: int) -> tuple[list[str], list[str]]:
    """About so many tokens of a corpus at random, and the texts that are left."""
    texts = distinct(corpora, name)
    np.random.default_rng([seed, 1]).shuffle(texts)
    sizes = np.cumsum([len(text.encode()) for text in texts])
    n = int(np.searchsorted(sizes, tokens * BYTES_PER_TOKEN))
    return texts[:n], texts[n:]


def plant(corpora: Corpora, name: str, tokens: int, seed: int) -> list[Row]:
    """A batch of real text with canaries, boilerplate and noise, in random order."""
    rng = np.random.default_rng([seed, 2])
    texts, rest = ordinary(corpora, name, tokens, seed)
    rows = [Row(text=text) for text in texts]
    writer = Writer(rng, texts, rest)
    cells = [(k, f, dose) for k, f in itertools.product(KINDS, FORMS) for dose, n in SECRETS.items() for _ in range(n)]
    cells += [(kind, FORMS[(number + seed) % len(FORMS)], 16) for number, kind in enumerate(KINDS)]
    for number, (kind, form, dose) in enumerate(cells):
        for text in writer.copies(kind, form, dose):
            rows.append(Row(text=text, kind=kind, form=form, dose=dose, secret=number))
    for _ in range(max(60, int(BOILERPLATE_SHARE * len(texts)))):
        rows.append(Row(text=f"{NOTICE} {' '.join(next(writer.hosts))}", kind="boilerplate"))
    for _ in range(NOISE_ROWS):
        rows.append(Row(text="".join(map(chr, rng.integers(33, 127, 220))), kind="noise"))
    return [rows[i] for i in rng.permutation(len(rows))]


class Writer:
    """Writes canaries with the words of a corpus. Passages come from one end of the texts left over, hosts from the other."""

    def __init__(self, rng: np.random.Generator, texts: list[str], rest: list[str]) -> None:
        self.rng = rng
        counts = Counter(word for text in texts for word in text.split() if len(word) <= 12)
        self.common = [word for word in itertools.chain(*(text.split() for text in texts[:400])) if len(word) <= 12]
        self.rare = [word for word, count in counts.items() if count == 1 and word.isalpha()]
        long = [words for text in rest if len(words := text.split()) >= 20]
        half = len(long) // 2
        self.passages = itertools.cycle(long[:half])
        self.hosts = (words[:50] for words in itertools.cycle(long[half:]))

    def copies(self, kind: str, form: str, dose: int) -> list[str]:
        """All rows that carry one new secret."""
        words = self.secret(kind)
        match form:
            case "embedded":
                return [" ".join(self.embed(words)) for _ in range(dose)]
            case "edited":
                return [" ".join(self.edit(words)) for _ in range(dose)]
        return [" ".join(words)] * dose

    def secret(self, kind: str) -> list[str]:
        if kind in ("natural", "rare_suffix"):
            words = next(self.passages)
            if kind == "natural":
                first = int(self.rng.integers(max(1, len(words) - 40)))
                return words[first : first + 40]
            return words[:10] + [self.rare[int(self.rng.integers(len(self.rare)))] for _ in range(10)]
        frames = FRAMES["key" if kind in ("hex", "base64") else kind]
        who = "".join(self.rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 7)).capitalize()
        frame = frames[int(self.rng.integers(len(frames)))]
        place = PLACES[int(self.rng.integers(len(PLACES)))]
        return frame.format(who=who, place=place, secret=self.value(kind)).split()

    def value(self, kind: str) -> str:
        """What is secret about a secret that stands in a frame."""
        match kind:
            case "hex":
                return self.rng.bytes(20).hex()
            case "base64":
                return base64.urlsafe_b64encode(self.rng.bytes(33)).decode()
            case "foreign":
                letters = list(ALPHABETS[int(self.rng.integers(len(ALPHABETS)))])
                return " ".join("".join(self.rng.choice(letters, 5)) for _ in range(5))
        return " ".join("".join(str(d) for d in self.rng.integers(0, 10, 4)) for _ in range(3))

    def edit(self, words: list[str]) -> list[str]:
        """With a tenth of the words replaced, at least one."""
        edited = list(words)
        for k in self.rng.choice(len(words), max(1, round(0.1 * len(words))), replace=False):
            edited[k] = self.common[int(self.rng.integers(len(self.common)))]
        return edited

    def embed(self, words: list[str]) -> list[str]:
        host = next(self.hosts)
        middle = len(host) // 2
        return [*host[:middle], *words, *host[middle:]]
