"""Controls: secrets that we plant ourselves, so that every audit measures how well it sees what its policy asks for."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carto_audit.controls.canary_writer import KINDS, SURPRISING, Cell, NoTextLeftError, SecretWriter, allot

CONTROL_KINDS = (*KINDS, *SURPRISING)
FORMS = ("alone", "embedded")

REWORDED = ("rare_suffix", "natural")
"""Kinds of which every second copy is edited. Keys and names are not: they are too short to be reworded."""

DOSES = (1, 2, 4, 8, 16, 64)

PROVING_SECRETS = 30
"""Secrets at the policy's dose that a proof should rest on. Where all of 30 are found, at least nine in ten are found in truth
(95 % confidence); where 28 are, four in five."""

PLANTED_SECRETS = 42
"""Secrets at the policy's dose, at most: three of every kind and form."""

TOKEN_SHARE, LARGE_SHARE, LARGE_TOKENS = 0.10, 0.03, 400_000
"""Planted tokens as a share of the ordinary training tokens, at most: of a small batch more, since a proof takes as many secrets
in it as in a large one; and of no batch fewer than of a smaller one."""

OTHER_DOSES_SHARE = 0.03
"""Of the ordinary training tokens, what secrets of the other doses may take of that room: they show how sight depends on the
dose, and prove nothing."""

HELD_OUT_SHARE, LARGE_HELD_OUT_SHARE = 0.04, 0.02
MOST_HELD_OUT = 100_000
LEAST_HELD_OUT = 600
"""Tokens of samples without kin that are kept from training, since controls are made of them: this share of what is
trained on (the second of a large batch), at most so many, and none where it would be less than a few passages."""

USED_SHARE = 0.8
"""Of the room for controls and of the text that may be held out, about what is used: nothing fits exactly."""

PASSAGE_WORDS, HOST_WORDS, OPENING_WORDS = 24, 8, 6
"""Controls are short: what is scored is a window of 12 tokens, and the shorter they are, the more of them prove."""

INVENTED_TOKENS = 1.0
"""Tokens per byte of what is invented: no vocabulary has long pieces for it."""

TWINS = 16
"""Never-planted controls per kind and form: they give each score's null, and cost no training."""

MOST_SECRETS = 12
"""Per kind and form of the other doses."""

WEIGHTS = {4: 1.0, 1: 0.6, 2: 0.6, 16: 0.4, 8: 0.4, 64: 0.1}
"""How many secrets of each of the other doses are planted, relative to dose 4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """Every planted copy, then every twin. Arrays are aligned with `texts`; copies of one secret share `secret`.

    `dose` is how often the secret is planted; 0 marks a twin, which no proxy trains on and which has no text in common with what
    is planted. `edited` marks copies in which words were replaced. `demanded` is the dose that the policy asks about, and
    `missing_tokens` how many more the batch would need for PROVING_SECRETS of it, 0 where they have room.
    """

    texts: list[str]
    secret: NDArray[np.int64]
    kind: NDArray[np.str_]
    form: NDArray[np.str_]
    dose: NDArray[np.int64]
    edited: NDArray[np.bool_]
    demanded: int = 4
    missing_tokens: int = 0

    def __len__(self) -> int:
        return len(self.texts)


def hold_out(
    n_tokens: NDArray[np.int64], alone: NDArray[np.bool_], trained: NDArray[np.bool_], seed: int
) -> NDArray[np.bool_]:
    """Which of the samples without kin (`alone`) to make controls of, (N,): such as are not trained on where there are
    enough, else a few of those that are."""
    total = float(n_tokens[trained].sum())
    wanted = min(_share_of(total, HELD_OUT_SHARE, LARGE_HELD_OUT_SHARE), MOST_HELD_OUT)
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
    return [(kind, form) for kind in CONTROL_KINDS for form in FORMS if not (kind == "natural" and dose == 1)]


def room_for_controls(trained_tokens: float) -> float:
    """How many tokens controls may take beside so many ordinary ones."""
    return _share_of(trained_tokens, TOKEN_SHARE, LARGE_SHARE)


def _share_of(tokens: float, small: float, large: float) -> float:
    """The `small` share up to LARGE_TOKENS, no less of more, and the `large` share of very many."""
    return max(small * min(tokens, LARGE_TOKENS), large * tokens)


def plant_controls(
    held_out: Sequence[str],
    words_of: Sequence[str],
    trained_tokens: float,
    tokens_per_byte: float,
    tokens_of: Callable[[Sequence[str]], int],
    doses: Sequence[int],
    demanded: int,
    seed: int,
) -> Controls:
    """Controls from `held_out` texts, on which nothing else trains; `words_of` are texts that lend single words. `tokens_of`
    counts the tokens of texts, `tokens_per_byte` says how many those of the batch have.

    First as many secrets of the `demanded` dose as prove something, then some of the other `doses`, as far as the room beside
    `trained_tokens` and the held-out text allow. A batch too small for a cell has no control in it.
    """
    rng = np.random.default_rng([seed, 0xC0])
    writer = SecretWriter(
        held_out,
        words_of,
        rng,
        passage_words=PASSAGE_WORDS,
        host_words=HOST_WORDS,
        prefix_words=OPENING_WORDS,
        framed=False,
    )

    def cost(cell: Cell) -> float:
        kind, form, dose = cell
        alone, embedded = (writer.usual_bytes(kind, embedded=inside) for inside in (False, True))
        own = alone * (tokens_per_byte if kind in REWORDED else INVENTED_TOKENS)
        return dose * (own + (embedded - alone) * tokens_per_byte * (form == "embedded"))

    def write(cell: Cell) -> tuple[list[str], float]:
        copies = _copies(writer, cell)
        return copies, tokens_of(copies)

    room = room_for_controls(trained_tokens)
    cells = [(kind, form, demanded) for kind, form in _shuffled(cells_of(demanded), rng)]
    first = allot(dict.fromkeys(cells, 1.0), cost, write, room, PLANTED_SECRETS // len(cells))
    spent = sum(tokens_of(copies) for group in first.values() for copies in group)
    others = [dose for dose in WEIGHTS if dose in doses and dose != demanded]
    weights = {(kind, form, dose): WEIGHTS[dose] for dose in others for kind, form in _shuffled(cells_of(dose), rng)}
    second = allot(weights, cost, write, min(room - spent, OTHER_DOSES_SHARE * trained_tokens), MOST_SECRETS)
    planted = [(cell, copies) for cell, group in sorted((first | second).items()) for copies in group]
    lacking = max(0, PROVING_SECRETS - sum(map(len, first.values())))
    usual = float(np.mean([cost(cell) for cell in cells]))
    missing = max(_proving_tokens(usual) - trained_tokens, lacking * usual / TOKEN_SHARE) if lacking else 0
    return _table(planted + list(_twins(writer)), demanded, math.ceil(missing))


def _proving_tokens(usual: float) -> float:
    """About how many tokens a batch has in which PROVING_SECRETS of so many tokens each fit. Held-out text then suffices, if
    there is any."""
    room = PROVING_SECRETS * usual / USED_SHARE
    least = room / (TOKEN_SHARE if room <= TOKEN_SHARE * LARGE_TOKENS else LARGE_SHARE)
    return max(least, LEAST_HELD_OUT / HELD_OUT_SHARE / USED_SHARE)


def _shuffled(cells: list[tuple[str, str]], rng: np.random.Generator) -> list[tuple[str, str]]:
    return [cells[k] for k in rng.permutation(len(cells))]


def _copies(writer: SecretWriter, cell: Cell) -> list[str]:
    """All copies of one new secret, every second one edited if it has words; each in a host of its own when embedded."""
    kind, form, dose = cell
    secret = writer.secret(kind).text
    texts = [writer.edit(secret) if is_edited(kind, k, dose) else secret for k in range(dose)]
    return [writer.embed(text)[0] for text in texts] if form == "embedded" else texts


def _twins(writer: SecretWriter) -> Iterator[tuple[Cell, list[str]]]:
    """Controls of every kind and form that are never planted."""
    for kind in CONTROL_KINDS:
        for form in FORMS:
            for _ in range(TWINS):
                try:
                    secret = writer.secret(kind, twin=True).text
                    yield (kind, form, 0), [writer.embed(secret, twin=True)[0] if form == "embedded" else secret]
                except NoTextLeftError:
                    break


def _table(groups: list[tuple[Cell, list[str]]], demanded: int, missing_tokens: int) -> Controls:
    sizes = [len(copies) for _, copies in groups]
    kind, form, dose = (np.array([cell[k] for cell, _ in groups]) for k in range(3))
    return Controls(
        texts=[text for _, copies in groups for text in copies],
        secret=np.repeat(np.arange(len(groups)), sizes),
        kind=np.repeat(kind, sizes).astype(np.str_),
        form=np.repeat(form, sizes).astype(np.str_),
        dose=np.repeat(dose, sizes).astype(np.int64),
        edited=np.array(
            [is_edited(cell[0], k, len(copies)) for cell, copies in groups for k in range(len(copies))], dtype=bool
        ),
        demanded=demanded,
        missing_tokens=missing_tokens,
    )


def is_edited(kind: str, number: int, copies: int) -> bool:
    """Whether words are replaced in that one of so many copies."""
    return kind in REWORDED and copies > 1 and number % 2 == 1
