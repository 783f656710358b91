"""Through: every reading of a text that differs from it. Texts that show no signs of a disguise cost next to nothing."""

from collections.abc import Iterator, Sequence

import numpy as np

from carto_audit.text.views.annotated import ANNOTATED, GUESSES
from carto_audit.text.views.decoded import DECODED, ciphers_of, deciphered
from carto_audit.text.views.reading import Reading
from carto_audit.text.views.rendered import RENDERED
from carto_audit.text.views.signs import Signs
from carto_audit.text.views.steps import apply_steps, shown
from carto_audit.text.words import Ragged

MOST_CIPHERS = 3
"""Ciphers that are undone in one text; a text cannot hold the frequent words of all."""

_STEPS = (*DECODED, *RENDERED, *ANNOTATED, *GUESSES)


def read_through(texts: Sequence[str], words: Ragged) -> Iterator[tuple[int, Reading]]:
    """The readings of each text, with its number; `words` are the hashes of the texts' words."""
    if not texts:
        return
    for number in np.flatnonzero(shown(Signs.of(texts), _STEPS)).tolist():
        for reading in readings(texts[number]):
            yield number, reading
    for number, cipher in ciphers_of(words, MOST_CIPHERS):
        yield number, deciphered(Reading.of(texts[number]), cipher)


def readings(text: str) -> Iterator[Reading]:
    """What a text says once its codes and markup are undone; without annotations besides; and under each guess."""
    plain = Reading.of(text)
    rendered = apply_steps(apply_steps(plain, DECODED), RENDERED)
    bare = apply_steps(rendered, ANNOTATED)
    yield from (reading for reading in dict.fromkeys((rendered, bare)) if reading is not plain)
    for guess in GUESSES:
        guessed = apply_steps(bare, (guess,))
        if guessed is not bare:
            yield guessed
