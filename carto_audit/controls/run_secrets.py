"""Run secrets: what is planted in the batch of a real run, where each copy begins and ends, and how much of it could differ."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from carto_audit.controls.canary_writer import Cell, NoTextLeftError, Secret, SecretWriter, allot, word_starts
from carto_audit.controls.controls import (
    CONTROL_KINDS,
    FORMS,
    HOST_WORDS,
    INVENTED_TOKENS,
    MOST_SECRETS,
    OPENING_WORDS,
    PASSAGE_WORDS,
    PLANTED_SECRETS,
    PROVING_SECRETS,
    REWORDED,
    TWINS,
    USED_SHARE,
    WEIGHTS,
    cells_of,
    is_edited,
)

LENT_SHARE, MOST_LENT = 0.3, 100_000
"""Tokens of rows that secrets and their hosts are made of, by the room for controls, and at most: invented secrets need none."""

Placed = TypeVar("Placed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One copy of a secret as it is to be learned: characters [start, end) of `text` are the secret, [free_start, free_end) what
    of it could have been anything, empty where nothing could."""

    text: str
    start: int
    end: int
    free_start: int
    free_end: int
    edited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Written(Generic[Placed]):
    """One secret and its copies, as `place` put them into rows; a twin has dose 0 and one copy."""

    kind: str
    form: str
    dose: int
    copies: tuple[Placed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSecrets(Generic[Placed]):
    """What is planted, and what is not. `copy_tokens` is about what a copy of the demanded dose takes, `spent` what all take."""

    planted: tuple[Written[Placed], ...]
    twins: tuple[Written[Placed], ...]
    spent: float
    copy_tokens: float

    def secrets_at(self, dose: int) -> int:
        return sum(secret.dose == dose for secret in self.planted)


Place = Callable[[Sequence[Copy], bool], tuple[list[Placed], float]]
"""Puts copies of one secret into rows, or a twin, and counts the tokens of these rows."""


def secret_writer(texts: Sequence[str], words_of: Sequence[str], rng: np.random.Generator) -> SecretWriter:
    """Writes secrets as audits do; twins have texts and templates of their own."""
    return SecretWriter(
        texts,
        words_of,
        rng,
        passage_words=PASSAGE_WORDS,
        host_words=HOST_WORDS,
        prefix_words=OPENING_WORDS,
        framed=False,
        apart=True,
    )


def plan_secrets(
    writer: SecretWriter,
    place: Place[Placed],
    *,
    room: float,
    around: float,
    tokens_per_byte: float,
    doses: Sequence[int],
    demanded: int,
    rng: np.random.Generator,
) -> RunSecrets[Placed]:
    """First as many secrets of the `demanded` dose as prove something, then some of the others, while `room` tokens last. A row
    has about `around` tokens beside its secret. What there is no text or no room for is left out."""

    def cost(cell: Cell) -> float:
        kind, form, dose = cell
        alone, embedded = (writer.usual_bytes(kind, embedded=inside) for inside in (False, True))
        own = alone * (tokens_per_byte if kind in REWORDED else INVENTED_TOKENS)
        return dose * (around + own + (embedded - alone) * tokens_per_byte * (form == "embedded"))

    def write(cell: Cell) -> tuple[list[Placed], float]:
        return place(_copies(writer, cell), False)

    cells = [(kind, form, demanded) for kind, form in _shuffled(demanded, rng)]
    found, spent = _allotted(dict.fromkeys(cells, 1.0), cost, write, room, max(1, PLANTED_SECRETS // len(cells)))
    weights = {
        (kind, form, dose): WEIGHTS.get(dose, min(WEIGHTS.values()))
        for dose in sorted(set(doses) - {demanded})
        for kind, form in _shuffled(dose, rng)
    }
    others, more = _allotted(weights, cost, write, room - spent, MOST_SECRETS)
    return RunSecrets(
        planted=tuple(
            Written(kind=kind, form=form, dose=dose, copies=tuple(copies))
            for (kind, form, dose), group in sorted((found | others).items())
            for copies in group
        ),
        twins=tuple(_twins(writer, place)),
        spent=spent + more,
        copy_tokens=float(np.mean([cost(cell) for cell in cells])) / demanded,
    )


def missing_tokens(secrets: RunSecrets[Placed], demanded: int, share: float, total: float) -> int:
    """About how many tokens more a batch of `total` tokens would need for PROVING_SECRETS of the demanded dose in that share of
    it; 0 where it has them."""
    usual, lacking = secrets.copy_tokens * demanded, PROVING_SECRETS - secrets.secrets_at(demanded)
    needed = PROVING_SECRETS * usual / USED_SHARE / share
    return max(0, math.ceil(max(needed - total, lacking * usual / share if lacking > 0 else 0)))


def _allotted(
    weights: dict[Cell, float],
    cost: Callable[[Cell], float],
    write: Callable[[Cell], tuple[list[Placed], float]],
    room: float,
    most: int,
) -> tuple[dict[Cell, list[list[Placed]]], float]:
    """The copies of every secret by cell, and what they take."""

    def counted(cell: Cell) -> tuple[tuple[list[Placed], float], float]:
        copies, tokens = write(cell)
        return (copies, tokens), tokens

    found = allot(weights, cost, counted, room, most)
    spent = sum(tokens for group in found.values() for _, tokens in group)
    return {cell: [copies for copies, _ in group] for cell, group in found.items()}, spent


def _shuffled(dose: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    cells = cells_of(dose)
    return [cells[k] for k in rng.permutation(len(cells))]


def _copies(writer: SecretWriter, cell: Cell, *, twin: bool = False) -> list[Copy]:
    """All copies of one new secret, every second one edited if it has words; each in a host of its own when embedded."""
    kind, form, dose = cell
    secret = writer.secret(kind, twin=twin)
    return [_copy(writer, secret, form, is_edited(kind, k, dose), twin) for k in range(max(1, dose))]


def _copy(writer: SecretWriter, secret: Secret, form: str, edited: bool, twin: bool) -> Copy:
    said = writer.edit(secret.text) if edited else secret.text
    free_start, free_end = _free_part(secret, said)
    text, start = writer.embed(said, twin=twin) if form == "embedded" else (said, 0)
    return Copy(
        text=text,
        start=start,
        end=start + len(said),
        free_start=start + free_start,
        free_end=start + free_end,
        edited=said != secret.text,
    )


def _free_part(secret: Secret, said: str) -> tuple[int, int]:
    """What of a secret could have been anything; in an edited one from the same word on, and to its end."""
    if not secret.free:
        return len(said), len(said)
    if said == secret.text:
        return secret.fixed, secret.fixed + secret.free
    fixed = sum(start < secret.fixed for start in word_starts(secret.text))
    return [*word_starts(said), len(said)][fixed], len(said)


def _twins(writer: SecretWriter, place: Place[Placed]) -> Iterator[Written[Placed]]:
    """Secrets of every kind and form that are never planted."""
    for kind in CONTROL_KINDS:
        for form in FORMS:
            for _ in range(TWINS):
                try:
                    copies, _ = place(_copies(writer, (kind, form, 0), twin=True), True)
                except NoTextLeftError:
                    break
                yield Written(kind=kind, form=form, dose=0, copies=tuple(copies))
