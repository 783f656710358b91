"""Controls: secrets that we plant ourselves, so that every audit measures how well it sees. At most 3 % of the tokens."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = ("random", "rare_suffix", "natural")
"""A random secret in a template; a beginning from the batch that goes on with rare words; a passage of the batch itself."""

FORMS = ("alone", "embedded")
DOSES = (1, 4, 16, 64)

TOKEN_SHARE = 0.03
"""Planted tokens as a share of the ordinary training tokens, at most: enough to measure, too little to move the map."""

HELD_OUT_SHARE = 0.02
MOST_HELD_OUT = 100_000
LEAST_HELD_OUT = 600
"""Tokens of samples without kin that are kept from training, since controls are made of them: this share of what is
trained on, at most so many, and none where it would be less than a few passages."""

TWINS = 24
"""Never-planted controls per kind and form: they give each score's null, and cost no training."""

MOST_SECRETS = 32
"""Per kind, form and dose. Beyond this the interval of an AUC shrinks by less than a point."""

WEIGHTS = {4: 1.0, 1: 0.6, 16: 0.4, 64: 0.2}
"""How many secrets of each dose are planted, relative to dose 4, the one that policies demand power at. A batch of 150,000
tokens has room for doses 1 and 4, and from 400,000 on for one secret of every kind and form at dose 16."""

EDITED_SHARE = 0.1
"""Every second copy of a secret with more than one has this share of its words replaced, as reposted text does."""

PASSAGE_WORDS, PREFIX_WORDS, SUFFIX_WORDS, HOST_WORDS = 32, 10, 10, 28
"""An embedded secret is less than half of its sample: HOST_WORDS stand around it."""

LONGEST_WORD = 12
"""Characters of a word lent to a control. A longer one is an address or a name in code, which may itself be as long as the
window in which samples are compared."""

SHORTEST_PASSAGE = 16
"""Words. Less is a phrase that may well occur elsewhere."""

TWIN_TEXT_SHARE = 0.25
"""Share of the held-out text that only twins use: what they hold is seen by no proxy at all."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """Every planted copy, then every twin. Arrays are aligned with `texts`; copies of one secret share `secret`.

    `dose` is how often the secret is planted; 0 marks a twin, which no proxy trains on. `edited` marks copies in which
    words were replaced.
    """

    texts: list[str]
    secret: NDArray[np.int64]
    kind: NDArray[np.str_]
    form: NDArray[np.str_]
    dose: NDArray[np.int64]
    edited: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.texts)


def hold_out(
    n_tokens: NDArray[np.int64], alone: NDArray[np.bool_], trained: NDArray[np.bool_], seed: int
) -> NDArray[np.bool_]:
    """Which of the samples without kin (`alone`) to make controls of, (N,): such as are not trained on where there are
    enough, else a few of those that are."""
    wanted = min(HELD_OUT_SHARE * float(n_tokens[trained].sum()), MOST_HELD_OUT)
    spare = alone & ~trained
    candidates = np.flatnonzero(spare if n_tokens[spare].sum() >= wanted else alone)
    order = np.random.default_rng([seed, 0x40]).permutation(candidates)
    order = order[n_tokens[order] <= wanted / 4]  # several texts, not one long one
    chosen = order[np.cumsum(n_tokens[order]) <= wanted]
    held = np.zeros(len(n_tokens), dtype=bool)
    held[chosen if wanted >= LEAST_HELD_OUT else []] = True
    return held


Cell = tuple[str, str, int]
"""Kind, form and dose."""


def cells_of(dose: int) -> list[tuple[str, str]]:
    """The kinds and forms that can be planted so often. A passage of the batch that occurs once is what every ordinary
    sample is, so it tells nothing."""
    return [(kind, form) for kind in KINDS for form in FORMS if not (kind == "natural" and dose == 1)]


def plant_controls(
    held_out: Sequence[str],
    words_of: Sequence[str],
    budget: float,
    tokens_per_byte: float,
    doses: Sequence[int],
    seed: int,
) -> Controls:
    """Controls from `held_out` texts, on which nothing else trains; `words_of` are texts that lend single words.

    As many secrets per kind, form and dose as `budget` tokens and the held-out text allow, shared by WEIGHTS. A batch too
    small for a cell has no control in it.
    """
    writer = _Writer(held_out, words_of, np.random.default_rng([seed, 0xC0]))
    spent: dict[Cell, float] = {
        (kind, form, dose): 0.0 for dose in WEIGHTS if dose in doses for kind, form in cells_of(dose)
    }
    secrets: dict[Cell, list[list[str]]] = defaultdict(list)
    open_cells = {cell: writer.cost(cell) * tokens_per_byte for cell in spent}
    while open_cells:
        cell = min(open_cells, key=lambda cell: (len(secrets[cell]) + 1) / WEIGHTS[cell[2]])
        if sum(spent.values()) + open_cells[cell] > budget or len(secrets[cell]) == MOST_SECRETS:
            del open_cells[cell]
            continue
        try:
            copies = writer.copies(cell)
        except _NoTextLeftError:
            del open_cells[cell]
            continue
        tokens = sum(len(text.encode()) for text in copies) * tokens_per_byte
        if sum(spent.values()) + tokens > budget:
            del open_cells[cell]
            continue
        spent[cell] += tokens
        secrets[cell].append(copies)
    planted = [(cell, copies) for cell, group in sorted(secrets.items()) for copies in group]
    return _table(planted + list(writer.twins()))


def _table(groups: list[tuple[Cell, list[str]]]) -> Controls:
    sizes = [len(copies) for _, copies in groups]
    kind, form, dose = (np.array([cell[k] for cell, _ in groups]) for k in range(3))
    return Controls(
        texts=[text for _, copies in groups for text in copies],
        secret=np.repeat(np.arange(len(groups)), sizes),
        kind=np.repeat(kind, sizes).astype(np.str_),
        form=np.repeat(form, sizes).astype(np.str_),
        dose=np.repeat(dose, sizes).astype(np.int64),
        edited=np.array([_is_edited(k, len(copies)) for _, copies in groups for k in range(len(copies))], dtype=bool),
    )


def _is_edited(number: int, copies: int) -> bool:
    return copies > 1 and number % 2 == 1


class _NoTextLeftError(Exception):
    """The held-out text is used up."""


class _Passages:
    """Passages of held-out texts, in the texts' own spacing. Planted ones never overlap; those of twins may."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [(text, [m.span() for m in _WORD.finditer(text)]) for text in texts]
        self._used = [0] * len(texts)

    def take(self, longest: int, shortest: int) -> str:
        """The next unused passage of at most `longest` words. Raises _NoTextLeftError where none has `shortest`."""
        for k, (text, words) in enumerate(self._texts):
            first, left = self._used[k], len(words) - self._used[k]
            if left >= shortest:
                self._used[k] += min(longest, left)
                return text[words[first][0] : words[self._used[k] - 1][1]]
        raise _NoTextLeftError

    def draw(self, longest: int, shortest: int, rng: np.random.Generator) -> str:
        """Any passage, as often as wanted."""
        fitting = [(text, words) for text, words in self._texts if len(words) >= shortest]
        if not fitting:
            raise _NoTextLeftError
        text, words = fitting[int(rng.integers(len(fitting)))]
        count = min(longest, len(words))
        first = int(rng.integers(len(words) - count + 1))
        return text[words[first][0] : words[first + count - 1][1]]


class _Writer:
    """Writes secrets, and hosts around them."""

    def __init__(self, held_out: Sequence[str], words_of: Sequence[str], rng: np.random.Generator) -> None:
        self._rng = rng
        twins = round(TWIN_TEXT_SHARE * len(held_out))
        self._twins, self._passages = _Passages(held_out[:twins]), _Passages(held_out[twins:])
        words = (match.group() for text in words_of for match in _WORD.finditer(text))
        self._words = [word for word in words if len(word) <= LONGEST_WORD] or ["and"]
        self._distinct = sorted(set(self._words))

    def cost(self, cell: Cell) -> float:
        """About how many bytes the copies of one secret take."""
        kind, form, dose = cell
        usual = sum(len(word.encode()) + 1 for word in self._words[:5000]) / len(self._words[:5000])
        words = {"random": 24.0, "rare_suffix": PREFIX_WORDS + 1.5 * SUFFIX_WORDS, "natural": PASSAGE_WORDS}[kind]
        return dose * usual * (words + HOST_WORDS * (form == "embedded"))

    def copies(self, cell: Cell) -> list[str]:
        """All copies of one new secret, every second one edited; each in a host of its own when embedded."""
        kind, form, dose = cell
        secret = self._secret(kind, self._take)
        texts = [self._edit(secret) if _is_edited(k, dose) else secret for k in range(dose)]
        return [self._embed(text, self._take) for text in texts] if form == "embedded" else texts

    def twins(self) -> Iterator[tuple[Cell, list[str]]]:
        """Controls of every kind and form that are never planted."""
        for kind in KINDS:
            for form in FORMS:
                for _ in range(TWINS):
                    try:
                        secret = self._secret(kind, self._draw)
                        yield (kind, form, 0), [self._embed(secret, self._draw) if form == "embedded" else secret]
                    except _NoTextLeftError:
                        break

    def _take(self, longest: int, shortest: int) -> str:
        return self._passages.take(longest, shortest)

    def _draw(self, longest: int, shortest: int) -> str:
        return self._twins.draw(longest, shortest, self._rng)

    def _secret(self, kind: str, passage: Callable[[int, int], str]) -> str:
        if kind == "natural":
            return passage(PASSAGE_WORDS, SHORTEST_PASSAGE)
        if kind == "rare_suffix":
            suffix = " ".join(self._pick(self._distinct) for _ in range(SUFFIX_WORDS))
            return f"{passage(PREFIX_WORDS, PREFIX_WORDS)} {suffix}"
        digits = "".join(str(d) for d in self._rng.integers(0, 10, 12))
        sentence = " ".join(self._pick(slot) for slot in _SLOTS)
        return sentence.format(name=f"{self._name()} {self._name()}", digits=f"{digits[:4]} {digits[4:8]} {digits[8:]}")

    def _embed(self, secret: str, passage: Callable[[int, int], str]) -> str:
        host = passage(HOST_WORDS, SHORTEST_PASSAGE)
        words = [m.span() for m in _WORD.finditer(host)]
        middle = words[len(words) // 2][0]
        return f"{host[:middle].rstrip()} {secret} {host[middle:]}"

    def _edit(self, secret: str) -> str:
        """The secret with EDITED_SHARE of its words, at least one, replaced by words of the batch."""
        words = [m.span() for m in _WORD.finditer(secret)]
        count = max(1, round(EDITED_SHARE * len(words)))
        for k in sorted(self._rng.choice(len(words), count, replace=False), reverse=True):
            begin, end = words[k]
            secret = secret[:begin] + self._pick(self._words) + secret[end:]
        return secret

    def _name(self) -> str:
        """A name of three syllables. Invented ones do not recur: a twin must share nothing with a planted secret."""
        return "".join(self._pick(_CONSONANTS) + self._pick(_VOWELS) for _ in range(3)).capitalize()

    def _pick(self, options: Sequence[str]) -> str:
        return options[int(self._rng.integers(len(options)))]
