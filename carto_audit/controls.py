"""Controls: secrets that we plant ourselves, so that every audit measures how well it sees. At most 3 % of the tokens."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DOSES = (1, 4, 16)
FORMS = ("alone", "embedded")
CLASS = "random"

TOKEN_SHARE = 0.03
"""Planted tokens as a share of the ordinary training tokens, at most: enough to measure, too little to move the map."""

TWINS = 64
"""Never-planted controls per form: they give each score's null, and cost no training."""

MOST_SECRETS = 32
"""Per form and dose. Beyond this the interval of an AUC shrinks by less than a point."""

HOST_WORDS = 14
"""Words of filler on either side of an embedded secret: the secret is then less than half of its sample."""

LONGEST_WORD = 12
"""Characters. A longer "word" is an address or a name in code, which may be a memorized window of its own."""

WEIGHTS = {4: 2.0, 1: 1.0, 16: 1.0}
"""How the token budget is shared over doses. Dose 4 is the one that policies demand power at."""

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
    ("{secret}",),
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

    `dose` is how often the secret is planted; 0 marks a twin, which no proxy trains on.
    """

    texts: list[str]
    secret: NDArray[np.int64]
    form: NDArray[np.str_]
    dose: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)


def plant_controls(texts: Sequence[str], training_tokens: int, tokens_per_byte: float, seed: int) -> Controls:
    """Controls for a batch of which `texts` is a sample: as many secrets per form and dose as the token budget allows.

    The budget is shared by WEIGHTS, so low doses have more secrets. A batch too small for any gets only twins.
    """
    rng = np.random.default_rng([seed, 0xC0])
    writer = _Writer(texts, rng)
    cells = [(form, dose) for dose in WEIGHTS for form in FORMS]
    spent = dict.fromkeys(cells, 0.0)
    secrets: dict[tuple[str, int], list[list[str]]] = defaultdict(list)
    budget = TOKEN_SHARE * training_tokens
    while cells:
        form, dose = min(cells, key=lambda cell: spent[cell] / WEIGHTS[cell[1]])
        copies = writer.copies(form, dose)
        cost = sum(len(text.encode()) for text in copies) * tokens_per_byte
        if sum(spent.values()) + cost > budget or len(secrets[form, dose]) == MOST_SECRETS:
            cells.remove((form, dose))
            continue
        spent[form, dose] += cost
        secrets[form, dose].append(copies)
    planted = [(form, dose, copies) for (form, dose), group in sorted(secrets.items()) for copies in group]
    twins = [(form, 0, writer.copies(form, 1)) for form in FORMS for _ in range(TWINS)]
    return _table(planted + twins)


def _table(groups: list[tuple[str, int, list[str]]]) -> Controls:
    sizes = [len(copies) for _, _, copies in groups]
    return Controls(
        texts=[text for _, _, copies in groups for text in copies],
        secret=np.repeat(np.arange(len(groups)), sizes),
        form=np.repeat(np.array([form for form, _, _ in groups]), sizes),
        dose=np.repeat(np.array([dose for _, dose, _ in groups]), sizes),
    )


class _Writer:
    """Writes secrets and the filler around them. Filler is the batch's own words, drawn one by one: it looks like the
    batch to the proxy, and repeats no run of it."""

    def __init__(self, texts: Sequence[str], rng: np.random.Generator) -> None:
        self._rng = rng
        self._words = [word for text in texts for word in text.split() if len(word) <= LONGEST_WORD] or ["and"]

    def copies(self, form: str, dose: int) -> list[str]:
        """`dose` copies of one new secret: equal when alone, each in a host of its own when embedded."""
        secret = self._secret()
        if form == "alone":
            return [secret] * dose
        return [f"{self._filler()} {secret} {self._filler()}" for _ in range(dose)]

    def _secret(self) -> str:
        digits = "".join(str(d) for d in self._rng.integers(0, 10, 12))
        sentence = " ".join(self._pick(slot) for slot in _SLOTS)
        return sentence.format(name=f"{self._name()} {self._name()}", secret=f"{digits[:4]} {digits[4:8]} {digits[8:]}")

    def _name(self) -> str:
        """A name of three syllables. Invented ones do not recur: a twin must share nothing with a planted secret."""
        return "".join(self._pick(_CONSONANTS) + self._pick(_VOWELS) for _ in range(3)).capitalize()

    def _filler(self) -> str:
        return " ".join(self._pick(self._words) for _ in range(HOST_WORDS))

    def _pick(self, options: Sequence[str]) -> str:
        return options[int(self._rng.integers(len(options)))]
