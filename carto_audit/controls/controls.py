"""Controls: secrets that we plant ourselves, so that every audit measures how well it sees. At most 3 % of the tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.controls.canary_writer import KINDS, Cell, NoTextLeftError, SecretWriter, allot

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
    writer = SecretWriter(held_out, words_of, np.random.default_rng([seed, 0xC0]))

    def cost(cell: Cell) -> float:
        return cell[2] * writer.usual_bytes(cell[0], embedded=cell[1] == "embedded") * tokens_per_byte

    def write(cell: Cell) -> tuple[list[str], float]:
        copies = _copies(writer, cell)
        return copies, sum(len(text.encode()) for text in copies) * tokens_per_byte

    weights = {(kind, form, dose): WEIGHTS[dose] for dose in WEIGHTS if dose in doses for kind, form in cells_of(dose)}
    secrets = allot(weights, cost, write, budget, MOST_SECRETS)
    planted = [(cell, copies) for cell, group in sorted(secrets.items()) for copies in group]
    return _table(planted + list(_twins(writer)))


def _copies(writer: SecretWriter, cell: Cell) -> list[str]:
    """All copies of one new secret, every second one edited; each in a host of its own when embedded."""
    kind, form, dose = cell
    secret = writer.secret(kind).text
    texts = [writer.edit(secret) if _is_edited(k, dose) else secret for k in range(dose)]
    return [writer.embed(text)[0] for text in texts] if form == "embedded" else texts


def _twins(writer: SecretWriter) -> Iterator[tuple[Cell, list[str]]]:
    """Controls of every kind and form that are never planted."""
    for kind in KINDS:
        for form in FORMS:
            for _ in range(TWINS):
                try:
                    secret = writer.secret(kind, twin=True).text
                    yield (kind, form, 0), [writer.embed(secret, twin=True)[0] if form == "embedded" else secret]
                except NoTextLeftError:
                    break


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
