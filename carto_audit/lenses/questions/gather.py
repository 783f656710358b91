"""Gathering: every row of a view by whether it asks and answers, and the distinct questions that are drawn by lot to be asked."""

from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappush, heappushpop

import numpy as np
from numpy.typing import NDArray

from carto_audit.lenses.questions.asking import Kept
from carto_audit.lenses.questions.forms import find_question
from carto_audit.lenses.questions.variants import Asked, cut
from carto_audit.lenses.readers import UNREAD
from carto_audit.lenses.view import LensView

NONE = -1
"""The number of a row without a question."""

_Entry = tuple[float, int, int, Asked]
"""Minus the chance of a distinct question, its number, a row that one proxy read, and what stands there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """Of N rows the `number` of their distinct question, NONE where they have none, and whether it is `worked`, both (N,).
    `drawn` are the questions to ask, in the order of their lots."""

    number: NDArray[np.int64]
    worked: NDArray[np.bool_]
    drawn: tuple[Kept, ...]


@dataclass(slots=True)
class _Lots:
    """The questions with the lowest lots so far, `most` at most: no more text than that is kept."""

    most: int
    rng: np.random.Generator
    known: dict[bytes, int] = field(default_factory=dict)
    sides: list[int] = field(default_factory=list)
    kept: list[_Entry] = field(default_factory=list)

    def add(self, row: int, text: Asked, side: int) -> int:
        """The number of the question in this row, which a proxy has read or not."""
        said = text.before[text.question.start :]
        key = blake2b(f"{len(said)}:{said}{text.answer}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        number = self.known.setdefault(key, len(self.known))
        if number == len(self.sides):
            self.sides.append(0)
        if side != UNREAD:
            if not self.sides[number]:
                self._draw(row, text, number)
            self.sides[number] |= 1 << side
        return number

    def _draw(self, row: int, text: Asked, number: int) -> None:
        entry = (-float(self.rng.random()), number, row, text)
        if len(self.kept) < self.most:
            heappush(self.kept, entry)
        else:
            heappushpop(self.kept, entry)


def gather(view: LensView, most: int) -> Gathered:
    """The questions of every row, told by their form, and the lots of those that a proxy read."""
    side = view.proxies.side
    number, worked = np.full(len(view), NONE, np.int64), np.zeros(len(view), bool)
    lots = _Lots(most=most, rng=np.random.default_rng([view.seed, 0xA5]))
    for chunk in view.texts():
        for row, text in enumerate(chunk.texts, chunk.start):
            found = find_question(text)
            if found is not None:
                worked[row] = found.worked
                number[row] = lots.add(row, cut(text, found), int(side[row]))
    drawn = sorted(lots.kept, key=lambda entry: (-entry[0], entry[1]))
    kept = [Kept(number=n, row=row, asked=asked, shared=lots.sides[n] == 3) for _, n, row, asked in drawn]
    return Gathered(number=number, worked=worked, drawn=tuple(kept))
