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


def apply_steps(
    reading: Reading, steps: Sequence[Step], shown: Sequence[bool] | None = None, *, reveals: bool = True
) -> Reading:
    """The reading after every step whose signs it shows: `shown` says which, None tries all.

    Steps that reveal signs are followed by all others once one has changed it.
    """
    start = reading
    for k, step in enumerate(steps):
        if shown is None or shown[k] or (reveals and reading is not start):
            reading = step.apply(reading)
    return reading


def shown_by(texts: Sequence[str], steps: Sequence[Step]) -> Flags:
    """Which texts show the signs of each step: (steps, texts)."""
    signs = Signs.of(texts)
    return np.stack([step.shows(signs) for step in steps])
