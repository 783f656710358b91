"""Steps: views applied one after another, each where a text shows its signs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from carto_audit.text.views.reading import Reading
from carto_audit.text.views.signs import Flags, Shows, Signs


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One view of a text, and which texts it may change."""

    shows: Shows
    apply: Callable[[Reading], Reading]


def apply_steps(reading: Reading, steps: Sequence[Step]) -> Reading:
    """The reading after every step whose signs it shows."""
    signs = Signs.of([reading.text])
    for step in steps:
        if step.shows(signs)[0]:
            changed = step.apply(reading)
            if changed is not reading:
                reading, signs = changed, Signs.of([changed.text])
    return reading


def shown(signs: Signs, steps: Sequence[Step]) -> Flags:
    """Which texts show the signs of any step: (texts,)."""
    flags = steps[0].shows(signs)
    for step in steps[1:]:
        flags = flags | step.shows(signs)
    return flags
