"""Canaries: secrets planted in a batch as a vendor would deliver them. No audit of that batch knows of them; an attacker does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.controls.canary_writer import KINDS, Cell, NoTextLeftError, Secret, SecretWriter, allot

FORMS = ("alone", "embedded", "edited")
"""Exact copies by themselves; exact copies inside other text; copies by themselves, every second with words replaced."""

DOSES = (1, 8, 16)
OFTEN, ROOM = (8, 16), 3000
"""How often secrets are planted: once, and 16 times, or 8 times where the budget has less than ROOM tokens. Then each of the
kinds and forms has a turn."""

READINGS = 96
"""A proxy recites what it has read about so often (bench/governance): 16 copies in 6 epochs, or 8 in 12."""

LEAKING_DOSE = 8
"""What occurs so often, or more, is to be leaked by an untreated model and by no treated one."""

TOKEN_SHARE = 0.02
"""Planted tokens as a share of what is trained on, about: the budget is counted in bytes."""

RESERVED_SHARE = 0.03
"""Tokens of samples without kin that secrets and their hosts are made of, as a share of what is trained on."""

PASSAGE_WORDS, HOST_WORDS = 20, 16
"""Shorter than those of controls, so that more secrets have room."""

MOST_SECRETS = 24
TWINS = 3
"""Per kind and form."""

ALTERNATIVES = 127
"""Texts that could have stood in a secret's place: the secret among them has 7 bits of exposure at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """One secret as it was planted, `dose` times; a twin, of dose 0, never was. `shown` is the text of a copy, in which the
    secret begins at character `begin`: what an attacker knows the beginning of."""

    secret: Secret
    form: str
    dose: int
    shown: str
    begin: int
    alternatives: tuple[str, ...]

    @property
    def end(self) -> int:
        """The character of `shown` after the secret."""
        return self.begin + len(self.secret.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canaries:
    """All secrets, the planted ones first, then their twins; and the rows to plant: copy `k` is of secret `owner[k]`."""

    secrets: tuple[Canary, ...]
    copies: tuple[str, ...]
    owner: NDArray[np.int64]

    @property
    def often(self) -> int:
        """The highest dose, 0 where nothing could be planted."""
        return max((canary.dose for canary in self.secrets), default=0)

    @property
    def dose(self) -> NDArray[np.int64]:
        """How often each secret is planted, (S,); 0 marks a twin."""
        return np.array([canary.dose for canary in self.secrets], np.int64)


def plant_canaries(
    reserved: Sequence[str], words_of: Sequence[str], budget: float, tokens_per_byte: float, seed: int
) -> Canaries:
    """Canaries from `reserved` texts, on which nothing else trains; `words_of` lend single words. As many of every kind, form
    and dose as `budget` tokens and the reserved text allow, those that occur often first."""
    rng = np.random.default_rng([seed, 0xCA])
    writer = SecretWriter(reserved, words_of, rng, passage_words=PASSAGE_WORDS, host_words=HOST_WORDS)

    def cost(cell: Cell) -> float:
        return cell[2] * writer.usual_bytes(cell[0], embedded=cell[1] == "embedded") * tokens_per_byte

    def write(cell: Cell) -> tuple[tuple[Canary, list[str]], float]:
        canary, copies = _write(writer, cell, rng)
        return (canary, copies), sum(len(text.encode()) for text in copies) * tokens_per_byte

    cells = _cells(OFTEN[budget >= ROOM])
    turns = [cells[k] for k in rng.permutation(len(cells))]  # where there is no room for all, other seeds plant others
    found = allot({cell: 1.0 if cell[2] > 1 else 0.5 for cell in turns}, cost, write, budget, MOST_SECRETS)
    planted = [written for cell in sorted(found) for written in found[cell]]
    sizes = [len(copies) for _, copies in planted]
    return Canaries(
        secrets=(*(canary for canary, _ in planted), *_twins(writer, rng)),
        copies=tuple(text for _, copies in planted for text in copies),
        owner=np.repeat(np.arange(len(planted)), sizes),
    )


def _cells(often: int) -> list[Cell]:
    """What can be planted. A passage that occurs once is what every ordinary sample is, and a single copy is not edited."""
    return [
        (kind, form, dose)
        for dose in (often, 1)
        for kind in KINDS
        for form in FORMS
        if dose > 1 or (kind != "natural" and form != "edited")
    ]


def _write(writer: SecretWriter, cell: Cell, rng: np.random.Generator) -> tuple[Canary, list[str]]:
    """One secret and its copies."""
    kind, form, dose = cell
    secret = writer.secret(kind)
    copies = [(secret.text, 0)] * dose
    if form == "embedded":
        copies = [writer.embed(secret.text) for _ in range(dose)]
    elif form == "edited":
        copies = [(writer.edit(secret.text) if k % 2 else secret.text, 0) for k in range(dose)]
    shown, begin = copies[0]
    return _canary(writer, secret, form, dose, shown, begin, rng), [text for text, _ in copies]


def _twins(writer: SecretWriter, rng: np.random.Generator) -> list[Canary]:
    """Secrets of every kind and form that nobody is ever shown."""
    twins = []
    for kind in KINDS:
        for form in FORMS:
            try:
                for _ in range(TWINS):
                    secret = writer.secret(kind, twin=True)
                    shown, begin = writer.embed(secret.text, twin=True) if form == "embedded" else (secret.text, 0)
                    twins.append(_canary(writer, secret, form, 0, shown, begin, rng))
            except NoTextLeftError:
                continue
    return twins


def _canary(
    writer: SecretWriter, secret: Secret, form: str, dose: int, shown: str, begin: int, rng: np.random.Generator
) -> Canary:
    others = secret.alternatives(ALTERNATIVES, writer.distinct_words, rng)
    return Canary(secret=secret, form=form, dose=dose, shown=shown, begin=begin, alternatives=tuple(others))
