"""The four quadrants of the map: code, name, meaning and colours, declared once. Light: `policy check` reads them."""

from dataclasses import dataclass
from typing import Literal, get_args

QuadrantName = Literal["stable_easy", "ambiguous_hard", "hotspot_memorized", "noisy_outlier"]
QUADRANT_NAMES: tuple[QuadrantName, ...] = get_args(QuadrantName)
"""Their names in order of their codes: bit 0 says hard, bit 1 memorized (GenDataCarto, arXiv 2509.00083)."""

UNMAPPED = -1
"""The code of a sample that was not trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quadrant:
    """One quadrant, as every page, picture and terminal shows it. `tint` fills its field of the map, `ink` colours its words and
    its samples, both #rrggbb: the inks are told apart without any one kind of cone. `terminal` names a terminal colour."""

    code: int
    name: QuadrantName
    title: str
    meaning: str
    tint: str
    ink: str
    terminal: str

    @property
    def hard(self) -> bool:
        """Whether it lies beyond the difficulty threshold."""
        return bool(self.code & 1)

    @property
    def memorized(self) -> bool:
        """Whether it lies above the memorization threshold."""
        return bool(self.code & 2)


QUADRANTS: dict[QuadrantName, Quadrant] = {
    quadrant.name: quadrant
    for quadrant in (
        Quadrant(
            code=0,
            name="stable_easy",
            title="Stable, easy",
            meaning="easy and not memorized",
            tint="#f4f7f4",
            ink="#117c69",
            terminal="green",
        ),
        Quadrant(
            code=1,
            name="ambiguous_hard",
            title="Ambiguous, hard",
            meaning="hard and not memorized",
            tint="#eef4fb",
            ink="#16427f",
            terminal="blue",
        ),
        Quadrant(
            code=2,
            name="hotspot_memorized",
            title="Memorized hotspot",
            meaning="easy and memorized: a risk of verbatim recall",
            tint="#fdf0ec",
            ink="#bb2e0c",
            terminal="red",
        ),
        Quadrant(
            code=3,
            name="noisy_outlier",
            title="Noisy outlier",
            meaning="hard and memorized: odd or corrupt",
            tint="#f7f1fa",
            ink="#8f35b5",
            terminal="magenta",
        ),
    )
}

MEMORIZED: tuple[int, ...] = tuple(quadrant.code for quadrant in QUADRANTS.values() if quadrant.memorized)
"""The codes of the quadrants above the memorization threshold."""

EASY: tuple[int, ...] = tuple(quadrant.code for quadrant in QUADRANTS.values() if not quadrant.hard)
"""The codes of the quadrants up to the difficulty threshold."""


def quadrant_code(*, hard: bool, memorized: bool) -> int:
    """The code of the quadrant on these sides of the two thresholds."""
    return int(hard) + 2 * int(memorized)
