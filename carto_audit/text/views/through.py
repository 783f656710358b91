"""Through: every reading of a text that differs from it. Texts that show no signs of a disguise cost next to nothing."""

from collections.abc import Iterator, Sequence

import numpy as np

from carto_audit.text.views.annotated import ANNOTATED, GUESSES
from carto_audit.text.views.decoded import DECODED, ciphers_of, deciphered
from carto_audit.text.views.reading import Reading
from carto_audit.text.views.rendered import RENDERED
from carto_audit.text.views.steps import apply_steps, shown_by
from carto_audit.text.words import Ragged

MOST_CIPHERS = 8
"""Ciphers that are undone in one text; a text cannot hold the frequent words of all."""

_STEPS = (*DECODED, *RENDERED, *ANNOTATED, *GUESSES)


def read_through(texts: Sequence[str], words: Ragged) -> Iterator[tuple[int, Reading]]:
    """The readings of each text, with its number; `words` are the hashes of the texts' words."""
    if not texts:
        return
    shown = shown_by(texts, _STEPS)
    for number in np.flatnonzero(shown.any(axis=0)).tolist():
        for reading in readings(texts[number], shown[:, number].tolist()):
            yield number, reading
    for number, cipher in ciphers_of(words, MOST_CIPHERS):
        for reading in deciphered(Reading.of(texts[number]), cipher):
            yield number, reading


def readings(text: str, shown: Sequence[bool]) -> Iterator[Reading]:
    """What a text says once its codes and markup are undone; without annotations besides; and under each guess.

    `shown` says of which steps the text shows the signs.
    """
    plain = Reading.of(text)
    first, last = len(DECODED) + len(RENDERED), len(_STEPS) - len(GUESSES)
    rendered = apply_steps(plain, _STEPS[:first], shown[:first])
    is_same = rendered is plain  # leaving out annotations reveals no signs
    bare = apply_steps(rendered, ANNOTATED, shown[first:last] if is_same else None, reveals=False)
    yield from (reading for reading in dict.fromkeys((rendered, bare)) if reading is not plain)
    for k, guess in enumerate(GUESSES, start=last):
        guessed = apply_steps(bare, (guess,), shown[k : k + 1] if is_same else None)
        if guessed is not bare:
            yield guessed
