"""Steps: views applied one after another, each where a text shows its signs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from carto_audit.text.views.reading import Reading
from carto_audit.text.views.signs import Flags, Shows, Signs


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One view of a text, and which texts it may change."""

    shows: Shows
    apply: Callable[[Reading], Reading]


def apply_steps(reading: Reading, steps: Sequence[Step], shown: Flags) -> Reading:
    """The reading after every step whose signs it shows: `shown`, (steps,), says which."""
    for k in np.flatnonzero(shown).tolist():
        reading = steps[k].apply(reading)
    return reading


def shown_by(texts: Sequence[str], steps: Sequence[Step]) -> Flags:
    """Which texts show the signs of each step: (steps, texts)."""
    signs = Signs.of(texts)
    return np.stack([step.shows(signs) for step in steps])
