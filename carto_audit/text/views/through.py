"""Through: every reading of a text that differs from it. Texts that show no signs of a disguise cost next to nothing."""

from collections.abc import Iterator, Sequence

import numpy as np

from carto_audit.text.views.annotated import ANNOTATED, GUESSES, LETTER_GUESSES
from carto_audit.text.views.ciphers import ciphers_of, deciphered
from carto_audit.text.views.decoded import DECODED
from carto_audit.text.views.reading import Change, Reading
from carto_audit.text.views.rendered import RENDERED
from carto_audit.text.views.signs import Flags
from carto_audit.text.views.steps import Step, apply_steps, shown_by
from carto_audit.text.words import Ragged, hash_words

_ROUNDS = 8
"""Codes and markup within one another that are undone."""

_QUIET = {"terminal", "latex", "roff", "escapes", "markdown", "hyphens", "columns", "timecodes", "line numbers"} | {
    *("speakers", "notes", "string literals", "word tags"),
}
"""Views that are common and hardly ever show a code that was not seen before."""

_UNDONE = (*DECODED, *RENDERED)
_STEPS = (*_UNDONE, *ANNOTATED, *GUESSES)

Found = list[tuple[int, Reading]]
"""Readings, each with the number of its text."""


def read_through(texts: Sequence[str], words: Ragged) -> Iterator[tuple[int, Reading]]:
    """The readings of each text, with its number; `words` are the hashes of the texts' words."""
    if not texts:
        return
    yield from readings(texts, shown_by(texts, _STEPS))
    yield from _undone([(c.text, r) for c in ciphers_of(words) for r in deciphered(Reading.of(texts[c.text]), c)])


def readings(texts: Sequence[str], shown: Flags) -> Iterator[tuple[int, Reading]]:
    """What texts say once their codes and markup are undone; the same deciphered, without annotations, and guessed at.

    `shown` says of which steps each text shows the signs: (steps, texts). Signs that a step reveals are followed as well.
    """
    undone: Found = []
    bare: Found = []
    guesses: Found = []

    def settle(number: int, reading: Reading, column: Flags) -> None:
        other = apply_steps(reading, ANNOTATED, column[: len(ANNOTATED)])
        if other is not reading:
            bare.append((number, other))
        else:
            guesses.extend((number, guess) for guess in _guesses(reading, column[len(ANNOTATED) :]))

    for number in np.flatnonzero(shown.any(axis=0)).tolist():
        plain = Reading.of(texts[number])
        reading = apply_steps(plain, _UNDONE, shown[: len(_UNDONE), number])
        if reading is not plain:
            undone.append((number, reading))
        else:
            settle(number, plain, shown[len(_UNDONE) :, number])
    undone = _undone(undone)
    for found, column in _with_signs(undone, (*ANNOTATED, *GUESSES)):
        settle(*found, column)
    bare = _undone(bare)
    for (number, reading), column in _with_signs(bare, GUESSES):
        guesses.extend((number, guess) for guess in _guesses(reading, column))
    yield from (*undone, *bare, *guesses)
    for c in ciphers_of(hash_words([reading.text for _, reading in undone])) if undone else ():
        number, reading = undone[c.text]
        yield from ((number, other) for other in deciphered(reading, c))


def _guesses(reading: Reading, shown: Flags) -> Iterator[Reading]:
    """The reading under each guess of which it shows the signs, and under all that are about letters."""
    changed = {k: guess for k in np.flatnonzero(shown).tolist() if (guess := GUESSES[k].apply(reading)) is not reading}
    yield from changed.values()
    if sum(k < len(LETTER_GUESSES) for k in changed) > 1:
        yield apply_steps(reading, LETTER_GUESSES, shown[: len(LETTER_GUESSES)])


def _undone(found: Found) -> Found:
    """Each reading without the codes and markup that show only now that others are undone."""
    found = list(found)
    left = [k for k, (_, reading) in enumerate(found) if _reveals(reading.changes)]
    for _ in range(_ROUNDS):
        changed = []
        for k, ((number, reading), column) in zip(left, _with_signs([found[k] for k in left], _UNDONE), strict=True):
            again = apply_steps(reading, _UNDONE, column)
            if again is not reading:
                found[k] = number, again
                changed += [k] if _reveals(again.changes[len(reading.changes) :]) else []
        left = changed
    return found


def _reveals(changes: Sequence[Change]) -> bool:
    """Whether any of some changes may show signs that were not there before."""
    return any(change.view not in _QUIET for change in changes)


def _with_signs(found: Found, steps: Sequence[Step]) -> Iterator[tuple[tuple[int, Reading], Flags]]:
    """Each reading, and of which steps it shows the signs: (steps,)."""
    if found:
        yield from zip(found, shown_by([reading.text for _, reading in found], steps).T, strict=True)
